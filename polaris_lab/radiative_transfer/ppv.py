"""`PPVCube`: brightness temperature over velocity and two axes of the sky."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from polaris_lab.radiative_transfer.lines import Line
from polaris_lab.units import positive


class PPVCube:
    """A line cube, spectral axis first; computed from a simulation or observed.

    Parameters
    ----------
    data : array_like, shape (channels, rows, columns)
        Brightness temperature [K]: Rayleigh-Jeans, background subtracted; NaN where nothing was observed.
        A lazily read array stays on disk.
    velocity : array_like, shape (channels,)
        Channel centres [km/s], ascending; positive recedes (radio convention unless the file said otherwise).
    line : Line, optional
        What emits.
    pixel_size : Quantity, optional
        Side of a pixel, a length (simulations) or an angle (observations).
    axis : {"z", "y", "x"}, optional
        Line of sight through a simulation; the rows and columns are the two axes that remain.
    unit : str
        "K", or "" for an optical depth.
    header : Header, optional
        Celestial coordinates and beam of an observed cube.
    provenance : mapping, optional
        Where it comes from (JSON values).

    Raises
    ------
    ValueError
        If shapes do not fit or the velocities do not ascend.

    Examples
    --------
    >>> PPVCube(np.zeros((3, 4, 5)), [-1.0, 0.0, 1.0], line=Line.named("13CO"))
    PPVCube(13CO 1-0: 3 channels of 1 km/s from -1 to 1 km/s, 4 x 5 pixels; K)
    """

    def __init__(
        self,
        data: Any,
        velocity: Any,
        *,
        line: Line | None = None,
        pixel_size: u.Quantity | None = None,
        axis: str | None = None,
        unit: str = "K",
        header: fits.Header | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        if not hasattr(data, "shape"):
            data = np.asarray(data)
        if len(data.shape) != 3:
            raise ValueError(
                f"data: expected three axes (channel, row, column), got shape {tuple(data.shape)}"
            )
        if isinstance(velocity, u.Quantity):
            velocity = velocity.to_value("km/s")
        self.velocity = np.array(velocity, dtype=np.float64)
        if self.velocity.shape != tuple(data.shape[:1]):
            raise ValueError(
                f"velocity: expected one for each of the {data.shape[0]} channels, got shape {self.velocity.shape}"
            )
        if not (np.diff(self.velocity) > 0).all():
            raise ValueError("velocity: expected ascending channel centres; sort them and the data alike")
        self.velocity.flags.writeable = False
        self.data = data
        self.line = line
        self.axis = axis
        self.unit = unit
        self.header = None if header is None else header.copy()
        self.provenance = dict(provenance or {})
        self._pixel_size = None
        if pixel_size is not None:
            target = u.arcsec if pixel_size.unit.is_equivalent(u.deg) else u.pc
            self._pixel_size = positive(pixel_size, target, "pixel_size") * target

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns."""
        return tuple(self.data.shape)

    @property
    def pixel_size(self) -> u.Quantity | None:
        """Side of a pixel, in pc (simulations) or arcsec (observations)."""
        return self._pixel_size

    @property
    def channel_width(self) -> float:
        """Width of a channel [km/s]: the mean spacing, or 0 for a single channel."""
        return float(np.diff(self.velocity).mean()) if len(self.velocity) > 1 else 0.0

    @property
    def channel_widths(self) -> np.ndarray:
        """Width of each channel [km/s], from edges half way between the centres."""
        from polaris_lab.radiative_transfer.solve import channel_edges

        return np.diff(channel_edges(self.velocity))

    @property
    def uniform(self) -> bool:
        """Whether the channels are equally spaced, as FITS needs them."""
        steps = np.diff(self.velocity)
        return len(steps) == 0 or bool(np.ptp(steps) < 1e-5 * steps.mean() + 1e-9)

    @property
    def wcs(self) -> WCS | None:
        """Celestial coordinates of the pixels, None for a simulation."""
        return None if self.header is None else WCS(self.header).celestial

    def with_data(self, data: np.ndarray, *, velocity: Any = None, **changes: Any) -> PPVCube:
        """Return a cube like this one with other data (and other channels, pixel size, header or unit)."""
        keep = {
            "line": self.line,
            "pixel_size": self.pixel_size,
            "axis": self.axis,
            "unit": self.unit,
            "header": self.header,
            "provenance": self.provenance,
        }
        return PPVCube(data, self.velocity if velocity is None else velocity, **(keep | changes))

    def spectrum(self, *, row: int, column: int) -> np.ndarray:
        """Return the spectrum of a pixel [K], shape (channels,).

        Raises
        ------
        IndexError
            If the pixel lies outside the cube.
        """
        _, rows, columns = self.shape
        if not (0 <= row < rows and 0 <= column < columns):
            raise IndexError(f"row, column: expected a pixel of {rows} x {columns}, got ({row}, {column})")
        return np.asarray(self.data[:, row, column])

    def channel(self, velocity: u.Quantity) -> np.ndarray:
        """Return the map of the channel nearest to a velocity [K], shape (rows, columns)."""
        from polaris_lab.units import to_unit

        wanted = to_unit(velocity, "km/s", "velocity")
        return np.asarray(self.data[int(np.argmin(np.abs(self.velocity - wanted)))])

    # -- files -----------------------------------------------------------------------------------------

    def to_fits(self, path: str | Path, **choices: Any) -> Path:
        """Write a FITS cube (see :func:`polaris_lab.radiative_transfer.ppv_files.write_fits`)."""
        from polaris_lab.radiative_transfer.ppv_files import write_fits

        return write_fits(self, path, **choices)

    @classmethod
    def open(cls, path: str | Path, **choices: Any) -> PPVCube:
        """Open a cube from FITS or zarr (see :func:`polaris_lab.radiative_transfer.ppv_reading.open_ppv`)."""
        from polaris_lab.radiative_transfer.ppv_reading import open_ppv

        return open_ppv(path, **choices)

    def __repr__(self) -> str:
        channels, rows, columns = self.shape
        name = self.line.name if self.line else "unknown line"
        pixel = f" of {self.pixel_size:.4g}" if self.pixel_size is not None else ""
        view = f", seen along {self.axis}" if self.axis else ""
        return (
            f"PPVCube({name}: {channels} channels of {self.channel_width:.4g} km/s from {self.velocity[0]:.4g} "
            f"to {self.velocity[-1]:.4g} km/s, {rows} x {columns} pixels{pixel}{view}; {self.unit or 'optical depth'})"
        )
