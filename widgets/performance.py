"""Figures of how good predictions are: accuracy against tolerance, residuals against density."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import holoviews as hv
import numpy as np

from widgets import style
from widgets.axes import bokeh_options, curve_options

_DENSITY = {"predicted": "predicted density n_H [cm⁻³]", "target": "true density n_H [cm⁻³]"}
_RESIDUAL = style.QUANTITIES["residual"].label


def accuracy_by_tolerance(
    tolerances_dex: Sequence[float],
    accuracies: Mapping[str, Sequence[float]],
    *,
    title: str = "Accuracy against tolerance",
    width: int = 420,
    height: int = 300,
) -> hv.Overlay:
    """Draw the share of pixels within a tolerance, for several estimators (report, figure 8).

    Parameters
    ----------
    tolerances_dex : sequence of float
        Largest |log10(predicted / true)| that counts as right [dex].
    accuracies : mapping of str to sequence of float
        Fractions (0 to 1) at those tolerances, by estimator; the first stands out.
    title, width, height
        Head and frame [px].
    """
    opts = bokeh_options()
    layers = []
    for i, (name, values) in enumerate(accuracies.items()):
        if len(values) != len(tolerances_dex):
            raise ValueError(
                f"accuracies[{name!r}]: expected {len(tolerances_dex)} values, got {len(values)}"
            )
        points = (np.asarray(tolerances_dex, float), 100.0 * np.asarray(values, float))
        layers.append(
            hv.Curve(points, "tolerance", "share", label=name).opts(
                opts.Curve(
                    backend="bokeh",
                    color=style.SERIES[i % len(style.SERIES)],
                    line_width=3 if i == 0 else 2,
                    line_dash=style.DASHES[i % len(style.DASHES)],
                    tools=["hover"],
                )
            )
        )
    overlay = curve_options(
        title, width, height, ylabel="pixels within tolerance [%]", xlabel="tolerance [dex]", ylim=(0, 102)
    )
    return hv.Overlay(layers).opts(overlay).opts(legend_position="bottom_right")


def residual_bands(
    residuals: Any,
    *,
    by: str | None = None,
    title: str | None = None,
    width: int = 420,
    height: int = 300,
) -> hv.Overlay:
    """Draw the median residual and its 68 and 95 % ranges against density.

    Parameters
    ----------
    residuals : ResidualsByDensity or mapping
        Of :func:`polaris_lab.training.metrics.residuals_by_density`; or the "calibration" of a run's
        validation, which is in bins of the predicted density. Empty bins leave a gap.
    by : {"predicted", "target"}, optional
        Which density the bins of a mapping hold; a ResidualsByDensity tells itself.
    title, width, height
        Head and frame [px].

    Raises
    ------
    ValueError
        If `by` is unknown.
    """
    opts = bokeh_options()
    by, table = _quantiles(residuals, by)
    density = table.pop("density")
    x, y = hv.Dimension("density", label=_DENSITY[by]), hv.Dimension("residual", label=_RESIDUAL)
    layers = []
    for low, high, label, alpha in (
        ("q02.5", "q97.5", "95 % of pixels", 0.18),
        ("q16", "q84", "68 % of pixels", 0.35),
    ):
        band = hv.Area((density, table[low], table[high]), [x], [y, f"upper_{low}"], label=label)
        layers.append(
            band.opts(opts.Area(backend="bokeh", color=style.BLUE, fill_alpha=alpha, line_alpha=0.0))
        )
    median = hv.Curve((density, table["q50"]), x, y, label="median").opts(
        opts.Curve(backend="bokeh", color=style.BLUE, line_width=2.5, tools=["hover"])
    )
    return (
        hv.Overlay([*layers, median, _zero()])
        .opts(_residual_options(by, title, width, height))
        .opts(legend_position="bottom", legend_cols=3)
    )


def residual_violins(
    residuals: Any, *, title: str | None = None, width: int = 420, height: int = 300
) -> hv.Overlay:
    """Draw the distribution of residuals in each bin of density as a violin (report, figures 10 and 11).

    Parameters
    ----------
    residuals : ResidualsByDensity
        Of :func:`polaris_lab.training.metrics.residuals_by_density`. Every violin has the same width, so that
        the shape of a bin with few pixels can be read too; the bar is the 68 % range, the dot the median.
    title, width, height
        Head and frame [px].
    """
    opts = bokeh_options()
    by, table = _quantiles(residuals, None)
    bodies = [{"density": density, "residual": residual} for density, residual in violin_outlines(residuals)]
    keys = [hv.Dimension("density", label=_DENSITY[by]), hv.Dimension("residual", label=_RESIDUAL)]
    violins = hv.Polygons(bodies, keys).opts(
        opts.Polygons(backend="bokeh", color=style.SKY, fill_alpha=0.6, line_color=style.BLUE, line_width=0.8)
    )
    filled = residuals.count > 0
    x = residuals.centres[filled]
    bars = hv.Segments((x, table["q16"][filled], x, table["q84"][filled]), [*keys, "density_", "upper"]).opts(
        opts.Segments(backend="bokeh", color=style.BLUE, line_width=3)
    )
    medians = hv.Scatter((x, table["q50"][filled]), keys[0], keys[1]).opts(
        opts.Scatter(backend="bokeh", color="white", line_color=style.BLUE, size=6)
    )
    return hv.Overlay([violins, bars, medians, _zero()]).opts(_residual_options(by, title, width, height))


def violin_outlines(residuals: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the outline of the violin of each bin that holds pixels: density [cm^-3] and residual [dex].

    Every violin has the same width, so that the shape of a bin with few pixels can be read too.
    """
    log_edges = np.log10(residuals.edges)
    middle = 0.5 * (residuals.residual_edges[1:] + residuals.residual_edges[:-1])
    outlines = []
    for i in np.flatnonzero(residuals.count):
        body = np.convolve(residuals.histogram[i], [0.25, 0.5, 0.25], mode="same")
        used = np.flatnonzero(body)
        inside = slice(used[0], used[-1] + 1)
        half = 0.45 * (log_edges[i + 1] - log_edges[i]) * body[inside] / body.max()
        centre = np.log10(residuals.centres[i])
        outlines.append(
            (
                10 ** np.concatenate([centre - half, (centre + half)[::-1]]),
                np.concatenate([middle[inside], middle[inside][::-1]]),
            )
        )
    return outlines


