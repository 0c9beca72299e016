"""`Proposals`: the candidates for patches on the faces of a cloud, and what became of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np

from polaris_lab.clouds.simulation import AXES
from polaris_lab.config import did_you_mean
from polaris_lab.datasets.patch_config import PatchConfig
from polaris_lab.datasets.patches import read_window
from polaris_lab.datasets.placement import FATES
from polaris_lab.datasets.scoring import ScoreMaps
from polaris_lab.datasets.split import Slab, face_axes


@dataclass(frozen=True, eq=False)
class Face:
    """A face of a cloud with the scores of all windows.

    Attributes
    ----------
    line_of_sight : {"z", "y", "x"}
    maps : dict of ndarray, shape (rows, columns)
        Projected quantities by name, N_H [cm^-2] and densities [cm^-3].
    scores : ScoreMaps
        At every position of a patch's first pixel.
    diffuse_fraction : ndarray
        Fraction of very diffuse pixels, at the same positions.
    """

    line_of_sight: str
    maps: Mapping[str, np.ndarray]
    scores: ScoreMaps
    diffuse_fraction: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.maps["column_density"].shape


@dataclass(frozen=True, eq=False)
class Proposals:
    """Candidates on the faces of one cloud; made by :func:`polaris_lab.propose_patches`.

    Attributes
    ----------
    name : str
        Of the cloud; "" if it has none.
    config : PatchConfig
    faces : tuple of Face
    table : dict of ndarray
        One row a candidate, in the order of their trial: ``line_of_sight``, ``origin`` (row and column),
        ``score``, its ``quantile`` among all windows, acceptance ``probability``, ``diffuse_fraction``,
        ``stage`` ("random" or "packing"), ``fate`` and ``split``.
    slab : Slab or None
        Layers kept for validation.
    score_quantiles : ndarray
        Of the scores of all windows, evenly spaced from 0 to 1.
    notes : tuple of str
        What happened that one should know, face by face.
    held_out : bool
        Whether the whole cloud is for validation.
    pixel_size_pc : float
    shape : (int, int, int)
        Cells of the cloud along z, y and x.
    """

    name: str
    config: PatchConfig
    faces: tuple[Face, ...]
    table: Mapping[str, np.ndarray]
    slab: Slab | None
    score_quantiles: np.ndarray
    notes: tuple[str, ...]
    held_out: bool
    pixel_size_pc: float
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        """Patches accepted."""
        return int((self.table["fate"] == "accepted").sum())

    @property
    def scores(self) -> np.ndarray:
        """Scores of all candidates."""
        return self.table["score"]

    @property
    def accepted(self) -> dict[str, np.ndarray]:
        """The rows of the accepted candidates."""
        kept = self.table["fate"] == "accepted"
        return {name: values[kept] for name, values in self.table.items()}

    def face(self, line_of_sight: str) -> Face:
        """Return the face seen along an axis."""
        for face in self.faces:
            if face.line_of_sight == line_of_sight:
                return face
        known = [face.line_of_sight for face in self.faces]
        raise ValueError(
            f"line_of_sight: {line_of_sight!r} has no face here: {did_you_mean(line_of_sight, known)}"
        )

    def patches(self, name: str) -> np.ndarray:
        """Cut the accepted patches out of the faces.

        Parameters
        ----------
        name : str
            A projected quantity.

        Returns
        -------
        ndarray, shape (n, patch_size, patch_size), float32
            In cm^-2 or cm^-3, in the order of :attr:`accepted`.
        """
        if name not in self.faces[0].maps:
            raise ValueError(
                f"name: unknown quantity {name!r}: {did_you_mean(name, list(self.faces[0].maps))}"
            )
        side = self.config.patch_size
        rows = self.accepted
        cut = [
            read_window(self.face(axis).maps[name], tuple(origin), (side, side))
            for axis, origin in zip(rows["line_of_sight"].tolist(), rows["origin"].tolist(), strict=True)
        ]
        return np.array(cut, np.float32).reshape(-1, side, side)  # (n, y, x)

    def cells_behind(self, split: str) -> np.ndarray:
        """Return which cells of the cloud lie on the lines of sight of the accepted patches of one split.

        Gas that is True for "training" and for "validation" was learnt from before the exam.

        Parameters
        ----------
        split : {"training", "validation"}

        Returns
        -------
        ndarray of bool, shape (nz, ny, nx)

        Raises
        ------
        ValueError
            If the split is another.

        Examples
        --------
        >>> import polaris_lab as lab
        >>> cube = lab.synthetic_cloud(32, kind="fbm")
        >>> kept = lab.propose_patches(cube, lab.PatchConfig(patch_size=8, validation_fraction=0.25))
        >>> bool((kept.cells_behind("training") & kept.cells_behind("validation")).any())
        False
        """
        if split not in ("training", "validation"):
            raise ValueError(
                f"split: unknown split {split!r}: {did_you_mean(split, ['training', 'validation'])}"
            )
        cells, side, rows = np.zeros(self.shape, bool), self.config.patch_size, self.accepted
        for axis, origin, part in zip(rows["line_of_sight"], rows["origin"], rows["split"], strict=True):
            if part == split:
                pairs = zip(face_axes(str(axis)), origin.tolist(), strict=True)
                window = {line: slice(first, first + side) for line, first in pairs}
                cells[tuple(window.get(line, slice(None)) for line in AXES)] = True
        return cells  # (z, y, x)

    def counts(self) -> dict[str, int]:
        """Return how many candidates met each fate, in the order of the tests."""
        found = Counter(self.table["fate"].tolist())
        return {fate: found[fate] for fate in FATES}

    def reason(self, number: int) -> str:
        """Say in a sentence what became of a candidate, and why.

        Parameters
        ----------
        number : int
            Its row in the table, from 0.

        Raises
        ------
        ValueError
            If there is no such candidate.
        """
        count = len(self.scores)
        if isinstance(number, bool) or not 0 <= number < count:
            raise ValueError(f"number: expected a candidate from 0 to {count - 1}, got {number!r}")
        config, row = self.config, {name: values[number] for name, values in self.table.items()}
        if row["fate"] == "too diffuse":
            return (
                f"too diffuse: {100 * row['diffuse_fraction']:.3g} % of its pixels lie below "
                f"{config.low_column_density:g} of the mean column density, more than the "
                f"{100 * config.low_density_fraction:g} % allowed"
            )
        if row["fate"] == "score":
            draws = "one draw" if row["stage"] == "random" else f"each of {config.attempts} draws"
            return (
                f"score refused: f(s) = {100 * row['probability']:.3g} % at the score {row['score']:.3g}, "
                f"and {draws} failed"
            )
        return {
            "accepted": f"kept, for {row['split']}",
            "too close": f"overlaps: nearer than {config.separation_pixels} pixels to a patch taken before",
            "across the slab": "across the slab: it would have gas of both training and validation",
            "repacked": "jammed: taken at random, then given up for a layout that holds more patches",
        }[str(row["fate"])]

    @property
    def packed_faces(self) -> tuple[str, ...]:
        """Lines of sight whose patches were laid out anew because random placement jammed."""
        packed = set(self.table["line_of_sight"][self.table["stage"] == "packing"].tolist())
        return tuple(face.line_of_sight for face in self.faces if face.line_of_sight in packed)

    def reconsider(self, **changes: Any) -> Proposals:
        """Choose again on the same faces with some choices changed; fast enough for a slider.

        Examples
        --------
        ``proposals.reconsider(steepness=4.0, offset=0.3)``
        """
        from polaris_lab.datasets.propose import reconsider

        return reconsider(self, replace(self.config, **changes))

    def summary(self) -> str:
        """Return a few lines on how many candidates failed at which test, and the notes."""
        counts = self.counts()
        kept = Counter(self.accepted["split"].tolist())
        lines = [
            f"{sum(counts.values())} candidates on {len(self.faces)} faces: {counts['accepted']} accepted "
            f"({kept['training']} training, {kept['validation']} validation); failed: {failures(counts)}"
        ]
        if self.slab is not None:
            slab, size = self.slab, self.pixel_size_pc
            lines.append(
                f"validation slab {slab.axis} = {slab.start * size:.4g} .. {slab.stop * size:.4g} pc (cells "
                f"{slab.start} to {slab.stop - 1}); line of sight {slab.axis} is not used"
            )
        return "\n".join([*lines, *self.notes])

    def __repr__(self) -> str:
        """Say what was proposed, and why the rest was not."""
        side = self.config.patch_size
        return (
            f"Proposals({self.name or 'unnamed cloud'}: {len(self)} patches of {side} x {side} pixels of "
            f"{self.pixel_size_pc:.4g} pc; " + self.summary().replace("\n", "; ") + ")"
        )

    def _repr_html_(self) -> str:
        counts = "".join(
            f'<tr><th style="text-align:left">{escape(fate)}</th><td>{count}</td></tr>'
            for fate, count in self.counts().items()
        )
        notes = "".join(f"<li>{escape(line)}</li>" for line in self.summary().splitlines())
        return (
            f"<b>Proposals</b> {escape(self.name or 'unnamed cloud')}: {len(self)} patches<table>"
            f"<tr><th>fate</th><th>candidates</th></tr>{counts}</table><ul>{notes}</ul>"
        )


def failures(counts: Mapping[str, int]) -> str:
    """Say how many candidates failed at which test, in the order of the tests.

    Examples
    --------
    >>> failures({"accepted": 9, "too close": 40, "too diffuse": 0, "score": 2})
    'too close 40, score 2'
    """
    return ", ".join(f"{fate} {counts[fate]}" for fate in FATES[1:] if counts.get(fate)) or "none"
