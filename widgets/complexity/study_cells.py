"""The cells of a study on a plane: which lie where, and what they found for a metric."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

NONE = "(one axis)"
"""In place of a second axis: a curve."""


@dataclass(frozen=True)
class StudyCell:
    """One choice of the settings that are varied, with its seeds."""

    settings: dict[str, Any]
    rows: tuple[dict[str, Any], ...]
    """Rows of the study's table, one a seed."""
    values: tuple[float, ...]
    """The metric of the finished seeds."""

    @property
    def text(self) -> str:
        """Its settings in words."""
        return ", ".join(f"{name} = {value}" for name, value in self.settings.items())

    @property
    def mean(self) -> float:
        """Mean over the seeds; NaN without one."""
        return sum(self.values) / len(self.values) if self.values else math.nan

    @property
    def std(self) -> float:
        """Standard deviation over the seeds, n - 1 in the denominator; NaN with fewer than two."""
        if len(self.values) < 2:
            return math.nan
        return math.sqrt(sum((value - self.mean) ** 2 for value in self.values) / (len(self.values) - 1))

    @property
    def state(self) -> str:
        """Return "finished", "part", "failed" or "not run" (also what a search has pruned, by its name)."""
        states = {row["state"] for row in self.rows}
        if len(states) == 1:
            return states.pop()
        return "part" if "finished" in states or "not run" in states else "failed"


def cells_of(study: Any, table: Any, metric: str) -> list[StudyCell]:
    """Return the cells of a study in the order of its table.

    Parameters
    ----------
    study : Study
    table : DataFrame
        Of :meth:`polaris_lab.training.Study.table`.
    metric : str
        One of its columns.
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in table.to_dict("records"):
        groups.setdefault(tuple(row[name] for name in study.axes), []).append(row)
    return [
        StudyCell(
            dict(zip(study.axes, key, strict=True)),
            tuple(rows),
            tuple(float(row[metric]) for row in rows if row["state"] == "finished" and _known(row[metric])),
        )
        for key, rows in groups.items()
    ]


def axes_of(study: Any) -> tuple[str, ...]:
    """Return the axes that can be looked along: of a search without the number of the trial."""
    return tuple(name for name in study.axes if not (study.kind == "search" and name == "trial"))


def first_plane(study: Any) -> tuple[str, str]:
    """Return the axes to begin with: across, and up or :data:`NONE`."""
    axes = axes_of(study)
    if study.kind == "search" or len(axes) == 1:
        return axes[0], NONE
    return axes[1], axes[0]


def places(values: list[Any], *, ordered: bool) -> tuple[list[float], dict[float, str]]:
    """Return where values lie along an axis, and the labels of the places.

    Parameters
    ----------
    values : list
        Numbers or texts.
    ordered : bool
        One step for each value, whatever lies between; else numbers lie where they are, on a logarithmic scale where
        they span more than a factor of 20.

    Examples
    --------
    >>> places([16, 4, 16], ordered=True)
    ([1.0, 0.0, 1.0], {0.0: '4', 1.0: '16'})
    """
    known = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    if ordered or any(isinstance(value, str) for value in known) or len(known) < 3:
        index = {value: float(number) for number, value in enumerate(known)}
    elif known[0] > 0 and known[-1] / known[0] > 20:
        index = {value: math.log10(value) for value in known}
    else:
        index = {value: float(value) for value in known}
    label = {index[value]: f"{value:.3g}" if isinstance(value, float) else str(value) for value in known}
    return [index[value] for value in values], label


def others(cell: StudyCell, plane: tuple[str, str], study: Any) -> str:
    """Return the settings of a cell that are not on the plane, in words; "" where there are none."""
    return ", ".join(f"{name} = {cell.settings[name]}" for name in axes_of(study) if name not in plane)


def _known(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
