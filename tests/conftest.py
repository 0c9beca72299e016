"""Fixtures that every room shares."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real maps and simulations beside the checkout; without it the test is skipped."""
    if not SHARED.is_dir():
        pytest.skip("the real data (../shared/data) are not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory) -> Path:
    """Run the quick demo once a session; return its folder (dataset.zarr, run/, *.fits, report.html)."""
    from polaris_lab.cli import main

    folder = tmp_path_factory.mktemp("quick") / "demo"
    assert main(["demo", "--quick", "--quiet", "--output", str(folder)]) == 0
    return folder
