"""From a map of column density and a trained run to a map of density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u

from polaris_lab.observations.maps import Observation
from polaris_lab.observations.predict_prepare import prepare
from polaris_lab.observations.predict_work import Work, map_rows
from polaris_lab.observations.prediction import MAPS, Prediction
from polaris_lab.observations.quality import flags_in_words

if TYPE_CHECKING:
    from polaris_lab.training.run import Run

__all__ = ["as_runs", "collected", "predict_density", "with_default"]


def predict_density(
    run: Run | Sequence[Run] | Observation,
    observation: Observation | None = None,
    *,
    overlap: float | None = None,
    tile: int | None = None,
    average_symmetries: bool = False,
    depth: u.Quantity | None = None,
    foreground: u.Quantity | None = None,
    samples: int | None = None,
    seed: int = 0,
    compare: bool = True,
    client: Any = None,
    progress: bool = True,
) -> Prediction:
    """Predict the density behind a map, with intervals, on the map's own grid.

    A map with finer pixels than the model's is averaged to them, and the result is interpolated back in log
    density. One whose pixels are nearly the model's (0.7 to 1.5 of the map's) is read as it is, and
    the density scaled by model pixel over map pixel: a cloud of the same columns with all lengths twice as long is
    half as dense. So a density falls as 1/distance, as it must. Blank pixels are filled smoothly for the network's eyes
    and are blank in the result. By default the map is read in large tiles with a margin as wide as the network can see:
    no seams, and the answer does not depend on where tiles begin. Larger maps are worked on in bands of tiles;
    :func:`~polaris_lab.observations.streaming.predict_to_fits` writes each as it is done.

    Parameters
    ----------
    run : Run, Ensemble or sequence of Run
        Trained and validated. It may be left out, ``predict_density(observation)``: then it is the network that is shipped
        (:func:`polaris_lab.training.recipes.pretrained`). Several runs of one target are averaged in log density, and their spread widens the
        intervals. Of several outputs the main one is the density, the others are extra maps.
    observation : Observation
        The map. Networks of several inputs take the line beside it (:meth:`Observation.with_line`); where an input
        is optional, it may be missing.
    overlap : float, optional
        Predict in patches of the training size that overlap by this fraction instead, averaged in log density with
        smooth weights: the report's scheme with 0.5 (appendix D).
    tile : int, optional
        Side of a tile as the network reads it [pixels of the model]; by default 640, or the side of a training patch
        with `overlap`. Memory grows with its square.
    average_symmetries : bool
        Ask the network in the eight orientations of the map and take the mean: eight times the work.
    depth : Quantity, optional
        Depth of the cloud along the line of sight, for networks that take it; by default they marginalise.
    foreground : Quantity, optional
        N_H that does not belong to the cloud, one number or a map, taken off beforehand. Pixels of which less than
        5 % would remain are blank and flagged.
    samples : int, optional
        Of a generative run: how many maps to draw, kept in the prediction; by default 16, of which only mean and spread are
        kept.
    seed : int
        Of the samples.
    compare : bool
        Compare the map with the training set where that is at hand, and flag what lies outside.
    client : dask.distributed.Client, optional
        Where tiles are predicted; its workers must see the folder of the run.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Prediction
        Value; 68 % and 95 % intervals from the network's distribution, or from the validation residuals at the predicted
        density; quality flags, coverage.

    Raises
    ------
    TypeError
        If depth or foreground have no unit, or `run` is no run.
    ValueError
        If a network needs an input that the map does not have, the run has not been validated, the map's pixels are
        too coarse for the model, it has fewer than 16 of the model's pixels along a side, or several runs do not fit
        together.

    References
    ----------
    Report, appendix D.
    """
    run, observation = with_default(run, observation)
    runs = as_runs(run)
    models = tuple(each.model() for each in runs)
    if any(model.is_generative for model in models):
        from polaris_lab.observations.posterior import SAMPLES, sample_density

        refused = {
            "overlap": overlap is not None,
            "average_symmetries": average_symmetries,
            "client": client is not None,
            "depth": depth is not None,
            "several runs": len(runs) > 1,
        }
        for name, given in refused.items():
            if given:
                raise ValueError(
                    f"{name}: expected none for a generative run, whose samples are drawn for the whole map"
                )
        return sample_density(
            runs[0],
            observation,
            samples=SAMPLES if samples is None else samples,
            seed=seed,
            tile=tile,
            foreground=foreground,
            compare=compare,
            keep=samples is not None,
            progress=progress,
        )
    if samples is not None:
        raise ValueError(
            f"samples: expected none for {runs[0].blueprint.name!r}, which gives one answer, got {samples}; maps are drawn by "
            "generative runs only (flow matching, diffusion): its interval is at hand without"
        )
    work = prepare(
        runs, models, observation, overlap=overlap, tile=tile, symmetries=average_symmetries, depth=depth, foreground=foreground,
        compare=compare,
    )  # fmt: skip
    return collected(work, client=client, progress=progress)


def collected(work: Work, *, client: Any = None, progress: bool = False) -> Prediction:
    """Do the work and return all maps in memory."""
    shape = work.observation.shape
    maps: dict[str, np.ndarray] = {}
    for rows, found in map_rows(work, client=client, progress=progress):
        for name, values in found.items():
            maps.setdefault(name, np.empty(shape, values.dtype))[rows] = values
    main = {name: maps.pop(name) for name in (*MAPS, "quality", "coverage")}
    said = flags_in_words(main["quality"], np.isfinite(main["density"]))
    return Prediction(
        **main,
        extra=maps,
        wcs=work.observation.wcs,
        provenance=work.provenance,
        notes=(*work.notes, *said),
    )


def with_default(run: Any, observation: Observation | None) -> tuple[Any, Observation]:
    """Return run and map; where only a map is given, with the network that is shipped.

    Raises
    ------
    TypeError
        If there is no map.
    """
    if observation is None:
        run, observation = None, run
    if not isinstance(observation, Observation):
        raise TypeError(
            f"observation: expected an Observation, got {type(observation).__name__}; open one with "
            "lab.Observation.from_fits(path, distance=..., species=...)"
        )
    if run is None:
        from polaris_lab.training.recipes import pretrained

        run = pretrained()
    return run, observation


def as_runs(run: Run | Sequence[Run]) -> tuple[Run, ...]:
    """Return the runs of a run, an ensemble or a sequence.

    Raises
    ------
    TypeError
        If it is none of these.
    """
    runs = getattr(run, "runs", run)  # an Ensemble holds them
    runs = tuple(runs) if isinstance(runs, list | tuple) else (runs,)
    for each in runs:
        if not callable(getattr(each, "model", None)) or not callable(getattr(each, "validation", None)):
            raise TypeError(
                f"run: expected a Run or several, got {type(each).__name__}; open one with lab.Run.open(path)"
            )
    return runs
