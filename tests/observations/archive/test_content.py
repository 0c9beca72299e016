"""Is a file what it should be, and does an archive stay in its folder?"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits

import polaris_lab as lab
from polaris_lab.observations.archive import ContentError, fetch_local
from polaris_lab.observations.archive.content import check_content
from polaris_lab.observations.archive.unpack import unpack


@pytest.fixture
def fits_bytes() -> bytes:
    buffer = io.BytesIO()
    fits.PrimaryHDU(np.ones((8, 8))).writeto(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress])
def test_fits_is_taken_plain_and_compressed(tmp_path, fits_bytes, pack):
    path = tmp_path / "map.fits"
    path.write_bytes(pack(fits_bytes))
    check_content(path, "fits")


@pytest.mark.parametrize(
    ("make", "kind", "match"),
    [
        (lambda data: b"", "fits", "empty"),
        (lambda data: b"\n<HTML><title>moved</title>", "fits", "web page"),
        (lambda data: data[:-100], "fits", "cut off"),
        (lambda data: gzip.compress(data)[:-20], "fits", "cut off"),
        (lambda data: gzip.compress(b"hello"), "fits", "expected FITS inside"),
        (lambda data: b"PK nonsense", "fits", "starts with"),
        (lambda data: b"\0\1\2", "table", "plain text"),
        (lambda data: data, "tar", "tar or zip archive"),
    ],
)
def test_what_is_something_else_is_refused(tmp_path, fits_bytes, make, kind, match):
    path = tmp_path / "file"
    path.write_bytes(make(fits_bytes))
    with pytest.raises(ContentError, match=match):
        check_content(path, kind)


def tar(path, members: dict[str, bytes], link: str | None = None):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        if link is not None:
            entry = tarfile.TarInfo("inside/link")
            entry.type, entry.linkname = tarfile.SYMTYPE, link
            archive.addfile(entry)
    return path


@pytest.mark.parametrize(
    "name", ["../outside.txt", "/etc/outside.txt", "a/../../outside.txt", "..\\outside.txt"]
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_member_that_leaves_the_folder_is_refused_and_nothing_is_left(tmp_path, name, kind):
    archive = tmp_path / f"evil.{kind}"
    if kind == "tar":
        tar(archive, {"good.txt": b"1", name: b"2"})
    else:
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("good.txt", "1")
            file.writestr(zipfile.ZipInfo(name), "2")
    folder = tmp_path / "sub" / "out"
    with pytest.raises(ValueError, match="leaves it"):
        unpack(archive, folder)
    assert not folder.exists()
    assert list((tmp_path / "sub").iterdir()) == []
    assert not (tmp_path / "outside.txt").exists()


def test_links_are_refused(tmp_path):
    with pytest.raises(ValueError, match="link or device"):
        unpack(tar(tmp_path / "a.tar.gz", {"inside/x": b"1"}, link="/etc/passwd"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_archive_leaves_nothing(tmp_path):
    path = tar(tmp_path / "a.tar.gz", {"inside/x": bytes(range(256)) * 4000})
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(ValueError, match=r"whole archive|tar or zip archive"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_galactica_delivers_is_unpacked_and_opened(tmp_path):
    """An archive with the Galactica layout, handed over, becomes a cube."""
    made = tmp_path / "made" / "orion_8"
    made.mkdir(parents=True)
    density = np.random.default_rng(0).lognormal(5, 1, (8, 8, 8)).astype(np.float32)
    fits.writeto(made / "datacube.fits", density)
    (made / "processing_config.json").write_text(json.dumps({"run_parameters": {"size": 0.39, "nres": 8}}))
    archive = tmp_path / "orion_8.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(made, arcname="orion_8")
    folder = fetch_local("galactica:orion", archive, folder=tmp_path / "data")
    cube = lab.SimulationCube.open(folder, box_size=66.0948 * u.pc)
    np.testing.assert_array_equal(cube.density, density)
    assert cube.side_pc[0] == pytest.approx(0.39 * 66.0948)
    assert fetch_local("galactica:orion", archive, folder=tmp_path / "data") == folder  # unpacked once
