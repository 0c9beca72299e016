"""What the emission explorer says: its lines of Python, its states, its help."""

from __future__ import annotations

import html
from typing import Any

import numpy as np

from widgets.emissions.job import Choices
from widgets.emissions.maps import MOMENTS
from widgets.parts import plain

HELP = """
**Above** the line that this gas would send out, **below** an observed cube, on the same axes. Tap a map to move the
cursor, tap a spectrum or one of the twelve small maps to choose the velocity; the fields do the same from the keyboard.

**Line, abundance, line of sight** are solved anew, in the background: the page stays free, and Cancel stops it. **Beam
and noise** act at once on the cube that is there.

**What it rests on.** LTE, a uniform abundance per hydrogen *nucleus*, the cosmic background subtracted (Rayleigh-Jeans K).
Positive velocity recedes. Below about 2·10³ H₂ cm⁻³ real ¹³CO is fainter than LTE says.
"""

_JOB = {
    "running": ("info", "Solving the line"),
    "stopping": ("warning", "Stopping"),
    "stopped": ("warning", "Stopped"),
    "failed": ("error", "Not solved"),
}


def code(
    source: str,
    *,
    choices: Choices | None,
    no_temperature: bool,
    channels: tuple[int, int],
    instrument: dict[str, Any],
    cursor: tuple[int, int] | None,
    velocity: float,
    moment: str,
    observed: str = "",
    observed_cursor: tuple[int, int] | None = None,
) -> str:
    """Return the Python lines that give the cubes, the channel map, the moment map and the spectra.

    Examples
    --------
    >>> choices = {"choices": None, "no_temperature": False, "channels": (0, 0), "instrument": {}}
    >>> print(code("lab.PPVCube.open('a.fits')", cursor=(3, 4), velocity=4.2, moment="peak", **choices))
    import polaris_lab as lab
    from astropy import units as u
    from polaris_lab.radiative_transfer import moments
    from widgets import figures
    <BLANKLINE>
    ppv = lab.PPVCube.open('a.fits')
    channel = ppv.channel(4.2 * u.km / u.s)
    moment = moments.moments(ppv).peak
    figures.channel_maps(ppv)
    figures.sky_map(channel, label='brightness_temperature', log=False)
    figures.sky_map(moment, label='T_peak [K]', log=False)
    figures.spectrum(ppv, y=3, x=4)
    """
    noise = instrument.get("noise")
    mask = ", mask=mask" if noise else ""
    label = {"dispersion": "σ_v [km/s]", "peak": "T_peak [K]", "centroid": "centroid_velocity"}.get(
        moment, moment
    )
    return "\n".join(
        [
            *(["import numpy as np"] if choices else []),
            "import polaris_lab as lab",
            "from astropy import units as u",
            f"from polaris_lab.radiative_transfer import {'instrument, ' if instrument else ''}moments",
            "from widgets import figures",
            "",
            *(_solve(source, choices, no_temperature, channels) if choices else _assign("ppv", source)),
            *_telescope(instrument),
            *_assign("observed", observed),
            f"channel = ppv.channel({velocity!r} * u.km / u.s)",
            *([f"mask = moments.signal_mask(ppv, noise={noise!r})"] if noise else []),
            f"moment = moments.moments(ppv{mask}).{moment}",
            "figures.channel_maps(ppv)",
            "figures.sky_map(channel, label='brightness_temperature', log=False)",
            f"figures.sky_map(moment, label={label!r}, log=False)",
            *_spectrum("ppv", cursor),
            *(_beside(observed_cursor, moment, label) if observed else []),
        ]
    )


def code_of(explorer: Any, source: Any, observed: Any, base: Any, choices: Choices | None) -> str:
    """Return the lines for an explorer as it stands: `base` is the cube before the telescope."""
    if explorer.ppv is None:
        return "# Nothing is drawn yet."
    channels = (0, 0)
    if choices is not None:
        first, last = (round(velocity / choices.channel_width) for velocity in base.velocity[[0, -1]])
        channels = first, last + 1
    names = ("beam", "noise", "seed", "distance", "systemic")
    telescope = {name: getattr(explorer, name) for name in names}
    return code(
        source.code,
        choices=choices,
        no_temperature=choices is not None and source.cube.temperature is None,
        channels=channels,
        instrument=telescope if explorer.beam or explorer.noise or explorer.systemic else {},
        cursor=explorer.view.pixel("synthetic"),
        velocity=explorer.velocity,
        moment=explorer.moment,
        observed=observed.code if observed else "",
        observed_cursor=explorer.view.pixel("observed"),
    )


def _spectrum(name: str, cursor: tuple[int, int] | None) -> list[str]:
    return [f"figures.spectrum({name}, y={cursor[0]}, x={cursor[1]})"] if cursor else []


def _beside(cursor: tuple[int, int] | None, moment: str, label: str) -> list[str]:
    """Return the lines that show the observed cube."""
    return [
        f"moment = moments.moments(observed, mask=moments.signal_mask(observed)).{moment}",
        f"figures.sky_map(moment, label={label!r}, log=False)",
        *_spectrum("observed", cursor),
    ]


