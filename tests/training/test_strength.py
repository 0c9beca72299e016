"""What lifts a training: virtual batches, moving averages, schedules, blanked inputs; and the report's slips."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from polaris_lab.models import Blueprint, Node, build_model
from polaris_lab.training import DivergedError, Patches, TrainingConfig, TrainingState, fit
from polaris_lab.training.averaging import Average
from polaris_lab.training.schedules import learning_rate

CONFIG = TrainingConfig(epochs=2, batch_size=4, learning_rate=5e-3, seed=3, device="cpu")


def plain_blueprint() -> Blueprint:
    """A network without batch statistics."""
    nodes = (
        Node("standardized", "standardize", {}, ("column_density",)),
        Node("features", "convolution", {"out_channels": 4}, ("standardized",)),
        Node("correction", "convolution", {"in_channels": 4}, ("features",)),
        Node("mass_weighted_density", "destandardize", {}, ("correction",)),
    )
    return Blueprint(("column_density",), nodes, "mass_weighted_density", "two convolutions")


def patches(count: int = 17, size: int = 12) -> Patches:
    rng = np.random.default_rng(4)
    column = 10 ** (21.5 + 0.4 * rng.normal(size=(count, size, size)))
    return Patches.from_arrays(
        {"column_density": column}, column / 1e18 * 10 ** rng.normal(0, 0.1, column.shape)
    )


def train(config: TrainingConfig, blueprint: Blueprint | None = None, count: int = 17):
    training, validation = patches(count), patches(5)
    model = build_model(blueprint or plain_blueprint(), seed=1).fit_constants(
        training.inputs, training.target
    )
    state = TrainingState(model, config)
    return list(fit(model, training, validation, config=config, state=state)), state


def losses(records):
    return np.array([[record.training_loss, record.validation_loss] for record in records])


def test_a_virtual_batch_is_the_large_batch():
    """Two, or three, batches accumulated give what one of their size gives: losses and weights."""
    large, state = train(dataclasses.replace(CONFIG, batch_size=6))
    for batch_size, accumulate in ((3, 2), (2, 3)):
        small, other = train(dataclasses.replace(CONFIG, batch_size=batch_size, accumulate=accumulate))
        assert losses(small) == pytest.approx(losses(large), rel=1e-5)
        for a, b in zip(state.model.parameters(), other.model.parameters(), strict=True):
            assert torch.allclose(a, b, rtol=1e-3, atol=1e-5)
    different, _ = train(dataclasses.replace(CONFIG, batch_size=3))
    assert losses(different) != pytest.approx(losses(large), rel=1e-3)


def test_a_virtual_batch_must_fit_in_the_training_set():
    with pytest.raises(
        ValueError, match=r"at most the 5 training patches, got 3 times accumulate=2; set batch_size=2"
    ):
        train(dataclasses.replace(CONFIG, batch_size=3, accumulate=2), count=5)


class Fixed(nn.Module):
    """A weight and a buffer that the test moves."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("statistic", torch.zeros(1))
        self.register_buffer("counter", torch.tensor(0))


def test_the_average_by_hand_with_buffers():
    model = Fixed()
    average = Average(model, 0.15)
    expected = None
    for step, value in enumerate((4.0, 1.0, 7.0, -2.0)):
        model.weight.data.fill_(value)
        model.statistic.fill_(10 * value)
        model.counter += 1
        average.update(model)
        decay = min(0.15, (1 + step) / (10 + step))
        expected = value if expected is None else decay * expected + (1 - decay) * value
        assert average.model.weight.item() == pytest.approx(expected)
        assert average.model.statistic.item() == pytest.approx(10 * expected)
        assert average.model.counter.item() == step + 1
    again = Average(Fixed(), 0.15, average.state())
    again.update(model)
    average.update(model)
    assert torch.equal(again.model.weight, average.model.weight)


def test_the_average_is_what_is_validated_and_kept():
    config = dataclasses.replace(CONFIG, ema=0.9, epochs=3)
    records, state = train(config)
    best = max(record.epoch for record in records if record.best)
    plain, _ = train(dataclasses.replace(config, ema=None))
    assert [r.training_loss for r in records] == [
        r.training_loss for r in plain
    ]  # it does not touch the training
    assert [r.validation_loss for r in records] != [r.validation_loss for r in plain]
    validation = patches(5)
    with torch.no_grad():
        error = state.model({"column_density": validation.inputs["column_density"]}) - validation.target
    assert (error**2).mean().item() == pytest.approx(records[best].validation_loss, rel=1e-4)


