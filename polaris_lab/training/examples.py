"""What a network makes of a few validation patches after each epoch: written while it trains, for people to look at.

The file ``examples.npz`` of a run holds the same few patches throughout, as a network sees them (log10 of what is
logarithmic), in half precision. It is replaced as a whole after each epoch and stays small: of a long training every
second epoch is dropped again and again.
"""

from __future__ import annotations

import dataclasses
import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polaris_lab.config import write_bytes

if TYPE_CHECKING:
    from polaris_lab.training.batches import Patches
    from polaris_lab.training.streaming import StreamedPatches

logger = logging.getLogger(__name__)

FILE = "examples.npz"
PATCHES = 3
"""Validation patches that are predicted."""

EPOCHS = 32
"""Epochs that are kept at most."""

SAMPLES = 4
"""Samples of a generative network whose mean is taken."""


@dataclasses.dataclass(frozen=True)
class Examples:
    """A few validation patches, and what a network made of them after some epochs.

    Attributes
    ----------
    numbers : ndarray (patches,)
        Their rows in the dataset.
    column_density : ndarray (patches, y, x)
        log10 of N_H [cm^-2]; NaN where the network is not given it.
    target : ndarray (patches, y, x)
        What is to be learned, log10 of a density [cm^-3].
    epochs : ndarray (epochs,)
        Which are kept, from 0.
    predicted : ndarray (epochs, patches, y, x)
        As `target`.
    """

    numbers: np.ndarray
    column_density: np.ndarray
    target: np.ndarray
    epochs: np.ndarray
    predicted: np.ndarray

    @classmethod
    def open(cls, folder: str | Path) -> Examples:
        """Read the examples of a run.

        Raises
        ------
        FileNotFoundError
            If there are none: no epoch is finished, or an older version trained the run.
        ValueError
            If the file is damaged.
        """
        path = Path(folder) / FILE
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: expected examples, got no file; they are written with the next epoch that is trained"
            )
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
                return cls(**{field.name: stored[field.name] for field in dataclasses.fields(cls)})
        except Exception as error:  # zipfile, zlib and numpy each have their own
            raise ValueError(
                f"{path}: expected examples, got a damaged file ({error}); remove it, the next epoch writes another"
            ) from error

    def with_epoch(self, epoch: int, predicted: np.ndarray) -> Examples:
        """Return the examples with one more epoch; what is not before it is dropped, as are too many.

        Examples
        --------
        >>> few = Examples(np.arange(1), *np.zeros((2, 1, 2, 2)), np.zeros(0, int), np.zeros((0, 1, 2, 2)))
        >>> for epoch in range(40):
        ...     few = few.with_epoch(epoch, np.zeros((1, 2, 2)))
        >>> len(few.epochs), few.epochs[:3].tolist(), int(few.epochs[-1])
        (24, [0, 2, 4], 39)
        """
        keep = self.epochs < epoch
        epochs = np.append(self.epochs[keep], epoch)
        maps = np.concatenate([self.predicted[keep], predicted[None].astype(self.predicted.dtype)])
        if len(epochs) > EPOCHS:
            epochs, maps = epochs[::2], maps[::2]
        return dataclasses.replace(self, epochs=epochs, predicted=maps)

    def write(self, folder: str | Path) -> None:
        """Replace the file of a run, whole or not at all."""
        stream = io.BytesIO()
        np.savez(stream, **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)})
        write_bytes(Path(folder) / FILE, stream.getvalue())


class ExampleWriter:
    """Predict a few validation patches after each epoch of a training, and keep them in the folder of its run.

    What goes wrong here (a full disk) is logged and does not end the training.

    Parameters
    ----------
    folder : Path
    validation : Patches or StreamedPatches
    """

    def __init__(self, folder: Path, validation: Patches | StreamedPatches) -> None:
        self._folder = folder
        count = len(validation)
        places = np.unique(np.linspace(0, count - 1, min(PATCHES, count)).round().astype(int))
        self._inputs, target = validation.batch(places)
        self._examples = self._begin(np.asarray(validation.numbers)[places], target)

    def _begin(self, numbers: np.ndarray, target: Any) -> Examples | None:
        """Return the examples so far, or none yet; None for what is no map (a cube, several channels)."""
        target = next(iter(target.values())) if isinstance(target, dict) else target
        if target.shape[1] != 1:
            return None
        shown = _half(target[:, 0])
        column = self._inputs.get("column_density")
        column = np.full_like(shown, np.nan) if column is None else _half(column[:, 0])
        fresh = Examples(
            numbers, column, shown, np.zeros(0, np.int64), np.zeros((0, *shown.shape), np.float16)
        )
        try:
            found = Examples.open(self._folder)
        except (FileNotFoundError, ValueError):
            return fresh
        same = np.array_equal(found.numbers, numbers) and found.target.shape == shown.shape
        return found if same else fresh

    def write(self, epoch: int, model: Any) -> None:
        """Predict with the weights that are judged, on their device, and write."""
        if self._examples is None:
            return
        try:
            predicted = _predicted(model, self._inputs)
            self._examples = self._examples.with_epoch(epoch, predicted)
            self._examples.write(self._folder)
        except (OSError, RuntimeError) as error:
            logger.warning("%s: no examples of epoch %d are kept (%s)", self._folder, epoch, error)


def _predicted(model: Any, inputs: dict[str, Any]) -> np.ndarray:
    """Return log10 of the point values (patches, y, x), leaving the mode of the model as it was."""
    import torch

    from polaris_lab.training.samples import main_output

    device = next(model.parameters()).device
    given = {name: values.to(device) for name, values in inputs.items()}
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            if model.is_generative:
                steps = model.generative.validation_steps
                drawn = main_output(model, model.sample(given, samples=SAMPLES, steps=steps, seed=0))
                return _half(drawn.mean(dim=0)[:, 0])
            return _half(model.point(model(given))[:, 0])
    finally:
        model.train(training)


def _half(values: Any) -> np.ndarray:
    """Return a tensor as numbers of half precision, good to 0.01 dex for any column density."""
    return values.detach().to("cpu").numpy().astype(np.float16)
