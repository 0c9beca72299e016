"""One of the two cubes of the emission explorer: what is seen of it, and its maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from astropy import units as u

from polaris_lab.radiative_transfer import moments
from widgets.emissions import words as emission_words
from widgets.emissions.maps import MOMENTS, MapFigure, temperature_limits

UNITS = ("pc", "arcsec")
"""Units of the axes."""


class Side:
    """A line cube with a channel map and a moment map.

    Parameters
    ----------
    name : {"synthetic", "observed"}
    ranges : (Range1d, Range1d)
        Of the axes, shared by both sides.
    on_tap : callable
        Called with x and y of a tap.

    Attributes
    ----------
    ppv : PPVCube or None
        As it is seen, through beam and noise.
    moments : Moments or None
    mean : ndarray, shape (channels,)
        Mean spectrum [K].
    """

    def __init__(self, name: str, ranges: tuple[Any, Any], on_tap: Callable[[float, float], None]):
        self.name, self.ppv, self.moments, self.mean = name, None, None, np.empty(0)
        self.limits = (0.0, 1.0)
        self.channel = MapFigure(ranges, on_tap, "brightness_temperature")
        self.moment = MapFigure(ranges, on_tap, "integrated_intensity")

    def take(self, ppv: Any, mask: Any = None) -> None:
        """Take another cube."""
        self.ppv, self.moments = ppv, moments.moments(ppv, mask=mask)
        data = np.asarray(ppv.data)
        seen = np.isfinite(data)
        count = seen.sum(axis=(1, 2))
        total = np.where(seen, data, 0).sum(axis=(1, 2), dtype=np.float64)
        self.mean = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
        self.limits = temperature_limits([ppv])

    @property
    def mean_velocity(self) -> float:
        """Mean velocity of its emission [km/s]; NaN without any."""
        weight = np.clip(np.nan_to_num(self.mean), 0, None)
        return float((weight * self.ppv.velocity).sum() / weight.sum()) if weight.any() else np.nan

    def brightest(self) -> tuple[int, int, float]:
        """Return row and column of the pixel with the largest integral, and the velocity of its peak [km/s]."""
        integral = self.moments.integrated_intensity
        if not np.isfinite(integral).any():
            return 0, 0, float(self.ppv.velocity[len(self.ppv.velocity) // 2])
        row, column = (int(i) for i in np.unravel_index(np.nanargmax(integral), integral.shape))
        spectrum = np.nan_to_num(self.ppv.spectrum(row=row, column=column), nan=-np.inf)
        return row, column, float(self.ppv.velocity[int(np.argmax(spectrum))])

    # -- where it lies -------------------------------------------------------------------------------

    def step(self, unit: str, distance: float) -> float:
        """Return the side of a pixel in a unit of the axes; 1 if it is not known."""
        size = self.ppv.pixel_size
        if size is None:
            return 1.0
        angular = size.unit.is_equivalent(u.arcsec)
        if unit == "pc":
            return float(size.to_value(u.rad) * distance if angular else size.to_value(u.pc))
        return float(
            size.to_value(u.arcsec) if angular else np.degrees(size.to_value(u.pc) / distance) * 3600
        )

    def half(self, unit: str, distance: float) -> float:
        """Return half the longer side of the map."""
        return max(self.ppv.shape[1:]) * self.step(unit, distance) / 2

    def pixel_at(self, x: float, y: float, unit: str, distance: float) -> tuple[int, int] | None:
        """Return row and column at a place, None outside the map."""
        step = self.step(unit, distance)
        rows, columns = self.ppv.shape[1:]
        row, column = int(np.floor(y / step + rows / 2)), int(np.floor(x / step + columns / 2))
        return (row, column) if 0 <= row < rows and 0 <= column < columns else None

    def place_of(self, row: int, column: int, unit: str, distance: float) -> tuple[float, float]:
        """Return x and y of the centre of a pixel."""
        step = self.step(unit, distance)
        rows, columns = self.ppv.shape[1:]
        return (column + 0.5 - columns / 2) * step, (row + 0.5 - rows / 2) * step

    # -- what is drawn -------------------------------------------------------------------------------

    def channel_at(self, velocity: float) -> int | None:
        """Return the channel nearest to a velocity, None beyond the last."""
        number = int(np.abs(self.ppv.velocity - velocity).argmin())
        near = abs(self.ppv.velocity[number] - velocity) <= 0.75 * max(self.ppv.channel_width, 1e-6)
        return number if near else None

    def show_channel(self, velocity: float, *, step: float, limits: tuple[float, float]) -> None:
        """Draw the channel of a velocity."""
        number = self.channel_at(velocity)
        title = self.name.capitalize()
        if number is None:
            values = np.full(self.ppv.shape[1:], np.nan)
            head = f"{title}: no channel at {_signed(velocity)} km/s"
        else:
            values = np.asarray(self.ppv.data[number])
            head = f"{title}, {_signed(self.ppv.velocity[number])} km/s"
        self.channel.show(values, step=step, head=head, limits=limits)

    def show_moment(self, name: str, *, step: float, limits: tuple[float, float]) -> None:
        """Draw one of the moments."""
        self.moment.name(name)
        head = f"{self.name.capitalize()}: {MOMENTS[name].lower()}"
        self.moment.show(getattr(self.moments, name), step=step, head=head, limits=limits)

    def facts(self, pixel: tuple[int, int] | None, velocity: float) -> dict[str, Any]:
        """Return what is told of a pixel."""
        if pixel is None:
            return {"pixel": None}
        number = self.channel_at(velocity)
        values = {name: float(getattr(self.moments, name)[pixel]) for name in MOMENTS}
        channel = np.nan if number is None else float(self.ppv.data[number][pixel])
        return {
            "pixel": pixel,
            "channel": channel,
            "sky": emission_words.sky(self.ppv, *pixel),
            **values,
        }


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
