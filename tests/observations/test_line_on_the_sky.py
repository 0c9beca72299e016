"""From a simulated cloud with its line to a real map with its line: a network of two inputs, end to end."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from polaris_lab.datasets import EmissionConfig
from polaris_lab.observations import Prediction
from polaris_lab.observations.blanks import BlankPixelWarning
from polaris_lab.training import Run, TrainingConfig

PIXEL = 0.214
"""Side of a pixel of the extinction map at the distance of Perseus [pc]."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Run:
    """Return a tiny network of column density and 13CO cube, trained on two synthetic clouds for some seconds."""
    folder = tmp_path_factory.mktemp("sky")
    clouds = [
        lab.synthetic_cloud(
            32, seed, kind="fbm", box_size=32 * PIXEL * u.pc, mean_density=300 / u.cm**3, mach_number=12
        )
        for seed in range(2)
    ]
    emission = EmissionConfig(
        abundance=1.4e-6, velocity_min_km_s=-4.0, velocity_max_km_s=4.0, channel_width_km_s=0.5
    )
    config = lab.PatchConfig(
        patch_size=16,
        min_separation=0.5,
        validation_fraction=0.3,
        split_by="cloud",
        quantities=("column_density", "mass_weighted_density", "ppv_cube"),
        emission=emission,
    )
    dataset = lab.build_dataset(clouds, config, folder / "set.zarr", progress=False)
    blueprint = lab.Blueprint.preset(
        "multi_input",
        inputs=("column_density", "ppv_cube"),
        velocity_channels=len(dataset.velocity),
        line_features=4,
        layers=1,
        base_filters=4,
        reference_scale=3.0,
    )
    settings = TrainingConfig(epochs=8, batch_size=8, learning_rate=5e-3, input_dropout=0.3, device="cpu")
    run = Run.create(folder / "run", blueprint, dataset, settings)
    run.train(progress=False).validate()
    return run, dataset


def test_column_density_and_13co_of_l1448(trained, shared_data, tmp_path):
    """Perseus in extinction, its 13CO where L1448 was observed: the line changes the answer there and nowhere else."""
    run, dataset = trained
    with pytest.warns(BlankPixelWarning, match="5 of 67921"):
        dust = lab.Observation.from_fits(
            shared_data / "extinction" / "perseus_2mass_AV_galactic.fits",
            distance="Perseus",
            species="A_V",
            beam=5 * u.arcmin,
        )
    assert dust.pixel_size_pc == pytest.approx(PIXEL, rel=0.02)
    line = lab.PPVCube.open(shared_data / "ppv" / "perseus_l1448_13co10.fits")
    seen = dust.with_line(
        line,
        lab.Line.named("13CO", "1-0"),
        efficiency=0.5,
        cube_beam=46 * u.arcsec,
        velocity=dataset.velocity * u.km / u.s,
    )
    with_line = lab.predict_density(run, seen, progress=False)
    without = lab.predict_density(run, dust, progress=False)

    valid = np.isfinite(dust.column_density)
    np.testing.assert_array_equal(np.isfinite(with_line.density), valid)
    inside = seen.line.observed & valid
    assert inside.sum() > 100
    difference = abs(np.log10(with_line.density / without.density))
    rows, columns = np.nonzero(seen.line.observed)
    reach = run.model().receptive_margin
    near = np.zeros_like(valid)
    near[
        max(0, rows.min() - reach) : rows.max() + reach + 1,
        max(0, columns.min() - reach) : columns.max() + reach + 1,
    ] = True
    assert difference[inside].mean() > 1e-3
    assert difference[valid & ~near].max() < 1e-4
    density = with_line.density[inside]
    assert ((density > 1) & (density < 1e6)).all()
    assert np.corrcoef(np.log10(density), np.log10(dust.column_density[inside]))[0, 1] > 0.5
    assert with_line.provenance["inputs"] == "column_density ppv_cube"
    assert without.provenance["inputs"] == "column_density"
    assert any("without ppv_cube" in note for note in without.notes)

    with_line.write_fits(tmp_path / "l1448.fits")
    again = Prediction.open(tmp_path / "l1448.fits")
    np.testing.assert_array_equal(again.density, with_line.density)
    assert again.run_fingerprint == run.fingerprint
