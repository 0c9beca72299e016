"""The loop: what is counted, what is random, what ends it."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from polaris_lab.models import build_model
from polaris_lab.training import DivergedError, Patches, TrainingConfig, TrainingState, fit, metrics
from polaris_lab.training.losses import LOSSES, mean_square

CONFIG = TrainingConfig(epochs=2, batch_size=4, learning_rate=0.05, schedule="constant", device="cpu")


class Shift(nn.Module):
    """log n = log N + offset, keeping what it was shown."""

    def __init__(self, offset: float = -17.0) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(offset))
        self.seen: list[torch.Tensor] = []
        self.modes: set[tuple[bool, bool]] = set()

    def forward(self, inputs):
        self.modes.add((self.training, torch.is_grad_enabled()))
        if self.training:
            self.seen.append(inputs["column_density"].clone())
        return inputs["column_density"] + self.offset


def maps(count: int, seed: int = 0) -> np.ndarray:
    """Return images that differ in level and have no symmetry."""
    rng = np.random.default_rng(seed)
    return 10 ** (20 + np.arange(count)[:, None, None] + 0.3 * rng.random((count, 6, 6)))


def pairs_of(column_density: np.ndarray, offset: float = 18.0) -> Patches:
    return Patches.from_arrays({"column_density": column_density}, column_density / 10**offset)


def test_every_patch_is_seen_once_an_epoch_in_a_new_order():
    model = Shift()
    list(fit(model, pairs_of(maps(9)), pairs_of(maps(2)), config=CONFIG))
    assert [len(batch) for batch in model.seen] == [3, 3, 3] * 2
    levels = [int(image.mean()) - 20 for batch in model.seen for image in batch]
    assert sorted(levels[:9]) == sorted(levels[9:]) == list(range(9))
    assert levels[:9] != levels[9:]


def test_losses_weigh_every_patch_once():
    """17 patches in batches of 4, weights that do not move: the loss is the plain mean over patches."""
    column = maps(17)
    target = column / 10 ** (17 + np.arange(17)[:, None, None] * 0.07)
    patches = Patches.from_arrays({"column_density": column}, target)
    config = dataclasses.replace(CONFIG, learning_rate=1e-30, epochs=1, weight_decay=0.0)
    (record,) = fit(Shift(-17.0), patches, patches, config=config)
    expected = np.mean((np.arange(17) * 0.07) ** 2)
    assert record.training_loss == pytest.approx(expected, rel=1e-5)
    assert record.validation_loss == pytest.approx(expected, rel=1e-5)
    assert record.training_rmse_dex == pytest.approx(expected**0.5, rel=1e-5)
    assert record.validation_accuracy == pytest.approx(5 / 17)  # offsets 0, 0.07 ... 0.28 dex


def test_reported_accuracy_is_the_metric():
    column = maps(5)
    target = column / 1e17 * 10 ** np.random.default_rng(3).normal(0, 0.4, column.shape)
    patches = Patches.from_arrays({"column_density": column}, target)
    config = dataclasses.replace(CONFIG, learning_rate=1e-30, epochs=1, weight_decay=0.0)
    (record,) = fit(Shift(-17.0), patches, patches, config=config)
    (other,) = fit(Shift(-17.0), patches, patches, config=dataclasses.replace(config, loss="2*huber(0.1)"))
    expected = metrics.accuracy(column / 1e17, target, tolerance_dex=0.3)
    assert record.validation_accuracy == pytest.approx(expected, abs=1e-3)
    assert record.validation_loss == pytest.approx(metrics.rmse_dex(column / 1e17, target) ** 2, rel=1e-5)
    for told in (record, other):  # in dex whatever the loss counts
        assert told.validation_rmse_dex == pytest.approx(metrics.rmse_dex(column / 1e17, target), rel=1e-5)
        assert told.training_rmse_dex == pytest.approx(told.validation_rmse_dex, rel=1e-5)
    assert other.validation_loss != pytest.approx(record.validation_loss, rel=0.1)


def test_patches_are_turned_one_by_one_and_their_target_with_them():
    """The offset of input and target is exact only if both turn alike; images of a batch turn differently."""
    column = np.repeat(maps(1), 12, axis=0)
    model = Shift(-18.0)
    config = dataclasses.replace(CONFIG, batch_size=12, epochs=1)
    (record,) = fit(model, pairs_of(column), pairs_of(column), config=config)
    assert record.training_loss < 1e-10
    assert len({str(image.tolist()) for image in model.seen[0]}) > 3
    model = Shift(-18.0)
    list(fit(model, pairs_of(column), pairs_of(column), config=dataclasses.replace(config, augment=False)))
    assert len({str(image.tolist()) for image in model.seen[0]}) == 1


def test_validation_is_in_evaluation_mode_without_gradients():
    model = Shift()
    list(fit(model, pairs_of(maps(4)), pairs_of(maps(4)), config=CONFIG))
    assert model.modes == {(True, True), (False, False)}
    assert not model.training


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("schedule", ["cosine", "plateau", "constant"])
def test_optimizers_and_schedules_find_the_answer(optimizer, schedule):
    config = dataclasses.replace(CONFIG, epochs=30, optimizer=optimizer, schedule=schedule, weight_decay=0.0)
    model = Shift(-17.0)
    records = list(fit(model, pairs_of(maps(8)), pairs_of(maps(8)), config=config))
    assert model.offset.item() == pytest.approx(-18, abs=0.05)
    assert records[-1].validation_loss < 0.01 * records[0].training_loss


def test_one_step_per_batch():
    model = Shift()
    state = TrainingState(model, CONFIG)
    list(fit(model, pairs_of(maps(9)), pairs_of(maps(2)), config=CONFIG, state=state))
    (optimizer_state,) = state.optimizer.state.values()
    assert int(optimizer_state["step"]) == 2 * 3


def test_the_gradient_is_clipped():
    config = dataclasses.replace(
        CONFIG, epochs=1, batch_size=8, optimizer="sgd", momentum=0.0, weight_decay=0.0, learning_rate=1.0
    )
    for clip, moved in ((0.01, 0.01), (None, 2.0)):  # d/db mean (b - 18)^2 = 2 at distance 1
        model = Shift(-17.0)
        patches = pairs_of(maps(8))
        list(fit(model, patches, patches, config=dataclasses.replace(config, gradient_clip=clip)))
        assert abs(model.offset.item() + 17) == pytest.approx(moved, rel=1e-3)


def test_early_stopping_restores_the_best_weights():
    """Validation wants the offset where it starts: every step away from it is worse."""
    training, validation = pairs_of(maps(8), offset=19), pairs_of(maps(4), offset=17)
    config = dataclasses.replace(CONFIG, epochs=50, early_stopping=3)
    model, offsets = Shift(-17.0), []
    for record in fit(model, training, validation, config=config):
        offsets.append(model.offset.item())
        assert record.best == (record.epoch == 0)
    assert len(offsets) == 4
    assert model.offset.item() == offsets[0] != offsets[-1]


def test_without_early_stopping_the_best_weights_count_too():
    training, validation = pairs_of(maps(8), offset=19), pairs_of(maps(4), offset=17)
    model, offsets = Shift(-17.0), []
    for _ in fit(model, training, validation, config=dataclasses.replace(CONFIG, epochs=5)):
        offsets.append(model.offset.item())
    assert len(offsets) == 5
    assert model.offset.item() == offsets[0]


def test_a_training_goes_on_from_a_checkpoint_exactly(blueprint, dataset, config):
    """Two epochs, a checkpoint, and the rest in a new state: the same as without a break, dropout included."""
    names = {"inputs": blueprint.inputs, "target": blueprint.output}
    training, validation = (Patches.load(dataset, split, **names) for split in ("training", "validation"))

    def begin():
        return build_model(blueprint, seed=1).fit_constants(training.inputs, training.target)

    whole = begin()
    records = list(fit(whole, training, validation, config=config))
    first = begin()
    state = TrainingState(first, config)
    loop = fit(first, training, validation, config=config, state=state)
    next(loop), next(loop)
    second = begin()
    torch.rand(3)  # the global random state is of no account
    state = TrainingState(second, config, state.checkpoint())
    rest = list(fit(second, training, validation, config=config, state=state))
    assert [r.training_loss for r in rest] == [r.training_loss for r in records[2:]]
    assert [r.validation_loss for r in rest] == [r.validation_loss for r in records[2:]]
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_the_seed_decides_and_global_random_states_are_left_alone(blueprint, dataset, config):
    names = {"inputs": blueprint.inputs, "target": blueprint.output}
    patches = Patches.load(dataset, "training", **names)
    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002

    def losses(seed):
        model = build_model(blueprint, seed=0).fit_constants(patches.inputs, patches.target)
        settings = dataclasses.replace(config, seed=seed, epochs=2)
        return [record.training_loss for record in fit(model, patches, patches, config=settings)]

    assert losses(5) == losses(5) != losses(6)
    assert torch.equal(torch_before, torch.random.get_rng_state())
    assert (np.random.get_state()[1] == numpy_before).all()  # noqa: NPY002


def test_bfloat16_learns_as_well(blueprint, dataset, config):
    names = {"inputs": blueprint.inputs, "target": blueprint.output}
    training, validation = (Patches.load(dataset, split, **names) for split in ("training", "validation"))
    final = {}
    for precision in ("32-true", "bf16-mixed"):
        model = build_model(blueprint, seed=0).fit_constants(training.inputs, training.target)
        settings = dataclasses.replace(config, precision=precision)
        *_, last = fit(model, training, validation, config=settings)
        final[precision] = last.validation_loss
        assert next(model.parameters()).dtype == torch.float32
    assert final["bf16-mixed"] == pytest.approx(final["32-true"], rel=0.2)
    assert final["bf16-mixed"] != final["32-true"]


def test_a_loss_that_is_not_finite_stops_before_the_step(monkeypatch):
    calls = []

    def breaking(predicted, target):
        calls.append(1)
        return mean_square(predicted, target) * (float("nan") if len(calls) == 2 else 1.0)

    monkeypatch.setitem(LOSSES, "mse", breaking)
    model, numbers = Shift(), [30, 31, 32, 33, 34, 35]
    column = maps(6)
    patches = Patches.from_arrays({"column_density": column}, column / 1e18, numbers=numbers)
    seen = []
    config = dataclasses.replace(CONFIG, batch_size=3)
    with pytest.raises(
        DivergedError, match=r"epoch 0, batch 1: expected a finite training loss, got nan.*patches \[3"
    ) as caught:
        list(
            fit(
                model,
                patches,
                patches,
                config=config,
                before_batch=lambda n: seen.append(model.offset.item()),
            )
        )
    shown = sorted(30 + int(image.mean()) - 20 for image in model.seen[1])
    assert caught.value.patches == shown
    assert (caught.value.epoch, caught.value.batch) == (0, 1)
    assert model.offset.item() == seen[1]


def test_an_infinite_gradient_stops_too():
    class Steep(Shift):
        def forward(self, inputs):
            return super().forward(inputs) + (self.offset.abs() - self.offset.abs().detach()).sqrt()

    with pytest.raises(DivergedError, match="finite gradient"):
        list(fit(Steep(), pairs_of(maps(4)), pairs_of(maps(4)), config=CONFIG))


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(
        ValueError, match=r"batch_size: expected at most the 3 training patches, got 4; set batch_size=3"
    ):
        next(fit(Shift(), pairs_of(maps(3)), pairs_of(maps(3)), config=CONFIG))
    with pytest.raises(ValueError, match="state of this model"):
        next(
            fit(
                Shift(),
                pairs_of(maps(4)),
                pairs_of(maps(4)),
                config=CONFIG,
                state=TrainingState(Shift(), CONFIG),
            )
        )
    with pytest.raises(ValueError, match="expected weights to train"):
        TrainingState(nn.Identity(), CONFIG)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device: expected one that is present, got 'cuda'"):
            TrainingState(Shift(), dataclasses.replace(CONFIG, device="cuda"))
