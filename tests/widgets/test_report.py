from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from polaris_lab.training import Run
from widgets import figures
from widgets.html_report import Picture
from widgets.prediction_report import _share
from widgets.report import (
    Code,
    Figure,
    Figures,
    Note,
    Section,
    Table,
    demo_report,
    interval_share,
    margin,
    write_report,
)

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def demo_page(trained_run_folder, tmp_path_factory) -> str:
    """Return the report of a small run and a map with a missing corner."""
    run = Run.open(trained_run_folder)
    predicted, target = run.validate()
    truth = target.repeat(10, axis=1).repeat(12, axis=2)[0]  # (320, 384): larger than a report draws
    seen = truth.astype(float) * 1e18
    seen[:40, :50] = np.nan
    density = np.where(np.isfinite(seen), 1.2 * truth, np.nan)
    path = tmp_path_factory.mktemp("report") / "report.html"
    demo_report(
        path,
        run=run,
        dataset=run.dataset(),
        predicted=predicted,
        target=target,
        observation=SimpleNamespace(column_density=seen, pixel_size_pc=0.05, distance_pc=300.0),
        prediction=SimpleNamespace(
            density=density, lower68=density / 1.5, upper68=density * 1.5, run_fingerprint=run.fingerprint
        ),
        truth=truth,
        seed=7,
        facts={"clouds": "3"},
    )
    return path.read_text(encoding="utf-8")


def text_of(page: str) -> str:
    body = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)).replace("&nbsp;", " ")


def test_the_demo_report_is_small_enough_to_send(demo_page):
    assert len(demo_page.encode()) < 6 * MEGABYTE


@pytest.mark.parametrize(
    "words",
    [
        "power law of the column density",
        "percentage points",
        "within 0.3 dex",
        "The 68 % interval holds the true density in 100 % of the pixels",
        "at 300 pc",
        "12 training",
        "polaris-lab predict YOUR_MAP.fits",
        "seed 7",
        "clouds 3",
        "epochs in",
    ],
)
def test_the_demo_report_tells(demo_page, words):
    assert re.search(words, text_of(demo_page))


def test_the_demo_report_names_what_it_came_from(demo_page, trained_run_folder):
    run = Run.open(trained_run_folder)
    assert run.fingerprint in demo_page
    assert run.dataset_fingerprint in demo_page
    assert run.dataset().describe_split() in text_of(demo_page)


def test_every_figure_of_the_demo_report_has_a_caption(demo_page):
    assert demo_page.count("<figure>") == 11
    assert demo_page.count("<figcaption>") == demo_page.count('role="img"')


def test_a_report_refers_to_nothing_outside(demo_page):
    assert not re.findall(
        r"""<(?:script|link|img|iframe)[^>]*(?:src|href)\s*=\s*["'](?!data:|#)""", demo_page
    )
    assert "default-src 'none'" in demo_page


def test_the_margin_is_told_both_ways():
    good, bad = {"accuracy_0.3": 0.9, "rmse_dex": 0.2}, {"accuracy_0.3": 0.7, "rmse_dex": 0.4}
    assert "20.0 percentage points more" in margin(good, bad)
    assert "50 % smaller" in margin(good, bad)
    assert "20.0 percentage points fewer" in margin(bad, good)
    assert "100 % larger" in margin(bad, good)


def test_the_share_inside_an_interval_leaves_missing_pixels_out():
    prediction = SimpleNamespace(lower68=np.array([1.0, 1.0, np.nan]), upper68=np.array([3.0, 3.0, 3.0]))
    assert interval_share(prediction, np.array([2.0, 9.0, 2.0])) == 0.5
    assert np.isnan(interval_share(prediction, np.full(3, np.nan)))


def test_text_is_text(tmp_path):
    page = write_report(
        tmp_path / "page.html",
        title="<b>title",
        summary="a & b",
        sections=[
            Section(
                "<i>", ["<script>1</script>", Note("5 < 6"), Code("x <y>"), Table(["<h>"], [["<r>"]], "<c>")]
            )
        ],
    ).read_text(encoding="utf-8")
    for raw in ("<b>title", "<i>", "<script>1", "5 < 6", "<y>", "<h>", "<r>", "<c>"):
        assert raw not in page
    assert "a &amp; b" in page


def test_numbers_of_a_table_of_words_are_not_parted(tmp_path):
    rows = [["7.5e+04", "-1.15", "central density"]]
    sections = [Section("S", [Table(["published", "dex", "what"], rows, "c", numeric=False)])]
    page = write_report(tmp_path / "page.html", title="T", sections=sections).read_text(encoding="utf-8")
    assert '<td class="number">-1.15</td>' in page
    assert "<td>central density</td>" in page
    assert "table.words td.number { white-space: nowrap;" in page


def test_a_share_that_is_not_zero_does_not_read_as_zero():
    assert [_share(part) for part in (0.0, 2e-6, 4e-4, 6e-4, 0.153)] == [
        "0.0%",
        "< 0.1%",
        "< 0.1%",
        "0.1%",
        "15.3%",
    ]


def test_a_report_without_figures_carries_no_scripts(tmp_path):
    page = write_report(tmp_path / "page.html", title="T", sections=[Section("S", ["words"])])
    assert page.stat().st_size < 20_000


def test_figures_stand_where_they_were_put(tmp_path):
    maps = [Figure(figures.sky_map(np.ones((4, 4)), label="density"), f"map {i}") for i in range(2)]
    sections = [Section("A", [maps[0]]), Section("B", [Figures([maps[1]]), "after"])]
    page = write_report(tmp_path / "page.html", title="T", sections=sections).read_text(encoding="utf-8")
    order = [
        page.index(word) for word in ('id="section-1"', ">map 0<", 'id="section-2"', ">map 1<", "<p>after")
    ]
    assert order == sorted(order)


def test_what_cannot_be_shown_is_refused_and_the_old_report_stays(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")
    with pytest.raises(TypeError, match="expected a paragraph"):
        write_report(path, title="T", sections=[Section("S", [3.0])])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_is_carried_by_the_page(tmp_path):
    picture = Picture(b"\x89PNG", "a <map>")
    page = write_report(tmp_path / "page.html", title="T", sections=[Section("S", [Figures([picture])])])
    text = page.read_text(encoding="utf-8")
    assert 'src="data:image/png;base64,iVBORw=="' in text
    assert 'alt="a &lt;map&gt;"' in text
