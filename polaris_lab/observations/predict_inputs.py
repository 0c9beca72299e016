"""What networks are given of a map: its column density, the line beside it, and numbers that hold for all of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u

from polaris_lab.observations.blanks import fill_blanks
from polaris_lab.observations.maps import ARCSEC, Observation
from polaris_lab.observations.resample import Resampling
from polaris_lab.quantities import is_logarithmic, quantity, quantity_names
from polaris_lab.units import positive, to_unit

if TYPE_CHECKING:
    from polaris_lab.models import BlueprintModel

LEAST_REMAINING = 0.05
"""Share of the column density that must remain when a foreground is taken off: below, the pixel is blank."""

LINE_INPUTS = (
    "ppv_cube",
    "integrated_intensity",
    "centroid_velocity",
    "velocity_dispersion",
    "peak_temperature",
)
"""What a line cube beside the map gives."""

ESTIMATED = {"constrained_diffusion_density": "constrained_diffusion", "aviator_density": "aviator"}
"""Inputs that a classical estimator makes of the map."""

REMEDIES = {
    **dict.fromkeys(
        LINE_INPUTS,
        "put a line cube beside it: observation.with_line(cube, line), and pass what that returns",
    ),
    "depth": "say how deep the cloud is: predict_density(..., depth=1 * u.pc)",
    "beam_fwhm": "open the map with its beam: Observation.from_fits(..., beam=36 * u.arcsec)",
}
"""How a map comes to have an input."""


@dataclasses.dataclass(frozen=True, eq=False)
class MapInputs:
    """The inputs of networks on the grid of their model.

    Attributes
    ----------
    maps : dict of ndarray, shape (ny, nx) or (channels, ny, nx)
        In their own units, NaN where blank.
    required : tuple of str
        Those of `maps` that a network cannot do without: blank pixels of these are blank in the answer.
    scalars : dict of float
        As the networks see them: log10 of what is logarithmic.
    missing : tuple of str
        Optional inputs that the map does not have.
    """

    maps: Mapping[str, np.ndarray]
    required: tuple[str, ...]
    scalars: Mapping[str, float]
    missing: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.maps["column_density"].shape

    @property
    def channels(self) -> tuple[tuple[str, int], ...]:
        """Names of the maps and how many images each has."""
        return tuple((name, 1 if values.ndim == 2 else len(values)) for name, values in self.maps.items())

    def blank(self, rows: slice) -> np.ndarray:
        """Return which pixels of some rows lack what is required, bool."""
        blank = ~np.isfinite(self.maps["column_density"][rows])
        for name in self.required:
            values = self.maps[name][..., rows, :]
            blank |= ~(np.isfinite(values) if values.ndim == 2 else np.isfinite(values).all(axis=0))
        return blank

    def window(self, rows: slice) -> np.ndarray:
        """Return some rows as networks see them (C, h, w), float32: what is required is filled smoothly where blank."""
        images = []
        for name, values in self.maps.items():
            for image in values[..., rows, :].reshape(-1, *values[..., rows, :].shape[-2:]):
                with np.errstate(invalid="ignore", divide="ignore"):
                    seen = np.log10(image) if is_logarithmic(name) else image
                known = np.isfinite(seen)
                fill = name in self.required and not known.all() and known.any()
                images.append(
                    (fill_blanks(np.where(known, seen, np.nan)) if fill else seen).astype(np.float32)
                )
        return np.stack(images)  # (C, h, w)


def remaining_column(
    observation: Observation, foreground: u.Quantity | None
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the column density behind a foreground, which pixels it leaves nothing of, and notes.

    Parameters
    ----------
    observation : Observation
    foreground : Quantity, optional
        N_H [cm^-2] that does not belong to the cloud, one number or a map of the shape of the observation, 0 or more.

    Returns
    -------
    column_density : ndarray
        N_H [cm^-2], NaN where less than :data:`LEAST_REMAINING` of the column would remain.
    lost : ndarray of bool
        Where the map is observed, but the foreground leaves nothing.
    notes : list of str

    Raises
    ------
    TypeError
        If it has no unit.
    ValueError
        If it is negative or not finite, of another shape, or leaves nothing anywhere.
    """
    column = observation.column_density
    if foreground is None:
        return column, np.zeros((), bool), []
    if not isinstance(foreground, u.Quantity):
        raise TypeError(
            f"foreground: expected a column density of hydrogen nuclei with its unit, got {foreground!r}; write for "
            "example foreground=5e20 / u.cm**2"
        )
    to_unit(foreground.flat[0] if foreground.shape else foreground, u.cm**-2, "foreground")  # its unit is one
    taken = np.asarray(foreground.to_value(u.cm**-2))
    if taken.shape not in ((), column.shape):
        raise ValueError(
            f"foreground: expected one number or the shape of the map {column.shape}, got {taken.shape}"
        )
    if not (np.isfinite(taken).all() and (taken >= 0).all()):
        raise ValueError("foreground: expected N_H of 0 cm^-2 or more everywhere, got less or no number")
    left = column - taken.astype(column.dtype)
    with np.errstate(invalid="ignore"):
        lost = np.isfinite(column) & ~(left >= LEAST_REMAINING * column)
    if (lost | ~np.isfinite(column)).all():
        raise ValueError(
            f"foreground: expected less than the column density of the cloud, got N_H = {np.median(taken):.3g} cm^-2, "
            f"which leaves no pixel (the map reaches {np.nanmax(column):.3g}); is it N(H2)? N_H is twice that"
        )
    notes = [f"A foreground of N_H = {np.median(taken):.4g} cm-2 was taken off the map"]
    if lost.any():
        notes.append(
            f"{int(lost.sum())} pixels hold little more than the foreground (less than {LEAST_REMAINING:.0%} would "
            "remain) and are blank"
        )
    return np.where(lost, column.dtype.type(np.nan), left), lost, notes


