"""Context for each pixel from a graph of the structures around it."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from polaris_lab.config import did_you_mean
from polaris_lab.models.blocks import check_channels
from polaris_lab.models.graph.messages import MessagePassing
from polaris_lab.models.graph.regions import RegionGraph, region_graph, region_means, superpixels
from polaris_lab.models.registry import register_block

STRUCTURES = ("superpixels", "dendrogram")
"""Names of what nodes can be."""


@register_block("graph_context")
class GraphContext(nn.Module):
    """What the structure that a pixel belongs to, and the structures around that one, are like.

    Nodes are superpixels or structures of the dendrogram, edges join those that touch. A node is described by its
    contrast (highest, lowest and scatter of log N about its mean), its size and its shape; an edge by the difference of
    the means, of the centres, and by the length of the border. Nothing depends on the level of the map, nor on where
    it begins. After some rounds of messages each pixel takes the vector of its node.

    Parameters
    ----------
    in_channels : int
        Channels of the image; the first, log N, decides on the structures, others are best standardised.
    out_channels : int
        Channels of the context.
    size : int
        Superpixels are about this wide [pixels]; lengths are counted in it.
    rounds : int
        Of messages: from how far context comes.
    width : int
        Channels of a node.
    iterations : int
        How often superpixels adapt to the map.
    tolerance : float
        Difference [dex] that separates superpixels as much as a distance of `size`; for the dendrogram the
        smallest height of a structure.
    structures : {"superpixels", "dendrogram"}
        What nodes are. The dendrogram needs astrodendro and takes half a second for 128^2 pixels.
    window : int
        Side of the windows of which dendrograms are made [pixels]: as large as the training patches, if possible.

    Attributes
    ----------
    stride : int
        `size`: superpixels begin on a grid, and do not depend on the tile if tiles begin on it too. For the dendrogram
        `window`.
    receptive_margin : int
        (2 iterations + 2 + 3 rounds) size - 1: pixels choose between centres of the next cells, centres come from
        pixels up to one cell away, and regions that touch have centres up to 3 cells apart. Inside it context is that
        of whole regions. For the dendrogram (1 + rounds) window - 1: a structure lies in one window.

    Examples
    --------
    >>> import torch
    >>> block = GraphContext(out_channels=4, size=4)
    >>> block(torch.randn(1, 1, 16, 18)).shape
    torch.Size([1, 4, 16, 18])
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 8,
        size: int = 8,
        rounds: int = 2,
        width: int = 16,
        iterations: int = 2,
        tolerance: float = 0.3,
        structures: str = "superpixels",
        window: int = 64,
    ) -> None:
        super().__init__()
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels), ("width", width),
                            ("iterations", iterations), ("window", window)):  # fmt: skip
            if value < 1:
                raise ValueError(f"{name}: expected a whole number of at least 1, got {value}")
        if size < 2:
            raise ValueError(f"size: expected at least 2 pixels, got {size}; 8 is usual")
        if rounds < 0:
            raise ValueError(f"rounds: expected a whole number of at least 0, got {rounds}")
        if not tolerance > 0:
            raise ValueError(f"tolerance: expected a positive difference in dex, got {tolerance}")
        if structures not in STRUCTURES:
            raise ValueError(
                f"structures: unknown name {structures!r}: {did_you_mean(structures, STRUCTURES)}"
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.size, self.iterations, self.tolerance = size, iterations, tolerance
        self.structures = structures
        self.window = window
        if structures == "superpixels":
            self.stride = size
            self.receptive_margin = (2 * iterations + 2 + 3 * rounds) * size - 1
        else:
            self.stride = window
            self.receptive_margin = (1 + rounds) * window - 1
        self.first = nn.Linear(3 * in_channels + 3, width)
        self.rounds = nn.ModuleList(MessagePassing(width, in_channels + 3) for _ in range(rounds))
        self.last = nn.Sequential(nn.SiLU(), nn.Linear(width, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the context (N, out_channels, H, W) of an image of logarithms; 0 where its first map is not finite."""
        check_channels("graph_context", x, self.in_channels)
        if x.device.type == "meta":
            return x.new_empty(len(x), self.out_channels, *x.shape[2:])
        kind = x.device.type
        with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
            graph = self.graph(x)
            inside = graph.labels >= 0  # (N, H, W)
            context = self._nodes(x.to(self.first.weight.dtype), graph)  # (nodes, out_channels)
            pixels = context[graph.labels.clamp(min=0)] * inside[..., None]  # (N, H, W, out_channels)
        return pixels.permute(0, 3, 1, 2)  # (N, out_channels, H, W)

    def graph(self, x: Tensor) -> RegionGraph:
        """Return the structures of an image (N, C, H, W), and which of them touch."""
        first = x[:, 0]  # (N, H, W)
        if self.structures == "dendrogram":
            from polaris_lab.models.graph.dendrogram import dendrogram_regions

            labels, nodes = dendrogram_regions(
                first, min_height=self.tolerance, min_pixels=max(self.size**2 // 4, 4), window=self.window
            )
            return region_graph(labels, max(nodes, 1))
        rows, columns = (-(-side // self.size) for side in x.shape[2:])
        labels = superpixels(first, size=self.size, iterations=self.iterations, tolerance=self.tolerance)
        return region_graph(labels, max(len(x) * rows * columns, 1))

    def _nodes(self, x: Tensor, graph: RegionGraph) -> Tensor:
        """Return the vector of each node (nodes, out_channels)."""
        inside = graph.labels >= 0  # (N, H, W)
        labels = graph.labels[inside]  # (P,)
        pixels = x.movedim(1, -1)[inside]  # (P, C)
        # A second map may be blank where the first is not: such a pixel then counts as 0.
        pixels = torch.where(torch.isfinite(pixels), pixels, 0.0)  # (P, C)
        level = pixels.detach().mean(dim=0).round().nan_to_num()  # (C,): values of 20 dex would lose digits
        mean, members = region_means(pixels - level, labels, graph.nodes)  # (nodes, C), (nodes,)
        above = pixels - level - mean[labels]  # (P, C)
        square, _ = region_means(above.square(), labels, graph.nodes)  # (nodes, C)
        index = labels[:, None].expand_as(above)  # (P, C)
        zero = torch.zeros_like(mean)
        highest = zero.scatter_reduce(0, index, above, "amax")  # (nodes, C): at least 0, the mean
        lowest = zero.scatter_reduce(0, index, above, "amin")  # (nodes, C)
        place = inside.nonzero()[:, 1:].to(x.dtype) / self.size  # (P, 2)
        centre, _ = region_means(place, labels, graph.nodes)  # (nodes, 2)
        extent, _ = region_means((place - centre[labels]).square(), labels, graph.nodes)  # (nodes, 2)
        area = torch.log10(members.clamp(min=1) / self.size**2)[:, None]  # (nodes, 1)
        nodes = self.first(torch.cat([highest, lowest, (square + 1e-12).sqrt(), area, extent], dim=1))
        start, end = graph.edges
        border = graph.border.to(x.dtype)[:, None] / self.size  # (E, 1)
        edges = torch.cat([mean[start] - mean[end], centre[start] - centre[end], border], dim=1)
        for block in self.rounds:
            nodes = block(nodes, graph.edges, edges)  # (nodes, width)
        return self.last(nodes)  # (nodes, out_channels)
