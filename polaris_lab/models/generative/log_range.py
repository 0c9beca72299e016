"""A fixed range of logarithms brought to -1..1: the normalisation of Xu et al. (2023)."""

from __future__ import annotations

import math

from torch import Tensor, nn

from polaris_lab.models.registry import register_block


@register_block("log_range")
class LogRange(nn.Module):
    """Return 2 (x - low) / (high - low) - 1.

    Parameters
    ----------
    low, high : float
        log10 that becomes -1 and 1; Xu et al. take 19 and 25 for N_H.

    Examples
    --------
    >>> import torch
    >>> LogRange()(torch.tensor([[[[22.0]]]])).item()
    0.0
    """

    def __init__(self, low: float = 19.0, high: float = 25.0) -> None:
        super().__init__()
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"low, high: expected low < high, got {low} and {high}")
        self.low, self.high = low, high

    def forward(self, x: Tensor) -> Tensor:
        """Return x in units of the range."""
        return 2 * (x - self.low) / (self.high - self.low) - 1  # (N, C, H, W)