@pytest.mark.parametrize(("steps", "warm_up"), [(100, 0.1), (37, 0.3), (20, 0.0)])
def test_one_cycle_is_that_of_torch(steps, warm_up):
    config = TrainingConfig(schedule="one_cycle", learning_rate=0.4, warm_up=warm_up)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.4, total_steps=steps, pct_start=warm_up, cycle_momentum=False
    )
    for step in range(steps):
        assert learning_rate(config, step, steps) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        if step < steps - 1:
            theirs.step()


def test_one_step_an_epoch_moves_once_by_the_summed_gradient():
    """The report's slip: with plain descent the weights move by the sum of the gradients of all batches."""
    config = dataclasses.replace(CONFIG, epochs=1, optimizer="sgd", momentum=0.0, weight_decay=0.0,
                                 learning_rate=1e-3, gradient_clip=None, schedule="constant",
                                 augment=False, batch_size=4, step="epoch")  # fmt: skip
    training = patches(16)
    start = build_model(plain_blueprint(), seed=1).fit_constants(training.inputs, training.target)
    loss = ((start(training.inputs) - training.target) ** 2).mean() * 4  # four batches of equal size
    gradients = torch.autograd.grad(loss, list(start.parameters()))
    _, state = train(config, count=16)
    for before, gradient, after in zip(start.parameters(), gradients, state.model.parameters(), strict=True):
        assert torch.allclose(after, before - 1e-3 * gradient, atol=1e-6)


def test_validation_in_training_mode_feels_batch_statistics():
    blueprint = Blueprint.unet(layers=1, base_filters=4, attention=False, reference_scale=2.0)
    config = dataclasses.replace(CONFIG, epochs=1, batch_size=5)
    right, _ = train(config, blueprint)
    slip, _ = train(dataclasses.replace(config, validation_mode="training"), blueprint)
    assert slip[0].training_loss == right[0].training_loss
    assert slip[0].validation_loss != pytest.approx(right[0].validation_loss, rel=1e-3)


class WithOption(nn.Module):
    """Sees a second map that may be blank."""

    def __init__(self):
        super().__init__()
        self.blueprint = Blueprint(
            ("column_density", "extra"), (Node("density", "add", {}, ("column_density", "extra")),), "density",
            optional_inputs=("extra",),
        )  # fmt: skip
        self.offset = nn.Parameter(torch.tensor(-18.0))
        self.blank = []

    def forward(self, inputs):
        if self.training:
            blank = torch.isnan(inputs["extra"]).flatten(1)
            assert (blank.all(1) == blank.any(1)).all()
            self.blank += blank.all(1).tolist()
            assert not torch.isnan(inputs["column_density"]).any()
        return inputs["column_density"] + self.offset

    def point(self, raw):
        return raw


@pytest.mark.parametrize(("probability", "low", "high"), [(0.0, 0, 0), (0.5, 50, 110), (0.9, 125, 159)])
def test_optional_inputs_are_blanked_patch_by_patch(probability, low, high):
    column = 10 ** np.full((20, 4, 4), 21.0)
    both = Patches.from_arrays({"column_density": column, "extra": column}, column / 1e18)
    model = WithOption()
    list(fit(model, both, both, config=dataclasses.replace(CONFIG, epochs=8, input_dropout=probability)))
    assert len(model.blank) == 160
    assert low <= sum(model.blank) <= high
    again = WithOption()
    list(fit(again, both, both, config=dataclasses.replace(CONFIG, epochs=8, input_dropout=probability)))
    assert again.blank == model.blank


def test_an_infinite_gradient_is_found_without_clipping_too():
    class Steep(nn.Module):
        def __init__(self):
            super().__init__()
            self.offset = nn.Parameter(torch.tensor(-17.0))

        def forward(self, inputs):
            return inputs["column_density"] + self.offset + (self.offset - self.offset.detach()).sqrt()

    model = Steep()
    with pytest.raises(DivergedError, match="finite gradient"):
        list(fit(model, patches(4), patches(4), config=dataclasses.replace(CONFIG, gradient_clip=None)))
    assert model.offset.item() == -17.0


def test_records_say_how_much_memory_and_waiting_it_took():
    records, _ = train(CONFIG)
    assert all(50 < record.memory_mib < 1e6 for record in records)
    assert all(0 <= record.waited_seconds <= record.seconds for record in records)


def test_a_machine_without_a_compiler_is_told_so(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(ValueError, match=r"compile: expected a compiler .*No working C\+\+.*compile=False"):
        train(dataclasses.replace(CONFIG, compile=True))


@pytest.mark.slow
def test_a_compiled_network_learns_the_same():
    plain, _ = train(CONFIG)
    compiled, state = train(dataclasses.replace(CONFIG, compile=True))
    assert losses(compiled) == pytest.approx(losses(plain), rel=1e-3)
    assert not any("_orig_mod" in name for name in state.model.state_dict())
