"""Networks of several architectures side by side, as the report's with and without Kolmogorov-Arnold parts."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polaris_lab.config import did_you_mean, to_dict
from polaris_lab.training.studies.cells import Cell, check_cells, checked_seeds, chosen, run_name
from polaris_lab.training.studies.ledger import describe_study
from polaris_lab.training.studies.runner import check_choices, run_study

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.training.run import Run
    from polaris_lab.training.settings import TrainingConfig

logger = logging.getLogger(__name__)

KAN_VARIANTS: dict[str, dict[str, Any]] = {
    "U-Net": {"preset": "unet"},
    "U-Net + KAN": {"preset": "unet_and_kan", "combine": "sum"},
    "U-Net x KAN": {"preset": "unet_and_kan", "combine": "product"},
    "K-Net": {"preset": "knet"},
    "U-KAN": {"preset": "ukan"},
    "KAN alone": {"preset": "just_kan", "layers": None, "base_filters": None},
}
"""The networks of the report's figures 18-20 by name: their preset, and settings."""


def kan_variants(
    dataset: PatchDataset,
    training: TrainingConfig | None = None,
    *,
    path: str | Path,
    variants: Mapping[str, Mapping[str, Any]] | Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
    workers: int = 1,
    threads: int = 1,
    client: Any = None,
    retry_failed: bool = False,
) -> Iterator[Run]:
    """Train several architectures the same way; by default the report's with Kolmogorov-Arnold parts (figures 18-20).

    Parameters
    ----------
    dataset, training, path, seeds, workers, threads, client, retry_failed
        As for :func:`polaris_lab.training.studies.sweep`.
    variants : mapping or sequence of str, optional
        For every name a ``preset`` and its settings, such as ``{"narrow": {"preset": "unet", "base_filters": 8}}``; or
        names of presets, or of :data:`KAN_VARIANTS`. By default those of KAN_VARIANTS whose preset there is.
    settings : mapping, optional
        Settings of all presets that have them, such as ``{"layers": 3, "base_filters": 16}``.

    Yields
    ------
    Run

    Raises
    ------
    ValueError, TypeError, FileExistsError, StudyInUseError
        As :func:`polaris_lab.training.studies.sweep`.

    Examples
    --------
    >>> for run in kan_variants(dataset, training, path="runs/kan", settings={"layers": 3}, seeds=(0, 1, 2)):
    ...     print(run)  # doctest: +SKIP
    """
    dataset, training, path = check_choices(
        dataset, training, path, workers=workers, threads=threads, client=client
    )
    wanted = _checked(variants)
    shared = dict(settings or {})
    known = {name: _settings_of(entry["preset"]) for name, entry in wanted.items()}
    for name in shared:
        if not any(name in names for names in known.values()):
            offered = sorted({entry for names in known.values() for entry in names})
            raise ValueError(f"settings: unknown setting {name!r}: {did_you_mean(name, offered)}")
    cells = []
    for name, entry in wanted.items():
        own = {key: value for key, value in entry.items() if key != "preset"}
        base = {**{key: value for key, value in shared.items() if key in known[name]}, **own}
        for seed in checked_seeds(seeds, training):
            blueprint, config = chosen(entry["preset"], base, training, {}, seed)
            values = {"variant": name}
            cells.append(Cell(values, seed, run_name(values, seed), blueprint.to_dict(), to_dict(config)))
    check_cells(cells, {"": dataset})
    description = describe_study(
        "kan_variants", cells, preset="", settings=shared, training=training, dataset=dataset
    )
    return run_study(
        path,
        description,
        cells,
        None,
        dataset,
        workers=workers,
        threads=threads,
        client=client,
        retry_failed=retry_failed,
    )


def _checked(variants: Mapping[str, Mapping[str, Any]] | Sequence[str] | None) -> dict[str, dict[str, Any]]:
    """Return the variants by name, each with its preset."""
    from polaris_lab.models.presets import preset_names

    if variants is None:
        lacking = [name for name, entry in KAN_VARIANTS.items() if entry["preset"] not in preset_names()]
        if lacking:
            logger.info("kan_variants: there is no preset for %s", ", ".join(lacking))
        return {name: entry for name, entry in KAN_VARIANTS.items() if name not in lacking}
    if isinstance(variants, str) or not isinstance(variants, Mapping | Sequence):
        raise TypeError(f"variants: expected names, or presets and settings by name, got {variants!r}")
    if not variants:
        raise ValueError("variants: expected one network or more, got none: there is nothing to run")
    if not isinstance(variants, Mapping):
        offered = (*KAN_VARIANTS, *preset_names())
        for name in variants:
            if name not in offered:
                raise ValueError(f"variants: unknown name {name!r}: {did_you_mean(str(name), offered)}")
        return {name: KAN_VARIANTS.get(name, {"preset": name}) for name in variants}
    for name, entry in variants.items():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("preset"), str):
            raise TypeError(
                f'variants[{name!r}]: expected a preset and its settings, such as {{"preset": "unet"}}, got {entry!r}'
            )
    return {str(name): dict(entry) for name, entry in variants.items()}


def _settings_of(preset: str) -> tuple[str, ...]:
    from polaris_lab.models.presets import preset_function

    return tuple(inspect.signature(preset_function(preset)).parameters)
