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
def dendrogram_regions(x: Tensor, *, min_height: float = 0.1, min_pixels: int = 9) -> tuple[Tensor, int]:
    """Return the smallest structure of the dendrogram that each pixel lies in.

    Only differences of values count: the dendrogram of a map that is brighter everywhere is the same.

    Parameters
    ----------
    x : Tensor, shape (N, H, W)
        Maps of logarithms [dex]; NaN where there is no value.
    min_height : float
        How far a structure must rise above where it joins another [dex].
    min_pixels : int
        How many pixels a structure must have.

    Returns
    -------
    Tensor of int64, shape (N, H, W), and int
        Number of the structure, -1 where x is not finite; and how many numbers there are. What belongs to no
        structure is one more region of each image.

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
    labels, nodes = [], 0
    for image in x.detach().cpu().double().numpy():  # (H, W)
        tree = Dendrogram.compute(
            np.ascontiguousarray(image),
            min_value=float(np.nanmin(image)) - 1.0 if np.isfinite(image).any() else 0.0,
            min_delta=min_height,
            min_npix=min_pixels,
        )
        index = tree.index_map + 1  # (H, W): 0 for no structure
        labels.append(np.where(np.isfinite(image), index + nodes, -1))
        nodes += int(index.max()) + 1
    return torch.from_numpy(np.stack(labels).astype(np.int64)).to(x.device), nodes
