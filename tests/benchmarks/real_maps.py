"""Predict the real maps at hand with the network that is shipped, and write the page about them.

    python tests/benchmarks/real_maps.py DATA [PAGE.md]

DATA is the folder with column/, extinction/ and cores/. A map that is not there is left out, and the page says so. PAGE
(docs/real_maps.md by default) gets a picture for each map beside it, in images/.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import itertools
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from astropy import units as u
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

import polaris_lab as lab
from polaris_lab.config import write_bytes
from polaris_lab.observations.cores import core_errors, cores_on_map, find_cores, read_catalogue
from polaris_lab.observations.literature import compare_with_literature
from polaris_lab.observations.prediction import REASONS

AT_CORES = (
    "Predictions at cores lie far below the catalogue, and their 95 % intervals rarely hold it: do not read the density of a core from this network. "
    "Part of it is definition (the beam of 36 to 46 arcsec is wider than most of these cores, whose deconvolved radii are uncertain, and the Gaussian factor "
    "supposes a resolved peak), but an interval that claims to cover what the beam hides should have held them, and many of these pixels "
    "carry no flag: the quality flags do not see this failure. Even the catalogue's column over its beam gives more."
)
ON_COMPLEXES = (
    "On maps of whole complexes the published filament densities are not reached either: at 0.07 to 0.17 pc a pixel averages "
    "over the filament, and unrelated gas along the line of sight counts."
)
OWN_CORES = {"minimum": 1e22 * u.cm**-2, "contrast": 3e21 * u.cm**-2, "smallest_pixels": 9}
"""Where no catalogue is at hand: the leaves of the map's own dendrogram (N_H)."""

CORES = "cores/perseus_hgbs_derived_subset.csv"
LARGEST_PICTURE = 120_000  # bytes
DENSITIES = {"mean_density": 2.46, "mean_density_observed": 2.46, "peak_density": 0.5**0.5}
"""Densities of the catalogue, and the mass-weighted mean on the axis of a Gaussian core over each."""

COLUMN_BINS = (20.5, 21.0, 21.5, 22.0, 22.5, 23.0)


@dataclasses.dataclass(frozen=True)
class RealMap:
    """A map, and how it is opened.

    Attributes
    ----------
    name, file : str
    opened : dict
        Arguments of `Observation.from_fits`.
    published : str
        Cloud of the literature table; empty where it has none.
    cores : bool
        Whether cores of the catalogue lie on it.
    caution : str
        What a reader must know of the map.
    """

    name: str
    file: str
    opened: dict[str, Any]
    published: str = ""
    cores: bool = False
    caution: str = ""


MAPS = (
    RealMap("B5", "column/perseus_b5_herschel_NH2.fits",
            {"distance": 300 * u.pc, "species": "H2", "beam": 36 * u.arcsec}, cores=True),
    RealMap("IC348", "column/perseus_ic348_NH2.fits",
            {"distance": 300 * u.pc, "species": "H2", "unit": "cm-2", "beam": 46 * u.arcsec}, cores=True,
            caution="Its header is that of a line cube; its beam is not stated and taken for that of the cube, 46 arcsec."),
    RealMap("Orion A_V", "extinction/orion_AV.fits", {"distance": 400 * u.pc, "species": "A_V"}, "Orion A",
            caution="The map holds Orion A and B and gas around them; its beam is not known and was not told."),
    RealMap("Taurus", "column/taurus_planck_logNH.fits",
            {"distance": 140 * u.pc, "species": "H", "unit": "dex(cm-2)", "beam": 5 * u.arcmin}, "Taurus L1495",
            caution="A field of 16 degrees of which L1495 is a part, seen with 5 arcmin (0.2 pc): filaments are not resolved."),
)  # fmt: skip


