"""Cubes in files, as a volume viewer opens them: clouds, line cubes and plain arrays, by one name."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.units import UnitsError
from astropy.utils.exceptions import AstropyWarning

import polaris_lab as lab

ENDINGS = (".npy", ".fits", ".fit", ".npz", ".h5", ".hdf5", ".zarr", ".vtk")
"""Files on offer."""

BROKEN = (ValueError, TypeError, OSError, KeyError, EOFError, UnitsError)
"""What readers raise on files that are no cubes, or damaged."""


def open_volume(path: str | Path) -> tuple[Any, str]:
    """Open a file as whatever cube it holds.

    Parameters
    ----------
    path : str or Path
        What :meth:`polaris_lab.SimulationCube.open` or :meth:`polaris_lab.PPVCube.open` reads, or an npy file that
        holds nothing but an array.

    Returns
    -------
    cube : SimulationCube, PPVCube or ndarray
        Arrays are mapped, not read.
    code : str
        Python that opens it.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    ValueError
        If it is neither, with what each reader said and what to do.

    Examples
    --------
    >>> open_volume("no such file.npy")
    Traceback (most recent call last):
    ...
    FileNotFoundError: no such file.npy: expected a cube, got no such file; choose another
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a cube, got no such file; choose another")
    name = repr(path.as_posix())
    words = []
    openers = {
        "a cloud": (lab.SimulationCube.open, f"lab.SimulationCube.open({name})"),
        "a line cube": (lab.PPVCube.open, f"lab.PPVCube.open({name})"),
        "an array": (_map_array, f'np.load({name}, mmap_mode="r")'),
    }
    suffix = path.suffix.lower()
    if suffix not in (".fits", ".fit", ".zarr"):
        del openers["a line cube"]
    if suffix != ".npy":
        del openers["an array"]
    for kind, (opener, code) in openers.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", AstropyWarning)  # of headers; what cannot be read is told
                return opener(path), code
        except BROKEN as error:
            words.append(f"as {kind}: {error}")
    raise ValueError(
        f"{path.name}: expected a cube, got a file that cannot be read as one ({'; '.join(words)}). Copy it again if it "
        "was cut off, or choose another; a file that does not say the size of its cells is opened in Python, with "
        "lab.SimulationCube.open(path, cell_size=...)"
    )


def _map_array(path: Path) -> np.ndarray:
    """Map an npy file that holds one array."""
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    if values.ndim != 3:
        raise ValueError(f"expected three axes, got the shape {values.shape}")
    if values.offset + values.nbytes != path.stat().st_size:
        raise ValueError("expected one array, got more behind it, or a part of it")
    return values
