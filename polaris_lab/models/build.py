"""From a blueprint to a module: build, check shapes, count parameters."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from polaris_lab.models.blueprint import Blueprint
from polaris_lab.models.fitting import CHUNK
from polaris_lab.models.generative.drawn import drawn_outputs
from polaris_lab.models.generative.protocol import Generative, evaluation
from polaris_lab.models.heads import Head, PointHead
from polaris_lab.models.inputs import (
    check_targets,
    checked_values,
    first_output,
    input_channels,
    placeholders,
)
from polaris_lab.models.node import Node
from polaris_lab.models.reach import front_nodes, receptive_margin, trim
from polaris_lab.models.registry import Fitted, block_class, input_names

GENERATIVE_PRESETS = '"flow_matching", "diffusion", "bridge" or "invertible"'


class BlueprintModel(nn.Module):
    """A blueprint with weights: its forward pass is a loop over the nodes. Make one with :func:`build_model`.

    Attributes
    ----------
    blueprint : Blueprint
        What it was built from.
    nodes : ModuleDict
        The blocks by the name of their node.
    receptive_margin : int
        Pixels further than this from an output pixel cannot change it: the margin that a tile needs.
    inner_margin : int
        The same behind the blocks without weights that look at the inputs first, such as a local contrast.
    heads : dict of Head
        How to read the raw answer of each output.
    drawn : Drawn or None
        Which node draws which outputs, of a generative network.
    stride : int
        Origins and sizes of tiles must be multiples of it for the answer not to depend on the tiles. Whole
        images may have any size.
    """

    def __init__(self, blueprint: Blueprint) -> None:
        super().__init__()
        self.blueprint = blueprint
        self.nodes = nn.ModuleDict(
            {node.name: block_class(node.block)(**node.settings) for node in blueprint.nodes}
        )
        self.heads: dict[str, Head] = {
            name: getattr(self.nodes[name], "head", PointHead()) for name in blueprint.outputs
        }
        self.drawn = drawn_outputs(blueprint)
        self.channels = input_channels(blueprint, self.nodes)
        self.receptive_margin = receptive_margin(blueprint, self.nodes)
        self.front = front_nodes(blueprint, self.nodes)
        self.inner_margin = receptive_margin(blueprint, self.nodes, known=self.front)
        self.stride = math.lcm(*(getattr(block, "stride", 1) for block in self.nodes.values()))

    def forward(
        self, inputs: Mapping[str, Tensor], *, kept: tuple[slice, slice] | None = None
    ) -> Tensor | dict[str, Tensor]:
        """Return the raw answer (N, C, H, W) for inputs by name: log10 of what is logarithmic, the rest as it is.

        C is 1, log10 of the target itself, unless the output has another head: :meth:`point` reads the answer.
        With several outputs it is a dict of such tensors. Names that the blueprint does not know are left aside;
        an optional input that is missing counts as NaN everywhere. Where a map is NaN the answer is NaN for networks
        that start from a baseline, and other pixels are not spoilt.

        Parameters
        ----------
        inputs : mapping of str to Tensor
        kept : (slice, slice), optional
            Rows and columns whose answer is needed. What the network does not need for it, since a local contrast has
            already looked there, is left out; the answer is NaN there.

        Raises
        ------
        TypeError
            If the inputs are not given by name.
        ValueError
            If an input is missing, or not of the shape of its quantity: (N, 1, H, W) for a map, (N, V, H, W) for
            a cube, (N, 1, 1, 1) for a number (see :mod:`polaris_lab.quantities`).
        """
        values = checked_values(self.blueprint, inputs, self.channels)
        left_out = (0, 0, 0, 0)
        if kept is not None and self.inner_margin < self.receptive_margin:
            for node in self.blueprint.nodes:
                if node.name in self.front:
                    values[node.name] = _answer(node, self.nodes[node.name], values)
            left_out = trim(values, kept, margin=self.inner_margin, stride=self.stride)
        for node in self.blueprint.nodes:
            if node.name not in values:
                values[node.name] = _answer(node, self.nodes[node.name], values)
        answers = {name: values[name] for name in self.blueprint.outputs}  # each (N, C, H, W)
        if any(left_out):
            answers = {
                name: functional.pad(value, left_out, value=math.nan) for name, value in answers.items()
            }
        return answers if self.blueprint.extra_outputs else answers[self.blueprint.output]

    def point(self, raw: Tensor | Mapping[str, Tensor], output: str | None = None) -> Tensor:
        """Return log10 of the value to report (N, 1, H, W) from a raw answer.

        Parameters
        ----------
        raw : Tensor or mapping
            What :meth:`forward` returned.
        output : str, optional
            Which output; the main one by default.
        """
        output = output or self.blueprint.output
        return self.heads[output].point(raw[output] if isinstance(raw, Mapping) else raw)  # (N, 1, H, W)

    def features(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the feature maps of every node, and inside it: see :func:`polaris_lab.models.inspect.features`."""
        from polaris_lab.models.inspect import features

        return features(self, inputs)

    def weights(self, node: str) -> dict[str, np.ndarray]:
        """Return the weights and constants of a node: see :func:`polaris_lab.models.inspect.weights`."""
        from polaris_lab.models.inspect import weights

        return weights(self, node)

    def volume(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the density (N, K, H, W) [cm^-3] behind the images: see :func:`polaris_lab.models.volume.volume_density`."""
        from polaris_lab.models.volume import volume_density

        return volume_density(self, inputs)

    @property
    def is_generative(self) -> bool:
        """Whether it answers with samples of a distribution (a block that is ``Generative`` draws its outputs)."""
        return self.drawn is not None

    @property
    def generative(self) -> Generative:
        """Return the block that draws the samples.

        Raises
        ------
        ValueError
            If there is none.
        """
        if self.drawn is None:
            raise ValueError(
                f"model: expected a generative network (flow matching, diffusion, bridge, invertible) to draw samples from, got "
                f"{self.blueprint.name!r}, which gives one answer; train one of the presets {GENERATIVE_PRESETS}"
            )
        return self.nodes[self.drawn.node]

    def condition(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """Return what feeds the generative block: its baseline (N, 1 or C, H, W) and the images that it looks at."""
        values = checked_values(self.blueprint, inputs, self.channels)
        last = self.blueprint.output if self.drawn is None else self.drawn.node
        for node in self.blueprint.nodes:
            arguments = [values[name] for name in node.inputs]
            if node.name == last:
                break
            values[node.name] = self.nodes[node.name](*arguments)
        return arguments

    def training_loss(
        self, inputs: Mapping[str, Tensor], target: Tensor | Mapping[str, Tensor], generator: torch.Generator
    ) -> Tensor:
        """Return the loss of a generative network for each image (N,); its noise comes from a CPU generator."""
        block = self.generative
        return block.training_loss(self.condition(inputs), self.drawn.stacked(target), generator)  # (N,)

    @torch.no_grad()
    def sample(
        self, inputs: Mapping[str, Tensor], *, samples: int = 8, steps: int | None = None, seed: int = 0
    ) -> Tensor | dict[str, Tensor]:
        """Draw the target of a generative network (samples, N, 1, H, W): log10 of what is logarithmic.

        Several outputs are drawn together, so that those of one sample belong together; they are returned by name.

        Parameters
        ----------
        inputs : mapping of str to Tensor
            As for :meth:`forward`.
        samples : int
            Maps to draw for each image. Their mean is the best estimate, their spread its uncertainty.
        steps : int, optional
            Evaluations of the network for each; by default 8 (flow matching), 16 (diffusion), 32 (bridge), 1 (invertible).
        seed : int
            Of the noise; the same seed gives the same samples on every device.

        Raises
        ------
        ValueError
            If the network is not generative, or `samples` or `steps` are no whole number of at least 1.
        """
        generator = torch.Generator().manual_seed(seed)
        block = self.generative
        with evaluation(self):
            drawn = block.sample(self.condition(inputs), samples=samples, steps=steps, generator=generator)
        return self.drawn.split(drawn)

    def blocks_named(self, block: str) -> list[nn.Module]:
        """Return the blocks of one kind, in the order of their nodes (none where the blueprint has none)."""
        return [self.nodes[node.name] for node in self.blueprint.nodes if node.block == block]

    @torch.no_grad()
    def fit_constants(
        self, inputs: Mapping[str, Tensor], target: Tensor | Mapping[str, Tensor]
    ) -> BlueprintModel:
        """Fit the constants of the blocks that have any, in float64, in the order of the nodes.

        A block is fitted to the first output that depends on it; one that draws all outputs, to all of them.

        Parameters
        ----------
        inputs : mapping of str to Tensor
            The training inputs, as for :meth:`forward`. NaN pixels take no part.
        target : Tensor, shape (N, 1, H, W), or mapping of them
            log10 of the target; by name where there are several outputs.

        Returns
        -------
        BlueprintModel
            Itself.

        Raises
        ------
        ValueError
            If values are constant or none is finite, or constants depend on a node that must be trained
            first: the error names the node.
        """
        values: dict[str, Tensor | None] = dict(checked_values(self.blueprint, inputs, self.channels))
        targets = dict(target) if isinstance(target, Mapping) else {self.blueprint.output: target}
        check_targets(self.blueprint, values, targets)
        serves = first_output(self.blueprint)
        for node in self.blueprint.nodes:
            block = self.nodes[node.name]
            arguments = [values[name] for name in node.inputs]
            if isinstance(block, Fitted):
                drawn = self.drawn is not None and node.name == self.drawn.node
                target = self.drawn.stacked(targets) if drawn else targets[serves[node.name]]
                _fit(block, node, arguments, target)
            values[node.name] = _value(block, arguments)
        return self

    def _repr_html_(self) -> str:
        return self.blueprint._repr_html_()


def build_model(blueprint: Blueprint, *, seed: int = 0) -> BlueprintModel:
    """Return the network of a blueprint with fresh weights.

    Parameters
    ----------
    blueprint : Blueprint
        What to build.
    seed : int
        Of the weights; torch's global random state is left as it was.

    Raises
    ------
    ValueError
        If the shapes of its nodes do not fit together: the error names the node.

    Examples
    --------
    >>> import torch
    >>> model = build_model(Blueprint.unet(layers=2, base_filters=4))
    >>> model({"column_density": torch.full((1, 1, 30, 41), 21.5)}).shape
    torch.Size([1, 1, 30, 41])
    """
    if not isinstance(blueprint, Blueprint):
        raise TypeError(f"build_model: expected a Blueprint, got {type(blueprint).__name__}")
    _check_once(blueprint)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BlueprintModel(blueprint)


@functools.lru_cache(maxsize=128)
def _check_once(blueprint: Blueprint) -> None:
    """Refuse a blueprint whose shapes do not fit; what has passed is not checked anew (0.2 s, four times a run)."""
    check_shapes(blueprint)


def check_shapes(
    blueprint: Blueprint,
    size: tuple[int, ...] = (64, 64),
    *,
    watch: Callable[[str], AbstractContextManager] | None = None,
) -> dict[str, tuple[int, ...]]:
    """Return the shape (channels, height, width) that each node gives for images of `size` (height, width).

    It runs on torch's meta device: no memory is taken and nothing is computed. `watch`, given the name of a node,
    returns a context in which that node runs.

    Raises
    ------
    ValueError
        If a node cannot take its inputs, or an answer is not what its head reads, of the size of the input:
        the error names the node.

    Examples
    --------
    >>> check_shapes(Blueprint.unet(layers=2, base_filters=4), (32, 48))["correction"]
    (1, 32, 48)
    """
    if not isinstance(size, Sequence) or isinstance(size, str) or not all(_is_side(side) for side in size):
        raise ValueError(
            f"size: expected whole numbers of pixels such as (64, 64), height and width, got {size!r}"
        )
    with torch.device("meta"):
        model = BlueprintModel(blueprint)
        values = placeholders(blueprint, model.channels, size)
    shapes = {}
    for node in blueprint.nodes:
        with watch(node.name) if watch else nullcontext():
            value = _answer(node, model.nodes[node.name], values)
        values[node.name] = value
        shapes[node.name] = tuple(value.shape[1:])
    for output in blueprint.outputs:
        head = model.heads[output]
        expected = (head.channels, *size)
        if shapes[output] != expected:
            what = "one map" if head.channels == 1 else f"{head.channels} maps ({head.kind})"
            raise ValueError(
                f"node {output!r}: expected {what} of the size of the input, {expected}, got {shapes[output]}"
            )
    return shapes


def _is_side(side: object) -> bool:
    return isinstance(side, int) and not isinstance(side, bool) and side > 0


def parameter_count(blueprint: Blueprint) -> int:
    """Return the number of trainable parameters, counted on the meta device.

    Examples
    --------
    >>> parameter_count(Blueprint.unet(layers=4, base_filters=64, convolutions=2))
    31393901
    """
    with torch.device("meta"):
        return sum(p.numel() for p in BlueprintModel(blueprint).parameters() if p.requires_grad)


def _answer(node: Node, block: nn.Module, values: Mapping[str, Tensor]) -> Tensor:
    """Return what a node gives; whatever its block refuses is said with the node's name."""
    try:
        return block(*(values[name] for name in node.inputs))
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"node {node.name!r}: {error}") from error


