"""Evaluations: closed forms, limits, what is said, what is saved."""

import dataclasses

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.datasets import PatchDataset
from polaris_lab.estimators import fit_estimator
from polaris_lab.training import Run, metrics
from polaris_lab.training.cloud_sums import STATISTICS
from polaris_lab.training.evaluation import Evaluation, evaluate
from polaris_lab.training.predicted import Predicted, predict
from polaris_lab.training.recalibration import fit_recalibration
from polaris_lab.training.residual_correction import fit_correction

CLOUDS = [f"cloud {number}" for number in range(6)]


@pytest.fixture(scope="module")
def clouds(pairs) -> PatchDataset:
    """Return 24 patches of six clouds, the last three held out."""
    return PatchDataset.from_arrays(
        {"column_density": pairs[0]},
        {"mass_weighted_density": pairs[1]},
        pixel_size=0.05 * u.pc,
        split=["training"] * 12 + ["validation"] * 12,
        cloud=np.repeat(CLOUDS, 4).tolist(),
    )


def truth_of(dataset):
    return dataset.read("mass_weighted_density", dataset.indices("validation"))


class Off:
    """A method that is off by a given residual in every patch, and may state its error."""

    def __init__(self, truth, residual, sigma=None):
        self.answer = Predicted(
            truth * 10 ** np.asarray(residual), None if sigma is None else np.full(truth.shape, sigma)
        )

    def __call__(self, column_density, *, pixel_size_pc):
        return self.answer


def test_scores_are_those_of_the_metrics(clouds):
    truth = truth_of(clouds)
    noise = np.random.default_rng(0).normal(0.05, 0.2, truth.shape)
    method = Off(truth, noise)
    evaluation = evaluate(method, clouds)
    predicted = method.answer.density
    expected = metrics.scores(predicted, truth)
    for name in ("rmse_dex", "bias_dex", "accuracy_0.2", "densest_1_percent_rmse_dex"):
        assert evaluation.score(name).value == pytest.approx(expected[name])
    for name in ("robust_scatter_dex", "wasserstein_dex"):
        assert evaluation.score(name).value == pytest.approx(
            getattr(metrics, name)(predicted, truth), abs=2e-3
        )
    assert evaluation.score("in_map_rmse_dex").value == pytest.approx(
        metrics.in_map_rmse_dex(predicted, truth)
    )
    spectra = metrics.compare_spectra(predicted, truth)
    assert evaluation.score("high_frequency_power_ratio").value == pytest.approx(
        spectra.mean_ratio(0.125, 0.5), rel=1e-6
    )
    assert evaluation.accuracy["area"] == pytest.approx(metrics.accuracy_curve(predicted, truth).area)


def test_intervals_rest_on_the_clouds(clouds):
    """Three clouds off by -0.1, 0 and 0.3 dex: the bias of any draw lies between, whatever the pixels."""
    truth = truth_of(clouds)
    bias = np.repeat([-0.1, 0.0, 0.3], 4)[:, None, None]
    found = evaluate(Off(truth, bias), clouds).score("bias_dex")
    assert found.value == pytest.approx(0.2 / 3)
    assert found.clouds == 3
    assert found.low == pytest.approx(-0.1)
    assert found.high == pytest.approx(0.3)


def test_a_pair_is_compared_on_the_same_draws(clouds):
    truth = truth_of(clouds)
    hard = np.repeat([0.1, 0.2, 0.4], 4)[:, None, None]
    one, two = evaluate(Off(truth, 0.9 * hard), clouds), evaluate(Off(truth, hard), clouds)
    ratio = one.ratio(two)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((0.9, 0.9, 0.9))
    assert ratio.excludes(1.0)
    assert not evaluate(Off(truth, hard), clouds).ratio(two).excludes(1.0)
    assert one.difference(two, "bias_dex").value == pytest.approx(-0.1 * hard.mean())


def test_only_the_same_patches_are_compared(clouds):
    truth = truth_of(clouds)
    one = evaluate(Off(truth, 0.1), clouds)
    other = dataclasses.replace(one, dataset="0" * 16)
    with pytest.raises(ValueError, match="same pixels"):
        one.ratio(other)
    with pytest.raises(ValueError, match="sums give"):
        one.ratio(one, "wasserstein_dex")
    with pytest.raises(KeyError, match="expected one of"):
        one.score("rmse")


