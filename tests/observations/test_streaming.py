"""Large maps: bands that leave no trace, files written row by row, workers elsewhere, memory that does not grow."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits

from polaris_lab.datasets.patches import plan_tiles, read_window
from polaris_lab.observations import Prediction, predict_grid
from polaris_lab.observations.predict_grid import bands
from polaris_lab.observations.streaming import predict_to_fits
from tests.observations.conftest import smooth_column
from tests.observations.test_predict import dex, predict, stand_in


@pytest.fixture
def narrow(monkeypatch):
    """Let a band hold one row of tiles."""
    original = predict_grid.bands
    monkeypatch.setattr("polaris_lab.observations.predict_work.bands", lambda plan: original(plan, pixels=1))


def holed(shape, seed=3):
    column = smooth_column(shape, seed)
    column[60:64, 20:24] = np.nan
    column[-7:, :11] = np.nan
    return column


@pytest.mark.parametrize("shape", [(300, 90), (97, 40), (513, 64)])
@pytest.mark.parametrize("within", [True, False])
def test_a_band_reads_what_its_tiles_would_see_in_the_whole_map(shape, within):
    image = np.random.default_rng(0).normal(size=(1, *shape))
    plan = plan_tiles(shape, tile=96, margin=20, multiple=8, within=within)
    whole = {(tile.core[0].start, tile.core[1].start): tile for tile in plan}
    seen = np.zeros(shape, int)
    for band in bands(plan, pixels=1):
        part = image[:, band.read]
        for tile in band.plan:
            start = tile.core[0].start + band.read.start, tile.core[1].start
            twin = whole[start]
            np.testing.assert_array_equal(
                read_window(part, tile.origin, tile.shape), read_window(image, twin.origin, twin.shape)
            )
            seen[twin.core] += 1
            assert band.rows.start <= start[0] < band.rows.stop
    assert (seen == 1).all()


@pytest.mark.parametrize("pixel", [1.0, 0.4])
def test_bands_leave_no_trace(run, observe, request, pixel):
    observation = observe(holed((400, 100)), pixel=pixel)
    whole = predict(run, observation, tile=100)
    request.getfixturevalue("narrow")
    cut = predict(run, observation, tile=100)
    assert np.nanmax(dex(cut.density, whole.density)) < 1e-4
    np.testing.assert_array_equal(cut.quality, whole.quality)
    np.testing.assert_array_equal(cut.coverage, whole.coverage)


@pytest.mark.parametrize("pixel", [1.0, 1.2, 0.4])
def test_the_file_is_the_prediction(run, observe, narrow, tmp_path, pixel):
    observation = observe(holed((400, 100)), pixel=pixel)
    path = predict_to_fits(run, observation, tmp_path / "big.fits", tile=100, progress=False)
    again, held = Prediction.open(path), predict(run, observation, tile=100, compare=True)
    for name in ("density", "lower68", "upper68", "lower95", "upper95", "quality", "coverage"):
        np.testing.assert_array_equal(getattr(again, name), getattr(held, name))
    assert again.notes == held.notes
    assert again.run_fingerprint == run.fingerprint
    with fits.open(path) as hdus:
        hdus.verify("exception")
        assert hdus[0].name == "DENSITY"
        assert hdus["UPPER95"].header["BUNIT"] == "cm-3"
        np.testing.assert_allclose(
            again.wcs.all_pix2world([[3, 4]], 0), observation.wcs.all_pix2world([[3, 4]], 0), atol=1e-9
        )
    assert list(tmp_path.iterdir()) == [path]


def test_a_map_that_begins_elsewhere(run, observe):
    """Tiles that begin at other pixels, also at odd ones: the answer changes by little away from the edge."""
    column = smooth_column((160, 160), 3)
    whole, margin = predict(run, observe(column)).density, run.model().receptive_margin
    for shift in [(1, 0), (3, 2), (2, 5)]:
        part = predict(run, observe(column[shift[0] :, shift[1] :])).density
        inner = dex(part, whole[shift[0] :, shift[1] :])[margin:-margin, margin:-margin]
        assert np.sqrt(np.mean(inner**2)) < 0.03
        assert inner.max() < 0.2


def test_only_the_intervals_that_are_wanted(run, observe, tmp_path):
    path = predict_to_fits(
        run, observe(smooth_column((40, 40))), tmp_path / "68.fits", intervals=(68,), progress=False
    )
    assert Prediction.open(path).lower95 is None
    assert Prediction.open(path).lower68 is not None
    with pytest.raises(ValueError, match="intervals: expected some of"):
        predict_to_fits(run, observe(smooth_column((40, 40))), tmp_path / "50.fits", intervals=(50,))


@pytest.mark.parametrize("name", ["there.fits", "small.fits.gz"])
def test_files_that_cannot_be_streamed_to(run, observe, tmp_path, name):
    (tmp_path / "there.fits").write_text("precious")
    with pytest.raises((FileExistsError, ValueError), match="expected"):
        predict_to_fits(run, observe(smooth_column((40, 40))), tmp_path / name)
    assert (tmp_path / "there.fits").read_text() == "precious"


def test_an_error_on_the_way_leaves_no_file(run, observe, tmp_path):
    broken = stand_in(run)
    model = run.model()
    model.nodes[run.target].register_forward_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("lost")))
    broken.model = lambda: model
    with pytest.raises((RuntimeError, ValueError), match="lost"):
        predict_to_fits(broken, observe(smooth_column((40, 40))), tmp_path / "big.fits", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_tiles_on_a_cluster(run, observe):
    """Dask workers load the run from its folder and answer as this process does."""
    distributed = pytest.importorskip("distributed")
    observation = observe(holed((200, 150)))
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        there = predict(run, observation, tile=100, client=client, average_symmetries=True)
    here = predict(run, observation, tile=100, average_symmetries=True)
    np.testing.assert_allclose(there.density, here.density, rtol=1e-5)
    np.testing.assert_array_equal(there.quality, here.quality)


MEASURE = """
import resource, sys
import numpy as np
from astropy import units as u
from polaris_lab.observations import Observation
from polaris_lab.observations.streaming import predict_to_fits
from polaris_lab.training import Run
from astropy.wcs import WCS
side, folder, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
run = Run.open(folder)
rows = np.arange(side, dtype=np.float32)
column = (2e21 * (1 + 0.5 * np.sin(rows / 40)))[:, None] * (1 + 0.3 * np.cos(rows / 23))[None]
column = column.astype(np.float32)
distance = run.pixel_size_pc / np.radians(20 / 3600) * u.pc
wcs = WCS(naxis=2)
wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-20 / 3600, 20 / 3600]
seen = Observation(column, wcs=wcs, distance=distance, species="H")
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
predict_to_fits(run, seen, out, progress=False)
print(start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(side, run, folder) -> tuple[float, float]:
    """Return the peak memory [MB] of a process before and after it predicts a map of so many pixels a side."""
    words = [sys.executable, "-c", MEASURE, str(side), str(run.path), str(folder / f"{side}.fits")]
    answer = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=True,
        timeout=900,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    before, after = map(int, answer.stdout.split()[-2:])
    return before / 1024, after / 1024


@pytest.mark.slow
def test_memory_at_ten_thousand_pixels_a_side(run, tmp_path):
    """Measured at 4100^2 and 6000^2, whose difference is what grows with the map; at 10000^2 it stays below 4 GB."""
    (_, small), (_, large) = peak(4100, run, tmp_path), peak(6000, run, tmp_path)
    per_pixel = (large - small) / (6000**2 - 4100**2)
    expected = large + per_pixel * (10000**2 - 6000**2)
    print(f"peak {small:.0f} MB at 4100^2, {large:.0f} MB at 6000^2: {expected:.0f} MB expected at 10000^2")
    assert expected < 4000
    assert fits.getheader(tmp_path / "6000.fits")["NAXIS1"] == 6000
