from __future__ import annotations

import re

import panel as pn
import pytest

from polaris_lab.cli import serve as command
from widgets import Home, application, contents, home, shell


def test_links_open_a_run_in_its_dashboards(trained_run, tmp_path):
    page = Home(tmp_path)
    assert f'href="training?path={trained_run.name}"' in page._list.object
    assert "finished" in page._list.object
    assert page._state.severity == "success"
    assert page._state.title == "1 found"


def test_a_broken_entry_has_a_reason_and_no_link(tmp_path):
    (tmp_path / "map.fits").write_text("<html>")
    page = Home(tmp_path)
    assert "cannot be opened" in page._list.object
    assert "it is a web page" in page._list.object
    assert "path=map.fits" not in page._list.object
    assert page._state.severity == "warning"


def test_names_are_escaped(tmp_path):
    (tmp_path / "a&b <i>.fits").write_text("x")
    shown = Home(tmp_path)._list.object
    assert "<i>" not in shown
    assert "a&amp;b &lt;i&gt;.fits" in shown
    entry = contents.Entry("run", 'a"b&c ?#', "words")
    assert 'href="training?path=a%22b%26c%20%3F%23"' in home.listing(contents.Contents((entry,)))


def test_refresh_finds_what_came_and_what_went(trained_run, tmp_path):
    page = Home(tmp_path)
    trained_run.rename(tmp_path / "other")
    page.refresh()
    assert "path=other" in page._list.object
    assert f"path={trained_run.name}" not in page._list.object


def test_an_empty_and_a_missing_folder_say_what_to_do(tmp_path):
    assert "polaris-lab demo" in Home(tmp_path)._state.object
    missing = Home(tmp_path / "none")
    assert missing._state.severity == "error"
    assert "--workspace" in missing._state.object


def test_the_code_gives_the_list(trained_run, tmp_path):
    page, names = Home(tmp_path), {}
    exec(page.code(), names)
    assert names["home"].found == page.found


def test_every_dashboard_is_on_the_page():
    cards = Home("/nowhere").main.objects[2].object
    for name, dashboard in application.DASHBOARDS.items():
        assert f'href="{name}"' in cards
        assert dashboard.title in cards


def test_every_kind_is_one_that_is_listed():
    for dashboard in application.DASHBOARDS.values():
        assert set(dashboard.opens) <= set(contents.KINDS)


def test_a_part_of_the_workspace_and_nothing_outside(tmp_path):
    (tmp_path / "part").mkdir()
    assert home.app("part", workspace_folder=tmp_path) is not None
    refused = home.app("../elsewhere", workspace_folder=tmp_path)
    assert "expected a name inside the workspace folder" in refused.main[-1].object


def test_every_page_is_made_and_names_the_others(tmp_path):
    pages = application.pages(tmp_path)
    assert next(iter(pages)) == ""
    for name, make in pages.items():
        page = make()
        bar = next(part for part in page.main if isinstance(part, pn.pane.HTML) and "<nav" in part.object)
        assert re.findall(r'href="([^"]*)"', bar.object) == ["./", *application.DASHBOARDS]
        assert f'href="{name or "./"}" aria-current=page' in bar.object


def test_two_visitors_share_nothing(trained_run, tmp_path):
    make = application.pages(tmp_path)["training"]
    first, second = make(), make()
    parts = [set(map(id, page.select())) for page in (first, second)]
    assert not parts[0] & parts[1]


def test_a_page_that_stands_alone_has_no_bar():
    assert shell.page("Alone", [], []).main == []


def test_an_unknown_dashboard_is_refused_with_a_guess(tmp_path, capsys):
    from polaris_lab.cli import main

    with pytest.raises(ValueError, match=r"unknown name 'trainnig'.*training"):
        application.pages(tmp_path, first="trainnig")
    assert main(["serve", "trainnig"]) == 1
    assert "did you mean 'training'" in capsys.readouterr().err.lower()


def test_a_path_elsewhere_brings_its_own_workspace(tmp_path, monkeypatch):
    from argparse import Namespace

    for folder in ("here", "there/runs"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    runs = str(tmp_path / "there" / "runs")
    words = {"dashboard": "training", "path": runs, "workspace": None}
    assert command._places(Namespace(**words)) == (tmp_path / "there", runs)
    assert command._places(Namespace(**{**words, "path": "."})) == (tmp_path / "here", None)
    inside = {**words, "path": "there/runs", "workspace": tmp_path}
    assert command._places(Namespace(**inside)) == (tmp_path, runs)
    with pytest.raises(ValueError, match="expected something inside the workspace folder"):
        command._places(Namespace(**{**words, "workspace": tmp_path / "here"}))
