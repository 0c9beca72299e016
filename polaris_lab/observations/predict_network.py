"""Networks as one function of a window of a map: their mean, their spread, and what they say of their error."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from polaris_lab.datasets.normalize import SYMMETRIES
from polaris_lab.observations.intervals import ENDS
from polaris_lab.training.symmetric import turned, turned_back

if TYPE_CHECKING:
    from polaris_lab.models import BlueprintModel


@dataclasses.dataclass(frozen=True, eq=False)
class MapNetwork:
    """One network or several of one target, asked once or in all eight orientations.

    Attributes
    ----------
    models : tuple of BlueprintModel
    channels : tuple of (str, int)
        Names of the maps in a window and how many images each has, in their order.
    scalars : mapping of str to float
        Inputs that are one number, as the networks see them.
    levels : tuple of tuple of float
        For each network the levels of the ends of the intervals, in the order of :data:`ENDS`; empty for networks
        without a distribution.
    symmetries : bool
        Average over the eight orientations.
    """

    models: tuple[BlueprintModel, ...]
    channels: tuple[tuple[str, int], ...] = (("column_density", 1),)
    scalars: Mapping[str, float] = dataclasses.field(default_factory=dict)
    levels: tuple[tuple[float, ...], ...] = ((),)
    symmetries: bool = False

    def __post_init__(self) -> None:
        for model in self.models:
            model.eval().to(memory_format=torch.channels_last)  # a third faster on the CPU

    @property
    def margin(self) -> int:
        """Pixels that the farthest-sighted network sees."""
        return max(model.receptive_margin for model in self.models)

    @property
    def stride(self) -> int:
        """Multiple at which tiles begin."""
        return int(np.lcm.reduce([model.stride for model in self.models]))

    @property
    def spared(self) -> int:
        """Pixels of the margin that the costly part of every network does not look at."""
        spared = min(model.receptive_margin - model.inner_margin for model in self.models)
        return spared // self.stride * self.stride

    @property
    def extra_outputs(self) -> tuple[str, ...]:
        """Outputs beside the main one that all networks have."""
        first, *others = (model.blueprint.extra_outputs for model in self.models)
        return tuple(name for name in first if all(name in other for other in others))

    @property
    def answers(self) -> tuple[str, ...]:
        """Names of the maps that a call returns, in their order."""
        names = ["point"]
        if len(self.models) * (SYMMETRIES if self.symmetries else 1) > 1:
            names.append("spread")
        if any(self.levels):
            names += ENDS
        names += self.extra_outputs
        contrasts = self.models[0].blocks_named("local_contrast")
        return (*names, *(f"contrast {number}" for number in range(len(contrasts))))

    def __call__(self, window: np.ndarray, kept: tuple[slice, slice] | None = None) -> np.ndarray:
        """Return the maps that :attr:`answers` names, (K, h, w), for a window (C, h, w).

        Only the rows and columns `kept` are needed: others may be NaN.
        """
        if (
            self.symmetries and kept is not None
        ):  # as much on all sides: the same however the window is turned
            edges = [
                (part.start, side - part.stop) for part, side in zip(kept, window.shape[1:], strict=True)
            ]
            least = min(min(pair) for pair in edges)
        device = next((p.device for p in self.models[0].parameters()), torch.device("cpu"))
        both = torch.from_numpy(window[None]).to(device)  # (1, C, h, w)
        with torch.inference_mode():
            seen: list[Tensor] = []
            said = []
            for number in range(SYMMETRIES if self.symmetries else 1):
                images = turned(both, number)
                if self.symmetries and kept is not None:
                    kept = tuple(slice(least, side - least) for side in images.shape[2:])
                inputs = self._inputs(images)
                for model, levels in zip(self.models, self.levels, strict=True):
                    watched = seen if model is self.models[0] and number == 0 else None
                    said.append(turned_back(self._ask(model, inputs, levels, watched, kept), number))
            maps = torch.cat([*self._joined(torch.stack(said)), *seen], dim=1)  # (1, K, h, w)
            return maps[0].float().cpu().numpy()  # (K, h, w)

    def _inputs(self, window: Tensor) -> dict[str, Tensor]:
        """Return the inputs of the networks by name."""
        parts = window.split([count for _, count in self.channels], dim=1)
        inputs = {name: part for (name, _), part in zip(self.channels, parts, strict=True)}
        for name, value in self.scalars.items():
            inputs[name] = window.new_full((len(window), 1, 1, 1), value)
        return inputs

    def _ask(
        self,
        model: BlueprintModel,
        inputs: Mapping[str, Tensor],
        levels: Sequence[float],
        seen: list | None,
        kept: tuple[slice, slice] | None,
    ) -> Tensor:
        """Return value, distances to the ends of the intervals, and extra outputs of one network (1, k, h, w)."""
        blocks = [] if seen is None else model.blocks_named("local_contrast")
        hooks = [block.register_forward_hook(lambda _, __, out: seen.append(out)) for block in blocks]
        try:
            raw = model(inputs, kept=kept)
        finally:
            for hook in hooks:
                hook.remove()
        output = model.blueprint.output
        main = raw[output] if isinstance(raw, Mapping) else raw
        point = model.point(raw)  # (1, 1, h, w)
        ends = [model.heads[output].quantile(main, level) - point for level in levels]
        return torch.cat([point, *ends, *(model.point(raw, name) for name in self.extra_outputs)], dim=1)

    def _joined(self, said: Tensor) -> list[Tensor]:
        """Return mean, spread, mean ends and mean extra outputs of several answers (M, 1, k, h, w)."""
        if len(said) == 1:
            return [said[0]]
        mean = said[0] + (said - said[0]).mean(
            dim=0
        )  # (1, k, h, w); small differences are summed without loss
        spread = (said[:, :, :1] - mean[:, :1]).square().mean(dim=0).sqrt()  # (1, 1, h, w)
        count = len(ENDS) if any(self.levels) else 0
        ends = said[:, :, 1 : 1 + count]
        ends = ends.square().mean(dim=0).sqrt() * ends.mean(dim=0).sign()  # variances are averaged
        return [mean[:, :1], spread, ends, mean[:, 1 + count :]]


@functools.lru_cache(maxsize=2)
def _of_paths(
    paths: tuple[str, ...], channels: tuple, scalars: tuple, levels: tuple, symmetries: bool
) -> MapNetwork:
    """Return the networks of runs, kept for the next window: what a worker of a cluster calls."""
    from polaris_lab.training.run import Run

    models = tuple(Run.open(path).model() for path in paths)
    return MapNetwork(models, channels, dict(scalars), levels, symmetries)


@dataclasses.dataclass(frozen=True)
class RemoteNetwork:
    """A :class:`MapNetwork` that travels as the paths of its runs: small, and each worker loads it once."""

    paths: tuple[str, ...]
    channels: tuple[tuple[str, int], ...]
    scalars: tuple[tuple[str, float], ...]
    levels: tuple[tuple[float, ...], ...]
    symmetries: bool

    @classmethod
    def of(cls, network: MapNetwork, paths: Sequence[str]) -> RemoteNetwork:
        """Make it from a network and the folders of its runs."""
        scalars = tuple(network.scalars.items())
        return cls(tuple(paths), network.channels, scalars, network.levels, network.symmetries)

    def __call__(self, task: tuple[np.ndarray, tuple[slice, slice]]) -> np.ndarray:
        """Return what the network answers to a window, of which rows and columns are kept."""
        return _of_paths(self.paths, self.channels, self.scalars, self.levels, self.symmetries)(*task)
