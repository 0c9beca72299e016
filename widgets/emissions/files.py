"""What the emission explorer opens: gas to be solved, or a line cube as it was computed or observed."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polaris_lab as lab
from widgets import workspace

MOST_BYTES = 512 * 2**20
"""A file of a line cube may be so large: it is read whole."""

ENDINGS = (".fits", ".fit", ".fits.gz", ".zarr", ".h5", ".hdf5", ".npz", ".npy", ".vtk")
"""Files that may hold gas or a line cube."""

_FITS = (".fits", ".fit", ".fits.gz")

LINE_CUBE_ENDINGS = (*_FITS, ".zarr")
"""Files that may hold a line cube."""


@dataclass(frozen=True)
class Source:
    """A cube and where it comes from."""

    cube: Any
    """SimulationCube or PPVCube."""
    code: str
    """Python that gives it."""
    name: str
    """In words."""
    key: Any = None
    """The same key, the same numbers; None if that is not known."""

    @property
    def is_gas(self) -> bool:
        """Whether it is gas rather than a line cube."""
        return isinstance(self.cube, lab.SimulationCube)


@functools.cache
def sample() -> Source:
    """Return the cloud inside the package, which all visitors look at."""
    return Source(lab.sample_cloud(), "lab.sample_cloud()", "the sample cloud of the package", "sample")


def given(cube: Any, code: str) -> Source:
    """Return a cube that was handed over.

    Raises
    ------
    TypeError
        If it is neither gas nor a line cube.
    """
    if not isinstance(cube, lab.SimulationCube | lab.PPVCube):
        raise TypeError(
            f"cube: expected a SimulationCube or a PPVCube, got {type(cube).__name__}; open a file with "
            "lab.SimulationCube.open or lab.PPVCube.open"
        )
    name = getattr(cube, "name", None) or ("gas" if isinstance(cube, lab.SimulationCube) else "line cube")
    return Source(cube, code, name)


def read(folder: str | Path, name: str) -> Source:
    """Open a file inside the workspace folder, whatever it holds.

    Raises
    ------
    ValueError, OSError
        If the name leads out of the folder, nothing is there, or it holds neither gas nor a line cube; the words
        say so.
    """
    path = workspace.inside(folder, name)
    if not path.exists():
        raise FileNotFoundError(
            f"path: expected a file in the workspace folder, got {name!r}; choose one from the list"
        )
    return read_line_cube(folder, name) if is_line_cube(path) else _read_gas(path, name)


def read_line_cube(folder: str | Path, name: str) -> Source:
    """Open a line cube inside the workspace folder (errors as in :func:`read`)."""
    path = workspace.inside(folder, name)
    size = path.stat().st_size if path.exists() else 0
    if size > MOST_BYTES:
        raise ValueError(
            f"{name}: expected a line cube of at most {MOST_BYTES / 2**20:.0f} MB, got {size / 2**20:.0f} MB, which a page "
            "would read whole; cut it or average it first, for example with instrument.resample_pixels"
        )
    cube = _said(path, name, lambda: _open_line_cube(path))
    if cube.data.shape[0] < 2:
        raise ValueError(
            f"{name}: expected at least two channels, got {cube.data.shape[0]}; a map is no line cube"
        )
    return Source(cube, f"lab.PPVCube.open({path.as_posix()!r})", name)


def _read_gas(path: Path, name: str) -> Source:
    cube = _said(path, name, lambda: lab.SimulationCube.open(path))
    key = (path, path.stat().st_mtime_ns)
    return Source(cube, f"lab.SimulationCube.open({path.as_posix()!r})", cube.name or name, key)


def _said(path: Path, name: str, opener: Any) -> Any:
    """Open a file; whatever goes wrong becomes an error that names it and what to do."""
    try:
        return opener()
    except (ValueError, TypeError) as error:
        words = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{name}: {words}") from error
    except Exception as error:  # readers of other projects raise what they like at a corrupt file
        raise ValueError(
            f"{name}: expected a whole file, got one that cannot be read ({type(error).__name__}: {error}); copy it again"
        ) from error


def is_line_cube(path: Path) -> bool:
    """Whether a file says of itself that it is a line cube: a zarr group of ours, or FITS with a velocity axis."""
    if path.name.lower().endswith(_FITS):
        try:
            headers = _headers(path)
        except Exception:  # corrupt: whoever opens it says so
            return True
        spectral = ("V", "FELO", "FREQ")
        kinds = [str(h.get(f"CTYPE{i}", "")).upper() for h in headers[:1] for i in range(1, h["NAXIS"] + 1)]
        return any(kind.startswith(spectral) for kind in kinds)
    if path.suffix.lower() == ".zarr" and path.is_dir():
        import zarr

        try:
            return zarr.open_group(path, mode="r").attrs.get("kind") == "ppv_cube"
        except Exception:  # no group: whoever opens it says so
            return False
    return False


def _headers(path: Path) -> list[Any]:
    """Return the headers of the cubes in a FITS file; the file is closed whatever is wrong with it."""
    from astropy.io import fits

    with path.open("rb") as raw, fits.open(raw) as file:
        return [unit.header for unit in file if unit.header.get("NAXIS", 0) >= 3]


def _open_line_cube(path: Path) -> Any:
    if path.is_file() and path.name.lower().endswith(_FITS):
        _headers(path)
    return lab.PPVCube.open(path)
