"""The training suite: varied, the same for the same seed, made once."""

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from polaris_lab.clouds import ensemble
from polaris_lab.clouds.suite import draw_choices


def choices(count, seed=0):
    return [draw_choices(k, seed=seed, size=128, box_size_pc=6.4, depths=(1, 2, 3, 4)) for k in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite")
    ensemble(4, path, size=16, depths=(1, 2), progress=False, workers=1)
    return path


def test_seven_of_ten_are_flows():
    for seed in range(5):
        kinds = [entry["kind"] for entry in choices(50, seed)]
        assert [kinds[k : k + 10].count("fbm") for k in range(0, 50, 10)] == [3] * 5


def test_choices_fill_their_ranges():
    drawn = choices(200)
    for name, low, high in (
        ("mach_number", 3, 12),
        ("pdf_width", 1.0, 1.8),
        ("compressive_fraction", 0.1, 0.6),
        ("boxes", 1, 4),
        ("tail_slope", 1.6, 3.0),
        ("turnover_times", 0.6, 1.0),
        ("spectral_slope", 3.0, 3.7),
    ):
        values = [entry[name] for entry in drawn if entry.get(name) is not None]
        assert low <= min(values) < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < max(values) <= high
    logs = np.log10([entry["mean_density_cm3"] for entry in drawn])
    assert 1.5 <= logs.min() < 1.7
    assert 3.3 < logs.max() <= 3.5
    assert 0.1 < np.mean([entry["tail_slope"] is None for entry in drawn]) < 0.3
    assert len({entry["seed"] for entry in drawn}) == 200


def test_a_longer_suite_begins_with_the_shorter():
    assert choices(5) == choices(12)[:5]
    assert choices(5) != choices(5, seed=1)


def test_files_are_made_once(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    clouds = ensemble(4, folder, size=16, depths=(1, 2), progress=False, workers=1)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert len(clouds) == len(before) == 4
    for cloud in clouds:
        assert cloud.provenance["source"] == "synthetic"
        assert cloud.shape[1:] == (16, 16)
        assert cloud.shape[0] in (16, 32)
    assert len({cloud.name for cloud in clouds}) == 4


def test_a_file_that_is_missing_is_made_again_alone(folder):
    paths = sorted(folder.iterdir())
    before = lab.SimulationCube.open(paths[1]).density[...]
    paths[1].unlink()
    kept = paths[0].stat().st_mtime_ns
    ensemble(4, folder, size=16, depths=(1, 2), progress=False, workers=2)
    assert paths[0].stat().st_mtime_ns == kept
    np.testing.assert_array_equal(lab.SimulationCube.open(paths[1]).density[...], before)


def test_other_choices_are_other_files(folder):
    ensemble(1, folder, size=16, depths=(1,), box_size=3 * u.pc, progress=False, workers=1)
    assert len(list(folder.iterdir())) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count: expected a whole number"),
        ({"depths": (0, 1)}, "depths: expected whole numbers"),
    ],
)
def test_bad_choices_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        ensemble(**({"path": tmp_path} | arguments))
