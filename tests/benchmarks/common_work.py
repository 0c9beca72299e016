"""Train the networks of issue "must reach" on the common synthetic work and say what they reach.

    python tests/benchmarks/common_work.py FOLDER [small gaussian best fresh suite]

FOLDER (outside the repository) keeps clouds and runs, so that a second call only judges. Times are CPU seconds of one
thread, training and its validations together. "fresh" judges on clouds that nobody has looked at while settings were
chosen (numbers from 3000 on; after that, they have been looked at). "suite" is the project's own suite of flows and random fields
(:func:`polaris_lab.clouds.suite.ensemble`), 20 clouds of 64^3 cells of which six are held out.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import torch

import polaris_lab as lab
from polaris_lab.clouds.suite import ensemble
from polaris_lab.datasets import PatchConfig, build_dataset
from polaris_lab.training.benchmark import BenchmarkTable, Entry, benchmark
from polaris_lab.training.benchmark_networks import NETWORKS, Network, folder_name, trained, training_patches
from polaris_lab.training.common_work import FULL, WorkSize, common_work
from polaris_lab.training.recalibration import recalibrate

NAMES = {
    "small": "ours, 8 filters",
    "gaussian": "ours, 8 filters, Gaussian",
    "best": "ours, 12 filters",
}

SUITE = Network(
    "unet",
    {"layers": 3, "base_filters": 8, "attention": False, "convolutions": 2},
    {"epochs": 12, "batch_size": 4},
    symmetries=True,
)


FRESH = dataclasses.replace(FULL, first_test=3000)


def common(folder: Path, which: list[str], size: WorkSize) -> BenchmarkTable:
    """Judge the named networks on the clouds of the common work."""
    folder = folder / "full"
    work = common_work(folder / "clouds", size, progress=print)
    entries = {}
    for key in which:
        network = NETWORKS[NAMES[key]]
        path = folder / "runs" / folder_name(NAMES[key])  # those of `polaris-lab benchmark --cache FOLDER`
        run, seconds = trained(path, network, training_patches(folder, size, network))
        choices: dict = {"symmetries": network.symmetries}
        if key == "gaussian":
            choices["recalibration"] = recalibrate(run, symmetries=network.symmetries)
        entries[key] = Entry(run, seconds, choices)
    return benchmark(
        entries,
        {"unseen clouds": work.test, "beyond the ranges": work.outside},
        training=work.maps,
        target="mass_weighted_density",
    )


def suite(folder: Path) -> BenchmarkTable:
    """Judge a small network on held-out clouds of the project's own suite."""
    path = folder / "suite.zarr"
    if path.exists():
        data = lab.PatchDataset.open(path)
    else:
        cubes = ensemble(20, folder / "ensemble", size=64, depths=(1, 2), workers=1, progress=False)
        config = PatchConfig(
            patch_size=32, min_separation=0.5, split_by="cloud", validation_fraction=0.3, seed=0
        )
        data = build_dataset(cubes, config, path)
    run, seconds = trained(folder / "runs" / "suite", SUITE, data)
    return benchmark({"small": Entry(run, seconds, {"symmetries": True})}, {"suite": data})


def main(folder: Path, which: list[str]) -> None:
    """Train what is missing, and print the tables."""
    torch.set_num_threads(1)
    keys = [key for key in which if key in NAMES]
    if keys:
        print(common(folder, keys, FRESH if "fresh" in which else FULL))
    if "suite" in which:
        print(suite(folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or [*NAMES, "suite"])
