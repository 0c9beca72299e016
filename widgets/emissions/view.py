"""All figures of the emission explorer, and what of the two cubes they show."""

from __future__ import annotations

from typing import Any

import numpy as np

from polaris_lab.radiative_transfer import moments
from widgets.emissions.lines import RayFigures, SpectrumFigure, ray_of
from widgets.emissions.maps import ChannelStrip, moment_limits
from widgets.emissions.side import Side


def rounded(value: float) -> float:
    """Return a place with four digits, as a field shows it."""
    return float(f"{value:.4g}")


_STRIP = "Twelve channel maps of the synthetic cube: tap one to choose its velocity"


class EmissionView:
    """The figures, drawn from the explorer's choices.

    Parameters
    ----------
    explorer : EmissionExplorer
        Its velocity, cursor, unit, distance, moment and colours are looked at; taps move its cursor and velocity.

    Attributes
    ----------
    sides : dict of Side
        "synthetic" and "observed".
    figures : dict of bokeh.plotting.figure
    """

    def __init__(self, explorer: Any):
        from bokeh.models import Range1d

        self._explorer = explorer
        self.ranges = Range1d(-1, 1), Range1d(-1, 1)
        self.sides = {name: Side(name, self.ranges, explorer.look_at) for name in ("synthetic", "observed")}
        self.strip = ChannelStrip(explorer.tune)
        self.spectrum = SpectrumFigure(explorer.tune)
        self.rays = RayFigures()
        self._source: tuple[Any, Any, float] | None = None
        self._ray: tuple[Any, Any] = (None, None)
        synthetic, observed = self.sides.values()
        self.figures = {
            "channel": synthetic.channel.figure,
            "moment": synthetic.moment.figure,
            "observed channel": observed.channel.figure,
            "observed moment": observed.moment.figure,
            "strip": self.strip.figure,
            "spectrum": self.spectrum.figure,
            **{f"ray {number}": figure for number, figure in enumerate(self.rays.figures)},
        }

    @property
    def drawn(self) -> list[Side]:
        """The sides that hold a cube."""
        return [side for side in self.sides.values() if side.ppv is not None]

    @property
    def half(self) -> float:
        """Half the side of the larger map, in the unit of the axes."""
        chosen = self._explorer
        return max(side.half(chosen.unit, chosen.distance) for side in self.drawn)

    @property
    def velocities(self) -> tuple[float, float]:
        """First and last channel of both cubes [km/s]."""
        low = min(float(side.ppv.velocity[0]) for side in self.drawn)
        high = max(float(side.ppv.velocity[-1]) for side in self.drawn)
        return low, high if high > low else low + 1.0

    def follow(self, gas: Any, base: Any, abundance: float) -> None:
        """Take the gas whose rays are drawn, and the line cube as it left it; None for no gas."""
        self._source, self._ray = (None if gas is None else (gas, base, abundance)), (None, None)

    def place(self) -> None:
        """Let the axes reach over both cubes, and name their unit."""
        half = self.half
        for axis in self.ranges:
            axis.update(start=-half, end=half, reset_start=-half, reset_end=half)
        for side in self.drawn:
            unit = self._explorer.unit if side.ppv.pixel_size is not None else "px"
            side.channel.label(unit)
            side.moment.label(unit)
        self.spectrum.reach(*self.velocities)

    def settled(self) -> dict[str, float]:
        """Return the velocity and the cursor as they stand, or the brightest ones where none lies in the cubes."""
        chosen, first, (low, high) = self._explorer, self.drawn[0], self.velocities
        row, column, velocity = first.brightest()
        x, y = (rounded(value) for value in first.place_of(row, column, chosen.unit, chosen.distance))
        inside = None not in (chosen.x, chosen.y) and max(abs(chosen.x), abs(chosen.y)) <= self.half
        heard = chosen.velocity is not None and low <= chosen.velocity <= high
        return {
            "velocity": chosen.velocity if heard else round(velocity, 4),
            "x": chosen.x if inside else x,
            "y": chosen.y if inside else y,
        }

    def converted(self) -> dict[str, float]:
        """Return the cursor in the unit that the axes have turned to."""
        chosen = self._explorer
        factor = np.degrees(1 / chosen.distance) * 3600
        factor = factor if chosen.unit == "arcsec" else 1 / factor
        return {"x": rounded(chosen.x * factor), "y": rounded(chosen.y * factor)}

    def pixel(self, name: str) -> tuple[int, int] | None:
        """Return row and column of the cursor in one of the cubes, None outside it."""
        chosen, side = self._explorer, self.sides[name]
        if side.ppv is None or chosen.x is None or chosen.y is None:
            return None
        return side.pixel_at(chosen.x, chosen.y, chosen.unit, chosen.distance)

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return what is told of the cursor, by cube."""
        velocity = self._explorer.velocity
        return {side.name: side.facts(self.pixel(side.name), velocity) for side in self.drawn}

    def match(self) -> dict[str, float]:
        """Return noise [K], beam [arcsec] and mean velocity [km/s] with which the synthetic cube is like the observed.

        Raises
        ------
        ValueError
            If there are not two cubes.
        """
        chosen, (own, other) = self._explorer, self.sides.values()
        if own.ppv is None or other.ppv is None:
            raise ValueError(
                "observed: expected an observed cube to match, got none; choose its file on the left"
            )
        beam = (other.ppv.header or {}).get("BMAJ")
        shift = other.mean_velocity - own.mean_velocity
        return {
            "noise": round(float(np.nanmedian(moments.noise_map(other.ppv))), 3),
            "beam": round(3600 * float(beam), 1) if beam else chosen.beam,
            "systemic": round(chosen.systemic + shift, 2) if np.isfinite(shift) else chosen.systemic,
        }

    def show(self) -> None:
        """Draw everything."""
        if self.sides["synthetic"].ppv is not None:
            self.strip.show(self.sides["synthetic"].ppv, _STRIP)
        self.show_moments()
        self.show_channel()
        self.show_cursor()

    def show_channel(self) -> None:
        """Draw the channel of the velocity, on both sides."""
        chosen, drawn = self._explorer, self.drawn
        common = None
        if chosen.same_colours and drawn:
            common = min(side.limits[0] for side in drawn), max(side.limits[1] for side in drawn)
        for side in drawn:
            step = side.step(chosen.unit, chosen.distance)
            side.show_channel(chosen.velocity, step=step, limits=common or side.limits)
        if drawn:
            self.spectrum.mark(chosen.velocity)
            self.strip.mark(chosen.velocity)
        self._show_ray()

    def show_moments(self) -> None:
        """Draw the map over all velocities, on both sides."""
        chosen, drawn = self._explorer, self.drawn
        maps = [getattr(side.moments, chosen.moment) for side in drawn]
        for side, values in zip(drawn, maps, strict=True):
            limits = moment_limits(chosen.moment, maps if chosen.same_colours else [values])
            step = side.step(chosen.unit, chosen.distance)
            side.show_moment(chosen.moment, step=step, limits=limits)

    def show_cursor(self) -> None:
        """Draw the spectra and the ray at the cursor."""
        for name, side in self.sides.items():
            if side.ppv is None:
                self.spectrum.show(name, "cursor", (), None)
                self.spectrum.show(name, "mean", (), None)
                continue
            pixel = self.pixel(name)
            spectrum = None if pixel is None else side.ppv.spectrum(row=pixel[0], column=pixel[1])
            self.spectrum.show(name, "cursor", side.ppv.velocity, spectrum)
            self.spectrum.show(name, "mean", side.ppv.velocity, side.mean)
            for shown in (side.channel, side.moment):
                shown.mark(self._explorer.x, self._explorer.y)
        self._show_ray()

    def _show_ray(self) -> None:
        """Draw gas and light along the line of sight of the cursor, where there is gas."""
        pixel = self.pixel("synthetic")
        if self._source is None or pixel is None:
            self.rays.show(None, (), 0.0)
            return
        gas, base, abundance = self._source
        if self._ray[0] != pixel:
            try:
                ray = ray_of(gas, base, row=pixel[0], column=pixel[1], abundance=abundance)
            except (OSError, ValueError, KeyError):  # its file is gone; the line cube is still there
                ray = None
            self._ray = pixel, ray
        self.rays.show(self._ray[1], base.velocity, self._explorer.velocity - self._explorer.systemic)
