"""The training loop: a generator of records, run through Lightning Fabric.

Everything random in an epoch comes from ``default_rng([seed, epoch])``: order, augmentation, and the seed of
dropout. The learning rate is a function of the past records. So the state of a training between two epochs
is its weights, their average, its optimizer and its history, and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from polaris_lab.datasets.normalize import SYMMETRIES
from polaris_lab.training.batches import Patches, augment, batch_positions
from polaris_lab.training.devices import MixedPrecision, compiled, make_fabric, memory_mib, resolved_precision
from polaris_lab.training.losses import mean_square, objective
from polaris_lab.training.plan import Part, epoch_steps, steps_per_epoch
from polaris_lab.training.prefetch import Prefetch
from polaris_lab.training.records import EpochRecord, best_record, is_finished
from polaris_lab.training.schedules import learning_rate
from polaris_lab.training.settings import TrainingConfig
from polaris_lab.training.state import DivergedError, TrainingState, make_optimizer
from polaris_lab.training.streaming import StreamedPatches

__all__ = ["DivergedError", "MixedPrecision", "TrainingState", "fit", "make_fabric", "make_optimizer"]

ACCURACY_TOLERANCE_DEX = 0.3
"""Tolerance of the accuracy that every epoch reports [dex]."""

Source = Patches | StreamedPatches
Targets = Tensor | Mapping[str, Tensor]
"""One map (N, C, H, W), or several by name."""
Batch = tuple[dict[str, Tensor], Targets]


class StopRequested(Exception):
    """Somebody asked the training to end."""


def fit(
    model: nn.Module,
    training: Source,
    validation: Source,
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
    training, validation : Patches or StreamedPatches
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


def check_batch_size(config: TrainingConfig, training: Source) -> None:
    """Refuse a batch, with all that accumulate and all processes, that is larger than the training set."""
    if config.virtual_batch > len(training):
        parts = {name: getattr(config, name) for name in ("accumulate", "devices", "num_nodes")}
        parts = {name: value for name, value in parts.items() if value > 1}
        times = "".join(f" times {name}={value}" for name, value in parts.items())
        largest = max(1, len(training) * config.batch_size // config.virtual_batch)
        raise ValueError(
            f"batch_size: expected at most the {len(training)} training patches, got {config.batch_size}{times}; "
            f"set batch_size={largest} or less, or build a larger dataset"
        )


class _Loop:
    """One epoch after another on a state; the parts of :func:`fit`."""

    def __init__(
        self,
        training: Source,
        validation: Source,
        config: TrainingConfig,
        state: TrainingState,
        before_batch: Callable[[int], None],
    ) -> None:
        self.training, self.validation, self.config, self.state = training, validation, config, state
        self.before_batch = before_batch
        self.loss = objective(config.loss, state.model)
        self.judgement = objective(config.loss, state.model, judging=True)
        self.rank = state.fabric.global_rank
        network, self.judged = self.prepared(state.model), self.prepared(state.judged)
        if config.compile:
            network = compiled(network, state.fabric.device)
        self.model, self.optimizer = state.fabric.setup(network, state.optimizer, move_to_device=False)

    def prepared(self, network: nn.Module) -> nn.Module:
        """Return a network that computes in the number format of the configuration."""
        precision = resolved_precision(self.config.precision, self.state.fabric.device)
        return network if precision == "32-true" else MixedPrecision(network)

    def epoch(self) -> EpochRecord:
        """Train and validate once."""
        start = time.perf_counter()
        history = self.state.history
        number = history[-1].epoch + 1 if history else 0
        rng = np.random.default_rng([self.config.seed, number])
        device = self.state.fabric.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(int(rng.integers(2**62)) + self.rank)
            training_loss, training_rmse, seen, rate, waited = self.train(number, rng)
            trained = time.perf_counter() - start
            validation_loss, validation_rmse, accuracy = self.validate(number)
        best = best_record(history)
        return EpochRecord(
            epoch=number,
            training_loss=training_loss,
            validation_loss=validation_loss,
            validation_accuracy=accuracy,
            learning_rate=rate,
            seconds=time.perf_counter() - start,
            images_per_second=seen / trained,
            best=best is None or validation_loss < best.validation_loss,
            memory_mib=round(memory_mib(device), 1),
            waited_seconds=round(waited, 4),
            training_rmse_dex=training_rmse,
            validation_rmse_dex=validation_rmse,
        )

    def train(self, epoch: int, rng: np.random.Generator) -> tuple[float, float, int, float, float]:
        """Take all steps; return mean loss, RMS error, patches seen, last learning rate, time waited."""
        count = len(self.training)
        plan = epoch_steps(rng.permutation(count), self.config, rank=self.rank)
        prepare = _Prepare(self.training, self.config, rng, _optional_inputs(self.state.model))
        per_epoch = steps_per_epoch(count, self.config)
        self.model.train()
        total, square, seen, rate = 0.0, 0.0, 0, self.config.learning_rate
        parts = (part for step in plan for part in step)
        with Prefetch(prepare, parts, workers=self.training.workers) as batches:
            for number, step in enumerate(plan):
                place = epoch * per_epoch + number
                rate = learning_rate(self.config, place, self.config.epochs * per_epoch, self.state.history)
                for group in self.state.optimizer.param_groups:
                    group["lr"] = rate
                loss, error, patches = self.step(step, batches, (epoch, number))
                total, square, seen = total + loss, square + error, seen + patches
        return total / seen, float(np.sqrt(square / seen)), seen, rate, batches.waited_seconds

    def step(
        self, step: list[Part], batches: Iterator[Batch], place: tuple[int, int]
    ) -> tuple[float, float, int]:
        """Take one optimizer step; return the sums over its patches of loss and square error, and their number."""
        total, square, seen = 0.0, 0.0, 0
        self.optimizer.zero_grad()
        for number, part in enumerate(step):
            stopping = self.ask(len(part))
            loss, error = self.forward(next(batches))
            numbers = torch.stack((loss.detach(), error)).double() * len(part)
            value, errors, patches = self.agreed(*numbers.tolist(), len(part), stopping)
            self.check_finite("training loss", value / patches, place, part.positions)
            with self.synchronized(number == len(step) - 1):
                self.state.fabric.backward(loss if part.weight == 1 else loss * part.weight)
            total, square, seen = total + value, square + errors, seen + patches
        norm = self.clip()
        self.check_finite("gradient", norm, place, np.concatenate([part.positions for part in step]))
        self.optimizer.step()
        if self.state.average is not None:
            self.state.average.update(self.state.model)
        return total, square, seen

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the mean loss over a batch, and the mean square error [dex^2], which has no gradient."""
        inputs, targets = self.state.fabric.to_device(batch)
        raw = self.model(inputs)
        with torch.no_grad():
            error = mean_square(*point_and_target(self.state.model, raw, targets)).mean()
        return self.loss(raw, targets).mean(), error

    def synchronized(self, last: bool) -> AbstractContextManager[None]:
        """Let processes exchange gradients at the last batch of a step only."""
        if self.config.processes == 1:
            return nullcontext()
        return self.state.fabric.no_backward_sync(self.model, enabled=not last)

    def clip(self) -> float:
        """Limit the gradient if that is wanted, and return its norm before."""
        limit = self.config.gradient_clip
        if limit is None:
            gradients = [p.grad for p in self.state.model.parameters() if p.grad is not None]
            return nn.utils.get_total_norm(gradients).item()
        return self.state.fabric.clip_gradients(
            self.model, self.optimizer, max_norm=limit, error_if_nonfinite=False
        ).item()

    def ask(self, count: int) -> Exception | None:
        """Call `before_batch`; with several processes keep what it raises until all can end together."""
        try:
            self.before_batch(count)
        except StopRequested as stop:
            if self.config.processes == 1:
                raise
            return stop
        return None

    def agreed(
        self, total: float, square: float, count: int, stopping: Exception | None
    ) -> tuple[float, float, int]:
        """Return loss, square error and patches added over all processes; end all if one is to stop."""
        if self.config.processes == 1:
            return total, square, count
        mine = torch.tensor([total, square, count, stopping is not None], dtype=torch.float64)
        everything, squares, patches, stops = self.state.fabric.all_reduce(mine, reduce_op="sum").tolist()
        if stops or (np.isfinite(total) and not np.isfinite(everything)):  # who diverged names its patches
            raise StopRequested
        return everything, squares, int(patches)

    def validate(self, epoch: int) -> tuple[float, float, float]:
        """Return mean loss, RMS error [dex] and accuracy over the validation patches."""
        total, square, within = 0.0, 0.0, 0.0
        if (
            self.config.processes > 1
        ):  # batch statistics are those of each process: process 0 has the last word
            for buffer in self.state.judged.buffers():
                torch.distributed.broadcast(buffer, src=0)
        places = batch_positions(len(self.validation), self.config.batch_size)
        mine = [place for number, place in enumerate(places) if number % self.config.processes == self.rank]
        mode = self.config.validation_mode == "training"
        device = self.state.fabric.device
        for batch, (positions, raw, targets) in enumerate(
            predictions(self.judged, self.validation, mine, device, training=mode)
        ):
            loss = self.judgement(raw, targets).double().sum().item()
            if self.config.processes == 1:
                self.check_finite("validation loss", loss, (epoch, batch), positions, self.validation)
            predicted, target = point_and_target(self.state.model, raw, targets)
            valid = (~torch.isnan(target)).flatten(1).sum(dim=1)  # (N,)
            close = (predicted - target).abs() < ACCURACY_TOLERANCE_DEX  # False where the target is NaN
            within += (close.flatten(1).sum(dim=1) / valid).double().sum().item()
            square += mean_square(predicted, target).double().sum().item()
            total += loss
        if self.config.processes > 1:
            sums = torch.tensor([total, square, within], dtype=torch.float64)
            total, square, within = self.state.fabric.all_reduce(sums, reduce_op="sum").tolist()
            self.check_finite(
                "validation loss", total, (epoch, 0), np.arange(len(self.validation)), self.validation
            )
        count = len(self.validation)
        return total / count, float(np.sqrt(square / count)), within / count

    def check_finite(
        self,
        what: str,
        value: float,
        place: tuple[int, int],
        positions: np.ndarray,
        patches: Source | None = None,
    ) -> None:
        """Raise DivergedError unless `value` is finite."""
        if not np.isfinite(value):
            numbers = (patches or self.training).numbers[np.sort(positions)]
            raise DivergedError(what, value, *place, numbers.tolist())


