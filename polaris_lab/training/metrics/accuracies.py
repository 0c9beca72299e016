"""Which share of the pixels is right: accuracy within a tolerance (eqs. 5 and 6), and its curve."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from polaris_lab.training.metrics.residuals import residual

TOLERANCES_DEX = (0.1, 0.2, 0.3, 0.5)
"""Tolerances of the accuracies that tables list [dex]."""


def accuracy(predicted: np.ndarray, target: np.ndarray, *, tolerance_dex: float = 0.2) -> float:
    """Fraction of pixels predicted within a tolerance, averaged over images.

    Parameters
    ----------
    predicted, target : array_like, shape (images, y, x) or (y, x)
        Densities [cm^-3].
    tolerance_dex : float
        A pixel counts if abs(log10(predicted / target)) is **below** it [dex].

    Returns
    -------
    float
        Mean over images of each image's fraction, 0 to 1: an image weighs the same however many of its
        pixels are NaN. Images without a valid pixel are left out.

    Raises
    ------
    ValueError
        As :func:`residual`, and if the tolerance is not positive.

    References
    ----------
    Report, eqs. 5 and 6.

    Examples
    --------
    >>> accuracy([[[10.0, 10.0]], [[10.0, 30.0]]], [[[10.0, 10.0]], [[10.0, 10.0]]], tolerance_dex=0.2)
    0.75
    """
    return float(image_accuracies(residual(predicted, target), [tolerance_dex]).mean())


@dataclasses.dataclass(frozen=True)
class AccuracyCurve:
    """Accuracy against tolerance, with its spread from image to image."""

    tolerance_dex: np.ndarray
    """Tolerances [dex], shape (tolerances,)."""
    mean: np.ndarray
    """Accuracy (eqs. 5-6) at each."""
    standard_deviation: np.ndarray
    """Scatter of the accuracy between images (0 for one image)."""
    q16: np.ndarray
    """16 % of the images are worse."""
    q84: np.ndarray
    """16 % of the images are better."""
    images: int
    """Number of images with a valid pixel."""

    @property
    def area(self) -> float:
        """Mean accuracy over the range of tolerances: 1 is perfect."""
        return float(
            np.trapezoid(self.mean, self.tolerance_dex) / (self.tolerance_dex[-1] - self.tolerance_dex[0])
        )


def accuracy_curve(
    predicted: np.ndarray, target: np.ndarray, *, tolerances_dex: Sequence[float] | None = None
) -> AccuracyCurve:
    """Accuracy at a range of tolerances.

    Parameters
    ----------
    predicted, target : array_like, shape (images, y, x) or (y, x)
        Densities [cm^-3].
    tolerances_dex : sequence of float, optional
        Increasing and positive [dex]; by default 0.02, 0.04 ... 1.

    Returns
    -------
    AccuracyCurve

    Examples
    --------
    >>> accuracy_curve([[10.0, 20.0]], [[10.0, 10.0]], tolerances_dex=[0.3, 0.31]).mean
    array([0.5, 1. ])
    """
    tolerances = np.linspace(0.02, 1, 50) if tolerances_dex is None else np.asarray(tolerances_dex, float)
    if tolerances.ndim != 1 or len(tolerances) < 2 or not (np.diff(tolerances) > 0).all():
        raise ValueError(f"tolerances_dex: expected two or more increasing numbers, got {tolerances_dex}")
    per_image = image_accuracies(residual(predicted, target), tolerances)  # (tolerances, images)
    q16, q84 = np.quantile(per_image, [0.16, 0.84], axis=1)
    return AccuracyCurve(
        tolerances, per_image.mean(axis=1), per_image.std(axis=1), q16, q84, per_image.shape[1]
    )


def image_accuracies(difference: np.ndarray, tolerances_dex: Sequence[float]) -> np.ndarray:
    """Return the accuracy of every image that has a valid pixel, shape (tolerances, images)."""
    for tolerance in tolerances_dex:
        if not tolerance > 0:
            raise ValueError(f"tolerance_dex: expected a positive number, got {tolerance}")
    magnitude = np.abs(difference).reshape(len(difference), -1)
    pixels = np.isfinite(magnitude).sum(axis=1)
    magnitude, pixels = magnitude[pixels > 0], pixels[pixels > 0]
    return np.stack([(magnitude < tolerance).sum(axis=1) / pixels for tolerance in tolerances_dex])
