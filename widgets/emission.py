"""Figures of line emission: channel maps, spectra, integrated and centroid maps, and what happens along a ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import holoviews as hv
import numpy as np

from polaris_lab.radiative_transfer import moments
from widgets import style
from widgets.axes import bokeh_options, common_options, curve_options, map_size
from widgets.maps import sky_map

VELOCITY = hv.Dimension("velocity", label="velocity [km s⁻¹]")
TEMPERATURE = hv.Dimension("temperature", label="T [K]")


def channel_maps(
    ppv: Any,
    *,
    channels: int | None = None,
    columns: int = 4,
    clim: tuple[float, float] | None = None,
    width: int = 170,
) -> hv.Layout:
    """Draw how the emission moves through the velocities: maps of neighbouring channels, all in the same colours.

    Parameters
    ----------
    ppv : PPVCube
        Brightness temperature [K].
    channels : int, optional
        Number of maps over the channels that shine, each a mean of neighbouring channels; 12 by default, fewer
        where there are fewer channels.
    columns : int
        Maps in a row.
    clim : tuple of float, optional
        Colour limits [K]; by default from 0 (or the 0.5 % quantile, if that is lower) to the 99.8 % quantile.
    width : int
        Width of each map on the screen [px].

    Returns
    -------
    Layout
        The maps in the order of velocity (the head of each, in km/s), with one scale at the end of each row.

    Raises
    ------
    ValueError
        If `channels` or `columns` is not positive.

    Examples
    --------
    >>> from polaris_lab.radiative_transfer import PPVCube
    >>> grid = channel_maps(PPVCube(np.ones((8, 4, 4)), np.arange(8.0)), channels=4)
    >>> [image.label for image in grid]
    ['0.5 km s⁻¹', '2.5 km s⁻¹', '4.5 km s⁻¹', '6.5 km s⁻¹']
    """
    count = 12 if channels is None else channels
    for name, number in (("channels", count), ("columns", columns)):
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
            raise ValueError(f"{name}: expected a whole number from 1 up, got {number!r}")
    velocity, maps = moments.channel_maps(ppv, channels=int(count))
    low, high = _temperature_limits(maps) if clim is None else clim
    digits = _digits(velocity)
    images = []
    for number, (centre, values) in enumerate(zip(velocity, maps, strict=True)):
        ends_row = number % columns == columns - 1 or number == len(maps) - 1
        bottom = number + columns >= len(maps)
        images.append(
            _panel(
                ppv,
                values,
                label=f"{_signed(centre, digits)} km s⁻¹",
                clim=(low, high),
                width=width,
                bare={"left": number % columns > 0, "bottom": not bottom, "scale": not ends_row},
            )
        )
    opts = bokeh_options()
    return hv.Layout(images).cols(columns).opts(opts.Layout(backend="bokeh", toolbar=None, merge_tools=False))


def _panel(
    ppv: Any,
    values: np.ndarray,
    *,
    label: str,
    clim: tuple[float, float],
    width: int,
    bare: Mapping[str, bool],
) -> hv.Image:
    """Draw one channel; what stands beside a neighbour needs no axis and no scale of its own."""
    step, unit = _pixel(ppv)
    rows, columns = values.shape
    frame = map_size(rows, columns, width)
    image = hv.Image(
        ((np.arange(columns) + 0.5) * step, (np.arange(rows) + 0.5) * step, values.astype(np.float32)),
        [hv.Dimension(name, label=f"{name} [{unit}]") for name in ("x", "y")],
        hv.Dimension("temperature", label="T [K]", range=clim),
        label=label,
    )
    options = common_options(*frame, label)
    options["fontsize"] = options["fontsize"] | {"title": "10pt"}
    shown = style.quantity("brightness_temperature")
    return image.opts(
        bokeh_options().Image(
            backend="bokeh",
            **options,
            cmap=shown.colours,
            clim=clim,
            data_aspect=1,
            clipping_colors={"NaN": style.MISSING},
            xaxis=None if bare["bottom"] else "bottom",
            yaxis=None if bare["left"] else "left",
            colorbar=not bare["scale"],
            colorbar_position="right",
            colorbar_opts={"title": shown.label, "title_standoff": 8, "width": 10},
            tools=["hover"],
            hover_tooltips=[(shown.label, "@image{0.[000]}")],
        )
    )


def spectrum(
    ppv: Any,
    *,
    y: int,
    x: int,
    label: str = "",
    title: str | None = None,
    width: int = 420,
    height: int = 260,
) -> hv.Overlay:
    """Draw the spectrum of one pixel as a step line: brightness temperature against velocity.

    Parameters
    ----------
    ppv : PPVCube
        Brightness temperature [K].
    y, x : int
        Row and column of the pixel.
    label : str
        Name in a legend, for spectra that are laid over each other with ``*``.
    title, width, height
        Head and frame [px].

    Raises
    ------
    IndexError
        If the pixel lies outside the cube.
    """
    values = np.asarray(ppv.spectrum(row=y, column=x), dtype=np.float64)
    opts = bokeh_options()
    line = hv.Curve((ppv.velocity, values), VELOCITY, TEMPERATURE, label=label).opts(
        opts.Curve(
            backend="bokeh",
            interpolation="steps-mid",
            color=hv.Cycle(list(style.SERIES)),
            line_width=1.5,
            tools=["hover"],
        )
    )
    zero = hv.HLine(0.0).opts(opts.HLine(backend="bokeh", color=style.NEUTRAL, line_width=1))
    name = f"{ppv.line.name} " if ppv.line else ""
    return (zero * line).opts(
        curve_options(
            title or f"{name}spectrum of pixel y = {y}, x = {x}",
            width,
            height,
            xlabel=VELOCITY.label,
            ylabel=TEMPERATURE.label,
            show_legend=bool(label),
        )
    )


def integrated_map(
    ppv: Any, *, mask: Any = None, velocity_range: Any = None, title: str | None = None, **choices: Any
) -> hv.Image:
    """Draw the intensity integrated over velocity, W [K km/s].

    Parameters
    ----------
    ppv : PPVCube
        Brightness temperature [K].
    mask, velocity_range
        What counts: see :func:`polaris_lab.radiative_transfer.moments.moments`.
    title, choices
        As in :func:`widgets.maps.sky_map`; `log` is off unless it is asked for.
    """
    values = moments.integrated_intensity(ppv, mask=mask, velocity_range=velocity_range)
    head = title or (f"Integrated intensity, {ppv.line.name}" if ppv.line else "Integrated intensity")
    return _map(ppv, values, label="integrated_intensity", title=head, **choices)


def centroid_map(
    ppv: Any, *, mask: Any = None, velocity_range: Any = None, title: str | None = None, **choices: Any
) -> hv.Image:
    """Draw the mean velocity of the emission [km/s], blue where it comes nearer and red where it recedes.

    Colours are symmetric about the mean over the map. Noise moves a centroid to the middle of the channels:
    give a mask for noisy cubes. Arguments as in :func:`integrated_map`.
    """
    values = moments.centroid_velocity(ppv, mask=mask, velocity_range=velocity_range)
    valid = values[np.isfinite(values)]
    if "clim" not in choices and valid.size:
        middle = float(np.mean(valid))
        reach = max(float(np.quantile(np.abs(valid - middle), 0.99)), 1e-6)
        choices["clim"] = (middle - reach, middle + reach)
    return _map(ppv, values, label="centroid_velocity", title=title, **choices)


def _map(ppv: Any, values: np.ndarray, **choices: Any) -> hv.Image:
    step, unit = _pixel(ppv)
    choices.setdefault("pixel_size_pc", step if unit == "pc" else None)
    choices.setdefault("log", False)
    return sky_map(values, **choices)


def line_of_sight(
    depth: Any, density: Any, velocity: Any, *, title: str = "Along the line of sight", width: int = 420
) -> hv.Layout:
    """Draw density and velocity of the cells that one ray crosses (report, figure 38).

    Parameters
    ----------
    depth : array_like, shape (cells,)
        Distance from the face that is turned to the observer [pc].
    density : array_like, shape (cells,)
        n_H [cm^-3].
    velocity : array_like, shape (cells,)
        Along the line of sight, positive recedes [km/s].
    title, width
        Head and width of the frames [px].
    """
    opts = bokeh_options()
    place = hv.Dimension("depth", label="depth from the observer's side [pc]")
    shown = style.quantity("density")
    rows = (
        (density, hv.Dimension("density", label=shown.label), style.BLUE, True, title),
        (velocity, hv.Dimension("motion", label="v [km s⁻¹]"), style.VERMILION, False, ""),
    )
    curves = [
        hv.Curve((np.asarray(depth), np.asarray(values)), place, dimension).opts(
            opts.Curve(
                backend="bokeh",
                **common_options(width, 150, head),
                interpolation="steps-mid",
                color=colour,
                line_width=1.5,
                logy=log,
                show_grid=True,
                tools=["hover"],
            )
        )
        for values, dimension, colour, log, head in rows
    ]
    return hv.Layout(curves).cols(1).opts(opts.Layout(backend="bokeh", toolbar=None, merge_tools=False))


def ray_tracing(
    depth: Any,
    temperatures: Mapping[str, Sequence[float]],
    *,
    title: str = "A ray on its way to the observer",
    width: int = 420,
    height: int = 260,
) -> hv.Overlay:
    """Draw how the brightness of a ray grows and is absorbed, cell by cell (report, figure 39).

    Parameters
    ----------
    depth : array_like, shape (cells,)
        Distance from the face that is turned to the observer [pc]: the ray runs from right to left.
    temperatures : mapping of name to array_like, shape (cells,)
        Brightness temperature [K] as it leaves each cell towards the observer, for one velocity or line each.
    title, width, height
        Head and frame [px].

    Raises
    ------
    ValueError
        If a series has another length than `depth`.
    """
    opts = bokeh_options()
    depth = np.asarray(depth, dtype=np.float64)
    place = hv.Dimension("depth", label="depth from the observer's side [pc]")
    curves = []
    for number, (name, values) in enumerate(temperatures.items()):
        if np.shape(values) != depth.shape:
            raise ValueError(
                f"temperatures: expected {depth.shape[0]} values for {name!r}, one a cell, got shape {np.shape(values)}"
            )
        curves.append(
            hv.Curve((depth, np.asarray(values)), place, TEMPERATURE, label=name).opts(
                opts.Curve(
                    backend="bokeh",
                    interpolation="steps-mid",
                    color=style.SERIES[number % len(style.SERIES)],
                    line_dash=style.DASHES[number % len(style.DASHES)],
                    line_width=2,
                    tools=["hover"],
                )
            )
        )
    return hv.Overlay(curves).opts(
        curve_options(title, width, height, xlabel=place.label, ylabel="T towards the observer [K]")
    )


def _pixel(ppv: Any) -> tuple[float, str]:
    """Return the side of a pixel and its unit: pc in a simulation, else pixels."""
    size = ppv.pixel_size
    if size is None or not size.unit.is_equivalent("pc"):
        return 1.0, "px"
    return float(size.to_value("pc")), "pc"


def _temperature_limits(maps: np.ndarray) -> tuple[float, float]:
    valid = maps[np.isfinite(maps)]
    if not valid.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.quantile(valid, [0.005, 0.998]))
    low = min(0.0, low)
    return (low, high) if high - low > 1e-12 else (low, low + 1.0)


def _digits(velocity: np.ndarray) -> int:
    """Return the digits behind the point that tell the maps apart."""
    step = float(np.diff(velocity).min()) if len(velocity) > 1 else 0.1
    return int(np.clip(np.ceil(-np.log10(step)) + (step < 1), 1, 4))


def _signed(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", "−")