def test_a_stated_error_is_judged(clouds):
    truth = truth_of(clouds)
    noise = np.random.default_rng(1).normal(0, 0.2, truth.shape)
    right = evaluate(Off(truth, noise, sigma=0.2), clouds)
    assert right.score("coverage_0.68").value == pytest.approx(0.68, abs=0.02)
    assert right.score("coverage_0.95").value == pytest.approx(0.95, abs=0.01)
    assert right.score("crps_dex").value == pytest.approx(0.2 / np.sqrt(np.pi), rel=0.03)
    assert sum(right.calibration["pit_share"]) == pytest.approx(1)
    bold = evaluate(Off(truth, noise, sigma=0.1), clouds)
    assert bold.score("coverage_0.68").value < 0.45
    assert evaluate(Off(truth, noise), clouds).calibration is None


def test_samples_give_regions_and_rank_statistics(clouds):
    truth = truth_of(clouds)
    rng = np.random.default_rng(2)
    level = rng.normal(0, 0.1, (21, len(truth), 1, 1))
    samples = truth * 10 ** (level[:20] - level[20])
    method = Off(truth, 0.0)
    method.answer = Predicted(10 ** np.log10(samples).mean(axis=0), samples=samples)
    evaluation = evaluate(method, clouds)
    assert evaluation.calibration["kind"] == "samples"
    regions = evaluation.regions
    assert regions["sigma_dex"] == pytest.approx(0.1, rel=0.3)
    assert regions["independent_sigma_dex"] < 0.02
    assert "means over 16 pixels squared" in str(evaluation)


def test_it_says_how_the_split_was_made_and_what_it_may_hide(clouds, dataset):
    text = str(evaluate(Off(truth_of(clouds), 0.1), clouds))
    assert "The split was given with the images" in text
    assert "the intervals rest on 3 clouds only" in text
    assert "base 10 (dex)" in text
    nameless = evaluate(Off(truth_of(dataset), 0.1), dataset)
    assert nameless.score("rmse_dex").low is None
    assert any("do not say of which cloud" in note for note in nameless.notes)
    shared = PatchDataset.from_arrays(
        {"column_density": clouds.read("column_density")},
        {"mass_weighted_density": clouds.read("mass_weighted_density")},
        pixel_size=0.05 * u.pc,
        split=["training", "validation"] * 12,
        cloud=np.repeat(CLOUDS, 4).tolist(),
    )
    assert any(
        "6 of 6 clouds are also among the training" in note
        for note in evaluate(Off(truth_of(shared), 0.1), shared).notes
    )
    rows = clouds.indices("training")
    learned = clouds.read("mass_weighted_density", rows)
    assert any(
        "known by heart" in note for note in evaluate(Off(learned, 0.1), clouds, split="training").notes
    )


