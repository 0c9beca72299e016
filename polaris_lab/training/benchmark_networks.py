"""The networks of the README's table, trained once and kept in a folder: the whole benchmark in one call."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from polaris_lab.config import did_you_mean, read_json, write_json
from polaris_lab.datasets import PatchDataset
from polaris_lab.estimators import ESTIMATORS
from polaris_lab.models import Blueprint
from polaris_lab.models.presets import preset_names
from polaris_lab.training.benchmark import REFERENCES, BenchmarkTable, Entry, benchmark
from polaris_lab.training.common_work import FULL, QUICK, WorkSize, common_work
from polaris_lab.training.recalibration import recalibrate
from polaris_lab.training.run import Run
from polaris_lab.training.settings import TrainingConfig

CPU_FILE = "cpu_seconds.json"
"""Processor time that the training of a run has taken, in its folder."""

SLOW = ("aviator", "aviator_background", "constrained_diffusion_3d", "inverse_modelling")
"""Estimators of seconds a map, in the full table only."""

SIZES = ("quick", "medium", "full")
"""Of the benchmark: small clouds; the whole work without :data:`SLOW`; everything."""


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of the table: a preset, its settings, and how it is trained."""

    preset: str
    settings: Mapping[str, Any]
    training: Mapping[str, Any]
    symmetries: bool = False
    """Average over the 8 symmetries when it predicts."""
    patches_per_map: int = 10
    """Patches that it sees of each map of 16: fewer are cheaper, more are better."""


SMALL = {"layers": 3, "base_filters": 8, "attention": False, "convolutions": 2}
BEST = {"layers": 4, "base_filters": 12, "attention": False, "convolutions": 2}
REPORT = {
    "residual": False,
    "scale_equivariant": False,
    "dropout": 0.05,
    "convolutions": 1,
    "attention": True,
}

SHORT = {"epochs": 2, "batch_size": 4}
"""Training of the small networks, for half a CPU-minute."""

NETWORKS: dict[str, Network] = {
    "U-Net of the report, 8 filters": Network("unet", {"layers": 3, "base_filters": 8, **REPORT}, SHORT),
    "K-Net of the report, 8 filters": Network("knet", {"layers": 3, "base_filters": 8, **REPORT}, SHORT),
    "U-KAN of the report, 8 filters": Network(
        "ukan", {"layers": 3, "base_filters": 8, "kan_levels": 2, **REPORT}, SHORT
    ),
    "UneK of the report, 8 filters": Network(
        "unet_and_kan", {"layers": 3, "base_filters": 8, **REPORT}, SHORT
    ),
    "ours, 8 filters": Network("unet", SMALL, SHORT, symmetries=True),
    "flow matching, mean of 16 samples": Network("flow_matching", {"layers": 3, "base_filters": 8}, SHORT),
    "ours, 12 filters": Network(
        "unet", BEST, {"epochs": 5, "batch_size": 4}, symmetries=True, patches_per_map=16
    ),
    "ours, 8 filters, Gaussian": Network(
        "unet", {**SMALL, "head": "gaussian"}, {**SHORT, "loss": "auto"}, symmetries=True
    ),
    "U-Net, residual, 8 filters": Network("unet", {**SMALL, "scale_equivariant": False}, SHORT),
}
"""Networks of the table, by name."""


