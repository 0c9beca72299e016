"""Convolutions padded by reflection, in one, two or three dimensions, and the blocks of a U-Net made of them."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORMALIZATIONS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
DROPOUTS = {1: nn.Dropout1d, 2: nn.Dropout2d, 3: nn.Dropout3d}
POOLINGS = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
CHANNELS_TO_CONTINUE_AGAIN = 64
"""From this many output channels on, continuing an image a second time costs less than a fiftieth of a convolution."""
_CONVOLVE = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


def reflected_convolution(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return the convolution (odd kernel, stride 1) of an image continued by reflection: its size does not change.

    In training with many output channels the continued image is not kept for the backward pass but made again there,
    which is little work beside the convolution: the report's largest network takes a sixth less memory.

    Parameters
    ----------
    x : Tensor, shape (N, C, ...)
        One, two or three dimensions of more than half a kernel each, else ValueError.
    weight : Tensor, shape (C', C, k, ...)
        The kernel.
    bias : Tensor, shape (C',), or None
        Added to the result.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([[[1.0, 2.0, 4.0]]])
    >>> reflected_convolution(x, torch.ones(1, 1, 3), None)
    tensor([[[5., 7., 8.]]])
    """
    if weight.shape[-1] == 1:
        return _CONVOLVE[x.ndim - 2](x, weight, bias)  # (N, C', ...)
    if weight.shape[0] >= CHANNELS_TO_CONTINUE_AGAIN and torch.is_grad_enabled() and weight.requires_grad:
        return _ReflectedConvolution.apply(x, weight, bias)  # (N, C', ...)
    return _CONVOLVE[x.ndim - 2](_reflected(x, weight.shape[-1]), weight, bias)  # (N, C', ...)


def check_reflection(x: Tensor, margin: int) -> None:
    """Raise ValueError unless every side of an image is longer than the margin by which reflection continues it."""
    if min(x.shape[2:]) <= margin:
        raise ValueError(
            f"expected an image of at least {margin + 1} pixels a side, which reflection continues by {margin}, got "
            f"{' x '.join(map(str, x.shape[2:]))}; give a larger one, or set a smaller kernel"
        )


