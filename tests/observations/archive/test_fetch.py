"""Fetching public data, tried on a server of our own."""

from __future__ import annotations

import json

import pytest
from astropy.io import fits

from polaris_lab.cli import main
from polaris_lab.observations.archive import ContentError, DownloadError, fetch, fetch_local, items
from polaris_lab.observations.archive.download import download


def test_a_map_arrives_whole_and_is_not_asked_for_twice(archive, map_file, tmp_path):
    path = fetch("hgbs:orionB", folder=tmp_path / "data", mirror=archive.address, progress=False)
    assert path.read_bytes() == map_file.read_bytes()
    assert fits.getdata(path).shape == (256, 256)
    asked = len(archive.ranges)
    assert fetch("hgbs:orionB", folder=tmp_path / "data", mirror=archive.address, progress=False) == path
    assert len(archive.ranges) == asked
    kept = json.loads((tmp_path / "data" / "checksums.json").read_text())[path.name]
    assert kept["from"].startswith(archive.address)
    assert kept["bytes"] == path.stat().st_size


def test_a_download_that_was_cut_goes_on_where_it_stopped(archive, map_file, tmp_path):
    address, target = f"{archive.address}/{map_file.name}", tmp_path / map_file.name
    size = map_file.stat().st_size
    archive.cut_after = size // 3
    with pytest.raises(DownloadError):
        download([address], target, kind="fits", progress=False)
    assert not target.exists()
    archive.cut_after = None
    assert download([address], target, kind="fits", progress=False) == address
    start = int(archive.ranges[-1].removeprefix("bytes=").removesuffix("-"))
    assert size // 3 - 2**16 <= start <= size // 3  # all but the unfinished block
    assert target.read_bytes() == map_file.read_bytes()
    assert list(tmp_path.glob("*.part")) == []


def test_a_page_in_place_of_the_file_is_refused(archive, tmp_path):
    name = "HGBS_orionB_column_density_map.fits.gz"
    (archive.folder / name).write_text("<!DOCTYPE html><html><body>We have moved</body></html>")
    with pytest.raises(DownloadError, match="web page"):
        download([f"{archive.address}/{name}"], tmp_path / name, kind="fits", progress=False)
    assert list(tmp_path.glob("HGBS*")) == []


def test_addresses_are_tried_in_turn(archive, map_file, tmp_path):
    gone, there = f"{archive.address}/gone.fits", f"{archive.address}/{map_file.name}"
    assert download([gone, there], tmp_path / "map.fits", kind="fits", progress=False) == there


def test_what_every_address_answered_is_said(archive, tmp_path):
    with pytest.raises(DownloadError, match="404") as error:
        download([f"{archive.address}/a", f"{archive.address}/b"], tmp_path / "c", kind="any", progress=False)
    assert str(error.value).count("404") >= 2
    assert "--local" in str(error.value)


def test_a_file_that_changed_on_disk_is_refused(archive, map_file, tmp_path):
    path = fetch("hgbs:orionB", folder=tmp_path, mirror=archive.address, progress=False)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="changed or damaged"):
        fetch("hgbs:orionB", folder=tmp_path, mirror=archive.address, progress=False)


def test_a_file_that_changed_at_its_source_is_refused(archive, map_file, tmp_path):
    path = fetch("hgbs:orionB", folder=tmp_path, mirror=archive.address, progress=False)
    path.unlink()
    fits.writeto(map_file, 2 * fits.getdata(map_file), overwrite=True)
    with pytest.raises((DownloadError, ValueError), match=r"(?i)hash"):
        download(
            [f"{archive.address}/{map_file.name}"],
            path,
            kind="fits",
            known_hash="sha256:" + json.loads((tmp_path / "checksums.json").read_text())[path.name]["sha256"],
            progress=False,
        )
    assert not path.exists()


def test_a_folder_is_a_mirror_too(map_file, tmp_path):
    path = fetch("hgbs:orionB", folder=tmp_path / "data", mirror=map_file.parent, progress=False)
    assert path.read_bytes() == map_file.read_bytes()


def test_a_file_handed_over_is_checked(tmp_path):
    page = tmp_path / "download.fits"
    page.write_text("<html>log in</html>")
    with pytest.raises(ContentError, match="web page"):
        fetch_local("hgbs:orionB", page, folder=tmp_path / "data")
    with pytest.raises(FileNotFoundError, match="expected the file"):
        fetch_local("hgbs:orionB", tmp_path / "nothing.fits", folder=tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_what_a_person_must_do_is_said_step_by_step(tmp_path, capsys):
    with pytest.raises(ValueError, match=r"1\. open http.*galactica.*register"):
        fetch("galactica:orion", folder=tmp_path, progress=False)
    assert main(["fetch", "galactica:orion", "--folder", str(tmp_path)]) == 0
    assert "4. hand it over" in capsys.readouterr().out


def test_an_unknown_name_is_met_with_the_nearest(capsys):
    assert main(["fetch", "hgbs:orionb"]) == 1
    assert "did you mean 'hgbs:orionB'" in capsys.readouterr().err


def test_the_list_names_every_item(capsys):
    assert main(["fetch", "--list", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["items"]) == set(items())


def test_the_command_says_where_the_file_is_and_what_to_cite(archive, map_file, tmp_path, capsys):
    words = [
        "fetch",
        "hgbs:orionB",
        "--mirror",
        archive.address,
        "--folder",
        str(tmp_path),
        "--quiet",
        "--json",
    ]
    assert main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["path"] == str(tmp_path / map_file.name)
    assert "Gould Belt" in answer["source"]


def test_every_item_can_be_had_and_says_how():
    for entry in items().values():
        assert entry.addresses or len(entry.steps) >= 2, entry.name
        assert entry.certainty in ("sure", "likely", "memory")
        assert entry.source, entry.name
        assert entry.usage, entry.name
