"""Records of a training for TensorBoard, beside ``history.jsonl``, which needs nothing to be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polaris_lab.training.records import EpochRecord

TAGS = {
    "training_loss": "loss/training",
    "validation_loss": "loss/validation",
    "training_rmse_dex": "RMS error [dex]/training",
    "validation_rmse_dex": "RMS error [dex]/validation",
    "validation_accuracy": "accuracy/within 0.3 dex",
    "learning_rate": "training/learning rate",
    "images_per_second": "training/images per second",
    "memory_mib": "training/memory [MiB]",
    "waited_seconds": "training/waited for patches [s]",
}
"""What each field of a record is called there."""


class TensorBoardLog:
    """Write records into a folder that ``tensorboard --logdir`` shows; a context manager.

    Call it with each record: ``for record in run.epochs(): log(record)``, or hand it to :meth:`Run.train`.

    Parameters
    ----------
    folder : path
        Made if need be; a resumed training goes on in it.

    Raises
    ------
    ModuleNotFoundError
        If tensorboard is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "TensorBoardLog: expected the package tensorboard, got none; install it with "
                "pip install 'polaris-lab[logging]'"
            ) from error
        self._writer: Any = SummaryWriter(str(folder))

    def __call__(self, record: EpochRecord) -> None:
        """Write one record."""
        for field, tag in TAGS.items():
            value = getattr(record, field)
            if value is not None:
                self._writer.add_scalar(tag, value, record.epoch)
        self._writer.flush()

    def close(self) -> None:
        """End the file."""
        self._writer.close()

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
