"""Figures of training histories: curves against the epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import holoviews as hv
import pandas as pd

from widgets import style
from widgets.axes import bokeh_options, curve_options

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

    The RMS errors of log10 [dex] read like an uncertainty of the density, whatever the loss is (NaN where a record has
    none); accuracy becomes per cent.
    """
    if isinstance(history, pd.DataFrame):
        return history
    rows = [
        (
            record.epoch + 1,
            record.training_rmse_dex,
            record.validation_rmse_dex,
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
    return (
        hv.Overlay(layers)
        .opts(curve_options(title, width, height, logy=True, ylabel="RMS error [dex]", xlabel="epoch"))
        .opts(legend_position="bottom", legend_cols=3)
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
        curve_options(title, width, height, ylabel="pixels within 0.3 dex [%]", xlabel="epoch")
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
        curve_options(
            title, width, height, logy=True, yformatter="%.1e", ylabel="learning rate", xlabel="epoch"
        )
    )
