"""Invertible maps of a few numbers, whose shape depends on a condition: what a conditional invertible network is made of.

All take values (..., D) and parameters of the same leading shape, and return the mapped values with the logarithm of
the absolute determinant of their Jacobian (...).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

SMALLEST_BIN = 0.1
"""Width and height of a spline's bin are at least this, in units of those of bins of equal size."""

SMALLEST_SLOPE = 0.05
"""Slope of a spline at a knot is at least this: less, and float32 could not invert it."""

LARGEST_LOG_SCALE = 3.0
"""The logarithm of the factor of an affine coupling stays within this."""


def affine(x: Tensor, parameters: Tensor, *, inverse: bool = False) -> tuple[Tensor, Tensor]:
    """Map x -> x exp(s) + t, or back.

    Parameters
    ----------
    x : Tensor, shape (..., D)
    parameters : Tensor, shape (..., D, 2)
        s, kept within 3 smoothly, and t.

    Examples
    --------
    >>> x, parameters = torch.tensor([[1.5]]), torch.tensor([[[0.3, -2.0]]])
    >>> y, logarithm = affine(x, parameters)
    >>> back, _ = affine(y, parameters, inverse=True)
    >>> bool(torch.allclose(back, x))
    True
    """
    shift = parameters[..., 1]  # (..., D)
    log_scale = LARGEST_LOG_SCALE * torch.tanh(parameters[..., 0] / LARGEST_LOG_SCALE)  # (..., D)
    if inverse:
        return (x - shift) * torch.exp(-log_scale), -log_scale.sum(dim=-1)
    return x * torch.exp(log_scale) + shift, log_scale.sum(dim=-1)


def spline(
    x: Tensor, parameters: Tensor, *, bound: float = 5.0, inverse: bool = False
) -> tuple[Tensor, Tensor]:
    """Map x by an increasing rational-quadratic spline on -bound..bound, and as it is outside; or back.

    Parameters
    ----------
    x : Tensor, shape (..., D)
    parameters : Tensor, shape (..., D, 3 K - 1)
        K widths and K heights of bins (softmax), and K - 1 slopes at the knots between (softplus); zeros give the
        identity.

    References
    ----------
    Durkan et al. 2019 (arXiv 1906.04032), eqs. 4-8 and appendix A.

    Examples
    --------
    >>> x = torch.linspace(-7, 7, 5)[:, None]
    >>> y, logarithm = spline(x, torch.zeros(5, 1, 11))
    >>> bool(torch.allclose(y, x, atol=1e-5)), bool(logarithm.abs().max() < 1e-5)
    (True, True)
    """
    bins = (parameters.shape[-1] + 1) // 3
    widths, left = _knots(parameters[..., :bins], bound)  # (..., D, K), (..., D, K + 1)
    heights, bottom = _knots(parameters[..., bins : 2 * bins], bound)
    rise = math.log(math.expm1(1 - SMALLEST_SLOPE))  # so that 0 gives the slope 1
    slopes = SMALLEST_SLOPE + functional.softplus(parameters[..., 2 * bins :] + rise)  # (..., D, K - 1)
    slopes = functional.pad(slopes, (1, 1), value=1.0)  # (..., D, K + 1)
    inside = (x > -bound) & (x < bound)  # (..., D)
    known = torch.where(inside, x, 0.0)
    edges = bottom if inverse else left
    index = (known[..., None] >= edges[..., 1:-1]).sum(dim=-1, keepdim=True)  # (..., D, 1)

    def pick(values: Tensor, shift: int = 0) -> Tensor:
        return values.gather(-1, index + shift)[..., 0]  # (..., D)

    width, height, start, base = pick(widths), pick(heights), pick(left), pick(bottom)
    first, second = pick(slopes), pick(slopes, 1)
    share, slope = height / width, first + second - 2 * height / width  # (..., D)
    if inverse:
        above = known - base
        a = height * (share - first) + above * slope
        b = height * first - above * slope
        c = -share * above
        root = (b * b - 4 * a * c).clamp(min=0).sqrt()
        part = (2 * c / (-b - root)).clamp(0, 1)  # (..., D)
        mapped = start + part * width
    else:
        part = ((known - start) / width).clamp(0, 1)  # (..., D)
        mapped = base + height * (share * part * part + first * part * (1 - part)) / (
            share + slope * part * (1 - part)
        )
    below = share + slope * part * (1 - part)
    steepness = (
        share * share * (second * part * part + 2 * share * part * (1 - part) + first * (1 - part) ** 2)
    )
    logarithm = torch.where(inside, steepness.log() - 2 * below.log(), 0.0).sum(dim=-1)  # (...)
    return torch.where(inside, mapped, x), -logarithm if inverse else logarithm


def _knots(raw: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """Return the sizes of bins that fill -bound..bound, and their edges."""
    bins = raw.shape[-1]
    sizes = (
        2 * bound * (SMALLEST_BIN / bins + (1 - SMALLEST_BIN) * functional.softmax(raw, dim=-1))
    )  # (..., K)
    edges = functional.pad(sizes.cumsum(dim=-1), (1, 0)) - bound  # (..., K + 1)
    return sizes, edges


class Coupling(nn.Module):
    """One step: some of the numbers are mapped, by a curve whose parameters the others and the condition give.

    Parameters
    ----------
    size : int
        D.
    features : int
        Numbers of the condition.
    width : int
        Of the hidden layer.
    kind : {"spline", "affine"}
    bins : int
        Of the spline.
    flip : bool
        Which half is mapped. A single number is always mapped, by the condition alone.

    Examples
    --------
    >>> step = Coupling(2, 3, 8, "spline", 6, flip=False)
    >>> x, condition = torch.randn(4, 2), torch.randn(4, 3)
    >>> y, logarithm = step(x, condition)
    >>> bool(torch.allclose(step(y, condition, inverse=True)[0], x, atol=1e-5))
    True
    """

    def __init__(self, size: int, features: int, width: int, kind: str, bins: int, *, flip: bool) -> None:
        super().__init__()
        cut = size - size // 2 if flip and size > 1 else size // 2
        first, second = list(range(cut)), list(range(cut, size))
        self.given, self.mapped = (second, first) if flip and size > 1 else (first, second)
        self.kind = kind
        self.numbers = 2 if kind == "affine" else 3 * bins - 1
        self.layers = nn.Sequential(
            nn.Linear(len(self.given) + features, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, len(self.mapped) * self.numbers),
        )
        with torch.no_grad():  # nearly the identity at first
            self.layers[-1].weight.mul_(0.1)
            self.layers[-1].bias.zero_()

    def forward(self, x: Tensor, condition: Tensor, *, inverse: bool = False) -> tuple[Tensor, Tensor]:
        """Return the mapped values (..., D) and the log determinant (...)."""
        parameters = self.layers(torch.cat([x[..., self.given], condition], dim=-1))
        parameters = parameters.unflatten(-1, (len(self.mapped), self.numbers))  # (..., mapped, numbers)
        curve = affine if self.kind == "affine" else spline
        part, logarithm = curve(x[..., self.mapped], parameters, inverse=inverse)
        out = x.clone()
        out[..., self.mapped] = part.to(x.dtype)
        return out, logarithm
