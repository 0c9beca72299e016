"""Weights on disk: written whole, read without unpickling, checked tensor by tensor."""

from __future__ import annotations

import hashlib
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

SEAL = b"\nsha256:"
"""Stands behind the content of a checkpoint, before its SHA-256 in 64 hexadecimal digits."""


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write tensors and plain values to a file, whole or not at all, sealed with their SHA-256."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    digest = hashlib.sha256(buffer.getbuffer()).hexdigest()
    buffer.write(SEAL + digest.encode())
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
        content = _unsealed(path.read_bytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # guesses about foreign files; the error below says enough
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path}: expected a checkpoint, got a damaged file ({error}); the best weights and the history of the run "
            "can still be used. Restore the file from a copy, or train a new run from these weights with "
            "Run.create(..., start_from=run)"
        ) from error


def _unsealed(data: bytes) -> bytes:
    """Return the content of a checkpoint, checked against its SHA-256 (those of the first runs have none)."""
    content, seal, digest = data[: -len(SEAL) - 64], data[-len(SEAL) - 64 : -64], data[-64:]
    if seal != SEAL:
        return data
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise ValueError("its content does not match the SHA-256 stored when it was written")
    return content


def save_weights(path: Path, weights: Mapping[str, Tensor], *, epoch: int, blueprint: str) -> None:
    """Write the weights of an epoch as safetensors, with the fingerprint of the blueprint they belong to."""
    from safetensors.torch import save

    # one entry: safetensors writes several in a random order, and equal runs shall have equal files
    words = {"blueprint": blueprint, "epoch": epoch, "sha256": weights_digest(weights)}
    metadata = {"run": canonical_json(words)}
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
        weights = load_file(path)
        expected = weights_metadata(path).get("sha256")
    except (SafetensorError, ValueError) as error:
        raise ValueError(_damaged(path, error)) from error
    if expected is not None and weights_digest(weights) != expected:
        raise ValueError(_damaged(path, "its values do not match the SHA-256 stored when it was written"))
    return weights


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of weights: names, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        values = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


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


def _damaged(path: Path, error: Exception | str) -> str:
    return (
        f"{path}: expected weights in the safetensors format, got a damaged file ({error}); restore it from a "
        "copy, or train the run again"
    )
