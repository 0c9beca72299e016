from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits

from polaris_lab.clouds import SimulationCube
from polaris_lab.training import Run
from widgets import contents

SKY = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -0.01, "CDELT2": 0.01, "BUNIT": "cm-2"}


def only(folder, kind: str) -> contents.Entry:
    found = contents.look(folder)
    (entry,) = found.entries
    assert entry.kind == kind
    return entry


def test_a_run_says_how_far_it_is(trained_run, tmp_path):
    entry = only(tmp_path, "run")
    assert entry.path == trained_run.name
    assert entry.state == "finished"
    run = Run.open(trained_run)
    assert f"epoch 3 of 3, best {100 * run.best.validation_accuracy:.1f} % within 0.3 dex" in entry.words
    assert f"{run.parameters:,} parameters" in entry.words


def test_a_dataset_and_one_that_was_cut_off(new_run, tmp_path):
    dataset = Run.open(new_run).dataset()
    shutil.copytree(dataset.path, tmp_path / "sets" / "fog.zarr")
    (tmp_path / "sets" / "half.zarr.partial").mkdir()
    whole, half = contents.look(tmp_path).of("dataset")
    assert whole.path == "sets/fog.zarr"
    assert "16 patches of 32² pixels of 0.05 pc: column_density → mass_weighted_density" in whole.words
    assert (half.path, half.state) == ("sets/half.zarr.partial", "unfinished")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".zarr", ".fits"])
def test_a_cube_of_any_format(tmp_path, suffix):
    SimulationCube(np.full((8, 8, 4), 10.0), cell_size=0.1 * u.pc, name="slab").save(
        tmp_path / f"slab{suffix}"
    )
    assert only(tmp_path, "cube").words == "8 × 8 × 4 cells of 0.1 pc, density"


def test_maps_are_told_from_line_cubes_and_predictions(tmp_path):
    fits.PrimaryHDU(np.ones((4, 6), np.float32), fits.Header(SKY)).writeto(tmp_path / "a.fits")
    line = fits.Header({**SKY, "CTYPE3": "VRAD", "CDELT3": 100.0, "BUNIT": "K"})
    fits.PrimaryHDU(np.ones((5, 4, 6), np.float32), line).writeto(tmp_path / "b.fits")
    density = fits.ImageHDU(np.ones((4, 6), np.float32), fits.Header({**SKY, "EXTNAME": "DENSITY"}))
    fits.HDUList([fits.PrimaryHDU(), density]).writeto(tmp_path / "c.fits.gz")
    table = fits.BinTableHDU.from_columns([fits.Column("x", "D", array=np.ones(3))])
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "d.fits")
    found = {entry.path: (entry.kind, entry.words) for entry in contents.look(tmp_path).entries}
    assert found == {
        "a.fits": ("observation", "4 × 6 pixels (cm-2)"),
        "b.fits": ("line cube", "5 × 4 × 6 pixels (K)"),
        "c.fits.gz": ("prediction", "4 × 6 pixels (cm-2)"),
    }


def test_a_study_is_one_entry(tmp_path):
    from polaris_lab.config import write_json

    (tmp_path / "map" / "runs" / "one").mkdir(parents=True)
    study = {"schema": 1, "kind": "complexity_map", "axes": ["layers"], "preset": "unet", "settings": {}, "training": {},
             "dataset": {}, "more": {}, "seeds": [0], "cells": []}  # fmt: skip
    write_json(tmp_path / "map" / "study.json", study)
    write_json(tmp_path / "map" / "runs" / "one" / "run.json", {})
    entry = only(tmp_path, "study")
    assert entry.words == "complexity map over layers: 0 trainings"
    assert not entry.problem


def test_what_is_broken_is_listed_with_its_reason(new_run, tmp_path):
    (new_run / "run.json").write_text("{")
    fits.PrimaryHDU(np.ones((40, 60), np.float32), fits.Header(SKY)).writeto(tmp_path / "cut.fits")
    os.truncate(tmp_path / "cut.fits", 3000)
    (tmp_path / "page.fits").write_text("<html>")
    np.save(tmp_path / "plain.npy", np.ones((4, 4, 4)))
    (tmp_path / "empty.zarr").mkdir()
    found = {entry.path: entry.problem for entry in contents.look(tmp_path).entries}
    assert "cut off or damaged" in found["cut.fits"]
    assert "it is a web page" in found["page.fits"]
    assert found["plain.npy"].startswith("expected the size of a cell, got none in the file")
    assert all(found[name] for name in (new_run.name, "empty.zarr"))
    assert str(tmp_path) not in found["cut.fits"]


def test_a_file_that_was_mended_is_looked_at_again(tmp_path):
    path = tmp_path / "map.fits"
    path.write_text("<html>")
    assert only(tmp_path, "observation").problem
    fits.PrimaryHDU(np.ones((4, 6), np.float32), fits.Header(SKY)).writeto(path, overwrite=True)
    assert not only(tmp_path, "observation").problem


def test_what_is_no_concern_of_ours_is_left_out(tmp_path):
    np.save(tmp_path / "table.npy", np.ones((4, 4)))
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "a.fits").write_text("x")
    assert contents.look(tmp_path).entries == ()


def test_links_do_not_lead_out_of_the_workspace(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "secret.fits").write_text("x")
    (tmp_path / "work" / "link.fits").symlink_to(tmp_path / "secret.fits")
    (tmp_path / "work" / "out").symlink_to(tmp_path)
    (tmp_path / "work" / "loop").symlink_to(tmp_path / "work")
    assert contents.look(tmp_path / "work").entries == ()


def test_a_long_list_ends_and_says_so(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.fits").write_text("x")
    found = contents.look(tmp_path, most=3)
    assert len(found.entries) == 3
    assert not found.complete


def test_only_headers_are_read(tmp_path):
    """A dataset of 64 MB is listed without its pixels coming into memory."""
    import tracemalloc

    pixels = np.lib.format.open_memmap(tmp_path / "big.npy", "w+", np.float32, (256, 256, 256))
    del pixels
    fits.PrimaryHDU(np.zeros((2048, 2048), np.float32), fits.Header(SKY)).writeto(tmp_path / "big.fits")
    contents.look(tmp_path / "nothing yet")
    tracemalloc.start()
    assert len(contents.look(tmp_path).entries) == 2
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6
