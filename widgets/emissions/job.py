"""Synthesis of a line cube behind a page: a thread that tells how far it is, stops when asked, and keeps what it made."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy import units as u

from polaris_lab.clouds import SimulationCube, downsample
from polaris_lab.clouds.simulation import layer_ranges
from polaris_lab.radiative_transfer import Line, synthesize_ppv
from widgets.dataset_job import Progress

logger = logging.getLogger(__name__)

MOST_CELLS = 512**3
"""Cells of gas that are solved without being asked twice."""

MOST_BYTES = 512 * 2**20
"""Memory that a line cube behind a page may take."""

KEPT = 6
"""Line cubes that are kept for whoever asks for the same again."""

KEPT_BYTES = 64 * 2**20
"""A larger cube is not kept."""

_kept: OrderedDict[Any, tuple[Any, Any]] = OrderedDict()
_lock = threading.Lock()
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Choices:
    """What a synthesis depends on."""

    line: str = "13CO 1-0"
    """Molecule and transition."""
    abundance: float = 1.4e-6
    """Molecules per hydrogen nucleus."""
    axis: str = "z"
    """Line of sight."""
    channel_width: float = 0.1
    """[km/s]"""
    temperature: float = 10.0
    """Of gas whose file carries none [K]; 0 refuses such gas."""
    reduction: int = 1
    """Cells that become one, along each axis."""


def prepare(gas: SimulationCube, choices: Choices) -> SimulationCube:
    """Return the gas as it is solved: reduced, and with a temperature.

    Raises
    ------
    ValueError
        If it carries no velocity along the line of sight, or no temperature and none is given.

    Examples
    --------
    >>> still = np.zeros((4, 4, 4))
    >>> gas = SimulationCube(still + 100.0, cell_size=0.1 * u.pc, velocity={"z": still})
    >>> float(prepare(gas, Choices(reduction=2)).temperature.max())
    10.0
    """
    gas.velocity_along(choices.axis)
    if gas.temperature is None and not choices.temperature > 0:
        raise ValueError(
            "cube: expected a temperature [K] for the level populations, got a cube without one; give the temperature "
            "of its gas in the field for it"
        )
    if choices.reduction > 1:
        gas = downsample(gas, choices.reduction)
    if gas.temperature is not None:
        return gas
    return SimulationCube(
        gas.density,
        cell_size=gas.cell_size,
        temperature=np.full(gas.shape, choices.temperature, np.float32),
        velocity=gas.velocity,
        name=gas.name,
    )


def channel_numbers(gas: SimulationCube, choices: Choices) -> tuple[int, int]:
    """Return the first channel and the one behind the last, in channel widths from rest: all gas, and 0.5 km/s more."""
    motion = gas.velocity_along(choices.axis)
    parts = [np.asarray(motion[start:stop]) for start, stop in layer_ranges(gas.shape)]
    low, high = min(float(part.min()) for part in parts), max(float(part.max()) for part in parts)
    width = choices.channel_width
    return int(np.floor((low - 0.5) / width)), int(np.ceil((high + 0.5) / width)) + 1


def too_large(shape: tuple[int, int, int], reduction: int) -> str:
    """Return what is to be said of a cube that is too large to be solved behind a page, "" of any other.

    Examples
    --------
    >>> too_large((128, 128, 128), 1)
    ''
    >>> too_large((1024, 1024, 1024), 1)[:42]
    'The cube has 1024 x 1024 x 1024 = 1.1e9 ce'
    """
    cells = float(np.prod(shape, dtype=np.float64)) / reduction**3
    if cells <= MOST_CELLS:
        return ""
    least = next(factor for factor in range(2, 1000) if np.prod(shape, dtype=float) / factor**3 <= MOST_CELLS)
    words = " x ".join(str(n) for n in shape)
    return (
        (
            f"The cube has {words} = {np.prod(shape, dtype=float):.1e} cells, more than the {MOST_CELLS:.1e} that a page "
            f"solves; nothing was left out. Choose 'Reduce by' {least} or more to see means over blocks of cells, or run "
            "polaris-lab emission for the whole."
        )
        .replace("e+0", "e")
        .replace("e+", "e")
    )


def kept(key: Any) -> tuple[Any, Any] | None:
    """Return the line cube and the gas that were kept under a key, or None."""
    with _lock:
        if key is None or key not in _kept:
            return None
        _kept.move_to_end(key)
        return _kept[key]


def _keep(key: Any, ppv: Any, gas: Any) -> None:
    if key is None or ppv.data.nbytes > KEPT_BYTES:
        return
    ppv.data.flags.writeable = False  # visitors share it
    with _lock:
        _kept[key] = ppv, gas
        while len(_kept) > KEPT:
            _kept.popitem(last=False)


class SynthesisJob:
    """Solve one line cube in a thread.

    Parameters
    ----------
    gas : SimulationCube
    choices : Choices
    key : hashable, optional
        Says where the gas comes from: the same key and choices give what was made before.
    synthesize : callable, optional
        Solves it; :func:`polaris_lab.synthesize_ppv` by default.

    Attributes
    ----------
    ppv : PPVCube or None
        The cube, once it is finished.
    gas : SimulationCube
        As it was solved.
    """

    def __init__(
        self, gas: Any, choices: Choices, *, key: Any = None, synthesize: Callable[..., Any] | None = None
    ):
        self.gas, self.choices, self.ppv = gas, choices, None
        self._key = None if key is None else (key, choices)
        self._synthesize = synthesize or synthesize_ppv
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._seen = Progress()

    def start(self) -> SynthesisJob:
        """Start the thread, unless the same was made before."""
        found = kept(self._key)
        if found is not None:
            self.ppv, self.gas = found
            self._seen = Progress("finished", 1, 1, "Taken from what was made before.")
            return self
        words = "Preparing the gas. The first time the solver is compiled, which takes some seconds."
        self._seen = Progress("running", message=words)
        self._thread = threading.Thread(target=self._run, name="synthesis", daemon=True)
        self._thread.start()
        return self

    def cancel(self) -> None:
        """Ask the thread to stop at its next block of rays."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> Progress:
        """Wait for the thread to end, and look."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self.look()

    def look(self) -> Progress:
        """Return how it stands."""
        seen = self._seen
        if seen.status == "running" and self._stop.is_set():
            return replace(seen, status="stopping", message="Stopping at the next block of rays.")
        return seen

    def _run(self) -> None:
        try:
            while not _one_at_a_time.acquire(timeout=0.1):
                self._seen = Progress("running", message="Waiting for another synthesis on this server.")
                self._check()
            try:
                self._solve()
            finally:
                _one_at_a_time.release()
        except _StoppedError:
            words = "Stopped. What is drawn is as it was before; Synthesise begins anew."
            self._seen = replace(self._seen, status="stopped", message=words)
        except Exception as error:  # whatever it is, the page must say it
            logger.warning("no line cube", exc_info=error)
            self._seen = replace(self._seen, status="failed", message=str(error) or type(error).__name__)

    def _solve(self) -> None:
        choices = self.choices
        self._check()
        gas = prepare(self.gas, choices)
        first, last = channel_numbers(gas, choices)
        rays = float(np.prod(gas.shape, dtype=np.float64)) / gas.shape["zyx".index(choices.axis)]
        if 4 * rays * (last - first) > MOST_BYTES:
            raise ValueError(
                f"channel_width: expected a line cube of at most {MOST_BYTES / 2**20:.0f} MB, got {last - first} channels "
                f"x {rays:.0f} pixels; choose wider channels, or reduce the cube"
            )
        self._check()
        ppv = self._synthesize(
            gas,
            Line.named(*choices.line.split()),
            abundance=choices.abundance,
            axis=choices.axis,
            velocity=choices.channel_width * np.arange(first, last) * u.km / u.s,
            channel="average",
            progress=False,
            on_progress=self._follow,
        )
        self._check()
        self.ppv, self.gas = ppv, gas
        _keep(self._key, ppv, gas)
        self._seen = Progress("finished", 1, 1, "Done.")

    def _check(self) -> None:
        if self._stop.is_set():
            raise _StoppedError

    def _follow(self, done: int, total: int) -> None:
        self._check()
        self._seen = Progress("running", done, total, f"Solving rays: {done} of {total}.")


class _StoppedError(Exception):
    """The visitor asked to stop, or asked for something else."""
