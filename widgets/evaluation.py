"""Figures of an evaluation: accuracy with its spread, calibration, spectra, and what a correction does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import holoviews as hv
import numpy as np

from widgets import style
from widgets.axes import bokeh_options, curve_options

_LEVEL = hv.Dimension("level", label="stated probability [%]")
_SHARE = hv.Dimension("share", label="truth inside [%]")
_FREQUENCY = hv.Dimension("frequency", label="waves per pixel")
_DENSITY = hv.Dimension("density", label="predicted density n_H [cm⁻³]")
_RESIDUAL = hv.Dimension("residual", label=style.QUANTITIES["residual"].label)


def accuracy_with_spread(
    evaluations: Mapping[str, Any],
    *,
    title: str = "Accuracy against tolerance",
    width: int = 420,
    height: int = 300,
) -> hv.Overlay:
    """Draw the share of pixels within a tolerance, and where 68 % of the images lie (report, figure 9).

    Parameters
    ----------
    evaluations : mapping of str to Evaluation
        Of :func:`polaris_lab.evaluate`, by the name in the legend; the first has its spread drawn.
    title, width, height
        Head and frame [px].
    """
    opts = bokeh_options()
    x, y = hv.Dimension("tolerance", label="tolerance [dex]"), hv.Dimension("share", label="pixels [%]")
    layers: list[Any] = []
    for i, (name, evaluation) in enumerate(evaluations.items()):
        table = {key: _array(values) for key, values in evaluation.accuracy.items() if key != "images"}
        tolerance = table["tolerance_dex"]
        colour = style.SERIES[i % len(style.SERIES)]
        if i == 0:
            band = hv.Area(
                (tolerance, 100 * table["q16"], 100 * table["q84"]), [x], [y, "upper"], label="68 % of images"
            )
            layers.append(band.opts(opts.Area(backend="bokeh", color=colour, fill_alpha=0.2, line_alpha=0.0)))
        layers.append(
            hv.Curve((tolerance, 100 * table["mean"]), x, y, label=name).opts(
                opts.Curve(
                    backend="bokeh",
                    color=colour,
                    line_width=3 if i == 0 else 2,
                    line_dash=style.DASHES[i % len(style.DASHES)],
                    tools=["hover"],
                )
            )
        )
    options = curve_options(
        title, width, height, ylabel="pixels within tolerance [%]", xlabel="tolerance [dex]", ylim=(0, 102)
    )
    return hv.Overlay(layers).opts(options).opts(legend_position="bottom_right")


def coverage_curves(
    evaluations: Mapping[str, Any],
    *,
    title: str = "Do the intervals hold what they say?",
    width: int = 340,
    height: int = 300,
) -> hv.Overlay:
    """Draw how often the truth lies in central intervals, against what they state.

    Below the diagonal the uncertainties are too small, above it too large.

    Parameters
    ----------
    evaluations : mapping of str to Evaluation
        Those that say nothing of their error are left out.
    title, width, height
        Head and frame [px].

    Raises
    ------
    ValueError
        If none says anything of its error.
    """
    opts = bokeh_options()
    layers: list[Any] = [
        hv.Curve(([0, 100], [0, 100]), _LEVEL, _SHARE, label="as stated").opts(
            opts.Curve(backend="bokeh", color=style.NEUTRAL, line_dash="dashed", line_width=1)
        )
    ]
    for i, (name, table) in enumerate(_calibrations(evaluations).items()):
        points = 100 * _array(table["coverage_level"]), 100 * _array(table["coverage_share"])
        layers.append(
            hv.Curve(points, _LEVEL, _SHARE, label=name).opts(
                opts.Curve(
                    backend="bokeh",
                    color=style.SERIES[i % len(style.SERIES)],
                    line_width=2.5,
                    line_dash=style.DASHES[i % len(style.DASHES)],
                    tools=["hover"],
                )
            )
        )
    options = curve_options(
        title, width, height, xlabel=_LEVEL.label, ylabel=_SHARE.label, xlim=(0, 100), ylim=(0, 102)
    )
    return hv.Overlay(layers).opts(options).opts(legend_position="bottom_right")


def pit_histogram(
    evaluations: Mapping[str, Any],
    *,
    title: str = "Place of the truth in what is stated",
    width: int = 340,
    height: int = 300,
) -> hv.Overlay:
    """Draw the histogram of the probability integral transform: flat if right, a bowl if the spread is too small.

    Parameters
    ----------
    evaluations, title, width, height
        As in :func:`coverage_curves`.
    """
    opts = bokeh_options()
    x = hv.Dimension("pit", label="stated probability of a smaller density [%]")
    y = hv.Dimension("frequency", label="frequency / stated")
    layers = []
    for i, (name, table) in enumerate(_calibrations(evaluations).items()):
        edges, share = _array(table["pit_edges"]), _array(table["pit_share"])
        height_of = share / np.diff(edges)
        steps = np.repeat(100 * edges, 2)[1:-1], np.repeat(height_of, 2)
        layers.append(
            hv.Curve(steps, x, y, label=name).opts(
                opts.Curve(
                    backend="bokeh",
                    color=style.SERIES[i % len(style.SERIES)],
                    line_width=2.5,
                    line_dash=style.DASHES[i % len(style.DASHES)],
                )
            )
        )
    flat = hv.HLine(1.0).opts(
        opts.HLine(backend="bokeh", color=style.NEUTRAL, line_dash="dashed", line_width=1)
    )
    options = curve_options(title, width, height, xlabel=x.label, ylabel=y.label, xlim=(0, 100))
    return hv.Overlay([*layers, flat]).opts(options).opts(legend_position="bottom", legend_cols=2)


def power_ratio(
    evaluations: Mapping[str, Any],
    *,
    title: str = "Power of log₁₀ n, predicted / true",
    width: int = 420,
    height: int = 300,
) -> hv.Overlay:
    """Draw the ratio of the power spectra against spatial frequency: below 1, structures are smoothed away.

    Parameters
    ----------
    evaluations, title, width, height
        As in :func:`accuracy_with_spread`.
    """
    return _spectra(evaluations, "ratio", title, width, height)


def coherence(
    evaluations: Mapping[str, Any],
    *,
    title: str = "Coherence of predicted and true log₁₀ n",
    width: int = 420,
    height: int = 300,
) -> hv.Overlay:
    """Draw the coherence of prediction and truth against spatial frequency: 1 if structures are in their places.

    Parameters
    ----------
    evaluations, title, width, height
        As in :func:`accuracy_with_spread`.
    """
    return _spectra(evaluations, "coherence", title, width, height)


def residuals_before_after(
    comparison: Any,
    *,
    by: str = "predicted",
    title: str | None = None,
    width: int = 420,
    height: int = 300,
) -> hv.Overlay:
    """Draw mean and 68 % range of the residuals without and with a correction (report, figures 47 and 48).

    Parameters
    ----------
    comparison : BeforeAfter
        Of :func:`polaris_lab.training.before_after`.
    by : {"predicted", "target"}
        Which density the bins are of. By the true density every estimator of the mean shrinks; a correction that
        straightens this picture bends the other.
    title, width, height
        Head and frame [px].

    Raises
    ------
    ValueError
        If `by` is unknown.
    """
    if by not in ("predicted", "target"):
        raise ValueError(f"by: expected 'predicted' or 'target', got {by!r}")
    opts = bokeh_options()
    layers: list[Any] = []
    parts = (("before", comparison.before, style.VERMILION), ("after", comparison.after, style.BLUE))
    for name, evaluation, colour in parts:
        table = {key: _array(values) for key, values in evaluation.bins[by].items()}
        x = table["centres"]
        band = hv.Area(
            (x, table["q16"], table["q84"]), [_DENSITY], [_RESIDUAL, "upper"], label=f"{name}, 68 %"
        )
        layers.append(band.opts(opts.Area(backend="bokeh", color=colour, fill_alpha=0.18, line_alpha=0.0)))
        layers.append(
            hv.Curve((x, table["mean"]), _DENSITY, _RESIDUAL, label=f"{name}, mean").opts(
                opts.Curve(backend="bokeh", color=colour, line_width=2.5, tools=["hover"])
            )
        )
    zero = hv.HLine(0.0).opts(
        opts.HLine(backend="bokeh", color=style.NEUTRAL, line_dash="dashed", line_width=1)
    )
    words = {"predicted": "predicted", "target": "true"}[by]
    options = curve_options(
        title or f"Residuals by {words} density",
        width,
        height,
        logx=True,
        xlabel=f"{words} density n_H [cm⁻³]",
        ylabel=_RESIDUAL.label,
    )
    return hv.Overlay([*layers, zero]).opts(options).opts(legend_position="bottom", legend_cols=2)


def _spectra(evaluations: Mapping[str, Any], column: str, title: str, width: int, height: int) -> hv.Overlay:
    opts = bokeh_options()
    y = hv.Dimension(column, label={"ratio": "predicted / true", "coherence": "coherence"}[column])
    layers = [
        hv.Curve(
            (_array(evaluation.spectrum["frequency"]), _array(evaluation.spectrum[column])),
            _FREQUENCY,
            y,
            label=name,
        ).opts(
            opts.Curve(
                backend="bokeh",
                color=style.SERIES[i % len(style.SERIES)],
                line_width=2.5,
                line_dash=style.DASHES[i % len(style.DASHES)],
                tools=["hover"],
            )
        )
        for i, (name, evaluation) in enumerate(evaluations.items())
    ]
    line = hv.HLine(1.0).opts(
        opts.HLine(backend="bokeh", color=style.NEUTRAL, line_dash="dashed", line_width=1)
    )
    highest = max((np.nanmax(_array(one.spectrum[column])) for one in evaluations.values()), default=1.0)
    options = curve_options(
        title,
        width,
        height,
        logx=True,
        xlabel=_FREQUENCY.label,
        ylabel=y.label,
        ylim=(0, 1.1 * max(1.0, float(highest))),
        xticks=[0.01, 0.02, 0.05, 0.1, 0.2, 0.5],
    )
    return hv.Overlay([*layers, line]).opts(options).opts(legend_position="bottom", legend_cols=2)


def _calibrations(evaluations: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the calibration tables of those that have one."""
    tables = {name: one.calibration for name, one in evaluations.items() if one.calibration is not None}
    if not tables:
        raise ValueError(
            f"evaluations: expected one of a method that states its error, got {', '.join(evaluations) or 'none'}; "
            'train a network with head="gaussian" or "quantiles"'
        )
    return tables


def _array(values: Any) -> np.ndarray:
    """Return JSON numbers as an array, None as NaN."""
    return np.array(values, np.float64)
