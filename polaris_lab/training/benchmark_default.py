"""The shipped network beside others that learn from the same gas, and the classical estimators, on gas of several kinds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from polaris_lab.config import fingerprint
from polaris_lab.datasets import PatchDataset
from polaris_lab.estimators import ESTIMATORS, fit_estimator
from polaris_lab.training.benchmark import REFERENCES, BenchmarkTable, Entry, benchmark
from polaris_lab.training.benchmark_networks import NETWORKS, SLOW, Network, folder_name, is_trained, trained
from polaris_lab.training.benchmark_sets import TARGET, AccuracySet, accuracy_sets, common_family, own_family
from polaris_lab.training.recalibration import recalibration_of
from polaris_lab.training.recipes import load_recipe, pretrained
from polaris_lab.training.recipes.work import patches_of

SHIPPED = "the shipped network"
TOLD = "the shipped network, depth told"

PATCHES = {"seed": 3, "size": 64, "training": 900, "validation": 90}
"""What the networks that are compared learn from: other patches of the clouds of the shipped network's recipe."""

TRAINING = {"epochs": 2, "batch_size": 4}
"""Of every network that is compared: as many steps for each."""

FLOW = "flow matching, mean of 16 samples"

COMPARED = {
    **{name: NETWORKS[name] for name in NETWORKS if "of the report" in name},
    "plain U-Net, 8 filters": NETWORKS["U-Net, residual, 8 filters"],
    FLOW: NETWORKS[FLOW],
}
"""Networks of the table, by name."""

Say = Callable[[str], object]


def compared_networks(
    folder: Path, *, cpu_minutes: float, say: Say, networks: Mapping[str, Network] | None = None
) -> tuple[PatchDataset, dict[str, Entry], list[str]]:
    """Return the patches, the networks that learnt from them, and what the budget left out."""
    recipe = load_recipe("default")
    last = recipe.stages[-1][0]
    data = patches_of(
        recipe.clouds, dataclasses.replace(last, **PATCHES), folder / "recipe", workers=1, say=say
    )
    entries, notes, spent = {}, [], 0.0
    for name, network in (COMPARED if networks is None else networks).items():
        path = folder / "runs" / folder_name(name)
        if spent >= 60 * cpu_minutes and not is_trained(path):
            notes.append(f"{name} is left out: the budget of {cpu_minutes:g} CPU-minutes is spent")
            continue
        say(f"training {name!r}")
        run, seconds = trained(path, dataclasses.replace(network, training=TRAINING), data)
        spent += seconds
        entries[name] = Entry(run, seconds)
    return data, entries, notes


def default_benchmark(
    folder: str | Path,
    *,
    shared: str | Path | None = None,
    cpu_minutes: float = 15.0,
    clouds: int = 8,
    cells: int = 256,
    networks: Mapping[str, Network] | None = None,
    estimators: tuple[str, ...] = tuple(ESTIMATORS),
    progress: Say | None = None,
) -> list[BenchmarkTable]:
    """Judge the shipped network, networks with a small and equal budget, and the classical estimators on each set of gas.

    Parameters
    ----------
    folder : path
        Keeps clouds, patches, runs and tables; the same call goes on where it was cut off.
    shared : path, optional
        Folder of the MHD snapshots (see :func:`polaris_lab.training.benchmark_sets.accuracy_sets`).
    cpu_minutes : float
        Processor time for all trainings; what would start beyond it is left out, and the table says so.
    clouds, cells : int
        Of the sets that are judged on.
    networks : mapping of str to Network, optional
        :data:`COMPARED` by default.
    estimators : tuple of str
        All by default. The slow ones are judged on the suite and the MHD snapshots only.
    progress : callable, optional
        Told one line before each step.

    Returns
    -------
    list of BenchmarkTable
        One for each set; its one dataset is the title of the set.

    Raises
    ------
    ValueError
        If the budget is not positive.
    """
    if not cpu_minutes > 0:
        raise ValueError(f"cpu_minutes: expected a positive number, got {cpu_minutes}")
    folder, say = Path(folder), progress or (lambda line: None)
    sets = accuracy_sets(
        folder, shared=None if shared is None else Path(shared), clouds=clouds, cells=cells, say=say
    )
    data, entries, notes = compared_networks(folder, cpu_minutes=cpu_minutes, say=say, networks=networks)
    tables = []
    for chosen in sets:
        say(f"judging on {chosen.title}")
        table = _judged(chosen, entries, data, folder, estimators)
        if shared is None and chosen is sets[0]:
            notes = [*notes, "the MHD snapshots are not at hand: (b) is missing"]
        tables.append(dataclasses.replace(table, notes=[*notes, *table.notes]))
    return tables


def _judged(
    chosen: AccuracySet, networks: Mapping[str, Entry], data: PatchDataset, folder: Path, estimators: tuple[str, ...]
) -> BenchmarkTable:  # fmt: skip
    """Return the table of one set, from the folder where it is known."""
    run = pretrained()
    small = chosen.key in ("suite", *_MHD)
    named: dict[str, Any] = {name: name for name in estimators if small or name not in SLOW}
    references = [*REFERENCES, *_own(chosen, folder, named)]
    shipped = Entry(run, _CPU_SECONDS, {"recalibration": recalibration_of(run)})
    named |= {name: entry for name, entry in networks.items() if small or name != FLOW}
    what = [chosen.told.fingerprint, run.fingerprint, data.fingerprint, sorted(named), references, _LAYOUT]
    path = folder / "tables" / f"{chosen.key.replace(' ', '_')}_{fingerprint(what)}.json"
    if path.exists():
        return BenchmarkTable.load(path)
    choices: dict[str, Any] = {
        "training": data, "target": TARGET, "references": references, "cache": folder / "estimators"
    }  # fmt: skip
    table = benchmark(named | {SHIPPED: shipped}, {chosen.title: chosen.maps}, **choices)
    fitted = {name: named[name] for name in references if name in named}
    told = benchmark(fitted | {TOLD: shipped}, {chosen.title: chosen.told}, **choices)
    table = dataclasses.replace(table, rows=[*table.rows, told.row(TOLD)])
    table.save(path)
    return table


def _own(chosen: AccuracySet, folder: Path, named: dict[str, Any]) -> list[str]:
    """Add references that know the gas of this set: fitted to clouds of its family, or to the very snapshot."""
    if chosen.key in ("suite", "common"):
        cells = 2 * chosen.maps.read("column_density", np.arange(1)).shape[-1]
        maps, pixel = own_family(folder) if chosen.key == "suite" else common_family(folder, cells)
        names = {f"{name}, same family": (name, maps, pixel) for name in REFERENCES}
    elif chosen.key in _MHD:
        rows = chosen.maps.indices("validation")
        maps = np.stack([chosen.maps.read(name, rows) for name in ("column_density", TARGET)], axis=1)
        names = {"straight line of its own": ("power_law", maps, chosen.maps.pixel_size_pc)}
    else:
        return []
    for name, (kind, maps, pixel) in names.items():
        named[name] = Entry(fit_estimator(kind, maps[:, 0], maps[:, 1], pixel_size_pc=pixel))
    return list(names)


_MHD = ("mhd early", "mhd late")

_CPU_SECONDS = 2129.0
"""Of both trainings of the shipped network (MODEL_CARD.md)."""

_LAYOUT = 1
"""Counts up when tables are made in another way, so that old ones are not taken for them."""
