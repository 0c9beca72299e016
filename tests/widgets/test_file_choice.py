"""The field that chooses a file: what it lists, and what it refuses."""

from __future__ import annotations

import pytest

from widgets.file_choice import FileChoice, files_in


@pytest.fixture
def workspace(tmp_path):
    """Return a folder with maps, a store, and things that nobody should see."""
    for name in (
        "b.fits",
        "maps/a.FITS",
        "maps/notes.txt",
        ".git/x.fits",
        "fog.zarr/0/c.fits",
        "1/2/3/4/5/deep.fits",
    ):
        path = tmp_path / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "outside.fits").write_bytes(b"")
    (tmp_path / "work" / "link.fits").symlink_to(tmp_path / "outside.fits")
    return tmp_path / "work"


def test_files_of_a_kind_are_listed_in_order(workspace):
    assert files_in(workspace, [".fits"]) == ["b.fits", "maps/a.FITS"]


def test_a_store_counts_as_one_file(workspace):
    assert files_in(workspace, [".zarr"]) == ["fog.zarr"]


def test_the_list_is_cut_at_the_most(workspace):
    assert len(files_in(workspace, [".fits"], most=1)) == 1


def test_a_chosen_file_reaches_the_page(workspace):
    chosen = []
    choice = FileChoice(workspace, [".fits"], on_choose=chosen.append)
    choice.field.value = "maps/a.FITS"
    assert chosen == [(workspace / "maps/a.FITS").resolve()]


@pytest.mark.parametrize("name", ["../outside.fits", "link.fits", "/etc/passwd"])
def test_a_name_that_leads_out_is_refused(workspace, name):
    chosen = []
    choice = FileChoice(workspace, [".fits"], on_choose=chosen.append)
    with pytest.raises(ValueError, match="inside the workspace folder"):
        choice.field.value = name
    assert not chosen


def test_a_missing_file_is_refused_with_what_to_do(workspace):
    with pytest.raises(FileNotFoundError, match="look again"):
        FileChoice(workspace, [".fits"], on_choose=print).choose("gone.fits")


def test_new_files_are_found_when_looking_again(workspace):
    choice = FileChoice(workspace, [".fits"], on_choose=print)
    (workspace / "new.fits").write_bytes(b"")
    choice.look()
    assert "new.fits" in choice.field.options
    assert "3 files" in choice._words.object


def test_an_empty_folder_says_what_to_do(tmp_path):
    choice = FileChoice(tmp_path, [".fits"], on_choose=print)
    assert choice.field.options == []
    assert "copy one into it" in choice._words.object
