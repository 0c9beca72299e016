"""What two runs have in common, and what not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from polaris_lab.config import to_dict

if TYPE_CHECKING:
    from polaris_lab.training.run import Run

ABSENT = "-"
"""Stands for the value of a setting that one of two runs does not have."""


@dataclasses.dataclass(frozen=True)
class RunComparison:
    """The settings in which two runs differ, and what came of them; printable.

    Attributes
    ----------
    names : tuple of two str
        The runs.
    differences : tuple of (str, value, value)
        Settings as dotted names, such as "training.learning_rate", "blueprint.nodes.unet.settings.layers" or
        "dataset.fingerprint", with the value in each run ("-" where one has none).
    results : tuple of (str, value, value)
        Parameters, epochs, and loss and accuracy of the best epoch ("-" before the first).

    Examples
    --------
    >>> print(RunComparison(("a", "b"), (("training.seed", 0, 1),), (("epochs", 5, 5),)))
    a and b differ in 1 setting
                     a  b
      training.seed  0  1
      epochs         5  5
    """

    names: tuple[str, str]
    differences: tuple[tuple[str, Any, Any], ...]
    results: tuple[tuple[str, Any, Any], ...]

    def __str__(self) -> str:
        rows = [("", *self.names), *(tuple(map(str, row)) for row in (*self.differences, *self.results))]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [
            "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([self._headline(), *lines])

    def _headline(self) -> str:
        first, second = self.names
        if not self.differences:
            return f"{first} and {second} have the same settings"
        count = len(self.differences)
        return f"{first} and {second} differ in {count} setting{'s' if count > 1 else ''}"

    def _repr_html_(self) -> str:
        rows = (("", *self.names), *self.differences, *self.results)
        cells = "".join(
            "<tr>" + "".join(f'<td style="text-align:left">{escape(str(x))}</td>' for x in row) + "</tr>"
            for row in rows
        )
        return f"<table><caption>{escape(self._headline())}</caption>{cells}</table>"


def compare_runs(first: Run, second: Run) -> RunComparison:
    """Compare two runs; see :meth:`polaris_lab.training.Run.compare`."""
    from polaris_lab.training.run import Run

    for run in (first, second):
        if not isinstance(run, Run):
            raise TypeError(
                f"compare: expected a Run, got {type(run).__name__}; open one with Run.open(path)"
            )
    ours, theirs = _settings(first), _settings(second)
    names = [*ours, *(name for name in theirs if name not in ours)]
    differences = tuple(
        (name, ours.get(name, ABSENT), theirs.get(name, ABSENT))
        for name in names
        if ours.get(name, ABSENT) != theirs.get(name, ABSENT)
    )
    titles = (first.name, second.name)
    if first.name == second.name:
        titles = (str(first.path), str(second.path))
    results = tuple(
        (name, ours, theirs)
        for (name, ours), (_, theirs) in zip(_results(first), _results(second), strict=True)
    )
    return RunComparison(titles, differences, results)


def _settings(run: Run) -> dict[str, Any]:
    """Return everything that decides what a run becomes, as dotted names."""
    blueprint = run.blueprint.to_dict()
    nodes = {
        node.pop("name"): node for node in ({**node} for node in blueprint.pop("nodes"))
    }  # by name, so that one more node does not shift the others
    blueprint.pop("schema", None)
    dataset = {"fingerprint": run.dataset_fingerprint, "pixel_size_pc": run.pixel_size_pc,
               "training_patches": run.description.dataset.training_patches}  # fmt: skip
    start = run.description.start_from
    tree = {
        "training": to_dict(run.config),
        "blueprint": {**blueprint, "nodes": nodes},
        "dataset": dataset,
        "start_from": None if start is None else start["sha256"][:16],
    }
    return _flat(tree)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a tree of dicts as one dict with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _results(run: Run) -> list[tuple[str, Any]]:
    best = run.best
    return [
        ("parameters", run.parameters),
        ("epochs", len(run.history())),
        ("best epoch", ABSENT if best is None else best.epoch),
        ("validation loss", ABSENT if best is None else float(f"{best.validation_loss:.6g}")),
        (
            "validation RMS error [dex]",
            ABSENT
            if best is None or best.validation_rmse_dex is None
            else float(f"{best.validation_rmse_dex:.4f}"),
        ),
        ("accuracy within 0.3 dex", ABSENT if best is None else float(f"{best.validation_accuracy:.4f}")),
    ]
