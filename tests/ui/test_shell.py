"""Errors of a dashboard reach the person at the screen, and the page lives on."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser

APP = """
import panel_material_ui as pmui
from widgets import shell

def app():
    shown = pmui.Typography("nothing yet")
    def fail(event):
        raise ValueError("expected a cube, got a picnic; open another file")
    bad, good = pmui.Button(label="Fail"), pmui.Button(label="Work")
    bad.on_click(fail)
    good.on_click(lambda event: setattr(shown, "object", "it works"))
    return shell.page("Errors", [], [bad, good, shown], purpose="To fail politely.")

shell.serve({"errors": app})
"""


def test_an_error_is_shown_and_the_page_lives(visit, start_server):
    page = visit.page
    page.goto(start_server("-c", APP), wait_until="commit")
    page.get_by_role("button", name="Fail").click()
    page.get_by_text("expected a cube, got a picnic").wait_for()
    page.get_by_role("button", name="Work").click()
    page.get_by_text("it works").wait_for()
    visit.screenshot("shell_error")


def test_another_site_may_not_talk_to_the_server(visit, start_server):
    """Bokeh's origin check: a page from elsewhere gets no session."""
    url = start_server("-c", APP)
    page = visit.page
    page.goto(url.replace("127.0.0.1", "localhost"), wait_until="commit")
    page.get_by_role("button", name="Work").wait_for()
    answer = page.request.get(
        url + "/ws",
        headers={
            "Origin": "http://evil.example",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        },
    )
    assert answer.status == 403


LONG = """
import panel_material_ui as pmui
from widgets import shell
words = "/" + "a_long_name_of_a_folder" * 12
shell.serve(lambda: shell.page("Long", [], [pmui.Alert(object=words, severity="error", sizing_mode="stretch_width")]))
"""


def test_a_long_path_in_a_message_stays_on_a_telephone(visit, start_server):
    page = visit.page
    page.set_viewport_size({"width": 420, "height": 700})
    page.goto(start_server("-c", LONG), wait_until="commit")
    words = page.get_by_text("a_long_name_of_a_folder").first
    words.wait_for()
    page.wait_for_timeout(500)
    visit.screenshot("shell_long_path")
    box = words.bounding_box()
    assert box["x"] + box["width"] <= 420
    assert words.evaluate("each => each.scrollWidth <= each.clientWidth")