class _Prepare:
    """Make a batch of one part of an epoch: gather (or read) its patches, turn them, blank optional inputs."""

    def __init__(
        self, patches: Source, config: TrainingConfig, rng: np.random.Generator, optional: Sequence[str]
    ) -> None:
        self.patches, self.augment = patches, config.augment
        self.symmetries = rng.integers(SYMMETRIES, size=len(patches))
        self.blank = {}
        if config.input_dropout > 0:
            self.blank = {name: rng.random(len(patches)) < config.input_dropout for name in optional}

    def __call__(self, part: Part) -> Batch:
        inputs, target = self.patches.batch(part.positions)
        if self.augment:
            inputs, target = augment(inputs, target, self.symmetries[part.positions])
        for name, blank in self.blank.items():
            rows = torch.from_numpy(blank[part.positions])
            inputs[name] = inputs[name].masked_fill(rows[:, None, None, None], torch.nan)
        return inputs, target


def _optional_inputs(model: nn.Module) -> tuple[str, ...]:
    return model.blueprint.optional_inputs if hasattr(model, "blueprint") else ()


@torch.no_grad()
def predictions(
    model: nn.Module,
    patches: Source,
    batches: int | Sequence[np.ndarray],
    device: torch.device,
    *,
    training: bool = False,
) -> Iterator[tuple[np.ndarray, Targets, Targets]]:
    """Put the model in evaluation mode and go over patches in order.

    Parameters
    ----------
    model : nn.Module
        On the device.
    patches : Patches or StreamedPatches
    batches : int or sequence of int ndarray
        The size of a batch, or the positions in each.
    device : torch.device
    training : bool
        Leave the model in training mode instead, with dropout and batch statistics on.

    Yields
    ------
    positions : int ndarray
        Which patches.
    raw : Tensor (N, C, H, W), or dict of them
        The model's answer, on the device.
    target : Tensor (N, 1, H, W), or dict of them
        log10, on the device.
    """
    model.train(training)
    places = batch_positions(len(patches), batches) if isinstance(batches, int) else batches
    with Prefetch(lambda place: (place, patches.batch(place)), places, workers=patches.workers) as ready:
        for positions, (inputs, target) in ready:
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
