"""The work of a prediction: prepared once, done band after band, each finished to maps on the pixels of the observation."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from polaris_lab.datasets.patches import TilePlan, apply_tiled, read_window
from polaris_lab.observations.intervals import log_ends
from polaris_lab.observations.maps import Observation
from polaris_lab.observations.predict_grid import (
    Band,
    bands,
)
from polaris_lab.observations.predict_inputs import LINE_INPUTS, MapInputs
from polaris_lab.observations.predict_network import MapNetwork, RemoteNetwork
from polaris_lab.observations.prediction import Quality
from polaris_lab.observations.quality import (
    blank_flags,
    density_flags,
    edge_flags,
    input_flags,
    interval_flags,
    range_flags,
)
from polaris_lab.observations.resample import Resampling
from polaris_lab.parallel import map_tasks
from polaris_lab.quantities import is_logarithmic, quantity, quantity_names

if TYPE_CHECKING:
    from polaris_lab.training.run import Run

log = logging.getLogger(__name__)

EDGE_REACH = 8
"""Pixels of the model within which an edge or a hole is flagged. What lies beyond the edge then changes the
answer by 0.03 to 0.05 dex (rms, measured by cropping synthetic clouds), further in by less; a network sees further,
but hardly cares."""

MAP_ROWS_PIXELS = 2_000_000
"""Pixels of the map that are interpolated and finished at a time."""


@dataclasses.dataclass(frozen=True, eq=False)
class Work:
    """A map, the networks that read it, and all that is known before they do.

    Attributes
    ----------
    observation : Observation
    column : ndarray, shape (ny, nx)
        N_H [cm^-2] behind the foreground.
    lost : ndarray of bool
        Where the foreground leaves nothing.
    runs : tuple of Run
    network : MapNetwork
    inputs : MapInputs
    grid : Resampling or None
    plan : TilePlan
    tables : tuple of mapping
        Validation residuals of each run whose network has no distribution.
    ranges : mapping
        Smallest and largest value of each input and of the density in training.
    unlike : ndarray of int16 or None
        Where the map looks like no training patch.
    scale : float
        Factor from the densities of the network to those of the map.
    provenance : dict
    notes : tuple of str
    """

    observation: Observation
    column: np.ndarray
    lost: np.ndarray
    runs: tuple[Run, ...]
    network: MapNetwork
    inputs: MapInputs
    grid: Resampling | None
    plan: TilePlan
    tables: tuple[Mapping[str, np.ndarray], ...]
    ranges: Mapping[str, Sequence[float]]
    unlike: np.ndarray | None
    scale: float
    provenance: Mapping[str, Any]
    notes: tuple[str, ...]

    @property
    def reach(self) -> int:
        """Pixels of the model within which an edge or a blank is flagged."""
        return min(EDGE_REACH, self.network.margin)

    def valid(self, rows: slice) -> np.ndarray:
        """Return which pixels of some rows of the map are answered, bool."""
        valid = np.isfinite(self.column[rows])
        if any(name in LINE_INPUTS for name in self.inputs.required):
            valid &= self.observation.line.observed[rows]
        return valid


def map_rows(
    work: Work, *, client: Any = None, progress: bool = False
) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """Do the work: yield some rows of the map after the other, with their finished maps.

    Yields
    ------
    rows : slice
    maps : dict of ndarray
        "density" and the ends of the intervals [cm^-3], "quality", "coverage", and extra outputs.
    """
    if work.grid is None:
        for rows, found in _model_rows(work, client, progress=progress):
            yield rows, finished(work, rows, found)
        return
    whole: dict[str, np.ndarray] = {}
    for rows, found in _model_rows(work, client, progress=progress):
        for name, values in found.items():
            whole.setdefault(name, np.empty(work.inputs.shape, values.dtype))[rows] = values
    height, width = work.observation.shape
    step = max(1, MAP_ROWS_PIXELS // width)
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        yield rows, finished(work, rows, interpolated(work, whole, rows))


def interpolated(work: Work, found: Mapping[str, np.ndarray], rows: slice) -> dict[str, np.ndarray]:
    """Return some rows of the map from what networks say on the grid of the model.

    Densities are judged anew, and so are the neighbours of blank pixels that are smaller than those of the model.
    """
    height = work.observation.shape[0]
    start, stop, _ = rows.indices(height)
    reach = math.ceil(max(work.grid.ratio))
    around = slice(max(0, start - reach), min(height, stop + reach))
    near = blank_flags(~np.isfinite(work.column[around]), reach=reach)
    maps = {
        name: (work.grid.nearest if values.dtype.kind == "i" else work.grid.interpolate)(values, rows)
        for name, values in found.items()
    }
    maps["quality"] |= density_flags(work.ranges, maps["point"]) | np.int16(Quality.RESAMPLED)
    maps["quality"] |= near[start - around.start : stop - around.start]
    return maps


def _model_rows(work: Work, client: Any, *, progress: bool) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """Yield rows of the model's grid with what the networks say of them, all in log10."""
    with tqdm(total=len(work.plan), desc="tiles", disable=not progress) as bar:
        for band in bands(work.plan):
            yield band.rows, _of_band(work, band, bar, client)


