"""Figures of what Kolmogorov-Arnold networks have learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import holoviews as hv
import numpy as np

from polaris_lab.models.kan import LayerCurves, LearnedCurve
from widgets import style
from widgets.axes import bokeh_options, curve_options, label_log_axes


def learned_curves(
    curves: LearnedCurve | Mapping[str, LearnedCurve],
    *,
    formula: Callable[[np.ndarray], np.ndarray] | None = None,
    pixels: tuple[np.ndarray, np.ndarray] | None = None,
    title: str = "Law that the network has learned",
    width: int = 420,
    height: int = 300,
) -> hv.Overlay:
    """Draw learned curves N -> n on logarithmic axes; the range that the network was trained on is shaded.

    Parameters
    ----------
    curves : LearnedCurve or mapping of name to LearnedCurve
        One, or several to compare (such as before and after pruning), of the same abscissa.
    formula : callable, optional
        From the abscissa (log10 N_H, or the contrast) to log10 of the density, such as a
        :class:`polaris_lab.models.kan.Formula`; drawn dashed.
    pixels : (ndarray, ndarray), optional
        Column density [cm^-2] (or contrast, N over its local mean) and density [cm^-3] of pixels to show behind.
    title, width, height
        Head and frame [px].

    Raises
    ------
    ValueError
        If there is no curve, or the curves depend on different things.

    Examples
    --------
    >>> from polaris_lab.models.kan import learned_curve  # doctest: +SKIP
    >>> learned_curves(learned_curve(run.model()))  # doctest: +SKIP
    """
    named = {"learned": curves} if isinstance(curves, LearnedCurve) else dict(curves)
    kinds = {(curve.abscissa, curve.quantity) for curve in named.values()}
    if len(kinds) != 1:
        raise ValueError(
            f"learned_curves: expected curves of one quantity against one abscissa, got {sorted(kinds)}; draw them apart"
        )
    first = next(iter(named.values()))
    opts, (x, y) = bokeh_options(), _dimensions(first)
    low, high = (10**limit for limit in first.trained)
    layers: list[hv.Element] = [
        hv.VSpan(low, high).opts(opts.VSpan(backend="bokeh", color=style.NEUTRAL, alpha=0.12))
    ]
    if pixels is not None:
        layers.append(
            hv.Scatter((np.ravel(pixels[0]), np.ravel(pixels[1])), x, y, label="pixels").opts(
                opts.Scatter(backend="bokeh", color=style.MISSING, size=2, alpha=0.4)
            )
        )
    for (name, curve), colour in zip(named.items(), style.SERIES * len(named), strict=False):
        layers.append(
            hv.Curve((10**curve.x, 10**curve.y), x, y, label=name).opts(
                opts.Curve(backend="bokeh", color=colour, line_width=2, tools=["hover"])
            )
        )
    if formula is not None:
        layers.append(
            hv.Curve((10**first.x, 10 ** formula(first.x)), x, y, label="formula").opts(
                opts.Curve(backend="bokeh", color="black", line_width=1.5, line_dash="dashed")
            )
        )
    everything = np.concatenate([curve.y for curve in named.values()])
    x_limits = (float(10 ** first.x.min()), float(10 ** first.x.max()))
    y_limits = (float(10 ** (everything.min() - 0.3)), float(10 ** (everything.max() + 0.3)))
    hook = label_log_axes(x_limits, y_limits, length=min(width, height))
    overlay = hv.Overlay(layers).opts(
        curve_options(
            title,
            width,
            height,
            logx=True,
            logy=True,
            xlim=x_limits,
            ylim=y_limits,
            xlabel=x.label,
            ylabel=y.label,
        )
    )
    hooks = [*overlay.opts.get("plot", backend="bokeh").kwargs.get("hooks", []), hook]
    return overlay.opts(opts.Overlay(backend="bokeh", hooks=hooks, legend_position="top_left"))


def layer_curves(
    curves: LayerCurves,
    *,
    count: int = 6,
    formulas: Mapping[tuple[int, int], Callable[[np.ndarray], np.ndarray]] | None = None,
    title: str = "Curves of a layer",
    width: int = 420,
    height: int = 300,
) -> hv.Overlay:
    """Draw the curves of a layer of K-Net or U-KAN that matter most: what a feature adds to an output.

    Parameters
    ----------
    curves : LayerCurves
        From :func:`polaris_lab.models.kan.layer_curves`.
    count : int
        How many, the strongest ones.
    formulas : mapping of (out, in) to callable, optional
        Fitted to some of them; drawn dashed.
    title, width, height
        Head and frame [px].
    """
    opts = bokeh_options()
    x = hv.Dimension("feature", label="feature [standard deviations of the training set]")
    y = hv.Dimension("added", label="what it adds to the output")
    layers: list[hv.Element] = [
        hv.VSpan(-2, 2).opts(opts.VSpan(backend="bokeh", color=style.NEUTRAL, alpha=0.12))
    ]
    for (out, number), colour in zip(curves.strongest(count), style.SERIES * count, strict=False):
        named = f"{number + 1} → {out + 1}"
        layers.append(
            hv.Curve((curves.x, curves.y[:, out, number]), x, y, label=named).opts(
                opts.Curve(backend="bokeh", color=colour, line_width=2, tools=["hover"])
            )
        )
    for formula in (formulas or {}).values():
        layers.append(
            hv.Curve((curves.x, formula(curves.x)), x, y, label="formula").opts(
                opts.Curve(backend="bokeh", color="black", line_width=1.5, line_dash="dashed")
            )
        )
    overlay = hv.Overlay(layers).opts(curve_options(title, width, height, xlabel=x.label, ylabel=y.label))
    return overlay.opts(opts.Overlay(backend="bokeh", legend_position="right"))


def _dimensions(curve: LearnedCurve) -> tuple[hv.Dimension, hv.Dimension]:
    """Return the axes with their units."""
    density = style.quantity(curve.quantity).label
    if curve.abscissa == "column_density":
        return (
            hv.Dimension("column_density", label=style.quantity("column_density").label),
            hv.Dimension("density", label=density),
        )
    symbol = density.split(" [")[0]
    return (
        hv.Dimension("contrast", label="contrast: N_H / local mean"),
        hv.Dimension("ratio", label=f"{symbol} / N_H [cm⁻¹]"),
    )
