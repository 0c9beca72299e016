"""Constrained diffusion: a map taken apart into structures of growing size, and the density from their sizes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erf

from polaris_lab.estimators.maps import Stored, checked_pixel, each_map
from polaris_lab.estimators.smoothing import fill_smoothly, heat_kernel, smooth_into
from polaris_lab.units import PARSEC

RATIO = math.sqrt(2.0)
"""Ratio of neighbouring scales."""

STEP = 0.03
"""Largest step in time over the time itself."""

FIRST_STEPS = 8
"""Steps in which the first scale, one pixel, is reached from nothing."""

FWHM = math.sqrt(8.0 * math.log(2.0))
"""Full width at half maximum of a Gaussian over its dispersion."""

THICKNESS = 2.0 * math.sqrt(math.pi) / FWHM
"""Mass-weighted thickness N/<n>_M of a Gaussian line of sight over its full width at half maximum: 1.505."""


class Decomposition(NamedTuple):
    """A map as a sum of positive maps, one for each scale, and what is larger than all of them."""

    scales_px: np.ndarray
    """l_m [pixels], (m,), ascending; the last belongs to the residual."""
    components: np.ndarray
    """I_m, (m, ny, nx), the last the residual; their sum is the map."""


def scales(shape: tuple[int, int], ratio: float = RATIO) -> np.ndarray:
    """Return the scales of a map [pixels]: 1, ratio, ratio^2 ... up to half its longer side, and one for the residual.

    Examples
    --------
    >>> scales((16, 8)).round(2)
    array([ 1.  ,  1.41,  2.  ,  2.83,  4.  ,  5.66,  8.  , 11.31])
    """
    count = math.floor(math.log(max(shape) / 2) / math.log(ratio) + 1e-9) + 1
    return ratio ** np.arange(count + 1)


def decompose(column_density: ArrayLike, *, ratio: float = RATIO, step: float = STEP) -> Decomposition:
    """Take a map apart by diffusion that only lets peaks decay.

    dI/dt = laplacian(I) where that is negative, 0 elsewhere; what decays until t = l_m^2 / 2, and not before, is the
    component of scale l_m. Beyond the edges the map goes on as its mirror image; blanks are filled smoothly for the
    diffusion and are blank in every component.

    Parameters
    ----------
    column_density : array_like, shape (ny, nx)
        Positive; NaN where blank.
    ratio : float
        Of neighbouring scales, above 1: sqrt(2) as for the volume density, 2 in the original.
    step : float
        Largest step in time over the time.

    Returns
    -------
    Decomposition
        Every component is positive or zero; their sum is the map to rounding.

    References
    ----------
    Li (2022), ApJS 259, 59 (arXiv 2201.05484), for the equation and its step in time. Mirrored edges, the filling of
    blanks, the diffusion kernel of the grid and the first steps are ours.

    Examples
    --------
    >>> parts = decompose(1e21 * np.random.default_rng(0).lognormal(size=(16, 16)))
    >>> parts.components.shape, bool(parts.components.min() >= 0)
    ((8, 16, 16), True)
    """
    _check_choices(ratio, step)
    parts: list[np.ndarray] = []

    def keep(image: np.ndarray) -> np.ndarray:
        parts.extend(component for _, component in _components(image, ratio, step))
        return image

    if np.ndim(column_density) != 2:
        raise ValueError(f"decompose: expected one map (ny, nx), got shape {np.shape(column_density)}")
    each_map(column_density, keep, "decompose")
    blank = np.isnan(np.asarray(column_density))
    components = np.stack(parts)
    components[:, blank] = np.nan
    return Decomposition(scales(blank.shape, ratio), components)


def _components(image: np.ndarray, ratio: float, step: float) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (scale in pixels, component) of a map, the residual last."""
    rest = fill_smoothly(image)
    unit = rest.max()
    rest /= unit  # numbers near 1, whatever the unit
    smoothed = np.empty_like(rest)
    lengths = scales(image.shape, ratio)
    before = 0.0
    for length in lengths[:-1]:
        component = np.zeros_like(rest)
        for variance in _variances(before, length**2 / 2, step):
            smooth_into(rest, heat_kernel(variance), smoothed)
            _decay(rest, smoothed, component)
        before = length**2 / 2
        yield length, component * unit
    yield lengths[-1], rest * unit


def _variances(start: float, stop: float, step: float) -> np.ndarray:
    """Variances 2 dt of the steps from one time to the next [pixels^2]."""
    if start == 0:
        return np.full(FIRST_STEPS, 2 * stop / FIRST_STEPS)
    count = math.ceil(math.log(stop / start) / math.log1p(step))
    return 2 * np.diff(start * (stop / start) ** (np.arange(count + 1) / count))


@numba.njit(nogil=True, cache=True)
def _decay(rest, smoothed, component):  # pragma: no cover - compiled
    """Move what the peaks lose in one step from the rest into the component."""
    flat_rest, flat_smoothed, flat_component = rest.ravel(), smoothed.ravel(), component.ravel()
    for i in range(flat_rest.size):
        lost = max(flat_rest[i] - flat_smoothed[i], 0.0)
        flat_rest[i] -= lost
        flat_component[i] += lost


