"""`benchmark`: several methods on the same held-out clouds, in one table."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polaris_lab import __version__
from polaris_lab.config import (
    SCHEMA,
    check_schema,
    did_you_mean,
    fingerprint,
    from_dict,
    read_json,
    to_dict,
    write_json,
)
from polaris_lab.estimators import ESTIMATORS, fit_estimator
from polaris_lab.training.bootstrap import Interval
from polaris_lab.training.evaluation import Evaluation, evaluate, name_of, target_of
from polaris_lab.training.predicted import Predictor, as_runs

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset

REFERENCES = ("power_law", "multi_scale")
"""Estimators that every method is divided by."""

SCORES = (
    "rmse_dex",
    "bias_dex",
    "in_map_rmse_dex",
    "accuracy_0.1",
    "accuracy_0.2",
    "accuracy_0.3",
    "accuracy_0.5",
    "densest_1_percent_bias_dex",
    "densest_1_percent_rmse_dex",
    "wasserstein_dex",
    "high_frequency_power_ratio",
    "crps_dex",
    "coverage_0.68",
    "coverage_0.95",
)
"""Scores that a row keeps."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A method of a benchmark, with what cannot be seen from it.

    Parameters
    ----------
    predictor : Run, Ensemble, sequence of Run, callable, or str
        As in :func:`polaris_lab.training.evaluation.evaluate`; a text is the name of an estimator, which is then
        fitted.
    fit_cpu_seconds : float, optional
        Processor time of its training.
    choices : mapping
        More arguments of :func:`polaris_lab.training.evaluation.evaluate`, such as ``symmetries=True``.
    """

    predictor: Predictor
    fit_cpu_seconds: float | None = None
    choices: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class BenchmarkTable:
    """Rows of methods by dataset; plain JSON values. Made by :func:`benchmark`."""

    rows: list
    """One a method and dataset: dataset, model, parameters, fit_cpu_seconds, cpu_seconds_per_megapixel, clouds,
    scores and ratios (of the RMSE to each reference), both by name with value, low, high."""
    references: list
    """Names of the methods that the others are divided by."""
    notes: list
    """What the reader must know."""

    def row(self, model: str, dataset: str | None = None) -> dict[str, Any]:
        """Return the row of a method on a dataset (the first by default).

        Raises
        ------
        KeyError
            If there is none.
        """
        for row in self.rows:
            if row["model"] == model and dataset in (None, row["dataset"]):
                return row
        raise KeyError(
            f"row: expected one of {[(r['dataset'], r['model']) for r in self.rows]}, got {model!r}"
        )

    def ratio(self, model: str, reference: str, dataset: str | None = None) -> Interval:
        """Return the RMSE of a method over that of a reference, paired over clouds."""
        return Interval(**self.row(model, dataset)["ratios"][reference])

    def to_markdown(self) -> str:
        """Return one table a dataset, in Markdown."""
        parts = []
        for dataset in dict.fromkeys(row["dataset"] for row in self.rows):
            rows = [row for row in self.rows if row["dataset"] == dataset]
            head = ["method", *_HEAD, *(f"RMSE / {name}" for name in self.references)]
            table = [head, ["---"] * len(head)]
            table += [[row["model"], *_cells(row), *_ratios(row, self.references)] for row in rows]
            lines = "\n".join("| " + " | ".join(cells) + " |" for cells in table)
            parts.append(f"**{dataset}** ({rows[0]['clouds']} clouds)\n\n{lines}")
        notes = "\n".join(f"- {note}" for note in self.notes)
        return "\n\n".join([*parts, notes]) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values, with the version of this layout."""
        return {"schema": SCHEMA, "kind": "benchmark", **to_dict(self)}

    def save(self, path: str | Path) -> Path:
        """Write it as JSON, whole or not at all."""
        return write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> BenchmarkTable:
        """Read what :meth:`save` wrote; it is equal to what was saved."""
        values = dict(read_json(path))
        check_schema(values.pop("schema", None), str(path))
        if values.pop("kind", None) != "benchmark":
            raise ValueError(f"{path}: expected a benchmark table, got another file")
        return from_dict(cls, values, where=str(path))

    def __str__(self) -> str:
        return self.to_markdown()

    def _repr_html_(self) -> str:
        head = ["dataset", "method", *_HEAD, *(f"RMSE / {name}" for name in self.references)]
        rows = [
            [row["dataset"], row["model"], *_cells(row), *_ratios(row, self.references)] for row in self.rows
        ]
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>" for cells in rows
        )
        top = "".join(f"<th>{escape(name)}</th>" for name in head)
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return f"<table><tr>{top}</tr>{body}</table><ul>{notes}</ul>"