def _quantiles(residuals: Any, by: str | None) -> tuple[str, dict[str, np.ndarray]]:
    """Return which density the bins hold, and density [cm^-3] and quantiles [dex] by name."""
    if isinstance(residuals, Mapping):
        by = by or "predicted"
        names = ("q02.5", "q16", "q50", "q84", "q97.5")
        table = {name: np.array(residuals[name], np.float64) for name in names}
        table["density"] = 10 ** np.array(residuals["log_density"], np.float64)
    else:
        by = residuals.by
        table = {
            "density": residuals.centres,
            "q02.5": residuals.q02_5,
            "q16": residuals.q16,
            "q50": residuals.median,
            "q84": residuals.q84,
            "q97.5": residuals.q97_5,
        }
    if by not in _DENSITY:
        raise ValueError(f"by: expected 'predicted' or 'target', got {by!r}")
    return by, table


def _zero() -> hv.HLine:
    """Return the line of no error."""
    return hv.HLine(0.0).opts(
        bokeh_options().HLine(backend="bokeh", color=style.NEUTRAL, line_dash="dashed", line_width=1)
    )


def _residual_options(by: str, title: str | None, width: int, height: int) -> Any:
    """Return the options of a figure of residuals against density."""
    words = {"predicted": "predicted", "target": "true"}[by]
    return curve_options(
        title or f"Residuals by {words} density",
        width,
        height,
        logx=True,
        xlabel=_DENSITY[by],
        ylabel=_RESIDUAL,
    )
