"""Say what this installation can do, and what to install for the rest.

Exit status 1 when something that the core needs is broken.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

CORE = (
    "numpy",
    "scipy",
    "astropy",
    "numba",
    "torch",
    "zarr",
    "h5py",
    "reproject",
    "pooch",
    "regions",
    "skimage",
    "lightning_fabric",
    "panel",
    "holoviews",
)
EXTRAS = {
    "lab": (
        "jupyterlab",
        "ipywidgets",
        "jupytext",
        "matplotlib",
        "pyvista",
        "panel_reactflow",
        "astrodendro",
        "astroquery",
        "diffusers",
        "optuna",
    ),
    "amr": ("yt",),
    "cluster": ("dask", "distributed"),
    "logging": ("tensorboard",),
    "test": ("pytest", "playwright", "ruff"),
}

VTK_PROBE = (
    "import pyvista as pv; p = pv.Plotter(off_screen=True, window_size=(32, 32)); p.add_mesh(pv.Sphere()); "
    "raise SystemExit(int(p.screenshot(None, return_img=True).std() < 1))"
)


@dataclass(frozen=True)
class Check:
    """One thing looked at: is it there, what was found, and what to do if not."""

    name: str
    ok: bool
    found: str
    remedy: str = ""
    core: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Look at everything and print a line each."""
    checks = [_python(), *_packages(), _torch(), _memory(), _off_screen(), _chromium()]
    if not arguments.json:
        for check in checks:
            mark = "ok     " if check.ok else "missing"
            print(f"{mark} {check.name}: {check.found}" + (f"  ->  {check.remedy}" if not check.ok else ""))
    broken = [check.name for check in checks if check.core and not check.ok]
    return {"checks": [asdict(check) for check in checks], "broken": broken, "status": 1 if broken else 0}


def _python() -> Check:
    return Check(
        "Python",
        sys.version_info >= (3, 11),
        platform.python_version(),
        "install Python 3.11 or newer",
        core=True,
    )


def _packages() -> list[Check]:
    missing = [name for name in CORE if importlib.util.find_spec(name) is None]
    checks = [
        Check(
            "core packages",
            not missing,
            "missing " + ", ".join(missing) if missing else "all there",
            "pip install -e . -c constraints.txt",
            core=True,
        )
    ]
    for extra, names in EXTRAS.items():
        missing = [name for name in names if importlib.util.find_spec(name) is None]
        checks.append(
            Check(
                f"extra '{extra}'",
                not missing,
                "missing " + ", ".join(missing) if missing else "all there",
                f"pip install -e '.[{extra}]' -c constraints.txt",
            )
        )
    return checks


def _torch() -> Check:
    try:
        import torch
    except ImportError as error:
        return Check("torch", False, str(error), "pip install torch", core=True)
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    found = f"{torch.__version__}, {torch.get_num_threads()} threads, " + (
        ", ".join(devices) or "no GPU: trains on the CPU"
    )
    return Check("torch", True, found, core=True)


def _memory() -> Check:
    import psutil

    gigabytes = psutil.virtual_memory().available / 2**30
    return Check(
        "memory",
        gigabytes > 2,
        f"{gigabytes:.1f} GiB free, {os.cpu_count()} processors",
        "close other programs: 2 GiB are needed for the demo",
    )


def _off_screen() -> Check:
    """Render a sphere in a child process: VTK without GL libraries takes its process down with it."""
    remedy = "apt-get install libegl1 (Fedora: mesa-libEGL); only 3D figures through PyVista need it"
    if importlib.util.find_spec("pyvista") is None:
        return Check(
            "3D figures (PyVista off-screen)",
            False,
            "pyvista is not installed",
            "pip install -e '.[lab]' -c constraints.txt",
        )
    environment = dict(os.environ)
    if sys.platform.startswith("linux"):
        environment.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    try:
        answer = subprocess.run(
            [sys.executable, "-c", VTK_PROBE], env=environment, capture_output=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        return Check("3D figures (PyVista off-screen)", False, "no picture within two minutes", remedy)
    ok = answer.returncode == 0
    return Check("3D figures (PyVista off-screen)", ok, "renders" if ok else "no GL library", remedy)


def _chromium() -> Check:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return Check(
        "Chromium (browser tests)",
        path is not None,
        path or "not found",
        "apt-get install chromium; only the browser tests need it",
    )
