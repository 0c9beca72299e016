"""The pages of accuracy and of real maps: they name the shipped network's command, hold every set, and their pictures exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from polaris_lab.training.benchmark_default import SHIPPED, TOLD
from polaris_lab.training.benchmark_page import HEAD

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_accuracy_page_has_every_set_and_column():
    text = (DOCS / "accuracy.md").read_text()
    assert "`polaris-lab benchmark --default" in text
    assert "The budgets are not equal" in text
    for part in ("(a) the project's suite", "(a) the common work", "(b) MHD", "(c)", "(d)"):
        assert f"## {part}" in text
    for column in HEAD:
        assert column in text
    assert text.count(f"\n| {SHIPPED} |") == text.count(f"\n| {TOLD} |") == text.count("\n## (")


def test_the_snapshots_are_not_called_unseen():
    for section in (DOCS / "accuracy.md").read_text().split("\n## ")[1:]:
        if section.startswith("(b)"):
            assert "unseen" not in section
            assert "development set" in section


@pytest.mark.parametrize("name", ["B5", "IC348", "Orion A_V", "Taurus"])
def test_the_page_of_real_maps_has_each_map_with_a_small_picture(name):
    text = (DOCS / "real_maps.md").read_text()
    section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
    assert "| quality flag |" in section
    (picture,) = re.findall(r"\((images/[^)]+)\)", section)
    assert (DOCS / picture).stat().st_size <= 120_000
    assert f"- {name}: " in text.split("## Where it fails")[1]
