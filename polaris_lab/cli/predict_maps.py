"""What `polaris-lab predict` does with each map."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u

from polaris_lab.cli.predict import LARGE, find_run, parse_distance, parse_quantity, stem

NUMBERS = {
    "beam": (u.arcsec, "36 arcsec", "an angle"),
    "foreground": (u.cm**-2, "5e20 cm-2", "a column density"),
    "depth": (u.pc, "1 pc", "a length"),
}
"""Options that are a number with a unit: the unit, an example, and what it is."""


class Job:
    """The choices of one call, checked once, and the run, loaded once.

    Parameters
    ----------
    arguments : Namespace
        Of the command line.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.distance = parse_distance(arguments.distance)
        self.numbers = {
            name: parse_quantity(getattr(arguments, name), unit, f"--{name}", example, kind=kind)
            for name, (unit, example, kind) in NUMBERS.items()
            if getattr(arguments, name) is not None
        }
        self.intervals = (68, 95) if arguments.interval == "both" else (int(arguments.interval),)
        self.cloud = _published_cloud(arguments.literature, arguments.distance)
        self.sections: list[Any] = []
        self.failed: list[str] = []
        self._runs: list[Any] | None = None
        self._check_choices()

    def _check_choices(self) -> None:
        """Refuse choices that say nothing together, and a report that cannot be written."""
        from polaris_lab.cli.predict_cores import CoreChoice
        from polaris_lab.observations.prediction_files import check_output

        self.cores = CoreChoice(self.arguments)
        if self.arguments.classical:
            for name in ("overlap", "samples", "symmetries", "depth"):
                if getattr(self.arguments, name):
                    raise ValueError(
                        f"--{name}: expected none with --classical, which is no network; leave it out"
                    )
        self._check_apart()
        if self.arguments.report is not None:
            check_output(self.arguments.report, overwrite=self.arguments.overwrite)

    def _check_apart(self) -> None:
        """Refuse to write one file twice, or over a file that is read, whatever may be overwritten."""
        given = self.arguments
        outputs = [self.output(path) for path in given.maps]
        tables = [self.cores.output(path) for path in outputs] if given.cores is not None else []
        taken = {path.resolve() for path in given.maps} | ({given.cores.resolve()} if given.cores else set())
        for path in [*tables, *([given.report] if given.report is not None else [])]:
            if path.resolve() in taken | {output.resolve() for output in outputs}:
                raise FileExistsError(
                    f"{path}: expected a file of its own, got one that is read or written for something else and would be lost; "
                    "give another name"
                )

    def check_names(self) -> None:
        """Refuse several maps that would be written to one file."""
        outputs = [self.output(path) for path in self.arguments.maps]
        twice = {str(path) for path in outputs if outputs.count(path) > 1}
        if twice:
            raise ValueError(
                f"maps: expected maps of different names, got several that become {', '.join(sorted(twice))}; predict them one "
                "by one, with --output"
            )

    def output(self, path: Path) -> Path:
        """Return the file of a map."""
        given = self.arguments.output
        name = f"{stem(path)}_density.fits"
        if len(self.arguments.maps) > 1:
            if given is not None and given.is_file():
                raise FileExistsError(
                    f"{given}: expected a folder for several maps, got a file; name a folder"
                )
            return (given or Path()) / name
        return given or Path(name)

    def runs(self) -> list[Any]:
        """Return the runs, opened once."""
        from polaris_lab.training import Run

        if self._runs is None:
            self._runs = [Run.open(path) for path in self.arguments.run or [find_run(None)]]
        return self._runs

    def predict(self, path: Path, output: Path) -> dict[str, Any]:
        """Open a map, predict, write the FITS file, and say what came out."""
        from polaris_lab.cli.predict_cores import say, summary
        from polaris_lab.observations import Observation
        from polaris_lab.observations.prediction import check_output

        given = self.arguments
        _check_free(output, path, overwrite=given.overwrite)
        names = ("unit", "blank", "law", "mu")
        choices = {name: getattr(given, name) for name in names if getattr(given, name) is not None}
        choices |= {name: _hdu(getattr(given, name)) for name in ("hdu", "error_hdu") if getattr(given, name)}
        if "beam" in self.numbers:
            choices["beam"] = self.numbers["beam"]
        named = (
            given.distance.strip() if given.distance.strip()[:1].isalpha() else None
        )  # so that its source is kept
        observation = Observation.from_fits(
            path, distance=named or self.distance, species=given.species, **choices
        )
        if not given.classical:
            self.runs()
        check_output(output, overwrite=given.overwrite)  # makes its folder, so not before the rest is known
        alone = len(given.maps) == 1
        self.cores.check(observation, output, alone=alone)
        prediction = self._work(observation, output)
        density = prediction.density
        answer = self._answer(path, output, density, prediction.quality, list(prediction.notes))
        if not given.json:
            _say(answer)
        cores = self.cores.beside(observation, prediction, output, alone=alone)
        if cores is not None:
            answer["cores"] = summary(cores, self.cores.output(output))
            if not given.json:
                say(answer["cores"])
        elif given.cores is not None and not given.json:
            print(f"no core of {given.cores} lies on {path}")
        literature = self._literature(density)
        if literature is not None:
            answer["literature"] = literature.records()
            if not given.json:
                print(f"\n{literature}\n")
        if given.report is not None:
            from widgets.prediction_report import prediction_section

            self.sections.append(
                prediction_section(observation, prediction, stem(path), literature=literature, cores=cores)
            )
        return answer

    def _literature(self, density: np.ndarray) -> Any:
        """Return published densities of the cloud beside those of a map, None where there are none."""
        from polaris_lab.observations.literature import compare_with_literature

        if self.cloud is None:
            return None
        return compare_with_literature(density, self.cloud, distance_pc=self.distance.to_value(u.pc))

    def _work(self, observation: Any, output: Path) -> Any:
        """Predict and write; return the prediction."""
        from polaris_lab.observations import Prediction, predict_density
        from polaris_lab.observations.predict_classical import estimate_map
        from polaris_lab.observations.streaming import predict_to_fits

        given = self.arguments
        common = {name: self.numbers[name] for name in ("foreground", "depth") if name in self.numbers}
        if given.classical:
            run = self.runs()[0] if given.run else None
            prediction = estimate_map(observation, given.classical, run=run, **common)
        elif observation.column_density.size > LARGE and given.samples is None and given.overlap is None:
            predict_to_fits(
                self.runs(),
                observation,
                output,
                overwrite=given.overwrite,
                intervals=self.intervals,
                average_symmetries=given.symmetries,
                progress=not given.quiet,
                **common,
            )
            return Prediction.open(output, memmap=True)
        else:
            prediction = predict_density(
                self.runs(),
                observation,
                overlap=given.overlap,
                average_symmetries=given.symmetries,
                samples=given.samples,
                progress=not given.quiet,
                **common,
            )
        prediction.write_fits(output, overwrite=given.overwrite, intervals=self.intervals)
        return prediction

    def _answer(
        self, path: Path, output: Path, density: np.ndarray, quality: np.ndarray, notes: list[str]
    ) -> dict[str, Any]:
        from polaris_lab.observations.prediction import Quality

        valid = np.isfinite(density)
        low, median, high = (float(value) for value in np.percentile(density[valid], [1, 50, 99]))
        made_by = (
            {"estimator": self.arguments.classical, "interval": None}
            if self.arguments.classical
            else {
                "run": ", ".join(str(run.path) for run in self.runs()),
                "run_fingerprint": ", ".join(run.fingerprint for run in self.runs()),
                "interval": list(self.intervals),
            }
        )
        return {
            "map": str(path),
            "output": str(output),
            **made_by,
            "pixels": int(valid.sum()),
            "density_cm-3": {
                "percentile_1": low,
                "median": median,
                "percentile_99": high,
                "max": float(density[valid].max()),
            },
            "flagged_fraction": float(np.mean((quality[valid] & ~int(Quality.RESAMPLED)) != 0)),
            "notes": notes,
        }

    def reported(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Write the report, where one is wanted, and return the answer with its name."""
        if self.arguments.report is None:
            return answer
        from widgets.prediction_report import prediction_report

        prediction_report(self.arguments.report, self.sections, failed=self.failed)
        if not self.arguments.json:
            print(f"report {self.arguments.report}")
        return {**answer, "report": str(self.arguments.report)}


def _published_cloud(named: str | None, distance: str) -> str | None:
    """Return the cloud whose published densities stand beside the answer: the one named, or that of the distance."""
    from polaris_lab.observations.literature import clouds, published

    if named is None:
        return next((cloud for cloud in clouds() if cloud.lower() == distance.strip().lower()), None)
    try:
        return published(named)[0].cloud
    except ValueError as error:
        raise ValueError(f"--literature: expected one of {', '.join(clouds())}; {error}") from error


def _say(answer: dict[str, Any]) -> None:
    """Print what came out of one map."""
    found = answer["density_cm-3"]
    print(
        f"wrote {answer['output']}: {answer['pixels']} pixels of n_H, median {found['median']:.3g} cm^-3, "
        f"1-99 % {found['percentile_1']:.3g} .. {found['percentile_99']:.3g}"
    )
    for note in answer["notes"]:
        print(note)
    model = f"model {answer['run']} ({answer['run_fingerprint']})" if "run" in answer else answer["estimator"]
    print(f"{model}; {answer['flagged_fraction']:.0%} of the pixels carry a quality flag")


def _hdu(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdigit() else text


def _check_free(output: Path, source: Path, *, overwrite: bool) -> None:
    """Refuse a name that is taken, and in any case that of the map itself."""
    if output.exists() and source.exists() and output.samefile(source):
        raise FileExistsError(
            f"{output}: expected another file than the map, got the map itself, which would be lost; give another --output"
        )
    if output.is_file() and not overwrite:
        raise FileExistsError(
            f"{output}: expected a free name, the file exists; give --overwrite or another --output"
        )
