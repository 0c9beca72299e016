"""Small blocks from which blueprints are put together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polaris_lab.models.convolutions import ConvolutionBlock, check_reflection
from polaris_lab.models.registry import register_block


@register_block("convolution")
class Convolution(nn.Module):
    """One convolution with an odd kernel, padded by reflection.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size : int
        Side of the kernel [pixels], odd; images must be larger than half of it.
    """

    def __init__(self, in_channels: int = 1, out_channels: int = 1, kernel_size: int = 3) -> None:
        super().__init__()
        _at_least_one(in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: expected an odd number, got {kernel_size}")
        self.in_channels = in_channels
        self.receptive_margin = kernel_size // 2
        self.convolution = nn.Conv2d(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2, padding_mode="reflect"
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved image."""
        check_channels("convolution", x, self.convolution.in_channels)
        check_reflection(x, self.receptive_margin)
        return self.convolution(x)  # (N, out_channels, H, W)


@register_block("double_convolution")
class DoubleConvolution(nn.Module):
    """Twice (3x3 convolution, batch normalisation, ReLU): the block of the report's U-Net, alone.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    dropout : float
        Probability with which a channel is dropped, in training.
    """

    def __init__(self, in_channels: int = 1, out_channels: int = 16, dropout: float = 0.0) -> None:
        super().__init__()
        _at_least_one(in_channels=in_channels, out_channels=out_channels)
        self.in_channels = in_channels
        self.receptive_margin = 2
        self.block = ConvolutionBlock(in_channels, out_channels, convolutions=2, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of the image."""
        check_channels("double_convolution", x, self.in_channels)
        return self.block(x)  # (N, out_channels, H, W)


@register_block("add")
class Add(nn.Module):
    """The sum of two or more inputs of equal shape."""

    def forward(self, first: Tensor, second: Tensor, *others: Tensor) -> Tensor:
        """Return the sum."""
        check_equal_shapes("add", first, second, *others)
        for other in (second, *others):
            first = first + other
        return first  # (N, C, H, W)


@register_block("multiply")
class Multiply(nn.Module):
    """The product of two or more inputs of equal shape."""

    def forward(self, first: Tensor, second: Tensor, *others: Tensor) -> Tensor:
        """Return the product."""
        check_equal_shapes("multiply", first, second, *others)
        for other in (second, *others):
            first = first * other
        return first  # (N, C, H, W)


@register_block("concatenate")
class Concatenate(nn.Module):
    """All channels of two or more inputs of equal height and width, one after the other."""

    def forward(self, first: Tensor, second: Tensor, *others: Tensor) -> Tensor:
        """Return the inputs stacked along their channels."""
        sizes = {tuple(x.shape[-2:]) for x in (first, second, *others)}
        if len(sizes) > 1:
            raise ValueError(f"concatenate needs equal heights and widths, got {sorted(sizes)}")
        return torch.cat([first, second, *others], dim=1)  # (N, sum of C, H, W)


@register_block("select_channels")
class SelectChannels(nn.Module):
    """Some channels of an input: what one head takes of a network with several.

    Parameters
    ----------
    first : int
        The first of them, from 0.
    count : int
        How many.
    """

    def __init__(self, first: int = 0, count: int = 1) -> None:
        super().__init__()
        _at_least_one(count=count)
        if first < 0:
            raise ValueError(f"first: expected a channel from 0 on, got {first}")
        self.first, self.count = first, count

    def forward(self, x: Tensor) -> Tensor:
        """Return the channels."""
        if x.shape[1] < self.first + self.count:
            raise ValueError(
                f"select_channels needs at least {self.first + self.count} input channels, got {x.shape[1]}; "
                "lower first or count, or give the node before it more"
            )
        return x[:, self.first : self.first + self.count]  # (N, count, H, W)


def check_equal_shapes(block: str, *inputs: Tensor) -> None:
    """Raise ValueError, with the shapes (C, H, W), unless all inputs have the same."""
    shapes = [tuple(x.shape[1:]) for x in inputs]
    if len(set(shapes)) > 1:
        raise ValueError(f"{block} needs equal shapes, got {' and '.join(map(str, shapes))}")


def check_channels(block: str, x: Tensor, channels: int) -> None:
    """Raise ValueError unless an image (N, C, H, W) has this number of channels."""
    if x.ndim != 4 or x.shape[1] != channels:
        raise ValueError(
            f"{block} needs {channels} input channels, got {tuple(x.shape[1:])} (channels, height, width); "
            f"set in_channels={x.shape[1]}"
        )


def _at_least_one(**settings: int) -> None:
    for name, value in settings.items():
        if value < 1:
            raise ValueError(f"{name}: expected a whole number of at least 1, got {value}")
