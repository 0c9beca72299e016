"""The state of a simulation on disk: written whole, read without unpickling, checked."""

from __future__ import annotations

import dataclasses
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from polaris_lab.clouds.solver.settings import SimulationConfig
from polaris_lab.config import check_schema, from_dict, to_dict, write_bytes

SCHEMA = 1
"""Version of the file's layout."""

ENTRIES = ("config", "step", "time", "strength", "modes", "state")
"""What a checkpoint holds besides its kind and schema."""


def write_checkpoint(path: Path, config: SimulationConfig, content: Mapping[str, Any]) -> None:
    """Write a state to a file, whole or not at all."""
    buffer = io.BytesIO()
    torch.save({"kind": "simulation", "schema": SCHEMA, "config": to_dict(config), **content}, buffer)
    write_bytes(path, buffer.getbuffer())


def read_checkpoint(path: Path) -> tuple[SimulationConfig, dict[str, Any]]:
    """Read what :func:`write_checkpoint` wrote, onto the processor; only tensors and plain values are loaded.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it is damaged, or no state of a simulation.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: expected the checkpoint of a simulation, got nothing there; start one with simulate(..., "
            f"checkpoint={str(path)!r})"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # guesses about foreign files; the error below says enough
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # foreign bytes make the unpickler fail in any way; each means the same here
        raise ValueError(
            f"{path}: expected the checkpoint of a simulation, got a damaged or foreign file; remove it and start again"
        ) from error
    if not isinstance(content, dict) or content.get("kind") != "simulation":
        raise ValueError(
            f"{path}: expected the checkpoint of a simulation, got another file; choose another name"
        )
    check_schema(content.get("schema"), str(path))
    lost = [key for key in ENTRIES if key not in content]
    if lost:
        raise ValueError(f"{path}: expected the entry {lost[0]!r}, got none; remove the file and start again")
    return from_dict(SimulationConfig, content["config"], where=str(path)), content


def check_same(path: Path, kept: SimulationConfig, asked: SimulationConfig) -> None:
    """Refuse to go on with a checkpoint under other choices, naming those that differ."""
    kept_values, asked_values = dataclasses.asdict(kept), dataclasses.asdict(asked)
    other = [
        f"{key}={asked_values[key]!r} (the file: {kept_values[key]!r})"
        for key in kept_values
        if kept_values[key] != asked_values[key]
    ]
    if other:
        raise ValueError(
            f"{path}: expected the choices that the checkpoint was made with, got {', '.join(other)}; give the same "
            "ones, or another file name for another simulation"
        )
