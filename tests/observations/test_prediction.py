"""`Prediction`: its file opens anywhere, comes back as it was, and is never half written."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from polaris_lab.observations import Observation, Prediction, predict_density
from polaris_lab.observations.predict_classical import estimate_map
from polaris_lab.observations.prediction import CARDS, check_output
from tests.observations.conftest import sky_wcs, smooth_column


@pytest.fixture(scope="module")
def observation() -> Observation:
    column = smooth_column((40, 56))
    column[:5, :9] = np.nan
    wcs = sky_wcs(column.shape, rotation=25)
    return Observation(column, wcs=wcs, distance=206.265 * u.pc, species="H2", name="B5 é")


@pytest.fixture
def prediction(run, observation) -> Prediction:
    return predict_density(run, observation, progress=False)


def test_round_trip(prediction, tmp_path):
    again = Prediction.open(prediction.write_fits(tmp_path / "density.fits"))
    for name in ("density", "lower68", "upper68", "lower95", "upper95", "quality", "coverage"):
        np.testing.assert_array_equal(getattr(again, name), getattr(prediction, name))
    assert {**again.provenance, "object": "B5 é"} == {
        k: v for k, v in prediction.provenance.items() if v is not None
    }
    assert again.notes == prediction.notes
    assert again.run_fingerprint == prediction.run_fingerprint


def test_the_first_image_is_the_density_with_wcs_unit_and_provenance(run, observation, prediction, tmp_path):
    path = prediction.write_fits(tmp_path / "density.fits")
    with fits.open(path) as hdus:
        hdus.verify("exception")
        names = [hdu.name for hdu in hdus]
        assert names == ["DENSITY", "LOWER68", "UPPER68", "LOWER95", "UPPER95", "QUALITY", "COVERAGE"]
        corners = [[0, 0], [55, 39]]
        for hdu in hdus:
            np.testing.assert_allclose(
                WCS(hdu.header).all_pix2world(corners, 0),
                observation.wcs.all_pix2world(corners, 0),
                atol=1e-9,
            )
        for hdu in hdus[:5]:
            assert u.Unit(hdu.header["BUNIT"]) == u.cm**-3
        header = hdus[0].header
        assert header["RUNFP"] == run.fingerprint
        assert header["DATAFP"] == run.dataset_fingerprint
        assert header["DISTANCE"] == pytest.approx(206.265)
        assert header["SPECIES"] == "H2"
        assert header["TARGET"] == "mass_weighted_density"
        assert header["CREATOR"].startswith("polaris_lab ")
        assert hdus["QUALITY"].header["FLAG2"] == "near blank pixels"


def test_an_existing_file_is_kept_unless_asked(prediction, tmp_path):
    path = tmp_path / "density.fits"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        prediction.write_fits(path)
    assert path.read_text() == "precious"
    prediction.write_fits(path, overwrite=True)
    assert Prediction.open(path).shape == (40, 56)


def test_a_write_that_fails_leaves_nothing(prediction, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(PermissionError, match="No space left"):
        prediction.write_fits(tmp_path / "density.fits")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to(prediction, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError, match="expected a folder to write to"):
        prediction.write_fits(tmp_path / "file" / "density.fits")
    with pytest.raises(FileExistsError, match="a folder"):
        check_output(tmp_path)


def test_a_new_folder_is_made(prediction, tmp_path):
    assert prediction.write_fits(tmp_path / "new" / "deep" / "density.fits.gz").exists()
    assert Prediction.open(tmp_path / "new" / "deep" / "density.fits.gz").shape == (40, 56)


@pytest.mark.parametrize("trap", ["absent", "map", "truncated", "text"])
def test_opening_what_is_no_prediction(prediction, observation, tmp_path, trap):
    path = tmp_path / "density.fits"
    if trap == "map":
        observation.write_fits(path)
    if trap == "text":
        path.write_text("hello")
    if trap == "truncated":
        prediction.write_fits(path)
        path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises((FileNotFoundError, ValueError), match="expected a prediction"):
        Prediction.open(path)


def test_maps_of_different_shapes_are_refused(prediction):
    arrays = {
        name: getattr(prediction, name) for name in ("lower68", "upper68", "lower95", "upper95", "quality")
    }
    with pytest.raises(ValueError, match="coverage: expected the shape"):
        Prediction(prediction.density, **arrays, coverage=np.ones((3, 3)), wcs=prediction.wcs)


def test_it_says_what_it_is(prediction):
    for word in (
        "40 x 56 pixels",
        "45 blank",
        "mass_weighted_density",
        "near the edge",
        prediction.run_fingerprint,
    ):
        assert word in repr(prediction)
    assert "<table>" in prediction._repr_html_()


def test_every_entry_of_the_provenance_has_a_card(prediction):
    assert set(prediction.provenance) == set(CARDS)


# -- words for a paper -------------------------------------------------------------------------------


def test_it_is_cited_from_its_provenance(prediction, run, tmp_path):
    """Data, network, training set and software; the same from the file; nothing that is not known."""
    again = Prediction.open(prediction.write_fits(tmp_path / "density.fits"))
    found = again.cite()
    for word in (
        run.fingerprint, run.dataset_fingerprint, "206.3 pc", "N_H = 2 N(H2)", "polaris_lab 0", "mass-weighted",
        "errors on validation patches",
    ):  # fmt: skip
        assert word in found.methods
    assert len(found.references) >= 5
    assert any(run.dataset_fingerprint in entry for entry in found.references)
    assert any("Ribeiro" in entry for entry in found.references)
    assert any("to be added by the author" in entry for entry in found.references)
    assert "foreground" not in found.methods.lower()
    assert str(found).count("- ") >= 5
    assert "None" not in str(found)


def test_a_foreground_is_in_the_words_for_a_paper(run, observation):
    made = predict_density(run, observation, foreground=2e20 / u.cm**2, progress=False)
    assert "2e+20 cm^-2 was subtracted" in made.cite().methods


def test_an_estimator_is_cited_as_one(observation):
    made = estimate_map(observation, "constrained_diffusion")
    found = made.cite()
    assert "estimator constrained_diffusion" in found.methods
    assert found.methods.startswith("The hydrogen density n_H behind ")
    assert "Training set" not in str(found)
    assert any("Li 2022 (ApJS 259, 59)" in entry for entry in found.references)


@pytest.mark.parametrize(
    ("name", "source"), [("Taurus L1495", "Galli et al. 2019"), ("orion a (report)", "Menten")]
)
def test_the_source_of_a_distance_by_name_is_cited(observation, tmp_path, name, source):
    column = observation.column_density
    named = Observation(column, wcs=observation.wcs, distance=name, species="H")
    made = estimate_map(named.with_map(column), "constrained_diffusion")
    again = Prediction.open(made.write_fits(tmp_path / "named.fits"))
    (entry,) = [entry for entry in again.cite().references if entry.startswith("Distance: ")]
    assert source in entry
    by_hand = estimate_map(observation, "constrained_diffusion")
    assert not any(entry.startswith("Distance: ") for entry in by_hand.cite().references)


# -- units and parts ---------------------------------------------------------------------------------


def test_samples_of_another_shape_are_refused(prediction):
    with pytest.raises(ValueError, match="samples: expected"):
        dataclasses.replace(prediction, samples=np.ones((2, 3, 3)))


def test_an_interval_that_there_is_not(prediction, tmp_path):
    with pytest.raises(ValueError, match="intervals: expected some of"):
        prediction.write_fits(tmp_path / "density.fits", intervals=(50,))


def test_a_read_only_folder(prediction, tmp_path, monkeypatch):
    """An administrator may write anywhere, so the system's answer is played."""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(PermissionError, match="read-only; choose another"):
        prediction.write_fits(tmp_path / "density.fits")
    assert list(tmp_path.iterdir()) == []


def test_any_tool_reads_units_and_values(prediction, tmp_path):
    """CCDData of astropy takes unit and WCS from the file alone."""
    from astropy.nddata import CCDData

    path = prediction.write_fits(tmp_path / "density.fits")
    image = CCDData.read(path)
    assert image.unit == u.cm**-3
    np.testing.assert_array_equal(image.data, prediction.density)
    upper = CCDData.read(path, hdu="UPPER95")
    assert upper.unit == u.cm**-3
    valid = np.isfinite(prediction.density)
    assert (upper.data[valid] >= image.data[valid]).all()