def benchmark(
    models: Mapping[str, Any] | Sequence[Any],
    datasets: Mapping[str, PatchDataset] | PatchDataset,
    *,
    training: PatchDataset | None = None,
    split: str = "validation",
    target: str | None = None,
    references: Sequence[str] = REFERENCES,
    cache: str | Path | None = None,
    **choices: Any,
) -> BenchmarkTable:
    """Judge several methods on the same patches of held-out clouds.

    Parameters
    ----------
    models : mapping of str to method, or sequence of methods
        Each a Run, a sequence of Runs (their mean), a callable ``f(column_density, *, pixel_size_pc)``, an
        :class:`Entry`, or the name of an estimator, which is fitted to the training patches. References that are
        missing are put in front.
    datasets : mapping of str to PatchDataset, or PatchDataset
        What to judge on.
    training : PatchDataset, optional
        Whose training patches the named estimators are fitted to; by default each dataset's own.
    split : str
        Which patches are judged.
    target : str, optional
        What is predicted; by default the first Run's target, or the first of the dataset.
    references : sequence of str
        Estimators (or names of `models`) that every RMSE is divided by.
    cache : path, optional
        Folder that keeps what named estimators reach, so that slow ones are judged once.
    **choices
        More of :func:`polaris_lab.training.evaluation.evaluate`: level, resamples, seed ...

    Returns
    -------
    BenchmarkTable

    Raises
    ------
    ValueError
        If there is no method or dataset, a name is unknown or given twice, or there are no training patches for an
        estimator.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy import units as u
    >>> from polaris_lab.datasets import PatchDataset
    >>> maps = 10 ** np.random.default_rng(0).normal(21.5, 0.3, (8, 16, 16))
    >>> data = PatchDataset.from_arrays(
    ...     {"column_density": maps}, {"mass_weighted_density": maps / 1e18}, pixel_size=0.1 * u.pc,
    ...     split=["training"] * 4 + ["validation"] * 4, cloud=list("aabbccdd"),
    ... )
    >>> def twice(column_density, *, pixel_size_pc):
    ...     return 2 * column_density / 1e18
    >>> table = benchmark({"twice": twice}, {"toy": data}, references=["thickness"])
    >>> [row["model"] for row in table.rows]
    ['thickness', 'twice']
    """
    entries = _entries(models, references)
    named = datasets if isinstance(datasets, Mapping) else {"held-out clouds": datasets}
    if not named:
        raise ValueError("datasets: expected at least one, got none")
    rows, notes, fitted = [], [], {}
    for dataset_name, dataset in named.items():
        wanted = target or _common_target(entries, dataset)
        found: dict[str, tuple[Evaluation, float | None]] = {}
        for name, entry in entries.items():
            asked = {"split": split, "target": wanted, "name": name, **choices, **entry.choices}
            file = _file(cache, entry, training or dataset, dataset, asked)
            if file is not None and file.exists():
                known = read_json(file)
                found[name] = Evaluation.from_dict(known["evaluation"], where=str(file)), known["seconds"]
                continue
            entry = _fitted(name, entry, training or dataset, wanted, fitted)
            evaluation = evaluate(entry.predictor, dataset, **asked)
            found[name] = evaluation, entry.fit_cpu_seconds
            if file is not None:
                write_json(file, {"evaluation": evaluation.to_dict(), "seconds": entry.fit_cpu_seconds})
        for evaluation, seconds in found.values():
            rows.append(_row(dataset_name, evaluation, seconds, {r: found[r][0] for r in references}))
        first = next(iter(found.values()))[0]
        notes.append(f"{dataset_name}: {first.split_sentence}")
    level = rows[0]["scores"]["rmse_dex"]["level"]
    notes.append(
        f"errors in dex (log10); in brackets {100 * level:g} % intervals of a bootstrap over clouds, ratios paired over "
        "them; CPU seconds of one thread"
    )
    return BenchmarkTable(rows, list(references), notes)


def _entries(models: Mapping[str, Any] | Sequence[Any], references: Sequence[str]) -> dict[str, Entry]:
    """Return the methods by name, references first."""
    if not isinstance(models, Mapping):
        pairs = [(m if isinstance(m, str) else name_of(m), m) for m in models]
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            raise ValueError(f"models: expected different names, got {names}; give a mapping of names")
        models = dict(pairs)
    if not models:
        raise ValueError("models: expected at least one method, got none")
    entries = {name: Entry(name) for name in references if name not in models}
    entries.update({name: m if isinstance(m, Entry) else Entry(m) for name, m in models.items()})
    for entry in entries.values():
        if isinstance(entry.predictor, str) and entry.predictor not in ESTIMATORS:
            raise ValueError(
                f"models: unknown estimator {entry.predictor!r}: {did_you_mean(entry.predictor, list(ESTIMATORS))}"
            )
    return entries


