"""Curves of the emission explorer: spectra at the cursor, and the gas and the light along its line of sight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u

from polaris_lab import SimulationCube, synthesize_ppv
from widgets import style
from widgets.axes import ticks_of_scale
from widgets.candidate_figures import finish_figure, new_figure

SIDES = {"synthetic": style.BLUE, "observed": style.VERMILION}
"""Colours of the two cubes."""

_GAS = "Gas along the line of sight"

EMPTY = 1e-20
"""Density of gas that is taken away [cm^-3]: a cube may hold no zero."""


class SpectrumFigure:
    """Spectra of two cubes at the cursor and their means over the map; a tap chooses the velocity."""

    def __init__(self, on_tap: Callable[[float], None]):
        from bokeh.events import Tap
        from bokeh.models import ColumnDataSource, Range1d, Span

        self.figure = new_figure(
            "Spectrum at the cursor", "velocity [km s⁻¹]", "T [K]", x_range=Range1d(-5, 5)
        )
        self.figure.update(height=320)
        self._sources = {}
        for side, colour in SIDES.items():
            for what, dash, width in (("cursor", "solid", 2), ("mean", "dashed", 1.5)):
                source = ColumnDataSource({"v": [], "t": []})
                words = f"{side}: {what if what == 'cursor' else 'map mean'}"
                if side == "observed":
                    dash = "dotdash" if what == "mean" else dash
                self.figure.step(
                    "v", "t", source=source, mode="center", line_color=colour, line_dash=dash, line_width=width,
                    legend_label=words,
                )  # fmt: skip
                self._sources[side, what] = source
        self._now = Span(dimension="height", line_color=style.NEUTRAL, line_dash="dotted", line_width=2)
        self.figure.add_layout(self._now)
        finish_figure(self.figure)
        self.figure.legend.ncols = 2
        self.figure.on_event(Tap, lambda event: on_tap(event.x))
        self._items = {item.label.value: item for item in self.figure.legend[0].items}

    def show(self, side: str, what: str, velocity: Any, temperature: Any) -> None:
        """Draw a spectrum ("cursor" or "mean"); None takes it away."""
        shown = temperature is not None
        self._sources[side, what].data = {
            "v": np.asarray(velocity, float) if shown else np.empty(0),
            "t": np.asarray(temperature, float) if shown else np.empty(0),
        }
        words = f"{side}: {what if what == 'cursor' else 'map mean'}"
        self._items[words].visible = shown

    def reach(self, low: float, high: float) -> None:
        """Show these velocities."""
        self.figure.x_range.update(start=low, end=high, reset_start=low, reset_end=high)

    def mark(self, velocity: float) -> None:
        """Move the line that tells the channel."""
        self._now.location = velocity

    def curve(self, side: str, what: str = "cursor") -> tuple[np.ndarray, np.ndarray]:
        """Return velocity [km/s] and temperature [K] as drawn."""
        data = self._sources[side, what].data
        return data["v"], data["t"]


class Ray(NamedTuple):
    """Gas and light along one line of sight, from the observer's side."""

    depth: np.ndarray
    """[pc]"""
    density: np.ndarray
    """[cm^-3]"""
    velocity: np.ndarray
    """[km/s]"""
    light: np.ndarray
    """Brightness temperature as it leaves each cell towards the observer [K], shape (cells, channels)."""


