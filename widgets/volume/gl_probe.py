"""Whether PyVista can draw on this machine, found out without risk.

VTK opens the graphics libraries of the machine when it first draws, and **ends the whole process** where they are
missing. So a child process tries first, once, and nothing is drawn in this one unless the child came back.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from typing import Any

_PROBE = (
    "import pyvista as pv; p = pv.Plotter(off_screen=True, window_size=(32, 32)); p.add_mesh(pv.Sphere()); "
    "raise SystemExit(int(p.screenshot(None, return_img=True).std() < 1))"
)

REMEDY = (
    "PyVista needs an OpenGL library on this machine: install libegl1 (Debian, Ubuntu: apt-get install libegl1; Fedora: "
    "dnf install mesa-libEGL), then start again. The viewer in the browser and the torch projector work without it."
)


def _environment() -> dict[str, str]:
    """Return the variables under which VTK draws off screen; on Linux without a display it is told to use EGL."""
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        return {"VTK_DEFAULT_OPENGL_WINDOW": "vtkEGLRenderWindow"}
    return {}


@functools.cache
def gl_problem() -> str:
    """Return why PyVista cannot draw here and what to do, "" if it can; a child process tries it once.

    Examples
    --------
    >>> isinstance(gl_problem(), str)
    True
    """
    try:
        child = subprocess.run(
            [sys.executable, "-c", _PROBE],
            env={**_environment(), **os.environ},
            capture_output=True,
            timeout=120,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"PyVista did not draw within two minutes. {REMEDY}"
    if child.returncode == 0:
        return ""
    if b"No module named" in child.stderr:
        return "PyVista is not installed: pip install 'polaris-lab[lab]'. The viewer in the browser works without"
    return f"PyVista cannot draw here (a trial ended with {child.returncode}). {REMEDY}"


def require_gl() -> Any:
    """Return the module pyvista, ready to draw off screen.

    Raises
    ------
    RuntimeError
        If this machine cannot, with what to install.
    """
    problem = gl_problem()
    if problem:
        raise RuntimeError(problem)
    for name, value in _environment().items():
        os.environ.setdefault(name, value)
    import pyvista

    return pyvista
