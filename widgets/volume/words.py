"""What the volume viewer says: its lines of Python, its help, the words in the corner of the picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from widgets.volume.data import Grid, VolumeData

TITLE = "Volume viewer"

PURPOSE = "Look into a cloud, a line cube or a predicted cube from any side, and fly through it."

HELP = """
**Mouse.** Drag turns, shift-drag moves, the wheel goes nearer and then on through the cloud (click the picture first).

**Keys** on the picture: arrows turn, + and − zoom, W S A D Q E fly, space spins, R goes back.

**Modes.** *Composite*: colours and opacities, near gas hides far gas. *Maximum*: the largest value of each ray.
*Emission*: a cloud is seen in a line, by radiative transfer in the chosen velocity channel; other cubes are added up.

**Opacity.** Drag the points of the curve, click to add one, select one and press backspace to take it away; or type them.

**Slices.** Tap one to move the two others.

**Drawn** by the browser (WebGL2), or by the server: *torch* works everywhere, *PyVista* draws isosurfaces and slices too,
if the machine has an OpenGL library. While the picture moves it is reduced; its corner tells how much.

**Save movie** goes once around what is seen, drawn by the server, and saves a .webp file; press again to stop.
"""

EMPTY = (
    "Choose a file on the left: a cube in .npy, .fits, .npz, .h5, .zarr or .vtk inside the workspace folder."
)

ADDRESS = "expected values in the range of the controls, got {}; correct the address"


def code(source: str, changed: Mapping[str, Any]) -> str:
    """Return the Python lines that show the same.

    Examples
    --------
    >>> print(code("lab.sample_cloud()", {"mode": "maximum"}))
    import polaris_lab as lab
    from widgets import VolumeViewer
    <BLANKLINE>
    cube = lab.sample_cloud()
    VolumeViewer(cube, mode='maximum')
    """
    imports = ["import numpy as np"] if "np." in source else []
    if "lab." in source:
        imports.append("import polaris_lab as lab")
    opened = [] if source == "cube" else [f"cube = {source}"]
    choices = "".join(f", {name}={value!r}" for name, value in changed.items())
    return "\n".join(
        [*imports, "from widgets import VolumeViewer", "", *opened, f"VolumeViewer(cube{choices})"]
    )


def size(data: VolumeData) -> str:
    """Return the shape of a volume in words."""
    return " × ".join(str(n) for n in data.shape) + " cells"


def gigabytes(data: VolumeData) -> str:
    """Return what a volume takes in memory as float32."""
    cells = 1.0
    for n in data.shape:
        cells *= n
    return f"{4 * cells / 1e9:.1f} GB"


def corner(data: VolumeData, grid: Grid, mode: str, more: list[str]) -> list[str]:
    """Return the lines in the corner of the picture; a reduced volume always says its factor."""
    if grid.factor == 1:
        shown = "every cell is shown"
    else:
        kind = "maximum" if mode == "maximum" else "mean"
        shown = f"reduced {grid.factor}×: each cell shown is the {kind} of {grid.factor}³"
    return [f"{data.name}: {size(data)}, {shown}", *more]


def emission(made: Any, line: str, *, velocity: float, dispersion: float) -> list[str]:
    """Return the lines in the corner that tell what emits, and what was assumed of it."""
    if made.fields is None:
        return ["emission: added up along the ray, nothing absorbs"]
    words = [f"{line} at {velocity:.2f} km s⁻¹ along the view, LTE, σ = {dispersion:.2f} km s⁻¹"]
    if made.factor > 1:
        words.append(f"gas reduced {made.factor}×: each cell is the mean of {made.factor}³")
    return words + [f"assumed: {assumed}" for assumed in made.assumed]


def reduce_request(data: VolumeData) -> str:
    """Return the words for a volume that is read only when asked for."""
    return (
        f"{data.name} has {size(data)}, {gigabytes(data)}: too many for a browser. Press the button to read it once and "
        f"show it reduced {data.factor}× along each axis; until then nothing is read."
    )


def no_webgl(status: str) -> str:
    """Return the words when the browser cannot march rays."""
    return (
        f"{status}. The server draws instead (torch, on the processor): slower and coarser, the same picture. For full speed "
        "use a browser with WebGL2, or switch on hardware acceleration in its settings."
    )


def value(data: VolumeData, cell: tuple[int, int, int]) -> str:
    """Return the value where the three slices meet."""
    place = ", ".join(
        f"{axis.name} = {axis.at(index):.4g} {axis.unit}".strip()
        for axis, index in zip(data.axes, cell, strict=True)
    )
    quantity, _, unit = data.label.partition(" [")
    number = f"{data.value(*cell):.4g} {unit.rstrip(']')}".strip()
    return f"Where the slices meet ({place}): {quantity} = {number}"
