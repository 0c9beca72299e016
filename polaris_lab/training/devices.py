"""Where a network is trained: device, number format, compilation, and the processes that train together."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from polaris_lab.training.settings import TrainingConfig

LAUNCHERS = ("LOCAL_RANK", "SLURM_LOCALID")
"""Variables by which a process knows that a launcher (this package, torchrun, srun) has started it with others."""


def make_fabric(config: TrainingConfig) -> Any:
    """Return the Lightning Fabric of the device that a configuration names.

    With several processes it joins the others; that ends when all have come.

    Raises
    ------
    ValueError
        If the device is not there, or several processes are wanted and this one was started alone.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(config.device, True):
        raise ValueError(f'device: expected one that is present, got {config.device!r}; use "auto" or "cpu"')
    if config.processes == 1:
        return Fabric(
            accelerator=config.device,
            devices=1,
            precision="32-true",  # bfloat16 is the matter of MixedPrecision
            plugins=[LightningEnvironment()],  # one process, also inside a cluster's job
        )
    if not is_launched():
        raise ValueError(
            f"devices, num_nodes: expected {config.processes} processes started together, got this one alone; train a "
            "run with Run.train() on one machine, or start `polaris-lab train RUN` on each with torchrun or srun"
        )
    fabric = Fabric(
        accelerator=config.device,
        devices=config.devices,
        num_nodes=config.num_nodes,
        strategy="ddp",
        precision="32-true",
    )
    fabric.launch()
    return fabric


def is_launched() -> bool:
    """Return whether this process is one of several that a launcher has started."""
    return any(name in os.environ for name in LAUNCHERS)


def resolved_precision(precision: str, device: torch.device | str = "cpu") -> str:
    """Return the number format that "auto" stands for on this machine; other names as they are."""
    if precision != "auto":
        return precision
    try:
        from polaris_lab.models.precision import best_precision
    except ImportError:  # a measured choice is not there
        return "32-true"
    return best_precision(device)


def device_named(name: str) -> torch.device:
    """Return the device of a configuration's name ("auto": a GPU when there is one)."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def compiled(network: nn.Module, device: torch.device) -> nn.Module:
    """Return a network that torch.compile translates at its first call.

    Raises
    ------
    ValueError
        If this machine cannot compile.
    """
    try:
        with warnings.catch_warnings():
            # of torch's own modules, which its compiler loads at first: with warnings as errors it would seem missing
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.compile(_plus_one)(torch.zeros(2, device=device))
    except Exception as error:  # whatever a missing or broken compiler raises
        reason = str(error).strip().splitlines()
        raise ValueError(
            "compile: expected a compiler that torch.compile can use (on the CPU a C++ one such as g++, see the "
            f"variable CXX), got {type(error).__name__}: {reason[0] if reason else 'no reason'}; install one, or set "
            "compile=False"
        ) from error
    # Writing an answer over an input that also stands in a stack of others gave wrong numbers (torch 2.13, on the CPU).
    return torch.compile(network, dynamic=False, options={"inplace_buffers": False})


def _plus_one(x: Tensor) -> Tensor:
    return x + 1


class MixedPrecision(nn.Module):
    """A network computed in bfloat16 where that is safe, from inputs and to outputs in float32.

    Fabric's own mixed precision rounds the inputs to bfloat16 first, which leaves 0.1 dex of a log N of 21.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor | dict[str, Tensor]:
        """Return what the network gives, in float32."""
        device = next(iter(inputs.values())).device.type
        with torch.autocast(device, dtype=torch.bfloat16):
            raw = self.network(inputs)  # (N, C, H, W)
        return {name: x.float() for name, x in raw.items()} if isinstance(raw, Mapping) else raw.float()


def memory_mib(device: torch.device) -> float:
    """Return the memory that the training takes [MiB]: on a GPU the most allocated so far, else resident now."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import psutil

    return psutil.Process().memory_info().rss / 2**20
