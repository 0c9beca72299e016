"""`Study`: what a study has found so far, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from polaris_lab.config import did_you_mean
from polaris_lab.training.studies import ledger
from polaris_lab.training.studies.cells import key_of, label

if TYPE_CHECKING:
    import xarray

    from polaris_lab.training.run import Run

FIRST = ("seed", "state")
COUNTS = (
    "parameters",
    "training_patches",
    "pixel_size_pc",
    "epochs",
    "best_epoch",
    "validation_loss",
    "cpu_seconds",
)
TEXTS = ("run", "message")
NOT_RUN = "not run"


class Study:
    """The cells of a study, planned and done; reads the folder, which another process may be writing.

    Attributes
    ----------
    path : Path
        Its folder.
    description : dict
        study.json.

    Examples
    --------
    >>> study = Study.open("runs/map")  # doctest: +SKIP
    >>> study.summary("rmse_dex")  # doctest: +SKIP
    """

    def __init__(self, path: Path, description: Mapping[str, Any]) -> None:
        self.path = path
        self.description = dict(description)

    @classmethod
    def open(cls, path: str | Path) -> Study:
        """Open the folder of a study.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            If its description is damaged or a newer version wrote it.
        """
        return cls(Path(path), ledger.read_study(Path(path)))

    @property
    def kind(self) -> str:
        """What sort of study it is, such as "complexity_map"."""
        return self.description["kind"]

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of what is varied."""
        return tuple(self.description["axes"])

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the runs."""
        return tuple(self.description["seeds"])

    @property
    def state(self) -> str:
        """What it is doing: "running", "finished" (also if cells failed) or "stopped"."""
        if ledger.holder(self.path) is not None:
            return "running"
        return "stopped" if (self._rows()["state"] == NOT_RUN).any() else "finished"

    def request_stop(self) -> bool:
        """Ask whoever runs the study to end at the next batch; what is finished is kept. Return whether somebody does."""
        if ledger.holder(self.path) is None:
            return False
        (self.path / ledger.STOP).touch()
        return True

    def runs(self) -> list[Run]:
        """Open all runs that are finished, in the order in which they were."""
        from polaris_lab.training.run import Run

        names = [entry["run"] for entry in ledger.read_ledger(self.path) if entry["state"] == "finished"]
        return [Run.open(self.path / name) for name in dict.fromkeys(names)]

    def table(self) -> pd.DataFrame:
        """Return one row for each cell and seed, planned ones too.

        Returns
        -------
        DataFrame
            A column for each of `axes` (lists as text, "10-10"), then ``seed``, ``state`` ("finished", "failed",
            "pruned", "not run"), ``parameters``, ``training_patches``, ``pixel_size_pc``, ``epochs``, ``best_epoch``,
            ``validation_loss`` (in the unit of the loss; "mse" in dex^2), ``cpu_seconds`` of the training,
            the metrics of the validation patches (``rmse_dex``, ``accuracy_within_0.3_dex`` as a fraction ...; see
            :func:`polaris_lab.training.metrics.scores`), ``run`` and ``message``. What is not known is NaN.
        """
        return self._rows()

    def metrics(self) -> tuple[str, ...]:
        """Return the columns of :meth:`table` that are results: numbers that :meth:`grid` and :meth:`summary` take."""
        table = self._rows()
        return tuple(name for name in table.columns if name not in (*self.axes, *FIRST, *TEXTS))

    def summary(self, metric: str = "rmse_dex") -> pd.DataFrame:
        """Return mean and standard deviation over the seeds for each cell.

        Returns
        -------
        DataFrame
            The columns of `axes`, ``mean``, ``std`` (of one run, n - 1 in the denominator; NaN with one seed),
            ``seeds`` (finished ones) and ``parameters``.

        Raises
        ------
        ValueError
            If there is no such column.
        """
        table = self._rows()
        self._check_metric(metric)
        finished = table[table["state"] == "finished"]
        groups = finished.groupby(list(self.axes), sort=False)
        found = groups[metric].agg(["mean", "std", "count"]).rename(columns={"count": "seeds"})
        if metric != "parameters":
            found["parameters"] = groups["parameters"].first()
        return found.reset_index()

    def grid(self, metric: str = "rmse_dex") -> xarray.DataArray:
        """Return mean and standard deviation over the seeds on the grid of `axes`.

        Returns
        -------
        DataArray
            Dimensions `axes` and ``statistic`` ("mean", "std"); NaN where a cell is not finished.

        Raises
        ------
        ImportError
            If xarray is not installed.
        ValueError
            If there is no such column, or the study is a search, which has no grid.
        """
        try:
            import xarray
        except ImportError as error:
            raise ImportError(
                "grid: expected the package xarray, got none; install it, or take summary(metric)"
            ) from error
        if self.kind == "search":
            raise ValueError(
                "grid: expected a study on a grid, got a search; take table() or summary(metric)"
            )
        table = self.summary(metric)
        cells = pd.DataFrame(
            [
                {name: label(value) for name, value in cell["settings"].items()}
                for cell in self.description["cells"]
            ]
        )
        values = [sorted(cells[name].unique(), key=_order) for name in self.axes]
        array = xarray.DataArray(
            float("nan"),
            dims=(*self.axes, "statistic"),
            coords={**dict(zip(self.axes, values, strict=True)), "statistic": ["mean", "std"]},
            name=metric,
            attrs={"units": unit(metric), "seeds": list(self.seeds), "study": self.kind},
        )
        for row in table.to_dict("records"):
            place = {name: row[name] for name in self.axes}
            for statistic in ("mean", "std"):
                array.loc[{**place, "statistic": statistic}] = row[statistic]
        return array

    def _rows(self) -> pd.DataFrame:
        done = {key_of(entry["settings"], entry["seed"]): entry for entry in ledger.read_ledger(self.path)}
        planned = {key_of(cell["settings"], cell["seed"]): cell for cell in self.description["cells"]}
        rows = [_row(done.get(key, cell)) for key, cell in {**planned, **done}.items()]
        table = pd.DataFrame(rows)
        ordered = [*self.axes, *FIRST, *(name for name in COUNTS if name not in self.axes)]
        others = [name for name in table.columns if name not in (*ordered, *TEXTS)]
        table = table.reindex(columns=[*ordered, *others, *TEXTS])
        if self.kind == "working_scale":
            base = self.description["dataset"]["pixel_size_pc"]
            place = table.columns.get_loc("pixel_size_pc")
            table.insert(place, "applied_pixel_size_pc", table["applied_factor"] * base)
        return table

    def _check_metric(self, metric: str) -> None:
        known = self.metrics()
        if metric not in known:
            raise ValueError(f"metric: unknown column {metric!r}: {did_you_mean(str(metric), known)}")

    def _counts(self) -> dict[str, int]:
        return self._rows()["state"].value_counts().to_dict()

    def _lines(self) -> list[tuple[str, str]]:
        counts = self._counts()
        base = f"preset {self.description['preset']!r}" if self.description["preset"] else "several presets"
        dataset = self.description["dataset"]
        seeds = f"{len(self.seeds)} seeds" if len(self.seeds) > 1 else (
            f"one seed: no error bars; call it again with seeds=({self.seeds[0] if self.seeds else 0}, ...), what is done is kept"
        )  # fmt: skip
        return [
            ("varied", ", ".join(self.axes)),
            ("cells", ", ".join(f"{count} {state}" for state, count in counts.items()) or "none yet"),
            ("seeds", seeds),
            ("base", base),
            ("dataset", f"{dataset['training_patches']} training, {dataset['validation_patches']} validation patches "
                        f"({dataset['fingerprint']})"),
            ("state", self.state),
            ("folder", str(self.path)),
        ]  # fmt: skip

    def __repr__(self) -> str:
        """Say what is varied and how far it is, in one line."""
        lines = dict(self._lines())
        return (
            f"Study({self.kind}: {lines['varied']}; {lines['cells']}; {lines['seeds']}; {lines['state']}; "
            f"{lines['folder']})"
        )

    def _repr_html_(self) -> str:
        cells = "".join(
            f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(text)}</td></tr>'
            for name, text in self._lines()
        )
        head = f"<table><caption><b>Study</b> {escape(self.kind)}</caption>{cells}</table>"
        if "rmse_dex" not in self.metrics():
            return head
        return head + self.summary("rmse_dex").rename(
            columns={"mean": "RMSE [dex]", "std": "± [dex]"}
        ).to_html(index=False, float_format="%.4g", na_rep="-")


def unit(metric: str) -> str:
    """Return the unit of a column of a table; "1" for fractions and counts.

    Examples
    --------
    >>> unit("rmse_dex"), unit("cpu_seconds"), unit("accuracy_within_0.3_dex")
    ('dex', 's', '1')
    """
    if metric.startswith("accuracy"):
        return "1"
    endings = {"_dex": "dex", "_seconds": "s", "_pc": "pc"}
    return next((name for ending, name in endings.items() if metric.endswith(ending)), "1")


def _row(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line of the ledger (or a planned cell) as a row."""
    row = {name: label(value) for name, value in entry["settings"].items()}
    row |= {"seed": entry["seed"], "state": entry.get("state", NOT_RUN), "run": entry["run"]}
    row |= {name: entry[name] for name in (*COUNTS, "message") if entry.get(name) is not None}
    row |= {_named(name): value for name, value in entry.get("metrics", {}).items()}
    return row


def _named(metric: str) -> str:
    """Return the name of a metric with its unit."""
    return (
        f"accuracy_within_{metric.removeprefix('accuracy_')}_dex"
        if metric.startswith("accuracy_")
        else metric
    )


def _order(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value
