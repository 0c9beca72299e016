"""Networks that answer with samples: a baseline, what the network sees of the map, and the block that draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polaris_lab.models.blueprint import Blueprint
from polaris_lab.models.generative.drawn import SELECT
from polaris_lab.models.generative.ordered import rising
from polaris_lab.models.node import Node
from polaris_lab.models.presets.outputs import checked_outputs
from polaris_lab.models.presets.parts import check_choices, checked_inputs, ending, front
from polaris_lab.models.presets.registry import register_preset
from polaris_lab.quantities import is_logarithmic, quantity_names

TINY = {"layers": 1, "base_filters": 4, "reference_scale": 4.0}


@register_preset("flow_matching", tiny=TINY)
def flow_matching(
    layers: int = 3,
    base_filters: int = 16,
    *,
    residual: bool = True,
    scale_equivariant: bool = True,
    reference_scale: float = 16.0,
    inputs: Sequence[str] = ("column_density",),
    output: str = "mass_weighted_density",
    outputs: Sequence[str] = (),
) -> Blueprint:
    """Return the blueprint of conditional flow matching: samples in 4 to 8 steps. The generative model to take first.

    Parameters
    ----------
    layers, base_filters
        The network: see :class:`polaris_lab.models.generative.flow_matching.FlowMatching`.
    residual, scale_equivariant, reference_scale, inputs, output, outputs
        As for :func:`polaris_lab.models.presets.unet.unet`: what is learnt is the residual about a power law, from log N
        relative to its local mean, so that N -> lambda N gives lambda n for every sample. Several outputs are drawn
        together; in every sample <n>_V <= <n>_M <= n_max, of those that are among them.

    Examples
    --------
    >>> [node.block for node in flow_matching().nodes]
    ['local_contrast', 'equivariant_power_law', 'flow_matching']
    """
    settings = {"layers": layers, "base_filters": base_filters}
    choices = {
        "residual": residual,
        "scale_equivariant": scale_equivariant,
        "reference_scale": reference_scale,
    }
    name = f"flow matching {base_filters} x {layers}"
    return _blueprint("flow_matching", name, settings, choices, inputs, checked_outputs(output, outputs))


@register_preset("diffusion", tiny=TINY)
def diffusion(
    layers: int = 3,
    base_filters: int = 16,
    *,
    network: str = "time_unet",
    scheduler: str = "ddim",
    residual: bool = True,
    scale_equivariant: bool = True,
    reference_scale: float = 16.0,
    inputs: Sequence[str] = ("column_density",),
    output: str = "mass_weighted_density",
    outputs: Sequence[str] = (),
) -> Blueprint:
    """Return the blueprint of conditional denoising diffusion, with our small network and normalisation.

    Parameters
    ----------
    layers, base_filters, network, scheduler
        See :class:`polaris_lab.models.generative.diffusion.Diffusion`.
    residual, scale_equivariant, reference_scale, inputs, output, outputs
        As for :func:`flow_matching`.

    Examples
    --------
    >>> diffusion(scheduler="dpm_solver").node("mass_weighted_density").settings["scheduler"]
    'dpm_solver'
    """
    settings = {"layers": layers, "base_filters": base_filters, "network": network, "scheduler": scheduler}
    choices = {
        "residual": residual,
        "scale_equivariant": scale_equivariant,
        "reference_scale": reference_scale,
    }
    name = f"diffusion {base_filters} x {layers}"
    return _blueprint("diffusion", name, settings, choices, inputs, checked_outputs(output, outputs))


@register_preset("diffusion_xu", tiny={"layers": 1, "base_filters": 4})
def diffusion_xu(
    layers: int = 3,
    base_filters: int = 128,
    *,
    scheduler: str = "ddim",
    column_density_range: tuple[float, float] = (19.0, 25.0),
    inputs: Sequence[str] = ("column_density",),
    output: str = "mass_weighted_density",
) -> Blueprint:
    """Return the blueprint of the diffusion model of Xu et al. (2023): 85.3 million parameters.

    Their normalisation: the network sees c = 2 (log N - 19) / 6 - 1 and learns y = 2 u - 1, where u is log n brought to
    0..1 over the training pixels. It knows neither a baseline nor scale equivariance. They train with Adam, learning
    rate 2e-5, an average of the weights with decay 0.999, on patches of 128 pixels, for up to 600 epochs.

    Parameters
    ----------
    layers, base_filters
        Levels below the first (of 1, 2, 3, 4 times `base_filters` channels, self-attention in the deepest).
    scheduler
        See :class:`polaris_lab.models.generative.diffusion.Diffusion`.
    column_density_range : (float, float)
        log10 N_H that is brought to -1 and 1.
    inputs : sequence of str
        The column density alone.
    output : str

    Examples
    --------
    >>> from polaris_lab.models import parameter_count
    >>> parameter_count(diffusion_xu())
    85253121

    References
    ----------
    Xu et al. 2023 (ApJ 950, 146).
    """
    (column_density, *others) = checked_inputs("diffusion_xu", inputs)
    if others:
        raise ValueError(f"diffusion_xu: expected the column density as the only input, got {tuple(inputs)}")
    if not isinstance(column_density_range, Sequence) or len(column_density_range) != 2:
        raise TypeError(
            f"column_density_range: expected two numbers, such as (19.0, 25.0), got {column_density_range!r}"
        )
    low, high = column_density_range
    settings = {
        "layers": layers,
        "base_filters": base_filters,
        "network": "ddpm_unet",
        "scheduler": scheduler,
    }
    nodes = (
        Node("column_in_range", "log_range", {"low": float(low), "high": float(high)}, (column_density,)),
        Node("baseline", "target_mean", {}, (column_density,)),
        Node(output, "diffusion", {**settings, "standardize": "range"}, ("baseline", "column_in_range")),
    )
    return Blueprint(
        inputs=(column_density,),
        nodes=nodes,
        output=output,
        name=f"diffusion of Xu {base_filters} x {layers}",
    )


@register_preset("bridge", tiny=TINY)
def bridge(
    layers: int = 3,
    base_filters: int = 16,
    *,
    start_noise: float = 0.1,
    residual: bool = True,
    scale_equivariant: bool = True,
    reference_scale: float = 16.0,
    inputs: Sequence[str] = ("column_density",),
    output: str = "mass_weighted_density",
    outputs: Sequence[str] = (),
) -> Blueprint:
    """Return the blueprint of a Schroedinger bridge: samples that start at the baseline of the map, not at pure noise.

    Parameters
    ----------
    layers, base_filters, start_noise
        See :class:`polaris_lab.models.generative.bridge.Bridge`.
    residual : bool
        Start at a power law of the column density. With False the start is the column density itself, up to a factor: the
        pairs of Astro-DSB.
    scale_equivariant, reference_scale, inputs, output, outputs
        As for :func:`flow_matching`.

    Examples
    --------
    >>> [node.block for node in bridge(residual=False).nodes]
    ['local_contrast', 'offset', 'bridge']
    """
    settings = {"layers": layers, "base_filters": base_filters, "start_noise": start_noise}
    choices = {
        "residual": residual,
        "scale_equivariant": scale_equivariant,
        "reference_scale": reference_scale,
    }
    name = f"bridge {base_filters} x {layers}"
    return _blueprint("bridge", name, settings, choices, inputs, checked_outputs(output, outputs))


@register_preset("invertible", tiny={**TINY, "features": 4, "couplings": 2, "bins": 4})
def invertible(
    layers: int = 2,
    base_filters: int = 16,
    *,
    features: int = 16,
    couplings: int = 4,
    coupling: str = "spline",
    bins: int = 8,
    residual: bool = True,
    scale_equivariant: bool = True,
    reference_scale: float = 16.0,
    inputs: Sequence[str] = ("column_density",),
    output: str = "mass_weighted_density",
    outputs: Sequence[str] = (),
) -> Blueprint:
    """Return the blueprint of a conditional invertible network: the posterior of every line of sight, in one step.

    Parameters
    ----------
    layers, base_filters, features, couplings, coupling, bins
        See :class:`polaris_lab.models.generative.invertible.Invertible`.
    residual, scale_equivariant, reference_scale, inputs, output, outputs
        As for :func:`flow_matching`.

    Examples
    --------
    >>> [node.block for node in invertible(scale_equivariant=False).nodes]
    ['standardize', 'power_law', 'invertible']
    """
    settings = {
        "layers": layers,
        "base_filters": base_filters,
        "features": features,
        "couplings": couplings,
        "coupling": coupling,
        "bins": bins,
    }
    choices = {
        "residual": residual,
        "scale_equivariant": scale_equivariant,
        "reference_scale": reference_scale,
    }
    name = f"invertible {base_filters} x {layers}"
    return _blueprint("invertible", name, settings, choices, inputs, checked_outputs(output, outputs))


def _blueprint(
    block: str,
    name: str,
    settings: dict[str, Any],
    choices: dict[str, Any],
    inputs: Sequence[str],
    outputs: tuple[str, ...],
) -> Blueprint:
    """Return the nodes that show the map, the baselines, and the block that draws; then one node for each of several outputs."""
    check_choices(**choices)
    inputs = checked_inputs(block, inputs)
    nodes, image = front(
        inputs, scale_equivariant=choices["scale_equivariant"], reference_scale=choices["reference_scale"]
    )
    drawn, above = rising(outputs)  # in the order of the channels
    baselines = [_baseline(inputs[0], output, image, choices, single=len(outputs) == 1) for output in drawn]
    nodes += baselines
    if len(outputs) == 1:
        feeds = (baselines[0].name, image)
        last = [Node(outputs[0], block, {"in_channels": len(inputs), **settings}, feeds)]
    else:
        settings = {"in_channels": len(inputs), "channels": len(outputs), **settings, "above": above}
        nodes.append(Node("baselines", "concatenate", {}, tuple(node.name for node in baselines)))
        last = [Node("samples", block, settings, ("baselines", image))]
        last += [
            Node(output, SELECT, {"first": channel}, ("samples",)) for channel, output in enumerate(drawn)
        ]
    return Blueprint(
        inputs=inputs,
        nodes=(*nodes, *last),
        output=outputs[0],
        name=name,
        extra_outputs=outputs[1:],
    )


def _baseline(column_density: str, output: str, image: str, choices: dict[str, Any], *, single: bool) -> Node:
    """Return the node of a first guess of an output; a number of components, no density, does not follow N."""
    physical = output not in quantity_names() or is_logarithmic(output)
    baseline, _ = ending(
        column_density,
        output,
        image,
        residual=choices["residual"] and physical,
        scale_equivariant=choices["scale_equivariant"] and physical,
        head="gaussian",
        prefix="" if single else f"{output}_",
    )
    return baseline
