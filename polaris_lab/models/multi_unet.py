"""A U-Net with one encoder for each input, merged at each level, and features that a condition modulates.

The first input has the main encoder. At each level the features of the others are merged into it; the merged
features go on down, and across to the one decoder. With a condition (surroundings, size and depth of the box) they
are scaled and shifted at each level (FiLM).

References
----------
Report, sections 5 and 7.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from polaris_lab.models.film import FiLM, check_condition
from polaris_lab.models.merge import check_merge, make_merge
from polaris_lab.models.registry import register_block
from polaris_lab.models.unet import AttentionGate, ConvolutionBlock, pad_to_multiple


@register_block("multi_unet")
class MultiUNet(nn.Module):
    """Map several images of one size, and a condition, to images of that size.

    Parameters
    ----------
    in_channels : tuple of int
        Channels of each image; the first has the main encoder.
    out_channels : int
        Channels of the output.
    layers, base_filters, attention, convolutions, dropout
        As of :class:`polaris_lab.models.unet.UNet`.
    branch_filters : int or None
        Channels of the first block of the other encoders; None for `base_filters`.
    merge : str
        See :func:`polaris_lab.models.merge.make_merge`: "concatenate", "sum", or a block such as
        "kan_convolution".
    condition_channels : int
        Of the condition (N, condition_channels, 1, 1), the last input; 0 for none.

    Attributes
    ----------
    stride : int
        2^layers.
    receptive_margin : int
        Pixels further than this from an output pixel have no influence on it.

    Examples
    --------
    >>> network = MultiUNet((1, 2), layers=2, base_filters=4)
    >>> network(torch.zeros(1, 1, 20, 30), torch.zeros(1, 2, 20, 30)).shape
    torch.Size([1, 1, 20, 30])
    """

    def __init__(
        self,
        in_channels: tuple[int, ...] = (1,),
        out_channels: int = 1,
        layers: int = 4,
        base_filters: int = 64,
        branch_filters: int | None = None,
        merge: str = "concatenate",
        attention: bool = True,
        convolutions: int = 1,
        dropout: float = 0.0,
        condition_channels: int = 0,
    ) -> None:
        super().__init__()
        in_channels = tuple(in_channels)
        branch_filters = base_filters if branch_filters is None else branch_filters
        _check(in_channels, out_channels, layers, base_filters, branch_filters, convolutions)
        check_merge(merge)
        self.image_channels, self.layers, self.condition_channels = in_channels, layers, condition_channels
        widths = [base_filters * 2**level for level in range(layers + 1)]
        branch_widths = [branch_filters * 2**level for level in range(layers + 1)]
        choices = {"convolutions": convolutions, "dropout": dropout}
        self.encoder = _encoder(in_channels[0], widths, choices)
        self.branches = nn.ModuleList(
            _encoder(channels, branch_widths, choices) for channels in in_channels[1:]
        )
        count = len(self.branches)
        self.merges = nn.ModuleList(
            make_merge(merge, [width, *[branch] * count], width) if count else nn.Identity()
            for width, branch in zip(widths, branch_widths, strict=True)
        )
        self.modulations = nn.ModuleList(
            FiLM(width, condition_channels) for width in widths if condition_channels
        )
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(2 * w, w, kernel_size=2, stride=2) for w in widths[:-1]
        )
        self.gates = nn.ModuleList(AttentionGate(w) for w in widths[:-1]) if attention else None
        self.decoder = nn.ModuleList(ConvolutionBlock(2 * w, w, **choices) for w in widths[:-1])
        self.last = nn.Conv2d(base_filters, out_channels, kernel_size=1)
        self.stride = 2**layers
        merged = max((getattr(block, "receptive_margin", 0) for block in self.merges), default=0)
        self.receptive_margin = margin(layers, convolutions + merged, convolutions)
        for part in (self.encoder, self.branches, self.upsample, self.decoder, self.gates):
            if part is not None:
                part.apply(_initialise)
        with torch.no_grad():  # an untrained network corrects little, but every parameter gets a gradient
            self.last.weight.mul_(0.1)

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        """Return the output (N, out_channels, H, W) for images (N, C, H, W), and the condition at the end."""
        images, condition = self._inputs(first, others)
        height, width = first.shape[-2:]
        x, *branches = (pad_to_multiple(image, self.stride) for image in images)  # (N, C, H', W')
        skips = []
        for level in range(self.layers + 1):
            if level:
                x = functional.max_pool2d(x, 2)  # (N, b 2^(i-1), H'/2^i, W'/2^i)
                branches = [functional.max_pool2d(branch, 2) for branch in branches]
            x = self.encoder[level](x)  # (N, b 2^i, H'/2^i, W'/2^i)
            branches = [
                encoder[level](branch) for encoder, branch in zip(self.branches, branches, strict=True)
            ]
            x = self.merges[level](x, *branches)  # (N, b 2^i, H'/2^i, W'/2^i)
            if condition is not None:
                x = self.modulations[level](x, condition)
            skips.append(x)
        x = skips.pop()
        for level in reversed(range(self.layers)):
            x = self.upsample[level](x)  # (N, b 2^i, H'/2^i, W'/2^i)
            skip = skips.pop() if self.gates is None else self.gates[level](x, skips.pop())
            x = self.decoder[level](torch.cat([skip, x], dim=1))  # (N, b 2^i, H'/2^i, W'/2^i)
        return self.last(x)[..., :height, :width]  # (N, out_channels, H, W)

    def _inputs(self, first: Tensor, others: Sequence[Tensor]) -> tuple[list[Tensor], Tensor | None]:
        """Return the images and the condition, checked."""
        given = [first, *others]
        condition = None
        wanted = len(self.image_channels) + (self.condition_channels > 0)
        if len(given) != wanted:
            condition_too = " and a condition" if self.condition_channels else ""
            raise ValueError(
                f"multi_unet needs {len(self.image_channels)} images{condition_too}, got {len(given)} inputs; set "
                "in_channels and condition_channels to what the node is given"
            )
        if self.condition_channels:
            condition = given.pop()
            check_condition("multi_unet", condition, self.condition_channels)
        for number, (image, channels) in enumerate(zip(given, self.image_channels, strict=True)):
            if image.ndim != 4 or image.shape[1] != channels or image.shape[2:] != first.shape[2:]:
                raise ValueError(
                    f"multi_unet needs image {number} of shape {(channels, *first.shape[2:])}, got "
                    f"{tuple(image.shape[1:])} (channels, height, width); bring all inputs to the pixels of the first, and "
                    "set in_channels to what they have"
                )
        return given, condition


def margin(layers: int, down: int, up: int) -> int:
    """Return how far, in pixels, an input pixel can be from the output pixel it changes.

    Parameters
    ----------
    layers : int
    down, up : int
        Reach of the convolutions of one level of the encoder, with its merge, and of the decoder [its pixels].

    Examples
    --------
    >>> from polaris_lab.models.unet import receptive_margin
    >>> margin(3, 2, 2) == receptive_margin(3, 2)
    True
    """

    def needed(first: int, last: int, level: int) -> tuple[int, int]:
        """Return the interval of the input of a level's encoder block that its decoder's output needs."""
        if level == layers:
            return first - down, last + down
        first, last = first - up, last + up
        below_first, below_last = needed(first // 2, last // 2, level + 1)
        first, last = min(first, 2 * below_first), max(last, 2 * below_last + 1)  # with the skip connection
        return first - down, last + down

    intervals = [(pixel, *needed(pixel, pixel, 0)) for pixel in range(2**layers)]
    return max(max(pixel - first, last - pixel) for pixel, first, last in intervals)


def _encoder(in_channels: int, widths: Sequence[int], choices: dict) -> nn.ModuleList:
    """Return one block a level."""
    before = [in_channels, *widths[:-1]]
    return nn.ModuleList(ConvolutionBlock(a, b, **choices) for a, b in zip(before, widths, strict=True))


def _check(
    in_channels: tuple[int, ...], out_channels: int, layers: int, base: int, branch: int, convolutions: int
) -> None:
    if not in_channels or min(in_channels) < 1:
        raise ValueError(f"in_channels: expected the channels of one image or more, got {in_channels}")
    for name, value in (("out_channels", out_channels), ("layers", layers), ("base_filters", base),
                        ("branch_filters", branch)):  # fmt: skip
        if value < 1:
            raise ValueError(f"{name}: expected a whole number of at least 1, got {value}")
    if layers > 10:
        raise ValueError(f"layers: expected at most 10 (2^10 pixels), got {layers}; 3 to 5 are usual")
    if convolutions not in (1, 2):
        raise ValueError(f"convolutions: expected 1 or 2 per block, got {convolutions}")


def _initialise(module: nn.Module) -> None:
    """Start convolutions with the variance that ReLU preserves (He et al. 2015) and no offset."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