@dataclasses.dataclass(frozen=True)
class ConstrainedDiffusion(Stored):
    """n = N / l, with l from the column-weighted mean of the logarithm of the scales that make up each pixel.

    Each component is taken for a Gaussian along the line of sight whose full width at half maximum is its scale;
    the thickness of such a line of sight is 2 sqrt(pi) times its dispersion, 1.505 times its width. Both scale
    symmetries hold exactly: n goes with N, and with 1 over the size of a pixel. No constants to fit.

    Parameters
    ----------
    ratio : float
        Of neighbouring scales.
    step : float
        Largest step in time over the time.

    Notes
    -----
    The scale of the residual, one step beyond the largest, is ours: the thickness then never exceeds about the
    longer side of the map, and no valley gets an infinite density.

    References
    ----------
    Li & Zhao (2025), arXiv 2509.17369 (volume density mapper, 2D); Zhao et al. (2025), arXiv 2508.01130.

    Examples
    --------
    >>> density = ConstrainedDiffusion()(np.full((16, 16), 1e21), pixel_size_pc=0.1)  # all of it residual
    >>> print(f"{1e21 / density[0, 0] / PARSEC:.2f} pc")
    1.70 pc
    """

    ratio: float = RATIO
    step: float = STEP

    def __post_init__(self) -> None:
        _check_choices(self.ratio, self.step)

    def __call__(self, column_density: ArrayLike, *, pixel_size_pc: float) -> np.ndarray:
        """Return the density [cm^-3] behind a map (ny, nx) or stack (n, ny, nx) of N_H [cm^-2]; NaN where blank."""
        pixel = checked_pixel(pixel_size_pc, "constrained_diffusion") * PARSEC

        def estimate(image: np.ndarray) -> np.ndarray:
            total, weighted = 0.0, 0.0
            for length, component in _components(image, self.ratio, self.step):
                total = total + component
                weighted = weighted + component * math.log(length)
            return image / (THICKNESS * pixel * np.exp(weighted / total))

        return each_map(column_density, estimate, "constrained_diffusion")


@dataclasses.dataclass(frozen=True)
class ConstrainedDiffusion3D(Stored):
    """Each component spread along the line of sight as a Gaussian of its scale, and <n>_M of the sum.

    n(x, y, z) = sum_m I_m(x, y) g(z; l_m / sqrt(2 ln 2)), all centred on one plane: the cube knows no positions
    along the line of sight. Its column is the map to rounding. The box is as deep as the map is long.

    Parameters
    ----------
    ratio : float
        Of neighbouring scales.
    step : float
        Largest step in time over the time.

    Notes
    -----
    The dispersions are the published ones for the cube, twice those of the 2D estimate. Ours: the residual is kept
    (as one more scale), each Gaussian is integrated over the cells and has the sum 1 in the box, whatever the depth.

    References
    ----------
    Li & Zhao (2025), arXiv 2509.17369.

    Examples
    --------
    >>> estimate = ConstrainedDiffusion3D()
    >>> column_density = 1e21 * np.random.default_rng(0).lognormal(size=(16, 16))
    >>> cube = estimate.cube(column_density, pixel_size_pc=0.1)  # (z, y, x)
    >>> bool(np.allclose(cube.sum(axis=0) * 0.1 * PARSEC, column_density, rtol=1e-12))
    True
    """

    ratio: float = RATIO
    step: float = STEP

    def __post_init__(self) -> None:
        _check_choices(self.ratio, self.step)

    def __call__(self, column_density: ArrayLike, *, pixel_size_pc: float) -> np.ndarray:
        """Return <n>_M [cm^-3] behind a map (ny, nx) or stack (n, ny, nx) of N_H [cm^-2]; NaN where blank."""
        pixel = checked_pixel(pixel_size_pc, "constrained_diffusion_3d") * PARSEC

        def estimate(image: np.ndarray) -> np.ndarray:
            profiles = self._profiles(image.shape, max(image.shape))  # (m, z)
            overlap = profiles @ profiles.T  # (m, m)
            parts = np.stack([part for _, part in _components(image, self.ratio, self.step)])  # (m, y, x)
            squares = np.einsum("myx,myx->yx", np.tensordot(overlap, parts, axes=1), parts)
            return squares / (parts.sum(axis=0) * pixel)

        return each_map(column_density, estimate, "constrained_diffusion_3d")

    def cube(
        self, column_density: ArrayLike, *, pixel_size_pc: float, depth: int | None = None
    ) -> np.ndarray:
        """Return the density cube behind one map.

        Parameters
        ----------
        column_density : array_like, shape (ny, nx)
            N_H [cm^-2]; NaN where blank.
        pixel_size_pc : float
            Side of a pixel and of a cell [pc].
        depth : int, optional
            Cells along the line of sight, by default as many as the longer side has pixels.

        Returns
        -------
        ndarray, shape (depth, ny, nx)
            n_H [cm^-3]; NaN where blank.
        """
        pixel = checked_pixel(pixel_size_pc, "constrained_diffusion_3d") * PARSEC
        parts = decompose(column_density, ratio=self.ratio, step=self.step).components  # (m, y, x)
        if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth < 1):
            raise ValueError(f"depth: expected a number of cells from 1, got {depth!r}")
        profiles = self._profiles(parts.shape[1:], depth or max(parts.shape[1:]))
        return np.tensordot(profiles.T, parts, axes=1) / pixel  # (z, y, x)

    def _profiles(self, shape: tuple[int, int], depth: int) -> np.ndarray:
        """Return the share of each component in each cell of the line of sight, (m, z); each row sums to 1."""
        dispersion = scales(shape, self.ratio) / math.sqrt(2.0 * math.log(2.0))
        edges = np.arange(depth + 1) - depth / 2
        mass = np.diff(erf(edges / (math.sqrt(2.0) * dispersion[:, None])), axis=1)
        return mass / mass.sum(axis=1, keepdims=True)


def _check_choices(ratio: float, step: float) -> None:
    if not 1.05 <= ratio <= 4.0:
        raise ValueError(f"ratio: expected a number from 1.05 to 4, got {ratio!r}; sqrt(2) is usual")
    if not 0.001 <= step <= 0.5:
        raise ValueError(f"step: expected a number from 0.001 to 0.5, got {step!r}; 0.03 is usual")
