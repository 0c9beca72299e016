"""Structures of the dendrogram of a map as regions, by astrodendro (an optional package).

References
----------
Rosolowsky et al. 2008, ApJ 679, 1338.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


@torch.no_grad()
def dendrogram_regions(
    x: Tensor, *, min_height: float = 0.1, min_pixels: int = 9, window: int = 64
) -> tuple[Tensor, int]:
    """Return the smallest structure of the dendrogram that each pixel lies in.

    Maps are cut into windows, each with a dendrogram of its own: one of a whole map would depend on all of it, and a
    tile of the map would have another.

    Only differences of values count: the dendrogram of a map that is brighter everywhere is the same.

    Parameters
    ----------
    x : Tensor, shape (N, H, W)
        Maps of logarithms [dex]; NaN where there is no value.
    min_height : float
        How far a structure must rise above where it joins another [dex].
    min_pixels : int
        How many pixels a structure must have.
    window : int
        Side of a window [pixels]; windows begin at the first row and column.

    Returns
    -------
    Tensor of int64, shape (N, H, W), and int
        Number of the structure, -1 where x is not finite; and how many numbers there are. What belongs to no
        structure is one more region of each window.

    Raises
    ------
    ImportError
        If astrodendro is not installed.
    """
    try:
        from astrodendro import Dendrogram
    except ImportError as error:
        raise ImportError(
            'structures="dendrogram": expected the package astrodendro, which is not installed; '
            'pip install astrodendro, or use structures="superpixels"'
        ) from error
    images = x.detach().cpu().double().numpy()  # (N, H, W)
    labels, nodes = np.full(images.shape, -1, dtype=np.int64), 0
    for number, row, column in np.ndindex(
        len(images), -(-images.shape[1] // window), -(-images.shape[2] // window)
    ):
        part = np.s_[number, row * window : (row + 1) * window, column * window : (column + 1) * window]
        image = np.ascontiguousarray(images[part])  # (window, window)
        finite = np.isfinite(image)
        if not finite.any():
            continue
        lowest = float(image[finite].min()) - 1.0
        tree = Dendrogram.compute(image, min_value=lowest, min_delta=min_height, min_npix=min_pixels)
        labels[part] = np.where(finite, tree.index_map + 1 + nodes, -1)
        nodes += int(tree.index_map.max()) + 2
    return torch.from_numpy(labels).to(x.device), nodes
