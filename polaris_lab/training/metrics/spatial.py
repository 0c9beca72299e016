"""Where on the image the errors are."""

from __future__ import annotations

import dataclasses

import numpy as np

from polaris_lab.training.metrics.residuals import residual
from polaris_lab.training.metrics.shared import mean_of_valid


@dataclasses.dataclass(frozen=True)
class SpatialError:
    """Where on the image the errors are; all in dex, NaN where no pixel is valid."""

    residual: np.ndarray
    """log10(predicted / target) of every pixel, shape (images, y, x)."""
    mean_map: np.ndarray
    """Mean residual of a pixel position over the images, shape (y, x): structure here is an artefact."""
    rmse_map: np.ndarray
    """Root mean square residual of a pixel position over the images, shape (y, x)."""
    image_bias: np.ndarray
    """Mean residual of each image, shape (images,)."""
    image_rmse: np.ndarray
    """Root mean square residual of each image, shape (images,)."""
    edge_distance: np.ndarray
    """Pixels to the nearest border: 0, 1, 2 ..."""
    edge_rmse: np.ndarray
    """Root mean square residual at each of those distances: a rise at 0 is an edge effect."""


def spatial_error(predicted: np.ndarray, target: np.ndarray) -> SpatialError:
    """Residuals in space: by pixel, by image, and by distance from the border.

    Parameters
    ----------
    predicted, target : array_like, shape (images, y, x) or (y, x)
        Densities [cm^-3].

    Returns
    -------
    SpatialError

    Raises
    ------
    ValueError
        As :func:`residual`.
    """
    values = residual(predicted, target)
    height, width = values.shape[1:]
    y, x = np.arange(height), np.arange(width)
    border = np.minimum(np.minimum(y, y[::-1])[:, None], np.minimum(x, x[::-1])[None, :])  # (y, x)
    distance = np.arange(border.max() + 1)
    return SpatialError(
        residual=values,
        mean_map=mean_of_valid(values, axis=0),
        rmse_map=np.sqrt(mean_of_valid(values**2, axis=0)),
        image_bias=mean_of_valid(values, axis=(1, 2)),
        image_rmse=np.sqrt(mean_of_valid(values**2, axis=(1, 2))),
        edge_distance=distance,
        edge_rmse=np.array([float(np.sqrt(mean_of_valid(values[:, border == d] ** 2))) for d in distance]),
    )
