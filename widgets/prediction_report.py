"""The report of predictions: maps, flags, notes and words for a paper, as one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polaris_lab.observations.prediction import REASONS
from widgets import figures, style
from widgets.html_report import Code, Figure, Figures, Note, Section, Table, write_report

MAP_PIXELS = 320
"""Longest side of a map in the report; larger ones are drawn from block means."""


def prediction_section(observation: Any, prediction: Any, name: str, *, literature: Any = None) -> Section:
    """Return what is to be said and shown of one map.

    Parameters
    ----------
    observation : Observation
        The map that was predicted from.
    prediction : Prediction
        The density, on the grid of the observation.
    name : str
        What the map is called.
    literature : LiteratureComparison, optional
        Published densities of the cloud beside those predicted.
    """
    density = prediction.density[np.isfinite(prediction.density)]
    low, median, high = np.percentile(density, [1, 50, 99])
    words = (
        f"n_H has a median of {median:.3g} cm^-3 and lies between {low:.3g} and {high:.3g} cm^-3 in 98 % of the "
        f"{density.size} pixels that were observed."
    )
    words = style.typeset(words)
    parts: list[Any] = [words, *(Note(note) for note in prediction.notes)]
    parts.append(Figures(_maps(observation, prediction)))
    if literature is not None:
        parts.append(_literature(literature))
    parts += [_flags(prediction), _provenance(prediction)]
    return Section(name, [*parts, "For a paper:", Code(str(prediction.cite()))])


def prediction_report(path: str | Path, sections: Sequence[Section], *, failed: Sequence[str] = ()) -> Path:
    """Write the report of one or several predictions.

    Parameters
    ----------
    path : str or Path
        The HTML file; an older one is replaced.
    sections : sequence of Section
        From :func:`prediction_section`.
    failed : sequence of str
        What went wrong with other maps, a sentence each.
    """
    parts = list(sections)
    if failed:
        parts.append(Section("Not predicted", [Note(words) for words in failed]))
    return write_report(
        path,
        title="Volume density of molecular clouds",
        sections=parts,
        summary=f"{len(sections)} map{'s' if len(sections) != 1 else ''} of column density, and the density of hydrogen "
        "nuclei behind each.",
    )


def _maps(observation: Any, prediction: Any) -> list[Figure]:
    size = {"pixel_size_pc": observation.pixel_size_pc, "max_pixels": MAP_PIXELS, "width": 285}
    target = prediction.provenance.get("target", "density")
    label = target if target in style.QUANTITIES else "density"
    row = [
        Figure(
            figures.sky_map(observation.column_density, label="column_density", title="Observed", **size),
            "Column density of hydrogen nuclei that was observed. Grey: not observed.",
        ),
        Figure(
            figures.sky_map(prediction.density, label=label, title="Predicted", **size),
            ("Density" if target == "density" else f"Density ({str(target).replace('_', ' ')})")
            + " on the grid of the map.",
        ),
    ]
    for share in (68, 95):
        lower, upper = getattr(prediction, f"lower{share}"), getattr(prediction, f"upper{share}")
        if lower is not None:
            row.append(
                Figure(
                    figures.sky_map(
                        np.log10(upper / lower),
                        label=f"{share} % interval [dex]",
                        log=False,
                        title=f"{share} % interval",  # what is added for a large map must have room
                        **size,
                    ),
                    f"Width of the {share} % interval: 0.3 dex is a factor of 2 from its lower to its upper end.",
                )
            )
            break
    flagged = np.where(np.isfinite(prediction.density), (prediction.quality != 0).astype(float), np.nan)
    if not (prediction.quality[np.isfinite(prediction.density)] != 0).all():
        row.append(
            Figure(
                figures.sky_map(flagged, label="flagged", log=False, title="Flagged", **size),
                "1 where a quality flag asks for a second look, 0 elsewhere.",
            )
        )
    return row


def _literature(literature: Any) -> Table:
    words = (
        f"Published densities of {literature.cloud} beside this prediction, all as n_H at {literature.distance_pc:g} pc; "
        "dex: predicted over published. They are densities of different gas: read the definitions."
    )
    head = [style.typeset(cell) for cell in literature.head]
    return Table(head, literature.cells(), style.typeset(words), numeric=False)


def _flags(prediction: Any) -> Table:
    valid = np.isfinite(prediction.density)
    rows = [
        (reason, str(int(count)), _share(count / max(valid.sum(), 1)))
        for flag, reason in REASONS.items()
        if (count := prediction.flagged(flag).sum())
    ]
    return Table(["flag", "pixels", "of those predicted"], rows or [("none", "0", "0%")], "Quality flags.")


def _share(part: float) -> str:
    """Write a share that is not zero so that it does not read as zero."""
    return f"{part:.1%}" if part == 0 or part >= 0.0005 else "< 0.1%"


def _provenance(prediction: Any) -> Table:
    rows = [(name, str(value)) for name, value in prediction.provenance.items() if value is not None]
    return Table(["what", "value"], rows, "Where the prediction comes from.", numeric=False)
