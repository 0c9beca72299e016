"""The trials of a search, kept by Optuna in a journal in the folder of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polaris_lab.training.records import EpochRecord

JOURNAL, NAME = "optuna.journal", "search"


def load_optuna() -> Any:
    """Return the module.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ImportError(
            "search: expected the package optuna, got none; install it with: pip install 'polaris-lab[lab]'"
        ) from error
    return optuna


def storage(path: Path) -> Any:
    """Return Optuna's storage of a search: a file to which several processes may write."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    file = str(path / JOURNAL)
    return JournalStorage(JournalFileBackend(file, lock_obj=JournalFileOpenLock(file)))


class Pruning:
    """Tells Optuna the validation loss after each epoch of a trial, and the trial when it is to end.

    Parameters
    ----------
    trial : mapping
        ``storage`` (folder of the study), ``number``, ``epochs`` of the training, ``pruning``.
    """

    def __init__(self, trial: Mapping[str, Any]) -> None:
        self.active = bool(trial["pruning"])
        if self.active:
            optuna = load_optuna()
            study = optuna.load_study(
                study_name=NAME, storage=storage(Path(trial["storage"])), pruner=pruner(trial["epochs"])
            )
            self.trial = optuna.trial.Trial(study, study.trials[trial["number"]]._trial_id)
            self.told = set(study.trials[trial["number"]].intermediate_values)

    def catch_up(self, history: Sequence[EpochRecord]) -> bool:
        """Tell of the epochs of an earlier session; return whether the trial is to end."""
        if not self.active or not history:
            return False
        for record in history:
            self._tell(record)
        return len(history) > 0 and self.trial.should_prune()

    def says_stop(self, record: EpochRecord) -> bool:
        """Tell of an epoch, and return whether the trial is to end."""
        if not self.active:
            return False
        self._tell(record)
        return self.trial.should_prune()

    def _tell(self, record: EpochRecord) -> None:
        if record.epoch not in self.told:
            self.trial.report(record.validation_loss, record.epoch)
            self.told.add(record.epoch)


def pruner(epochs: int) -> Any:
    """Return what ends trials that are worse than the median of the others at the same epoch."""
    from optuna.pruners import MedianPruner

    return MedianPruner(n_startup_trials=4, n_warmup_steps=max(1, epochs // 5))
