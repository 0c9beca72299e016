"""List the network presets; measure them all on one small work, as a table.

Without options: every preset with its parameters. --measure trains each for the same CPU time on synthetic clouds and
scores it on clouds that it never saw. What was measured is kept in the folder, so an interrupted measurement goes on.
"""

from __future__ import annotations

import argparse
import inspect
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polaris_lab.config import SCHEMA, fingerprint, read_json, write_bytes, write_json

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.models import Blueprint

COMMON = {"layers": 3, "base_filters": 8}
"""Settings of the measured networks, where a preset has them; its other settings are those of its tests, or defaults."""

TOLERANCE_DEX = 0.3


@dataclass(frozen=True)
class Work:
    """The one work on which all presets are measured."""

    seconds: float = 8.0
    """CPU seconds of training for each preset."""
    cloud_size: int = 48
    clouds: int = 8
    held_out: int = 2
    """So many clouds, the last ones, are not trained on."""
    patch_size: int = 24
    batch_size: int = 8
    pixel_size_pc: float = 0.1
    fastest_km_s: float = 3.0
    """Line cubes hold channels from minus this velocity to plus it."""
    channel_width_km_s: float = 0.5
    seed: int = 0

    @property
    def velocity_channels(self) -> int:
        """Channels of a line cube."""
        return round(2 * self.fastest_km_s / self.channel_width_km_s) + 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    work = Work()
    parser.add_argument("names", nargs="*", metavar="PRESET", help="default: all")
    parser.add_argument("--measure", action="store_true", help="train each and score it on unseen clouds")
    parser.add_argument("--table", type=Path, help="write a Markdown table to this file")
    parser.add_argument(
        "--output", type=Path, default=Path("presets"), help="folder of the measurements (default: presets)"
    )
    parser.add_argument(
        "--seconds", type=float, default=work.seconds,
        help=f"CPU time to train each preset for (default: {work.seconds:g})",
    )  # fmt: skip
    parser.add_argument(
        "--cloud-size", type=int, default=work.cloud_size,
        help=f"cells along a side of the clouds (default: {work.cloud_size})",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=work.seed, help="of clouds and weights (default: 0)")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """List, or measure; print the table, and write it if asked."""
    from polaris_lab.models import preset_names
    from polaris_lab.models.presets import preset_function

    names = tuple(arguments.names) or preset_names()
    for name in names:
        preset_function(name)  # "did you mean"
    work = Work(seconds=arguments.seconds, cloud_size=arguments.cloud_size, seed=arguments.seed)
    if not work.seconds > 0:
        raise ValueError(f"--seconds: expected a positive number of CPU seconds, got {work.seconds:g}")
    if arguments.measure:
        import torch

        torch.set_num_threads(1)
    rows = []
    for name in names:
        rows.append({"preset": name, **described(name)})
        if arguments.measure:
            rows[-1].update(measured(name, work, arguments.output))
            if not arguments.json:
                print(line(rows[-1]), flush=True)
    reference = power_law(work, arguments.output) if arguments.measure else None
    table = markdown(rows, work if arguments.measure else None, reference)
    if arguments.table is not None:
        write_bytes(arguments.table, table.encode())
    if not arguments.json and not arguments.measure:
        print(table)
    told = {} if reference is None else {"power_law": reference}
    return {"presets": rows, **told, "table": str(arguments.table) if arguments.table else None}


def described(name: str) -> dict[str, Any]:
    """Return the inputs, outputs and parameters of a preset with its default settings."""
    from polaris_lab.models import Blueprint, parameter_count

    blueprint = Blueprint.preset(name)
    return {
        "inputs": list(blueprint.inputs),
        "outputs": list(blueprint.outputs),
        "parameters": parameter_count(blueprint),
    }


def small_blueprint(name: str, work: Work) -> Blueprint:
    """Return the network of a preset that is measured, with the channels of the work's line cubes."""
    from polaris_lab.models import Blueprint
    from polaris_lab.models.presets import preset_function, tiny_settings

    known = inspect.signature(preset_function(name)).parameters
    line = {"velocity_channels": work.velocity_channels, "channel_width": work.channel_width_km_s}
    settings = {**COMMON, **(line if "velocity_channels" in tiny_settings(name) else {})}
    common = {key: value for key, value in settings.items() if key in known}
    return Blueprint.preset(name, **{**tiny_settings(name), **common})


