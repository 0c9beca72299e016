"""Training maps are inside; noise, other levels and other spectra are outside; the report's Orion B comes back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits

import polaris_lab as lab
from polaris_lab import synthetic_cloud
from polaris_lab.datasets import PatchConfig, PatchDataset, build_dataset
from polaris_lab.observations import Observation, Quality, coverage
from polaris_lab.observations.coverage import compare, coverage_flags, coverage_note, training_features
from polaris_lab.observations.features import band_count, feature_names, window_features
from tests.observations.conftest import sky_wcs

PIXEL_PC, SIDE = 0.02, 32


def sky(
    shape: tuple[int, int], seed: int, *, slope: float = 1.4, spread: float = 0.3, level: float = 21.3
) -> np.ndarray:
    """Return a lognormal map of N_H [cm^-2] whose log has the power k^(-2 slope), cut out of a larger one."""
    rng = np.random.default_rng(seed)
    side = 8 * SIDE
    wave = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    wave[0, 0] = np.inf
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((side, side))) * wave**-slope).real
    field /= np.sqrt(np.mean(wave ** (-2 * slope)))  # of unit variance in the mean over many maps
    return 10 ** (level + spread * field[: shape[0], : shape[1]])


def patches(level: float | None = None) -> np.ndarray:
    """Return 96 patches out of six maps; each moved to a level from 21.2 to `level`, if given."""
    rng = np.random.default_rng(0)
    step = range(0, 4 * SIDE, SIDE)
    maps = [sky((4 * SIDE, 4 * SIDE), seed) for seed in range(6)]
    made = np.array([m[y : y + SIDE, x : x + SIDE] for m in maps for y in step for x in step])
    if level is not None:
        log_mean = np.log10(made).mean(axis=(1, 2), keepdims=True)
        made = made * 10 ** (rng.uniform(21.2, level, log_mean.shape) - log_mean)
    return made


def as_dataset(columns: np.ndarray) -> PatchDataset:
    return PatchDataset.from_arrays(
        {"column_density": columns},
        {"mass_weighted_density": columns / 1e18},
        pixel_size=PIXEL_PC * u.pc,
        split=["training"] * (len(columns) - 8) + ["validation"] * 8,
        cloud=[f"map {number // 16}" for number in range(len(columns))],
    )


@pytest.fixture(scope="module")
def dataset() -> PatchDataset:
    return as_dataset(patches())


def observed(column: np.ndarray, *, pixel: float = 1.0) -> Observation:
    """Return a map whose pixels are `pixel` of those of the training set."""
    distance = pixel * PIXEL_PC / np.radians(20 / 3600) * u.pc
    return Observation(column, wcs=sky_wcs(column.shape), distance=distance, species="H")


def test_training_maps_are_inside(dataset):
    for number in (0, 17, 60):
        found = compare(dataset, observed(dataset.read("column_density", [number])[0]))
        assert found.window_absolute == pytest.approx(0, abs=0.01)
        assert found.inside().all()
        assert found.share_outside() == 0
        assert coverage_note(found) == ""
        assert not coverage_flags(found).any()


def test_an_unseen_map_of_the_same_kind_is_inside(dataset):
    for seed in range(100, 104):
        found = compare(dataset, observed(sky((96, 120), seed)))
        assert found.share_outside() < 0.1
        assert found.share_outside(level="relative") < 0.1
        assert "covers" in found.sentence
        assert coverage_note(found) == ""


@pytest.mark.parametrize(
    "column",
    [
        10 ** (21.3 + 0.3 * np.random.default_rng(0).normal(size=(96, 96))),
        sky((96, 96), 7, slope=2.2),
        sky((96, 96), 7, slope=0.8),
        sky((96, 96), 7, spread=1.5),
        np.full((96, 96), 2e21),
    ],
    ids=["noise", "steep", "flat", "contrast", "uniform"],
)
def test_other_structure_is_outside_whatever_the_level(dataset, column):
    found = compare(dataset, observed(column))
    for level in ("absolute", "relative"):
        assert found.share_outside(level=level) > 0.9
        assert "does not apply" in coverage_note(found, level=level)
        assert (coverage_flags(found, level=level) == int(Quality.UNLIKE_TRAINING)).mean() > 0.9
    assert "extrapolated" in found.sentence


def test_a_hundred_times_denser_is_outside_only_absolutely(dataset):
    """What a scale-equivariant network sees is the same."""
    column = sky((96, 96), 100)
    found, dense = compare(dataset, observed(column)), compare(dataset, observed(100 * column))
    assert dense.share_outside() == 1
    np.testing.assert_allclose(dense.relative, found.relative, rtol=1e-4)
    assert "scale-equivariant" in dense.sentence
    assert coverage_note(dense)
    assert coverage_note(dense, level="relative") == ""


def test_orion_b_of_the_report():
    """Training at mean log N 21.2-23.4, the map at 20.6-21.8: what lies below 21.2 is outside, its structure is known."""
    rising = 10 ** np.linspace(-0.42, 0.42, 8 * SIDE)
    column = sky((3 * SIDE, 8 * SIDE), 303, spread=0.25, level=21.2) * rising
    found = compare(as_dataset(patches(level=23.4)), observed(column))
    assert found.mean.min() == pytest.approx(20.6, abs=0.15)
    assert found.mean.max() == pytest.approx(21.8, abs=0.15)
    assert found.training_mean.min() == pytest.approx(21.2, abs=0.1)
    assert found.training_mean.max() == pytest.approx(23.4, abs=0.1)
    assert 0.25 < found.share_outside() < 0.65
    assert found.share_outside(level="relative") < 0.3
    assert (found.window_absolute[found.mean < 21.0] > 1).all()
    assert np.median(found.window_absolute[found.mean > 21.3]) < 1
    assert "against 21.2-23.4 in training" in found.sentence
    assert not found.inside()[:, : SIDE // 2].any()  # the faint end


def test_the_map_of_distances_lies_on_the_map(dataset):
    """A corner of noise is outside there, and only there; a finer map is judged at the pixel of the training set."""
    column = sky((128, 128), 100)
    column[:64, :64] *= 10 ** (0.4 * np.random.default_rng(0).normal(size=(64, 64)))
    found = compare(dataset, observed(column))
    assert (found.relative[:40, :40] > 1).all()
    assert (found.relative[90:, 90:] < 1).all()
    fine = compare(dataset, observed(np.kron(sky((96, 96), 100), np.ones((2, 2))), pixel=0.5))
    assert fine.absolute.shape == (192, 192)
    assert fine.share_outside() < 0.1
    assert any("averaged" in note for note in fine.notes)


def test_blanks_are_not_judged_and_spoil_nothing(dataset):
    column = sky((96, 128), 100)
    column[:, :40] = np.nan
    column[60:66, 70:90] = np.nan
    found = compare(dataset, observed(column))
    assert np.isnan(found.absolute[np.isnan(column)]).all()
    assert np.isfinite(found.absolute[np.isfinite(column)]).mean() > 0.9
    assert found.share_outside() < 0.15
    assert not coverage_flags(found)[np.isnan(column)].any()


def test_a_map_smaller_than_a_patch_says_so(dataset):
    found = compare(dataset, observed(sky((20, 24), 100)))
    assert found.absolute.shape == (20, 24)
    assert any("smaller than its patches" in note for note in found.notes)
    assert np.isfinite(found.absolute).all()
    assert found.share_outside(level="relative") == 0


def test_turned_maps_have_turned_distances(dataset):
    column = sky((96, 64), 100)
    found, turned = compare(dataset, observed(column)), compare(dataset, observed(np.rot90(column).copy()))
    np.testing.assert_allclose(turned.absolute, np.rot90(found.absolute), rtol=1e-3)


def test_a_dataset_of_cubes(tmp_path):
    clouds = [synthetic_cloud(32, seed=seed, kind="fbm", box_size=0.64 * u.pc) for seed in range(5)]
    config = PatchConfig(patch_size=32, split_by="cloud", validation_fraction=0.2)
    dataset = build_dataset(clouds, config, tmp_path / "set.zarr", progress=False)
    column = dataset.read("column_density", dataset.indices("training")[:1])[0]
    assert compare(dataset, observed(column)).share_outside() == 0


def test_the_summary_replaces_the_dataset(dataset):
    """What a run keeps, through JSON: the same answer when the dataset is gone."""
    stored = json.loads(json.dumps(training_features(dataset), allow_nan=False))
    seen = observed(sky((64, 96), 100))
    found, kept = compare(dataset, seen), compare(stored, seen)
    np.testing.assert_array_equal(kept.absolute, found.absolute)
    assert kept.sentence == found.sentence
    assert stored["patch_size"] == SIDE
    assert len(stored["values"]) == len(dataset.indices("training"))
    assert len(json.dumps(stored)) < 60_000


def test_features_see_scales_and_nothing_of_the_level():
    bands = band_count(64)
    column = np.log10(sky((64, 64), 3))
    features = window_features(column, bands)
    assert len(features) == len(feature_names(bands))
    np.testing.assert_allclose(window_features(column + 2, bands)[1:], features[1:], atol=1e-9)
    np.testing.assert_allclose(window_features(np.rot90(column), bands), features, atol=1e-6)
    assert features[:2] == pytest.approx([column.mean(), column.std()])
    x = np.arange(64)
    for band, wave in enumerate((2, 5, 10, 20)):  # a wave is seen by the wavelet of its length
        ripple = np.broadcast_to(np.sin(2 * np.pi * x / wave), (64, 64))
        amplitude = window_features(ripple, bands)[2 : 2 + bands]
        assert abs(int(np.argmax(amplitude)) - band) <= 1


def test_words_and_files(dataset, tmp_path):
    found = compare(dataset, observed(sky((64, 96), 100)))
    assert repr(found).startswith(
        "Coverage(64 x 96 pixels in 45 windows of 32 x 32 training pixels, 88 training patches:"
    )
    assert found.sentence in found._repr_html_()
    assert found.sentence.count(".\n") == 0
    with pytest.raises(AttributeError):
        found.window = 3
    stored = json.loads(found.write_json(tmp_path / "coverage.json").read_text())
    assert stored["sentence"] == found.sentence
    assert len(stored["mean"]) == len(found.mean)
    with fits.open(found.write_fits(tmp_path / "coverage.fits")) as hdus:
        np.testing.assert_array_equal(hdus["OOD_ABS"].data, found.absolute)
        assert hdus["OOD_REL"].header["NOTE1"] == found.sentence
    for write, name in ((found.write_json, "coverage.json"), (found.write_fits, "coverage.fits")):
        with pytest.raises(FileExistsError, match="overwrite=True"):
            write(tmp_path / name)


# -- bad input ---------------------------------------------------------------------------------------


def test_something_else_than_a_map(dataset):
    with pytest.raises(
        TypeError, match=r"expected an Observation, got ndarray; make one with lab\.Observation"
    ):
        compare(dataset, np.full((64, 64), 1e21))


def test_a_map_of_too_few_or_too_coarse_pixels(dataset):
    with pytest.raises(ValueError, match=r"at least 16 pixels of 0.02 pc along each side, got 12 x 40"):
        compare(dataset, observed(np.full((12, 40), 1e21)))
    with pytest.raises(ValueError, match="expected pixels of at most"):
        compare(dataset, observed(sky((40, 40), 1), pixel=4.0))


def test_a_map_nearly_all_blank(dataset):
    column = np.full((96, 96), np.nan)
    column[:9, :9] = 1e21
    with pytest.raises(
        ValueError, match=r"a window of 32 x 32 pixels of which half is observed, got none; cut out"
    ):
        compare(dataset, observed(column))


def test_training_sets_that_are_none(dataset):
    few = PatchDataset.from_arrays(
        {"column_density": patches()[:5]}, {"mass_weighted_density": patches()[:5]},
        pixel_size=PIXEL_PC * u.pc, split=["training"] * 5,
    )  # fmt: skip
    with pytest.raises(ValueError, match="at least 8 training patches to compare a map with, got 5"):
        training_features(few)
    other = PatchDataset.from_arrays(
        {"max_density": patches()},
        {"mass_weighted_density": patches()},
        pixel_size=PIXEL_PC * u.pc,
        split=0.1,
    )
    with pytest.raises(ValueError, match="expected patches of 'column_density', got max_density"):
        training_features(other)
    stored = training_features(dataset)
    for broken in (
        {},
        {**stored, "names": ["mean"]},
        {**stored, "values": [[1.0]]},
        {**stored, "patch_size": None},
    ):
        with pytest.raises(
            ValueError, match=r"expected a PatchDataset or what training_features\(dataset\) gave"
        ):
            compare(broken, observed(sky((64, 64), 1)))


def test_an_unknown_level(dataset):
    found = compare(dataset, observed(sky((64, 64), 1)))
    for ask in (found.inside, found.share_outside, lambda level: coverage.coverage_note(found, level=level)):
        with pytest.raises(ValueError, match='level: expected "absolute" or "relative", got'):
            ask(level="both")


def test_the_shipped_run_stands_for_its_training_set():
    """Its patches are not shipped, their features are."""
    found = compare(lab.pretrained(), observed(patches()[0].repeat(3, axis=0).repeat(3, axis=1)))
    assert "training set covers" in found.sentence
    with pytest.raises(TypeError, match="expected a PatchDataset, a Run or kept features, got str"):
        compare("orion.zarr", observed(patches()[0]))
