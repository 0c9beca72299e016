"""Feature-wise linear modulation: what is known of a whole image scales and shifts the features of a network.

References
----------
Perez et al. 2018 (arXiv 1709.07871).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polaris_lab.models.registry import register_block


@register_block("film")
class FiLM(nn.Module):
    """features (1 + scale) + shift, one scale and shift a channel, linear in a condition.

    Parameters
    ----------
    in_channels : int
        Of the features.
    condition_channels : int
        Of the condition (N, condition_channels, 1, 1).

    Examples
    --------
    >>> features, condition = torch.ones(2, 4, 8, 8), torch.zeros(2, 3, 1, 1)
    >>> FiLM(4, 3)(features, condition).shape
    torch.Size([2, 4, 8, 8])
    """

    def __init__(self, in_channels: int = 1, condition_channels: int = 16) -> None:
        super().__init__()
        for name, value in (("in_channels", in_channels), ("condition_channels", condition_channels)):
            if value < 1:
                raise ValueError(f"{name}: expected a whole number of at least 1, got {value}")
        self.in_channels = in_channels
        self.condition_channels = condition_channels
        self.linear = nn.Linear(condition_channels, 2 * in_channels)
        with torch.no_grad():  # at first it changes little, but every parameter gets a gradient
            self.linear.weight.mul_(0.1)
            self.linear.bias.zero_()

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Return the features, scaled and shifted."""
        if features.ndim != 4 or features.shape[1] != self.in_channels:
            raise ValueError(
                f"film needs {self.in_channels} channels of features, got {tuple(features.shape[1:])}; set "
                f"in_channels={features.shape[1]}"
            )
        check_condition("film", condition, self.condition_channels)
        scale, shift = self.linear(condition.flatten(1))[..., None, None].chunk(2, dim=1)  # (N, C, 1, 1)
        return features * (1 + scale) + shift  # (N, C, H, W)


@register_block("scalar_embedding")
class ScalarEmbedding(nn.Module):
    """One number an image (log10 of a size, a depth, a beam) as a condition.

    The network is shown (x - centre) / width and whether x is known. An unknown one (NaN) is the neutral value 0
    with the mark "unknown", whose own weights are learned when inputs are dropped in training: the answer is
    then one marginal over what the training set held.

    Parameters
    ----------
    out_channels : int
        Of the condition.
    centre, width : float
        Of the numbers to expect [dex].
    """

    def __init__(self, out_channels: int = 16, centre: float = 0.0, width: float = 1.0) -> None:
        super().__init__()
        if not width > 0:
            raise ValueError(f"width: expected a positive number of dex, got {width}")
        self.centre, self.width = centre, width
        self.layers = nn.Sequential(
            nn.Linear(2, out_channels), nn.SiLU(), nn.Linear(out_channels, out_channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the condition (N, out_channels, 1, 1) of numbers (N, 1, 1, 1)."""
        if x.ndim != 4 or x.shape[1:] != (1, 1, 1):
            raise ValueError(
                f"scalar_embedding needs one number an image (1, 1, 1), got {tuple(x.shape[1:])}; use "
                "context_encoder for maps"
            )
        known = torch.isfinite(x)  # (N, 1, 1, 1)
        value = torch.where(known, (x - self.centre) / self.width, 0.0)
        both = torch.cat([value, known.to(value.dtype)], dim=1).flatten(1)  # (N, 2)
        return self.layers(both)[..., None, None]  # (N, out_channels, 1, 1)


def check_condition(block: str, condition: Tensor, channels: int) -> None:
    """Raise ValueError unless a condition has the shape (N, channels, 1, 1)."""
    if condition.ndim != 4 or condition.shape[1:] != (channels, 1, 1):
        raise ValueError(
            f"{block} needs a condition of {channels} channels (C, 1, 1), got {tuple(condition.shape[1:])}; make one "
            "with scalar_embedding or context_encoder"
        )
