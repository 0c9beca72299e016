"""The frame of every dashboard: one page that fetches nothing from outside, and the server that shows it.

A page is made of panel-material-ui parts, whose fonts, icons and scripts lie in the installed packages. An error
in a callback reaches the person at the screen as a notification, not only the log.
"""

from __future__ import annotations

import contextlib
import contextvars
import html
import logging
import os
import socket
import webbrowser
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

logger = logging.getLogger(__name__)

LOCAL = "127.0.0.1"
"""The address that only this machine can reach."""

THEME = {"palette": {"primary": {"main": "#0B5394"}, "secondary": {"main": "#9A4A00"}}}
"""Colours of buttons and bars, dark enough on white for small letters (contrast above 4.5)."""


_PARTS = {"MuiAlert": {"styleOverrides": {"message": {"minWidth": 0, "overflowWrap": "anywhere"}}}}
"""A long path in a message is broken where the page ends."""

PATIENCE_MS = 120_000
"""How long a page that was sent waits for its browser to come back [ms]; a slow one needs more than Bokeh's 15 s."""

SETTLE_MS = 500
"""What follows the first parts of a page waits so long [ms].

A field that the browser is only just building misses changes, and of two changes in quick succession it may keep the
first, and tell the server so. What is looked at on a timer is therefore written at every look: equal values cost
nothing, and what was missed is mended.
"""

AFTER_MS = 120
"""What need not be seen at once is drawn so long after what must [ms]: the browser paints in between."""

PROMPT_MS = 5
"""A field's change is gathered with others for so long [ms]; Panel's 50 ms would be half of what a slider may take."""

_CLOSE_WHERE_NARROW = """
const page = Bokeh.documents[0].roots().find(root => root.data && "sidebar_open" in root.data)
if (page && window.innerWidth < 600) page.data.sidebar_open = false
"""
"""On a telephone the side bar lies over the page: it opens when it is asked for."""

_KEEP_THEME = """
const page = Bokeh.documents[0].roots().find(root => root.data && "dark_theme" in root.data)
const key = "polaris-lab-dark"
if (page) {
  const kept = localStorage.getItem(key)
  if (kept !== null && page.data.dark_theme !== (kept === "1")) page.data.dark_theme = kept === "1"
  page.data.properties.dark_theme.change.connect(() => localStorage.setItem(key, page.data.dark_theme ? "1" : "0"))
}
"""
"""Light or dark, once chosen, holds on every page of this server."""

_COME_BACK = """
const again = async () => {
  try { if ((await fetch(location.href, {cache: "no-store"})).ok) return location.reload() } catch (error) {}
  setTimeout(again, 2000)
}
setTimeout(again, 2000)
"""
"""When the server is gone, ask for it; when it is back, load the page: its state stands in the address."""

_BAR_STYLE = """
nav { display: flex; flex-wrap: wrap; gap: 2px 18px; font-family: inherit; font-size: 14px; }
nav a { color: inherit; padding: 2px 0; text-decoration: none; border-bottom: 2px solid transparent; }
nav a:hover, nav a:focus-visible { border-bottom-color: currentColor; }
nav a[aria-current] { font-weight: 600; border-bottom-color: currentColor; }
"""

Link = tuple[str, str, bool]
"""Words, address, and whether it is this page's own."""

_BESIDE: contextvars.ContextVar[Sequence[Link]] = contextvars.ContextVar("beside", default=())


@contextlib.contextmanager
def beside(links: Sequence[Link]) -> Iterator[None]:
    """Give the pages that are made inside this block a bar with links to the pages served beside them."""
    token = _BESIDE.set(tuple(links))
    try:
        yield
    finally:
        _BESIDE.reset(token)


def _bar() -> list[Any]:
    """Return the bar between pages, nothing where a page stands alone."""
    import panel as pn

    links = "".join(
        f'<a href="{html.escape(address)}"{" aria-current=page" if own else ""}>{html.escape(words)}</a>'
        for words, address, own in _BESIDE.get()
    )
    if not links:
        return []
    words = f'<nav aria-label="Dashboards">{links}</nav>'
    return [pn.pane.HTML(words, stylesheets=[_BAR_STYLE], sizing_mode="stretch_width", margin=(4, 10))]


def notify_user(error: Exception) -> None:
    """Show an error of a callback on the page it happened on, and write it to the log with its traceback."""
    import panel as pn

    logger.error("error in a dashboard", exc_info=error)
    if pn.state.notifications is not None:
        pn.state.notifications.error(str(error) or type(error).__name__, duration=0)


