"""Weights on disk: written whole, read without unpickling, checked tensor by tensor."""

from __future__ import annotations

import io
import json
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polaris_lab.config import canonical_json, write_bytes


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write tensors and plain values to a file, whole or not at all."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    write_bytes(path, buffer.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what :func:`save_checkpoint` wrote, onto the CPU; nothing but tensors and plain values is loaded.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it is damaged.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: expected the state of the training, got nothing there; the run can be used but not "
            "trained further (Run.create starts a new one)"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # guesses about foreign files; the error below says enough
            return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, KeyError) as error:
        raise ValueError(
            f"{path}: expected a checkpoint, got a damaged file ({error}); start the run again with "
            "Run.create(..., overwrite=True)"
        ) from error


def save_weights(path: Path, weights: Mapping[str, Tensor], *, epoch: int, blueprint: str) -> None:
    """Write the weights of an epoch as safetensors, with the fingerprint of the blueprint they belong to."""
    from safetensors.torch import save

    # one entry: safetensors writes several in a random order, and equal runs shall have equal files
    metadata = {"run": canonical_json({"blueprint": blueprint, "epoch": epoch})}
    write_bytes(path, save(dict(weights), metadata=metadata))


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read weights.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(_damaged(path, error)) from error


def weights_epoch(path: Path) -> int | None:
    """Return the epoch whose weights a file holds, None if there is no file."""
    from safetensors import SafetensorError

    if not path.exists():
        return None
    try:
        return int(weights_metadata(path)["epoch"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(_damaged(path, error)) from error


def weights_metadata(path: Path) -> dict[str, Any]:
    """Return what a file of weights says of itself: "epoch" and (but for the first runs) "blueprint"."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    return json.loads(metadata["run"]) if "run" in metadata else metadata


def _damaged(path: Path, error: Exception) -> str:
    return (
        f"{path}: expected weights in the safetensors format, got a damaged file ({error}); restore it from a "
        "copy, or train the run again"
    )