def measured(name: str, work: Work, folder: Path) -> dict[str, Any]:
    """Return CPU seconds a step and the accuracy of a preset, measured now or before.

    A preset that the work cannot serve (its inputs cannot be made, a package is missing) says so under "note".
    """
    from polaris_lab.models import parameter_count

    blueprint = small_blueprint(name, work)
    key = fingerprint({"blueprint": blueprint.to_dict(), "work": asdict(work)})
    path = folder / "measured.json"
    known = read_json(path)["presets"] if path.exists() else {}
    if known.get(name, {}).get("key") != key:
        try:
            values = _train(blueprint, dataset(blueprint, work, folder), work, folder / "runs" / name)
        except (ImportError, ValueError) as error:
            values = {"note": " ".join(str(error).split())}
        described = {
            "measured_inputs": list(blueprint.inputs),
            "measured_parameters": parameter_count(blueprint),
        }
        known[name] = {"key": key, **described, **values}
        write_json(path, {"schema": SCHEMA, "presets": known})
    return {key: value for key, value in known[name].items() if key != "key"}


def dataset(blueprint: Blueprint, work: Work, folder: Path) -> PatchDataset:
    """Return the training set with the quantities that a network needs, made once for each set of them."""
    return _dataset((*blueprint.inputs, *blueprint.outputs), work, folder)


def power_law(work: Work, folder: Path) -> dict[str, float]:
    """Return what a power law reaches on the same clouds, without which an accuracy says nothing."""
    from polaris_lab.estimators import fit_estimator

    data = _dataset((), work, folder)
    (column, density), (unseen, target) = (
        [data.read(name, data.indices(split)) for name in ("column_density", "mass_weighted_density")]
        for split in ("training", "validation")
    )
    law = fit_estimator("power_law", column, density, pixel_size_pc=work.pixel_size_pc)
    return _scores(law(unseen, pixel_size_pc=work.pixel_size_pc), target)


def _dataset(needed: tuple[str, ...], work: Work, folder: Path) -> PatchDataset:
    from polaris_lab.datasets import EmissionConfig, PatchConfig, PatchDataset, build_dataset
    from polaris_lab.datasets.emission_config import LINE_UNITS

    quantities = tuple(dict.fromkeys(("column_density", *sorted(needed), "mass_weighted_density")))
    emission = EmissionConfig(
        velocity_min_km_s=-work.fastest_km_s,
        velocity_max_km_s=work.fastest_km_s,
        channel_width_km_s=work.channel_width_km_s,
        channel="average",  # they are wider than a line
    )
    config = PatchConfig(
        patch_size=work.patch_size,
        split_by="cloud",
        validation_clouds=tuple(f"cloud_{n}" for n in range(work.clouds - work.held_out, work.clouds)),
        quantities=quantities,
        offset=0.0,  # smooth patches too: there are few
        emission=emission if set(quantities) & set(LINE_UNITS) else None,
        seed=work.seed,
    )
    path = folder / "datasets" / f"{fingerprint({'work': asdict(work), 'quantities': quantities})}.zarr"
    if path.exists():
        return PatchDataset.open(path)
    return build_dataset(_clouds(work), config, path, progress=False)


def _clouds(work: Work) -> list[Any]:
    """Return synthetic clouds of different Mach number and density."""
    import numpy as np
    from astropy import units as u

    from polaris_lab.clouds import synthetic_cloud

    rng = np.random.default_rng(work.seed)
    clouds = []
    for number in range(work.clouds):
        clouds.append(
            synthetic_cloud(
                work.cloud_size,
                seed=1000 * work.seed + number,
                box_size=work.cloud_size * work.pixel_size_pc * u.pc,
                mach_number=float(rng.uniform(4, 10)),
                mean_density=float(10 ** rng.uniform(2.5, 3.5)) * u.cm**-3,
                name=f"cloud_{number}",
            )
        )
    return clouds