def picture(title: str, column: np.ndarray, found: Any, path: Path, cores: Any = None) -> None:
    """Draw column density and density with the cores (x, y), width of the interval and flags, in at most LARGEST_PICTURE bytes.

    Pixels that were not observed are hatched, so that they do not read as pixels without a flag. Scales have 24 steps:
    a picture of fewer colours may have more pixels.
    """
    figure = Figure(figsize=(11, 2.9), layout="constrained")
    figure.suptitle(title, fontsize=10)
    valid = np.isfinite(found.density)
    flagged = np.where(valid, (found.quality != 0).astype(float), np.nan)
    shown = (
        ("log N_H [cm$^{-2}$]", np.log10(column), "viridis"),
        (r"log $\langle n_H\rangle_M$ [cm$^{-3}$]", np.log10(found.density), "inferno"),
        ("width of the 95 % interval [dex]", np.log10(found.upper95 / found.lower95), "cividis"),
        ("grey: flagged; hatched: not observed", flagged, "Greys"),
    )
    for number, (axes, (label, values, colours)) in enumerate(zip(figure.subplots(1, 4), shown, strict=True)):
        axes.patch.set(facecolor="#dbe6f2", hatch="////", edgecolor="#8aa5c4", linewidth=0)
        step = max(1, max(values.shape) // 400)
        limits = {"vmin": 0, "vmax": 1.6} if colours == "Greys" else {}
        low, high = np.nanquantile(values, (0.002, 0.998))
        image = axes.imshow(
            values[::step, ::step],
            origin="lower",
            cmap=colormaps[colours].resampled(24),
            interpolation="nearest",
            **(limits or {"vmin": low, "vmax": high}),
        )
        if cores is not None and number < 2:
            axes.scatter(
                cores.x / step, cores.y / step, s=22, facecolors="none", edgecolors="white", linewidths=0.8
            )
        axes.set_title(label, fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
        if not limits:
            figure.colorbar(image, ax=axes, shrink=0.85).ax.tick_params(labelsize=7)
    for dpi in (110, 100, 90, 80, 70, 60, 45):
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=dpi)
        data = _with_a_palette(data)
        if len(data.getvalue()) <= LARGEST_PICTURE:
            break
    write_bytes(path, data.getvalue())


def _with_a_palette(picture: io.BytesIO) -> io.BytesIO:
    """Return the picture with 256 colours of its own, rare ones (those of the scales) kept: a third of the bytes."""
    written = io.BytesIO()
    few = (
        Image.open(picture).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    )
    few.save(written, format="png", optimize=True)
    return written


def by_column(column: np.ndarray, found: Any) -> list[str]:
    """Return the predicted density in bins of column density, beside N over the length of a cube's side, as a table."""
    log = np.log10(column)
    lines = [
        "| log N_H | pixels | median log n | 16 - 84 % of the pixels | median width of the 95 % interval [dex] | flagged |",
        "|---|---|---|---|---|---|",
    ]
    for low, high in itertools.pairwise(COLUMN_BINS):
        inside = (log >= low) & (log < high) & np.isfinite(found.density)
        if inside.sum() < 20:
            continue
        n = np.log10(found.density[inside])
        width = np.log10(found.upper95[inside] / found.lower95[inside])
        lines.append(
            f"| {low}-{high} | {inside.sum()} | {np.median(n):.2f} | {np.quantile(n, 0.16):.2f} - {np.quantile(n, 0.84):.2f} "
            f"| {np.median(width):.2f} | {(found.quality[inside] != 0).mean():.0%} |"
        )
    return lines


def intervals_hold(found: Any, errors: Any) -> float:
    """Return the share of cores whose catalogue density lies in the 95 % interval of their pixel."""
    at = np.rint(errors.y).astype(int), np.rint(errors.x).astype(int)
    return float(((found.lower95[at] <= errors.catalogue) & (errors.catalogue <= found.upper95[at])).mean())


def beside_cores(sky: Any, found: Any, catalogue: Any) -> list[str]:
    """Return how the densities at the catalogue's cores compare, in two definitions, and how many intervals hold them."""
    lines = [
        "| cores | catalogue's density | median error [dex] | scatter [dex] | within 0.3 dex | 95 % interval holds it | flagged |",
        "|---|---|---|---|---|---|---|",
    ]
    fits = np.array(["no SED fit" not in str(comment) for comment in catalogue["comment"]])
    for label, table in (("all", catalogue), ("with a fitted temperature", catalogue[fits])):
        for column, factor in DENSITIES.items():
            try:
                errors = core_errors(
                    found.density, sky.column_density, sky.wcs, table, column=column, profile_factor=factor
                )
            except ValueError as error:
                lines.append(f"| {label} | {column} | {error} | | | | |")
                continue
            at = np.rint(errors.y).astype(int), np.rint(errors.x).astype(int)
            lines.append(
                f"| {label} ({len(errors)}) | {column} | {errors.bias_dex:+.2f} | {errors.scatter_dex:.2f} "
                f"| {(np.abs(errors.error_dex) < 0.3).mean():.0%} | {intervals_hold(found, errors):.0%} | {(found.quality[at] != 0).mean():.0%} |"
            )
    return lines


def beside_its_own(own: Any) -> list[str]:
    """Return how the predicted densities of a map's own dendrogram leaves compare with those of spheres of their mass."""
    sphere = 2 * np.asarray(own["mean_density"], float)  # nuclei
    ratio = np.log10(np.asarray(own["predicted_density"], float) / sphere)
    inner = np.quantile(np.asarray(own["radius"], float), (0.16, 0.5, 0.84))
    return [
        f"No core catalogue of this map is at hand. Circles are the {len(own)} leaves of its own dendrogram (N_H above "
        f"{OWN_CORES['minimum'].value:.0e} cm^-2, rising {OWN_CORES['contrast'].value:.0e} above where they merge), of radius {inner[1]:.2f} pc "
        f"({inner[0]:.2f} to {inner[2]:.2f}): structures of this size, not dense cores. The predicted density in them is {np.median(ratio):+.2f} dex (median; "
        f"{np.quantile(ratio, 0.16):+.2f} to {np.quantile(ratio, 0.84):+.2f}) off that of a sphere of their mass and area, an estimate from the same map and no truth."
    ]


def by_column_of_cores(sky: Any, found: Any, catalogue: Any) -> tuple[list[str], str]:
    """Return the error of the cores in bins of column density, in two definitions, as a table, and how many misses are unflagged."""
    lines = [
        "| log N_H of the core | density of the map | cores | median error [dex] | scatter [dex] | flagged |",
        "|---|---|---|---|---|---|",
    ]
    column = "mean_density_observed"
    core = cores_on_map(sky, found, catalogue, column=column).errors
    line = core_errors(found.density, sky.column_density, sky.wcs, catalogue, column=column)
    at = np.rint(line.y).astype(int), np.rint(line.x).astype(int)
    line = dataclasses.replace(line, flagged=found.quality[at] != 0)
    for words, errors in (("mean of the line of sight", line), ("core behind the diffuse gas", core)):
        for row in errors.by_column():
            scatter = f"{row['scatter_dex']:.2f}" if np.isfinite(row["scatter_dex"]) else "-"
            lines.append(
                f"| {row['low']:.2f}-{row['high']:.2f} | {words} | {row['cores']} | {row['median_dex']:+.2f} | {scatter} | {row['flagged']:.0%} |"
            )
    missed = np.abs(line.error_dex) > 0.5
    return lines, (
        f"{missed.sum()} of {len(line)} lines of sight are more than 0.5 dex off, and {(missed & ~line.flagged).sum()} of these "
        f"{missed.sum()} carry no flag at all"
    )


def section(chosen: RealMap, data: Path, images: Path) -> tuple[list[str], str]:
    """Predict one map; return what the page says of it, and where it fails in one line."""
    lines = [f"## {chosen.name}", ""]
    if not (data / chosen.file).is_file():
        return [*lines, f"Not at hand (`{chosen.file}`): left out.", ""], f"{chosen.name}: not at hand."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sky = lab.Observation.from_fits(data / chosen.file, **chosen.opened)
        found = lab.predict_density(sky, progress=False)
        file = f"real_{chosen.name.lower().replace(' ', '_')}.png"
        cores, own = None, None
        if chosen.cores and (data / CORES).is_file():
            catalogue = read_catalogue(data / CORES, distance=300 * u.pc)
            cores = core_errors(
                found.density, sky.column_density, sky.wcs, catalogue, column="mean_density_observed"
            )
        else:
            own = find_cores(
                sky.column_density, sky.wcs, distance=sky.distance, density=found.density, **OWN_CORES
            )
        circles = f"{len(own)} leaves of its dendrogram" if cores is None else f"{len(cores)} cores"
        head = f"{chosen.name}, {chosen.opened['distance']:g}; circles: {circles}"
        marks = SimpleNamespace(x=np.asarray(own["x"]), y=np.asarray(own["y"])) if cores is None else cores
        picture(head, sky.column_density, found, images / file, marks)
        valid = np.isfinite(found.density)
        density = found.density[valid]
        fails = [f"{(found.quality[valid] != 0).mean():.0%} of the valid pixels are flagged"]
        width = np.log10(found.upper95[valid] / found.lower95[valid])
        lines += [
            f"![{chosen.name}](images/{file})", "",
            f"`{chosen.file}`, {sky.shape[1]} x {sky.shape[0]} pixels of {sky.pixel_size_pc:.3f} pc at {chosen.opened['distance']:g}, "
            f"{valid.mean():.0%} valid. n_H (mass-weighted) {density.min():.2g} to {density.max():.2g} cm^-3, median {np.median(density):.2g}; the "
            f"95 % interval is {np.median(width):.2f} dex wide (median). {chosen.caution}".rstrip(), "",
            "| quality flag | share of the valid pixels |", "|---|---|",
            *(f"| {reason} | {(found.flagged(flag) & valid).sum() / valid.sum():.1%} |" for flag, reason in REASONS.items()
              if (found.flagged(flag) & valid).any()),
            f"| none | {(found.quality[valid] == 0).mean():.1%} |", "",
            *by_column(sky.column_density, found), "",
        ]  # fmt: skip
        if own is not None:
            lines += [*beside_its_own(own), ""]
        if cores is not None:
            table = beside_cores(sky, found, catalogue)
            lines += ["Beside the core catalogue:", "", *table, ""]
            bins, unflagged = by_column_of_cores(sky, found, catalogue)
            lines += [
                "Real cores: error by bin of column density (against `mean_density_observed`; scatter: half of the range of the middle 68 %). The "
                "core behind the diffuse gas is <n>_M N / (N - N_bg), N_bg the column blurred to 455 arcsec:", "", *bins, "",
                f"**Misses without a flag:** {unflagged}.", "",
            ]  # fmt: skip
            fails.append(
                f"its {len(cores)} cores come out {cores.bias_dex:+.2f} dex (median) off the mean density within the observed radius, "
                f"{(np.abs(cores.error_dex) < 0.3).mean():.0%} of them within 0.3 dex, and {intervals_hold(found, cores):.0%} of the 95 % intervals "
                f"hold it; {unflagged}"
            )
        if chosen.published:
            compared = compare_with_literature(
                found.density, chosen.published, distance_pc=chosen.opened["distance"].value
            )
            dex = [row[3] for row in compared.rows]
            fails.append(f"published densities lie {min(dex):+.2f} to {max(dex):+.2f} dex off")
            lines += [
                f"Beside published densities of {chosen.published}:", "",
                "| " + " | ".join(compared.head) + " |", "|" + "---|" * len(compared.head),
                *("| " + " | ".join(cells) + " |" for cells in compared.cells()), "",
            ]  # fmt: skip
    lines += ["Notes of the prediction:", "", *(f"- {note}" for note in found.notes), ""]
    return lines, f"{chosen.name}: {'; '.join(fails)}."


def page(data: Path, target: Path) -> str:
    """Return the whole page."""
    run = lab.pretrained()
    lines = [
        "# The default network on real maps", "",
        f"Made on {dt.date.today().isoformat()} by `make real-maps SHARED=DATA` (`tests/benchmarks/real_maps.py`) with the network in the package "
        f"(run {run.fingerprint}); no depth was told, one pass. Nothing here was trained on or tuned to these maps. The true density behind "
        "a real map is not known: what stands beside the predictions is other people's estimates, of other quantities. "
        "The network's answer is the mass-weighted mean along the line of sight, in nuclei of hydrogen.", "",
        "Densities of cores: HGBS (Pezzuto et al. 2021; André et al. 2010), mean density of H2 within the deconvolved (`mean_density`) or the observed "
        "radius, times 2 for nuclei and 2.46 for the mass-weighted mean on the axis of a Gaussian core; `peak_density` is no independent density but the "
        "catalogue's column over its beam of 36 arcsec (times 2 / sqrt 2), what a core would have that is as deep as the beam is wide. A core's mean counts its own gas only, the network's "
        "also what lies before and behind it; and its peak is averaged over the beam.", "",
    ]  # fmt: skip
    told = [section(chosen, data, target.parent / "images") for chosen in MAPS]
    lines += [
        "## Where it fails", "", *(f"- {fails}" for _, fails in told), "",
        *([AT_CORES, ""] if (data / CORES).is_file() else []), *([ON_COMPLEXES, ""] if (data / MAPS[-1].file).is_file() else []),
    ]  # fmt: skip
    for words, _ in told:
        lines += words
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    torch.set_num_threads(1)
    data = Path(sys.argv[1])
    data = data / "data" if (data / "data").is_dir() else data
    written = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("docs/real_maps.md")
    write_bytes(written, page(data, written).encode())
    print(f"wrote {written}")
