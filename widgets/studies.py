"""Figures of studies: complexity maps with error bars, curves against what was varied."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd

from widgets import style
from widgets.axes import bokeh_options, common_options, curve_options

_LABELS = {
    "rmse_dex": "RMS error [dex]",
    "bias_dex": "bias [dex]",
    "validation_loss": "validation loss",
    "cpu_seconds": "CPU time of the training [s]",
    "training_patches": "training patches",
    "base_filters": "base filters",
    "layers": "layers",
    "parameters": "parameters",
    "accuracy_within_0.3_dex": "fraction of pixels within 0.3 dex",
}


def complexity_map(
    study: Any, *, metric: str = "rmse_dex", title: str | None = None, width: int = 420, height: int = 320
) -> hv.Overlay:
    """Draw a study of two settings as a map whose cells say mean ± scatter over the seeds (report, figures 14, 17).

    Parameters
    ----------
    study : Study
        Of two axes, such as :func:`polaris_lab.complexity_map` makes; cells that are not finished stay empty.
    metric : str
        A column of its table.
    title, width, height
        Head and frame [px].

    Raises
    ------
    ValueError
        If the study has not two axes, or no such column.
    """
    if len(study.axes) != 2:
        raise ValueError(f"study: expected two settings that are varied, got {', '.join(study.axes)}")
    opts = bokeh_options()
    rows, columns = study.axes
    table = study.summary(metric)
    cells = table.assign(x=table[columns].astype(str), y=table[rows].astype(str))
    cells["text"] = [with_error(mean, std) for mean, std in zip(cells["mean"], cells["std"], strict=True)]
    planned = study.table()
    x, y = (
        hv.Dimension(
            axis,
            label=label_of(name),
            values=[str(value) for value in sorted(planned[name].unique(), key=_key)],
        )
        for axis, name in (("x", columns), ("y", rows))
    )
    value = hv.Dimension("mean", label=label_of(metric))
    scale = "viridis" if more_is_better(metric) else "viridis_r"
    heat = hv.HeatMap(cells, [x, y], [value, "std", "seeds", "parameters"]).opts(
        opts.HeatMap(
            backend="bokeh",
            cmap=scale,
            colorbar=True,
            tools=["hover"],
            xlabel=label_of(columns),
            ylabel=label_of(rows),
            clabel=label_of(metric),
            clipping_colors={"NaN": style.MISSING},
            **common_options(width, height, title or f"{label_of(metric)}: {_seeds(study)}"),
        )
    )
    middle = np.nanmean([cells["mean"].min(), cells["mean"].max()]) if len(cells) else 0.0
    bright = (cells["mean"] > middle) == more_is_better(metric)
    layers = [heat]
    for part, colour in ((cells[bright], "black"), (cells[~bright], "white")):
        layers.append(
            hv.Labels(part, [x, y], "text").opts(
                opts.Labels(backend="bokeh", text_color=colour, text_font_size="10pt")
            )
        )
    return hv.Overlay(layers)


def training_set_size(
    studies: Any,
    *,
    metric: str = "accuracy_within_0.3_dex",
    title: str | None = None,
    width: int = 420,
    height: int = 300,
) -> hv.Overlay:
    """Draw a result against the number of training patches, with scatter over the seeds (report, figures 22, 23).

    Parameters
    ----------
    studies : Study, or mapping of str to Study
        Of one axis, such as :func:`polaris_lab.training.training_set_size` makes; several are named in the legend.
    metric : str
        A column of their tables.
    title, width, height
        Head and frame [px].

    Raises
    ------
    ValueError
        If a study has more than one axis, or no such column.
    """
    opts = bokeh_options()
    named = studies if isinstance(studies, dict) else {"": studies}
    layers: list[Any] = []
    for number, (name, study) in enumerate(named.items()):
        if len(study.axes) != 1:
            raise ValueError(f"study: expected one setting that is varied, got {', '.join(study.axes)}")
        (axis,) = study.axes
        table = study.summary(metric).sort_values(axis)
        x, y = hv.Dimension(axis, label=label_of(axis)), hv.Dimension("mean", label=label_of(metric))
        colour = style.SERIES[number % len(style.SERIES)]
        layers.append(
            hv.Curve(table, x, y, label=name).opts(
                opts.Curve(backend="bokeh", color=colour, line_width=2, line_dash=style.DASHES[number % 4])
            )
        )
        layers.append(
            hv.Scatter(table, x, [y, "std", "seeds"], label=name).opts(
                opts.Scatter(backend="bokeh", color=colour, size=8, line_color="white", tools=["hover"])
            )
        )
        bars = table.dropna(subset=["std"])
        if len(bars):
            layers.append(
                hv.ErrorBars(bars, x, [y, "std"]).opts(
                    opts.ErrorBars(backend="bokeh", color=colour, line_width=1.5)
                )
            )
    first = next(iter(named.values()))
    frame = curve_options(
        title or f"{label_of(metric)}: {_seeds(first)}",
        width,
        height,
        logx=True,
        xlabel=label_of(first.axes[0]),
        ylabel=label_of(metric),
        xticks=_ticks(named, first.axes[0]),
    )
    return (
        hv.Overlay(layers)
        .opts(frame)
        .opts(legend_position="bottom_right" if more_is_better(metric) else "top_right")
    )


def _ticks(studies: dict[str, Any], axis: str) -> list[tuple[float, str]]:
    """Return the values themselves as ticks: on a logarithmic axis they are few."""
    values = pd.concat([study.table()[axis] for study in studies.values()]).unique()
    return [(float(value), f"{value:g}") for value in sorted(values)]


def with_error(mean: float, std: float) -> str:
    """Write a mean with its scatter, both to the scatter's second digit."""
    if not np.isfinite(std):
        return f"{mean:.3g}"
    digits = max(0, 1 - int(np.floor(np.log10(std)))) if std > 0 else 3
    digits = min(digits, 4)
    return f"{mean:.{digits}f}\n± {std:.{digits}f}"


def _seeds(study: Any) -> str:
    count = len(study.seeds)
    return "one seed, no error bars" if count == 1 else f"mean ± scatter of {count} seeds"


def label_of(name: str) -> str:
    """Return the words for a setting or a metric, with its unit."""
    return _LABELS.get(name, name.replace("_", " "))


def more_is_better(metric: str) -> bool:
    """Whether a larger value of a metric is the better one."""
    return metric.startswith(("accuracy", "correlation"))


def is_signed(metric: str) -> bool:
    """Whether a metric is the better the nearer it is to 0, from either side."""
    return metric.startswith("bias")


def _key(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value
