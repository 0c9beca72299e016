"""The training loop of networks that answer with samples: their own loss, a moving average of the weights, fixed noise.

As in :mod:`polaris_lab.training.loop`, everything random in an epoch comes from ``default_rng([seed, epoch])``: order,
augmentation, noise and times. So the state between two epochs is weights, their average, optimizer and history.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from polaris_lab.datasets.normalize import SYMMETRIES
from polaris_lab.models.storage import put_weights
from polaris_lab.training.batches import augment, batch_positions
from polaris_lab.training.devices import memory_mib, resolved_precision
from polaris_lab.training.loop import ACCURACY_TOLERANCE_DEX, Source, Targets, check_batch_size
from polaris_lab.training.losses import mean_square
from polaris_lab.training.records import EpochRecord, best_record, is_finished
from polaris_lab.training.samples import main_output
from polaris_lab.training.schedules import learning_rate
from polaris_lab.training.settings import TrainingConfig
from polaris_lab.training.state import DivergedError, TrainingState

if TYPE_CHECKING:
    from polaris_lab.models import BlueprintModel

DECAY = 0.999
"""Of the moving average of the weights, at most; (1 + t) / (10 + t) after t steps, if that is less."""

VALIDATION_DRAWS = 4
"""Noises and times with which the loss of each validation patch is taken; the same in every epoch."""

VALIDATION_SAMPLES = 4
"""Samples whose mean is judged after each epoch."""

LOSSES = ("mse", "auto")
"""Names of the loss that are taken: the defaults, which say nothing, as a generative network has a loss of its own."""

PLAIN_ONLY = (
    "ema",
    "accumulate",
    "input_dropout",
    "compile",
    "devices",
    "num_nodes",
    "remainder",
    "step",
    "validation_mode",
)
"""Settings of the plain loop that this one does not follow: another value than the default is refused."""


class GenerativeState:
    """A generative network in training: the state of any training, and the moving average of the weights.

    Parameters
    ----------
    model : BlueprintModel
    config : TrainingConfig
    checkpoint : mapping, optional
        What :meth:`checkpoint` returned after an earlier epoch, to go on from there.

    Attributes
    ----------
    training : TrainingState
        Model, optimizer, device and history.
    average : AveragedModel
        The network with averaged weights: it is validated, and its weights are kept.
    best_weights : dict of Tensor, optional
        Of the best epoch, averaged.
    """

    def __init__(
        self, model: nn.Module, config: TrainingConfig, checkpoint: Mapping[str, Any] | None = None
    ) -> None:
        self.training = TrainingState(model, config, checkpoint)
        self.average = AveragedModel(model, avg_fn=_move).requires_grad_(False)
        self.best_weights: dict[str, Tensor] | None = None
        if checkpoint is not None and "moving_average" in checkpoint:
            stored = checkpoint["moving_average"]
            put_weights(self.average.module, stored["weights"], where="checkpoint, moving average")
            self.average.n_averaged.fill_(stored["steps"])

    @property
    def model(self) -> nn.Module:
        """The network that learns."""
        return self.training.model

    @property
    def judged(self) -> nn.Module:
        """The network with averaged weights."""
        return self.average.module

    @property
    def history(self) -> list[EpochRecord]:
        """Records of the finished epochs."""
        return self.training.history

    def checkpoint(self) -> dict[str, Any]:
        """Return everything the next epoch depends on, as tensors and plain values."""
        weights = {name: value.clone() for name, value in self.average.module.state_dict().items()}
        average = {"weights": weights, "steps": int(self.average.n_averaged)}
        return {**self.training.checkpoint(), "moving_average": average}

    def add(self, record: EpochRecord) -> None:
        """Take the record of a finished epoch, and keep the averaged weights if they are the best."""
        self.history.append(record)
        if record.best:
            self.best_weights = {
                name: value.detach().to("cpu", copy=True).contiguous()
                for name, value in self.average.module.state_dict().items()
            }


def fit_generative(
    model: BlueprintModel,
    training: Source,
    validation: Source,
    *,
    config: TrainingConfig,
    state: GenerativeState | None = None,
    before_batch: Callable[[int], None] | None = None,
) -> Iterator[EpochRecord]:
    """Train a generative network, yielding after each epoch; stop by breaking out of the loop.

    The losses of a record are the network's own (flow matching and diffusion: mean square error of velocity or noise,
    in units of the standardised residual; invertible: negative log likelihood). The validation loss is that of the
    averaged weights with the same noise in every epoch, and the accuracy that of the mean of a few samples in few steps.

    Parameters
    ----------
    model, training, validation, config, before_batch
        As for :func:`polaris_lab.training.loop.fit`.
    state : GenerativeState, optional
        A training to go on with; its model is `model`. By default a new one.

    Yields
    ------
    EpochRecord
        One for each finished epoch. After the last one (not when the loop is left) the model is put in evaluation mode
        with the averaged weights of its best epoch.

    Raises
    ------
    ValueError
        If the model is not generative, the configuration names a loss, or the batch is larger than
        the training set.
    DivergedError
        If the loss or the gradient is not finite; the model has not taken that step.

    Examples
    --------
    >>> from polaris_lab.models import Blueprint, build_model
    >>> rng = np.random.default_rng(0)
    >>> from polaris_lab.training import Patches
    >>> maps = 10 ** rng.normal(21, 0.3, (8, 16, 16))
    >>> patches = Patches.from_arrays({"column_density": maps}, maps / 1e18)
    >>> blueprint = Blueprint.preset("flow_matching", layers=1, base_filters=4, reference_scale=2.0)
    >>> model = build_model(blueprint).fit_constants(patches.inputs, patches.target)
    >>> config = TrainingConfig(epochs=2, batch_size=4, device="cpu")
    >>> [record.epoch for record in fit_generative(model, patches, patches, config=config)]
    [0, 1]
    """
    check_generative(model, config)
    check_batch_size(config, training)
    if state is None:
        state = GenerativeState(model, config)
    elif state.model is not model:
        raise ValueError("state: expected the state of this model, got that of another one")
    loop = _Loop(training, validation, config, state, before_batch or (lambda count: None))
    while not is_finished(config, state.history):
        state.add(loop.epoch())
        yield state.history[-1]
    if state.best_weights is not None:
        model.load_state_dict(state.best_weights)
    model.eval()


def check_generative(model: BlueprintModel, config: TrainingConfig) -> None:
    """Refuse a network that draws nothing, and a loss that is not the network's own."""
    model.generative.check_available()
    usual = TrainingConfig()
    for name in PLAIN_ONLY:
        if getattr(config, name) != getattr(usual, name):
            raise ValueError(
                f"{name}: expected the default {getattr(usual, name)!r} for a generative network, whose loop has a moving "
                f"average of its own and one step for each batch, got {getattr(config, name)!r}; leave it out"
            )
    if config.loss not in LOSSES:
        raise ValueError(
            f"loss: expected none to be named for a generative network, which has its own, got {config.loss!r}; "
            "leave it out"
        )


