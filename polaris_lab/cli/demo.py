"""Walk the whole way once, in a few minutes and without a download.

Makes synthetic clouds, a training set from some of them, a U-Net, its validation on clouds that it never
saw, and the density map of an observation-like FITS map of yet another cloud; writes a report.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from tqdm.auto import tqdm

from polaris_lab.config import SCHEMA, check_schema, read_json, to_dict, write_json

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DemoConfig:
    """How large the demonstration is, and from which seed everything follows."""

    cloud_size: int = 96
    """Cells along a side of every cloud, the observed one too: a network cannot see how deep a cloud is, and
    gives the clouds it sees the depth of its training clouds."""
    patch_size: int = 48
    pixel_size_pc: float = 0.025
    training_clouds: int = 12
    validation_clouds: int = 5
    epochs: int = 30
    batch_size: int = 8
    learning_rate: float = 2e-3
    layers: int = 3
    base_filters: int = 16
    distance_pc: float = 300.0
    """Distance of the observation-like map."""
    beam_pixels: float = 1.5
    """FWHM of its beam, in pixels of the map."""
    noise: float = 0.02
    """Rms of its noise, as a fraction of the column density."""
    seed: int = 0


QUICK = {
    "cloud_size": 64,
    "patch_size": 32,
    "training_clouds": 8,
    "validation_clouds": 3,
    "epochs": 40,
    "batch_size": 4,
    "learning_rate": 4e-3,
    "layers": 2,
    "base_filters": 8,
}
"""Settings of ``--quick``: the same way in less than a minute, with a rougher network."""


CLOUDS = {
    "log10 of the mean density [cm^-3]": (2.5, 3.5),
    "Mach number": (4.0, 10.0),
    "compressive fraction": (0.15, 0.5),
    "turnover times": (0.6, 1.0),
    "width of the density PDF": (1.0, 1.6),
    "slope of its tail": (1.6, 2.6),
}
"""Ranges that the clouds are drawn from, evenly and in this order."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder to write (default: demo)")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the results of an earlier demo in that folder"
    )
    parser.add_argument(
        "--seed", type=int, default=DemoConfig.seed, help="another seed gives other clouds (default: 0)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="less than a minute: smaller clouds, a rougher network"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Make everything that is not there yet, print where it is and what to try next."""
    config = DemoConfig(seed=arguments.seed)
    if arguments.quick:
        config = replace(config, **QUICK)
    demo = Demo(arguments.output, config, progress=not arguments.quiet)
    demo.prepare(overwrite=arguments.overwrite)
    answer = demo.make()
    if not arguments.json:
        print(demo.farewell(answer))
    return answer


class Demo:
    """The artefacts of one demonstration in a folder, each made once; an interrupted demo goes on where it stopped."""

    def __init__(self, folder: Path, config: DemoConfig, *, progress: bool = True) -> None:
        self.folder = folder
        self.config = config
        self.progress = progress
        self.dataset_path = folder / "dataset.zarr"
        self.run_path = folder / "run"
        self.map_path = folder / "observation.fits"
        self.density_path = folder / "density.fits"
        self.report_path = folder / "report.html"

    # -- the folder ----------------------------------------------------------------------------------

    def prepare(self, *, overwrite: bool) -> None:
        """Claim the folder: a new one, one of the same demo, or, with `overwrite`, one to begin anew."""
        stamp = self.folder / "demo.json"
        wanted = {"schema": SCHEMA, **to_dict(self.config)}
        if overwrite and stamp.exists():
            for path in self._own_paths():
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        elif stamp.exists():
            found = read_json(stamp)
            check_schema(found.get("schema"), str(stamp))
            if found != wanted:
                raise FileExistsError(
                    f"{self.folder}: expected a free folder or the same demo, got one with other settings; "
                    "give --overwrite, or another --output"
                )
        elif self.folder.exists() and any(self.folder.iterdir()):
            raise FileExistsError(
                f"{self.folder}: expected a free folder, got one with files that no demo made; give another --output"
            )
        write_json(stamp, wanted)

    def _own_paths(self) -> list[Path]:
        """Return what a demo writes, so that nothing else is ever removed."""
        return [
            self.dataset_path,
            self.dataset_path.with_name(self.dataset_path.name + ".partial"),
            self.run_path,
            self.map_path,
            self.density_path,
            self.report_path,
        ]

    # -- the stages ----------------------------------------------------------------------------------

    def make(self) -> dict[str, Any]:
        """Go through the five stages and return the figures that matter, with the paths."""
        start = time.perf_counter()
        log.info("1/5 clouds and training set")
        dataset = self._dataset()
        log.info("2/5 training")
        trained = self._train(dataset)
        log.info("3/5 validation on clouds that the network never saw")
        predicted, target = trained.validate()
        log.info("4/5 density of an observation-like map of another unseen cloud")
        observed = self._observe()
        prediction = self._predict(trained, observed)
        log.info("5/5 report")
        scores = trained.validation()
        answer = self._answer(scores, prediction, observed)
        self._report(trained, dataset, (predicted, target), observed, prediction)
        answer["seconds"] = round(time.perf_counter() - start, 1)
        return answer

    def _dataset(self):
        """Open the training set, or make clouds and build it."""
        from polaris_lab.datasets import PatchConfig, PatchDataset, build_dataset

        if self.dataset_path.exists():
            return PatchDataset.open(self.dataset_path)
        count = self.config.training_clouds + self.config.validation_clouds
        clouds = [
            self._cloud(index, self.config.cloud_size)
            for index in tqdm(range(count), desc="clouds", unit="cloud", disable=not self.progress)
        ]
        patches = PatchConfig(
            patch_size=self.config.patch_size,
            split_by="cloud",
            validation_fraction=self.config.validation_clouds / count,
            seed=self.config.seed,
        )
        return build_dataset(clouds, patches, self.dataset_path, progress=self.progress)

    def _cloud(self, index: int, size: int):
        """Make the cloud number `index` of `size` cells a side, each of another turbulence and mean density."""
        from polaris_lab.clouds import synthetic_cloud

        rng = np.random.default_rng([self.config.seed, index])
        seed = int(rng.integers(2**31))
        log_density, mach, compressive, turnovers, width, slope = (
            rng.uniform(*limits) for limits in CLOUDS.values()
        )
        return synthetic_cloud(
            size,
            seed=seed,
            box_size=size * self.config.pixel_size_pc * u.pc,
            mean_density=10**log_density * u.cm**-3,
            mach_number=mach,
            compressive_fraction=compressive,
            turnover_times=turnovers,
            pdf_width=width,
            tail_slope=slope,
            name=f"cloud {index}",
        )

    def _train(self, dataset):
        """Train the network, or go on with a training that was interrupted."""
        from polaris_lab.models import Blueprint
        from polaris_lab.training import Run, TrainingConfig

        if (self.run_path / "run.json").exists():
            trained = Run.open(self.run_path)
        else:
            blueprint = Blueprint.unet(layers=self.config.layers, base_filters=self.config.base_filters)
            training = TrainingConfig(
                epochs=self.config.epochs,
                batch_size=self.config.batch_size,
                learning_rate=self.config.learning_rate,
                seed=self.config.seed,
            )
            trained = Run.create(self.run_path, blueprint, dataset, training)
        trained.train(progress=self.progress)
        return trained

    def _observe(self):
        """Look at a cloud that is in no training set: beam, noise, a corner without data."""
        from polaris_lab.observations import observe_cube

        unseen = self._cloud(
            self.config.training_clouds + self.config.validation_clouds, self.config.cloud_size
        )
        return observe_cube(
            unseen,
            axis="z",
            distance=self.config.distance_pc * u.pc,
            beam_fwhm=self.config.beam_pixels * self.config.pixel_size_pc * u.pc,
            relative_noise=self.config.noise,
            blank_corner=0.15,
            seed=self.config.seed,
        )

    def _predict(self, trained, observed):
        """Predict from the FITS file, as a user would, and write the density map."""
        from polaris_lab.observations import Observation, predict_density

        observed.observation.write_fits(self.map_path, overwrite=True)
        opened = Observation.from_fits(self.map_path, distance=self.config.distance_pc * u.pc, species="H2")
        prediction = predict_density(trained, opened, progress=self.progress)
        prediction.write_fits(self.density_path, overwrite=True)
        return prediction

    def _answer(self, scores: dict[str, Any], prediction, observed) -> dict[str, Any]:
        """Collect the figures a person asks for first: how good, against what, on which gas."""
        from polaris_lab.training.metrics import scores as score_maps

        valid = np.isfinite(prediction.density)
        truth = np.where(valid, observed.density, np.nan)
        inside = (prediction.lower68 <= truth) & (truth <= prediction.upper68)
        return {
            "dataset": str(self.dataset_path),
            "run": str(self.run_path),
            "observation": str(self.map_path),
            "density": str(self.density_path),
            "report": str(self.report_path),
            "split": scores["split"],
            "validation": {"network": scores["metrics"], "power_law": scores["power_law"]},
            "map": {**score_maps(prediction.density, truth), "coverage_68": float(inside[valid].mean())},
        }

    def _report(self, trained, dataset, pair, observed, prediction) -> None:
        """Write the self-contained page."""
        from widgets.report import demo_report

        predicted, target = pair
        demo_report(
            self.report_path,
            run=trained,
            dataset=dataset,
            predicted=predicted,
            target=target,
            observation=observed.observation,
            prediction=prediction,
            truth=observed.density,
            seed=self.config.seed,
            facts=self.facts(),
        )

    def facts(self) -> dict[str, str]:
        """Return what the clouds and the map were, for the report."""
        config = self.config
        drawn = "; ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in CLOUDS.items())
        return {
            "clouds": f"{config.training_clouds} for training and {config.validation_clouds} for validation, synthetic "
            f"turbulence of {config.cloud_size}³ cells of {config.pixel_size_pc:g} pc",
            "each drawn from": drawn,
            "observed cloud": f"one more, of {config.cloud_size}³ cells, seen along z at {config.distance_pc:g} pc through a "
            f"beam of {config.beam_pixels:g} pixels (FWHM), with noise of {config.noise:.0%} and a corner without data",
        }

    def farewell(self, answer: dict[str, Any]) -> str:
        """Return what the demo says at its end."""
        network, power_law = answer["validation"]["network"], answer["validation"]["power_law"]
        rows = [
            ("training set", answer["dataset"]),
            ("trained run", answer["run"]),
            ("observed map", answer["observation"]),
            ("density map", answer["density"]),
            ("report", f"{answer['report']}   <- open this in a browser"),
        ]
        places = "\n".join(f"  {label:<13} {path}" for label, path in rows)
        program = program_name()
        return (
            f"\nOn clouds that it never saw, the network is within 0.3 dex on {network['accuracy_0.3']:.1%} of the pixels "
            f"(power law {power_law['accuracy_0.3']:.1%}); rms error {network['rmse_dex']:.3f} dex ({power_law['rmse_dex']:.3f}).\n"
            f"{places}\n\nTry next:\n"
            "  make lab                                   the notebooks\n"
            f'  {program} predict YOUR_MAP.fits --distance "300 pc" --species H2 --run {self.run_path} --output density.fits\n'
            f"  {program} serve training {self.run_path}       the training, live\n"
        )


def program_name() -> str:
    """Return how to call this program here: by its name where the shell finds it, else by its path."""
    beside = Path(sys.executable).with_name("polaris-lab")
    found = shutil.which("polaris-lab")
    if found is not None and (not beside.exists() or Path(found).samefile(beside)):
        return "polaris-lab"
    here = beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside
    return str(here) if beside.exists() else f"{sys.executable} -m polaris_lab.cli"
