"""Channels that cannot lie below another: <n>_V <= <n>_M <= n_max along every line of sight, in every sample.

Such a channel is drawn as its distance from the one below it [dex], through softplus as in
:mod:`polaris_lab.models.bounds`: what a network says of it is free, and whatever it says, the order holds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

RISING = ("volume_weighted_density", "mass_weighted_density", "max_density")
"""Densities of one line of sight, none below the one before it (Cauchy-Schwarz; a maximum is no less than a mean)."""

STEP = 0.5
"""Softplus of the free number is multiplied with it [dex]: 0 means 0.35 dex."""

LEAST = 0.01
"""A distance in a target is learnt as no less than this [dex]: the free number of 0 would be -infinity."""

TOLERATED = 0.01
"""Share of the training pixels that may contradict the order by more than :data:`LEAST`."""


def rising(outputs: Sequence[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return outputs in the order of their channels, and for each the channel that it is not below (-1: none).

    Without two densities that bound each other there is no order: ().

    Examples
    --------
    >>> rising(("max_density", "number_of_components", "mass_weighted_density"))
    (('mass_weighted_density', 'max_density', 'number_of_components'), (-1, 0, -1))
    >>> rising(("max_density", "number_of_components"))
    (('max_density', 'number_of_components'), ())
    """
    bounded = [name for name in RISING if name in outputs]
    if len(bounded) < 2:
        return tuple(outputs), ()
    others = [name for name in outputs if name not in bounded]
    return (*bounded, *others), (*range(-1, len(bounded) - 1), *(-1 for _ in others))


def check_order(above: Sequence[int], channels: int) -> tuple[int, ...]:
    """Return the order, or say what is wrong with it.

    Raises
    ------
    ValueError
        If it is not () or a number for each channel: -1, or that of an earlier one.
    """
    above = tuple(above)
    right = len(above) in (0, channels) and all(-1 <= floor < own for own, floor in enumerate(above))
    if not right:
        raise ValueError(
            f"above: expected for each of {channels} channels -1 or the number of an earlier one, got {above}; "
            "(-1, 0) says that the second is not below the first, () that there is no order"
        )
    return above


def to_free(x: Tensor, above: Sequence[int]) -> Tensor:
    """Return free numbers for log10 densities (..., C, H, W): the inverse of :func:`from_free`.

    Examples
    --------
    >>> x = torch.tensor([3.0, 3.8]).reshape(2, 1, 1)
    >>> bool(torch.allclose(from_free(to_free(x, (-1, 0)), (-1, 0)), x))
    True
    """
    if not above:
        return x
    parts = list(x.unbind(dim=-3))
    for own, floor in enumerate(above):
        if floor >= 0:
            steps = (x[..., own, :, :] - x[..., floor, :, :]).clamp(min=LEAST) / STEP  # (..., H, W)
            parts[own] = steps + torch.log(-torch.expm1(-steps))
    return torch.stack(parts, dim=-3)  # (..., C, H, W)


def from_free(free: Tensor, above: Sequence[int]) -> Tensor:
    """Return log10 densities in their order (..., C, H, W) for any numbers: adding what is not negative never rounds downwards."""
    if not above:
        return free
    parts: list[Tensor] = []
    for own, floor in enumerate(above):
        value = free[..., own, :, :]  # (..., H, W)
        parts.append(value if floor < 0 else parts[floor] + STEP * functional.softplus(value))
    return torch.stack(parts, dim=-3)  # (..., C, H, W)


def check_targets_rise(target: Tensor, above: Sequence[int]) -> None:
    """Refuse training targets (N, C, H, W) that contradict the order.

    Raises
    ------
    ValueError
        If more than :data:`TOLERATED` of the pixels do, by more than :data:`LEAST`.
    """
    for own, floor in enumerate(above):
        if floor < 0:
            continue
        distance = target[:, own] - target[:, floor]  # (N, H, W)
        known = torch.isfinite(distance)
        share = float((distance[known] < -LEAST).double().mean()) if known.any() else 0.0
        if share > TOLERATED:
            raise ValueError(
                f"expected channel {own} of the target nowhere below channel {floor}, got {100 * share:.3g} % of the training "
                "pixels where it is; check the targets (<n>_M <= n_max along every line of sight), or set above=() on this node"
            )
