"""A head that gives a cube: the column of each pixel shared out along its line of sight, so that it closes exactly.

A network gives logits a_k for the K cells of each line of sight. With w = softmax(a) the density is
n_k = N w_k / dz: its sum along the line is N, whatever the network says, <n>_M = (N / dz) sum(w^2) and
n_max = (N / dz) max(w). So N / L <= <n>_M <= n_max holds, and N -> lambda N gives lambda n.

References
----------
reference/science.md, section 3.10; report, appendix E.3.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from astropy import units as u
from torch import Tensor, nn

from polaris_lab.models.fitting import FittedBlock, mean_and_deviation
from polaris_lab.models.heads import Head
from polaris_lab.models.registry import register_block
from polaris_lab.units import PARSEC

if TYPE_CHECKING:
    from polaris_lab.clouds import SimulationCube
    from polaris_lab.models.build import BlueprintModel

LOG_PARSEC = math.log10(PARSEC)

LARGEST_LOGIT = 20.0
"""Logits stay within it, smoothly: a cell holds more than nothing, and its logarithm is finite."""


@dataclasses.dataclass(frozen=True)
class VolumeHead(Head):
    """log10 n_H of the cells along each line of sight, one channel a cell.

    Attributes
    ----------
    depth_cells : int
    """

    depth_cells: int
    kind = "volume"

    @property
    def channels(self) -> int:
        """Return the number of cells along a line of sight."""
        return self.depth_cells

    def point(self, raw: Tensor) -> Tensor:
        """Return the cube itself (N, K, H, W)."""
        return raw

    def sigma(self, raw: Tensor) -> None:
        """Return None: a value has no spread."""

    def quantile(self, raw: Tensor, level: float | Tensor) -> Tensor:
        """Refuse: a value has no quantiles."""
        raise ValueError(
            'quantile: expected a network that answers with a distribution, got a cube; build one with head="gaussian" '
            "for a map"
        )


@register_block("column_closing_volume")
class ColumnClosingVolume(FittedBlock):
    """log10 of n_k = N w_k / dz for logits, w their softmax over the depth.

    Logits of zero stand for a Gaussian line of sight in the middle of the box, whose width is fitted to the training
    pixels: <n>_M = N / (2 sqrt(pi) sigma).

    Parameters
    ----------
    depth_cells : int
        K, cells along a line of sight.
    cell_size_pc : float or None
        Length dz of one [pc], where the depth of the box is not given or not known. None: it always is.
    """

    width: Tensor

    def __init__(self, depth_cells: int = 32, cell_size_pc: float | None = None) -> None:
        super().__init__(width=depth_cells / 4)
        if depth_cells < 2:
            raise ValueError(f"depth_cells: expected at least 2 cells, got {depth_cells}")
        if cell_size_pc is not None and not (cell_size_pc > 0 and math.isfinite(cell_size_pc)):
            raise ValueError(f"cell_size_pc: expected a positive number of pc, got {cell_size_pc}")
        self.depth_cells, self.cell_size_pc = depth_cells, cell_size_pc
        self.head = VolumeHead(depth_cells)

    def forward(self, column_density: Tensor, logits: Tensor, *depth: Tensor) -> Tensor:
        """Return log10 n_H [cm^-3] (N, K, H, W).

        Parameters
        ----------
        column_density : Tensor, shape (N, 1, H, W)
            log10 of N_H [cm^-2]; where it is NaN the answer is.
        logits : Tensor, shape (N, K, H, W)
        depth : Tensor, shape (N, 1, 1, 1)
            log10 of the depth of the box [pc]; NaN where it is not known.
        """
        log_weight = torch.log_softmax(self._logits(logits), dim=1) / math.log(10)  # (N, K, H, W)
        return (column_density - self._log_cell(column_density, depth)) + log_weight

    def density(self, column_density: Tensor, logits: Tensor, *depth: Tensor) -> Tensor:
        """Return n_H [cm^-3] (N, K, H, W) in float64, in which the column closes to rounding."""
        column_density = column_density.double()
        weight = torch.softmax(self._logits(logits.double()), dim=1)  # (N, K, H, W)
        log_cell = self._log_cell(column_density, tuple(x.double() for x in depth))
        return 10 ** (column_density - log_cell) * weight

    def _logits(self, logits: Tensor) -> Tensor:
        """Return the logits, bounded, on top of the Gaussian line of sight."""
        if logits.ndim != 4 or logits.shape[1] != self.depth_cells:
            raise ValueError(
                f"column_closing_volume needs logits of {self.depth_cells} cells, got {tuple(logits.shape[1:])}; set "
                f"depth_cells={logits.shape[1]}"
            )
        place = torch.arange(self.depth_cells, device=logits.device, dtype=logits.dtype)
        place = (place - (self.depth_cells - 1) / 2) / self.width.to(logits.dtype)
        profile = (-0.5 * place**2).clamp(min=-LARGEST_LOGIT)[:, None, None]  # (K, 1, 1)
        return profile + LARGEST_LOGIT * torch.tanh(logits / LARGEST_LOGIT)

    def _log_cell(self, column_density: Tensor, depth: tuple[Tensor, ...]) -> Tensor | float:
        """Return log10 of the length of a cell [cm]: of the depth where it is known, else of the setting."""
        if not depth and self.cell_size_pc is None:
            raise ValueError(
                "column_closing_volume needs the length of a depth cell, got neither an input (depth) nor "
                "cell_size_pc; set one"
            )
        fallback = math.nan if self.cell_size_pc is None else math.log10(self.cell_size_pc) + LOG_PARSEC
        if not depth:
            return fallback
        of_depth = depth[0] - math.log10(self.depth_cells) + LOG_PARSEC  # (N, 1, 1, 1)
        return torch.where(torch.isfinite(depth[0]), of_depth, fallback)

    def fit(self, column_density: Tensor, *, target: Tensor) -> None:
        """Take the width from the mean thickness N / <n>_M of the training pixels."""
        if self.cell_size_pc is None or target.shape[1] != 1:
            return
        log_thickness, _ = mean_and_deviation(column_density - target)
        cells = 10 ** (log_thickness - math.log10(self.cell_size_pc) - LOG_PARSEC)
        width = cells / (2 * math.sqrt(math.pi))
        self.set_constants(width=min(max(width, 0.5), self.depth_cells))


@register_block("volume_mean")
class VolumeMean(nn.Module):
    """log10 of <n>_M = sum(n^2) / sum(n) along each line of sight of a cube."""

    def forward(self, cube: Tensor) -> Tensor:
        """Return the map (N, 1, H, W) of a cube of log10 densities (N, K, H, W)."""
        natural = cube * math.log(10)
        mean = torch.logsumexp(2 * natural, 1, keepdim=True) - torch.logsumexp(natural, 1, keepdim=True)
        return mean / math.log(10)  # (N, 1, H, W)


@register_block("volume_maximum")
class VolumeMaximum(nn.Module):
    """log10 of n_max along each line of sight of a cube."""

    def forward(self, cube: Tensor) -> Tensor:
        """Return the map (N, 1, H, W) of a cube of log10 densities (N, K, H, W)."""
        return cube.amax(dim=1, keepdim=True)  # (N, 1, H, W)


@torch.no_grad()
def volume_density(model: BlueprintModel, inputs: Mapping[str, Tensor]) -> Tensor:
    """Return the cube that a network with a volume head sees behind each image.

    Parameters
    ----------
    model : BlueprintModel
    inputs : mapping of str to Tensor
        As for its forward pass.

    Returns
    -------
    Tensor, shape (N, K, H, W), float64
        n_H [cm^-3]: K cells along the line of sight, whose sum times their length is the column density.

    Raises
    ------
    ValueError
        If the network has no such head.
    """
    from polaris_lab.models.inputs import checked_values

    values = checked_values(model.blueprint, inputs, model.channels)
    for node in model.blueprint.nodes:
        block = model.nodes[node.name]
        arguments = [values[name] for name in node.inputs]
        if isinstance(block, ColumnClosingVolume):
            return block.density(*arguments)
        values[node.name] = block(*arguments)
    raise ValueError(
        f"volume: expected a network with a node column_closing_volume, got {model.blueprint.name!r} without one; build "
        'it with Blueprint.preset("volume")'
    )


def predicted_cube(
    model: BlueprintModel, inputs: Mapping[str, Tensor], *, pixel_size_pc: float, name: str = "predicted"
) -> SimulationCube:
    """Return the cube behind one image as a cloud, for projections and the volume viewer.

    Layers along the line of sight are repeated where they are thicker than a pixel, so that cells are cubes.

    Parameters
    ----------
    model : BlueprintModel
        With a volume head whose cell length is a setting.
    inputs : mapping of str to Tensor
        Of one image, without NaN in its column density.
    pixel_size_pc : float
        Of the image [pc].
    name : str
        Of the cloud.

    Raises
    ------
    ValueError
        If there is more than one image, or a depth cell is no whole number of pixels long.
    """
    from polaris_lab.clouds import SimulationCube

    density = volume_density(model, inputs)
    if len(density) != 1:
        raise ValueError(f"inputs: expected one image, got {len(density)}; give one at a time")
    (block,) = model.blocks_named("column_closing_volume")
    length = block.cell_size_pc
    if "depth" in inputs and bool(torch.isfinite(inputs["depth"]).all()):
        length = float(10 ** inputs["depth"].double().flatten()[0]) / block.depth_cells
    ratio = (length or math.nan) / pixel_size_pc
    layers = round(ratio) if math.isfinite(ratio) else 0
    if layers < 1 or abs(ratio / layers - 1) > 1e-5:
        raise ValueError(
            f"pixel_size_pc: expected a depth cell of a whole number of pixels, got {length} pc and {pixel_size_pc:g} pc; "
            "resample the image, or build the network with another cell_size_pc"
        )
    gas = np.repeat(density[0].cpu().numpy(), layers, axis=0)  # (K layers, H, W)
    provenance = {"source": "predicted", "blueprint": model.blueprint.fingerprint}
    return SimulationCube(gas, cell_size=pixel_size_pc * u.pc, name=name, provenance=provenance)
