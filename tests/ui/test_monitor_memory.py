"""A page that watches a long training: what 7200 looks leave in the browser and in the server."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from polaris_lab.models import Blueprint
from polaris_lab.training import Run, TrainingConfig

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TICKS = 7200
"""Looks of a page at a run: 48 minutes at one in 400 ms."""

EVERY = 5
"""Looks for each epoch: a quick one of two seconds."""

WARM = 300
"""Looks before the measurement."""

EPOCHS = (WARM + TICKS) // EVERY

LIMIT_MB = 100

SERVE = (
    f"""
EVERY, WARM = {EVERY}, {WARM}
"""
    + """
import json, os, sys
from pathlib import Path
import panel as pn
from widgets import TrainingMonitor, shell

run, ticks = Path(sys.argv[1]), int(sys.argv[2])
(run.parent / "pid").write_text(str(os.getpid()))

def line(epoch):
    loss = 0.3 / (1 + 0.01 * epoch) + 0.01
    return json.dumps({
        "epoch": epoch, "training_loss": loss, "validation_loss": 1.1 * loss, "validation_accuracy": 1 - loss,
        "learning_rate": 1e-3, "seconds": 1.0, "images_per_second": 100.0 + epoch % 7, "best": True,
        "training_rmse_dex": loss**0.5, "validation_rmse_dex": (1.1 * loss) ** 0.5})

def page():
    monitor = TrainingMonitor(run)
    shown = shell.page("Replay", [], [monitor.main])
    document = pn.state.curdoc
    history = (run / "history.jsonl").open("a")
    seen = {"ticks": 0}

    def tick():  # a look, and before every fifth one epoch more
        if seen["ticks"] >= WARM and not (run.parent / "go").exists():
            document.add_timeout_callback(tick, 100)
            return
        if seen["ticks"] % EVERY == 0:
            history.write(line(monitor.snapshot.done) + "\\n")
            history.flush()
        monitor.refresh()
        seen["ticks"] += 1
        (run.parent / "ticks").write_text(str(seen["ticks"]))
        if seen["ticks"] < WARM + ticks:
            document.add_timeout_callback(tick, 1)

    pn.state.onload(tick)
    return shown

shell.serve({"replay": page}, warm=False)
"""
)
"""A server whose page looks at full speed; the first looks warm up, then it waits for the file `go`."""

SHOWN = """() => [...(window.Bokeh?.documents?.[0]?._all_models?.values() ?? [])]
  .filter(model => model.type === "ColumnDataSource" && model.data.training !== undefined)
  .map(model => model.data.epoch.length)[0] ?? -1"""
"""Number of epochs that the page draws, -1 before it stands."""


@pytest.fixture
def run(tmp_path) -> Path:
    """Return a run of many epochs that nobody trains."""
    import numpy as np
    from astropy import units as u

    from polaris_lab.datasets import PatchDataset

    rng = np.random.default_rng(0)
    column = 10 ** (21.5 + 0.3 * rng.normal(size=(6, 16, 16)))
    dataset = PatchDataset.from_arrays(
        {"column_density": column},
        {"mass_weighted_density": column / 1e18},
        pixel_size=0.05 * u.pc,
        split=["training"] * 4 + ["validation"] * 2,
    )
    blueprint = Blueprint.unet(layers=2, base_filters=4, attention=False, reference_scale=2.0)
    path = tmp_path / "long"
    Run.create(path, blueprint, dataset, TrainingConfig(epochs=2 * EPOCHS, batch_size=4, device="cpu"))
    return path


def wait_for(page, count: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (shown := page.evaluate(SHOWN)) < count:
        assert time.monotonic() < end, f"{shown} epochs are shown, expected {count}"
        page.wait_for_timeout(500)


def test_7200_ticks_of_a_live_page_stay_small(visit, start_server, run):
    page = visit.page
    page.goto(start_server("-c", SERVE, str(run), str(TICKS)), wait_until="commit")
    wait_for(page, WARM // EVERY, 120)
    server = psutil.Process(int((run.parent / "pid").read_text()))
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("HeapProfiler.enable")

    def megabytes() -> tuple[float, float]:
        page.wait_for_timeout(2000)
        for _ in range(3):
            session.send("HeapProfiler.collectGarbage")
        metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
        return metrics["JSHeapUsedSize"] / 1e6, server.memory_info().rss / 1e6

    heap, resident = megabytes()
    (run.parent / "go").touch()
    began = time.monotonic()
    wait_for(page, EPOCHS, 1200)
    seconds = time.monotonic() - began
    heap_after, resident_after = megabytes()
    print(
        f"\n{TICKS} ticks with {TICKS // EVERY} epochs in {seconds:.0f} s: browser {heap:.1f} -> {heap_after:.1f} MB (JavaScript heap), "
        f"server {resident:.0f} -> {resident_after:.0f} MB (resident)"
    )
    assert page.get_by_text(f"{EPOCHS} of {2 * EPOCHS}").first.is_visible()
    visit.screenshot("training_monitor_7200")
    assert heap_after - heap < LIMIT_MB
    assert resident_after - resident < LIMIT_MB
    assert int((run.parent / "ticks").read_text()) == WARM + TICKS
    assert len(Run.open(run).history()) == EPOCHS
