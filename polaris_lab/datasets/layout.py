"""How the arrays of a dataset lie in its zarr group: dimensions, chunks, compression, units."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import zarr
from zarr.codecs import BloscCodec

LINE_CUBE = "ppv_cube"
"""The array with a velocity axis."""

_LINE_CODEC = BloscCodec(cname="zstd", clevel=3, shuffle="shuffle")
"""Without loss. Half of a line cube is empty channels: 2.4 to 3.8 times smaller for 13CO of a turbulent cloud. In
float16 it would be 5.7 to 9.7 times, but wrong by 5e-4, more than the 1e-4 to which cubes are computed."""


def require_arrays(group: zarr.Group, arrays: Mapping[str, str], velocity: np.ndarray | None) -> None:
    """Create the arrays that are not there yet, without any patch, and the velocity axis."""
    side = group.attrs["patch_size"]
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
        shape = (len(velocity), side, side) if cube else (side, side)
        group.create_array(
            name,
            shape=(0, *shape),
            chunks=(1, *shape),
            dtype="float32",
            fill_value=float("nan"),
            compressors=_LINE_CODEC if cube else None,  # mantissas of turbulence are noise: nothing to gain
            dimension_names=("patch", "v", "y", "x") if cube else ("patch", "y", "x"),
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
