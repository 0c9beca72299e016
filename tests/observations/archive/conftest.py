"""A small archive on localhost that can be cut off, go away, and answer with pages."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits


class Archive:
    """What the server serves, and what was asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ranges: list[str | None] = []
        self.cut_after: int | None = None
        self.address = ""


@pytest.fixture
def archive(tmp_path):
    state = Archive(tmp_path / "served")
    state.folder.mkdir()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            state.ranges.append(self.headers.get("Range"))
            path = state.folder / self.path.lstrip("/")
            if not path.is_file():
                self.send_error(404)
                return
            data = path.read_bytes()
            start = int(self.headers["Range"].split("=")[1].rstrip("-")) if self.headers.get("Range") else 0
            if start >= len(data):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            end = len(data) if state.cut_after is None else start + state.cut_after
            self.wfile.write(data[start:end])

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def map_file(archive) -> Path:
    """A FITS map that the archive serves under the name of Orion B's."""
    path = archive.folder / "HGBS_orionB_column_density_map.fits.gz"
    values = 1e21 * np.random.default_rng(0).lognormal(0, 1, (64, 64, 16)).reshape(256, 256)
    header = fits.Header({"BUNIT": "cm-2"})
    fits.writeto(path, values, header)
    return path
