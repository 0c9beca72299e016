"""What a patch of sky looks like, in a few numbers: level, spread, and wavelet statistics over its scales."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from polaris_lab.estimators.smoothing import smooth_valid

FAINTEST = 1e-4
"""Amplitude of a wavelet [dex] below which there is nothing: a uniform patch has it."""


def band_count(window: int) -> int:
    """Return the number of wavelet scales in a patch: 1, 2, 4 ... pixels, up to a quarter of it, three at least."""
    return max(3, round(math.log2(window)) - 1)


def feature_names(bands: int) -> tuple[str, ...]:
    """Return the names of the features, in the order of :func:`window_features`.

    Examples
    --------
    >>> len(feature_names(4))
    13
    """
    scales = [2**band for band in range(bands)]
    return (
        "mean",
        "spread",
        *(f"amplitude {scale} px" for scale in scales),
        *(f"sparsity {scale} px" for scale in scales),
        *(f"clustering {fine} in {coarse} px" for fine, coarse in itertools.pairwise(scales)),
    )


def window_features(log_column: np.ndarray, bands: int) -> np.ndarray:
    """Describe a patch of log10 N.

    The wavelets are differences of Gaussians of 1, 2, 4 ... pixels. Of each: the mean of its modulus (amplitude), how
    unevenly the modulus is spread (sparsity: the squared mean over the mean square), and how strongly the next
    wavelet sees that modulus (clustering): a two-layer scattering transform without directions. They do not change
    when the patch is turned or mirrored, and, but for the mean, when N is multiplied by a constant.

    Parameters
    ----------
    log_column : ndarray, shape (ny, nx)
        log10 N_H, NaN where blank; at least one pixel is valid.
    bands : int
        Wavelet scales.

    Returns
    -------
    ndarray, shape (features,)
        Mean and spread [dex], then log10 of the statistics above.

    References
    ----------
    In the spirit of Mallat (2012), Comm. Pure Appl. Math. 65, 1331; the choice of statistics is ours.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(32, 32))
    >>> features = window_features(21 + noise, 3)
    >>> bool(features[2] > features[3] > features[4])  # white noise: the finest wavelet is the strongest
    True
    """
    valid = np.isfinite(log_column)
    centred = log_column - log_column[valid].mean()
    smoothed = [centred, *(smooth_valid(centred, 2.0**band) for band in range(bands))]
    wavelets = [np.abs(fine - coarse) for fine, coarse in itertools.pairwise(smoothed)]
    amplitude = np.array([max(wave[valid].mean(), FAINTEST) for wave in wavelets])
    square = np.array([max((wave[valid] ** 2).mean(), FAINTEST**2) for wave in wavelets])
    clustering = [
        max(np.abs(_wavelet(wave, band + 1))[valid].mean(), FAINTEST * size) / size
        for band, (wave, size) in enumerate(zip(wavelets[:-1], amplitude[:-1], strict=True))
    ]
    return np.concatenate(
        [
            [log_column[valid].mean(), log_column[valid].std()],
            np.log10(amplitude),
            np.log10(amplitude**2 / square),
            np.log10(clustering),
        ]
    )


def _wavelet(image: np.ndarray, band: int) -> np.ndarray:
    return smooth_valid(image, 2.0 ** (band - 1)) - smooth_valid(image, 2.0**band)


def describe_windows(
    log_column: np.ndarray, corners: Sequence[tuple[int, int]], window: int, bands: int
) -> np.ndarray:
    """Return the features of square windows of a map, given their first pixels, (windows, features)."""
    return np.array([window_features(log_column[y : y + window, x : x + window], bands) for y, x in corners])
