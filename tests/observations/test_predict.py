"""Prediction: every valid pixel, no seams, blanks that spoil nothing, intervals that hold the truth."""

from __future__ import annotations

import logging
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.observations import BlankPixelWarning, Observation, Prediction, Quality, predict_density
from polaris_lab.observations.intervals import log_ends
from tests.observations.conftest import sky_wcs, smooth_column, toy_density


def stand_in(run, **changes):
    """Return an object with the attributes of a run that prediction uses, some of them changed."""
    names = ("blueprint", "fingerprint", "dataset_fingerprint", "target", "pixel_size_pc", "description")
    names += ("model", "validation", "dataset", "path")
    return SimpleNamespace(**{**{name: getattr(run, name) for name in names}, **changes})


def predict(run, observation, **choices):
    return predict_density(run, observation, **{"progress": False, "compare": False, **choices})


def dex(first, second):
    return np.abs(np.log10(first / second))


# -- coverage and tiles ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(16, 16), (40, 61), (97, 33)])
@pytest.mark.parametrize("overlap", [None, 0.5, 0.0])
def test_every_valid_pixel_is_predicted_and_blank_stays_blank(run, observe, shape, overlap):
    column = smooth_column(shape)
    column[: shape[0] // 3, : shape[1] // 4] = np.nan
    column[-1, -1] = np.nan
    prediction = predict(run, observe(column), overlap=overlap)
    valid = np.isfinite(column)
    for name in ("density", "lower68", "upper68", "lower95", "upper95"):
        np.testing.assert_array_equal(np.isfinite(getattr(prediction, name)), valid)
    assert (prediction.coverage[valid] >= 1).all()
    assert (prediction.coverage[~valid] == 0).all()
    assert (prediction.quality[~valid] == 0).all()


def test_the_reports_overlap_predicts_inner_pixels_four_times(run, observe):
    coverage = predict(run, observe(smooth_column((128, 128))), overlap=0.5).coverage
    assert (coverage[20:-20, 20:-20] == 4).all()
    assert coverage[0, 0] == 1


def test_the_answer_does_not_depend_on_the_tiles(run, observe):
    observation = observe(smooth_column((90, 110)))
    whole = predict(run, observation)
    assert whole.provenance["scheme"].startswith("1 tile ")
    for tile in (64, 100):
        cut = predict(run, observation, tile=tile)
        assert not cut.provenance["scheme"].startswith("1 tile ")
        assert dex(cut.density, whole.density).max() < 1e-4


def test_the_answer_does_not_depend_on_where_the_map_begins(run, observe):
    """Cut off a multiple of the network's stride: beyond its reach from the cut nothing changes."""
    column = smooth_column((120, 120))
    whole = predict(run, observe(column)).density
    part = predict(run, observe(column[24:, 16:])).density
    margin = run.model().receptive_margin
    assert dex(part, whole[24:, 16:])[margin:, margin:].max() < 1e-4


def test_overlapping_patches_agree_with_large_tiles(run, observe):
    observation = observe(smooth_column((100, 100)))
    difference = dex(predict(run, observation, overlap=0.5).density, predict(run, observation).density)
    assert np.sqrt(np.mean(difference**2)) < 0.05


def test_a_tile_too_small_for_the_network_is_refused(run, observe):
    with pytest.raises(ValueError, match="enlarge the tile"):
        predict(run, observe(smooth_column((64, 64))), tile=16)


def test_an_overlap_out_of_range(run, observe):
    with pytest.raises(ValueError, match="overlap"):
        predict(run, observe(smooth_column((64, 64))), overlap=1.0)


# -- blanks ------------------------------------------------------------------------------------------


def test_blank_pixels_spoil_no_neighbour(run, observe):
    column = smooth_column((80, 80))
    whole = predict(run, observe(column)).density
    rng = np.random.default_rng(3)
    holes = rng.random(column.shape) < 0.01
    holes[30:36, 50:56] = True
    damaged = predict(run, observe(np.where(holes, np.nan, column))).density
    np.testing.assert_array_equal(np.isnan(damaged), holes)
    assert dex(damaged, whole)[~holes].max() < 0.1
    assert np.sqrt(np.mean(dex(damaged, whole)[~holes] ** 2)) < 0.02


def test_the_observation_is_not_changed(run, observe):
    column = smooth_column((40, 40))
    column[:4] = np.nan
    observation = observe(column)
    before = observation.column_density.copy()
    predict(run, observation)
    np.testing.assert_array_equal(observation.column_density, before)


# -- physics -----------------------------------------------------------------------------------------


def test_it_has_learned_the_toy_relation(run, observe):
    column = smooth_column((128, 128), seed=99)
    prediction = predict(run, observe(column))
    assert np.sqrt(np.mean(dex(prediction.density, toy_density(column)) ** 2)) < 0.3


def test_intervals_hold_the_stated_fraction_of_the_truth(run, observe):
    """On another map of the same kind: 68 % and 95 %, within what a toy training allows."""
    columns = [smooth_column((32, 32), seed) for seed in range(100, 130)]
    inside = []
    for seed, column in enumerate(columns, start=100):
        truth = toy_density(column, seed)
        p = predict(run, observe(column))
        inside.append(
            [
                ((p.lower68 <= truth) & (truth <= p.upper68)).mean(),
                ((p.lower95 <= truth) & (truth <= p.upper95)).mean(),
            ]
        )
    within68, within95 = np.mean(inside, axis=0)
    assert 0.60 < within68 < 0.76
    assert 0.90 < within95 < 0.985


def test_intervals_are_nested_around_the_value(run, observe):
    p = predict(run, observe(smooth_column((64, 64))))
    for low, high in (
        (p.lower95, p.lower68),
        (p.lower68, p.density),
        (p.density, p.upper68),
        (p.upper68, p.upper95),
    ):
        assert (low <= high).all()


def test_the_sign_of_the_residual():
    """Predictions 0.3 dex too high on average: the truth lies below them."""
    table = {"log_density": [2.0, 4.0], "q02.5": [-0.1, -0.1], "q16": [0.1, 0.1], "q50": [0.3, 0.3]}
    table |= {"q84": [0.5, 0.7], "q97.5": [0.9, 0.9]}
    ends = log_ends(np.array([[1.0, 2.0, 3.0, 5.0]]), {}, [{k: np.array(v) for k, v in table.items()}])
    np.testing.assert_allclose(ends["lower68"], [[0.5, 1.5, 2.4, 4.3]])
    np.testing.assert_allclose(ends["upper68"], [[1.0, 2.0, 3.0, 5.0]])  # q16 > 0: the value itself
    np.testing.assert_allclose(ends["upper95"], [[1.1, 2.1, 3.1, 5.1]])


def test_twice_the_column_is_twice_the_density_for_a_scale_equivariant_network(run, observe):
    column = smooth_column((48, 48))
    single, double = predict(run, observe(column)), predict(run, observe(2 * column))
    np.testing.assert_allclose(double.density, 2 * single.density, rtol=1e-3)


def test_n_h2_is_doubled(run, observe):
    column = smooth_column((48, 48))
    nuclei, molecules = predict(run, observe(column)), predict(run, observe(column / 2, species="H2"))
    np.testing.assert_allclose(molecules.density, nuclei.density, rtol=1e-6)
    assert molecules.provenance["species"] == "H2"


# -- pixels ------------------------------------------------------------------------------------------


def test_a_finer_map_is_predicted_on_the_models_pixel_and_returned_on_its_own(run, observe):
    fine = np.kron(smooth_column((40, 48)), np.ones((3, 3)))
    blocks = predict(run, observe(smooth_column((40, 48))))
    p = predict(run, observe(fine, pixel=1 / 3))
    assert p.shape == fine.shape
    np.testing.assert_allclose(p.density[1::3, 1::3], blocks.density, rtol=1e-4)  # block centres
    assert p.flagged(Quality.RESAMPLED).all()
    assert "averaged" in p.notes[0]
    assert p.flagged(Quality.EDGE)[:, 0].all()
    assert not p.flagged(Quality.EDGE)[50:70, 60:80].any()
    assert predict(run, observe(fine, pixel=1 / 3), overlap=0.5).coverage.max() == 4
    assert not blocks.flagged(Quality.RESAMPLED).any()


def test_a_finer_map_keeps_its_blank_pixels_and_only_those(run, observe):
    fine = smooth_column((100, 120))
    fine[50:53, 70:75] = np.nan
    fine[10, 10] = np.nan
    p = predict(run, observe(fine, pixel=0.4))
    np.testing.assert_array_equal(np.isfinite(p.density), np.isfinite(fine))


@pytest.mark.parametrize(("pixel", "resampled"), [(1.42, False), (0.67, False), (0.65, True)])
def test_pixels_near_the_models_are_taken_as_they_are(run, observe, pixel, resampled):
    """Model pixel over map pixel from 0.7 to 1.5."""
    p = predict(run, observe(smooth_column((60, 60)), pixel=pixel))
    assert p.flagged(Quality.RESAMPLED).all() == resampled


def test_a_coarser_map_is_refused_with_the_reason(run, observe):
    with pytest.raises(ValueError, match=r"at most 0\.0286 pc .*got 0\.029 pc .*cannot be put back"):
        predict(run, observe(smooth_column((60, 60)), pixel=1.45))


def test_the_density_falls_as_one_over_the_distance(run, observe):
    """The same columns with all lengths 1.3 times as long (N kept): every density is 1.3 times lower, exactly."""
    column = smooth_column((60, 60))
    near, far = predict(run, observe(column)), predict(run, observe(column, pixel=1.3))
    np.testing.assert_allclose(far.density, near.density / 1.3, rtol=1e-5)
    np.testing.assert_allclose(far.upper68, near.upper68 / 1.3, rtol=1e-5)
    assert "their ratio" in far.notes[0]


def test_pixels_that_are_not_square_are_resampled(run):
    column = smooth_column((60, 120))
    wcs = sky_wcs(column.shape)
    wcs.wcs.cd = np.diag([-10 / 3600, 20 / 3600])
    distance = run.pixel_size_pc / np.radians(20 / 3600) * u.pc
    p = predict(run, Observation(column, wcs=wcs, distance=distance, species="H"))
    assert p.shape == column.shape
    assert p.flagged(Quality.RESAMPLED).all()
    wcs.wcs.cd = np.diag([-10 / 3600, 40 / 3600])  # one side far too coarse
    with pytest.raises(ValueError, match="cannot be put back"):
        predict(run, Observation(column, wcs=wcs, distance=distance, species="H"))


def test_a_map_under_sixteen_pixels_is_refused(run, observe):
    with pytest.raises(ValueError, match=r"at least 16 x 16 pixels of the model .*got 15 x 60"):
        predict(run, observe(smooth_column((15, 60))))
    with pytest.raises(ValueError, match="got 10 x 10"):
        predict(run, observe(smooth_column((40, 40)), pixel=0.25))


@pytest.mark.parametrize("overlap", [None, 0.5])
def test_a_map_smaller_than_a_tile_is_reflected_with_a_notice(run, observe, overlap, caplog):
    with caplog.at_level(logging.INFO, logger="polaris_lab.observations"):
        p = predict(run, observe(smooth_column((17, 18))), overlap=overlap)
    assert np.isfinite(p.density).all()
    assert "continued by reflection" in caplog.text
    assert "17 x 18 pixels" in p.notes[0]
    assert not predict(run, observe(smooth_column((32, 32)))).notes


# -- flags -------------------------------------------------------------------------------------------


def test_flags_near_edges_and_blanks(run, observe):
    column = smooth_column((80, 80))
    column[40, 40] = np.nan
    p = predict(run, observe(column))
    assert p.flagged(Quality.EDGE)[0].all()
    assert not p.flagged(Quality.EDGE)[30:50, 30:50].any()
    assert p.flagged(Quality.BLANK)[38, 41]
    assert not p.flagged(Quality.BLANK)[60, 60]


def test_flags_what_the_network_has_never_seen(run, observe):
    column = smooth_column((80, 80))
    ordinary = predict(run, observe(column))
    strange = Quality.COLUMN_RANGE | Quality.DENSITY_RANGE
    assert ordinary.flagged(strange).mean() < 0.05
    spike = column.copy()
    spike[40, 40] *= 1e5
    p = predict(run, observe(spike, spikes=False))
    assert p.flagged(Quality.COLUMN_RANGE)[40, 40]
    assert p.flagged(Quality.DENSITY_RANGE)[40, 40]
    assert any("outside the training set" in note for note in p.notes)
    brighter = predict(run, observe(1e3 * column))  # the same contrast, but densities never seen
    assert brighter.flagged(Quality.COLUMN_RANGE).mean() < 0.05
    assert brighter.flagged(Quality.DENSITY_RANGE).mean() > 0.9


def test_without_its_dataset_a_run_still_predicts_and_flags_densities(run, observe):
    def gone():
        raise FileNotFoundError("moved")

    p = predict(stand_in(run, dataset=gone), observe(1e3 * smooth_column((40, 40))))
    assert p.flagged(Quality.DENSITY_RANGE).mean() > 0.9


# -- runs that do not fit ----------------------------------------------------------------------------


def test_a_run_that_was_not_validated(run, observe):
    def missing():
        raise FileNotFoundError("validation.json")

    with pytest.raises(ValueError, match=r"call run.validate\(\)"):
        predict(stand_in(run, validation=missing), observe(smooth_column((40, 40))))


# -- real maps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "pixel_pc", "choices"),
    [
        ("column/perseus_b5_herschel_NH2.fits", 0.02, {"distance": 300 * u.pc, "species": "H2"}),
        ("column/perseus_b5_herschel_NH2.fits", 0.05, {"distance": 300 * u.pc, "species": "H2"}),
        ("column/perseus_ic348_NH2.fits", 0.04, {"distance": 300 * u.pc, "species": "H2", "unit": "cm-2"}),
        (
            "column/taurus_planck_logNH.fits",
            0.07,
            {"distance": 140 * u.pc, "species": "H", "unit": "dex(cm-2)"},
        ),
        ("column/higal_fil10_NH2.fits", 0.5, {"distance": 3 * u.kpc, "species": "H2"}),
        ("extinction/orion_AV.fits", 0.2, {"distance": 400 * u.pc, "species": "A_V"}),
        ("extinction/perseus_2mass_AV_galactic.fits", 0.2, {"distance": 300 * u.pc, "species": "A_V"}),
    ],
)
def test_real_maps(run, shared_data, tmp_path, path, pixel_pc, choices):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BlankPixelWarning)
        observation = Observation.from_fits(shared_data / path, **choices)
    p = predict(stand_in(run, pixel_size_pc=pixel_pc), observation)
    valid = np.isfinite(observation.column_density)
    np.testing.assert_array_equal(np.isfinite(p.density), valid)
    assert (p.density[valid] > 0).all()
    assert (p.lower95[valid] <= p.density[valid]).all()
    assert (p.density[valid] <= p.upper95[valid]).all()
    assert np.corrcoef(np.log10(p.density[valid]), np.log10(observation.column_density[valid]))[0, 1] > 0.8
    assert (p.quality[~valid] == 0).all()
    if not valid.all():
        assert p.flagged(Quality.BLANK).any()
    densest = 10 ** run.validation()["training_ranges"]["density"][1]
    assert p.flagged(Quality.DENSITY_RANGE)[valid & (p.density > 10 * densest)].all()
    assert any("errors" in str(value) for value in p.provenance.values())
    again = Prediction.open(p.write_fits(tmp_path / "density.fits"))
    for name in ("density", "lower68", "upper95", "quality", "coverage"):
        np.testing.assert_array_equal(getattr(again, name), getattr(p, name))
    assert again.notes == p.notes
    corner = [[0, 0], [valid.shape[1] - 1, valid.shape[0] - 1]]
    np.testing.assert_allclose(
        again.wcs.all_pix2world(corner, 0), observation.wcs.all_pix2world(corner, 0), atol=1e-8
    )
