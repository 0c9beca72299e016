"""What goes on inside a network: feature maps, weights, and how much work each node is."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from polaris_lab.config import did_you_mean

if TYPE_CHECKING:
    from polaris_lab.models.blueprint import Blueprint
    from polaris_lab.models.build import BlueprintModel


def features(model: BlueprintModel, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the feature maps of a network for some inputs.

    Parameters
    ----------
    model : BlueprintModel
        Left in the mode (training or evaluation) in which it was; it is run in evaluation, without gradients.
    inputs : mapping of str to Tensor
        As for its ``forward``.

    Returns
    -------
    dict of Tensor
        What each node gives, by its name, and what the parts inside it give, by a path: "correction.encoder.0" to
        "correction.bottleneck" and "correction.decoder.0" are the levels of a U-Net, 0 the finest. Copies.

    Examples
    --------
    >>> from polaris_lab.models import Blueprint, build_model
    >>> maps = features(build_model(Blueprint.unet(2, 4)), {"column_density": torch.full((1, 1, 32, 32), 21.5)})
    >>> maps["correction.encoder.1"].shape, maps["mass_weighted_density"].shape
    (torch.Size([1, 8, 16, 16]), torch.Size([1, 1, 32, 32]))
    """
    found: dict[str, Tensor] = {}

    def keep(name: str):
        def hook(_module: nn.Module, _arguments: tuple, answer: object) -> None:
            if isinstance(answer, Tensor):
                found[name] = answer.detach().clone()

        return hook

    training = model.training
    with ExitStack() as stack:
        for name, module in parts(model).items():
            stack.callback(module.register_forward_hook(keep(name)).remove)
        stack.callback(model.train, training)
        model.eval()
        with torch.no_grad():
            model(inputs)
    return found


def parts(model: BlueprintModel) -> dict[str, nn.Module]:
    """Return the modules whose answers :func:`features` keeps: nodes, their parts, and each of a list of parts."""
    named: dict[str, nn.Module] = {}
    for name, block in model.nodes.items():
        for part_name, part in block.named_children():
            if isinstance(part, nn.ModuleList | nn.ModuleDict):
                named.update({f"{name}.{part_name}.{key}": level for key, level in part.named_children()})
            else:
                named[f"{name}.{part_name}"] = part
        named[name] = block
    return named


def weights(model: BlueprintModel, node: str) -> dict[str, np.ndarray]:
    """Return the weights, statistics and fitted constants of one node as arrays, by their names. Copies.

    Parameters
    ----------
    model : BlueprintModel
        The network.
    node : str
        Name of a node.

    Raises
    ------
    ValueError
        If there is no such node ("did you mean").

    Examples
    --------
    >>> from polaris_lab.models import Blueprint, build_model
    >>> weights(build_model(Blueprint.unet(2, 4)), "correction")["encoder.0.0.convolution.weight"].shape
    (4, 1, 3, 3)
    """
    if node not in model.nodes:
        raise ValueError(f"weights: unknown node {node!r}: {did_you_mean(node, list(model.nodes))}")
    state = model.nodes[node].state_dict()
    return {name: values.detach().float().cpu().numpy().copy() for name, values in state.items()}


def node_flops(blueprint: Blueprint, size: tuple[int, ...] = (64, 64)) -> dict[str, int]:
    """Return the floating point operations of each node for one image, forward.

    Products of matrices and convolutions are counted (2 for a multiplication and an addition), on the meta device: no
    memory is taken and nothing is computed. What works pixel by pixel counts as none.

    Examples
    --------
    >>> from polaris_lab.models import Blueprint
    >>> flops = node_flops(Blueprint.unet(3, 16, convolutions=2), (128, 128))
    >>> round(flops["correction"] / 1e9, 2)
    1.18
    """
    from polaris_lab.models.build import check_shapes

    counters: dict[str, FlopCounterMode] = {}

    def watch(name: str) -> FlopCounterMode:
        counters[name] = FlopCounterMode(display=False)
        return counters[name]

    check_shapes(blueprint, size, watch=watch)
    return {name: counter.get_total_flops() // 2 for name, counter in counters.items()}  # of two images
