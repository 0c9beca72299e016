"""What a training set looks like, in numbers that a run can keep when the set is gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from polaris_lab.config import canonical_json, read_json, write_bytes
from polaris_lab.observations.features import band_count, feature_names, window_features

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.training.run import Run

FILE = "coverage.json"
"""Its name in the folder of a run."""

LARGEST = 512
"""Patches whose features are kept: as many, evenly, of a larger set."""

SMALLEST = 8
"""Patches below which a set has no neighbourhoods."""

SHRINKAGE = 0.2
"""Share of the covariance of the features that is taken as uncorrelated: few patches do not know it better."""

FLOOR = 0.05
"""Smallest spread of a feature [dex]: finer differences mean nothing."""

LEVEL_LIMIT = 0.1
"""Difference of mean levels [dex] that is always inside."""

LIMIT_QUANTILE, LIMIT_FACTOR = 0.99, 1.25
"""A window is outside when its nearest training patch is further than this factor times this quantile of the distances
of training patches to their nearest."""

FEWEST_CLOUDS = 4
"""Clouds from which on the nearest patch of another cloud counts: patches of one cloud are alike, a map is another."""


def training_features(
    dataset: PatchDataset, *, window: int | None = None, rows: np.ndarray | None = None
) -> dict[str, Any]:
    """Describe the training patches of a dataset, for :func:`~polaris_lab.observations.coverage.compare`.

    Parameters
    ----------
    dataset : PatchDataset
        With the array "column_density".
    window : int, optional
        Side of the part of each patch, from its middle, that is described, and of the windows that maps are then judged
        in [pixels]; by default the whole patch.
    rows : int ndarray, optional
        Which patches are described; by default those for training.

    Returns
    -------
    dict
        Plain JSON values: ``patch_size``, ``pixel_size_pc``, ``names``, ``values`` (one row of features a patch, at
        most 512), ``cloud`` (a number for each row), ``log_column`` (smallest and largest log10 N of a pixel), ``fingerprint``. A run may keep it.

    Raises
    ------
    ValueError
        If the dataset has no column densities or fewer than 8 training patches.
    """
    if "column_density" not in (*dataset.inputs, *dataset.targets):
        raise ValueError(
            f"dataset: expected patches of 'column_density', got {', '.join(dataset.inputs)}; coverage compares what a "
            "column density map shows"
        )
    rows = dataset.indices("training") if rows is None else rows
    if len(rows) < SMALLEST:
        raise ValueError(
            f"dataset: expected at least {SMALLEST} training patches to compare a map with, got {len(rows)}; "
            "cut more patches"
        )
    size = dataset.patch_size if window is None else window
    if not 8 <= size <= dataset.patch_size:
        raise ValueError(
            f"window: expected 8 to {dataset.patch_size} pixels, the side of a patch, got {size}"
        )
    start, bands = (dataset.patch_size - size) // 2, band_count(size)
    middle = slice(start, start + size)
    kept = rows[np.linspace(0, len(rows) - 1, min(len(rows), LARGEST)).astype(int)]
    logs = [
        np.log10(dataset.read("column_density", [row])[0, middle, middle].astype(np.float64)) for row in kept
    ]
    values = np.array([window_features(patch, bands) for patch in logs])
    return {
        "patch_size": size,
        "pixel_size_pc": dataset.pixel_size_pc,
        "names": list(feature_names(bands)),
        "values": values.round(4).tolist(),
        "cloud": np.unique(dataset.table["cloud"][kept], return_inverse=True)[1].tolist(),
        "log_column": [
            round(float(min(patch.min() for patch in logs)), 4),
            round(float(max(patch.max() for patch in logs)), 4),
        ],
        "fingerprint": dataset.fingerprint,
    }


def keep_features(run: Run, *, window: int | None = None, rows: np.ndarray | None = None) -> dict[str, Any]:
    """Write the features of a run's training set into its folder, where predictions find them without the set."""
    features = training_features(run.dataset(), window=window, rows=rows)
    write_bytes(Path(run.path) / FILE, canonical_json(features).encode())
    return features


def kept_features(run: Run) -> dict[str, Any] | None:
    """Return what :func:`keep_features` wrote; None where it was not called, or for another dataset."""
    path = Path(run.path) / FILE if getattr(run, "path", None) is not None else None
    if path is None or not path.exists():
        return None
    features = read_json(path)
    return features if features.get("fingerprint") == run.dataset_fingerprint else None


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Training patches in a space of features where each direction counts by its spread.

    Made by :meth:`of`; :meth:`distance` is 1 at the limit between inside and outside.
    """

    centre: np.ndarray
    whitening: np.ndarray
    limit: float
    tree: cKDTree

    @classmethod
    def of(cls, values: np.ndarray, cloud: np.ndarray) -> Neighbourhood:
        """Build it from features, (patches, features), and the number of the cloud of each patch."""
        centre = values.mean(axis=0)
        covariance = np.cov(values, rowvar=False)
        covariance *= (1 - SHRINKAGE) + SHRINKAGE * np.eye(len(covariance))
        covariance += FLOOR**2 * np.eye(len(covariance))
        size, direction = np.linalg.eigh(covariance)
        whitening = direction / np.sqrt(size)
        points = (values - centre) @ whitening
        apart = cdist(points, points)
        one = np.arange(len(points)) if len(np.unique(cloud)) < FEWEST_CLOUDS else cloud
        apart[one[:, None] == one[None, :]] = np.inf
        limit = LIMIT_FACTOR * float(np.quantile(apart.min(axis=1), LIMIT_QUANTILE))
        return cls(centre, whitening, max(limit, 1e-3), cKDTree(points))

    def distance(self, values: np.ndarray) -> np.ndarray:
        """Return the distance of features to the nearest training patch over the limit, (windows,)."""
        nearest, _ = self.tree.query((values - self.centre) @ self.whitening)
        return nearest / self.limit


def level_distance(known: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the distance of mean levels [dex] to the nearest one of training, over the limit, (windows,).

    Among many features the level alone weighs little; a network that sees absolute values fails for it alone.
    """
    ordered = np.sort(known)
    gaps = np.minimum(np.diff(ordered, prepend=-np.inf), np.diff(ordered, append=np.inf))
    limit = max(LEVEL_LIMIT, LIMIT_FACTOR * float(np.quantile(gaps, LIMIT_QUANTILE)))
    nearest, _ = cKDTree(ordered[:, None]).query(seen[:, None])
    return nearest / limit


def checked_features(features: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, int, float]:
    """Return (values, clouds, patch size, pixel size in pc) of stored features, or say what is wrong with them.

    Raises
    ------
    ValueError
        If they are not those of :func:`training_features`.
    """
    try:
        values = np.asarray(features["values"], np.float64)
        size, pixel = int(features["patch_size"]), float(features["pixel_size_pc"])
        cloud = np.asarray(features["cloud"], int)
        expected = list(feature_names(band_count(size)))
        if (
            list(features["names"]) != expected
            or values.shape[1:] != (len(expected),)
            or len(values) < SMALLEST
        ):
            raise ValueError(f"{len(features['names'])} features of {values.shape} patches")
        if not (np.isfinite(values).all() and pixel > 0):
            raise ValueError("numbers that are not finite")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(
            f"training: expected a PatchDataset or what training_features(dataset) gave, got {error}; make it again from "
            "the dataset"
        ) from error
    return values, cloud, size, pixel