def _of_band(work: Work, band: Band, bar: tqdm, client: Any) -> dict[str, np.ndarray]:
    names = work.network.answers
    blank = work.inputs.blank(band.read)
    if blank.all():
        bar.update(len(band.plan))
        shape = (band.rows.stop - band.rows.start, work.inputs.shape[1])
        empty = {
            name: np.full(shape, np.nan, np.float32) for name in names if not name.startswith("contrast")
        }
        return {**empty, "quality": np.zeros(shape, np.int16), "coverage": np.zeros(shape, np.int16)}
    window = work.inputs.window(band.read)  # (C, h, W)
    function = _counted(work, band, window, bar, client)
    values, coverage = apply_tiled(function, window, band.plan)
    found = dict(zip(names, values[:, band.inside], strict=True))
    contrast = [found.pop(name) for name in names if name.startswith("contrast")]
    quality = flags_of(work, band.rows, window, blank, found["point"], contrast, inside=band.inside)
    return {**found, "quality": quality, "coverage": coverage[band.inside].astype(np.int16)}


def flags_of(
    work: Work,
    rows: slice,
    window: np.ndarray,
    blank: np.ndarray,
    log_density: np.ndarray,
    contrast: Sequence[np.ndarray],
    *,
    inside: slice = slice(None),
) -> np.ndarray:
    """Return the quality flags of some rows of the model's grid, int16.

    Parameters
    ----------
    rows : slice
        The rows of the grid.
    window, blank : ndarray, shape (C, h, W) and (h, W)
        What the network sees and which pixels lack it, in the rows that it reads.
    log_density, contrast : ndarray, shape (rows, W)
        What it answers there, and the contrasts that it sees.
    inside : slice
        Where the rows are among those read.
    """
    seen = dict(zip((name for name, _ in work.inputs.channels), _split(work, window[:, inside]), strict=True))
    log_column = seen.pop("column_density")[0]
    quality = edge_flags(work.inputs.shape, reach=work.reach, rows=rows)
    quality |= blank_flags(blank, reach=work.reach)[inside]
    quality |= range_flags(work.ranges, log_column, log_density, contrast)
    return quality | np.int16(input_flags(work.ranges, seen))


def _split(work: Work, window: np.ndarray) -> list[np.ndarray]:
    counts = np.cumsum([count for _, count in work.inputs.channels])
    return np.split(window, counts[:-1])


def _counted(work: Work, band: Band, window: np.ndarray, bar: tqdm, client: Any) -> Any:
    """Return the network as a function of a tile that moves the bar; on a cluster the tiles are sent beforehand."""
    if client is not None:
        remote = RemoteNetwork.of(work.network, [str(run.path.resolve()) for run in work.runs])
        tasks = [(read_window(window, tile.origin, tile.shape), tile.inside) for tile in band.plan]
        answers = map_tasks(remote, tasks, client=client)
    kept = iter([tile.inside for tile in band.plan])

    def function(tile: np.ndarray) -> np.ndarray:
        answer = work.network(tile, next(kept)) if client is None else next(answers)
        bar.update()
        return answer

    return function


def finished(work: Work, rows: slice, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the maps of some rows in their units, blank where the map is, from what networks say in log10."""
    valid = work.valid(rows)
    point = np.where(valid, found["point"], np.float32(np.nan))
    logs = {"density": point, **log_ends(point, found, work.tables)}
    maps = {name: _linear(values, work.scale) for name, values in logs.items()}
    for name in work.network.extra_outputs:
        known = name in quantity_names()
        scale = work.scale if not known or quantity(name).unit == "cm-3" else 1.0
        values = np.where(valid, found[name], np.float32(np.nan))
        maps[name] = _linear(values, scale) if is_logarithmic(name) else values.astype(np.float32)
    quality = found["quality"] | interval_flags(logs["lower95"], logs["upper95"])
    if work.unlike is not None:
        quality = quality | work.unlike[rows]
    quality = np.where(valid, quality, np.int16(0))
    if work.lost.any():
        quality = np.where(work.lost[rows], np.int16(Quality.FOREGROUND), quality)
    maps["quality"] = quality
    maps["coverage"] = np.where(valid, found["coverage"], np.int16(0))
    return maps


def _linear(log_values: np.ndarray, scale: float) -> np.ndarray:
    """Return scale 10^x, float32."""
    with np.errstate(over="ignore"):  # an end of an interval that no float32 holds is infinite
        values = np.power(np.float32(10), log_values.astype(np.float32, copy=False))
        return values if scale == 1.0 else (values * np.float32(scale)).astype(np.float32)
