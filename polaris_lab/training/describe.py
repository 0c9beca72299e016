"""What a run says of itself."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polaris_lab.training.run import Run


def describe(run: Run) -> list[tuple[str, str]]:
    """Return (label, text) pairs; the first four make its one-line `repr`."""
    history, best = run.history(), run.best
    score = "no accuracy yet" if best is None else f"accuracy {best.validation_accuracy:.3f} within 0.3 dex"
    rows = [
        ("network", f"{run.blueprint.name}, {run.parameters:,} parameters"),
        ("epochs", f"epoch {len(history)} of {run.config.epochs}"),
        ("validation", score),
        ("state", run.state),
        ("learns", f"{', '.join(run.blueprint.inputs)} -> {run.target}"),
        ("pixel", f"{run.pixel_size_pc:.4g} pc"),
        ("dataset", f"{run.dataset_path} ({run.dataset_fingerprint})"),
        ("split", run.description.dataset.split),
        ("folder", str(run.path)),
        ("fingerprint", run.fingerprint),
    ]
    start, slips = run.description.start_from, run.description.slips
    if start is not None:
        rows.append(("started from", f"epoch {start['epoch']} of {start['path']} ({start['fingerprint']})"))
    if slips:
        rows.append(("slips of the report's code, reproduced", "; ".join(slips)))
    return rows


def html_table(kind: str, name: str, lines: list[tuple[str, str]]) -> str:
    """Return (label, text) pairs as an HTML table."""
    cells = "".join(
        f'<tr><th style="text-align:left">{escape(label)}</th><td style="text-align:left">{escape(text)}</td></tr>'
        for label, text in lines
    )
    return f"<table><caption><b>{kind}</b> {escape(name)}</caption>{cells}</table>"
