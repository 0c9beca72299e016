"""The report of predictions: maps, flags, notes and words for a paper, as one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polaris_lab.observations.prediction import REASONS
from widgets import figures, style
from widgets.html_report import Code, Figure, Figures, Note, Picture, Section, Table, write_report
from widgets.sky_pictures import Sky, sky_picture

MOST_ROWS = 400
"""Cores that the table of the report holds; the table beside the prediction holds all."""


def prediction_section(
    observation: Any, prediction: Any, name: str, *, literature: Any = None, cores: Any = None
) -> Section:
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
    cores : CoresOnMap, optional
        Catalogued cores on the map (:func:`polaris_lab.observations.cores.cores_on_map`).
    """
    density = prediction.density[np.isfinite(prediction.density)]
    low, median, high = np.percentile(density, [1, 50, 99])
    words = (
        f"n_H has a median of {median:.3g} cm^-3 and lies between {low:.3g} and {high:.3g} cm^-3 in 98 % of the "
        f"{density.size} pixels that were observed."
    )
    words = style.typeset(words)
    parts: list[Any] = [words, *(Note(note) for note in prediction.notes)]
    parts.append(Figures(_maps(observation, prediction, cores)))
    if cores is not None:
        parts += _cores(cores)
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


def _maps(observation: Any, prediction: Any, cores: Any) -> list[Picture]:
    sky = Sky.of(observation)
    places = None if cores is None else (cores.table["x"], cores.table["y"])
    target = prediction.provenance.get("target", "density")
    label = target if target in style.QUANTITIES else "density"
    beam = "the beam in the lower left corner" if sky.beam_pixels is not None else "the beam is not known"
    circles = "" if cores is None else f" Circles: {len(cores)} cores of the catalogue."
    row = [
        Picture(
            sky_picture(
                observation.column_density, sky, label="column_density", title="Observed", cores=places
            ),
            f"Column density of hydrogen nuclei that was observed; {beam}. Grey: not observed.{circles}",
        ),
        Picture(
            sky_picture(prediction.density, sky, label=label, title="Predicted", cores=places),
            ("Density" if target == "density" else f"Density ({str(target).replace('_', ' ')})")
            + f" on the grid of the map.{circles}",
        ),
    ]
    for share in (68, 95):
        lower, upper = getattr(prediction, f"lower{share}"), getattr(prediction, f"upper{share}")
        if lower is not None:
            words, width = f"{share} % interval", np.log10(upper / lower)
            row.append(
                Picture(
                    sky_picture(width, sky, label=f"{words} [dex]", log=False, title=words),
                    f"Width of the {words}: 0.3 dex is a factor of 2 from its lower to its upper end.",
                )
            )
            break
    flagged = np.where(np.isfinite(prediction.density), (prediction.quality != 0).astype(float), np.nan)
    if not (prediction.quality[np.isfinite(prediction.density)] != 0).all():
        row.append(
            Picture(
                sky_picture(flagged, sky, label="flagged", log=False, clim=(0, 1), title="Flagged"),
                "1 where a quality flag asks for a second look, 0 elsewhere.",
            )
        )
    return row


def _cores(cores: Any) -> list[Any]:
    """Return what is shown of the cores: notes, the table, figure 35 and its bins."""
    parts: list[Any] = [Note(style.typeset(note)) for note in cores.notes]
    if cores.errors is not None:
        found = cores.errors
        parts.append(
            f"Density of {len(found)} cores against the catalogue: median {found.bias_dex:+.2f} dex, scatter "
            f"{found.scatter_dex:.2f} dex, {np.mean(np.abs(found.error_dex) < 0.3):.0%} within 0.3 dex; "
            f"{np.mean(~found.flagged):.0%} carry no quality flag. {found.definition[0].upper()}{found.definition[1:]}."
        )
        parts.append(
            Figure(
                figures.core_errors({"cores": found}, middle="median"),
                "Error at each core against its column density, moving median and the half-width of the middle 68 %.",
            )
        )
        parts.append(_by_column(found))
    return [*parts, _core_table(cores.table)]


def _by_column(errors: Any) -> Table:
    rows = [
        (
            f"{row['low']:.2f} - {row['high']:.2f}", str(row["cores"]), f"{row['median_dex']:+.2f}",
            f"{row['scatter_dex']:.2f}" if np.isfinite(row["scatter_dex"]) else "-", f"{row['flagged']:.0%}",
        )
        for row in errors.by_column()
    ]  # fmt: skip
    head = ["log N_H", "cores", "median error [dex]", "scatter [dex]", "flagged"]
    return Table(
        head, rows, "Error of the cores in bins of column density; scatter: half of the middle 68 %."
    )


def _core_table(table: Any) -> Table:
    shares = [share for share in (68, 95) if f"lower{share}" in table.colnames]
    head = ["core", "RA [deg]", "Dec [deg]", "log N_H", "catalogue n_H", "predicted <n_H>_M", "core n_H",
            *(f"{share} % interval" for share in shares), "error [dex]", "flags"]  # fmt: skip
    rows = [
        (
            row["name"], f"{row['ra']:.4f}", f"{row['dec']:+.4f}", f"{row['log_column_density']:.2f}",
            *(_number(row[name]) for name in ("catalogue_density", "mean_density", "core_density")),
            *(f"{_number(row[f'lower{share}'])} - {_number(row[f'upper{share}'])}" for share in shares),
            f"{row['error_dex']:+.2f}" if np.isfinite(row["error_dex"]) else "-", row["flags"] or "none",
        )
        for row in table[:MOST_ROWS]
    ]  # fmt: skip
    words = (
        "Cores on the map. Densities in cm^-3 of hydrogen nuclei: that of the catalogue at the distance of the map (without "
        "the profile factor), the mass-weighted mean of the line of sight, and the core behind the diffuse gas with its interval."
    )
    if len(table) > MOST_ROWS:
        words += f" The first {MOST_ROWS} of {len(table)}; the table beside the prediction holds all."
    return Table([style.typeset(cell) for cell in head], rows, style.typeset(words))


def _number(value: float) -> str:
    """Write a density in two digits, short enough for a table of many columns."""
    return f"{value:.2g}".replace("e+0", "e") if np.isfinite(value) else "-"


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