def _reflected(x: Tensor, kernel_size: int) -> Tensor:
    check_reflection(x, kernel_size // 2)
    return functional.pad(
        x, (kernel_size // 2,) * (2 * (x.ndim - 2)), mode="reflect"
    )  # (N, C, H + k - 1, ...)


class _ReflectedConvolution(torch.autograd.Function):
    """A convolution whose backward pass continues the image by reflection again."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return _CONVOLVE[x.ndim - 2](_reflected(x, weight.shape[-1]), weight, bias)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        dimensions, margin = x.ndim - 2, weight.shape[-1] // 2
        padded = _reflected(x, weight.shape[-1]).to(gradient.dtype)  # (N, C, H + k - 1, ...)
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], ctx.has_bias]
        zeros, ones = [0] * dimensions, [1] * dimensions
        into, kernel, offset = torch.ops.aten.convolution_backward(
            gradient, padded, weight.to(gradient.dtype), [weight.shape[0]],
            ones, zeros, ones, False, zeros, 1, wanted,
        )  # fmt: skip
        if into is not None:
            fold = getattr(torch.ops.aten, f"reflection_pad{dimensions}d_backward")
            into = fold(into, x.to(into.dtype), [margin] * (2 * dimensions)).to(x.dtype)  # (N, C, H, ...)
        kernel = None if kernel is None else kernel.to(weight.dtype)
        return into, kernel, None if offset is None else offset.to(weight.dtype)


class NormalizedConvolution(nn.Module):
    """A convolution, padded by reflection, and batch normalisation of its output.

    In evaluation the normalisation is a fixed linear map: it is folded into the weights of the convolution,
    which saves a pass over the features (a fifth of the time of the whole network).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dimensions: int = 2) -> None:
        super().__init__()
        self.convolution = CONVOLUTIONS[dimensions](in_channels, out_channels, kernel_size)
        self.normalization = NORMALIZATIONS[dimensions](out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the size of the input."""
        weight, bias = self.convolution.weight, self.convolution.bias
        if self.training:
            return self.normalization(reflected_convolution(x, weight, bias))  # (N, out_channels, H, W)
        norm = self.normalization
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)  # (out_channels,)
        weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))  # (out_channels, in_channels, k, ...)
        bias = (bias - norm.running_mean) * scale + norm.bias  # (out_channels,)
        return reflected_convolution(x, weight, bias)  # (N, out_channels, H, W)


class ConvolutionBlock(nn.Sequential):
    """`convolutions` times (convolution of side 3, batch normalisation, ReLU), then dropout of whole channels."""

    def __init__(
        self, in_channels: int, out_channels: int, *, convolutions: int, dropout: float, dimensions: int = 2
    ) -> None:
        check_dropout(dropout)
        steps: list[nn.Module] = []
        for step in range(convolutions):
            channels = in_channels if step == 0 else out_channels
            steps += [NormalizedConvolution(channels, out_channels, 3, dimensions), nn.ReLU(inplace=True)]
        if dropout > 0:
            steps.append(DROPOUTS[dimensions](dropout))
        super().__init__(*steps)


class ResidualBlock(nn.Module):
    """A convolution block with a shortcut: ReLU(BN(conv(... ReLU(BN(conv(x))))) + W x), W a 1x1 convolution.

    References
    ----------
    He et al. 2015 (arXiv 1512.03385), with a projection in every shortcut.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, convolutions: int, dropout: float, dimensions: int = 2
    ) -> None:
        super().__init__()
        check_dropout(dropout)
        widths = [in_channels, *[out_channels] * convolutions]
        self.steps = nn.ModuleList(
            NormalizedConvolution(before, after, 3, dimensions)
            for before, after in itertools.pairwise(widths)
        )
        self.shortcut = CONVOLUTIONS[dimensions](in_channels, out_channels, 1)
        self.dropout = DROPOUTS[dimensions](dropout) if dropout > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of an image."""
        first, *others = self.steps
        inner = first(x)  # (N, out_channels, H, W)
        for step in others:
            inner = step(functional.relu(inner, inplace=True))  # (N, out_channels, H, W)
        straight = reflected_convolution(
            x, self.shortcut.weight, self.shortcut.bias
        )  # (N, out_channels, H, W)
        return self.dropout(functional.relu(inner + straight, inplace=True))  # (N, out_channels, H, W)


class AttentionGate(nn.Module):
    """Weigh the skip connection, pixel by pixel, by what the decoder sees.

    alpha = sigmoid(BN(psi(ReLU(BN(W_g g) + BN(W_x x))))), all convolutions 1x1, half the channels inside;
    the output is alpha x.

    References
    ----------
    Oktay et al. 2018 (arXiv 1804.03999), with the upsampled decoder features as the gating signal.
    """

    def __init__(self, channels: int, dimensions: int = 2) -> None:
        super().__init__()
        inner = max(channels // 2, 1)
        self.gate = NormalizedConvolution(channels, inner, 1, dimensions)
        self.skip = NormalizedConvolution(channels, inner, 1, dimensions)
        self.weight = NormalizedConvolution(inner, 1, 1, dimensions)

    def forward(self, gate: Tensor, skip: Tensor) -> Tensor:
        """Return the skip features weighed between 0 and 1."""
        both = functional.relu(self.gate(gate) + self.skip(skip), inplace=True)  # (N, C/2, H, W)
        return torch.sigmoid(self.weight(both)) * skip  # (N, C, H, W)


def check_dropout(dropout: float) -> None:
    """Raise ValueError unless it is a probability below 1."""
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout: expected a probability from 0 to below 1, got {dropout}")


def initialise(module: nn.Module) -> None:
    """Start convolutions with the variance that ReLU preserves (He et al. 2015) and no offset."""
    if isinstance(module, (*CONVOLUTIONS.values(), *TRANSPOSED.values())):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
