"""Where a prediction comes from: the entries of its header, and the words in which a paper says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

from polaris_lab.estimators.names import PAPERS
from polaris_lab.observations.maps import Observation

if TYPE_CHECKING:
    from polaris_lab.datasets.patches import TilePlan
    from polaris_lab.training.run import Run

CARDS = {
    "run_fingerprint": ("RUNFP", "fingerprint of the trained run"),
    "dataset_fingerprint": ("DATAFP", "fingerprint of its training set"),
    "model": ("MODEL", "network or estimator"),
    "members": ("MEMBERS", "fingerprints of the runs averaged"),
    "symmetries": ("SYMMETRY", "orientations averaged"),
    "target": ("TARGET", "which mean density along the line of sight"),
    "interval": ("INTERVAL", "what the intervals are"),
    "distance_pc": ("DISTANCE", "[pc] adopted distance"),
    "distance_source": ("DISTSRC", "where the distance comes from"),
    "species": ("SPECIES", "what the input map counted"),
    "law": ("LAW", "how it became N_H"),
    "foreground_cm2": ("FOREGRND", "[cm-2] N_H taken off (median)"),
    "depth_pc": ("DEPTH", "[pc] depth told to the network"),
    "inputs": ("INPUTS", "what the network was given"),
    "model_pixel_pc": ("MODPIX", "[pc] pixel of the training set"),
    "map_pixel_pc": ("MAPPIX", "[pc] pixel of the input map"),
    "scheme": ("SCHEME", "how the map was cut into tiles"),
    "object": ("OBJECT", "name of the map"),
    "source": ("SOURCE", "file of the input map"),
    "created": ("DATE", "UTC"),
    "software": ("CREATOR", "software and version"),
}
"""Header card and comment of each entry of the provenance."""

SOFTWARE = "The polaris_lab developers, polaris_lab (version {version}), software"
METHOD = (
    "Ribeiro, Z. 2025, Inferring Volume Density in Molecular Clouds Using Deep Learning, report, Institut de Planetologie "
    "et d'Astrophysique de Grenoble"
)
PARTS = "Astropy Collaboration 2022, ApJ 935, 167 (astropy); Paszke et al. 2019, NeurIPS 32 (PyTorch)"


def of_run(
    runs: Sequence[Run],
    observation: Observation,
    plan: TilePlan,
    *,
    overlap: float | None,
    symmetries: bool,
    interval: str,
    inputs: Sequence[str],
    foreground: float | None,
    depth: float | None,
) -> dict[str, Any]:
    """Return where the prediction of networks comes from."""
    rows, columns = plan.tile_shape
    scheme = f"{len(plan)} tile{'s' if len(plan) != 1 else ''} of {rows} x {columns} pixels" + (
        " with a margin" if overlap is None else f", overlap {overlap:g}, smooth weights in log density"
    )
    first = runs[0]
    return {
        "run_fingerprint": first.fingerprint,
        "dataset_fingerprint": first.dataset_fingerprint,
        "model": first.blueprint.name,
        "members": " ".join(run.fingerprint for run in runs) if len(runs) > 1 else None,
        "symmetries": 8 if symmetries else 1,
        "target": first.target,
        "interval": interval,
        **of_observation(observation),
        "foreground_cm2": foreground,
        "depth_pc": depth,
        "inputs": " ".join(inputs),
        "model_pixel_pc": first.pixel_size_pc,
        "scheme": scheme,
    }


def of_observation(observation: Observation) -> dict[str, Any]:
    """Return what is to be said of the map, the time and the software."""
    return {
        "distance_pc": observation.distance_pc,
        "distance_source": observation.distance_source,
        "species": observation.species,
        "law": observation.conversion_law,
        "map_pixel_pc": observation.pixel_size_pc,
        "object": observation.name,
        "source": observation.path.name if observation.path else None,
        "created": datetime.now(UTC).isoformat(timespec="seconds").removesuffix("+00:00"),
        "software": f"polaris_lab {metadata.version('polaris-lab')}",
    }


@dataclasses.dataclass(frozen=True)
class Citation:
    """What a paper that uses a prediction says.

    Attributes
    ----------
    methods : str
        A paragraph.
    references : tuple of str
    """

    methods: str
    references: tuple[str, ...]

    def __str__(self) -> str:
        """Return the paragraph and the references."""
        return "\n".join([self.methods, "", "References", *(f"- {entry}" for entry in self.references)])


def cite(provenance: Mapping[str, Any], notes: Sequence[str] = ()) -> Citation:
    """Write the methods paragraph and the references of a prediction from its provenance.

    What is not known is left out, not invented; the map itself is named by its file, and its own paper is for the
    author to add.
    """
    known = {name: value for name, value in provenance.items() if value is not None}
    return Citation(_methods(known, notes), _references(known))


def _methods(known: Mapping[str, Any], notes: Sequence[str]) -> str:
    kind = str(known.get("target", "density")).replace("_", "-").removesuffix("density").rstrip("-")
    kind += " " if kind else ""
    source = known.get("source") or known.get("object") or "the map"
    sentences = [
        f"The {kind}hydrogen density n_H behind {source} was derived with {known.get('software', 'polaris_lab')}.",
        f"The map ({known.get('species', '?')}; {known.get('law', 'conversion not recorded')}) was placed at a distance of "
        f"{known.get('distance_pc', float('nan')):.4g} pc, where its pixel is {known.get('map_pixel_pc', float('nan')):.4g} pc.",
    ]
    if known.get("foreground_cm2"):
        sentences.append(
            f"A foreground of N_H = {known['foreground_cm2']:.3g} cm^-2 was subtracted beforehand."
        )
    if "run_fingerprint" in known:
        members = len(str(known.get("members", "x")).split())
        what = f"{members} trained networks" if members > 1 else "a trained network"
        views = " in eight orientations" if known.get("symmetries") == 8 else ""
        sentences.append(
            f"We used {what}{views} ({known.get('model')}, run {known['run_fingerprint']}), trained on patches with pixels of "
            f"{known.get('model_pixel_pc', float('nan')):.4g} pc (training set {known.get('dataset_fingerprint')})."
        )
    else:
        sentences.append(
            f"We used the estimator {known.get('model')} of that software; it states no uncertainty."
        )
    if known.get("interval"):
        sentences.append(f"{known['interval']}.")
    sentences += [f"{note.rstrip('.')}." for note in notes if note != known.get("interval")]
    return " ".join(sentences)


def _references(known: Mapping[str, Any]) -> tuple[str, ...]:
    version = str(known.get("software", "")).removeprefix("polaris_lab ") or "unknown"
    entries = [
        f"Data: the paper of {known.get('source') or known.get('object') or 'the map'} (to be added by the author)",
        f"Distance: {known['distance_source']}" if "distance_source" in known else "",
        f"Conversion to N_H: {known['law']}" if "law" in known else "",
        f"Network: {known.get('model')}, run {known['run_fingerprint']}"
        if "run_fingerprint" in known
        else f"Estimator: {known.get('model')}, {PAPERS.get(str(known.get('model')), 'as described in polaris_lab.estimators')}",
        f"Training set: fingerprint {known['dataset_fingerprint']}" if "dataset_fingerprint" in known else "",
        SOFTWARE.format(version=version),
        METHOD if "run_fingerprint" in known else "",
        PARTS,
    ]
    return tuple(entry for entry in entries if entry)
