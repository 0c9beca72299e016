"""Does the training set cover this map? Where it does not, a network's answer is a guess (report, figure 36)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from polaris_lab.config import write_bytes
from polaris_lab.observations.features import band_count, describe_windows
from polaris_lab.observations.maps import Observation
from polaris_lab.observations.prediction import Quality, check_output
from polaris_lab.observations.training_set import (
    Neighbourhood,
    checked_features,
    kept_features,
    level_distance,
    training_features,
)

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.training.run import Run

SMALLEST_SIDE = 16
"""Pixels (of the training set) that a map must have along each side."""

MOST_WINDOWS = 400
"""Windows that a map is judged in: on larger maps they overlap less, or lie side by side."""

LEAST_VALID = 0.5
"""Share of a window that must not be blank."""

MUCH, ALL = 0.1, 0.5
"""Shares of the map outside from which a note is due, and from which it says that the model does not apply."""


@dataclass(frozen=True, eq=False, repr=False)
class Coverage:
    """How well a training set covers a map. Made by :func:`compare`.

    A distance is that of a window to the nearest training patch in feature space, over the limit beyond which it is
    outside: 1 and less is inside. The absolute one counts the level of the column density, which a network with
    absolute inputs sees (together with the rest, and alone: the larger distance holds); the relative one does not, as
    a scale-equivariant network.

    Attributes
    ----------
    absolute, relative : ndarray, shape (ny, nx), float32
        Distance, the mean over the windows that hold a pixel; NaN where the map is blank or no window is half full.
    mean, spread : ndarray, shape (windows,)
        Mean and standard deviation of log10 N_H in each window [dex]: the plane of figure 36.
    training_mean, training_spread : ndarray, shape (patches,)
        The same of the training patches.
    window_absolute, window_relative : ndarray, shape (windows,)
        Distance of each window.
    window : int
        Side of a window [pixels of the training set].
    wcs : WCS
        Celestial coordinates, those of the map.
    notes : tuple of str
        What should be known of the comparison, in sentences.
    """

    absolute: np.ndarray
    relative: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    training_mean: np.ndarray
    training_spread: np.ndarray
    window_absolute: np.ndarray
    window_relative: np.ndarray
    window: int
    wcs: WCS
    notes: tuple[str, ...] = ()

    def inside(self, *, level: str = "absolute") -> np.ndarray:
        """Return the mask of the pixels that the training set covers; `level` is "absolute" or "relative"."""
        return self._distance(level) <= 1.0

    def share_outside(self, *, level: str = "absolute") -> float:
        """Return the share of the judged pixels that the training set does not cover."""
        distance = self._distance(level)
        judged = np.isfinite(distance)
        return float((distance[judged] > 1.0).mean()) if judged.any() else 1.0

    def _distance(self, level: str) -> np.ndarray:
        if level not in ("absolute", "relative"):
            raise ValueError(f'level: expected "absolute" or "relative", got {level!r}')
        return self.absolute if level == "absolute" else self.relative

    @property
    def sentence(self) -> str:
        """What the comparison says, in one sentence."""
        absolute, relative = (self.share_outside(level=level) for level in ("absolute", "relative"))
        ranges = f"mean log N_H {_range(self.mean)} against {_range(self.training_mean)} in training"
        if max(absolute, relative) <= MUCH:
            return f"The training set covers {1 - absolute:.0%} of the map ({ranges})."
        if relative <= MUCH:
            return (
                f"{absolute:.0%} of the map lies at levels of column density that the training set does not hold "
                f"({ranges}), but its structure is known ({1 - relative:.0%} covered): only a scale-equivariant network "
                "applies."
            )
        return (
            f"The training set does not cover {absolute:.0%} of the map, and {relative:.0%} not even apart from the level "
            f"of column density ({ranges}): what a network says there is extrapolated."
        )

    # -- files ---------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return all but the maps, as plain JSON values."""
        numbers = ("mean", "spread", "training_mean", "training_spread", "window_absolute", "window_relative")
        return {
            "sentence": self.sentence,
            "share_outside_absolute": self.share_outside(),
            "share_outside_relative": self.share_outside(level="relative"),
            "window": self.window,
            "notes": list(self.notes),
            **{name: np.asarray(getattr(self, name), float).round(4).tolist() for name in numbers},
        }

    def write_json(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write :meth:`to_dict` to a file; one that exists is refused unless `overwrite`."""
        path = check_output(path, overwrite=overwrite)
        return write_bytes(path, json.dumps(self.to_dict(), indent=1, allow_nan=False).encode())

    def hdus(self) -> list[fits.ImageHDU]:
        """Return the two maps of distance as FITS extensions, OOD_ABS and OOD_REL, with WCS and the sentence."""
        made = []
        for name, level in (("OOD_ABS", "absolute"), ("OOD_REL", "relative")):
            hdu = fits.ImageHDU(self._distance(level), self.wcs.to_header(relax=True), name=name)
            hdu.header["BUNIT"] = ("", "distance to the training set; above 1 is outside")
            hdu.header["NOTE1"] = self.sentence
            made.append(hdu)
        return made

    def write_fits(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write :meth:`hdus` to a file; one that exists is refused unless `overwrite`."""
        path = check_output(path, overwrite=overwrite)
        fits.HDUList([fits.PrimaryHDU(), *self.hdus()]).writeto(path, overwrite=overwrite)
        return path

    # -- words ---------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        """Say shape, windows, and the sentence."""
        rows, columns = self.absolute.shape
        return (
            f"Coverage({rows} x {columns} pixels in {len(self.mean)} windows of {self.window} x {self.window} training pixels, "
            f"{len(self.training_mean)} training patches: {self.sentence})"
        )

    def _repr_html_(self) -> str:
        rows = [
            ("", self.sentence),
            ("mean log N_H", f"{_range(self.mean)}; training {_range(self.training_mean)}"),
            ("its spread [dex]", f"{_range(self.spread)}; training {_range(self.training_spread)}"),
            ("outside, absolute", f"{self.share_outside():.0%}"),
            ("outside, relative", f"{self.share_outside(level='relative'):.0%}"),
            *[("note", note) for note in self.notes],
        ]
        cells = "".join(
            f'<tr><th style="text-align:left">{escape(label)}</th><td style="text-align:left">{escape(text)}</td></tr>'
            for label, text in rows
        )
        return f"<table><caption><b>Coverage</b></caption>{cells}</table>"


def compare(
    training: PatchDataset | Mapping[str, Any] | Run,
    observation: Observation,
    *,
    pixel_size_pc: float | None = None,
) -> Coverage:
    """Compare a map with a training set, window by window.

    The map is brought to the pixel of the training set and looked at in overlapping windows of the size of a patch:
    the mean and the spread of log N_H, and wavelet statistics (:mod:`~polaris_lab.observations.features`). A window
    is inside where a training patch is about as near as training patches are to each other, those of different clouds
    where there are four or more.

    Parameters
    ----------
    training : PatchDataset, dict or Run
        The training set, what :func:`training_features` kept of it, or a run: the shipped one carries what is needed.
    observation : Observation
        The map.
    pixel_size_pc : float, optional
        Pixel that the map is looked at with; by default that of the training set. A network that counts lengths in pixels
        sees it at another.

    Returns
    -------
    Coverage

    Raises
    ------
    TypeError
        If `observation` is no Observation.
    ValueError
        If the training set has too few patches, the map has fewer than 16 of its pixels along a side or pixels that
        are too coarse for it, or no window is half full.

    References
    ----------
    Report, section 5 and figure 36.

    Examples
    --------
    >>> import polaris_lab as lab
    >>> from astropy import units as u
    >>> clouds = [lab.synthetic_cloud(32, seed=seed, kind="fbm") for seed in range(12)]
    >>> maps = np.stack([lab.column_density(cloud, axis="z") for cloud in clouds])
    >>> dataset = lab.PatchDataset.from_arrays(
    ...     {"column_density": maps}, {"mass_weighted_density": maps / 1e19}, pixel_size=0.2 * u.pc, split=["training"] * 12
    ... )
    >>> seen = lab.observations.observe_cube(clouds[3], distance=300 * u.pc).observation
    >>> print(compare(dataset, seen).sentence)
    The training set covers 100% of the map (mean log N_H ... against ... in training).
    """
    if not isinstance(observation, Observation):
        raise TypeError(
            f"observation: expected an Observation, got {type(observation).__name__}; make one with "
            "lab.Observation(values, wcs=..., distance=140 * u.pc, species='H2')"
        )
    features = training if isinstance(training, Mapping) else _features_of(training)
    known, cloud, size, pixel_pc = checked_features(features)
    log_column, grid, notes = _at_pixel(observation, pixel_size_pc or pixel_pc)
    shape = log_column.shape
    if min(shape) < size:
        notes.append(
            f"The map ({shape[0]} x {shape[1]} pixels of the training set) is smaller than its patches ({size} x {size}): "
            "it was continued by reflection, and its larger scales are judged less surely"
        )
        log_column = np.pad(log_column, [(0, max(0, size - side)) for side in shape], mode="symmetric")
    corners = _corners(log_column, size)
    if not corners:
        raise ValueError(
            f"map: expected a window of {size} x {size} pixels of which half is observed, got none; cut out the "
            "observed part"
        )
    seen = describe_windows(log_column, corners, size, band_count(size))
    relative = Neighbourhood.of(known[:, 1:], cloud).distance(seen[:, 1:])
    absolute = Neighbourhood.of(known, cloud).distance(seen)
    absolute = np.maximum(absolute, level_distance(known[:, 0], seen[:, 0]))
    maps = [_spread_over(values, corners, size, log_column.shape) for values in (absolute, relative)]
    maps = [values[: shape[0], : shape[1]] for values in maps]
    if grid is not None:
        maps = [grid.nearest(values) for values in maps]
    blank = ~np.isfinite(observation.column_density)
    maps = [np.where(blank, np.nan, values).astype(np.float32) for values in maps]
    return Coverage(
        *maps, mean=seen[:, 0], spread=seen[:, 1], training_mean=known[:, 0], training_spread=known[:, 1],
        window_absolute=absolute, window_relative=relative, window=size, wcs=observation.wcs, notes=tuple(notes),
    )  # fmt: skip


def _features_of(training: PatchDataset | Run) -> Mapping[str, Any]:
    """Return the features of a training set, or of that of a run."""
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.training.run import Run

    if isinstance(training, Run):
        return kept_features(training) or training_features(training.dataset())
    if not isinstance(training, PatchDataset):
        raise TypeError(
            f"training: expected a PatchDataset, a Run or kept features, got {type(training).__name__}; open one with "
            "lab.PatchDataset.open(path) or lab.pretrained()"
        )
    return training_features(training)


def coverage_note(coverage: Coverage, *, level: str = "absolute") -> str:
    """Return the sentence that a prediction far outside says of itself, for its header and the screen; else "".

    Parameters
    ----------
    coverage : Coverage
        Of the map.
    level : {"absolute", "relative"}
        What the network sees: "relative" for a scale-equivariant one.
    """
    share = coverage.share_outside(level=level)
    if share <= MUCH:
        return ""
    verdict = "the model does not apply to this map" if share > ALL else "do not trust the model there"
    kind = "levels or structure" if level == "absolute" else "structure"
    ranges = f"mean log N_H {_range(coverage.mean)}, training {_range(coverage.training_mean)}"
    return (
        f"OUTSIDE THE TRAINING SET: {share:.0%} of the map has {kind} it does not hold ({ranges}): {verdict}"
    )


def coverage_flags(coverage: Coverage, *, level: str = "absolute") -> np.ndarray:
    """Return :attr:`Quality.UNLIKE_TRAINING` at the pixels outside the training set, int16, to be joined to `quality`.

    Pixels that could not be judged are not flagged.
    """
    with np.errstate(invalid="ignore"):
        outside = coverage._distance(level) > 1.0
    return np.where(outside, int(Quality.UNLIKE_TRAINING), 0).astype(np.int16)


def _at_pixel(observation: Observation, pixel_pc: float) -> tuple[np.ndarray, Any, list[str]]:
    """Return log10 N at the pixel of the training set, the grid of it (None: the map's own) and notes."""
    from polaris_lab.observations.predict_grid import match_pixels  # loads torch

    grid, notes = match_pixels(observation, pixel_pc)
    column = observation.column_density if grid is None else grid.average(observation.column_density)
    if min(column.shape) < SMALLEST_SIDE:
        raise ValueError(
            f"map: expected at least {SMALLEST_SIDE} pixels of {pixel_pc:.3g} pc along each side, got {column.shape[0]} x "
            f"{column.shape[1]}; structure cannot be judged in so few"
        )
    return np.log10(column.astype(np.float64)), grid, list(notes)


def _corners(log_column: np.ndarray, window: int) -> list[tuple[int, int]]:
    """Return the first pixels of overlapping windows that are at least half full."""
    stride = min(max(window // 4, int(np.ceil(np.sqrt(log_column.size / MOST_WINDOWS)))), window)
    starts = []
    for side in log_column.shape:
        count = int(np.ceil((side - window) / stride)) + 1
        starts.append(np.unique(np.linspace(0, side - window, count).round().astype(int)))
    valid = np.isfinite(log_column)
    return [
        (int(y), int(x))
        for y in starts[0]
        for x in starts[1]
        if valid[y : y + window, x : x + window].mean() >= LEAST_VALID
    ]


def _spread_over(
    values: np.ndarray, corners: list[tuple[int, int]], window: int, shape: tuple[int, int]
) -> np.ndarray:
    """Return the mean of the values of the windows over each pixel, those near its middle counting more."""
    along = 1.0 - np.abs(np.arange(window) - (window - 1) / 2) / (window / 2 + 1)
    weight = np.outer(along, along)
    total, share = np.zeros(shape), np.zeros(shape)
    for value, (y, x) in zip(values, corners, strict=True):
        place = slice(y, y + window), slice(x, x + window)
        total[place] += value * weight
        share[place] += weight
    return np.where(share > 0, total / np.where(share > 0, share, 1.0), np.nan)


def _range(values: np.ndarray) -> str:
    return f"{np.min(values):.1f}-{np.max(values):.1f}"