def ray_of(gas: Any, ppv: Any, *, row: int, column: int, abundance: float) -> Ray:
    """Follow the light along one line of sight (report, eq. 9 and figures 38 and 39).

    Each cell's light is that of the cloud with everything in front of the cell taken away: one ray for each.

    Parameters
    ----------
    gas : SimulationCube
    ppv : PPVCube
        Made of it: its line, axis and channels are used.
    row, column : int
        Pixel.
    abundance : float

    Examples
    --------
    >>> import polaris_lab as lab
    >>> still = np.zeros((4, 2, 2))
    >>> gas = SimulationCube(
    ...     still + 1e3, cell_size=0.1 * u.pc, temperature=still + 10, velocity={"z": still}
    ... )
    >>> velocity = np.linspace(-1, 1, 21) * u.km / u.s
    >>> line, how = lab.Line.named("13CO"), {"abundance": 1.4e-6, "channel": "average"}
    >>> ppv = lab.synthesize_ppv(gas, line, velocity=velocity, **how)
    >>> ray = ray_of(gas, ppv, row=0, column=1, abundance=1.4e-6)
    >>> bool(np.allclose(ray.light[0], ppv.spectrum(row=0, column=1), rtol=1e-4))
    True
    """
    axis = ppv.axis
    place = {"z": np.s_[:, row, column], "y": np.s_[row, :, column], "x": np.s_[row, column, :]}[axis]
    n, t, v = (
        np.asarray(field[place], dtype=np.float32)
        for field in (gas.density, gas.temperature, gas.velocity_along(axis))
    )
    cells = len(n)
    behind = np.arange(cells)[:, None] >= np.arange(cells)  # (depth, first cell that is left)
    along = [np.repeat(field[:, None], cells, axis=1)[:, None] for field in (n, t, v)]  # (depth, 1, cells)
    cut = SimulationCube(
        np.where(behind[:, None], along[0], np.float32(EMPTY)),
        cell_size=gas.cell_size,
        temperature=along[1],
        velocity={"z": along[2]},
    )
    light = synthesize_ppv(
        cut,
        ppv.line,
        abundance=abundance,
        velocity=ppv.velocity * u.km / u.s,
        channel="average",
        progress=False,
    )
    depth = (np.arange(cells) + 0.5) * gas.cell_size_pc
    return Ray(depth, n, v, np.asarray(light.data)[:, 0].T)


class RayFigures:
    """Density, velocity and the brightness of the light along the line of sight of the cursor."""

    def __init__(self):
        from bokeh.models import ColumnDataSource, Range1d, Span

        self._source = ColumnDataSource({"depth": [], "density": [], "velocity": [], "light": []})
        across = Range1d(0, 1)
        place = "depth from the observer's side [pc]"
        rows = (
            ("density", _GAS, style.QUANTITIES["density"].label, style.BLUE, "log"),
            ("velocity", "Its velocity (dotted: the channel)", "v [km s⁻¹]", style.VERMILION, "linear"),
            ("light", "Brightness gathered towards the observer", "T [K]", style.GREEN, "linear"),
        )
        self.figures = []
        for name, title, label, colour, scale in rows:
            figure = new_figure(title, place, label, x_range=across, y_axis_type=scale)
            if scale == "log":
                figure.y_range = Range1d(1, 10)
            figure.update(height=230)
            figure.step("depth", name, source=self._source, mode="center", line_color=colour, line_width=2)
            self.figures.append(figure)
        self._now = Span(dimension="width", line_color=style.NEUTRAL, line_dash="dotted", line_width=2)
        self.figures[1].add_layout(self._now)

    def show(self, ray: Ray | None, velocities: Any, velocity: float) -> None:
        """Draw a ray with the light of the channel nearest to a velocity; None takes it away."""
        if ray is None:
            self._source.data = dict.fromkeys(self._source.data, np.empty(0))
            self.figures[0].title.text = "No gas to be read here"
            return
        self.figures[0].title.text = _GAS
        low, high = float(ray.density.min()), float(ray.density.max())
        self.figures[0].y_range.update(start=low / 1.3, end=high * 1.3)
        self.figures[0].yaxis[0].update(**ticks_of_scale(low / 1.3, high * 1.3, log=True, width=330))
        channel = int(np.abs(np.asarray(velocities) - velocity).argmin())
        end = float(ray.depth[-1] + ray.depth[0])
        self.figures[0].x_range.update(start=0, end=end, reset_start=0, reset_end=end)
        self._now.location = velocity
        self._source.data = {
            "depth": ray.depth,
            "density": ray.density,
            "velocity": ray.velocity,
            "light": ray.light[:, channel],
        }

    @property
    def drawn(self) -> Mapping[str, np.ndarray]:
        """What is drawn."""
        return self._source.data
