"""Searching good settings with Optuna: every trial is a cell of a study."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polaris_lab.config import did_you_mean, to_dict
from polaris_lab.training.studies.cells import (
    Cell,
    check_cells,
    checked_seeds,
    checked_values,
    chosen,
    split_names,
)
from polaris_lab.training.studies.ledger import check_same, describe_study
from polaris_lab.training.studies.runner import check_choices, finished, held, stored_dataset
from polaris_lab.training.studies.trials import NAME, load_optuna, pruner, storage
from polaris_lab.training.studies.work import Task, visible_gpus

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.training.run import Run
    from polaris_lab.training.settings import TrainingConfig

METRICS = ("validation_loss", "rmse_dex", "densest_1_percent_rmse_dex")


def search(
    dataset: PatchDataset,
    training: TrainingConfig | None = None,
    *,
    path: str | Path,
    space: Mapping[str, Any],
    trials: int = 30,
    preset: str = "unet",
    settings: Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
    metric: str = "validation_loss",
    pruning: bool = True,
    sampler_seed: int = 0,
    workers: int = 1,
    threads: int = 1,
    client: Any = None,
) -> Iterator[Run]:
    """Search settings with the least error on the validation patches, with Optuna; yields each run as it finishes.

    Everything is in the folder, Optuna's own journal too (``optuna.journal``, for its dashboards): break out or be
    killed, call it again, and the trials at work go on where they were. More ``trials`` continue a search.
    The validation patches are used to choose: judge the winner on clouds that no trial has seen.

    Parameters
    ----------
    dataset, training, path, preset, settings, workers, threads, client
        As for :func:`polaris_lab.training.studies.sweep`.
    space : mapping
        For each dotted name (a setting of the preset, or "training.learning_rate") either a list of values, or
        ``{"low": 1e-4, "high": 1e-2, "log": True}``; whole numbers if both ends are, with an optional "step".
    trials : int
        Trials in all: those finished, pruned and failed count.
    seeds : sequence of int, optional
        A run for each in every trial, whose mean counts.
    metric : {"validation_loss", "rmse_dex", "densest_1_percent_rmse_dex"}
        What is to be small.
    pruning : bool
        End a trial whose first seed has a validation loss above the median of the others at the same epoch.
    sampler_seed : int
        Of the proposals.

    Yields
    ------
    Run
        Finished ones; pruned and failed ones are in the table.

    Raises
    ------
    ImportError
        If Optuna is not installed.
    ValueError, TypeError, FileExistsError, StudyInUseError
        As :func:`polaris_lab.training.studies.sweep`; a space that is empty or not understood; a search over losses by
        the validation loss, which is then another quantity in each trial.

    Examples
    --------
    >>> space = {"base_filters": [8, 16, 32], "training.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
    >>> for run in search(dataset, training, space=space, trials=20, path="runs/search"):  # doctest: +SKIP
    ...     print(run)
    """
    load_optuna()
    dataset, training, path = check_choices(
        dataset, training, path, workers=workers, threads=threads, client=client
    )
    if not isinstance(trials, int) or isinstance(trials, bool) or trials < 1:
        raise ValueError(f"trials: expected a whole number of at least 1, got {trials!r}")
    if metric not in METRICS:
        raise ValueError(f"metric: unknown name {metric!r}: {did_you_mean(str(metric), METRICS)}")
    distributions = checked_space(preset, space)
    if "training.loss" in space and (metric == "validation_loss" or pruning):
        raise ValueError(
            "space: expected one loss for all trials, or metric='rmse_dex' and pruning=False, got 'training.loss' to be "
            "searched by the validation loss, which is then another quantity in each trial"
        )
    search_of = _Search(
        dataset, training, path, preset, dict(settings or {}), checked_seeds(seeds, training), metric, pruning,
        distributions, threads, sampler_seed,
    )  # fmt: skip
    search_of.check_ends()
    more = {"space": {name: _json(value) for name, value in distributions.items()}, "metric": metric,
            "pruning": pruning, "seeds": search_of.seeds}  # fmt: skip
    description = describe_study(
        "search", [], preset=preset, settings=settings or {}, training=training, dataset=dataset, more=more
    )
    description |= {"axes": ["trial", *space], "seeds": search_of.seeds}
    check_same(path, description)
    return search_of.runs(description, trials, {"workers": workers, "client": client})


def checked_space(preset: str, space: Any) -> dict[str, Any]:
    """Return Optuna's distributions of a space by name.

    Raises
    ------
    TypeError, ValueError
        If it is empty, a name unknown or a range not understood.
    """
    from optuna import distributions as kinds

    if not isinstance(space, Mapping):
        raise TypeError(f'space: expected ranges by name, such as {{"base_filters": [8, 16]}}, got {space!r}')
    if not space:
        raise ValueError("space: expected one setting to search or more, got none")
    split_names(preset, space)
    found: dict[str, Any] = {}
    for name, choice in space.items():
        if not isinstance(choice, Mapping):
            values = checked_values(name, choice)
            if any(isinstance(value, list | dict) for value in values):
                raise TypeError(
                    f"{name}: expected numbers, texts or truth values to choose from, got {values}"
                )
            found[name] = kinds.CategoricalDistribution(values)
            continue
        unknown = set(choice) - {"low", "high", "log", "step"}
        if unknown or not {"low", "high"} <= set(choice):
            raise ValueError(
                f'{name}: expected a list, or {{"low": ..., "high": ...}} with "log" or "step", got {dict(choice)}'
            )
        low, high = choice["low"], choice["high"]
        if not all(
            isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in (low, high)
        ):
            raise TypeError(f"{name}: expected numbers as low and high, got {low!r} and {high!r}")
        if low >= high or (choice.get("log") and low <= 0):
            raise ValueError(f"{name}: expected low below high, and above 0 with log, got {low} and {high}")
        whole = isinstance(low, int) and isinstance(high, int)
        kind = kinds.IntDistribution if whole else kinds.FloatDistribution
        more = {"step": choice["step"]} if choice.get("step") is not None else {}
        found[name] = kind(low, high, log=bool(choice.get("log", False)), **more)
    return found


def _json(distribution: Any) -> dict[str, Any]:
    return {"kind": type(distribution).__name__.removesuffix("Distribution"), **{
        name: list(value) if isinstance(value, tuple) else value for name, value in distribution._asdict().items()
    }}  # fmt: skip


@dataclasses.dataclass
class _Search:
    """One search: asks Optuna for trials, gives them to workers, tells Optuna what came of them."""

    dataset: Any
    training: Any
    path: Path
    preset: str
    settings: dict
    seeds: list[int]
    metric: str
    pruning: bool
    distributions: dict[str, Any]
    threads: int
    sampler_seed: int

    def check_ends(self) -> None:
        """Refuse a space whose ends, or any choice of a list, make no network or training."""
        first = {name: _ends(kind)[0] for name, kind in self.distributions.items()}
        for name, kind in self.distributions.items():
            for value in _ends(kind):
                check_cells([self.cell("", {**first, name: value}, self.seeds[0])], {"": self.dataset})

    def cell(self, run: str, settings: Mapping[str, Any], seed: int) -> Cell:
        """Return the cell of one trial and seed."""
        blueprint, config = chosen(self.preset, self.settings, self.training, settings, seed)
        return Cell(dict(settings), seed, run, blueprint.to_dict(), to_dict(config))

    def runs(self, description: Mapping[str, Any], trials: int, how: Mapping[str, Any]) -> Iterator[Run]:
        """Run trials until there are so many."""
        with held(self.path, description):
            study = self.study()
            own = stored_dataset(self.path, self.dataset)
            waiting: dict[int, list[Task]] = {}
            results: dict[int, list[dict[str, Any]]] = {}
            work = self.tasks(study, trials, own, waiting, results)
            gpus = visible_gpus([to_dict(self.training)])
            for task, answer, run in finished(self.path, work, **how, gpus=gpus):
                self.take(study, task, answer, waiting, results)
                if run is not None:
                    yield run

    def study(self) -> Any:
        """Open Optuna's study, or make it."""
        import optuna

        study = optuna.create_study(
            study_name=NAME,
            storage=storage(self.path),
            load_if_exists=True,
            pruner=pruner(self.training.epochs),
        )
        seed = np.random.SeedSequence([self.sampler_seed, len(study.trials)]).generate_state(1)[0]
        study.sampler = optuna.samplers.TPESampler(seed=int(seed))
        return study

    def tasks(
        self, study: Any, trials: int, own: Any, waiting: dict[int, list[Task]], results: dict[int, list]
    ) -> Iterator[Task]:
        """Yield the runs of trials that a kill left unfinished, then those of new trials."""
        from optuna.trial import TrialState

        begun = [trial for trial in study.trials if trial.state == TrialState.RUNNING]
        while True:
            ready = next((number for number, tasks in waiting.items() if tasks), None)
            if ready is not None:
                yield waiting[ready].pop(0)
                continue
            if begun:
                trial = begun.pop(0)
                number, values = trial.number, dict(trial.params)
            elif len(study.trials) < trials:
                trial = study.ask(self.distributions)
                number, values = trial.number, dict(trial.params)
            else:
                return
            results[number] = []
            waiting[number] = [self.task(number, values, seed, own) for seed in self.seeds]

    def task(self, number: int, values: Mapping[str, Any], seed: int, own: Any) -> Task:
        """Return the run of one trial and seed; only the first seed may be pruned."""
        cell = self.cell(f"trial_{number:04d}-seed_{seed}", values, seed)
        cell = dataclasses.replace(cell, settings={"trial": number, **values})
        trial = {"storage": str(self.path.resolve()), "number": number, "epochs": self.training.epochs,
                 "pruning": self.pruning and seed == self.seeds[0]}  # fmt: skip
        return Task(str(self.path.resolve()), str(Path(own.path).resolve()), (cell,), self.threads, trial)

    def take(self, study: Any, task: Task, answer: dict, waiting: dict, results: dict) -> None:
        """Tell Optuna what came of a trial, when all its seeds are there."""
        from optuna.trial import TrialState

        number = task.trial["number"]
        if number not in results or answer["state"] == "stopped":
            return
        results[number] += answer["entries"]
        if answer["state"] == "finished" and len(results[number]) < len(self.seeds):
            return
        waiting.pop(number, None)
        entries = results.pop(number)
        state = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED}.get(
            answer["state"], TrialState.FAIL
        )
        value = None
        if state == TrialState.COMPLETE:
            value = float(np.mean([_value(entry, self.metric) for entry in entries]))
        study.tell(number, value, state=state)


def _ends(distribution: Any) -> list[Any]:
    choices = getattr(distribution, "choices", None)
    return list(choices) if choices is not None else [distribution.low, distribution.high]


def _value(entry: Mapping[str, Any], metric: str) -> float:
    return entry["validation_loss"] if metric == "validation_loss" else entry["metrics"][metric]
