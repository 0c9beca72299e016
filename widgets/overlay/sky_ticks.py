"""Ticks and graticule of a map in true sky coordinates, whatever its projection, rotation or handedness.

Maps are drawn in pixels; where a meridian or a parallel crosses an edge of the picture stands a tick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

SAMPLES = 241
"""Points along an edge or a line of the graticule."""

MOST_LINES = 40
"""Lines of the graticule in one direction."""

_ARCSEC = 1 / 3600
_SIXTIETHS = (1, 2, 5, 10, 15, 20, 30)
_SEXAGESIMAL = sorted(
    [_ARCSEC * s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, *_SIXTIETHS)]
    + [_ARCSEC * 60 * s for s in _SIXTIETHS]
    + [1, 2, 5, 10, 15, 30, 45]
)
_HOURS = sorted(
    [15 * _ARCSEC * s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, *_SIXTIETHS)]
    + [15 * _ARCSEC * 60 * s for s in _SIXTIETHS]
    + [15, 30, 45]
)
_DECIMAL = [s * 10.0**e for e in range(-5, 1) for s in (1, 2, 5)] + [10, 15, 30, 45]


class View(NamedTuple):
    """The part of a map that is seen [pixels, 0 in the middle of the first]."""

    left: float
    right: float
    bottom: float
    top: float


@dataclass(frozen=True)
class SkyNames:
    """What the two coordinates of a map are called and how they are written."""

    longitude: str
    latitude: str
    style: str
    """hours (longitude in hours, minutes, seconds) or decimal (degrees)."""


class Ticks(NamedTuple):
    """Ticks of one edge."""

    label: str
    """Name of the coordinate."""
    pixels: list[float]
    words: list[str]


class SkyGrid(NamedTuple):
    """Everything that is drawn of the sky in one view."""

    bottom: Ticks
    left: Ticks
    xs: list[np.ndarray]
    """x of each line of the graticule [pixels]."""
    ys: list[np.ndarray]


def sky_of(wcs: Any, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return longitude and latitude [deg] of pixels, NaN where the projection has none."""
    world = wcs.pixel_to_world_values(x, y)
    return np.asarray(world[wcs.wcs.lng], float), np.asarray(world[wcs.wcs.lat], float)


