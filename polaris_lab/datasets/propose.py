"""Choosing patches on the faces of one cloud."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from polaris_lab.clouds import SimulationCube, project
from polaris_lab.clouds.simulation import AXES
from polaris_lab.datasets.arrays import shuffled_split
from polaris_lab.datasets.patch_config import PatchConfig
from polaris_lab.datasets.placement import Ground, Placement, place
from polaris_lab.datasets.proposals import Face, Proposals
from polaris_lab.datasets.scoring import ScoreMaps, acceptance_probability, combined_score, score_windows
from polaris_lab.datasets.split import Slab, choose_slab, face_axes, sides
from polaris_lab.datasets.windows import window_count

logger = logging.getLogger(__name__)

QUANTILES = 1001
"""Points at which the distribution of the scores is stored with a dataset."""


def propose_patches(
    cube: SimulationCube, config: PatchConfig | None = None, *, held_out: bool = False
) -> Proposals:
    """Choose patches on the faces of a cloud.

    Candidates are drawn at random on every face and meet four tests, in this order: distance to the patches taken
    before, very diffuse pixels, the border of the validation slab, and the score (with the probability of eq. 14).
    Where random placement jams below what is wanted, a packing pass lays the patches out anew and the notes say so.
    Scores of all positions are computed at once.

    Parameters
    ----------
    cube : SimulationCube
        The cloud.
    config : PatchConfig, optional
        The choices; the defaults if not given.
    held_out : bool
        With ``split_by="cloud"``: this cloud is for validation.

    Returns
    -------
    Proposals
        Every candidate, its score and its fate; the same for the same cube, name and seed.

    Raises
    ------
    ValueError
        If a patch is larger than a face, or a slab thinner than a patch.

    References
    ----------
    Report, section 2.1 and appendix B.
    """
    config = _checked(cube, config)
    check_shape(cube.shape, config)
    faces, slab = [], None
    for axis in config.used_lines_of_sight:
        projection = project(cube, axis=axis)
        if config.split_by == "slab" and slab is None:
            mass = projection.column_density.sum(axis=1 - face_axes(axis).index(config.slab_axis))
            slab = choose_slab(len(mass), config, mass)
        maps = {
            name: getattr(projection, name)
            for name in {*config.projected_quantities, "mass_weighted_density"}
        }
        faces.append(_scored(axis, maps, config))
    proposals = decide(faces, config, slab=slab, name=cube.name or "", held_out=held_out)
    return Proposals(**proposals, pixel_size_pc=cube.cell_size_pc, shape=cube.shape)


def reconsider(proposals: Proposals, config: PatchConfig) -> Proposals:
    """Choose again on the same faces with other choices, without projecting the cloud again.

    Raises
    ------
    ValueError
        If the choices need a face, a quantity or a slab that the proposals do not have.
    """
    old = proposals.config
    present = {face.line_of_sight for face in proposals.faces}
    missing = [axis for axis in config.used_lines_of_sight if axis not in present]
    stored = set(proposals.faces[0].maps)
    if missing or not set(config.projected_quantities) <= stored:
        raise ValueError(
            f"config: expected lines of sight and quantities out of {sorted(present)} and {sorted(stored)}, got "
            f"{config.used_lines_of_sight} and {config.projected_quantities}; call propose_patches with the cube"
        )
    check_shape(proposals.shape, config)
    faces = [face for face in proposals.faces if face.line_of_sight in config.used_lines_of_sight]
    same_scores = all(getattr(old, name) == getattr(config, name) for name in ("patch_size", "weights"))
    if old.patch_size != config.patch_size:
        faces = [_scored(face.line_of_sight, face.maps, config) for face in faces]
    else:
        faces = [_weighed(face, old, config) for face in faces]
    reference = proposals.score_quantiles if same_scores and len(faces) == len(proposals.faces) else None
    slab = None
    if config.split_by == "slab":
        first = faces[0]
        along = face_axes(first.line_of_sight).index(config.slab_axis)
        mass = first.maps["column_density"].sum(axis=1 - along)
        slab = choose_slab(len(mass), config, mass)
    again = decide(
        faces, config, slab=slab, name=proposals.name, held_out=proposals.held_out, reference=reference
    )
    return Proposals(**again, pixel_size_pc=proposals.pixel_size_pc, shape=proposals.shape)


def decide(
    faces: Sequence[Face],
    config: PatchConfig,
    *,
    slab: Slab | None,
    name: str,
    held_out: bool,
    reference: np.ndarray | None = None,
) -> dict:
    """Place patches on scored faces; return what :class:`Proposals` is made of, without the pixel size.

    `reference`: quantiles of the scores of all windows where they are known already.
    """
    if reference is None:
        every = np.sort(
            np.concatenate([face.scores.total.ravel() for face in faces])
        )  # sorted: quicker quantiles
        reference = np.quantile(every, np.linspace(0, 1, QUANTILES))
    rng = np.random.default_rng([config.seed, _stream(name)])
    rows, notes = [], []
    for face in faces:
        probability = acceptance(face.scores.total, config, reference)
        across = np.zeros(probability.shape, np.int8)
        if slab is not None:
            across = sides(face.shape, face.line_of_sight, slab, config.patch_size)
        placement = place(
            Ground(
                probability,
                face.diffuse_fraction > config.low_density_fraction,
                across < 0,
                config.separation_pixels,
            ),
            candidates=config.attempts * math.ceil(math.prod(face.shape) / config.patch_size**2),
            attempts=config.attempts,
            wanted=config.patches_per_face,
            packing=config.packing,
            rng=rng,
        )
        if placement.note:
            notes.append(f"line of sight {face.line_of_sight}: {placement.note}")
            logger.debug("%s: %s", name or "cloud", notes[-1])
        rows.append(_rows(face, placement, probability, across, reference, held_out))
    table = {column: np.concatenate([part[column] for part in rows]) for column in rows[0]}
    accepted = table["fate"] == "accepted"
    if config.split_by == "shuffle" and accepted.sum() > 1:
        table["split"][accepted] = shuffled_split(
            int(accepted.sum()), config.validation_fraction, config.seed
        )
    return {
        "name": name,
        "config": config,
        "faces": tuple(faces),
        "table": table,
        "slab": slab,
        "score_quantiles": reference,
        "notes": tuple(notes),
        "held_out": held_out,
    }


def acceptance(score: np.ndarray, config: PatchConfig, reference: np.ndarray) -> np.ndarray:
    """Return the probability of eq. 14 for scores, on the scale that the configuration names.

    Parameters
    ----------
    score : ndarray
    config : PatchConfig
    reference : ndarray
        Quantiles of the scores of all windows of the cloud, evenly spaced from 0 to 1.

    Returns
    -------
    ndarray, the shape of `score`
    """
    if config.score_scale == "quantile":
        score = quantile_of(score, reference)
    return np.asarray(acceptance_probability(score, steepness=config.steepness, offset=config.offset))


def quantile_of(score: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return where scores stand among all windows: 0 for the lowest, 1 for the highest."""
    return np.interp(score, reference, np.linspace(0, 1, len(reference)))


