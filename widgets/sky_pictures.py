"""Maps with the coordinates of the sky, as pictures for reports: right for any projection and rotation."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from widgets import style
from widgets.axes import block_mean, log_ticks, power_of_ten
from widgets.maps import check_map, colour_limits
from widgets.overlay.sky_ticks import sky_names

DPI = 110
"""Dots per inch of a picture."""


@dataclass(frozen=True)
class Sky:
    """Where on the sky a map lies, and how large things on it are.

    Attributes
    ----------
    wcs : WCS
        Celestial, of the pixels of the map.
    pixel_size_pc : float
        Side of a pixel [pc].
    beam_pixels : float or None
        Full width at half maximum of the beam [pixels], None if it is not known.
    """

    wcs: Any
    pixel_size_pc: float
    beam_pixels: float | None = None

    @classmethod
    def of(cls, observation: Any) -> Sky:
        """Return that of an observation."""
        beam = observation.beam_arcsec
        return cls(
            observation.wcs,
            observation.pixel_size_pc,
            None if beam is None else beam / observation.pixel_size_arcsec,
        )


def sky_picture(
    values: Any,
    sky: Sky,
    *,
    label: str,
    log: bool = True,
    clim: tuple[float, float] | None = None,
    title: str | None = None,
    cores: Any = None,
    width: float = 5.0,
    max_pixels: int = 700,
) -> bytes:
    """Draw a map with its sky coordinates, a scale bar in pc and the beam; missing pixels are grey.

    Ticks and the grid are those of the map's own coordinates; over a galactic map a dotted grid shows right ascension
    and declination too, with its ticks at the top and on the right.

    Parameters
    ----------
    values : array_like, shape (y, x)
        In physical units, not logarithms; NaN is missing.
    sky : Sky
        Where it lies.
    label : str
        As in :func:`widgets.figures.sky_map`.
    log : bool
        Whether the colours follow the logarithm.
    clim, title
        As in :func:`widgets.figures.sky_map`.
    cores : tuple of ndarray, optional
        x and y [pixels] of cores, marked by circles.
    width : float
        Of the picture [inch].
    max_pixels : int
        A map with a longer side is drawn from block means, and its title says so.

    Returns
    -------
    bytes
        A PNG file.

    Raises
    ------
    ValueError
        If `values` is not a map, or the limits are not in order.
    """
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.figure import Figure

    shown = style.quantity(label)
    array, factor = block_mean(check_map(values), max_pixels)
    if log:
        array = np.where(array > 0, array, np.nan)
    low, high = colour_limits(array, log, clim)
    rows, columns = array.shape
    height = width * min(1.6, max(0.35, rows / columns)) * 0.8 + 1.3
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot(projection=_reduced(sky.wcs, factor))
    image = axes.imshow(
        array,
        origin="lower",
        cmap=shown.colours,
        norm=(LogNorm if log else Normalize)(low, high, clip=False),
        interpolation="nearest",
    )
    axes.set_facecolor(style.MISSING)
    above = _label_axes(axes, sky.wcs)
    _scale_bar(axes, columns, rows, sky.pixel_size_pc * factor)
    if sky.beam_pixels is not None:
        _beam(axes, columns, rows, sky.beam_pixels / factor)
    if cores is not None:
        x, y = ((np.asarray(values, float) + 0.5) / factor - 0.5 for values in cores)
        axes.scatter(x, y, s=46, facecolors="none", edgecolors="black", linewidths=2.2)
        axes.scatter(x, y, s=46, facecolors="none", edgecolors="white", linewidths=1.1)
    axes.set_title(
        (title or shown.title) + (f" (at 1/{factor} resolution)" if factor > 1 else ""),
        fontsize=11,
        pad=above,
    )
    bar = figure.colorbar(image, ax=axes, orientation="horizontal", shrink=0.9, aspect=35, pad=0.02)
    bar.set_label(shown.label, fontsize=9)
    _bar_ticks(bar, low, high, log=log)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=DPI)
    return data.getvalue()


def _reduced(wcs: Any, factor: int) -> Any:
    """Return the coordinates of a map that was averaged over blocks."""
    if factor == 1:
        return wcs
    reduced = wcs.deepcopy()  # WCS.slice leaves a CD matrix as it is
    reduced.wcs.crpix = (np.asarray(wcs.wcs.crpix) - 0.5) / factor + 0.5
    if wcs.wcs.has_cd():
        reduced.wcs.cd = wcs.wcs.cd * factor
    else:
        reduced.wcs.cdelt = wcs.wcs.cdelt * factor
    reduced.sip = None  # counted in pixels of the map; it moves ticks by less than they are wide
    return reduced


def _label_axes(axes: Any, wcs: Any) -> float:
    """Name the coordinates, draw their grid, and over a galactic map that of right ascension and declination.

    Returns the room that ticks at the top take [points].
    """
    names = sky_names(wcs)
    longitude, latitude = axes.coords[wcs.wcs.lng], axes.coords[wcs.wcs.lat]
    for coordinate, words in ((longitude, names.longitude), (latitude, names.latitude)):
        _ticks(coordinate, words.split(" [")[0])
    axes.coords.grid(color="white", alpha=0.35, linewidth=0.5)
    if str(wcs.wcs.ctype[wcs.wcs.lng]).startswith("RA"):
        return 6.0
    overlay = axes.get_coords_overlay("icrs")
    overlay.grid(color="white", alpha=0.45, linewidth=0.6, linestyle=":")
    for coordinate, words, side in zip(overlay, ("RA (ICRS)", "Dec (ICRS)"), ("t", "r"), strict=True):
        _ticks(coordinate, words)
        coordinate.set_ticks_position(side)
        coordinate.set_ticklabel_position(side)
        coordinate.set_axislabel_position(side)
    overlay[0].set_format_unit("hourangle")
    return 34.0


def _ticks(coordinate: Any, words: str) -> None:
    coordinate.set_axislabel(words, fontsize=9)
    coordinate.set_ticklabel(size=8, exclude_overlapping=True)
    coordinate.set_ticks(number=4)


def round_length(length: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not longer.

    Examples
    --------
    >>> [round_length(length) for length in (0.07, 1.0, 3.3, 90.0)]
    [0.05, 1.0, 2.0, 50.0]
    """
    power = 10.0 ** np.floor(np.log10(length) + 1e-9)
    return float(f"{max(step * power for step in (1, 2, 5) if step * power <= length * (1 + 1e-9)):.3g}")