def pixels_of(wcs: Any, longitude: Any, latitude: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return x, y [pixels] of places on the sky, NaN where the projection has none."""
    world: list[Any] = [None, None]
    world[wcs.wcs.lng], world[wcs.wcs.lat] = longitude, latitude
    x, y = wcs.world_to_pixel_values(*world)
    return np.asarray(x, float), np.asarray(y, float)


def sky_names(wcs: Any) -> SkyNames:
    """Return the names of the coordinates of a map.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype = ["GLON-TAN", "GLAT-TAN"]
    >>> sky_names(wcs).longitude
    'Galactic longitude l [deg]'
    """
    from astropy.wcs.utils import wcs_to_celestial_frame

    try:
        frame = wcs_to_celestial_frame(wcs)
    except ValueError:  # coordinates of a kind that astropy has no name for
        kinds = (str(wcs.wcs.lngtyp), str(wcs.wcs.lattyp))
        return SkyNames(f"{kinds[0]} [deg]", f"{kinds[1]} [deg]", "decimal")
    if frame.name == "galactic":
        return SkyNames("Galactic longitude l [deg]", "Galactic latitude b [deg]", "decimal")
    if frame.name in ("icrs", "fk5", "fk4"):
        epoch = {
            "icrs": lambda: "ICRS",
            "fk5": lambda: f"J{frame.equinox.jyear:g}",
            "fk4": lambda: f"B{frame.equinox.byear:g}",
        }[frame.name]()
        return SkyNames(f"Right ascension ({epoch}) [h m s]", f"Declination ({epoch}) [° ′ ″]", "hours")
    return SkyNames(f"{frame.name} longitude [deg]", f"{frame.name} latitude [deg]", "decimal")


def sky_grid(wcs: Any, view: View, *, across: int = 5, up: int = 6) -> SkyGrid:
    """Return ticks and graticule of one view.

    Parameters
    ----------
    wcs : WCS
        Celestial, two axes.
    view : View
    across, up : int
        About so many ticks along the bottom and the left edge.
    """
    names = sky_names(wcs)
    turned = _turned(wcs, view)
    bottom_edge = np.linspace(view.left, view.right, SAMPLES), np.full(SAMPLES, view.bottom)
    left_edge = np.full(SAMPLES, view.left), np.linspace(view.bottom, view.top, SAMPLES)
    edges = {"bottom": (*sky_of(wcs, *bottom_edge), bottom_edge[0], across)}
    edges["left"] = (*sky_of(wcs, *left_edge), left_edge[1], up)
    found, steps = {}, {}
    for edge, longitude_here in (("bottom", not turned), ("left", turned)):
        longitude, latitude, along, most = edges[edge]
        values = unwrapped(longitude) if longitude_here else latitude
        kind = ("hours" if longitude_here else "degrees") if names.style == "hours" else "decimal"
        step = _step(values, most, kind)
        steps[longitude_here] = step
        label = names.longitude if longitude_here else names.latitude
        found[edge] = _ticks(values, along, step, kind, label, wrap=longitude_here)
    xs, ys = _lines(wcs, view, steps[True], steps[False])
    return SkyGrid(found["bottom"], found["left"], xs, ys)


def unwrapped(longitude: np.ndarray) -> np.ndarray:
    """Return longitudes [deg] without the jump at 360, NaN kept.

    Examples
    --------
    >>> unwrapped(np.array([359.0, np.nan, 1.0])).tolist()
    [359.0, nan, 361.0]
    """
    values = np.array(longitude, float)
    known = np.isfinite(values)
    values[known] = np.unwrap(values[known], period=360)
    return values


def written(value: float, step: float, kind: str) -> str:
    """Return a coordinate as the label of a tick, as exact as the step asks for.

    Examples
    --------
    >>> written(65.5, 15 / 60, "hours"), written(-5.25, 0.25, "degrees"), written(166.5, 0.5, "decimal")
    ('4ʰ22ᵐ', '−5°15′', '166.5')
    """
    if kind == "decimal":
        digits = max(0, int(np.ceil(-np.log10(step) - 1e-9)))
        return f"{value:.{digits}f}".replace("-", "−")
    unit = 15.0 if kind == "hours" else 1.0
    marks = ("ʰ", "ᵐ", "ˢ") if kind == "hours" else ("°", "′", "″")
    fine = step / unit * 3600
    digits = 0 if fine >= 1 - 1e-9 else int(np.ceil(-np.log10(fine) - 1e-9))
    total = round(abs(value) / unit * 3600, digits)
    whole, seconds = divmod(total, 60)
    first, minutes = divmod(int(whole), 60)
    if kind == "hours":
        first %= 24
    sign = "−" if value < 0 and total else ""
    text = f"{sign}{first}{marks[0]}"
    if fine < 3600 - 1e-6:
        text += f"{minutes:02d}{marks[1]}"
    if fine < 60 - 1e-6:
        text += f"{seconds:0{2 if not digits else 3 + digits}.{digits}f}{marks[2]}"
    return text


def _turned(wcs: Any, view: View) -> bool:
    """Return whether the longitude changes along the left edge more than along the bottom one."""
    x, y = (view.left + view.right) / 2, (view.bottom + view.top) / 2
    half = max(abs(view.right - view.left), abs(view.top - view.bottom)) / 200
    longitude, _ = sky_of(wcs, np.array([x - half, x + half, x, x]), np.array([y, y, y - half, y + half]))
    steps = np.abs((np.diff(longitude)[[0, 2]] + 180) % 360 - 180)
    return bool(np.isfinite(steps).all() and steps[1] > steps[0] * (1 + 1e-6))


def _step(values: np.ndarray, most: int, kind: str) -> float:
    """Return a round step that gives at most so many ticks."""
    known = values[np.isfinite(values)]
    span = float(np.ptp(known)) if known.size else 1.0
    steps = {"hours": _HOURS, "degrees": _SEXAGESIMAL, "decimal": _DECIMAL}[kind]
    return next((step for step in steps if span / step <= most), steps[-1])


def _ticks(values: np.ndarray, along: np.ndarray, step: float, kind: str, label: str, *, wrap: bool) -> Ticks:
    """Return the places where a coordinate passes a round value along an edge."""
    known = values[np.isfinite(values)]
    pixels: list[float] = []
    words: list[str] = []
    if not known.size:
        return Ticks(label, pixels, words)
    for number in range(int(np.ceil(known.min() / step)), int(np.floor(known.max() / step)) + 1):
        value = number * step
        offset = values - value
        with np.errstate(invalid="ignore"):
            crossings = np.flatnonzero(
                (offset[:-1] * offset[1:] < 0) | ((offset[:-1] == 0) & np.isfinite(offset[1:]))
            )
        for i in crossings:
            share = offset[i] / (offset[i] - offset[i + 1]) if offset[i] else 0.0
            pixels.append(float(along[i] + share * (along[i + 1] - along[i])))
            words.append(written(value % 360 if wrap else value, step, kind))
    return Ticks(label, pixels, words)


def _lines(wcs: Any, view: View, step_lon: float, step_lat: float) -> tuple[list[Any], list[Any]]:
    """Return meridians and parallels at the steps of the ticks, in pixels, clipped to about the view."""
    x, y = np.meshgrid(np.linspace(view.left, view.right, 33), np.linspace(view.bottom, view.top, 33))
    longitude, latitude = sky_of(wcs, x, y)
    if not np.isfinite(longitude).any():
        return [], []
    middle = longitude[np.isfinite(longitude)][0]
    longitude = (longitude - middle + 180) % 360 - 180 + middle
    room = 0.02
    spans = []
    for values in (longitude, latitude):
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        spans.append((low - room * (high - low), high + room * (high - low)))
    spans[1] = max(spans[1][0], -90.0), min(spans[1][1], 90.0)
    xs: list[Any] = []
    ys: list[Any] = []
    for first, (step, along) in enumerate(((step_lon, 1), (step_lat, 0))):
        low, high = spans[first]
        numbers = range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)
        points = np.linspace(*spans[along], SAMPLES)
        for number in numbers[:: max(1, -(-len(numbers) // MOST_LINES))]:
            place = [points, points]
            place[first] = np.full(SAMPLES, number * step)
            xs.append(pixels_of(wcs, *place)[0])
            ys.append(pixels_of(wcs, *place)[1])
    _clip(xs, ys, view)
    return xs, ys


def _clip(xs: list[np.ndarray], ys: list[np.ndarray], view: View) -> None:
    """Blank what lies far outside the view, in place: a line may come back from the other side of the sky."""
    wide, high = abs(view.right - view.left), abs(view.top - view.bottom)
    for x, y in zip(xs, ys, strict=True):
        with np.errstate(invalid="ignore"):
            far = (
                (x < min(view.left, view.right) - wide)
                | (x > max(view.left, view.right) + wide)
                | (y < min(view.bottom, view.top) - high)
                | (y > max(view.bottom, view.top) + high)
            )
        far |= ~(np.isfinite(x) & np.isfinite(y))
        x[far] = y[far] = np.nan
