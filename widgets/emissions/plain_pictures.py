"""Pictures of a line cube as SVG, without a plotting library: small, sharp, and in the colours of the page around them."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np

from widgets import style
from widgets.axes import block_mean

MAP, GAP, PLOT, TOP, BOTTOM, LEFT = 260, 78, 330, 26, 44, 58
"""Sizes [px]: side of the map, room between map and spectrum, width of the spectrum, margins."""

BAR = 52
"""Room for the scale of the colours [px]."""

MOST_PIXELS = 128
"""Longest side of a map."""


def png(values: np.ndarray, limits: tuple[float, float], colours: str = "magma") -> bytes:
    """Return a map as a picture with 255 colours and grey for NaN; the first row lies at the bottom.

    Examples
    --------
    >>> png(np.array([[0.0, np.nan]]), (0.0, 1.0))[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'
    """
    from holoviews.plotting.util import process_cmap

    low, high = limits
    scaled = np.clip((np.nan_to_num(values) - low) / (high - low), 0, 1) * 254
    index = np.where(np.isfinite(values), np.rint(scaled), 255).astype(np.uint8)[::-1]
    names = [*process_cmap(colours, 255), style.MISSING]
    rows, columns = index.shape
    raw = np.concatenate([np.zeros((rows, 1), np.uint8), index], axis=1).tobytes()  # filter 0 before each row

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    palette = bytes.fromhex("".join(name.lstrip("#") for name in names))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(kind, data)
        for kind, data in (
            (b"IHDR", head),
            (b"PLTE", palette),
            (b"IDAT", zlib.compress(raw, 9)),
            (b"IEND", b""),
        )
    )


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers between two limits.

    Examples
    --------
    >>> ticks(-3.2, 3.2)
    [-2.0, 0.0, 2.0]
    >>> ticks(0.0, 9.0)
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    step = 10.0 ** np.floor(np.log10((high - low) / most))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= most)
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return [float(f"{number * step:.10g}") for number in range(first, last + 1)]


def picture(
    image: np.ndarray,
    *,
    limits: tuple[float, float],
    quantity: str,
    side: float,
    unit: str,
    head: str,
    spectrum: tuple[np.ndarray, np.ndarray],
    spectrum_head: str,
    reach: tuple[float, float],
    velocity: float | None = None,
    mark: tuple[float, float] | None = None,
) -> str:
    """Return a map and a spectrum beside each other.

    Parameters
    ----------
    image : ndarray, shape (y, x)
    limits : (float, float)
        Of the colours.
    quantity : str
        Name in :data:`widgets.style.QUANTITIES`.
    side : float
        Of a pixel, in `unit`.
    head, spectrum_head : str
    spectrum : (ndarray, ndarray)
        Velocity [km/s] and temperature [K].
    reach : (float, float)
        Limits of the temperature axis [K].
    velocity : float, optional
        Where a line is drawn across the spectrum [km/s].
    mark : (float, float), optional
        x and y of a cross, in `unit`.
    """
    small, factor = block_mean(image, MOST_PIXELS)
    rows, columns = image.shape
    scale = MAP / (max(rows, columns) * side)
    width, height = (scale * side * factor * n for n in small.shape[::-1])
    look = style.QUANTITIES[quantity]
    data = base64.b64encode(png(small, limits, look.colours)).decode()
    half = (columns * side / 2, rows * side / 2)
    bottom = TOP + scale * rows * side
    parts = [
        f'<image x="{LEFT}" y="{bottom - height:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'preserveAspectRatio="none" style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>',
        _axis(LEFT, bottom, scale * columns * side, (-half[0], half[0]), f"x offset [{unit}]", across=True),
        _axis(LEFT, bottom, scale * rows * side, (-half[1], half[1]), f"y offset [{unit}]", across=False),
        _text(LEFT, TOP - 9, head, weight="bold"),
    ]
    parts += _colours(look, limits)
    if mark is not None:
        x, y = LEFT + (mark[0] + half[0]) * scale, bottom - (mark[1] + half[1]) * scale
        cross = f"M{x - 9:.1f} {y:.1f}h18M{x:.1f} {y - 9:.1f}v18"
        parts += [
            f'<path d="{cross}" stroke="{colour}" stroke-width="{w}"/>'
            for colour, w in (("#000", 5), ("#fff", 2))
        ]
    parts += _spectrum(spectrum, spectrum_head, reach, velocity)
    total = LEFT + MAP + GAP + PLOT + 12
    words = f"{head}; {spectrum_head}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {TOP + MAP + BOTTOM + BAR}" role="img" '
        f'aria-label="{words}" font-family="sans-serif" font-size="13" style="width:100%;max-width:{total}px" '
        f'fill="currentColor">{"".join(parts)}</svg>'
    )


def _colours(look: style.Quantity, limits: tuple[float, float]) -> list[str]:
    """Return the scale of the colours, with ticks and the name of what they mean."""
    top = TOP + MAP + BOTTOM + 2
    data = base64.b64encode(png(np.linspace(0, 1, 255)[None], (0.0, 1.0), look.colours)).decode()
    bar = (
        f'<image x="{LEFT}" y="{top}" width="{MAP}" height="10" preserveAspectRatio="none" '
        f'href="data:image/png;base64,{data}"/>'
    )
    return [bar, _axis(LEFT, top + 10, MAP, limits, look.label, across=True)]


def _spectrum(curve: Any, head: str, reach: tuple[float, float], velocity: float | None) -> list[str]:
    v, t = (np.asarray(values, dtype=np.float64) for values in curve)
    x0, y0 = LEFT + MAP + GAP, TOP + MAP
    low, high = (float(v[0]), float(v[-1])) if len(v) > 1 else (float(v[0]) - 1, float(v[0]) + 1)

    def place(speed: float, kelvin: float) -> str:
        x = x0 + PLOT * (speed - low) / (high - low)
        return f"{x:.1f} {y0 - MAP * (kelvin - reach[0]) / (reach[1] - reach[0]):.1f}"

    good = np.isfinite(t)
    points = " L".join(
        place(speed, min(kelvin, reach[1])) for speed, kelvin in zip(v[good], t[good], strict=True)
    )
    parts = [
        f'<path d="M{points}" fill="none" stroke="{style.BLUE}" stroke-width="2"/>' if points else "",
        _axis(x0, y0, PLOT, (low, high), "velocity [km s⁻¹]", across=True),
        _axis(x0, y0, MAP, reach, "T [K]", across=False),
        _text(x0, TOP - 9, head, weight="bold"),
    ]
    if velocity is not None and low <= velocity <= high:
        x = place(velocity, reach[0]).split()[0]
        parts.append(
            f'<path d="M{x} {y0}V{TOP}" stroke="{style.VERMILION}" stroke-width="2" stroke-dasharray="5 3"/>'
        )
    return parts


def _axis(x: float, y: float, length: float, limits: tuple[float, float], label: str, *, across: bool) -> str:
    """Return a line with ticks and words below it, or at its left."""
    low, high = limits
    end = f"h{length:.1f}" if across else f"v{-length:.1f}"
    parts = [f'<path d="M{x} {y:.1f}{end}" stroke="currentColor" fill="none"/>']
    for value in ticks(low, high):
        at = length * (value - low) / (high - low)
        words = f"{value:g}".replace("-", "−")
        if across:
            parts.append(f'<path d="M{x + at:.1f} {y:.1f}v4" stroke="currentColor"/>')
            parts.append(_text(x + at, y + 18, words, anchor="middle"))
        else:
            parts.append(f'<path d="M{x} {y - at:.1f}h-4" stroke="currentColor"/>')
            parts.append(_text(x - 7, y - at + 4, words, anchor="end"))
    if across:
        parts.append(_text(x + length / 2, y + 37, label, anchor="middle"))
    else:
        turn = f' transform="rotate(-90 {x - 42:.1f} {y - length / 2:.1f})"'
        parts.append(_text(x - 42, y - length / 2, label, anchor="middle", more=turn))
    return "".join(parts)


def _text(
    x: float, y: float, words: str, *, anchor: str = "start", weight: str = "normal", more: str = ""
) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}"{more}>{words}</text>'
