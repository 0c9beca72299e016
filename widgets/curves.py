"""Figures of curves: training histories, accuracies, residuals against density."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd

from widgets import style
from widgets.axes import bokeh_options, common_options

HISTORY_COLUMNS = (
    "epoch",
    "training",
    "validation",
    "accuracy",
    "learning_rate",
    "images_per_second",
    "best",
)
"""Columns of :func:`history_table`: RMS errors in dex, accuracy in per cent."""


def history_table(history: Iterable[Any] | pd.DataFrame) -> pd.DataFrame:
    """Return epoch records as the table that the curves are drawn from (:data:`HISTORY_COLUMNS`).

    Losses, mean squares of log10 [dex^2], become RMS errors [dex], which read like an uncertainty of the density;
    accuracy becomes per cent.
    """
    if isinstance(history, pd.DataFrame):
        return history
    rows = [
        (
            record.epoch + 1,
            np.sqrt(record.training_loss),
            np.sqrt(record.validation_loss),
            100.0 * record.validation_accuracy,
            record.learning_rate,
            record.images_per_second,
            bool(record.best),
        )
        for record in history
    ]
    return pd.DataFrame(rows, columns=list(HISTORY_COLUMNS)).astype(
        {name: float for name in HISTORY_COLUMNS if name != "best"}
    )


def _by_run(history: Any) -> dict[str, pd.DataFrame]:
    """Return the tables of one history ("" as its name) or of several, by name."""
    if isinstance(history, Mapping):
        return {str(name): history_table(records) for name, records in history.items()}
    return {"": history_table(history)}


_EPOCH = hv.Dimension("epoch", label="epoch")


def _curve_options(title: str, width: int, height: int, **more: Any) -> Any:
    """Return the options of an overlay of curves over epochs."""
    return bokeh_options().Overlay(
        backend="bokeh",
        **common_options(width, height, title),
        legend_position="top_right",
        show_grid=True,
        padding=(0.03, 0.05),
        legend_opts={"background_fill_alpha": 0.85, "border_line_alpha": 0.0, "padding": 4},
        **more,
    )


def loss_curves(
    data: Any, *, title: str = "Error of log₁₀ n while training", width: int = 420, height: int = 260
) -> hv.Overlay:
    """Draw training and validation error against the epoch, on a logarithmic axis.

    Parameters
    ----------
    data : iterable of EpochRecord, table, or mapping of name to either
        The history of one run, or of several to compare. The validation error of each run has its best epoch
        (the one whose weights are kept) marked.
    title, width, height
        Head and frame [px].

    Examples
    --------
    >>> from polaris_lab.training.loop import EpochRecord  # doctest: +SKIP
    >>> loss_curves(run.history())  # doctest: +SKIP
    """
    opts = bokeh_options()
    error = {name: hv.Dimension(name, label="RMS error [dex]") for name in ("training", "validation")}
    layers = []
    for i, (name, table) in enumerate(_by_run(data).items()):
        pair = (style.BLUE, style.VERMILION) if not name else (style.SERIES[i % len(style.SERIES)],) * 2
        for series, colour, dash in zip(("training", "validation"), pair, ("dashed", "solid"), strict=True):
            layers.append(
                hv.Curve(table, _EPOCH, error[series], label=f"{name} {series}".strip()).opts(
                    opts.Curve(backend="bokeh", color=colour, line_width=2, line_dash=dash, tools=["hover"])
                )
            )
        best = table[table["best"].astype(bool)].tail(1)
        layers.append(
            hv.Scatter(best, _EPOCH, error["validation"], label="best so far" if not name else "").opts(
                opts.Scatter(backend="bokeh", color=pair[1], size=9, marker="circle", line_color="white")
            )
        )
    return hv.Overlay(layers).opts(
        _curve_options(title, width, height, logy=True, ylabel="RMS error [dex]", xlabel="epoch")
    )


def accuracy_curve(
    data: Any, *, title: str = "Validation accuracy at 0.3 dex", width: int = 420, height: int = 260
) -> hv.Overlay:
    """Draw the share of validation pixels within 0.3 dex (a factor 2) of the truth against the epoch.

    Parameters
    ----------
    data, title, width, height
        As in :func:`loss_curves`.
    """
    opts = bokeh_options()
    share = hv.Dimension("accuracy", label="pixels within 0.3 dex [%]")
    layers = [
        hv.Curve(table, _EPOCH, share, label=name).opts(
            opts.Curve(
                backend="bokeh", color=style.SERIES[(i + (not name) * 2) % 6], line_width=2, tools=["hover"]
            )
        )
        for i, (name, table) in enumerate(_by_run(data).items())
    ]
    return hv.Overlay(layers).opts(
        _curve_options(title, width, height, ylabel="pixels within 0.3 dex [%]", xlabel="epoch")
    )


def learning_rate_curve(
    data: Any, *, title: str = "Learning rate", width: int = 420, height: int = 260
) -> hv.Overlay:
    """Draw the learning rate against the epoch, on a logarithmic axis.

    Parameters
    ----------
    data, title, width, height
        As in :func:`loss_curves`.
    """
    opts = bokeh_options()
    rate = hv.Dimension("learning_rate", label="learning rate")
    layers = [
        hv.Curve(table, _EPOCH, rate, label=name).opts(
            opts.Curve(
                backend="bokeh",
                color=style.SERIES[(i + (not name) * 3) % 6],
                line_width=2,
                interpolation="steps-mid",
                tools=["hover"],
            )
        )
        for i, (name, table) in enumerate(_by_run(data).items())
    ]
    return hv.Overlay(layers).opts(
        _curve_options(
            title, width, height, logy=True, yformatter="%.1e", ylabel="learning rate", xlabel="epoch"
        )
    )


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
    overlay = _curve_options(
        title, width, height, ylabel="pixels within tolerance [%]", xlabel="tolerance [dex]", ylim=(0, 102)
    )
    return hv.Overlay(layers).opts(overlay).opts(legend_position="bottom_right")


def residual_bands(
    residuals: Mapping[str, Sequence[float]],
    *,
    by: str = "predicted",
    title: str | None = None,
    width: int = 420,
    height: int = 300,
) -> hv.Overlay:
    """Draw the median residual and its 68 and 95 % ranges against density (report, figures 10 and 11).

    Parameters
    ----------
    residuals : mapping
        Of :func:`polaris_lab.training.metrics.residuals_by_density`, or the "calibration" of `validation.json`:
        "log_density" (centres of bins, log10 cm^-3), "q02.5", "q16", "q50", "q84", "q97.5" [dex] and "count".
        Bins without pixels carry NaN or None and leave a gap.
    by : {"predicted", "target"}
        Which density the bins hold.
    title, width, height
        Head and frame [px].

    Raises
    ------
    ValueError
        If `by` is unknown.
    """
    opts = bokeh_options()
    names = {"predicted": "predicted", "target": "true"}
    if by not in names:
        raise ValueError(f"by: expected 'predicted' or 'target', got {by!r}")
    table = {name: np.array(values, np.float64) for name, values in residuals.items() if name[0] in "lq"}
    density = 10 ** table["log_density"]
    x, y = hv.Dimension("density", label=f"{names[by]} density n_H [cm⁻³]"), hv.Dimension("residual")
    bands = [
        hv.Area((density, table[low], table[high]), [x], [y, f"upper_{low}"], label=label).opts(
            opts.Area(backend="bokeh", color=style.BLUE, fill_alpha=alpha, line_alpha=0.0)
        )
        for low, high, label, alpha in (
            ("q02.5", "q97.5", "95 % of pixels", 0.18),
            ("q16", "q84", "68 % of pixels", 0.35),
        )
    ]
    median = hv.Curve((density, table["q50"]), x, y, label="median").opts(
        opts.Curve(backend="bokeh", color=style.BLUE, line_width=2.5, tools=["hover"])
    )
    zero = hv.HLine(0.0).opts(
        opts.HLine(backend="bokeh", color=style.NEUTRAL, line_dash="dashed", line_width=1)
    )
    return hv.Overlay([*bands, median, zero]).opts(
        _curve_options(
            title or f"Residuals by {names[by]} density",
            width,
            height,
            logx=True,
            xlabel=x.label,
            ylabel="log₁₀(predicted / true) [dex]",
        )
    )
