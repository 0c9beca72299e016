"""The sample cloud is the simulation it says it is, and says what it is for."""

import numpy as np
import pytest

import polaris_lab as lab
from polaris_lab.clouds import sample


@pytest.fixture(scope="module")
def cloud():
    return lab.sample_cloud()


@pytest.fixture
def original(shared_data):
    with np.load(shared_data / "simulation" / "mhd_m8_128_late.npz") as arrays:
        return {name: arrays[name] for name in ("log10_nH", "v_kms")}


def test_the_density_is_that_of_the_run(cloud, original):
    np.testing.assert_allclose(cloud.density, 10.0 ** original["log10_nH"].astype(np.float64), rtol=1e-6)


def test_velocities_are_those_of_the_run_named_by_their_axis(cloud, original):
    """The run lists vx, vy, vz; half a step of 0.01 km/s is lost."""
    for axis, component in zip("xyz", original["v_kms"], strict=True):
        np.testing.assert_allclose(cloud.velocity[axis], component.astype(np.float32), atol=0.00501)


def test_its_figures_are_those_of_its_facts(cloud):
    density = cloud.density.astype(np.float64)
    facts = cloud.provenance
    assert density.mean() == pytest.approx(facts["mean_density_cm3"], rel=1e-3)
    assert np.log(density).std() == pytest.approx(facts["measured"]["dispersion_of_ln_density"], abs=0.01)
    power = sum((density * values.astype(np.float64) ** 2).sum() for values in cloud.velocity.values())
    assert np.sqrt(power / density.sum()) / 0.2 == pytest.approx(facts["mach_number"], abs=0.1)
    assert (cloud.temperature == 10).all()
    assert cloud.side_pc == pytest.approx((6.4, 6.4, 6.4))
    column = lab.column_density(cloud)
    assert column.mean() == pytest.approx(9.3e21, rel=0.01)


def test_it_is_small_and_needs_nothing_from_outside():
    assert sample.FILE.stat().st_size < 12e6


@pytest.mark.slow
def test_the_file_can_be_made_again(shared_data, cloud, tmp_path, monkeypatch):
    source = shared_data / "simulation" / "mhd_m8_128_late.npz"
    monkeypatch.setattr(sample, "FILE", sample.repack(source, tmp_path / "again.zarr.zip"))
    again = lab.sample_cloud()
    np.testing.assert_array_equal(again.density, cloud.density)
    for axis in "zyx":
        np.testing.assert_array_equal(again.velocity[axis], cloud.velocity[axis])


def test_nobody_trains_on_it_by_mistake(cloud, tmp_path):
    with pytest.raises(ValueError, match=r"stamped do_not_train: .*transfer set.*train_on_reserved=True"):
        lab.build_dataset(cloud, None, tmp_path / "sample.zarr", progress=False)
    assert not list(tmp_path.iterdir())


def test_facts_cannot_be_changed_through_a_cube(cloud):
    lab.sample_cloud().provenance["measured"]["scatter_dex"] = 0.0
    assert sample.FACTS["measured"]["scatter_dex"] == 0.21


def test_a_lost_file_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(sample, "FILE", tmp_path / "gone.zarr.zip")
    with pytest.raises(FileNotFoundError, match=r"gone.zarr.zip.*install polaris-lab again"):
        lab.sample_cloud()