def _fit(block: Fitted, node: Node, arguments: list[Tensor | None], target: Tensor) -> None:
    """Fit a block's constants, handing it the inputs that its method `fit` names."""
    given = dict(zip(input_names(node.block)[0], zip(node.inputs, arguments, strict=False), strict=False))
    wanted = {name: given[name] for name in inspect.signature(block.fit).parameters if name != "target"}
    for source, argument in wanted.values():
        if argument is None:
            raise ValueError(
                f"node {node.name!r}: its constants depend on {source!r}, which has weights to be trained; "
                "expected an input that is known before training"
            )
    try:
        block.fit(**{name: argument for name, (_, argument) in wanted.items()}, target=target)
    except ValueError as error:
        raise ValueError(f"node {node.name!r}: {error}") from error


def _value(block: nn.Module, arguments: list[Tensor | None]) -> Tensor | None:
    """Return what a block without trainable weights gives, computed in float64; None for one with weights."""
    known = [argument for argument in arguments if argument is not None]
    if len(known) < len(arguments) or any(True for _ in block.parameters()):
        return None
    parts = zip(*(argument.split(CHUNK) for argument in known), strict=True)
    return torch.cat(
        [block(*(x.double() for x in part)).to(known[0].dtype) for part in parts]
    )  # (N, C, H, W)
