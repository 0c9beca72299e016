from __future__ import annotations

import logging
import os
import socket

import panel as pn
import pytest

from widgets import shell


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("BOKEH_RESOURCES", "cdn")


def app():
    return shell.page("Nothing", [], [], purpose="To test.")


def test_a_server_listens_to_this_machine_and_refuses_other_sites():
    server = shell.serve({"nothing": app}, start=False, warm=False)
    try:
        assert server.address == "127.0.0.1"
        origins = server._tornado.websocket_origins
        assert origins == {f"127.0.0.1:{server.port}", f"localhost:{server.port}"}
    finally:
        server.stop()


def test_scripts_come_from_the_server_whatever_the_environment_says():
    server = shell.serve({"nothing": app}, start=False, warm=False)
    server.stop()
    assert os.environ["BOKEH_RESOURCES"] == "server"


def test_the_address_is_printed(capsys):
    server = shell.serve({"nothing": app}, start=False, warm=False)
    server.stop()
    assert capsys.readouterr().out.strip() == f"http://127.0.0.1:{server.port}/nothing"


def test_a_port_that_is_taken_is_an_error_with_a_remedy():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ValueError, match=f"expected a free one, got {port}.*choose another, or 0"):
            shell.serve({"nothing": app}, port=port, start=False)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_out_of_range_is_refused(port):
    with pytest.raises(ValueError, match="expected a number from 1 to 65535"):
        shell.serve({"nothing": app}, port=port, start=False)


def test_errors_of_callbacks_reach_the_page(monkeypatch, caplog):
    shown = []

    class Notifications:
        def error(self, message, duration):
            shown.append((message, duration))

    monkeypatch.setattr(type(pn.state), "notifications", Notifications())
    with caplog.at_level(logging.ERROR):
        shell.notify_user(ValueError("expected a run, got none"))
    assert shown == [("expected a run, got none", 0)]
    assert "expected a run, got none" in caplog.text


def test_a_page_that_was_closed_is_no_news():
    from tornado.websocket import WebSocketClosedError

    error = WebSocketClosedError()
    record = logging.LogRecord("asyncio", logging.ERROR, "", 0, "Task", None, (type(error), error, None))
    assert not shell._not_a_closed_page(record)
    record.exc_info = (ValueError, ValueError("other"), None)
    assert shell._not_a_closed_page(record)


def test_timers_wait_for_a_served_page():
    shell.repeat(lambda: pytest.fail("called without a page"), 1)
