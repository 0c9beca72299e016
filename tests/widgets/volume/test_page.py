"""The page of the volume viewer: files, addresses, and what goes wrong with them."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from tests.widgets.volume.conftest import said
from widgets import VolumeViewer, volume_viewer


def page_of(tmp_path, **options):
    return volume_viewer.app(workspace_folder=tmp_path, **options)


def test_files_of_all_kinds_open_by_their_name(tmp_path, cloud, ppv):
    cloud.save(tmp_path / "fog.fits")
    np.save(tmp_path / "plain.npy", np.asarray(cloud.density))
    ppv.to_fits(tmp_path / "line.fits")
    viewer = VolumeViewer(workspace_folder=tmp_path)
    assert "Choose a file" in said(viewer)
    for name, label in (("fog.fits", "z [pc]"), ("plain.npy", "z [cells]"), ("line.fits", "v [km s⁻¹]")):
        viewer.open(name)
        assert not viewer._state.visible, said(viewer)
        assert viewer._data.axes[0].label == label
        assert viewer.path == name
        names: dict = {}
        exec(viewer.code(), names)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # astropy leaves a broken file open
@pytest.mark.parametrize(
    "name", ["broken.fits", "broken.npy", "cut.npy", "map.npy", "gone.npy", "../outside.npy"]
)
def test_a_file_that_is_no_cube_is_said_with_a_remedy(tmp_path, cloud, name):
    (tmp_path / "broken.fits").write_bytes(b"SIMPLE  =                    T" + b"x" * 4000)
    (tmp_path / "broken.npy").write_bytes(b"not numpy")
    whole = cloud.save(tmp_path / "cut.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[: len(whole) // 3])
    np.save(tmp_path / "map.npy", np.ones((4, 4)))
    viewer = VolumeViewer(cloud, workspace_folder=tmp_path)
    viewer.open(name)
    assert viewer._state.severity == "error"
    assert any(word in said(viewer) for word in ("choose another", "Copy it again", "expected a name inside"))
    assert viewer._data.name == "fog"  # what was shown stays
    viewer.azimuth = 1.0


def test_bad_values_on_the_way_are_said(tmp_path):
    values = np.ones((4, 4, 4), np.float32)
    values[2] = -1
    lab.SimulationCube(np.ones((4, 4, 4)), cell_size=1 * u.pc).save(tmp_path / "bad.npy")
    stored = np.load(tmp_path / "bad.npy", mmap_mode="r+")
    stored[:] = values
    stored.flush()
    viewer = VolumeViewer(workspace_folder=tmp_path)
    viewer.open("bad.npy")
    assert "expected positive finite values" in said(viewer)


def test_the_page_of_a_newcomer_shows_the_sample(tmp_path):
    page = page_of(tmp_path)
    assert page.title == "Volume viewer"


def test_the_page_of_a_bad_path_says_so(tmp_path):
    page = page_of(tmp_path, path="nothing.fits")
    words = " ".join(
        str(alert.object) for alert in page.main[-1].select(lambda part: hasattr(part, "severity"))
    )
    assert "no such file" in words