def _train(blueprint: Blueprint, data: PatchDataset, work: Work, folder: Path) -> dict[str, Any]:
    """Train twice: two epochs to learn what a step costs, then for as long as the work allows; score the second."""
    import shutil

    from polaris_lab.training import Run, TrainingConfig

    def made(epochs: int) -> Run:
        shutil.rmtree(folder, ignore_errors=True)
        config = TrainingConfig(epochs=epochs, batch_size=work.batch_size, seed=work.seed, device="cpu")
        return Run.create(folder, blueprint, data, config)

    costs = []
    epochs = made(2).epochs()
    for _ in range(2):
        start = time.process_time()
        next(epochs)
        costs.append(time.process_time() - start)
    epochs.close()
    steps = -(-int((data.table["split"] == "training").sum()) // work.batch_size)
    trained = made(max(3, round(work.seconds / min(costs))))
    trained.train(progress=False)
    predicted, target = trained.validate()
    return {
        "cpu_seconds_per_step": min(costs) / steps,
        "steps": steps * len(trained.history()),
        **_scores(predicted, target),
    }


def _scores(predicted: Any, target: Any) -> dict[str, float]:
    """Return how close densities [cm^-3] are."""
    from polaris_lab.training.metrics import scores

    found = scores(predicted, target)
    return {"accuracy": found[f"accuracy_{TOLERANCE_DEX:g}"], "rmse_dex": found["rmse_dex"]}


def line(row: dict[str, Any]) -> str:
    """Return what was measured of one preset, in a line."""
    if "accuracy" not in row:
        return f"{row['preset']}: not measured: {row['note']}"
    return (
        f"{row['preset']}: {row['cpu_seconds_per_step']:.3g} CPU s a step, {row['steps']} steps, accuracy at "
        f"{TOLERANCE_DEX} dex {100 * row['accuracy']:.1f} %, RMSE {row['rmse_dex']:.3f} dex"
    )


def markdown(rows: list[dict[str, Any]], work: Work | None, reference: dict[str, float] | None = None) -> str:
    """Return the table as Markdown; with the work, if there was one, and what a power law reaches on it."""
    measured = work is not None
    head = ["preset", "inputs", "outputs", "parameters"]
    if measured:
        head += [
            "parameters as measured",
            "CPU s a step",
            "steps",
            f"accuracy at {TOLERANCE_DEX} dex",
            "RMSE [dex]",
        ]
    lines = ["# Presets", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        inputs = ", ".join(row["measured_inputs" if measured else "inputs"])
        cells = [row["preset"], inputs, ", ".join(row["outputs"]), f"{row['parameters']:,}"]
        if "accuracy" in row:
            cells += [f"{row['measured_parameters']:,}", f"{row['cpu_seconds_per_step']:.3g}"]
            cells += [str(row["steps"]), f"{100 * row['accuracy']:.1f} %", f"{row['rmse_dex']:.3f}"]
        elif measured:
            cells += [
                f"{row['measured_parameters']:,}",
                *[""] * 2,
                "not measured: " + row["note"].replace("|", "/"),
                "",
            ]
        lines.append("| " + " | ".join(cells) + " |")
    if work is None:
        return "\n".join([*lines, "", "Made by `polaris-lab presets --table FILE`.", ""])
    command = f"polaris-lab presets --measure --seconds {work.seconds:g} --cloud-size {work.cloud_size} --seed {work.seed} --table FILE"
    date = datetime.now(UTC).date()
    made = f"Made on {date} by `{command}`, on one thread of a CPU."
    return "\n".join([*lines, "", *_explanation(work, reference), "", made, ""])


def _explanation(work: Work, reference: dict[str, float] | None) -> list[str]:
    """Return what a reader of the table must know."""
    law = ""
    if reference is not None:
        found = f"{100 * reference['accuracy']:.1f} % and {reference['rmse_dex']:.3f} dex"
        law = f" A power law of the column density reaches {found}."
    return [
        f"Each preset, with {COMMON['layers']} layers and {COMMON['base_filters']} base filters where it has them, was "
        f"trained for {work.seconds:g} CPU seconds on {work.clouds - work.held_out} synthetic clouds of {work.cloud_size}^3 cells "
        f"({work.patch_size}^2 patches, batches of {work.batch_size}) and scored on {work.held_out} more.{law} Inputs beside the "
        f"column density are computed from the same clouds: lines of 13CO 1-0 in {work.velocity_channels} channels of "
        f"{work.channel_width_km_s:g} km/s, without noise.",
        "",
        "The first number of parameters is that of the preset's defaults (the report's sizes), the second that of the "
        "network which was measured, whose inputs and outputs the table names. A CPU time is that of an epoch with its "
        "validation, over its steps. So little "
        f"training ranks what is learnt quickly, not what is best in the end, and {work.held_out} clouds are few: "
        "differences of a few per cent mean nothing. Networks that draw samples without a baseline need far longer than this.",
    ]