def _scale_bar(axes: Any, columns: int, rows: int, pixel_pc: float) -> None:
    from matplotlib.patheffects import withStroke

    length = round_length(0.3 * columns * pixel_pc)
    right, bottom = 0.95 * columns - 0.5, 0.06 * rows - 0.5
    outline = [withStroke(linewidth=3.5, foreground="black")]
    axes.plot(
        [right - length / pixel_pc, right], [bottom] * 2, color="white", linewidth=2, path_effects=outline
    )
    axes.text(
        right - length / pixel_pc / 2, bottom + 0.02 * rows, f"{length:g} pc", color="white", fontsize=9,
        ha="center", va="bottom", path_effects=[withStroke(linewidth=2, foreground="black")],
    )  # fmt: skip


def _beam(axes: Any, columns: int, rows: int, beam_pixels: float) -> None:
    """Draw the beam to scale in the lower left corner."""
    from matplotlib.patches import Ellipse

    corner = max(0.06 * min(columns, rows), beam_pixels / 2 + 0.02 * min(columns, rows)) - 0.5
    axes.add_patch(
        Ellipse((corner, corner), beam_pixels, beam_pixels, facecolor="white", edgecolor="black", linewidth=1)
    )


def _bar_ticks(bar: Any, low: float, high: float, *, log: bool) -> None:
    bar.ax.tick_params(labelsize=8)
    if log:
        ticks = log_ticks(low, high, most=6)
        bar.set_ticks(ticks, labels=[power_of_ten(tick) for tick in ticks])
        bar.minorticks_off()
