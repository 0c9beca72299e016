"""What the browser's textures hold: colours and opacities of a volume, and the gas that emits a line."""

from __future__ import annotations

from typing import Any

import numpy as np

from polaris_lab.radiative_transfer.emissivity import LineFields
from widgets.volume.data import VolumeData

COLOURS = ("viridis", "cividis", "magma", "inferno", "gray")
"""Scales that people with any common colour vision can read."""

OPACITY = "0:0, 0.35:0.01, 0.7:0.15, 1:1"
"""Control points to begin with."""

DENSITY = 70.0
"""Optical depth of opacity 1 per side of the box, to begin with."""

EMPTY = 0.25
"""The lowest part of a logarithmic scale is mostly emptiness: the window begins above it."""

HALF_LARGEST = 1000.0
"""Opacities are scaled to this in 16 bits, which keeps eight decades below it."""


def palette(name: str) -> np.ndarray:
    """Return a scale of 256 colours, shape (256, 3) uint8.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    from bokeh import palettes

    if name not in COLOURS:
        raise ValueError(f"colours: expected one of {', '.join(COLOURS)}, got {name!r}")
    colours = palettes.grey(256) if name == "gray" else getattr(palettes, f"{name.capitalize()}256")
    return np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours], np.uint8)


def parse_points(text: str) -> tuple[tuple[float, float], ...]:
    """Return the control points of an opacity: positions on the window from 0 to 1 and opacities, in order.

    Parameters
    ----------
    text : str
        Such as ``"0:0, 0.5:0.1, 1:0.9"``.

    Raises
    ------
    ValueError
        If there are fewer than two points or more than twelve, or a number lies outside 0 .. 1.

    Examples
    --------
    >>> parse_points("1:0.9, 0:0")
    ((0.0, 0.0), (1.0, 0.9))
    """
    try:
        pairs = [tuple(float(number) for number in part.split(":")) for part in text.split(",")]
        good = all(len(pair) == 2 and all(0 <= number <= 1 for number in pair) for pair in pairs)
    except ValueError:
        pairs, good = [], False
    if not good or not 2 <= len(pairs) <= 12:
        raise ValueError(
            f'opacity: expected 2 to 12 pairs "position:opacity" of numbers from 0 to 1, such as "0:0, 0.5:0.1, 1:0.9", '
            f"got {text!r}"
        )
    return tuple(sorted(pairs))


def write_points(points: Any) -> str:
    """Write control points as :func:`parse_points` reads them.

    Examples
    --------
    >>> write_points([(0, 0), (0.5, 0.125)])
    '0:0, 0.5:0.125'
    """
    return ", ".join(f"{round(float(x), 3):g}:{round(float(y), 3):g}" for x, y in sorted(points))


def colour_table(colours: str, window: tuple[float, float], points: Any) -> np.ndarray:
    """Return the table of colours and opacities.

    Parameters
    ----------
    colours : str
        One of :data:`COLOURS`.
    window : (float, float)
        The part of the scale that the colours span, from 0 to 1. Below it nothing is opaque.
    points : sequence of (float, float)
        Opacity within the window.

    Returns
    -------
    ndarray, shape (2, 256, 4), uint8
        Row 0 by the value on its scale, black below the window; row 1 the colours alone.
    """
    low, high = window
    shades = palette(colours)
    at = (np.arange(256) / 255 - low) / max(high - low, 1e-6)
    inside = np.clip(at, 0, 1)
    table = np.empty((2, 256, 4), np.uint8)
    table[0, :, :3] = shades[np.round(255 * inside).astype(int)]
    x, y = np.array(points, float).T
    table[0, :, 3] = np.round(255 * np.interp(inside, x, y))
    table[0, at < -1e-9] = 0
    table[1, :, :3], table[1, :, 3] = shades, 255
    return table


def stack(velocity: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Return v_z, v_y, v_x and opacity of each cell as float16, shape (depth, rows, columns, 4)."""
    return np.stack([*velocity, opacity], axis=-1).astype(np.float16)


def gas_of(
    fields: LineFields, data: VolumeData, *, dispersion: float, channel: float
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Return what a scene needs to emit a line: gas, temperature, and the numbers of the line.

    Parameters
    ----------
    fields : LineFields
        Of the cloud, reduced or not.
    data : VolumeData
        The cloud; its cells give the length for which the opacity holds.
    dispersion : float
        Unresolved motion sigma [km/s].
    channel : float
        Velocity that is looked at [km/s]; positive recedes.
    """
    scale = HALF_LARGEST / max(float(fields.opacity.max()), 1e-30)
    return (
        stack(fields.velocity, fields.opacity * np.float32(scale)),
        fields.temperature.astype(np.float16),
        line_numbers(fields, data, dispersion=dispersion, channel=channel, scale=scale),
    )


def line_numbers(
    fields: LineFields, data: VolumeData, *, dispersion: float, channel: float, scale: float
) -> dict[str, float]:
    """Return the numbers of :attr:`widgets.volume.projector.Scene.line`; opacities are `scale` times too large in the texture."""
    return {
        "channel": float(channel),
        "thermal": fields.thermal,
        "broad": 2 * dispersion**2,
        "peak": max(fields.brightest, 1e-6),
        "transition": fields.transition_temperature,
        "behind": fields.background,
        "cell": scale / max(data.shape),
        "thin_step": 1.0,
    }
