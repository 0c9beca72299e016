"""The U-Net of the report, as an ordinary PyTorch module.

Encoder blocks of `base_filters` * 2^i channels, each followed by a 2x2 maximum pooling; a bottleneck; decoder
steps of a transposed convolution, an attention gate on the skip connection, concatenation and a block; a 1x1
convolution at the end. Any image size works. What differs from the report's code: padding by reflection in
place of zeros (zeros bias the edges of a patch), and no dropout unless asked for.

References
----------
Report, section 1.1; Ronneberger et al. 2015 (arXiv 1505.04597); attention gate: Oktay et al. 2018
(arXiv 1804.03999), here with the upsampled decoder features as the gating signal, as in the report's code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polaris_lab.models.convolutions import (
    CONVOLUTIONS,
    POOLINGS,
    TRANSPOSED,
    AttentionGate,
    ConvolutionBlock,
    NormalizedConvolution,
    ResidualBlock,
    initialise,
)
from polaris_lab.models.registry import register_block

__all__ = [
    "AttentionGate",
    "ConvolutionBlock",
    "NormalizedConvolution",
    "ResidualBlock",
    "UNet",
    "pad_to_multiple",
    "receptive_margin",
]


@register_block("unet")
class UNet(nn.Module):
    """Map images to images of the same size, seeing structures from 1 to 2^layers pixels.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    layers : int
        Number of poolings; the deepest features are 2^layers times coarser than the image.
    base_filters : int
        Channels of the first block; each layer doubles them.
    attention : bool
        Gate the skip connections.
    convolutions : int
        3x3 convolutions in a block, 1 or 2.
    dropout : float
        Probability with which a channel is dropped after each block, in training.
    residual_blocks : bool
        Give each block a shortcut (:class:`polaris_lab.models.convolutions.ResidualBlock`).
    dimensions : int
        1 for spectra (N, C, L), 2 for maps (N, C, H, W), 3 for cubes (N, C, D, H, W).
    pad : bool
        Reflect an image up to a multiple of the stride and crop the answer, so that any size works. False refuses
        other sizes, for those who must know that no pixel was made up.

    Attributes
    ----------
    stride : int
        2^layers.
    receptive_margin : int
        Pixels further than this from an output pixel have no influence on it.

    Examples
    --------
    >>> import torch
    >>> unet = UNet(layers=2, base_filters=4)
    >>> unet(torch.zeros(1, 1, 50, 37)).shape
    torch.Size([1, 1, 50, 37])
    >>> sum(p.numel() for p in UNet(layers=3, base_filters=16, convolutions=2).parameters())
    488930
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        layers: int = 4,
        base_filters: int = 64,
        attention: bool = True,
        convolutions: int = 1,
        dropout: float = 0.0,
        residual_blocks: bool = False,
        dimensions: int = 2,
        pad: bool = True,
    ) -> None:
        super().__init__()
        _check_settings(in_channels, out_channels, layers, base_filters, convolutions, dimensions)
        self.in_channels = in_channels
        self.layers = layers
        self.dimensions = dimensions
        self.pad = pad
        widths = [base_filters * 2**level for level in range(layers + 1)]
        kind = ResidualBlock if residual_blocks else ConvolutionBlock
        choices = {"convolutions": convolutions, "dropout": dropout, "dimensions": dimensions}
        self.encoder = nn.ModuleList(
            kind(before, width, **choices)
            for before, width in zip([in_channels, *widths], widths[:-1], strict=False)
        )
        self.bottleneck = kind(widths[-2], widths[-1], **choices)
        self.upsample = nn.ModuleList(
            TRANSPOSED[dimensions](2 * w, w, kernel_size=2, stride=2) for w in widths[:-1]
        )
        self.gates = nn.ModuleList(AttentionGate(w, dimensions) for w in widths[:-1]) if attention else None
        self.decoder = nn.ModuleList(kind(2 * w, w, **choices) for w in widths[:-1])
        self.last = CONVOLUTIONS[dimensions](base_filters, out_channels, kernel_size=1)
        self.stride = 2**layers
        self.receptive_margin = receptive_margin(layers, convolutions)
        self.apply(initialise)
        with torch.no_grad():  # an untrained network corrects little, but every parameter gets a gradient
            self.last.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output (N, out_channels, H, W) for an image (N, in_channels, H, W)."""
        self._check(x)
        size = x.shape[2:]
        x = pad_to_multiple(x, self.stride)  # (N, in_channels, H', W')
        skips = []
        for block in self.encoder:
            x = block(x)  # (N, b 2^i, H'/2^i, W'/2^i)
            skips.append(x)
            x = POOLINGS[self.dimensions](x, 2)  # (N, b 2^i, H'/2^(i+1), W'/2^(i+1))
        x = self.bottleneck(x)  # (N, b 2^layers, H'/2^layers, W'/2^layers)
        for level in reversed(range(self.layers)):
            x = self.upsample[level](x)  # (N, b 2^i, H'/2^i, W'/2^i)
            skip = skips.pop() if self.gates is None else self.gates[level](x, skips.pop())
            x = self.decoder[level](torch.cat([skip, x], dim=1))  # (N, b 2^i, H'/2^i, W'/2^i)
        return self.last(x)[(..., *(slice(length) for length in size))]  # (N, out_channels, H, W)

    def _check(self, x: Tensor) -> None:
        """Refuse an image of other channels or dimensions, or of a size that must not be padded."""
        axes = ("length",) if self.dimensions == 1 else ("depth", "height", "width")[3 - self.dimensions :]
        if x.ndim != self.dimensions + 2 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"unet needs {self.in_channels} input channels, got {tuple(x.shape[1:])} "
                f"(channels, {', '.join(axes)}); set in_channels and dimensions to what the inputs have"
            )
        if not self.pad and any(length % self.stride or length < 2 * self.stride for length in x.shape[2:]):
            wanted = tuple(max(-(-length // self.stride), 2) * self.stride for length in x.shape[2:])
            raise ValueError(
                f"unet needs sides that are multiples of {self.stride} pixels (2^layers), at least "
                f"{2 * self.stride}, got {tuple(x.shape[2:])}; cut or enlarge the image to {wanted}, or set pad=True"
            )


def _check_settings(
    in_channels: int, out_channels: int, layers: int, base_filters: int, convolutions: int, dimensions: int
) -> None:
    for name, value in (("in_channels", in_channels), ("out_channels", out_channels),
                        ("layers", layers), ("base_filters", base_filters)):  # fmt: skip
        if value < 1:
            raise ValueError(f"{name}: expected a whole number of at least 1, got {value}")
    if layers > 10:
        raise ValueError(f"layers: expected at most 10 (2^10 pixels), got {layers}; 3 to 5 are usual")
    if convolutions not in (1, 2):
        raise ValueError(f"convolutions: expected 1 or 2 per block, got {convolutions}")
    if dimensions not in (1, 2, 3):
        raise ValueError(f"dimensions: expected 1 (spectra), 2 (maps) or 3 (cubes), got {dimensions}")


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Reflect an image (N, C, ...) at the far end of each axis up to a multiple, at least twice it, of `multiple`.

    The deepest level then has at least 2 pixels, which reflection there needs. An image smaller than the
    padding is reflected to and fro.

    Examples
    --------
    >>> import torch
    >>> pad_to_multiple(torch.arange(3.0).reshape(1, 1, 1, 3), 4)[0, 0, 0]
    tensor([0., 1., 2., 1., 0., 1., 2., 1.])
    """
    for dimension in range(2, x.ndim):
        size = x.shape[dimension]
        wanted = max(-(-size // multiple), 2) * multiple
        if wanted == size:
            continue
        period = max(2 * (size - 1), 1)
        index = torch.arange(wanted, device=x.device) % period
        x = x.index_select(dimension, torch.minimum(index, period - index) if size > 1 else index)
    return x  # (N, C, H', W')


def receptive_margin(layers: int, convolutions: int) -> int:
    """Return how far, in pixels, an input pixel of a U-Net can be from the output pixel it changes.

    The interval that an output pixel depends on is followed back through decoder, skip connections and
    encoder, for each position of the pixel on the grid of the deepest level.

    Examples
    --------
    >>> receptive_margin(layers=1, convolutions=1)
    5
    """

    def needed(first: int, last: int, level: int) -> tuple[int, int]:
        """Return the interval of the input of `level`'s encoder block that its decoder's output needs."""
        first, last = first - convolutions, last + convolutions  # the decoder's block, or the bottleneck
        if level == layers:
            return first, last
        below_first, below_last = needed(first // 2, last // 2, level + 1)
        first, last = min(first, 2 * below_first), max(last, 2 * below_last + 1)  # with the skip connection
        return first - convolutions, last + convolutions

    intervals = [(pixel, *needed(pixel, pixel, 0)) for pixel in range(2**layers)]
    return max(max(pixel - first, last - pixel) for pixel, first, last in intervals)
