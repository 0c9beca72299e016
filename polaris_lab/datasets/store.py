"""`PatchDataset`: pairs of maps for training, named arrays in physical units, in memory or as a zarr group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from astropy import units as u

from polaris_lab.config import check_schema, did_you_mean, fingerprint
from polaris_lab.datasets.arrays import checked_arrays, column, content_manifest, given_split, per_patch
from polaris_lab.datasets.growing import (
    GrowingDataset,
    check_free,
    checksum,
    finish_interrupted_rename,
    is_dataset,
    partial_path,
)
from polaris_lab.datasets.layout import patch_shape

SPLITS = ("training", "validation", "dropped")
"""What a patch can be used for."""

COLUMNS = ("line_of_sight", "origin", "score", "split", "cloud")
"""Columns of the table: one row a patch."""


class PatchDataset:
    """Patches of maps with what is to be learned from them.

    Made by :func:`polaris_lab.build_dataset`, :meth:`from_arrays` or :meth:`open`. A patch is left out by its
    split flag (:meth:`drop`), never by renumbering.

    Attributes
    ----------
    path : Path or None
        Its folder; None in memory.
    pixel_size_pc : float
        Side of a pixel [pc].
    patch_size : int
        Side of a patch [pixels].
    inputs, targets : tuple of str
        Names of the arrays a network is given, and of those it can learn.
    velocity : ndarray, shape (v,), or None
        Channel centres of the line cubes "ppv_cube" [km/s]; None without.
    split_rule : str
        How training and validation were told apart: "slab", "cloud", "shuffle" or "given".
    table : dict
        One row a patch: ``line_of_sight``, ``origin`` (row and column on its face [pixels]), ``score``,
        ``split`` and ``cloud``, read-only arrays.
    manifest : dict
        Everything the dataset says of itself: configuration, sources, provenance.
    """

    def __init__(
        self,
        arrays: Mapping[str, Any],
        table: Mapping[str, np.ndarray],
        manifest: Mapping[str, Any],
        *,
        path: Path | None = None,
        digests: np.ndarray | None = None,
        velocity: np.ndarray | None = None,
    ) -> None:
        self.path = path
        self.velocity = velocity
        self.manifest = dict(manifest)
        self.pixel_size_pc = float(manifest["pixel_size_pc"])
        self.patch_size = int(manifest["patch_size"])
        self.inputs = tuple(manifest["inputs"])
        self.targets = tuple(manifest["targets"])
        self.split_rule = str(manifest["split"]["rule"])
        self._arrays = dict(arrays)
        self._digests = digests
        self._set_table(table)

    def _set_table(self, table: Mapping[str, np.ndarray]) -> None:
        self.table = {name: np.array(values) for name, values in table.items()}
        for values in self.table.values():
            values.setflags(write=False)

    # -- where it comes from -------------------------------------------------------------------------

    @classmethod
    def open(cls, path: str | Path) -> PatchDataset:
        """Open a dataset on disk; arrays are read when they are asked for.

        Raises
        ------
        FileNotFoundError
            If there is none, or only a partial one (its building was cut off).
        ValueError
            If the folder is no dataset of this package, is damaged, or a newer version wrote it.
        """
        path = Path(path)
        if path.name.endswith(".partial") or not path.exists():
            raise FileNotFoundError(_missing(path))
        if not is_dataset(path):
            raise ValueError(
                f"{path}: expected a dataset written by build_dataset or save, got another folder"
            )
        try:
            group = zarr.open_group(path, mode="r", use_consolidated=False)
            manifest = dict(group.attrs)
            check_schema(manifest.get("schema"), str(path))
            names = [*manifest["inputs"], *manifest["targets"]]
            arrays = {name: group[name] for name in names}
            velocity = group["velocity"][:] if "velocity" in group else None
            rows = {name: column(group["patch"][name][:]) for name in group["patch"].array_keys()}
        except (KeyError, OSError) as error:
            raise ValueError(
                f"{path}: expected a whole dataset, but {error} is missing; build it again"
            ) from error
        digests = rows.pop("sha256")
        count = len(rows["split"])
        for name, array in arrays.items():
            shape = (count, *patch_shape(name, manifest, velocity))
            if array.shape != shape:
                raise ValueError(
                    f"{path}: expected {name} with shape {shape}, got {array.shape}; build it again"
                )
        return cls(arrays, rows, manifest, path=path, digests=digests, velocity=velocity)

    @classmethod
    def from_arrays(
        cls,
        inputs: Mapping[str, Any],
        targets: Mapping[str, Any],
        *,
        pixel_size: u.Quantity,
        split: Sequence[str] | float,
        seed: int = 0,
        cloud: Sequence[str] | str = "",
        line_of_sight: Sequence[str] | str = "",
        velocity: u.Quantity | None = None,
        path: str | Path | None = None,
        overwrite: bool = False,
    ) -> PatchDataset:
        """Make a dataset of one's own image pairs.

        Parameters
        ----------
        inputs, targets : mapping
            Images (n, y, x) by name, in physical units and not in logarithms: ``column_density`` in cm^-2 of
            hydrogen nuclei, the densities in cm^-3; other names need a Quantity. Square, finite, positive. Line
            cubes ``ppv_cube`` are (n, v, y, x) in K, of any sign; scalars such as ``depth`` are (n,). An input other
            than the column density that is NaN throughout an image is missing there; ``context_column_density``
            may be NaN anywhere.
        pixel_size : Quantity
            Side of a pixel, a length.
        split : sequence of str, or float
            "training", "validation" or "dropped" for every image, or the fraction to draw at random for
            validation. Images of the same gas on both sides make a validation look better than it is.
        seed : int
            For the random draw.
        cloud, line_of_sight : str or sequence of str
            What is known of each image, for the table.
        velocity : Quantity, optional
            Channel centres of the line cubes, shape (v,), ascending.
        path : path, optional
            Save it there at once.
        overwrite : bool
            Replace a dataset at `path`.

        Returns
        -------
        PatchDataset

        Raises
        ------
        ValueError
            If shapes differ, an image is not square, or a value is not finite and positive or in the wrong unit.
        TypeError
            If `pixel_size` is no quantity.

        Examples
        --------
        >>> from astropy import units as u
        >>> column_density = np.full((10, 32, 32), 1e22)
        >>> density = np.full((10, 32, 32), 1e3)
        >>> PatchDataset.from_arrays(
        ...     {"column_density": column_density}, {"mass_weighted_density": density},
        ...     pixel_size=0.05 * u.pc, split=0.2,
        ... )
        PatchDataset(10 patches of 32 x 32 pixels of 0.05 pc: 8 training, 2 validation (shuffle); column_density -> mass_weighted_density; in memory; fingerprint ...)
        """
        arrays, units, channels = checked_arrays(inputs, targets, velocity)
        count = len(next(iter(arrays.values())))
        rule, flags = given_split(split, count, seed)
        table = {
            "line_of_sight": per_patch(line_of_sight, count, "line_of_sight"),
            "origin": np.zeros((count, 2), np.int64),
            "score": np.full(count, np.nan),
            "split": flags,
            "cloud": per_patch(cloud, count, "cloud"),
        }
        manifest = content_manifest(
            arrays, units, tuple(inputs), tuple(targets), pixel_size, rule, table, seed, channels
        )
        dataset = cls(arrays, table, manifest, velocity=channels)
        return dataset if path is None else dataset.save(path, overwrite=overwrite)

    def save(self, path: str | Path, *, overwrite: bool = False) -> PatchDataset:
        """Write the dataset as a zarr group and return it, opened from there.

        Raises
        ------
        FileExistsError
            If something stands at `path` (unless `overwrite`, and it is a dataset).
        """
        path = Path(path)
        manifest = dict(self.manifest)
        names = [*self.inputs, *self.targets]
        check_free(path, manifest["fingerprint"], overwrite=overwrite)
        if finish_interrupted_rename(path, manifest["fingerprint"], overwrite=overwrite):
            return type(self).open(path)
        units = {name: self.unit(name) for name in names}
        with GrowingDataset.begin(
            path, manifest, units, velocity=self.velocity, overwrite=overwrite
        ) as growing:
            for number in range(len(growing.records), len(self)):
                growing.append({name: self.read(name, [number])[0] for name in names}, {"number": number})
            growing.seal(self.table, {})
        return type(self).open(path)

    # -- what it holds -------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.table["split"])

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that name the dataset: its recipe, and the patches dropped since."""
        dropped = np.flatnonzero(self.table["split"] == "dropped").tolist()
        stored = self.manifest["fingerprint"]
        return stored if dropped == self.manifest.get("dropped", []) else fingerprint([stored, dropped])

    def unit(self, name: str) -> str:
        """Return the unit of an array."""
        return self.manifest["units"][self._known(name)]

    def indices(self, split: str) -> np.ndarray:
        """Return the numbers of the patches of a split ("training", "validation" or "dropped")."""
        if split not in SPLITS:
            raise ValueError(f"split: unknown split {split!r}: {did_you_mean(split, SPLITS)}")
        return np.flatnonzero(self.table["split"] == split)

    def read(self, name: str, indices: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """Read patches in physical units, checked against their SHA-256.

        Parameters
        ----------
        name : str
            An array of `inputs` or `targets`.
        indices : sequence of int, optional
            Numbers of the patches, in any order; all by default.

        Returns
        -------
        ndarray, shape (n, y, x), float32
            A copy, in the unit of :meth:`unit`. With an axis more for line cubes (n, v, y, x), the gas itself
            "density_cube" (n, layer, y, x) and "position" (n, 2, y, x); (n,) for scalars.

        Raises
        ------
        ValueError
            If the name is unknown, or a patch on disk is damaged.
        IndexError
            If a number is out of range.
        """
        array = self._arrays[self._known(name)]
        chosen = np.arange(len(self)) if indices is None else self._numbers(indices)
        if chosen.size == 0:
            return np.empty((0, *array.shape[1:]), np.float32)
        if isinstance(array, np.ndarray):
            return array[chosen]  # (n, y, x)
        return self._read_checked(array, name, chosen)  # (n, y, x)

    def _read_checked(self, array: zarr.Array, name: str, chosen: np.ndarray) -> np.ndarray:
        column = [*self.inputs, *self.targets].index(name)
        try:
            values = np.asarray(array[:] if len(chosen) == len(self) else array.oindex[np.unique(chosen)])
        except (ValueError, OSError, RuntimeError) as error:
            raise ValueError(
                f"{self.path}: a chunk of {name} cannot be read ({error}); build the dataset again"
            ) from error
        numbers = np.arange(len(self)) if len(values) == len(self) else np.unique(chosen)
        for number, patch in zip(numbers, values, strict=True):
            if checksum(patch) != self._digests[number, column]:
                raise ValueError(
                    f"{self.path}: patch {number} of {name} is damaged: its values do not match the SHA-256 stored "
                    "when it was written; build the dataset again"
                )
        return values[np.searchsorted(numbers, chosen)]  # (n, y, x)

    def drop(self, indices: Sequence[int]) -> None:
        """Leave patches out of training and validation from now on; their numbers stay.

        On disk the change is kept. The fingerprint changes with it.

        Raises
        ------
        ValueError, IndexError
            If `indices` are no list of whole numbers (:func:`numpy.flatnonzero` makes one of a mask), or out of
            range.
        """
        flags = self.table["split"].astype(object)
        flags[self._numbers(indices)] = "dropped"
        if self.path is not None:
            group = zarr.open_group(self.path, mode="r+", use_consolidated=False)
            group["patch/split"][:] = flags.astype(np.dtypes.StringDType())
        self._set_table({**self.table, "split": flags.astype(str)})

    def _numbers(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return numbers of patches, counted from the first, or say what is wrong with them."""
        chosen = np.asarray(indices)
        if chosen.size == 0:
            return np.empty(0, np.int64)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            raise ValueError(f"indices: expected a list of whole numbers, got {indices!r}")
        if chosen.min() < -len(self) or chosen.max() >= len(self):
            raise IndexError(
                f"indices: expected numbers from 0 to {len(self) - 1}, got {chosen.min()} .. {chosen.max()}"
            )
        return np.where(chosen < 0, chosen + len(self), chosen)

    def _known(self, name: str) -> str:
        if name not in self._arrays:
            raise ValueError(f"name: unknown array {name!r}: {did_you_mean(name, list(self._arrays))}")
        return name

    # -- words ---------------------------------------------------------------------------------------

    def describe_split(self) -> str:
        """Return one sentence on how training and validation were told apart, for reports."""
        counts = ", ".join(
            f"{len(self.indices(split))} {split}" for split in SPLITS if len(self.indices(split))
        )
        return f"{self.manifest['split']['sentence']} ({counts} patches)."

    def _lines(self) -> list[tuple[str, str]]:
        counts = ", ".join(
            f"{len(self.indices(split))} {split}" for split in SPLITS if len(self.indices(split))
        )
        clouds = sorted({str(name) for name in self.table["cloud"]} - {""})
        return [
            (
                "patches",
                f"{len(self)} patches of {self.patch_size} x {self.patch_size} pixels of {self.pixel_size_pc:.4g} pc",
            ),
            ("split", f"{counts} ({self.split_rule})"),
            ("arrays", f"{', '.join(self.inputs)} -> {', '.join(self.targets)}"),
            ("clouds", ", ".join(clouds) or "not said"),
            ("path", str(self.path) if self.path else "in memory"),
            ("fingerprint", self.fingerprint),
        ]

    def __repr__(self) -> str:
        """Say how many patches of what size, for what, and where."""
        lines = dict(self._lines())
        return (
            f"PatchDataset({lines['patches']}: {lines['split']}; {lines['arrays']}; {lines['path']}; "
            f"fingerprint {lines['fingerprint']})"
        )

    def _repr_html_(self) -> str:
        rows = [*self._lines(), ("how", self.describe_split())]
        cells = "".join(
            f'<tr><th style="text-align:left">{escape(label)}</th><td style="text-align:left">{escape(text)}</td></tr>'
            for label, text in rows
        )
        return f"<table><caption><b>PatchDataset</b></caption>{cells}</table>"


def _missing(path: Path) -> str:
    partial = path if path.name.endswith(".partial") else partial_path(path)
    if partial.exists():
        return (
            f"{path}: expected a whole dataset, got one whose building was cut off ({partial.name}); call "
            "build_dataset again with the same cubes and configuration: it resumes where it stopped"
        )
    return f"{path}: expected a dataset, got nothing there; make one with build_dataset"
