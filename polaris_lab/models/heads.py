"""What the answer of a network means: a value, a Gaussian, or quantiles, all in log10 of the target.

A network's raw answer is a tensor (N, C, H, W). The head of its last block says how to read it. A block without
a head gives a value (:class:`PointHead`).
"""

from __future__ import annotations

import abc
import dataclasses
import math

import torch
from torch import Tensor

LEVELS = (0.025, 0.16, 0.5, 0.84, 0.975)
"""Quantiles that a network predicts unless told otherwise: the median, and the ends of the 68 % and 95 % intervals."""


class Head(abc.ABC):
    """How to read a raw answer (N, C, H, W). All results are log10 of the target, (N, 1, H, W)."""

    kind: str
    """Its name in blueprints and losses."""

    @property
    @abc.abstractmethod
    def channels(self) -> int:
        """Channels C of the raw answer."""

    @abc.abstractmethod
    def point(self, raw: Tensor) -> Tensor:
        """Return the value to report."""

    @abc.abstractmethod
    def sigma(self, raw: Tensor) -> Tensor | None:
        """Return the standard deviation [dex], None where the answer says nothing of it."""

    @abc.abstractmethod
    def quantile(self, raw: Tensor, level: float | Tensor) -> Tensor:
        """Return the quantile at a level between 0 and 1 (a number, or one for each pixel).

        Raises
        ------
        ValueError
            If the answer is a value only, or a level lies outside.
        """

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw from the distribution of each pixel on its own (neighbours are not correlated)."""
        level = torch.rand(
            raw[:, :1].shape, generator=generator, device=raw.device, dtype=torch.float64
        )  # (N, 1, H, W)
        return self.quantile(raw, level.clamp(1e-12, 1 - 1e-12)).to(raw.dtype)


@dataclasses.dataclass(frozen=True)
class PointHead(Head):
    """A value and nothing of its error.

    Examples
    --------
    >>> PointHead().point(torch.full((1, 1, 2, 2), 3.0)).shape
    torch.Size([1, 1, 2, 2])
    """

    kind = "point"

    @property
    def channels(self) -> int:
        """Return 1."""
        return 1

    def point(self, raw: Tensor) -> Tensor:
        """Return the answer itself."""
        return raw

    def sigma(self, raw: Tensor) -> None:
        """Return None: a value has no spread."""

    def quantile(self, raw: Tensor, level: float | Tensor) -> Tensor:
        """Refuse: a value has no quantiles."""
        raise ValueError(
            "quantile: expected a network that answers with a distribution, got one that gives values only; build "
            'it with head="gaussian" or head="quantiles", or use the intervals from its validation residuals'
        )


@dataclasses.dataclass(frozen=True)
class GaussianHead(Head):
    """Channel 0 is the mean of log10, channel 1 the natural logarithm of its standard deviation in dex.

    Examples
    --------
    >>> raw = torch.tensor([3.0, math.log(0.2)]).reshape(1, 2, 1, 1)
    >>> round(float(GaussianHead().quantile(raw, 0.84)), 2)
    3.2
    """

    kind = "gaussian"

    @property
    def channels(self) -> int:
        """Return 2."""
        return 2

    def point(self, raw: Tensor) -> Tensor:
        """Return the mean, which is the median too."""
        return raw[:, :1]  # (N, 1, H, W)

    def sigma(self, raw: Tensor) -> Tensor:
        """Return the standard deviation [dex]."""
        return raw[:, 1:2].exp()  # (N, 1, H, W)

    def quantile(self, raw: Tensor, level: float | Tensor) -> Tensor:
        """Return mean + sigma z(level)."""
        return raw[:, :1] + self.sigma(raw) * _probit(level, raw).to(raw.dtype)  # (N, 1, H, W)


@dataclasses.dataclass(frozen=True)
class QuantileHead(Head):
    """One channel for each level, increasing.

    Between the levels, and beyond them, a quantile follows straight lines in the probit of the level: exact for a
    Gaussian.

    Attributes
    ----------
    levels : tuple of float
        Increasing, between 0 and 1, with 0.5 among them.
    """

    levels: tuple[float, ...] = LEVELS
    kind = "quantiles"

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(self.levels))
        increasing = all(a < b for a, b in zip(self.levels, self.levels[1:], strict=False))
        if len(self.levels) < 3 or not increasing or not self.levels[0] > 0 or not self.levels[-1] < 1:
            raise ValueError(
                f"levels: expected three or more increasing numbers between 0 and 1, got {self.levels}; {LEVELS} is usual"
            )
        if 0.5 not in self.levels:
            raise ValueError(f"levels: expected the median 0.5 among them, got {self.levels}")

    @property
    def channels(self) -> int:
        """Return the number of levels."""
        return len(self.levels)

    def point(self, raw: Tensor) -> Tensor:
        """Return the median."""
        middle = self.levels.index(0.5)
        return raw[:, middle : middle + 1]  # (N, 1, H, W)

    def sigma(self, raw: Tensor) -> Tensor:
        """Return half of the distance between the 16 % and 84 % quantiles [dex]."""
        return 0.5 * (self.quantile(raw, 0.84) - self.quantile(raw, 0.16))  # (N, 1, H, W)

    def quantile(self, raw: Tensor, level: float | Tensor) -> Tensor:
        """Return the quantile, interpolated between the levels."""
        wanted = _probit(level, raw)  # (N, 1, H, W)
        knots = _probit(torch.tensor(self.levels, device=raw.device), raw)  # (C,)
        upper = torch.bucketize(wanted, knots).clamp(1, self.channels - 1)  # (N, 1, H, W)
        upper = upper.expand(raw[:, :1].shape)
        low, high = raw.gather(1, upper - 1), raw.gather(1, upper)  # (N, 1, H, W)
        share = (wanted - knots[upper - 1]) / (knots[upper] - knots[upper - 1])  # (N, 1, H, W)
        return low + (high - low) * share.to(raw.dtype)  # (N, 1, H, W)


HEADS = {"point": PointHead, "gaussian": GaussianHead, "quantiles": QuantileHead}
"""Every head by the name that presets take."""


def _probit(level: float | Tensor, raw: Tensor) -> Tensor:
    """Return how many standard deviations of a Gaussian lie below a level, in float64."""
    level = torch.as_tensor(level, dtype=torch.float64, device=raw.device)
    if not bool(((level > 0) & (level < 1)).all()):
        raise ValueError(
            "level: expected numbers between 0 and 1 (0.16 for the lower end of 68 %), got one outside"
        )
    return math.sqrt(2) * torch.erfinv(2 * level - 1)
