"""The Kolmogorov-Arnold convolution: each pixel of each channel through learned curves, then summed over the kernel.

y = sum over channels, pixels of the kernel and functions of W_g phi_g(x) + W_b SiLU(x). As the phi_g are fixed, it is
one expansion and one ordinary convolution over C_in (G + 1) channels: C_in C_out k^2 (G + 1) + C_out parameters.

What is different from the code in circulation, and why: the input is normalised in front (Gaussians between -2 and 2
see nothing of what lies beyond 4), by running statistics, so that the answer does not depend on the tile; weights
start with the variance that the fan-in asks for (a fixed 0.1 is far too much for a thousand channels); one
convolution in place of two; padding by reflection.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from polaris_lab.config import did_you_mean
from polaris_lab.models.blocks import check_channels
from polaris_lab.models.convolutions import check_reflection
from polaris_lab.models.kan.basis import Basis
from polaris_lab.models.registry import register_block

FORMS = ("full", "bottleneck")
"""Names of the forms of a convolution."""


class Normalization(nn.Module):
    """Mean 0 and variance 1 of each channel: over the batch in training, over the training set after it.

    It has no weights: the curves behind it have all they need. Its statistics are those of the training set, not of
    the image at hand, so a pixel's answer does not depend on the tile.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised image (N, C, H, W)."""
        return functional.batch_norm(x, self.running_mean, self.running_var, training=self.training)


class FullKAN(nn.Module):
    """The expansion and the one convolution, with the normalisation in front."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, basis: Basis, normalize: bool
    ) -> None:
        super().__init__()
        self.normalization = Normalization(in_channels) if normalize else nn.Identity()
        self.basis = basis
        self.padding = (kernel_size // 2,) * 4
        self.convolution = nn.Conv2d(in_channels * basis.functions, out_channels, kernel_size)
        initialise(self.convolution, basis, in_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sums of the curves (N, out_channels, H, W)."""
        x = self.normalization(x)  # (N, in_channels, H, W)
        if self.padding[0]:
            check_reflection(x, self.padding[0])
            x = functional.pad(x, self.padding, mode="reflect")  # (N, in_channels, H + k - 1, W + k - 1)
        return self.convolution(self.basis(x))  # (N, out_channels, H, W)


class BottleneckKAN(nn.Module):
    """Curves on a quarter of the channels, mixed back into all and added to SiLU(x), in front of one convolution.

    Each channel's activation is SiLU plus learned curves of mixed channels: 1x1 down, curves, 1x1 up, k x k. It has
    1.14 times the parameters of an ordinary convolution (the full form: 5 times).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        basis: Basis,
        normalize: bool,
        reduction: int,
    ) -> None:
        super().__init__()
        inner = max(in_channels // reduction, 1)
        self.padding = (kernel_size // 2,) * 4
        self.down = nn.Conv2d(in_channels, inner, 1, bias=False)
        self.normalization = Normalization(inner) if normalize else nn.Identity()
        self.basis = basis
        self.up = nn.Conv2d(inner * (basis.functions - 1), in_channels, 1, bias=False)
        self.convolution = nn.Conv2d(in_channels, out_channels, kernel_size)
        curves, silu = basis.mean_squares()
        fan_in = in_channels * kernel_size**2
        nn.init.normal_(self.down.weight, std=math.sqrt(1 / in_channels))
        nn.init.normal_(self.up.weight, std=math.sqrt(silu / (inner * curves)))
        nn.init.normal_(self.convolution.weight, std=math.sqrt(0.5 / (fan_in * silu)))
        nn.init.zeros_(self.convolution.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of the activations (N, out_channels, H, W)."""
        curves = self.basis.curves(self.normalization(self.down(x)))  # (N, inner G, H, W)
        x = functional.silu(x).add_(self.up(curves))  # (N, in_channels, H, W)
        if self.padding[0]:
            check_reflection(x, self.padding[0])
            x = functional.pad(x, self.padding, mode="reflect")  # (N, in_channels, H + k - 1, W + k - 1)
        return self.convolution(x)  # (N, out_channels, H, W)


@register_block("kan_convolution")
class KANConv(nn.Module):
    """A Kolmogorov-Arnold convolution, padded by reflection.

    Far from its grid (beyond 2, in standard deviations of the training input) only SiLU is left: the answer grows in
    proportion to the input upwards, and goes to a constant downwards. It cannot blow up.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size : int
        Side of the kernel [pixels], odd.
    form : {"full", "bottleneck"}
        Curves on all channels (5 times the time and the parameters of an ordinary convolution), or on a quarter of
        them in front of an ordinary convolution (less than 1.8 times).
    basis : {"radial", "spline"}
        Gaussians, or cubic B-splines (which are slower and have 3 functions more).
    grid_size : int
        Gaussians, or intervals of the splines, between -2 and 2.
    normalize : bool
        Normalise the input in front of the curves; without it, what is beyond 4 meets no Gaussian.
    reduction : int
        How many times fewer channels the bottleneck has.

    Examples
    --------
    >>> layer = KANConv(32, 32)
    >>> sum(p.numel() for p in layer.parameters())  # 32 32 9 (4 + 1) + 32
    46112
    >>> layer(torch.zeros(2, 32, 8, 8)).shape
    torch.Size([2, 32, 8, 8])
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        kernel_size: int = 3,
        form: str = "full",
        basis: str = "radial",
        grid_size: int = 4,
        normalize: bool = True,
        reduction: int = 4,
    ) -> None:
        super().__init__()
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels),
                            ("kernel_size", kernel_size), ("reduction", reduction)):  # fmt: skip
            if value < 1:
                raise ValueError(f"{name}: expected a whole number of at least 1, got {value}")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: expected an odd number, got {kernel_size}; 1 or 3 is usual")
        if form not in FORMS:
            raise ValueError(f"form: unknown name {form!r}: {did_you_mean(form, FORMS)}")
        self.in_channels = in_channels
        self.receptive_margin = kernel_size // 2
        functions = Basis(basis, grid_size)
        if form == "full":
            self.layer: nn.Module = FullKAN(in_channels, out_channels, kernel_size, functions, normalize)
        else:
            self.layer = BottleneckKAN(
                in_channels, out_channels, kernel_size, functions, normalize, reduction
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the sums of the curves."""
        check_channels("kan_convolution", x, self.in_channels)
        return self.layer(x)  # (N, out_channels, H, W)


def initialise(convolution: nn.Conv2d, basis: Basis, in_channels: int) -> None:
    """Start with curves whose sum has variance 1 for a normal input: half from the basis, half from SiLU."""
    curves, silu = basis.mean_squares()
    fan_in = in_channels * convolution.kernel_size[0] * convolution.kernel_size[1]
    scale = torch.full((basis.functions, 1, 1, 1), math.sqrt(0.5 / (fan_in * curves)))
    scale[-1] = math.sqrt(0.5 / (fan_in * silu))
    with torch.no_grad():
        weight = convolution.weight
        grouped = weight.view(len(weight), basis.functions, in_channels, *weight.shape[2:])
        grouped.normal_().mul_(scale)  # (out_channels, functions, in_channels, k, k)
        convolution.bias.zero_()