def test_saved_and_loaded_it_is_equal(clouds, tmp_path):
    truth = truth_of(clouds)
    evaluation = evaluate(Off(truth, np.random.default_rng(3).normal(0, 0.2, truth.shape), 0.2), clouds)
    path = evaluation.save(tmp_path / "evaluation.json")
    again = Evaluation.load(path)
    assert again == evaluation
    assert str(again) == str(evaluation)
    assert again.ratio(evaluation).value == pytest.approx(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        again.name = "other"
    (tmp_path / "other.json").write_text('{"schema": 1, "kind": "benchmark"}')
    with pytest.raises(ValueError, match="expected an evaluation"):
        Evaluation.load(tmp_path / "other.json")


def test_notebooks_see_a_table_and_names_are_escaped(clouds):
    evaluation = evaluate(Off(truth_of(clouds), 0.1), clouds, name="<b>")
    assert "&lt;b&gt;" in evaluation._repr_html_()
    assert "RMSE [dex]" in evaluation._repr_html_()
    assert repr(evaluation).startswith("Evaluation('<b>': RMSE 0.100")


def test_blank_pixels_have_no_weight(clouds):
    truth = truth_of(clouds)
    residual = np.full(truth.shape, 0.1)
    residual[:, :8] = np.nan
    found = evaluate(Off(truth, residual, sigma=0.1), clouds)
    assert found.pixels == truth.size * 3 // 4
    assert found.score("rmse_dex").value == pytest.approx(0.1)
    assert found.score("coverage_0.95").value == 1.0
    residual[0] = np.nan
    assert evaluate(Off(truth, residual), clouds).images == 11


def test_the_worst_map_is_named(clouds):
    truth = truth_of(clouds)
    residual = np.full(truth.shape, 0.1)
    residual[7] = 0.8
    worst = evaluate(Off(truth, residual), clouds).worst_map
    assert worst["cloud"] == "cloud 4"
    assert worst["patch"] == 12 + 7
    assert worst["rmse_dex"] == pytest.approx(0.8)


def test_an_estimator_and_a_run_are_judged_alike(trained, clouds):
    rows = clouds.indices("training")
    law = fit_estimator(
        "power_law",
        clouds.read("column_density", rows),
        clouds.read("mass_weighted_density", rows),
        pixel_size_pc=0.05,
    )
    simple, network = evaluate(law, clouds), evaluate(trained, clouds)
    assert simple.parameters == 2
    assert network.parameters == trained.parameters
    assert network.ratio(simple).value < 1
    assert network.cpu_seconds > 0
    assert set(network.bins) == {"target", "predicted", "column_density"}


def test_turning_the_input_turns_the_answer_of_an_averaged_network(trained, clouds):
    """The mean over the 8 symmetries commutes with each of them."""
    from polaris_lab.datasets.normalize import symmetry

    plain = predict(trained, clouds, symmetries=True).density
    turned_data = PatchDataset.from_arrays(
        {"column_density": symmetry(clouds.read("column_density"), 5).copy()},
        {"mass_weighted_density": symmetry(clouds.read("mass_weighted_density"), 5).copy()},
        pixel_size=0.05 * u.pc,
        split=clouds.table["split"].tolist(),
    )
    turned = predict(trained, turned_data, symmetries=True).density
    assert turned == pytest.approx(symmetry(plain, 5), rel=1e-4)
    single = predict(trained, clouds).density
    assert single != pytest.approx(plain, rel=1e-3)


def test_an_ensemble_is_the_mean_of_the_logarithms(trained, clouds):
    one = predict(trained, clouds)
    two = predict([trained, trained], clouds)
    assert two.density == pytest.approx(one.density, rel=1e-5)
    assert two.parameters == 2 * one.parameters
    assert one.density == pytest.approx(trained_density(trained, clouds), rel=1e-5)


def trained_density(run: Run, dataset: PatchDataset):
    from polaris_lab.training.validation import predict_patches

    return predict_patches(
        run.model(), dataset, "validation", inputs=run.blueprint.inputs, target=run.target
    )[0]


def test_what_was_fitted_on_the_judged_patches_is_refused_or_said(clouds):
    truth = truth_of(clouds)
    method = Off(truth, np.random.default_rng(5).normal(0.1, 0.2, truth.shape), sigma=0.1)
    for name, part in (
        ("correction", fit_correction(method.answer.density, truth)),
        ("recalibration", fit_recalibration(method.answer, truth)),
    ):
        with pytest.raises(ValueError, match="12 of 12"):
            evaluate(method, clouds, **{name: part})
        said = evaluate(method, clouds, allow_fitted_patches=True, **{name: part}).notes
        assert any("was fitted on 12 of the 12 patches judged here" in note for note in said)
        part = dataclasses.replace(part, fitted_on=("another",))
        assert any("1 other patches" in note for note in evaluate(method, clouds, **{name: part}).notes)


def test_bad_predictors_are_refused(clouds, dataset):
    with pytest.raises(TypeError, match="expected a Run, an Ensemble, several runs"):
        evaluate("power_law", clouds)
    with pytest.raises(TypeError, match="runs in the sequence"):
        evaluate([1, 2], clouds)
    with pytest.raises(ValueError, match="densities of the shape"):
        evaluate(lambda column_density, *, pixel_size_pc: column_density[0], clouds)
    with pytest.raises(ValueError, match="expected patches for dropped"):
        evaluate(Off(truth_of(clouds), 0.1), clouds, split="dropped")
    with pytest.raises(ValueError, match="target: expected one of"):
        evaluate(Off(truth_of(clouds), 0.1), clouds, target="max_density")
    with pytest.raises(ValueError, match="sigma_dex: expected the shape"):
        Predicted(np.ones((1, 2, 2)), sigma_dex=np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"density: expected the shape \(n, y, x\)"):
        Predicted(np.ones((2, 2)))


def test_every_statistic_has_words():
    from polaris_lab.training.evaluation_text import LABELS

    assert set(STATISTICS) <= set(LABELS)


def test_a_partial_batch_weighs_by_its_size(trained, clouds, monkeypatch):
    """Twelve patches in batches of five, five and two give what one batch gives."""
    from polaris_lab.training import predicted_by_runs

    whole = evaluate(trained, clouds)
    monkeypatch.setattr(predicted_by_runs, "BATCH_PIXELS", 5 * 32 * 32)
    parts = evaluate(trained, clouds)
    for name, score in whole.scores.items():
        assert parts.scores[name]["value"] == pytest.approx(score["value"], rel=1e-4, abs=1e-6)
