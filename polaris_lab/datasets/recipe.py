"""What a training set says of itself: the clouds it is made of, its choices, and the fingerprint of both."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from polaris_lab.clouds import SimulationCube
from polaris_lab.config import SCHEMA, Provenance, fingerprint, to_dict
from polaris_lab.datasets.arrays import UNITS
from polaris_lab.datasets.emission import gas_sha256, line_recipe
from polaris_lab.datasets.emission_config import LINE_UNITS
from polaris_lab.datasets.growing import KIND
from polaris_lab.datasets.layout import CHANNEL_UNITS
from polaris_lab.datasets.patch_config import PatchConfig

RECIPE = 1
"""Counts up when the same clouds and choices give other patches, so that partial datasets are not mixed."""

LATER = ("learned", "context_width", "depth_cells")
"""Choices that came after the first datasets: left at their defaults they leave a fingerprint as it was."""

UNIT_OF = UNITS | LINE_UNITS | CHANNEL_UNITS


def manifest_of(
    config: PatchConfig,
    sources: list[dict[str, Any]],
    cell_size_pc: float,
    velocity: np.ndarray | None,
    channels: str,
    depth_cells: int | None,
) -> dict[str, Any]:
    """Return the attributes of a dataset: what it is made of, and the fingerprint of that."""
    decisive = ("name", "sha256", "gas_sha256", "shape", "cell_size_pc")
    line = {} if config.line_emission is None else line_recipe(config.line_emission)
    recipe = {
        "recipe": RECIPE,
        "schema": SCHEMA,
        "config": _decisive(config),
        "sources": [{key: source[key] for key in decisive if key in source} for source in sources],
    }
    if line:
        recipe |= {"emission": line, "velocity_km_s": velocity.tolist()}
    manifest = {
        "schema": SCHEMA,
        "kind": KIND,
        "fingerprint": fingerprint(recipe),
        "pixel_size_pc": cell_size_pc,
        "patch_size": config.patch_size,
        "inputs": list(config.inputs),
        "targets": list(config.targets),
        "units": {name: UNIT_OF[name] for name in (*config.inputs, *config.targets)},
        "config": to_dict(config),
        "sources": sources,
        "dropped": [],
        "provenance": to_dict(Provenance.now(seed=config.seed)),
    }
    if depth_cells is not None:
        manifest["depth_cells"] = depth_cells
    return manifest | {"emission": line | {"channels": channels}} if line else manifest


def _decisive(config: PatchConfig) -> dict[str, Any]:
    """Return the choices that decide on the patches; those made later than others only where they are made."""
    later = {field.name: field.default for field in fields(PatchConfig) if field.name in LATER}
    choices = {key: value for key, value in to_dict(config).items() if key != "emission"}
    return {
        key: value for key, value in choices.items() if key not in later or getattr(config, key) != later[key]
    }


def sources_of(
    cubes: Sequence[SimulationCube], names: Sequence[str], progress: bool, gas_axes: Sequence[str] | None
) -> list[dict[str, Any]]:
    """Describe the clouds; the same density twice is refused.

    `gas_axes`: axes along which the velocity is used; none for the temperature alone, None where neither is.
    """
    sources: list[dict[str, Any]] = []
    for cube, name in tqdm(
        list(zip(cubes, names, strict=True)), desc="reading clouds", unit="cloud", disable=not progress
    ):
        digest = density_sha256(cube)
        for other in sources:
            if other["sha256"] == digest:
                raise ValueError(
                    f"cubes: expected different clouds, got the same density as {other['name']!r} and {name!r}: its gas "
                    "would be on both sides of a split"
                )
        sources.append(
            {
                "name": name,
                "sha256": digest,
                "shape": list(cube.shape),
                "cell_size_pc": cube.cell_size_pc,
                "provenance": cube.provenance,
            }
        )
        if gas_axes is not None:
            sources[-1]["gas_sha256"] = gas_sha256(cube, name, gas_axes)
    return sources


def density_sha256(cube: SimulationCube) -> str:
    """Return the SHA-256 of the density of a cube: float32, little endian, in the order z, y, x."""
    digest = hashlib.sha256()
    for _, slab in cube.blocks(check=False):
        digest.update(np.ascontiguousarray(slab, "<f4").data)
    return digest.hexdigest()
