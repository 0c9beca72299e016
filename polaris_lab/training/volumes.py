"""Cubes behind the patches of a dataset, as a run with a volume head sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from polaris_lab.models.volume import volume_density
from polaris_lab.training.batches import split_rows
from polaris_lab.training.predicted_by_runs import batches, model_inputs
from polaris_lab.training.scope import length_ratio

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.training.run import Run


def predict_volumes(run: Run, dataset: PatchDataset, *, split: str = "validation") -> np.ndarray:
    """Return the cube behind every patch of a split.

    Parameters
    ----------
    run : Run
        Of a network with a volume head: ``Blueprint.preset("volume")``.
    dataset : PatchDataset
        With the inputs of the network; those that are optional may be missing.
    split : str
        "training", "validation" or "dropped".

    Returns
    -------
    ndarray, shape (n, K, y, x), float64
        n_H [cm^-3] of K cells along the line of sight: the sum of a line times the length of a cell is the column
        density.

    Raises
    ------
    ValueError
        If the network has no volume head, the split is empty, or the dataset lacks an input.

    Examples
    --------
    >>> import tempfile
    >>> from astropy import units as u
    >>> from polaris_lab import Blueprint, PatchDataset, Run, TrainingConfig
    >>> maps = 10 ** np.random.default_rng(0).normal(21.5, 0.3, (4, 16, 16))
    >>> data = PatchDataset.from_arrays(
    ...     {"column_density": maps}, {"mass_weighted_density": maps / 1e18}, pixel_size=0.1 * u.pc, split=0.5
    ... ).save(tempfile.mkdtemp() + "/data.zarr")
    >>> blueprint = Blueprint.preset(
    ...     "volume", depth_cells=8, layers=1, base_filters=4, outputs="mass_weighted_density"
    ... )
    >>> run = Run.create(tempfile.mkdtemp() + "/run", blueprint, data, TrainingConfig(epochs=1, batch_size=2))
    >>> predict_volumes(run.train(progress=False), data).shape
    (2, 8, 16, 16)
    """
    model = run.model()
    ratio = length_ratio(run, dataset.pixel_size_pc)
    inputs = model_inputs([model], dataset, split_rows(dataset, split), ratio)
    parts = [volume_density(model, batch).numpy() for batch in batches(inputs)]
    return np.concatenate(parts) * ratio