def _quantiles(values: np.ndarray, count: int) -> np.ndarray:
    """Return evenly spaced quantiles as numpy's, which searches for each of them in values that are sorted faster."""
    ordered = np.sort(values)
    place = np.linspace(0, 1, count) * (len(ordered) - 1)
    below = place.astype(np.int64)
    low, high = ordered[below], ordered[np.minimum(below + 1, len(ordered) - 1)]
    return low + (high - low) * (place - below)


def check_shape(shape: tuple[int, int, int], config: PatchConfig) -> None:
    """Refuse a cube on whose faces no patch fits, or without room for a slab and the rest.

    Parameters
    ----------
    shape : (int, int, int)
        Cells along z, y and x.
    config : PatchConfig

    Raises
    ------
    ValueError
        With the numbers.
    """
    sides_of = dict(zip(AXES, shape, strict=True))
    for axis in config.used_lines_of_sight:
        rows, columns = face_axes(axis)
        smallest = min(sides_of[rows], sides_of[columns])
        if config.patch_size > smallest:
            raise ValueError(
                f"patch_size: expected at most the sides of every face, got {config.patch_size} pixels on a face of "
                f"{sides_of[rows]} x {sides_of[columns]} ({rows}, {columns}; line of sight {axis}); take "
                f"patch_size <= {smallest} or a larger cube"
            )
    if config.split_by == "slab":
        choose_slab(sides_of[config.slab_axis], config, np.ones(sides_of[config.slab_axis]))


def _scored(axis: str, maps: Mapping[str, np.ndarray], config: PatchConfig) -> Face:
    column = maps["column_density"]
    return Face(
        line_of_sight=axis,
        maps=dict(maps),
        scores=score_windows(
            column, maps["mass_weighted_density"], config.patch_size, weights=config.weights
        ),
        diffuse_fraction=_diffuse_fraction(column, config),
    )


def _diffuse_fraction(column_density: np.ndarray, config: PatchConfig) -> np.ndarray:
    very_diffuse = column_density < config.low_column_density * column_density.mean()
    return window_count(very_diffuse, config.patch_size) / config.patch_size**2


def _weighed(face: Face, old: PatchConfig, config: PatchConfig) -> Face:
    """Return a face with the scores it has weighed anew, and its diffuse pixels counted anew, where it needs that."""
    if old.weights != config.weights:
        parts = face.scores[:-1]
        face = replace(face, scores=ScoreMaps(*parts, total=combined_score(parts, weights=config.weights)))
    if old.low_column_density != config.low_column_density:
        face = replace(face, diffuse_fraction=_diffuse_fraction(face.maps["column_density"], config))
    return face


def _rows(
    face: Face,
    placement: Placement,
    probability: np.ndarray,
    across: np.ndarray,
    reference: np.ndarray,
    held_out: bool,
) -> dict[str, np.ndarray]:
    """Return the rows of the table of candidates that one face gives."""
    at = tuple(placement.origin.T)
    score = face.scores.total[at]
    split = np.where(across[at] > 0, "validation", "training").astype("U10")
    split[placement.fate == "across the slab"] = ""
    if held_out:
        split[:] = "validation"
    return {
        "line_of_sight": np.full(len(score), face.line_of_sight),
        "origin": placement.origin,
        "score": score,
        "quantile": quantile_of(score, reference),
        "probability": probability[at],
        "diffuse_fraction": face.diffuse_fraction[at],
        "stage": placement.stage,
        "fate": placement.fate,
        "split": split,
    }


def _stream(name: str) -> int:
    """Return the random stream of a cloud: another one for every name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") if name else 0


def _checked(cube: SimulationCube, config: PatchConfig | None) -> PatchConfig:
    if not isinstance(cube, SimulationCube):
        raise TypeError(f"cube: expected a SimulationCube, got {type(cube).__name__}")
    if config is None:
        return PatchConfig()
    if not isinstance(config, PatchConfig):
        raise TypeError(f"config: expected a PatchConfig, got {type(config).__name__}")
    return config
