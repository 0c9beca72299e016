"""Which number format a machine trains fastest in without losing accuracy."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import torch

log = logging.getLogger(__name__)

CPU_FEATURES = ("avx512_bf16", "amx_bf16", "bf16")
"""Names under which Linux lists bfloat16 arithmetic of a processor (the last on ARM)."""


def best_precision(device: str | torch.device = "cpu") -> str:
    """Return the precision to train in on a device, and say so in the log.

    bfloat16 halves the time of a step where the hardware multiplies it (twice to three times as many products a
    second), and is slower than float32 where it does not. Weights, constants, baselines and losses stay float32.

    Parameters
    ----------
    device : str or torch.device
        "cpu", "cuda", "cuda:1", "mps".

    Returns
    -------
    {"bf16-mixed", "32-true"}
        The second wherever it is not certain that bfloat16 is fast.

    Examples
    --------
    >>> best_precision("meta")
    '32-true'
    """
    device = torch.device(device)
    fast, why = has_fast_bfloat16(device)
    chosen = "bf16-mixed" if fast else "32-true"
    log.info("precision %s on %s: %s", chosen, device, why)
    return chosen


def has_fast_bfloat16(device: torch.device) -> tuple[bool, str]:
    """Return whether a device multiplies bfloat16 numbers in hardware, and how that is known."""
    if device.type == "cuda":
        if not torch.cuda.is_available():
            return False, "no GPU was found"
        major, minor = torch.cuda.get_device_capability(device)
        has = major >= 8
        return has, f"{torch.cuda.get_device_name(device)} (compute capability {major}.{minor}) " + (
            "has bfloat16 tensor cores" if has else "has no bfloat16 tensor cores"
        )
    if device.type == "cpu":
        found = sorted(cpu_features() & set(CPU_FEATURES))
        if found:
            return True, f"the processor has {', '.join(found)}"
        return False, "the processor lists no bfloat16 arithmetic"
    return False, "float32 is the safe choice on this kind of device"


def cpu_features(path: str | Path = "/proc/cpuinfo") -> set[str]:
    """Return the features that Linux lists of the processor; empty where it lists none (other systems)."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
    return set(found.group(1).split()) if found else set()
