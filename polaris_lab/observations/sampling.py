"""Samples of density behind a whole map: the same whatever tiles it is read in.

The noise is drawn once, for the whole map. At each step the network is applied tile by tile, with a margin as wide as
it can see in one step, and the whole map goes on to the next step: so no edge of a tile is ever seen. Networks that look
at the whole image (self-attention) cannot be exact: for these, overlapping patches are averaged at each step, as
Xu et al. (2023) do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from polaris_lab.datasets.patches import TilePlan, apply_tiled, plan_overlapping, plan_tiles
from polaris_lab.models.generative.protocol import Generative, checked_count, evaluation, normal

if TYPE_CHECKING:
    from polaris_lab.models import BlueprintModel

TILE = 384
"""Largest side of a tile as the network reads it, unless told otherwise [pixels]."""

PATCH = 128
"""Side of the overlapping patches of networks that are not local [pixels]."""


def sample_map(
    model: BlueprintModel,
    log_column: np.ndarray,
    *,
    samples: int = 8,
    steps: int | None = None,
    seed: int = 0,
    tile: int | None = None,
    overlap: float = 0.5,
    progress: bool = False,
) -> np.ndarray | dict[str, np.ndarray]:
    """Draw maps of log10 density for a map of log10 column density.

    Parameters
    ----------
    model : BlueprintModel
        Generative, from column density alone; on any device.
    log_column : ndarray, shape (y, x)
        log10 N_H [cm^-2]; NaN where unknown.
    samples : int
        Maps to draw.
    steps : int, optional
        Evaluations of the network for each.
    seed : int
        Of the noise, which belongs to the pixels of the map, not to tiles.
    tile : int, optional
        Largest side of a tile as the network reads it [pixels]; by default 384. Memory grows with its square and with
        `samples`. For a network that is not local: the side of its patches, by default 128.
    overlap : float
        Of the patches of a network that is not local.
    progress : bool
        Show a bar at each step.

    Returns
    -------
    ndarray, shape (samples, y, x), float32, or dict of them
        log10 n_H; NaN where the column density is, and only there. Several outputs by name: log10 of what is logarithmic.

    Raises
    ------
    ValueError
        If the model is not generative or needs more inputs, the map is no map, or a count is no whole number of at
        least 1, or the tile is too small for the reach of the network.

    Examples
    --------
    >>> from polaris_lab.models import Blueprint, build_model
    >>> model = build_model(Blueprint.preset("flow_matching", layers=1, base_filters=4, reference_scale=2.0))
    >>> sample_map(model, np.full((20, 30), 21.5), samples=2, steps=2).shape
    (2, 20, 30)
    """
    block = model.generative
    samples, steps = checked_count("samples", samples), block.checked_steps(steps)
    log_column = _checked_map(model, log_column)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode(), evaluation(model):
        condition, first = _condition(
            model, log_column, tile, device, progress=progress
        )  # (1 or C + F, y, x)
        baseline, image = torch.from_numpy(condition[:first]), condition[first:]
        noise = normal((samples, block.channels, *log_column.shape), generator, baseline)  # (S, C, y, x)
        plan = network_plan(block, log_column.shape, tile, overlap)
        field = _tiled_field(block, image, plan, device, progress=progress)
        y = block.generate(field, noise, steps, generator)  # (S, C, y, x)
        drawn = block.restore(y.to(device), baseline.to(device)).float().cpu().numpy()  # (S, C, y, x)
    drawn = np.where(np.isnan(log_column), np.float32(np.nan), drawn)
    found = {name: drawn[:, channel] for channel, name in enumerate(model.drawn.outputs)}  # (S, y, x)
    return found if model.blueprint.extra_outputs else found[model.blueprint.output]


def _checked_map(model: BlueprintModel, log_column: np.ndarray) -> np.ndarray:
    """Return the map as float32, refusing what is none."""
    if tuple(model.blueprint.inputs) != ("column_density",):
        raise ValueError(
            f"model: expected one that takes a column density map only, got one that takes {list(model.blueprint.inputs)}; "
            "draw from the dataset's patches with Run.sample instead"
        )
    log_column = np.asarray(log_column, dtype=np.float32)
    if log_column.ndim != 2 or log_column.size == 0:
        raise ValueError(f"log_column: expected the shape (y, x) of one map, got {log_column.shape}")
    if np.isinf(log_column).any():
        raise ValueError(
            "log_column: expected finite values or NaN, got an infinite one; blank zeros before log10"
        )
    if not np.isfinite(log_column).any():
        raise ValueError("log_column: expected a valid pixel, got NaN everywhere")
    if np.nanmax(log_column) > 40:
        raise ValueError(
            f"log_column: expected log10 of cm^-2 (19 to 26 is usual), got {np.nanmax(log_column):.3g}; take np.log10"
        )
    return log_column


def _condition(
    model: BlueprintModel, log_column: np.ndarray, tile: int | None, device: torch.device, *, progress: bool
) -> tuple[np.ndarray, int]:
    """Return what feeds the generative block, baselines and images, found tile by tile, and how many are baselines."""
    counts = []
    margin = max(model.receptive_margin - model.generative.receptive_margin, 0)
    side = max(TILE if tile is None else tile, 2 * _round_up(margin, model.stride) + model.stride)
    plan = plan_tiles(log_column.shape, tile=side, margin=margin, multiple=model.stride)

    def front(window: np.ndarray) -> np.ndarray:
        given = {"column_density": torch.from_numpy(window[None]).to(device)}  # (1, 1, h, w)
        parts = [part.expand(1, -1, *window.shape[-2:]) for part in model.condition(given)]
        counts.append(parts[0].shape[1])
        return torch.cat(parts, dim=1)[0].float().cpu().numpy()  # (1 or C + F, h, w)

    condition = apply_tiled(front, log_column, plan, progress=progress)[0]
    return condition, counts[0]


def network_plan(
    block: Generative, shape: tuple[int, int], tile: int | None, overlap: float = 0.5
) -> TilePlan:
    """Cut the map into tiles for one step of the network."""
    if not block.local:
        return plan_overlapping(
            shape, tile=PATCH if tile is None else tile, overlap=overlap, multiple=block.stride
        )
    smallest = 2 * _round_up(block.receptive_margin, block.stride) + block.stride
    side = max(TILE, 2 * smallest) if tile is None else tile
    return plan_tiles(shape, tile=side, margin=block.receptive_margin, multiple=block.stride)


def _tiled_field(
    block: Generative, image: np.ndarray, plan: TilePlan, device: torch.device, *, progress: bool
) -> Callable[[Tensor, float], Tensor]:
    """Return the network as a function of all samples of the whole map (S, C, y, x) and the time."""
    image = np.where(np.isfinite(image), image, np.float32(0))  # (F, y, x)

    def field(x: Tensor, time: float) -> Tensor:
        samples, channels = x.shape[:2]

        def network(window: np.ndarray) -> np.ndarray:
            both = torch.from_numpy(window).to(device)  # (S C + F, h, w)
            noisy = both[: samples * channels].unflatten(0, (samples, channels))  # (S, C, h, w)
            seen = both[samples * channels :].expand(samples, -1, -1, -1)  # (S, F, h, w)
            return block.evaluate(noisy, time, seen).float().flatten(0, 1).cpu().numpy()  # (S C, h, w)

        stack = np.concatenate([x.flatten(0, 1).numpy(), image])  # (S C + F, y, x)
        answer, _ = apply_tiled(network, stack, plan, progress=progress)
        return torch.from_numpy(answer).unflatten(0, (samples, channels))  # (S, C, y, x)

    return field


def _round_up(value: int, multiple: int) -> int:
    return math.ceil(value / multiple) * multiple