def _file(
    cache: str | Path | None,
    entry: Entry,
    training: PatchDataset,
    dataset: PatchDataset,
    asked: dict[str, Any],
) -> Path | None:
    """Return where the cache keeps an estimator's evaluation; None for other methods, or without a cache."""
    if cache is None or not isinstance(entry.predictor, str):
        return None
    what = [entry.predictor, training.fingerprint, dataset.fingerprint, asked, __version__]
    return Path(cache) / f"{entry.predictor}_{fingerprint(what)}.json"


def _common_target(entries: Mapping[str, Entry], dataset: PatchDataset) -> str:
    """Return the target of the first network, or the dataset's first."""
    for entry in entries.values():
        if not isinstance(entry.predictor, str) and as_runs(entry.predictor):
            return target_of(entry.predictor, dataset, None)
    return dataset.targets[0]


def _fitted(
    name: str, entry: Entry, dataset: PatchDataset, target: str, known: dict[tuple[str, str, str], Entry]
) -> Entry:
    """Return a method that can predict: an estimator that is named is fitted, once for each training set."""
    if not isinstance(entry.predictor, str):
        return entry if entry.fit_cpu_seconds is not None else dataclasses.replace(
            entry, fit_cpu_seconds=_training_seconds(entry.predictor)
        )  # fmt: skip
    key = entry.predictor, dataset.fingerprint, target
    if key not in known:
        rows = dataset.indices("training")
        if len(rows) == 0:
            raise ValueError(
                f"{name}: expected training patches to fit it to, got none in the dataset; give training=..."
            )
        column_density, truth = dataset.read("column_density", rows), dataset.read(target, rows)
        start = time.process_time()
        estimator = fit_estimator(entry.predictor, column_density, truth, pixel_size_pc=dataset.pixel_size_pc)
        known[key] = Entry(estimator, time.process_time() - start)
    return dataclasses.replace(known[key], choices=entry.choices)


def _training_seconds(predictor: Predictor) -> float | None:
    """Return the time of the epochs of a run, which is processor time if one thread trained it alone."""
    runs = as_runs(predictor)
    if not runs:
        return None
    return float(sum(record.seconds for run in runs for record in run.history()))


def _row(
    dataset: str, evaluation: Evaluation, seconds: float | None, references: Mapping[str, Evaluation]
) -> dict[str, Any]:
    """Return one row of the table."""
    return {
        "dataset": dataset,
        "model": evaluation.name,
        "parameters": evaluation.parameters,
        "fit_cpu_seconds": seconds,
        "cpu_seconds_per_megapixel": evaluation.cpu_seconds_per_megapixel,
        "clouds": len(evaluation.clouds),
        "images": evaluation.images,
        "scores": {name: evaluation.scores[name] for name in SCORES if name in evaluation.scores},
        "ratios": {name: to_dict(evaluation.ratio(other)) for name, other in references.items()},
        "notes": list(evaluation.notes),
    }


_HEAD = (
    "parameters",
    "fit [CPU s]",
    "CPU s / Mpix",
    "RMSE [dex]",
    "bias [dex]",
    "within 0.1 / 0.2 / 0.3 dex [%]",
    "densest 1 %: bias / RMSE",
    "W1 [dex]",
    "power at high k",
    "68 / 95 % hold [%]",
)


def _cells(row: Mapping[str, Any]) -> list[str]:
    """Return the cells of one row but for its name and ratios."""
    scores = {name: Interval(**values) for name, values in row["scores"].items()}
    shares = " / ".join(f"{100 * scores[f'accuracy_{t}'].value:.1f}" for t in ("0.1", "0.2", "0.3"))
    dense = [scores[f"densest_1_percent_{kind}_dex"].value for kind in ("bias", "rmse")]
    held = "–"
    if "coverage_0.68" in scores:
        held = " / ".join(f"{100 * scores[f'coverage_{level}'].value:.0f}" for level in ("0.68", "0.95"))
    seconds, parameters = row["fit_cpu_seconds"], row["parameters"]
    return [
        "–" if parameters is None else f"{parameters:,}",
        "–" if seconds is None else f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}",
        f"{row['cpu_seconds_per_megapixel']:.2g}",
        str(scores["rmse_dex"]),
        f"{scores['bias_dex'].value:+.3f}",
        shares,
        f"{dense[0]:+.2f} / {dense[1]:.2f}",
        f"{scores['wasserstein_dex'].value:.3f}",
        f"{scores['high_frequency_power_ratio'].value:.2f}",
        held,
    ]


def _ratios(row: Mapping[str, Any], references: Sequence[str]) -> list[str]:
    intervals = [Interval(**row["ratios"][name]) for name in references]
    return [
        f"{one.value:.2f}" if one.low is None else f"{one.value:.2f} ({one.low:.2f} .. {one.high:.2f})"
        for one in intervals
    ]
