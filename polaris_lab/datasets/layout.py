"""How the arrays of a dataset lie in its zarr group: dimensions, chunks, compression, units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from polaris_lab.quantities import quantity, quantity_names

LINE_CUBE = "ppv_cube"
"""The array with a velocity axis."""

DENSITY_CUBE = "density_cube"
"""The array with a depth axis."""

CHANNEL_UNITS = {
    name: quantity(name).unit
    for name in (
        "temperature",
        "context_column_density",
        "context_mask",
        "position",
        "pixel_size",
        "depth",
        "constrained_diffusion_density",
        "aviator_density",
        DENSITY_CUBE,
    )
}
"""Unit of what is neither a projection of the density nor a product of a line."""

LEADING = {LINE_CUBE: "v", DENSITY_CUBE: "layer", "position": "component"}
"""Arrays with an axis before rows and columns, and its name."""

_LINE_CODEC = BloscCodec(cname="zstd", clevel=3, shuffle="shuffle")
"""Without loss. Half of a line cube is empty channels: 2.4 to 3.8 times smaller for 13CO of a turbulent cloud. In
float16 it would be 5.7 to 9.7 times, but wrong by 5e-4, more than the 1e-4 to which cubes are computed."""


def patch_dimensions(name: str) -> tuple[str, ...]:
    """Return the names of the axes of one patch.

    Examples
    --------
    >>> patch_dimensions("ppv_cube"), patch_dimensions("column_density"), patch_dimensions("depth")
    (('v', 'y', 'x'), ('y', 'x'), ())
    """
    if name in quantity_names() and quantity(name).shape == "scalar":
        return ()
    return (LEADING[name], "y", "x") if name in LEADING else ("y", "x")


def patch_shape(name: str, manifest: Mapping[str, Any], velocity: np.ndarray | None) -> tuple[int, ...]:
    """Return the shape of one patch of an array, by what a dataset says of itself."""
    side = int(manifest["patch_size"])
    lengths = {
        "v": np.size(velocity),
        "layer": manifest.get("depth_cells"),
        "component": 2,
        "y": side,
        "x": side,
    }
    return tuple(lengths[axis] for axis in patch_dimensions(name))


def require_arrays(group: zarr.Group, arrays: Mapping[str, str], velocity: np.ndarray | None) -> None:
    """Create the arrays that are not there yet, without any patch, and the velocity axis."""
    if velocity is not None:
        axis = group.create_array(
            "velocity",
            shape=velocity.shape,
            chunks=velocity.shape,
            dtype="float64",
            dimension_names=("v",),
            attributes={"units": "km s-1", "description": "channel centres; positive recedes"},
            overwrite=True,
        )
        axis[:] = velocity
    for name, unit in arrays.items():
        if name in group:
            continue
        cube = name == LINE_CUBE
        shape = patch_shape(name, group.attrs, velocity)
        group.create_array(
            name,
            shape=(0, *shape),
            chunks=(1, *shape),
            dtype="float32",
            fill_value=float("nan"),
            compressors=_LINE_CODEC if cube else None,  # mantissas of turbulence are noise: nothing to gain
            dimension_names=("patch", *patch_dimensions(name)),
            attributes={"units": unit, "coordinates": "velocity"} if cube else {"units": unit},
        )


def write_column(group: zarr.Group, name: str, values: np.ndarray) -> None:
    """Write a column of the table: text, numbers, or (patch, 2) for positions."""
    values = np.asarray(values)
    text = values.dtype.kind in "UTO"
    second = {"origin": "row_column", "sha256": "array"}.get(name, "component")
    column = group.create_array(
        name,
        shape=values.shape,
        chunks=values.shape,
        dtype="string" if text else values.dtype,
        dimension_names=("patch", second)[: values.ndim],
    )
    column[:] = values.astype(np.dtypes.StringDType()) if text else values
    if name == "origin":
        column.attrs.update(
            {"units": "pixel", "description": "row and column of the patch's first pixel on its face"}
        )