class _Loop:
    """One epoch after another on a state; the parts of :func:`fit_generative`."""

    def __init__(
        self,
        training: Source,
        validation: Source,
        config: TrainingConfig,
        state: GenerativeState,
        before_batch: Callable[[int], None],
    ) -> None:
        self.training, self.validation, self.config, self.state = training, validation, config, state
        self.before_batch = before_batch
        self.optimizer, self.device = state.training.optimizer, state.training.fabric.device
        self.steps_per_epoch = -(-len(training) // config.batch_size)

    def epoch(self) -> EpochRecord:
        """Train and validate once."""
        start = time.perf_counter()
        history = self.state.history
        number = history[-1].epoch + 1 if history else 0
        rng = np.random.default_rng([self.config.seed, number])
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(int(rng.integers(2**62)))  # dropout
            training_loss, rate = self.train(number, rng)
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
            images_per_second=len(self.training) / trained,
            best=best is None or validation_loss < best.validation_loss,
            memory_mib=round(memory_mib(self.device), 1),
            validation_rmse_dex=validation_rmse,
        )

    def train(self, epoch: int, rng: np.random.Generator) -> tuple[float, float]:
        """Take one step per batch; return the mean loss over the patches and the last learning rate."""
        count = len(self.training)
        order = rng.permutation(count)
        symmetries = rng.integers(SYMMETRIES, size=count)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        first_step, steps = epoch * self.steps_per_epoch, self.config.epochs * self.steps_per_epoch
        self.state.model.train()
        total, rate = 0.0, self.config.learning_rate
        for batch, positions in enumerate(batch_positions(count, self.config.batch_size, order)):
            self.before_batch(len(positions))
            rate = learning_rate(self.config, first_step + batch, steps, self.state.history)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            inputs, target = self.training.batch(positions)
            if self.config.augment:
                inputs, target = augment(inputs, target, symmetries[positions])
            total += self.step(inputs, target, generator, (epoch, batch, positions)) * len(positions)
        return total / count, rate

    def step(
        self,
        inputs: dict[str, Tensor],
        target: Targets,
        generator: torch.Generator,
        place: tuple[int, int, np.ndarray],
    ) -> float:
        """Take one optimizer step, and move the average; return the mean loss over the batch."""
        model = self.state.model
        loss = self.losses(model, inputs, target, generator).mean()
        value = loss.item()
        self.check_finite("training loss", value, place, self.training)
        self.optimizer.zero_grad()
        loss.backward()
        limit = float("inf") if self.config.gradient_clip is None else self.config.gradient_clip
        norm = nn.utils.clip_grad_norm_(model.parameters(), limit)
        self.check_finite("gradient", norm.item(), place, self.training)
        self.optimizer.step()
        self.state.average.update_parameters(model)
        return value

    def losses(
        self, model: BlueprintModel, inputs: dict[str, Tensor], target: Targets, generator: torch.Generator
    ) -> Tensor:
        """Return the loss of each image (N,), in the number format of the configuration."""
        inputs = {name: values.to(self.device) for name, values in inputs.items()}
        low = resolved_precision(self.config.precision, self.device) == "bf16-mixed"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=low):
            return model.training_loss(inputs, self.at_hand(target), generator)  # (N,)

    def at_hand(self, target: Targets) -> Targets:
        """Return the target, or each of several, on the device."""
        if isinstance(target, Tensor):
            return target.to(self.device)
        return {name: values.to(self.device) for name, values in target.items()}

    @torch.no_grad()
    def validate(self, epoch: int) -> tuple[float, float, float]:
        """Return mean loss, and RMS error [dex] and accuracy of the main output's mean of samples, over the validation patches.

        With the averaged weights.
        """
        model = self.state.average.module.eval()
        steps = model.generative.validation_steps
        generator = torch.Generator().manual_seed(self.config.seed)
        total, square, within = 0.0, 0.0, 0.0
        for batch, positions in enumerate(batch_positions(len(self.validation), self.config.batch_size)):
            inputs, target = self.validation.batch(positions)
            for _ in range(VALIDATION_DRAWS):
                loss = self.losses(model, inputs, target, generator).double().sum().item() / VALIDATION_DRAWS
                self.check_finite("validation loss", loss, (epoch, batch, positions), self.validation)
                total += loss
            inputs = {name: values.to(self.device) for name, values in inputs.items()}
            drawn = model.sample(
                inputs, samples=VALIDATION_SAMPLES, steps=steps, seed=self.config.seed + batch
            )
            drawn, target = main_output(model, drawn), main_output(model, self.at_hand(target))
            valid = (~torch.isnan(target)).flatten(1).sum(dim=1)  # (N,)
            mean = drawn.mean(dim=0)
            square += mean_square(mean, target).double().sum().item()
            close = (mean - target).abs() < ACCURACY_TOLERANCE_DEX  # False where the target is NaN
            within += (close.flatten(1).sum(dim=1) / valid).double().sum().item()
        count = len(self.validation)
        return total / count, float(np.sqrt(square / count)), within / count

    def check_finite(
        self, what: str, value: float, place: tuple[int, int, np.ndarray], patches: Source
    ) -> None:
        """Raise DivergedError unless `value` is finite."""
        if not np.isfinite(value):
            epoch, batch, positions = place
            raise DivergedError(what, value, epoch, batch, patches.numbers[np.sort(positions)].tolist())


def _move(average: Tensor, value: Tensor, steps: Tensor | int) -> Tensor:
    """Return d average + (1 - d) value, d growing with the number of steps."""
    steps = int(steps)
    decay = min(DECAY, (1 + steps) / (10 + steps))
    return average + (1 - decay) * (value - average)