def page(
    title: str, sidebar: Sequence[Any], main: Sequence[Any], *, later: Sequence[Any] = (), purpose: str = ""
) -> Any:
    """Return a page with a side bar, a head and a main area.

    Parameters
    ----------
    title : str
        What the page is.
    sidebar, main : sequence of Panel objects
        Parts made of panel-material-ui; string icons on classic Panel buttons would fetch a font from outside.
    later : sequence of Panel objects
        The lower end of the side bar. A served page shows it after its main area: ten fields cost the browser as much as
        a picture. Not for fields that take a text: one that is built late may tell the server that it is empty.
    purpose : str
        One sentence under the title of the main area: what the page is for.

    Returns
    -------
    panel_material_ui.Page
    """
    import panel_material_ui as pmui  # before pn.extension: its icons are registered on import
    import param

    import panel as pn  # isort: skip

    pn.extension(notifications=True, exception_handler=notify_user)
    pn.config.disconnect_notification = (
        "The server has stopped. Start it again with the same --port: this page comes back by itself."
    )
    served = pn.state.curdoc is not None and pn.state.curdoc.session_context is not None
    head = _bar()
    head += [pmui.Typography(purpose, variant="body1", sizing_mode="stretch_width")] if purpose else []
    shown = pmui.Page(
        title=title,
        sidebar=[*sidebar, _filled_later(later)] if served and later else [*sidebar, *later],
        main=[*head, *main],
        sidebar_width=300,
        theme_config={"light": {**THEME, "components": _PARTS}, "dark": {"components": _PARTS}},
        meta_description=purpose or title,
        busy_indicator=None,
    )
    with param.edit_constant(shown):
        shown.busy = False  # it would tell the browser of every tick of a timer
    if served:
        from bokeh.models import CustomJS
        from panel.io.resources import LOCAL_DIST

        # a session that the server makes anew for a late browser would name style sheets outside this machine
        pn.state.curdoc._template_variables.setdefault("dist_url", LOCAL_DIST)
        for code in (_CLOSE_WHERE_NARROW, _KEEP_THEME):
            pn.state.curdoc.js_on_event("document_ready", CustomJS(code=code))
        pn.state.curdoc.js_on_event("connection_lost", CustomJS(code=_COME_BACK))
    return shown


def in_turn(layout: Any, first: int) -> list[Any]:
    """Let the first parts of a page be seen before the browser builds the others; outside a server do nothing.

    A figure costs the browser some 0.3 s: a page of twenty would stay empty for as long as all of them take.

    Parameters
    ----------
    layout : Panel layout
        The parts, one below the other.
    first : int
        How many of them come with the page; the others follow when those are drawn.

    Returns
    -------
    list
        What to give to :func:`page`: the layout, and the place below it that fills later.
    """
    import panel as pn

    if pn.state.curdoc is None or pn.state.curdoc.session_context is None:
        return [layout]
    later = list(layout[first:])
    layout[:] = list(layout[:first])
    return [layout, _filled_later(later)]


def _filled_later(parts: Sequence[Any]) -> Any:
    """Return a column whose parts are made and sent when the browser has drawn what came with the page."""
    import panel as pn

    column = pn.Column(sizing_mode="stretch_width")
    document = pn.state.curdoc

    def follow() -> None:
        document.add_timeout_callback(lambda: column.extend(parts), SETTLE_MS)

    pn.state.onload(follow)
    return column


class Afterwards:
    """Work that waits until the browser has painted what it was sent before; of several calls the last one counts.

    Outside a served page, and before the page stands, it is done at once.

    Parameters
    ----------
    work : callable
        Without arguments.

    Examples
    --------
    >>> done = []
    >>> Afterwards(lambda: done.append("drawn"))()
    >>> done
    ['drawn']
    """

    def __init__(self, work: Callable[[], Any]):
        self._work = work
        self._waiting: Any = None

    def __call__(self) -> None:
        """Do the work, soon."""
        import panel as pn

        document = pn.state.curdoc
        if document is None or document.session_context is None or not pn.state.loaded:
            self._work()
            return
        if self._waiting is not None:
            document.remove_timeout_callback(self._waiting)
        self._waiting = document.add_timeout_callback(self._run, AFTER_MS)

    def _run(self) -> None:
        import panel as pn

        self._waiting = None
        with pn.io.hold():
            try:
                self._work()
            except Exception as error:
                notify_user(error)


def prompt(field: Any) -> Any:
    """Let a field tell the server of its changes without Panel's delay; return the field."""
    field._debounce = PROMPT_MS
    return field


