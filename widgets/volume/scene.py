"""What a volume viewer's choices mean: the scene of a picture, for the browser and for the projector alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polaris_lab.clouds import SimulationCube
from polaris_lab.radiative_transfer import Line, line_fields
from polaris_lab.radiative_transfer.abundance import ABUNDANCE
from polaris_lab.radiative_transfer.emissivity import LineFields
from widgets.axes import log_ticks, power_of_ten
from widgets.style import typeset
from widgets.volume.data import Grid, VolumeData, reduce_field
from widgets.volume.projector import Scene
from widgets.volume.textures import HALF_LARGEST, line_numbers, palette, stack

STEPS_PER_CELL = 1.5
"""Steps of a ray through one cell of the texture."""

GAS_CELLS = 128
"""The gas of a line is sent with no more cells a side (8 bytes each)."""

LINES = {f"{molecule} {step}": (molecule, step) for molecule in ABUNDANCE for step in ("1-0", "2-1", "3-2")}
"""Lines on offer."""


@dataclass(frozen=True, eq=False)
class Emission:
    """Gas that emits, as textures hold it."""

    gas: np.ndarray
    kelvin: np.ndarray
    factor: int
    fields: LineFields | None
    """None where values are added up (thin)."""
    thin_step: float
    peak: float
    """Brightness of the upper end of the colours."""
    label: str
    assumed: tuple[str, ...] = ()


def fill_of(data: VolumeData, factor: int) -> tuple[float, float, float]:
    """Return the part of a texture's sides along x, y, z that the box fills: its last blocks may be thinner."""
    return tuple(n / (-(-n // factor) * factor) for n in data.shape[::-1])


def emission_of(data: VolumeData, grid: Grid, line: str) -> Emission:
    """Return what a volume emits: a cloud the line, by radiative transfer; other cubes their sum along the ray."""
    if isinstance(data.source, SimulationCube):
        molecule, step = LINES[line]
        factor = -(-max(data.shape) // GAS_CELLS)
        fields = line_fields(
            data.source,
            Line.named(molecule, step),
            abundance=ABUNDANCE[molecule],
            reduce=lambda values: reduce_field(values, factor),
        )
        scale = HALF_LARGEST / max(float(fields.opacity.max()), 1e-30)
        gas = stack(fields.velocity, fields.opacity * np.float32(scale))
        kelvin = fields.temperature.astype(np.float16)
        label = f"{line} [K]"
        return Emission(gas, kelvin, factor, fields, 0.0, max(fields.brightest, 1e-3), label, fields.assumed)
    values = np.nan_to_num(grid.mean)
    depth = abs(data.axes[0].ends[1] - data.axes[0].ends[0])
    sums = values.mean(axis=0) * depth
    unit = data.label.split("[")[-1].rstrip("]") if "[" in data.label else data.label
    label = f"∫ d{data.axes[0].name} [{unit} {data.axes[0].unit}]"
    scale = 1000 / max(float(np.abs(values).max()), 1e-30)
    step = depth / (2 * float(data.half[2])) / scale
    peak = max(float(np.nanmax(sums)), 1e-30)
    return Emission(
        (values * scale).astype(np.float16),
        np.ones((1, 1, 1), np.float16),
        grid.factor,
        None,
        step,
        peak,
        label,
    )


def velocities_of(data: VolumeData) -> tuple[float, float]:
    """Return the velocities of a volume's gas, from a part of its layers, with a margin [km/s]."""
    cube = data.source
    if not isinstance(cube, SimulationCube) or not cube.velocity:
        return -2.0, 2.0
    parts = [np.asarray(v[:: max(1, v.shape[0] // 32)]) for v in cube.velocity.values()]
    low, high = min(part.min() for part in parts), max(part.max() for part in parts)
    return float(np.floor(low - 0.5)), float(np.ceil(high + 0.5))


def build_scene(
    data: VolumeData,
    grid: Grid,
    *,
    mode: str,
    lut: np.ndarray,
    clips: Sequence[tuple[float, float]],
    density: float,
    emission: Emission | None = None,
    channel: float = 0.0,
    dispersion: float = 0.0,
    peak: float | None = None,
) -> Scene:
    """Return the scene of a picture.

    Parameters
    ----------
    data, grid
        The volume, and as it is shown.
    mode : str
        "composite", "maximum" or "emission".
    lut : ndarray
        Of :func:`widgets.volume.textures.colour_table`.
    clips : sequence of (float, float)
        The part that is seen along depth, rows, columns, as fractions of the box.
    density : float
        Optical depth of opacity 1 per side of the box.
    emission : Emission, optional
        Needed in that mode.
    channel, dispersion : float
        Velocity and unresolved motion [km/s].
    peak : float, optional
        Brightness of the upper end of the colours.
    """
    low, high = zip(*(sorted(clip) for clip in clips), strict=True)
    ends = [
        tuple(float((2 * v - 1) * h) for v, h in zip(end[::-1], data.half, strict=True))
        for end in (low, high)
    ]
    longest = max(data.extents)  # cells of the texture per side of 1
    cells = max(n / grid.factor * longest / side for n, side in zip(data.shape, data.extents, strict=True))
    more: dict[str, Any] = {}
    if mode == "emission" and emission is not None:
        numbers = {
            "channel": 0.0,
            "thermal": 1.0,
            "broad": 0.0,
            "transition": 1.0,
            "behind": 0.0,
            "cell": 1.0,
        }
        if emission.fields is not None:
            scale = HALF_LARGEST / max(float(emission.fields.opacity.max()), 1e-30)
            numbers = line_numbers(emission.fields, data, dispersion=dispersion, channel=channel, scale=scale)
        numbers |= {"thin_step": emission.thin_step, "peak": float(peak or emission.peak)}
        more = {
            "gas": emission.gas,
            "kelvin": emission.kelvin,
            "gas_fill": fill_of(data, emission.factor),
            "thin": emission.fields is None,
            "line": numbers,
        }
    return Scene(
        texture=grid.texture(mode),
        lut=lut,
        half=data.half,
        fill=fill_of(data, grid.factor),
        mode=mode,
        clip_low=ends[0],
        clip_high=ends[1],
        stride=float(1 / (STEPS_PER_CELL * cells)),
        density=float(density),
        **more,
    )


def for_browser(scene: Scene) -> dict[str, Any]:
    """Return the numbers of a scene as the browser's component takes them (textures travel on their own)."""
    nothing = dict.fromkeys(
        ("channel", "thermal", "broad", "peak", "transition", "behind", "cell", "thin_step"), 1.0
    )
    return {
        **nothing,
        **scene.line,
        "mode": scene.mode,
        "half": [float(v) for v in scene.half],
        "fill": list(scene.fill),
        "gas_fill": list(scene.gas_fill),
        "clip_low": list(scene.clip_low),
        "clip_high": list(scene.clip_high),
        "stride": scene.stride,
        "density": scene.density,
        "thin": scene.thin,
    }


def bar_of(label: str, low: float, high: float, *, logarithmic: bool, colours: str) -> dict[str, Any]:
    """Return the colour bar of a picture: 17 colours, ticks as (part of the way, words), and a label.

    Examples
    --------
    >>> [tick["text"] for tick in bar_of("n", 1.0, 3.0, logarithmic=True, colours="gray")["ticks"]]
    ['10', '20', '50', '100', '200', '500', '1000']
    """
    if logarithmic:
        places = log_ticks(10**low, 10**high, most=7)
        ticks = [((float(np.log10(place)) - low) / (high - low), power_of_ten(place)) for place in places]
    else:
        step = 10 ** np.floor(np.log10((high - low) / 3))
        step *= next(s for s in (1, 2, 5, 10) if (high - low) / (s * step) <= 6)
        places = np.arange(np.ceil(low / step - 1e-6), np.floor(high / step + 1e-6) + 1) * step
        ticks = [((place - low) / (high - low), f"{place + 0.0:.4g}") for place in places]
    shades = palette(colours)[np.round(np.linspace(0, 255, 17)).astype(int)]
    return {
        "label": typeset(label),
        "colours": ["#{:02x}{:02x}{:02x}".format(*shade) for shade in shades],
        "ticks": [{"at": float(at), "text": text} for at, text in ticks if -1e-6 <= at <= 1 + 1e-6],
    }


def markers_of(cores: Any, data: VolumeData) -> list[dict[str, Any]]:
    """Return markers at places given in the units of the axes.

    Parameters
    ----------
    cores : mapping, table or sequence
        Columns by the names of the axes, such as ``{"z": [...], "y": [...], "x": [...], "name": [...]}`` (a pandas
        or astropy table too), or rows (depth, row, column) or (depth, row, column, name).
    data : VolumeData
        Its axes say where they lie.

    Returns
    -------
    list of dict
        ``place`` (x, y, z in the drawn box) and ``name``; markers outside the box are left out.

    Raises
    ------
    ValueError
        If a column is missing or a place is no finite number.
    """
    rows = []
    for number, (place, name) in enumerate(_rows_of(cores, data)):
        if not np.isfinite(place).all():
            raise ValueError(
                f"cores: expected finite places, got {place} in row {number}; leave that row out"
            )
        parts = [
            (axis.index(float(value)) + 0.5) / axis.cells
            for axis, value in zip(data.axes, place, strict=True)
        ]
        if all(0 <= part <= 1 for part in parts):
            where = [float((2 * part - 1) * half) for part, half in zip(parts[::-1], data.half, strict=True)]
            rows.append({"place": where, "name": str(name)})
    return rows


def _rows_of(cores: Any, data: VolumeData) -> Iterable[tuple[np.ndarray, str]]:
    if cores is None:
        return []
    names = getattr(cores, "colnames", None) or getattr(cores, "columns", None)
    if names is None and isinstance(cores, Mapping):
        names = cores.keys()
    if names is not None:
        wanted = [axis.name for axis in data.axes]
        missing = [name for name in wanted if name not in set(names)]
        if missing:
            raise ValueError(
                f"cores: expected the columns {', '.join(wanted)} [{data.axes[-1].unit}], got none called "
                f"{', '.join(missing)}; rename them"
            )
        places = np.array([np.asarray(cores[name], float) for name in wanted]).T
        words = [str(name) for name in cores["name"]] if "name" in set(names) else [""] * len(places)
        return list(zip(places, words, strict=True))
    rows = [tuple(row) for row in cores]
    if any(len(row) not in (3, 4) for row in rows):
        raise ValueError("cores: expected rows of (depth, row, column) or with a name as the fourth")
    return [(np.array(row[:3], float), row[3] if len(row) == 4 else "") for row in rows]
