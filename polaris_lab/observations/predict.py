"""From a map of column density and a trained run to a map of density."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np
import torch

from polaris_lab.datasets.patches import TilePlan, apply_tiled, plan_overlapping, plan_tiles
from polaris_lab.observations.blanks import fill_blanks
from polaris_lab.observations.maps import Observation
from polaris_lab.observations.prediction import Prediction, Quality
from polaris_lab.observations.quality import (
    flags_in_words,
    location_flags,
    range_flags,
)
from polaris_lab.observations.resample import Resampling

if TYPE_CHECKING:
    from polaris_lab.models import BlueprintModel
    from polaris_lab.training.run import Run

log = logging.getLogger(__name__)

SMALLEST_SIDE = 16
"""Pixels (of the model) that a map must have along each side."""

PIXEL_RATIO = (0.7, 1.5)
"""Model pixel over map pixel between which a map is taken as it is (design, section 9.7)."""

LARGEST_ANISOTROPY = 1.1
"""Ratio of the sides of a pixel above which it is resampled to a square one."""

TILE = 640
"""Side of the tiles that a map is read in [pixels of the model]."""

EDGE_REACH = 8
"""Pixels of the model within which an edge or a hole is flagged. What lies beyond the edge then changes the
answer by 0.03 to 0.05 dex (rms, measured by cropping synthetic clouds), further in by less; a network sees further,
but hardly cares."""


def predict_density(
    run: Run,
    observation: Observation,
    *,
    overlap: float | None = None,
    tile: int | None = None,
    progress: bool = True,
) -> Prediction:
    """Predict the density behind a map, with intervals, on the map's own grid.

    A map with finer pixels than the model's is averaged to them, and the result is interpolated back in log
    density. One whose pixels are nearly the model's (within the limits of :data:`PIXEL_RATIO`) is read as it is, and
    the density scaled by model pixel over map pixel: a cloud of the same columns with all lengths twice as long is
    half as dense. So a density falls as 1/distance, as it must. Blank pixels are filled smoothly for the network's eyes and are blank in the result. By default
    the map is read in large tiles with a margin as wide as the network can see: no seams, and the answer does not
    depend on where tiles begin.

    A generative run answers with the mean and spread of its samples, by
    :func:`polaris_lab.observations.posterior.sample_density`, which has their number and seed as arguments.

    Parameters
    ----------
    run : Run
        A trained and validated run whose network needs a column density map and nothing else.
    observation : Observation
        The map.
    overlap : float, optional
        Predict in patches of the training size that overlap by this fraction instead, averaged in log density with
        smooth weights: the report's scheme with 0.5 (appendix D).
    tile : int, optional
        Side of a tile as the network reads it [pixels of the model]; by default 640, or the side of a training patch
        with `overlap`. Memory grows with its square.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Prediction
        Value, 68 % and 95 % intervals from the validation residuals at the predicted density, quality flags,
        coverage.

    Raises
    ------
    ValueError
        If the model needs other inputs than the column density, the run has not been validated, the map's pixels are
        too coarse for the model, or it has fewer than 16 of the model's pixels along a side.

    References
    ----------
    Report, appendix D.
    """
    _check_inputs(run)
    if run.model().is_generative:
        from polaris_lab.observations.posterior import sample_density

        if overlap is not None:
            raise ValueError(
                f"overlap: expected none for a generative run, whose samples need no averaging of tiles, got {overlap}; "
                "leave it out"
            )
        return sample_density(run, observation, tile=tile, progress=progress)
    calibration = _calibration(run)
    grid, notes = match_pixels(observation, run.pixel_size_pc)
    column = observation.column_density if grid is None else grid.average(observation.column_density)
    notes += _check_size(column.shape, run)
    blank = ~np.isfinite(column)
    log_column = fill_blanks(np.log10(column)).astype(np.float32)
    model = run.model()
    plan = _plan(run, model, column.shape, overlap=overlap, tile=tile)
    (log_density, *contrast), coverage = apply_tiled(
        _network(model, run.pixel_size_pc), log_column, plan, progress=progress
    )
    quality = location_flags(blank, reach=min(EDGE_REACH, model.receptive_margin))
    quality |= range_flags(run.validation().get("training_ranges", {}), log_column, log_density, contrast)
    if grid is not None:
        log_density = grid.interpolate(log_density)
        coverage, quality = grid.nearest(coverage), grid.nearest(quality) | np.int16(Quality.RESAMPLED)
    valid = np.isfinite(observation.column_density)
    maps = _with_intervals(np.where(valid, log_density, np.nan), calibration)
    if grid is None:
        scale, note = _pixel_scale(observation.pixel_size_pc, run.pixel_size_pc)
        maps = {name: values * scale for name, values in maps.items()}
        notes = [*notes, *note]
    quality = np.where(valid, quality, np.int16(0))
    return Prediction(
        **{name: values.astype(np.float32) for name, values in maps.items()},
        quality=quality,
        coverage=np.where(valid, coverage, 0).astype(np.int16),
        wcs=observation.wcs,
        provenance=_provenance(run, observation, plan, overlap),
        notes=(*notes, *flags_in_words(quality, valid)),
    )


def match_pixels(observation: Observation, model_pixel_pc: float) -> tuple[Resampling | None, list[str]]:
    """Decide how a map is brought to the pixel of a model.

    Parameters
    ----------
    observation : Observation
        The map.
    model_pixel_pc : float
        Pixel of the training set [pc].

    Returns
    -------
    grid : Resampling or None
        The coarser grid on top of the map; None where the map is taken as it is.
    notes : list of str
        What was done, for the header.

    Raises
    ------
    ValueError
        If the map's pixels are too coarse: what they average away cannot be put back.
    """
    sides = observation.pixel_sides_pc
    low, high = PIXEL_RATIO
    square = max(sides) / min(sides) <= LARGEST_ANISOTROPY
    coarsest = observation.pixel_size_pc if square else max(sides)
    if model_pixel_pc / coarsest < low:
        raise ValueError(
            f"map: expected pixels of at most {model_pixel_pc / low:.3g} pc for a model trained on {model_pixel_pc:.3g} pc, "
            f"got {coarsest:.3g} pc at {observation.distance_pc:.4g} pc; what a coarser pixel averages away cannot be "
            "put back: use a run trained on pixels of that size, or a map of higher resolution"
        )
    if square and model_pixel_pc / observation.pixel_size_pc <= high:
        return None, []
    grid = Resampling(observation.shape, tuple(max(1.0, model_pixel_pc / side) for side in sides))
    note = (
        f"The map was averaged from pixels of {observation.pixel_size_pc:.4g} pc to the {model_pixel_pc:.4g} pc of "
        "the model by area, and the log density interpolated back: no structure below the model's pixel"
    )
    log.info("%s", note)
    return grid, [note]


def _pixel_scale(map_pixel_pc: float, model_pixel_pc: float) -> tuple[float, list[str]]:
    """Return the factor between densities at the pixel of a map and at that of a model, and a note about it.

    The network sees an array of columns, not lengths; with all lengths times mu and the columns kept, n falls
    as 1/mu: an exact symmetry of the projection.
    """
    scale = model_pixel_pc / map_pixel_pc
    if abs(scale - 1) < 1e-3:
        return 1.0, []
    return scale, [
        f"The map's pixels of {map_pixel_pc:.4g} pc were read as the model's {model_pixel_pc:.4g} pc and the density "
        f"scaled by {scale:.4g}, their ratio"
    ]


def _check_inputs(run: Run) -> None:
    needed = [name for name in run.blueprint.inputs if name not in run.blueprint.optional_inputs]
    if needed != ["column_density"]:
        raise ValueError(
            f"run: expected a model that needs a column density map only, got one that takes {', '.join(needed)}; "
            "a single map does not hold these: choose another run"
        )


def _check_size(shape: tuple[int, int], run: Run) -> list[str]:
    """Refuse a map that is too small, and return what must be said of one that is smaller than a patch."""
    size = f"{shape[0]} x {shape[1]}"
    if min(shape) < SMALLEST_SIDE:
        raise ValueError(
            f"map: expected at least {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels of the model ({run.pixel_size_pc:.3g} pc), "
            f"got {size}; a network sees no structure in so few: use a larger map or a run trained on smaller pixels"
        )
    if min(shape) >= patch_size(run):
        return []
    note = (
        f"The map has {size} pixels of the model, fewer than the {patch_size(run)} of a training patch: it is "
        "continued by reflection, and the network sees less of the surroundings than in training"
    )
    log.info("%s", note)
    return [note]


def _calibration(run: Run) -> Mapping[str, np.ndarray]:
    """Return the table of validation residuals, or say how to get it."""
    remedy = "call run.validate() once, which measures them on the validation patches"
    try:
        table = run.validation()["calibration"]
    except (FileNotFoundError, KeyError) as error:
        raise ValueError(
            f"run: expected validation residuals for the intervals, got none ({error}); {remedy}"
        ) from error
    return {name: np.asarray(values, dtype=float) for name, values in table.items()}


def _plan(
    run: Run, model: BlueprintModel, shape: tuple[int, int], *, overlap: float | None, tile: int | None
) -> TilePlan:
    """Cut the map into tiles."""
    margin, stride = model.receptive_margin, model.stride
    if overlap is not None:
        return plan_overlapping(shape, tile=tile or patch_size(run), overlap=overlap, multiple=stride)
    smallest = 2 * math.ceil(margin / stride) * stride + stride
    return plan_tiles(
        shape,
        tile=max(TILE, 2 * smallest) if tile is None else tile,
        margin=margin,
        multiple=stride,
        within=True,
    )


def _network(model: BlueprintModel, pixel_size_pc: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from log10 N_H (1, h, w) to log10 n_H and, where the network forms it, the contrast.

    The contrast (log N_H over its local mean) is what a scale-equivariant network sees of the column density. One
    that wants the pixel size is told; other optional inputs are missing, and the answer is that without them.
    """
    model.eval().to(memory_format=torch.channels_last)  # a third faster on the CPU
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    seen: list[torch.Tensor] = []
    contrasts = model.blocks_named("local_contrast")

    def forward(window: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            seen.clear()
            hooks = [node.register_forward_hook(lambda _, __, out: seen.append(out)) for node in contrasts]
            try:
                column = torch.from_numpy(window[None]).to(device)  # (1, 1, h, w)
                size = column.new_full((1, 1, 1, 1), math.log10(pixel_size_pc))
                raw = model({"column_density": column, "pixel_size": size})
            finally:
                for hook in hooks:
                    hook.remove()
            maps = torch.cat([model.point(raw), *seen], dim=1)  # (1, 1 + contrasts, h, w)
            return maps[0].float().cpu().numpy()  # (1 + contrasts, h, w)

    return forward


def _with_intervals(log_density: np.ndarray, calibration: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the density and the ends of its intervals [cm^-3].

    A residual is log10(predicted / true), so the truth is the prediction over 10^residual: the lower end comes from
    the upper quantile. Between the bins of the table quantiles are interpolated, beyond its ends kept. A
    prediction that the validation set shows to be biased by more than its scatter is still held in the interval.
    """
    centres = calibration["log_density"]
    maps = {"density": 10.0**log_density}
    for name, quantile in (
        ("lower68", "q84"),
        ("upper68", "q16"),
        ("lower95", "q97.5"),
        ("upper95", "q02.5"),
    ):
        shift = -np.interp(log_density, centres, calibration[quantile])
        shift = np.minimum(shift, 0.0) if name.startswith("lower") else np.maximum(shift, 0.0)
        maps[name] = 10.0 ** (log_density + shift)
    return maps


def patch_size(run: Run) -> int:
    """Return the side of the patches that a run was trained on [pixels]."""
    return int(run.description.dataset.patch_size)


def _provenance(
    run: Run, observation: Observation, plan: TilePlan, overlap: float | None
) -> dict[str, str | float | None]:
    """Return where the prediction comes from."""
    rows, columns = plan.tile_shape
    scheme = f"{len(plan)} tiles of {rows} x {columns} pixels" + (
        " with a margin" if overlap is None else f", overlap {overlap:g}, smooth weights in log density"
    )
    return {
        "run_fingerprint": run.fingerprint,
        "dataset_fingerprint": run.dataset_fingerprint,
        "model": run.blueprint.name,
        "target": run.target,
        "distance_pc": observation.distance_pc,
        "species": observation.species,
        "model_pixel_pc": run.pixel_size_pc,
        "map_pixel_pc": observation.pixel_size_pc,
        "scheme": scheme,
        "object": observation.name,
        "source": observation.path.name if observation.path else None,
        "created": datetime.now(UTC).isoformat(timespec="seconds").removesuffix("+00:00"),
        "software": f"polaris_lab {metadata.version('polaris-lab')}",
    }