def gather(
    models: Sequence[BlueprintModel],
    observation: Observation,
    column: np.ndarray,
    grid: Resampling | None,
    *,
    pixel_pc: float,
    scale: float,
    depth: u.Quantity | None = None,
) -> MapInputs:
    """Collect what networks take from a map.

    Parameters
    ----------
    models : sequence of BlueprintModel
    observation : Observation
    column : ndarray, shape (ny, nx)
        N_H [cm^-2] on the pixels of the observation.
    grid : Resampling, optional
        The grid of the model, if it is another.
    pixel_pc : float
        Pixel of the model [pc].
    scale : float
        The model's pixel over that of the grid: a network counts in pixels.
    depth : Quantity, optional
        Depth of the cloud along the line of sight, a length.

    Raises
    ------
    ValueError
        If a network needs an input that the map does not have: the error names it and the remedy. If the line cube
        has other channels than the network was trained on.
    """
    average = (lambda values: values) if grid is None else _averaged(grid)
    column = average(column)
    makers = _makers(observation, column, average, pixel_pc)
    numbers = _numbers(observation, depth, pixel_pc, scale)
    needed = {n for m in models for n in m.blueprint.inputs if n not in m.blueprint.optional_inputs}
    maps, scalars, missing = {"column_density": column}, {}, []
    for name in dict.fromkeys(n for m in models for n in m.blueprint.inputs if n != "column_density"):
        if name in numbers:
            scalars[name] = numbers[name]
        elif name in makers:
            maps[name] = makers[name]()
        elif name in needed:
            _refuse(name, observation)
        else:
            missing.append(name)
    if depth is not None and "depth" not in scalars:
        raise ValueError(
            "depth: expected a run whose network takes the depth of the cloud, got one that takes "
            f"{', '.join(models[0].blueprint.inputs)}; leave it out"
        )
    _check_channels(models, maps)
    required = ("column_density", *(name for name in maps if name in needed and name != "column_density"))
    return MapInputs(maps, required, scalars, tuple(missing))


def _averaged(grid: Resampling) -> Callable[[np.ndarray], np.ndarray]:
    """Return the average over the pixels of the model, of a map or of a stack of them."""

    def average(values: np.ndarray) -> np.ndarray:
        return grid.average(values) if values.ndim == 2 else np.stack([grid.average(v) for v in values])

    return average


def _makers(
    observation: Observation, column: np.ndarray, average: Callable[[np.ndarray], np.ndarray], pixel_pc: float
) -> dict[str, Callable[[], np.ndarray]]:
    """Return how each map beside the column density is made."""
    makers: dict[str, Callable[[], np.ndarray]] = {}
    if observation.line is not None:
        found: dict[str, np.ndarray] = {}

        def of_line(name: str) -> np.ndarray:
            if not found:
                found.update(observation.line.inputs())
            return average(found[name])

        makers |= {name: (lambda name=name: of_line(name)) for name in LINE_INPUTS}

    def estimated(method: str) -> np.ndarray:
        from polaris_lab.estimators import estimate_density

        return estimate_density(column, method, pixel_size=pixel_pc * u.pc)

    return makers | {name: (lambda method=method: estimated(method)) for name, method in ESTIMATED.items()}


def _numbers(
    observation: Observation, depth: u.Quantity | None, pixel_pc: float, scale: float
) -> dict[str, float]:
    """Return log10 of the lengths that are known [pc], as long as the network takes the map's pixels to be."""
    lengths = {"pixel_size": pixel_pc}
    if depth is not None:
        lengths["depth"] = positive(depth, u.pc, "depth") * scale
    if observation.beam_arcsec is not None:
        lengths["beam_fwhm"] = observation.beam_arcsec * ARCSEC * observation.distance_pc * scale
    return {name: math.log10(length) for name, length in lengths.items()}


def _refuse(name: str, observation: Observation) -> None:
    what = f" ({quantity(name).unit})" if name in quantity_names() else ""
    remedy = REMEDIES.get(name, "choose a run that does without it")
    raise ValueError(
        f"run: its network needs {name!r}{what}, which the map {observation.name or ''} does not have; {remedy}"
    )


def _check_channels(models: Sequence[BlueprintModel], maps: Mapping[str, np.ndarray]) -> None:
    """Refuse a cube with other channels than a network was trained on."""
    for model in models:
        for name, values in maps.items():
            expected = model.channels.get(name) if values.ndim == 3 else None
            if expected is not None and expected != len(values):
                raise ValueError(
                    f"run: its network takes {name!r} with {expected} channels, got {len(values)}; bring the cube to the "
                    "channels of the training set: observation.with_line(cube, line, velocity=dataset velocities * u.km / u.s)"
                )