def repeat(callback: Callable[[], Any], period_ms: int) -> None:
    """Call a function on a timer for as long as the visitor's page is open; outside a server do nothing."""
    import panel as pn

    if pn.state.curdoc is None or pn.state.curdoc.session_context is None:
        return
    timer = pn.state.add_periodic_callback(callback, period_ms, start=False)
    pn.state.onload(timer.start)  # a change that comes while the browser still builds the page would be lost
    pn.state.on_session_destroyed(lambda _context: timer.stop())


def serve(
    apps: Callable[[], Any] | Mapping[str, Callable[[], Any]],
    *,
    port: int = 0,
    address: str = LOCAL,
    origins: Sequence[str] = (),
    show: bool = False,
    start: bool = True,
    warm: bool | str = True,
    titles: Mapping[str, str] | None = None,
) -> Any:
    """Serve pages in the browser until Ctrl-C, by default to this machine only.

    Parameters
    ----------
    apps : callable, or mapping of name to callable
        Each makes one page for one visitor; its name is its address (``/training``).
    port : int
        Where to listen; 0 takes a free one.
    address : str
        What to listen on. Other machines reach the pages only if it is not 127.0.0.1; whoever does may press
        every button.
    origins : sequence of str
        Further hosts ("name:port") that a browser may come from, for example behind a proxy. Pages of other
        sites are refused: that is Bokeh's origin check.
    show : bool
        Whether to open the browser.
    start : bool
        Whether to serve now; without, the server is returned for the caller to start.
    warm : bool or str
        Whether to make each page once before, so that the first visitor does not wait for imports; the name of one
        page makes only that.
    titles : mapping of name to str, optional
        What the browser's tab says of each page; "Polaris Lab" of those that are not named.

    Returns
    -------
    bokeh.server.server.Server or None
        The server if it was not started.

    Raises
    ------
    ValueError
        If the port is taken or out of range.

    Examples
    --------
    >>> from widgets import shell, training_monitor
    >>> shell.serve({"training": lambda: training_monitor.app("demo")}, port=5006)  # doctest: +SKIP
    """
    os.environ["BOKEH_RESOURCES"] = "server"  # any other value makes pages fetch scripts from outside
    import panel as pn

    pages = dict(apps) if isinstance(apps, Mapping) else {"": apps}
    port = free_port(address) if port == 0 else check_port(port, address)
    names = {address, LOCAL, "localhost"} if address in (LOCAL, "localhost") else {address}
    logging.getLogger("asyncio").addFilter(_not_a_closed_page)
    for name in ("tornado.access", "bokeh"):  # every picture and font that a browser fetches is no news
        logging.getLogger(name).setLevel(logging.WARNING)
    server = pn.serve(
        {name or "/": make for name, make in pages.items()},
        port=port,
        address=address,
        websocket_origin=sorted(f"{name}:{port}" for name in names) + list(origins),
        title={name or "/": (titles or {}).get(name, "Polaris Lab") for name in pages},
        show=False,
        start=False,
        verbose=False,
        warm=warm is True,
    )
    if isinstance(warm, str):
        pages[warm]()
    addresses = [f"http://{address}:{port}/{name}" for name in pages]
    for url in addresses:
        print(url, flush=True)
    if not start:
        return server
    print("Ctrl-C stops the server; trainings that it started go on.", flush=True)
    if show:
        webbrowser.open(addresses[0])
    server.start()
    try:
        server.io_loop.start()
    except KeyboardInterrupt:
        print("server stopped", flush=True)
    finally:
        server.stop()
    return None


def _not_a_closed_page(record: logging.LogRecord) -> bool:
    """Keep out of the log that a page was closed while a message was on its way to it."""
    from tornado.websocket import WebSocketClosedError

    return not (record.exc_info and isinstance(record.exc_info[1], WebSocketClosedError))


def free_port(address: str = LOCAL) -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def check_port(port: int, address: str = LOCAL) -> int:
    """Return the port if it can be listened on, or raise ValueError with what to do."""
    if not 0 < port < 65536:
        raise ValueError(f"port: expected a number from 1 to 65535 (or 0 for a free one), got {port}")
    with socket.socket() as probe:
        if (
            os.name == "posix"
        ):  # a port that was closed a moment ago counts as free, as it does for the server
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise ValueError(
                f"port: expected a free one, got {port} ({error.strerror or error}); stop the program that has it, "
                "choose another, or 0 for any that is free"
            ) from error
    return port
