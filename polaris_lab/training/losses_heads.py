"""Losses of answers that carry their uncertainty: Gaussian and quantile heads, one number per image (N,).

They are given the raw answer of the network (N, channels, H, W). Pixels whose target is NaN have no weight.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from polaris_lab.models.heads import LEVELS
from polaris_lab.training.losses import image_mean, register_loss


@register_loss("nll", head="gaussian")
def negative_log_likelihood(raw: Tensor, target: Tensor) -> Tensor:
    """Gaussian negative log-likelihood (without its constant): (y - mu)^2 / (2 sigma^2) + ln sigma.

    Parameters
    ----------
    raw : Tensor, shape (N, 2, H, W)
        mu = log10 of the density, and ln of sigma [dex].
    target : Tensor, shape (N, 1, H, W)

    References
    ----------
    Nix & Weigend 1994.

    Examples
    --------
    >>> negative_log_likelihood(torch.tensor([[[[1.0]], [[0.0]]]]), torch.tensor([[[[3.0]]]]))
    tensor([2.])
    """
    return image_mean(_nll(raw, target)[0], target)


@register_loss("beta_nll", head="gaussian", judged_by="nll")
def beta_negative_log_likelihood(raw: Tensor, target: Tensor, beta: float = 0.5) -> Tensor:
    """Gaussian negative log-likelihood, each pixel weighted by sigma^(2 beta) (without its gradient).

    The weight keeps pixels of large sigma, whose mean would otherwise hardly be learned, in play. With beta 0 it is
    "nll"; with 1 the mean learns as under "mse". Validation is judged by "nll": sigma (z^2 / 2 + ln sigma) is not a
    proper score. Where z^2 is 1 it is smallest at ln sigma = -3/2 (0.22 dex), so that it rises again when errors
    become smaller than that.

    Parameters
    ----------
    raw : Tensor, shape (N, 2, H, W)
        mu = log10 of the density, and ln of sigma [dex].
    target : Tensor, shape (N, 1, H, W)
    beta : float

    References
    ----------
    Seitzer et al. 2022 (arXiv 2203.09168).

    Examples
    --------
    >>> raw = torch.tensor([[[[1.0]], [[0.0]]]])
    >>> beta_negative_log_likelihood(raw, torch.tensor([[[[3.0]]]]))
    tensor([2.])
    """
    values, log_sigma = _nll(raw, target)
    return image_mean(torch.exp(2 * beta * log_sigma.detach()) * values, target)


@register_loss("quantile", head="quantiles")
def quantile(raw: Tensor, target: Tensor, levels: Sequence[float] = LEVELS) -> Tensor:
    """Sum over the levels q of the pinball loss max(q e, (q - 1) e), e = target - quantile [dex].

    Parameters
    ----------
    raw : Tensor, shape (N, levels, H, W)
        log10 quantiles of the density.
    target : Tensor, shape (N, 1, H, W)
    levels : sequence of float
        Of the channels.

    References
    ----------
    Koenker & Bassett 1978.

    Examples
    --------
    >>> round(quantile(torch.zeros(1, 5, 1, 1), torch.ones(1, 1, 1, 1)).item(), 6)
    2.5
    """
    level = torch.tensor(tuple(levels), device=raw.device, dtype=raw.dtype)[:, None, None]  # (levels, 1, 1)
    error = torch.where(torch.isnan(target), raw.detach(), target) - raw  # (N, levels, H, W)
    pinball = torch.maximum(level * error, (level - 1) * error)
    pinball = torch.where(torch.isnan(target), torch.zeros_like(pinball), pinball)  # its slope at 0 is not 0
    return image_mean(pinball.sum(dim=1, keepdim=True), target)


def _nll(raw: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the negative log-likelihood of each pixel (0 where the target is NaN) and ln sigma (N, 1, H, W)."""
    mean, log_sigma = raw[:, :1], raw[:, 1:2]
    valid = ~torch.isnan(target)
    z = (torch.where(valid, target, mean.detach()) - mean) * torch.exp(-log_sigma)
    return torch.where(valid, 0.5 * z**2 + log_sigma, torch.zeros_like(mean)), log_sigma
