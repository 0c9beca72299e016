"""Catalogued cores in `polaris-lab predict`: read once, put beside each map, and written as a table."""

from __future__ import annotations

import argparse
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from polaris_lab.cli.predict import parse_distance, stem


class CoreChoice:
    """The catalogue of one call.

    Parameters
    ----------
    arguments : Namespace
        Of the command line, with `cores`.

    Raises
    ------
    ValueError, FileNotFoundError
        If options say nothing without a catalogue, or it cannot be read.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        from polaris_lab.observations.cores import CatalogueWarning, open_catalogue

        self.arguments = arguments
        self.catalogue: Any = None
        if arguments.cores is None:
            for name in ("core_distance", "core_column", "core_density"):
                if getattr(arguments, name):
                    raise ValueError(
                        f"--{name.replace('_', '-')}: expected a catalogue with it; add --cores CATALOGUE"
                    )
            return
        distance = None if arguments.core_distance is None else parse_distance(arguments.core_distance)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CatalogueWarning)  # what is said stands in the notes
            self.catalogue = open_catalogue(
                arguments.cores, distance=distance, columns=_columns(arguments.core_column)
            )

    def output(self, output: Path) -> Path:
        """Return the table's file, beside the prediction."""
        return output.with_name(f"{stem(output)}_cores.ecsv")

    def check(self, observation: Any, output: Path, *, alone: bool) -> None:
        """Refuse before the work what cannot be done after it; of several maps some may hold no core.

        Raises
        ------
        FileExistsError, PermissionError, ValueError
        """
        if self.catalogue is None:
            return
        from polaris_lab.observations.cores.on_map import density_column, lie_on
        from polaris_lab.observations.prediction_files import check_output

        check_output(self.output(output), overwrite=self.arguments.overwrite)
        density_column(self.catalogue, self.arguments.core_density)
        if alone:
            lie_on(self.catalogue, observation)

    def beside(self, observation: Any, prediction: Any, output: Path, *, alone: bool) -> Any:
        """Return the cores on a map and write their table; None where there are none."""
        if self.catalogue is None:
            return None
        from polaris_lab.config import write_bytes
        from polaris_lab.observations.cores import CatalogueWarning, cores_on_map

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CatalogueWarning)
            try:
                found = cores_on_map(
                    observation, prediction, self.catalogue, column=self.arguments.core_density
                )
            except ValueError:
                if alone:
                    raise
                return None
        text = io.StringIO()
        found.table.write(text, format="ascii.ecsv")
        write_bytes(self.output(output), text.getvalue().encode())
        return found


def summary(cores: Any, path: Path) -> dict[str, Any]:
    """Return what the answer says of the cores."""
    answer: dict[str, Any] = {"table": str(path), "number": len(cores), "notes": list(cores.notes)}
    if cores.errors is not None:
        found = cores.errors
        answer |= {
            "compared": len(found),
            "definition": found.definition,
            "median_error_dex": found.bias_dex,
            "scatter_dex": found.scatter_dex,
            "flagged_fraction": float(np.mean(found.flagged)),
            "by_column": [{name: row[name].item() for name in row.colnames} for row in found.by_column()],
        }
    return answer


def say(answer: dict[str, Any]) -> None:
    """Print what came out of the cores."""
    print(f"wrote {answer['table']}: {answer['number']} cores")
    for note in answer["notes"]:
        print(note)
    if "compared" in answer:
        print(
            f"{answer['compared']} cores against the catalogue: median {answer['median_error_dex']:+.2f} dex, scatter "
            f"{answer['scatter_dex']:.2f} dex, {answer['flagged_fraction']:.0%} flagged ({answer['definition']})"
        )


def _columns(given: list[str] | None) -> dict[str, str]:
    """Return our names of columns and those of the file, of NAME=COLUMN."""
    pairs = [text.partition("=") for text in given or []]
    for ours, sign, theirs in pairs:
        if not (ours and sign and theirs):
            raise ValueError(
                f"--core-column: expected NAME=COLUMN such as ra=RAJ2000, got {ours + sign + theirs!r}"
            )
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}
