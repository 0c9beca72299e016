"""All estimators by name, with one signature: how tables, datasets and predictions ask for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from astropy import units as u
from numpy.typing import ArrayLike

from polaris_lab.clouds.projection import column_density as projected
from polaris_lab.clouds.simulation import SimulationCube
from polaris_lab.config import did_you_mean
from polaris_lab.estimators.aviator import Aviator
from polaris_lab.estimators.broken_power_law import fit_broken_power_law
from polaris_lab.estimators.constrained_diffusion import ConstrainedDiffusion, ConstrainedDiffusion3D
from polaris_lab.estimators.inverse_modelling import InverseModelling
from polaris_lab.estimators.maps import Estimator
from polaris_lab.estimators.multi_scale import fit_multi_scale
from polaris_lab.estimators.names import WITHOUT_TARGET
from polaris_lab.estimators.power_law import fit_power_law
from polaris_lab.estimators.thickness import fit_thickness
from polaris_lab.estimators.turbulent_gravitational import fit_turbulent_gravitational
from polaris_lab.units import positive

Fit = Callable[[ArrayLike, ArrayLike | None, float], Any]


def _fitted(fit: Callable[..., Any], **choices: Any) -> Fit:
    """Return a fit that needs the target but not the size of the pixels."""
    return lambda column_density, target, pixel_size_pc: fit(column_density, target, **choices)


def _fixed(kind: Callable[[], Any]) -> Fit:
    """Return a fit of an estimator that has no constants."""
    return lambda column_density, target, pixel_size_pc: kind()


def _scaled(degree: int) -> Fit:
    return lambda column_density, target, pixel_size_pc: fit_multi_scale(
        column_density, target, pixel_size_pc=pixel_size_pc, degree=degree
    )


ESTIMATORS: dict[str, Fit] = {
    "thickness": _fitted(fit_thickness),
    "power_law": _fitted(fit_power_law),
    "power_law_2": _fitted(fit_broken_power_law, components=2),
    "power_law_3": _fitted(fit_broken_power_law, components=3),
    "multi_scale": _scaled(2),
    "multi_scale_8": _scaled(1),
    "constrained_diffusion": _fixed(ConstrainedDiffusion),
    "constrained_diffusion_3d": _fixed(ConstrainedDiffusion3D),
    "aviator": _fixed(Aviator),
    "aviator_background": _fixed(lambda: Aviator(background=True)),
    "turbulent_gravitational": _fitted(fit_turbulent_gravitational),
    "inverse_modelling": _fixed(InverseModelling),
}
"""Every estimator: a function of column densities, target densities and the size of a pixel that returns it fitted."""


def fit_estimator(
    name: str, column_density: ArrayLike, target: ArrayLike | None = None, *, pixel_size_pc: float
) -> Estimator:
    """Return an estimator fitted to pairs of maps.

    Parameters
    ----------
    name : str
        A key of :data:`ESTIMATORS`.
    column_density : array_like, shape (ny, nx) or (n, ny, nx)
        N_H [cm^-2]; NaN where blank.
    target : array_like, optional
        Density [cm^-3], same shape. Estimators without constants (:data:`WITHOUT_TARGET`) ignore it.
    pixel_size_pc : float
        Side of a pixel [pc].

    Returns
    -------
    Estimator
        ``estimate(column_density, pixel_size_pc=...)`` gives the density [cm^-3]; ``to_dict()`` its constants.

    Raises
    ------
    ValueError
        If the name is unknown, the target is missing where it is needed, or the maps are not what they claim to be.

    Examples
    --------
    >>> import numpy as np
    >>> column_density = 1e21 * np.random.default_rng(0).lognormal(size=(4, 16, 16))
    >>> estimate = fit_estimator("thickness", column_density, column_density / 3.0857e18, pixel_size_pc=0.1)
    >>> estimate(column_density, pixel_size_pc=0.1).shape
    (4, 16, 16)
    """
    if name not in ESTIMATORS:
        raise ValueError(f"estimator: unknown name {name!r}: {did_you_mean(name, list(ESTIMATORS))}")
    if target is None and name not in WITHOUT_TARGET:
        raise ValueError(
            f"{name}: expected densities [cm^-3] to fit its constants to, got none; without a target use one of "
            f"{', '.join(WITHOUT_TARGET)}"
        )
    return ESTIMATORS[name](column_density, target, pixel_size_pc)


def estimate_density(
    source: ArrayLike | SimulationCube,
    method: str | Estimator = "constrained_diffusion",
    *,
    pixel_size: u.Quantity | None = None,
    axis: str = "z",
) -> np.ndarray:
    """Estimate the density behind a map, or behind what a cube casts on the sky, in one call.

    Parameters
    ----------
    source : array_like, shape (ny, nx) or (n, ny, nx), or SimulationCube
        N_H [cm^-2], NaN where blank; or a cube, which is projected.
    method : str or Estimator
        A name of :data:`WITHOUT_TARGET`, or an estimator that :func:`fit_estimator` fitted.
    pixel_size : Quantity
        Side of a pixel, a length. A cube brings its own.
    axis : {"z", "y", "x"}
        Line of sight through a cube.

    Returns
    -------
    ndarray
        Density [cm^-3], the shape of the map.

    Raises
    ------
    TypeError
        If `pixel_size` is missing or a bare number.
    ValueError
        If it is given with a cube, the name is unknown or needs a fit, or the map is not what it claims to be.

    Examples
    --------
    >>> from polaris_lab.clouds import synthetic_cloud
    >>> estimate_density(synthetic_cloud(16, kind="fbm"), "aviator").shape
    (16, 16)
    """
    if isinstance(source, SimulationCube):
        if pixel_size is not None:
            raise ValueError(
                f"pixel_size: expected nothing with a cube, whose cells are {source.cell_size_pc:g} pc, got {pixel_size}"
            )
        columns, pixel = projected(source, axis=axis), source.cell_size_pc
    elif pixel_size is None:
        raise TypeError(
            "pixel_size: expected the side of a pixel, got nothing; write for example pixel_size=0.05 * u.pc (the "
            "angle in radians times the distance)"
        )
    else:
        columns, pixel = source, positive(pixel_size, u.pc, "pixel_size")
    estimator = fit_estimator(method, columns, pixel_size_pc=pixel) if isinstance(method, str) else method
    return estimator(columns, pixel_size_pc=pixel)
