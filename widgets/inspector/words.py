"""What the inspector of training sets says: its lines of Python, its tables, its states, its help."""

from __future__ import annotations

import html
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from polaris_lab.datasets import PatchConfig
from widgets.candidate_figures import LOOKS
from widgets.parts import plain

HELP = """
**Reading the maps.** Every square is a window that was tried. Blue circles are kept. Point at a mark to see why it
fell; tap it, or type its number, to see its images.

**The filter.** A window of score *s* is drawn with f(s) = 1 / (1 + exp(−A (s − B))). *s* weighs the smoothness
of both maps and the difference between them: high where there is much to learn.

**Building** goes on while you use the page, and after it is closed. What was stored before Cancel is kept.
"""

_MARKERS = {
    "circle": '<circle cx="8" cy="8" r="5"/>',
    "x": '<path d="M3 3L13 13M13 3L3 13" stroke-width="2.5"/>',
    "triangle": '<path d="M8 2L14 13H2Z"/>',
    "diamond": '<path d="M8 1L14 8L8 15L2 8Z"/>',
    "square": '<rect x="3" y="3" width="10" height="10"/>',
    "hex": '<path d="M8 1L14 4.5V11.5L8 15L2 11.5V4.5Z"/>',
}
"""The markers of the figures as drawings of 16 x 16."""

_TITLES = {
    "running": ("info", "Building"),
    "stopping": ("warning", "Stopping"),
    "stopped": ("warning", "Stopped"),
    "finished": ("success", "Built"),
    "failed": ("error", "Not built"),
}


def code(source: str, config: PatchConfig, candidate: int | None, dataset: str) -> str:
    """Return the Python lines that make the same proposals, show them, and would build the dataset.

    Examples
    --------
    >>> print(code("cube", PatchConfig(steepness=4.0), None, "fog.zarr"))
    import polaris_lab as lab
    from widgets import TrainingSetInspector
    <BLANKLINE>
    config = lab.PatchConfig(steepness=4.0)
    proposals = lab.propose_patches(cube, config)
    TrainingSetInspector(proposals, cube=cube)
    # dataset = lab.build_dataset(cube, config, 'fog.zarr')
    """
    changed = {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if getattr(config, field.name) != field.default
    }
    choices = ", ".join(f"{name}={value!r}" for name, value in changed.items())
    chosen = "" if not candidate else f", candidate={candidate}"
    lines = [
        "import polaris_lab as lab",
        *(["from astropy import units as u"] if "* u." in source else []),
        "from widgets import TrainingSetInspector",
        "",
        *([] if source == "cube" else [f"cube = {source}"]),
        f"config = lab.PatchConfig({choices})",
        "proposals = lab.propose_patches(cube, config)",
        f"TrainingSetInspector(proposals, cube=cube{chosen})",
        f"# dataset = lab.build_dataset(cube, config, {dataset!r})",
    ]
    return "\n".join(lines)


def state(proposals: Any, error: str) -> tuple[str, str, str]:
    """Return severity, title and words of the line over the maps."""
    if error:
        return "error", "These choices cannot be", plain(f"{error}. What is drawn are the last that could.")
    counts = proposals.counts()
    if not counts["accepted"]:
        return (
            "warning",
            "No patch is kept",
            plain(
                f"All {sum(counts.values())} candidates fell; the table says at which test. Lower B or the minimum "
                "distance, or raise the low-density cut."
            ),
        )
    split = proposals.accepted["split"].tolist()
    first = (
        f"{sum(counts.values())} candidates on {len(proposals.faces)} faces; kept are {split.count('training')} patches "
        f"for training and {split.count('validation')} for validation"
    )
    notes = [note[0].upper() + note[1:] for note in proposals.summary().splitlines()[1:]]
    return "success", f"{counts['accepted']} patches kept", plain(". ".join([first, *notes]) + ".")


def reasons(proposals: Any) -> str:
    """Return how many candidates met each fate, and what it means, as a table in HTML."""
    counts = proposals.counts()
    total = max(1, sum(counts.values()))
    rows = "".join(
        f"<tr><td>{_mark(look.marker, look.colour)} {html.escape(look.words)}</td>"
        f'<td class="number">{counts[fate]}</td><td class="number">{100 * counts[fate] / total:.1f} %</td>'
        f"<td>{html.escape(look.meaning)}</td></tr>"
        for fate, look in reversed(LOOKS.items())
    )
    return (
        '<table><tr><th>what became of it</th><th class="number">candidates</th><th class="number">share</th>'
        f"<th>why</th></tr>{rows}</table>"
    )


def candidate(proposals: Any, number: int | None) -> str:
    """Return what is to be said of the chosen candidate, in HTML."""
    if number is None:
        return "<p>Tap a mark on a map, or type a number, to see why that candidate was kept or fell.</p>"
    row = {name: values[number] for name, values in proposals.table.items()}
    size = proposals.pixel_size_pc
    at = ", ".join(f"{int(pixel) * size:.3g}" for pixel in row["origin"][::-1])
    words = (
        f"line of sight {row['line_of_sight']}, first pixel at ({at}) pc; score s = {row['score']:.3g} (above "
        f"{100 * row['quantile']:.0f} % of all windows), f(s) = {100 * row['probability']:.3g} %, "
        f"{100 * row['diffuse_fraction']:.3g} % very diffuse pixels"
    )
    reason = html.escape(proposals.reason(number))
    return f"<p><b>Candidate {number}: {reason}.</b><br>{html.escape(words)}.</p>"


def of_job(seen: Any, *, can_build: bool) -> tuple[str, str, str]:
    """Return severity, title and words of the line under the button."""
    if seen.status in _TITLES:
        return *_TITLES[seen.status], seen.message
    if can_build:
        return (
            "info",
            "Ready",
            "Build dataset stores the kept patches under this name, in the workspace folder.",
        )
    return "info", "Only to look at", "Nothing can be built without the cloud: give the inspector cube=cube."


def where(folder: Path) -> str:
    """Return the line that tells which folder datasets are built in, in HTML."""
    return f'Workspace<br><span style="overflow-wrap: anywhere">{html.escape(str(folder))}</span>'


def file_name(name: str) -> str:
    """Return a name that any file system takes.

    Examples
    --------
    >>> file_name("synthetic cloud 0"), file_name("")
    ('synthetic_cloud_0', 'cloud')
    """
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or "cloud"


def _mark(marker: str, colour: str) -> str:
    """Return the marker of a figure as a drawing."""
    return (
        f'<svg width="16" height="16" aria-hidden="true" fill="{colour}" stroke="{colour}" stroke-width="0">'
        f"{_MARKERS[marker]}</svg>"
    )
