"""Structures scale by scale: power spectra of the maps of log density."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from polaris_lab.training.pairs import log_pair


@dataclasses.dataclass(frozen=True)
class SpectrumComparison:
    """Power spectra of log10 n, predicted and true, in rings of spatial frequency; NaN where a ring is empty."""

    frequency: np.ndarray
    """Middle of each ring [waves per pixel], up to 0.5."""
    power_predicted: np.ndarray
    """Mean power of the prediction in each ring [dex^2, arbitrary norm]."""
    power_target: np.ndarray
    """Mean power of the truth, in the same norm."""
    coherence: np.ndarray
    """Cross power over the root of the product of the powers, -1 to 1: are the structures in their places?"""
    modes: np.ndarray
    """Modes in each ring, over all maps."""

    @property
    def ratio(self) -> np.ndarray:
        """Predicted over true power in each ring: below 1 the structures are smoothed away."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.power_predicted / self.power_target

    def mean_ratio(self, low: float, high: float) -> float:
        """Return the predicted over the true power of all modes with low < frequency < high [waves per pixel].

        The range from 1/8 to 1/2 is the "high k" of the tables.
        """
        chosen = (self.frequency > low) & (self.frequency < high) & (self.modes > 0)
        if not chosen.any():
            raise ValueError(f"low, high: expected a range with modes in it, got {low} to {high}")
        weight = self.modes[chosen]
        return float(
            (weight * self.power_predicted[chosen]).sum() / (weight * self.power_target[chosen]).sum()
        )


def compare_spectra(
    predicted: np.ndarray,
    target: np.ndarray,
    *,
    rings: int | None = None,
    window: Literal["hann", "none"] = "hann",
) -> SpectrumComparison:
    """Compare the power spectra of predicted and true log10 density.

    Parameters
    ----------
    predicted, target : array_like, shape (images, y, x) or (y, x)
        Densities [cm^-3]. A pixel that is NaN in either has no weight: both maps are taken at their mean there.
    rings : int, optional
        Rings of frequency from 0 to 0.5 waves per pixel; by default half the shorter side of the maps.
    window : {"hann", "none"}
        "hann" tapers maps that do not continue periodically; "none" for those that do.

    Returns
    -------
    SpectrumComparison
        Powers are summed over the images before they are divided.

    Raises
    ------
    ValueError
        As :func:`polaris_lab.training.metrics.residual`; if the window is unknown or there is no ring.

    Examples
    --------
    >>> maps = 10 ** np.random.default_rng(0).normal(3, 0.3, (2, 32, 32))
    >>> half = compare_spectra(np.sqrt(maps), maps)
    >>> print(half.mean_ratio(0, 0.5).__round__(6), half.coherence.round(6).min())
    0.25 1.0
    """
    if window not in ("hann", "none"):
        raise ValueError(f'window: expected "hann" or "none", got {window!r}')
    log_predicted, log_target = log_pair(predicted, target)
    height, width = log_predicted.shape[1:]
    rings = min(height, width) // 2 if rings is None else rings
    if isinstance(rings, bool) or not isinstance(rings, int | np.integer) or rings < 1:
        raise ValueError(f"rings: expected a whole number from 1 up, got {rings!r}")
    taper = np.ones((height, width))
    if window == "hann":
        taper = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    usable = np.isfinite(log_predicted).any(axis=(1, 2))
    a, b = (_modes(maps[usable], taper) for maps in (log_predicted, log_target))
    k = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    ring = np.floor(k * (2 * rings) - 1e-9).astype(int)
    ring[0, 0] = rings  # the mean is no structure
    inside = ring < rings

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(ring[inside], weights=values[inside], minlength=rings)

    modes = total(np.full(k.shape, float(usable.sum())))
    powers = [total((np.abs(part) ** 2).sum(axis=0)) for part in (a, b)]
    cross = total((a * b.conj()).real.sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return SpectrumComparison(
            frequency=(np.arange(rings) + 0.5) / (2 * rings),
            power_predicted=powers[0] / modes,
            power_target=powers[1] / modes,
            coherence=cross / np.sqrt(powers[0] * powers[1]),
            modes=modes.astype(np.int64),
        )


def _modes(maps: np.ndarray, taper: np.ndarray) -> np.ndarray:
    """Return the Fourier modes of maps less their means, tapered, with nothing where they are NaN."""
    valid = np.isfinite(maps)
    weight = valid * taper
    filled = np.where(valid, maps, 0.0)
    mean = (weight * filled).sum(axis=(1, 2)) / weight.sum(axis=(1, 2))
    return np.fft.fft2(weight * (filled - mean[:, None, None]))  # (images, y, x)
