"""The schedulers of the `diffusers` library, by name: how many noisy levels there are, and how a sample comes down them.

The library is optional (the extra ``lab``), is loaded when a diffusion network is first used, and fetches nothing.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import torch
from torch import Tensor

from polaris_lab.config import did_you_mean

SCHEDULERS = {"ddim": "DDIMScheduler", "ddpm": "DDPMScheduler", "dpm_solver": "DPMSolverMultistepScheduler"}
"""Names, and what `diffusers` calls them."""


def check_scheduler(name: str) -> None:
    """Refuse the name of an unknown scheduler ("did you mean")."""
    if name not in SCHEDULERS:
        raise ValueError(f"scheduler: unknown name {name!r}: {did_you_mean(str(name), list(SCHEDULERS))}")


def signal_power(levels: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> Tensor:
    """Return alpha-bar, the part of the variance that is still signal at each level, in float64.

    alpha-bar_t = prod_{s <= t} (1 - beta_s), with beta growing linearly.

    Examples
    --------
    >>> [round(float(power), 5) for power in signal_power()[[0, 500, 999]]]
    [0.9999, 0.0778, 4e-05]

    References
    ----------
    Ho, Jain & Abbeel 2020 (arXiv 2006.11239), eq. 4.
    """
    if levels < 2:
        raise ValueError(f"levels: expected a whole number of at least 2, got {levels}; 1000 is usual")
    if not 0 < beta_start <= beta_end < 1:
        raise ValueError(
            f"beta_start, beta_end: expected 0 < beta_start <= beta_end < 1, got {beta_start} and {beta_end}; "
            "1e-4 and 0.02 are usual"
        )
    return torch.cumprod(
        1 - torch.linspace(beta_start, beta_end, levels, dtype=torch.float64), dim=0
    )  # (levels,)


@functools.cache
def library() -> Any:
    """Return the `diffusers` library.

    Raises
    ------
    ImportError
        If it is not installed, with the command that installs it.
    """
    try:
        import diffusers
    except ImportError as error:
        raise ImportError(
            "diffusion: expected the library diffusers, which has the schedulers, got none; install it with "
            "pip install 'polaris-lab[lab]' (or pip install diffusers), or use flow matching, which needs none"
        ) from error
    return diffusers


def make_scheduler(
    name: str, *, steps: int, levels: int, beta_start: float, beta_end: float, largest: float | None = None
) -> Any:
    """Return a scheduler of `diffusers` that comes down from the last level in `steps` steps.

    Parameters
    ----------
    name : {"ddim", "ddpm", "dpm_solver"}
        DDIM without fresh noise (eta = 0), ancestral sampling, or the second-order DPM-Solver++.
    steps : int
        At most `levels`.
    levels, beta_start, beta_end
        See :func:`signal_power`.
    largest : float, optional
        Clip the estimate of the clean map to this absolute value at each step (not with "dpm_solver").

    Raises
    ------
    ValueError
        If the name is unknown, or there are more steps than levels.
    ImportError
        If the library is missing.
    """
    check_scheduler(name)
    if steps > levels:
        raise ValueError(f"steps: expected at most the {levels} levels of the diffusion, got {steps}")
    choices: dict[str, Any] = {"timestep_spacing": "trailing"}  # begins at the last level, where all is noise
    if name != "dpm_solver":
        choices |= {"clip_sample": largest is not None, "clip_sample_range": largest or 1.0}
    choices |= {"num_train_timesteps": levels, "beta_start": beta_start, "beta_end": beta_end}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of numpy, about what the library does inside
        kind = getattr(library(), SCHEDULERS[name])
        scheduler = kind(beta_schedule="linear", prediction_type="epsilon", **choices)
        scheduler.set_timesteps(steps)
    return scheduler
