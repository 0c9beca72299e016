"""The training loop: a generator of records, run through Lightning Fabric.

Everything random in an epoch comes from ``default_rng([seed, epoch])``: order, augmentation, and the seed of
dropout. The learning rate is a function of the past records. So the state of a training between two epochs
is its weights, its optimizer and its history, and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polaris_lab.config import from_dict, to_dict
from polaris_lab.datasets.normalize import SYMMETRIES
from polaris_lab.training.batches import Patches, augment, batch_positions
from polaris_lab.training.checkpoints import put_weights
from polaris_lab.training.losses import objective
from polaris_lab.training.settings import (
    EpochRecord,
    TrainingConfig,
    best_record,
    is_finished,
    learning_rate,
)

Targets = Tensor | Mapping[str, Tensor]
"""One map (N, C, H, W), or several by name."""

ACCURACY_TOLERANCE_DEX = 0.3
"""Tolerance of the accuracy that every epoch reports [dex]."""


class DivergedError(FloatingPointError):
    """The loss or its gradient is no longer finite.

    Attributes
    ----------
    epoch, batch : int
        Where it happened, from 0.
    patches : list of int
        Rows of the dataset that the batch held.
    """

    def __init__(self, what: str, value: float, epoch: int, batch: int, patches: Sequence[int]) -> None:
        self.epoch, self.batch, self.patches = epoch, batch, list(patches)
        super().__init__(
            f"epoch {epoch}, batch {batch}: expected a finite {what}, got {value}; the batch held the patches "
            f"{self.patches}. Look at these, or train with a lower learning_rate or gradient_clip; "
            "the last finished epoch is kept"
        )


class TrainingState:
    """A network in training: the model on its device, its optimizer, its history, its best weights.

    Parameters
    ----------
    model : nn.Module
        Moved to the device of the configuration.
    config : TrainingConfig
    checkpoint : mapping, optional
        What :meth:`checkpoint` returned after an earlier epoch, to go on from there.

    Raises
    ------
    ValueError
        If the device is not there.
    """

    def __init__(
        self, model: nn.Module, config: TrainingConfig, checkpoint: Mapping[str, Any] | None = None
    ) -> None:
        self.fabric = make_fabric(config)
        self.model = model.to(self.fabric.device, memory_format=torch.channels_last)
        self.optimizer = make_optimizer(model, config)
        self.history: list[EpochRecord] = []
        self.best_weights: dict[str, Tensor] | None = None
        if checkpoint is not None:
            put_weights(self.model, checkpoint["model"], where="checkpoint")
            if checkpoint["optimizer"] is not None:
                self.optimizer.load_state_dict(checkpoint["optimizer"])
            self.history = [from_dict(EpochRecord, record) for record in checkpoint["history"]]

    def checkpoint(self) -> dict[str, Any]:
        """Return everything the next epoch depends on, as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": [to_dict(record) for record in self.history],
        }

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of weights and constants, on the CPU."""
        return {
            name: value.detach().to("cpu", copy=True).contiguous()
            for name, value in self.model.state_dict().items()
        }

    def add(self, record: EpochRecord) -> None:
        """Take the record of a finished epoch, and keep the weights if they are the best."""
        self.history.append(record)
        if record.best:
            self.best_weights = self.weights()


def fit(
    model: nn.Module,
    training: Patches,
    validation: Patches,
    *,
    config: TrainingConfig,
    state: TrainingState | None = None,
    before_batch: Callable[[int], None] | None = None,
) -> Iterator[EpochRecord]:
    """Train, yielding after each epoch; stop by breaking out of the loop.

    Parameters
    ----------
    model : nn.Module
        Called with a dict of inputs (N, C, H, W), returns log10 of the target (N, 1, H, W), or a raw answer that
        its `heads` read. Trained in place, on the device of the configuration.
    training, validation : Patches
        Every patch counts once in the losses.
    config : TrainingConfig
    state : TrainingState, optional
        A training to go on with; its model is `model`. By default a new one.
    before_batch : callable, optional
        Called before each training batch with its number of patches; an exception it raises ends the epoch
        (a progress bar, a request to stop).

    Yields
    ------
    EpochRecord
        One for each finished epoch. After the last one (not when the loop is left) the model is put in
        evaluation mode with the weights of its best epoch.

    Raises
    ------
    ValueError
        If the batch is larger than the training set.
    DivergedError
        If the loss or the gradient is not finite; the model has not taken that step.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> maps = 10 ** rng.normal(21, 0.3, (8, 16, 16))
    >>> patches = Patches.from_arrays({"column_density": maps}, maps / 1e18)
    >>> class Shift(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.offset = nn.Parameter(torch.tensor(-17.5))
    ...
    ...     def forward(self, inputs):
    ...         return inputs["column_density"] + self.offset
    >>> model = Shift()
    >>> config = TrainingConfig(epochs=20, batch_size=4, learning_rate=0.1, device="cpu")
    >>> records = list(fit(model, patches, patches, config=config))
    >>> print(records[-1].epoch, round(model.offset.item(), 1))
    19 -18.0
    """
    check_batch_size(config, training)
    if state is None:
        state = TrainingState(model, config)
    elif state.model is not model:
        raise ValueError("state: expected the state of this model, got that of another one")
    loop = _Loop(training, validation, config, state, before_batch or (lambda count: None))
    while not is_finished(config, state.history):
        state.add(loop.epoch())
        yield state.history[-1]
    if state.best_weights is not None:
        model.load_state_dict(state.best_weights)
    model.eval()


def check_batch_size(config: TrainingConfig, training: Patches) -> None:
    """Refuse a batch that is larger than the training set."""
    if config.batch_size > len(training):
        raise ValueError(
            f"batch_size: expected at most the {len(training)} training patches, got {config.batch_size}; "
            f"set batch_size={len(training)} or less, or build a larger dataset"
        )


class _Loop:
    """One epoch after another on a state; the parts of :func:`fit`."""

    def __init__(
        self,
        training: Patches,
        validation: Patches,
        config: TrainingConfig,
        state: TrainingState,
        before_batch: Callable[[int], None],
    ) -> None:
        self.training, self.validation, self.config, self.state = training, validation, config, state
        self.before_batch = before_batch
        self.loss = objective(config.loss, state.model)
        self.steps_per_epoch = -(-len(training) // config.batch_size)
        network = state.model if config.precision == "32-true" else MixedPrecision(state.model)
        self.model, self.optimizer = state.fabric.setup(network, state.optimizer, move_to_device=False)

    def epoch(self) -> EpochRecord:
        """Train and validate once."""
        start = time.perf_counter()
        history = self.state.history
        number = history[-1].epoch + 1 if history else 0
        rng = np.random.default_rng([self.config.seed, number])
        device = self.state.fabric.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(int(rng.integers(2**62)))
            training_loss, rate = self.train(number, rng)
        trained = time.perf_counter() - start
        validation_loss, accuracy = self.validate(number)
        best = best_record(history)
        return EpochRecord(
            epoch=number,
            training_loss=training_loss,
            validation_loss=validation_loss,
            validation_accuracy=accuracy,
            learning_rate=rate,
            seconds=time.perf_counter() - start,
            images_per_second=len(self.training) / trained,
            best=best is None or validation_loss < best.validation_loss,
        )

    def train(self, epoch: int, rng: np.random.Generator) -> tuple[float, float]:
        """Take one step per batch; return the mean loss over the patches and the last learning rate."""
        count = len(self.training)
        order = rng.permutation(count)
        symmetries = rng.integers(SYMMETRIES, size=count)
        first_step, steps = epoch * self.steps_per_epoch, self.config.epochs * self.steps_per_epoch
        self.model.train()
        total, rate = 0.0, self.config.learning_rate
        for batch, positions in enumerate(batch_positions(count, self.config.batch_size, order)):
            self.before_batch(len(positions))
            rate = learning_rate(self.config, first_step + batch, steps, self.state.history)
            for group in self.state.optimizer.param_groups:
                group["lr"] = rate
            inputs, target = self.training.batch(positions)
            if self.config.augment:
                inputs, target = augment(inputs, target, symmetries[positions])
            total += self.step(inputs, target, (epoch, batch, positions)) * len(positions)
        return total / count, rate

    def step(self, inputs: dict[str, Tensor], target: Targets, place: tuple[int, int, np.ndarray]) -> float:
        """Take one optimizer step; return the mean loss over the batch."""
        fabric = self.state.fabric
        inputs, target = fabric.to_device((inputs, target))
        loss = self.loss(self.model(inputs), target).mean()
        value = loss.item()
        self.check_finite("training loss", value, place)
        self.optimizer.zero_grad()
        fabric.backward(loss)
        if self.config.gradient_clip is not None:
            norm = fabric.clip_gradients(
                self.model, self.optimizer, max_norm=self.config.gradient_clip, error_if_nonfinite=False
            )
            self.check_finite("gradient", norm.item(), place)
        self.optimizer.step()
        return value

    def validate(self, epoch: int) -> tuple[float, float]:
        """Return the mean loss and accuracy over the validation patches, in evaluation mode."""
        total, within = 0.0, 0.0
        for batch, (positions, raw, targets) in enumerate(
            predictions(self.model, self.validation, self.config.batch_size, self.state.fabric.device)
        ):
            loss = self.loss(raw, targets).double().sum().item()
            self.check_finite("validation loss", loss, (epoch, batch, positions), self.validation)
            predicted, target = point_and_target(self.state.model, raw, targets)
            valid = (~torch.isnan(target)).flatten(1).sum(dim=1)  # (N,)
            close = (predicted - target).abs() < ACCURACY_TOLERANCE_DEX  # False where the target is NaN
            within += (close.flatten(1).sum(dim=1) / valid).double().sum().item()
            total += loss
        return total / len(self.validation), within / len(self.validation)

    def check_finite(
        self, what: str, value: float, place: tuple[int, int, np.ndarray], patches: Patches | None = None
    ) -> None:
        """Raise DivergedError unless `value` is finite."""
        if not np.isfinite(value):
            epoch, batch, positions = place
            numbers = (patches or self.training).numbers[np.sort(positions)]
            raise DivergedError(what, value, epoch, batch, numbers.tolist())


class MixedPrecision(nn.Module):
    """A network computed in bfloat16 where that is safe, from inputs and to outputs in float32.

    Fabric's own mixed precision rounds the inputs to bfloat16 first, which leaves 0.1 dex of a log N of 21.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Mapping[str, Tensor]) -> Targets:
        """Return what the network gives, in float32."""
        device = next(iter(inputs.values())).device.type
        with torch.autocast(device, dtype=torch.bfloat16):
            raw = self.network(inputs)  # (N, C, H, W)
        return {name: x.float() for name, x in raw.items()} if isinstance(raw, Mapping) else raw.float()


@torch.no_grad()
def predictions(
    model: nn.Module, patches: Patches, batch_size: int, device: torch.device
) -> Iterator[tuple[np.ndarray, Targets, Targets]]:
    """Put the model in evaluation mode and go over patches in order.

    Yields
    ------
    positions : int ndarray
        Which patches.
    raw : Tensor (N, C, H, W), or dict of them
        The model's answer, on the device.
    target : Tensor (N, 1, H, W), or dict of them
        log10, on the device.
    """
    model.eval()
    for positions in batch_positions(len(patches), batch_size):
        inputs, target = patches.batch(positions)
        raw = model({name: values.to(device) for name, values in inputs.items()})
        if isinstance(target, Mapping):
            yield positions, raw, {name: values.to(device) for name, values in target.items()}
        else:
            yield positions, raw, target.to(device)


def point_and_target(model: nn.Module, raw: Targets, target: Targets) -> tuple[Tensor, Tensor]:
    """Return log10 of the predicted value and of the target (N, 1, H, W) of the main output."""
    if hasattr(model, "blueprint"):
        raw = model.point(raw)
        target = target[model.blueprint.output] if isinstance(target, Mapping) else target
    return raw, target


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return the optimizer that a configuration names."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("model: expected weights to train, got none; train a blueprint with a network in it")
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=rate, momentum=config.momentum, nesterov=config.momentum > 0, weight_decay=decay
        )
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)


def make_fabric(config: TrainingConfig) -> Any:
    """Return the Lightning Fabric of the device that a configuration names.

    Raises
    ------
    ValueError
        If the device is not there.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(config.device, True):
        raise ValueError(f'device: expected one that is present, got {config.device!r}; use "auto" or "cpu"')
    return Fabric(
        accelerator=config.device,
        devices=1,
        precision="32-true",  # bfloat16 is the matter of MixedPrecision
        plugins=[LightningEnvironment()],  # one process, also inside a cluster's job
    )