def run_benchmark(
    folder: str | Path,
    *,
    size: str = "full",
    cpu_minutes: float = 30.0,
    networks: Mapping[str, Network] | None = None,
    estimators: Sequence[str] | None = None,
    first_test: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> BenchmarkTable:
    """Make the common work, fit and train what is missing, and judge everything on the held-out clouds.

    Parameters
    ----------
    folder : path
        Keeps clouds and runs: what is there is not made or trained again, and a training that was cut off goes on.
    size : {"full", "medium", "quick"}
        "medium" leaves out :data:`SLOW`, and is "full" otherwise: they share clouds and runs. "quick" makes small clouds
        and short trainings, to try the command out; its numbers mean little.
    cpu_minutes : float
        Processor time for all trainings together. A network that would start beyond it is left out, and the table
        says so.
    networks : mapping of str to Network, optional
        :data:`NETWORKS` by default.
    estimators : sequence of str, optional
        Names of the classical estimators beside them, besides :data:`REFERENCES`; by default those of the size.
    first_test : int, optional
        Number of the first cloud that is judged on, from 2000 on: who has looked at some while choosing judges on others.
    progress : callable, optional
        Told one line before each step.

    Returns
    -------
    BenchmarkTable

    Raises
    ------
    ValueError
        If the budget is not positive, the size, an estimator or a network's preset is unknown, or the first cloud is one
        to learn from.
    """
    if not cpu_minutes > 0:
        raise ValueError(f"cpu_minutes: expected a positive number, got {cpu_minutes}")
    if size not in SIZES:
        raise ValueError(f"size: unknown name {size!r}: {did_you_mean(size, SIZES)}")
    if first_test is not None and first_test < FULL.first_test:
        raise ValueError(
            f"first_test: expected the number of a cloud from {FULL.first_test} on, got {first_test}; those below are to learn from"
        )
    networks = NETWORKS if networks is None else networks
    if estimators is None:
        estimators = [name for name in ESTIMATORS if size == "full" or name not in SLOW]
    for name in estimators:
        if name not in ESTIMATORS:
            raise ValueError(f"estimators: unknown name {name!r}: {did_you_mean(name, list(ESTIMATORS))}")
    estimators = list(dict.fromkeys((*REFERENCES, *estimators)))
    for name, network in networks.items():
        if network.preset not in preset_names():
            raise ValueError(
                f"{name}: unknown preset {network.preset!r}: {did_you_mean(network.preset, preset_names())}"
            )
    say = progress or (lambda line: None)
    quick = size == "quick"
    clouds = QUICK if quick else FULL
    folder = Path(folder) / ("quick" if quick else "full")
    if first_test is not None:
        clouds = dataclasses.replace(clouds, first_test=first_test)
    work = common_work(folder / "clouds", clouds, progress=say)
    entries: dict[str, Any] = {name: name for name in estimators}
    notes = [_describe(clouds)]
    left_out = [name for name in ESTIMATORS if name not in estimators]
    if left_out:
        notes.append(f"left out: {', '.join(left_out)}")
    spent = 0.0
    for name, network in networks.items():
        path = folder / "runs" / folder_name(name)
        if spent >= 60 * cpu_minutes and not is_trained(path):
            notes.append(f"{name} is left out: the budget of {cpu_minutes:g} CPU-minutes is spent")
            continue
        say(f"training {name!r}")
        run, seconds = trained(path, network, training_patches(folder, clouds, network), quick=quick)
        spent += seconds
        entries[name] = _entry(run, seconds, network)
    say("judging all methods")
    table = benchmark(
        entries,
        {"unseen clouds": work.test, "clouds beyond the training's ranges": work.outside},
        training=work.maps,
        target="mass_weighted_density",
        cache=folder / "estimators",
    )
    return dataclasses.replace(table, notes=[*notes, *table.notes])


def training_patches(folder: Path, size: WorkSize, network: Network) -> PatchDataset:
    """Return the patches that a network learns from and is validated on, from the folder of the work."""
    size = dataclasses.replace(size, patches_per_map=network.patches_per_map)
    work = common_work(folder / "clouds", size)
    return saved(work.training, folder / f"training_{network.patches_per_map}.zarr")


def _entry(run: Run, seconds: float, network: Network) -> Entry:
    choices: dict[str, Any] = {"symmetries": network.symmetries}
    if network.settings.get("head", "point") != "point":
        choices["recalibration"] = recalibrate(run, symmetries=network.symmetries)
    return Entry(run, seconds, choices)


def saved(dataset: PatchDataset, path: Path) -> PatchDataset:
    """Return a dataset from its folder, written there first if it is not."""
    if path.exists():
        known = PatchDataset.open(path)
        if known.fingerprint == dataset.fingerprint:
            return known
    return dataset.save(path, overwrite=True)


def is_trained(path: Path) -> bool:
    """Return whether a finished run stands there."""
    return (path / "run.json").exists() and Run.open(path).state == "finished"


def trained(path: Path, network: Network, dataset: PatchDataset, *, quick: bool = False) -> tuple[Run, float]:
    """Return the run of a network, trained to its end, and the CPU seconds that this took.

    A run that stands there with another blueprint, configuration or dataset is replaced.
    """
    blueprint = Blueprint.preset(network.preset, **network.settings)
    config = TrainingConfig(**{"device": "cpu", **network.training, **({"epochs": 1} if quick else {})})
    run = Run.open(path) if (path / "run.json").exists() else None
    if run is None or (run.blueprint, run.config, run.dataset_fingerprint) != (
        blueprint,
        config,
        dataset.fingerprint,
    ):
        start = time.process_time()
        run = Run.create(path, blueprint, dataset, config, overwrite=run is not None)
        write_json(path / CPU_FILE, {"seconds": time.process_time() - start})
    start = time.process_time()
    for _ in run.epochs():
        spent = read_json(path / CPU_FILE)["seconds"] + time.process_time() - start
        write_json(path / CPU_FILE, {"seconds": spent})
        start = time.process_time()
    return run, float(read_json(path / CPU_FILE)["seconds"])


def folder_name(name: str) -> str:
    """Return the name of the folder of a network's run."""
    return "".join(letter if letter.isalnum() else "_" for letter in name.lower())


def _describe(size: WorkSize) -> str:
    return (
        f"common synthetic work: {size.cells}^3 cells of 0.05 pc; {size.training} clouds to learn from, "
        f"{size.validation} to validate, {size.test} to test (from number {size.first_test} on, 3 maps each, the central {size.crop}^2 pixels), 2 beyond "
        "the ranges of the others; random fields with ridges, no gas dynamics: rankings carry over, dex do not"
    )