def _assign(name: str, source: str) -> list[str]:
    return [f"{name} = {source}"] if source and source != name else []


def _solve(source: str, choices: Choices, no_temperature: bool, channels: tuple[int, int]) -> list[str]:
    """Return the lines that solve the line."""
    lines = _assign("cube", source)
    if choices.reduction > 1:
        lines.append(f"cube = lab.clouds.downsample(cube, {choices.reduction})")
    if no_temperature:
        lines += [
            f"temperature = np.full(cube.shape, {choices.temperature!r}, np.float32)",
            "gas = {'temperature': temperature, 'velocity': cube.velocity, 'cell_size': cube.cell_size}",
            "cube = lab.SimulationCube(cube.density, **gas)",
        ]
    molecule, transition = choices.line.split()
    return [
        *lines,
        f"line = lab.Line.named({molecule!r}, {transition!r})",
        f"velocity = {choices.channel_width!r} * np.arange({channels[0]}, {channels[1]}) * u.km / u.s",
        f"choices = {{'axis': {choices.axis!r}, 'velocity': velocity, 'channel': 'average', 'progress': False}}",
        f"ppv = lab.synthesize_ppv(cube, line, abundance={choices.abundance!r}, **choices)",
    ]


def _telescope(instrument: dict[str, Any]) -> list[str]:
    lines = []
    if instrument.get("beam"):
        beam, distance = instrument["beam"], instrument["distance"]
        lines.append(
            f"ppv = instrument.convolve_beam(ppv, {beam!r} * u.arcsec, distance={distance!r} * u.pc)"
        )
    if instrument.get("noise"):
        lines.append(
            f"ppv = instrument.add_noise(ppv, {instrument['noise']!r} * u.K, seed={instrument['seed']})"
        )
    if instrument.get("systemic"):
        lines.append(f"ppv = ppv.with_data(ppv.data, velocity=ppv.velocity + {instrument['systemic']!r})")
    return lines


def state(
    ppv: Any, source: Any, choices: Choices | None, *, error: str, too_large: str
) -> tuple[str, str, str]:
    """Return severity, title and words of the line over the maps."""
    if error:
        return "error", "This cannot be", plain(f"{error}. What is drawn is as it was before.")
    if too_large:
        return "warning", "Too large for a page", plain(too_large)
    if ppv is None:
        return "info", "Nothing to draw yet", "Choose a file on the left; while a line is being solved, wait."
    channels, rows, columns = ppv.shape
    line = ppv.line.name if ppv.line else "Line cube"
    size = f"{channels} channels of {ppv.channel_width:.3g} km/s, {rows} × {columns} pixels" + (
        f" of {ppv.pixel_size:.3g}" if ppv.pixel_size is not None else " of unknown size"
    )
    if choices is None:
        return (
            "success",
            f"{line}: {plain(source.name)}",
            plain(f"{size}. It is a line cube: line and abundance are its own."),
        )
    reduced = f" Means over blocks of {choices.reduction}³ cells." if choices.reduction > 1 else ""
    words = (
        f"{size}, seen along {choices.axis}; {choices.abundance:.3g} molecules per hydrogen nucleus.{reduced}"
    )
    return "success", f"{line} of {plain(source.name)}", plain(words)


def of_job(seen: Any) -> tuple[str, str, str]:
    """Return severity, title and words of the line that tells of the synthesis; no title, nothing to tell."""
    return (*_JOB[seen.status], seen.message) if seen.status in _JOB else ("info", "", "")


def cursor(sides: dict[str, dict[str, Any]], *, x: float, y: float, unit: str) -> str:
    """Return what is to be said of the cursor, in HTML: the moments of both cubes there."""
    rows = ""
    for side, facts in sides.items():
        if facts.get("pixel") is None:
            rows += f'<tr><td>{side}</td><td colspan="6">the cursor lies outside this map</td></tr>'
            continue
        row, column = facts["pixel"]
        values = "".join(f'<td class="number">{_number(facts[name])}</td>' for name in MOMENTS)
        place = f"row {row}, column {column}" + (
            f"<br>{html.escape(facts['sky'])}" if facts.get("sky") else ""
        )
        rows += f'<tr><td>{side}</td><td>{place}</td><td class="number">{_number(facts["channel"])}</td>{values}</tr>'
    heads = "".join(
        f'<th class="number">{words}</th>'
        for words in ("T [K] in the channel", "W [K km/s]", "⟨v⟩ [km/s]", "σ_v [km/s]", "T_peak [K]")
    )
    return (
        f"<p><b>Cursor at x = {x:.3g} {unit}, y = {y:.3g} {unit}</b></p>"
        f"<table><tr><th>cube</th><th>pixel</th>{heads}</tr>{rows}</table>"
    )


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−") if np.isfinite(value) else "no value"


def sky(ppv: Any, row: int, column: int) -> str:
    """Return the coordinates of a pixel in words, "" where a cube has none."""
    if ppv.wcs is None:
        return ""
    return ppv.wcs.pixel_to_world(column, row).to_string("hmsdms", precision=0)
