"""What the overlay says: its lines of Python, its read-out, its tables, its states, its help."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord

from polaris_lab.observations.coverage import MUCH
from polaris_lab.observations.prediction import REASONS, Quality
from widgets import style
from widgets.overlay.data import Sources
from widgets.overlay.figures import has_outside, outside_map
from widgets.parts import plain

HELP = """
**Reading the maps.** Both move together. Grey is not observed. Ticks and dashed lines are true coordinates, however
the map is turned. Point at a pixel to read it; click to keep the reading.

**By keyboard.** Type a place under *Go to*, then Enter; the buttons beside it zoom. A region can be typed in the words of DS9
instead of drawn with the box tool of the toolbar.

**Layers** lie over the prediction. Orange lines mark pixels that the training set does not answer for: believe nothing
there.

**Predicting** goes on in a process of its own while you use the page.
"""

NO_REGION = (
    "<p>Draw a box with the toolbar of a map, or describe a region, to measure it: area, mass, densities.</p>"
)

NO_PLACE = "<p>Click on a map, or type a place, to keep a reading.</p>"

NO_PREDICTION = "This map has no prediction yet. Choose a run (or an estimator that needs none) under Predict, and press Predict."

_TITLES = {
    "running": ("info", "Predicting"),
    "stopped": ("warning", "Stopped"),
    "finished": ("success", "Predicted"),
    "failed": ("error", "Not predicted"),
}


def code(sources: Sources, changed: Mapping[str, Any], given: Sequence[str] = ()) -> str:
    """Return the Python lines that give this view.

    Parameters
    ----------
    sources : Sources
    changed : mapping
        Parameters of the view that are not what it begins with.
    given : sequence of str
        Which of "cores" and "tiles" are handed over too.

    Examples
    --------
    >>> lines = Sources("observation = lab.Observation.from_fits(...)", "prediction = lab.predict_density(run, observation)")
    >>> print(code(lines, {"graticule": False}))
    import polaris_lab as lab
    from widgets import PredictionOverlay
    <BLANKLINE>
    observation = lab.Observation.from_fits(...)
    prediction = lab.predict_density(run, observation)
    PredictionOverlay(observation, prediction, graticule=False)
    """
    wanted = [sources.observation, sources.prediction, *(getattr(sources, name) for name in given)]
    lines = [part for part in dict.fromkeys(wanted) if part]
    text = "\n".join(lines)
    arguments = ["observation", "prediction" if sources.prediction else "None"]
    arguments += [f"{name}={name}" for name in given]
    arguments += [f"{name}={value!r}" for name, value in changed.items()]
    return "\n".join(
        [
            "import polaris_lab as lab",
            *(["import numpy as np"] if "np." in text else []),
            *(["from astropy import units as u"] if "* u." in text or "/ u." in text else []),
            "from widgets import PredictionOverlay",
            "",
            *lines,
            f"PredictionOverlay({', '.join(arguments)})",
        ]
    )


def warning(prediction: Any) -> str:
    """Return what is to be written into the picture of a prediction that the training set does not cover; else ""."""
    said = next((note for note in prediction.notes if note.startswith("OUTSIDE THE TRAINING SET")), "")
    if said:
        return said
    valid = np.isfinite(prediction.density)
    share = float(outside_map(prediction)[valid].mean()) if valid.any() else 0.0
    if share <= MUCH:
        return ""
    return f"OUTSIDE THE TRAINING SET: {share:.0%} of the pixels have values that it does not hold: do not trust them"


def state(observation: Any, prediction: Any, error: str, warned: list[str]) -> tuple[str, str, str]:
    """Return severity, title and words of the line over the maps."""
    if error:
        return "error", "Not opened", plain(f"{error}. What is drawn is what was there before.")
    name = observation.name or "unnamed map"
    first = style.typeset(f"{observation!r}".split("(", 1)[1].rstrip(")"))
    said = [note for note in prediction.notes if not note.startswith("OUTSIDE")]
    notes = [style.typeset(note) for note in (*warned, *said)]
    if not np.isfinite(prediction.density).any():
        return "info", f"{name}: not predicted", plain(" ".join([NO_PREDICTION, *notes]))
    words = [f"{first}."] + [note.rstrip(".") + "." for note in notes]
    if warning(prediction):
        return (
            "warning",
            f"{name}: outside the training set",
            plain(" ".join([warning(prediction) + ".", *words])),
        )
    if not prediction.run_fingerprint:
        words.append("No training set was compared: nothing warns where an estimator fails.")
    return "success", name, plain(" ".join(words))


def reading(observation: Any, prediction: Any, x: float, y: float, what: str) -> str:
    """Return what a map says at a place [pixels], in HTML."""
    sky = observation.wcs.pixel_to_world(x, y)
    if not np.isfinite(sky.spherical.lon.deg):
        return f"<p><b>{what}:</b> not on the sky</p>"
    icrs, galactic = sky.icrs, sky.galactic
    where = (
        f"RA {icrs.ra.to_string('hour', sep=' ', precision=1, pad=True)} Dec "
        f"{icrs.dec.to_string('deg', sep=' ', precision=0, alwayssign=True, pad=True)} (ICRS) &middot; "
        f"l {galactic.l.deg:.4f}° b {galactic.b.deg:+.4f}°"
    )
    row, column = round(y), round(x)
    rows, columns = observation.shape
    if not (0 <= row < rows and 0 <= column < columns):
        return f"<p><b>{what}:</b> {where}<br>outside the map</p>"
    seen = observation.column_density[row, column]
    if not np.isfinite(seen):
        return f"<p><b>{what}:</b> {where}<br>not observed</p>"
    words = [f"N_H {power(seen)} cm⁻²"]
    density = prediction.density[row, column]
    if np.isfinite(density):
        words.append(f"n_H {power(density)} cm⁻³")
        words += [
            f"{share} %: {power(low[row, column])} … {power(high[row, column])}"
            for share, low, high in (
                (68, prediction.lower68, prediction.upper68), (95, prediction.lower95, prediction.upper95),
            )
            if low is not None
        ]  # fmt: skip
        words += [] if prediction.lower68 is not None else ["no interval is stated"]
        flags = int(prediction.quality[row, column])
        words += [reason for flag, reason in REASONS.items() if flags & int(flag)]
    else:
        words.append("no prediction")
    return f"<p><b>{what}:</b> {where}<br>{' &middot; '.join(words)}</p>"


def sky_words(ra: float, dec: float) -> str:
    """Return a place as one writes it.

    Examples
    --------
    >>> sky_words(56.9, 32.9)
    '03 47 36.0 +32 54 00'
    """
    return SkyCoord(ra, dec, unit="deg").to_string("hmsdms", sep=" ", precision=1).rsplit(".", 1)[0]


def statistics(found: Any) -> str:
    """Return the numbers of a region as a table in HTML."""
    rows = [
        ("pixels", f"{found.pixels} ({found.blank} blank)"),
        ("area", f"{found.area_pc2:.4g} pc²"),
        ("mass, with helium", f"{found.mass_msun:.4g} M☉"),
        ("N_H: mean, largest", f"{power(found.column_mean)}, {power(found.column_max)} cm⁻²"),
        (
            "n_H: median (16 … 84 % of pixels)",
            f"{power(found.density_median)} ({power(found.density_low)} … {power(found.density_high)}) cm⁻³",
        ),
        ("n_H: by mass, largest", f"{power(found.density_by_mass)}, {power(found.density_max)} cm⁻³"),
        (
            "68 % interval, median width",
            "not stated" if np.isnan(found.interval_dex) else f"{found.interval_dex:.2f} dex",
        ),
        ("pixels with a quality flag", f"{found.flagged:.0%}"),
    ]
    cells = "".join(
        f'<tr><td>{name}</td><td class="number">{html.escape(value)}</td></tr>' for name, value in rows
    )
    return f"<table>{cells}</table>"


def cores_table(columns: Mapping[str, Any], chosen: int | None) -> str:
    """Return the cores on the map as a table in HTML."""
    if not len(columns["x"]):
        return "<p>No cores. Choose a catalogue, or let the page find the cores of this map.</p>"
    heads = ("core", "RA, Dec (ICRS)", "N_H [cm⁻²]", "n_H predicted", "n_H catalogue [cm⁻³]", "error [dex]")
    rows = []
    for i in range(len(columns["x"])):
        cells = [
            f'<td>{html.escape(str(columns["name"][i]))}</td><td class="number" style="text-align: left">{columns["sky"][i]}</td>',
            *(f'<td class="number">{power(columns[name][i])}</td>' for name in ("column", "predicted")),
            *(f'<td class="number">{columns[name][i]}</td>' for name in ("catalogue", "error")),
        ]
        mark = ' style="outline: 2px solid #E69F00"' if i == chosen else ""
        rows.append(f"<tr{mark}>{''.join(cells)}</tr>")
    head = "".join(f'<th class="{"number" if i > 1 else ""}">{name}</th>' for i, name in enumerate(heads))
    return (
        f'<div tabindex="0" aria-label="Cores" style="max-height: 300px; overflow: auto"><table><tr>{head}</tr>'
        f"{''.join(rows)}</table></div>"
    )


def region(found: Any, error: str) -> str:
    """Return what is to be said of a region: its numbers, or why there are none, in HTML."""
    if error:
        return f'<p role="alert"><b>Not taken.</b> {html.escape(error)}</p>'
    return NO_REGION if found is None else statistics(found)


def blocks(factor: int) -> str:
    """Return how coarsely a map is drawn, in words; "" for one drawn as it is."""
    if factor == 1:
        return ""
    return f"Drawn from means of {factor} × {factor} pixels; zoom in for more, readings are exact."


def layers(prediction: Any, tiles: Any, shown: Mapping[str, Any]) -> str:
    """Return which layers that were asked for are not there, and why; and how the pixels are flagged."""
    words = []
    if shown["uncertainty"] and prediction.lower68 is None:
        words.append("This prediction states no interval.")
    if shown["outside"] and prediction.run_fingerprint and not has_outside(prediction):
        words.append("No pixel is known to lie outside the training set.")
    if shown["show_tiles"] and tiles is None:
        words.append(
            "The outlines of the tiles are not known: they are kept by predictions of networks that were made on this page."
        )
    if np.isfinite(prediction.density).any():
        words.append(f"Quality: {flags(prediction)}.")
    return plain(" ".join(words))


def of_job(seen: Any) -> tuple[str, str, str]:
    """Return severity, title and words of the line under the button."""
    if seen.status in _TITLES:
        return *_TITLES[seen.status], seen.message
    return "info", "Ready", "Predict writes a FITS file into the workspace folder and shows it."


def flags(prediction: Any) -> str:
    """Return the shares of the flags, in words."""
    valid = np.isfinite(prediction.density)
    total = max(1, int(valid.sum()))
    shares = {
        REASONS[flag]: int((prediction.flagged(flag) & valid).sum()) / total
        for flag in Quality
        if flag in REASONS
    }
    return (
        ", ".join(f"{share:.0%} {reason}" for reason, share in shares.items() if share)
        or "no pixel is flagged"
    )


_DIGITS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power(value: float) -> str:
    """Write a number with a power of ten.

    Examples
    --------
    >>> power(1.53e21), power(412.0), power(float("nan"))
    ('1.53×10²¹', '412', '–')
    """
    if not np.isfinite(value):
        return "–"
    if 0.01 <= abs(value) < 1e4:
        return f"{value:.3g}" if abs(value) < 1e3 else f"{value:.0f}"
    exponent = int(np.floor(np.log10(abs(value)))) if value else 0
    return f"{value / 10.0**exponent:.3g}×10{str(exponent).translate(_DIGITS)}"
