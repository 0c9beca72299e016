"""Which precision is chosen for which hardware, and that it is said."""

from __future__ import annotations

import logging

import pytest
import torch

from polaris_lab.models import precision
from polaris_lab.models.precision import best_precision, cpu_features


@pytest.mark.parametrize(
    ("line", "chosen", "why"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16 amx_tile", "bf16-mixed", "has avx512_bf16"),
        ("flags\t\t: fpu avx2 amx_bf16", "bf16-mixed", "has amx_bf16"),
        ("Features\t: fp asimd bf16", "bf16-mixed", "has bf16"),
        ("flags\t\t: fpu avx2 avx512f avx512_vnni", "32-true", "lists no bfloat16"),
        ("", "32-true", "lists no bfloat16"),
    ],
)
def test_processors(line, chosen, why, tmp_path, monkeypatch, caplog):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\n{line}\n")
    monkeypatch.setattr(precision, "cpu_features", lambda: cpu_features(path))
    with caplog.at_level(logging.INFO):
        assert best_precision("cpu") == chosen
    assert why in caplog.text
    assert chosen in caplog.text


@pytest.mark.parametrize(
    ("capability", "chosen"), [((7, 5), "32-true"), ((8, 0), "bf16-mixed"), ((9, 0), "bf16-mixed")]
)
def test_graphics_processors(capability, chosen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
    assert best_precision("cuda:0") == chosen


def test_a_system_that_lists_nothing(tmp_path):
    assert cpu_features(tmp_path / "none") == set()
