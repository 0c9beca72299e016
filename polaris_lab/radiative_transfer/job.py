"""A checked request for line cubes: reads blocks of rays, has them solved, stores what comes back, warns."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from polaris_lab import __version__
from polaris_lab.clouds.simulation import SimulationCube
from polaris_lab.parallel import map_tasks
from polaris_lab.radiative_transfer import rays
from polaris_lab.radiative_transfer.choices import gradient_dispersion, not_negative
from polaris_lab.radiative_transfer.ppv import PPVCube
from polaris_lab.radiative_transfer.rays import Census, Face, read_rays, row_blocks
from polaris_lab.radiative_transfer.solve import Gas, Scheme, compilation_notes, solve
from polaris_lab.radiative_transfer.stores import open_store

_logger = logging.getLogger(__name__)


class VelocityStepWarning(UserWarning):
    """The velocity steps by more than half a line width between cells that are taken as constant."""


class ChannelRangeWarning(UserWarning):
    """Part of the gas moves outside the channels."""


_IN_FLIGHT = 32
"""Blocks that a cluster works on at a time."""

REPORTS = 20
"""At least so many blocks (or one a row) where somebody watches the progress: each may stop the work."""


class Job:
    """A checked request: reads blocks of rays, has them solved, and stores what comes back."""

    def __init__(
        self,
        cube: SimulationCube,
        face: Face,
        motion: Any,
        abundances: tuple[Any, ...],
        dispersion: Any,
        scheme: Scheme,
        backend: str,
        device: Any,
    ) -> None:
        self.cube, self.face, self.motion = cube, face, motion
        self.abundances, self.dispersion, self.scheme = abundances, dispersion, scheme
        self.backend, self.device = backend, device

    def gas(self, start: int, stop: int, every: int = 1) -> Gas:
        """Read the rays of some rows of the face (of each row every `every`-th)."""

        def read(array: Any) -> Any:
            if np.ndim(array) == 0:
                return array
            block = read_rays(array, self.face, start, stop)
            return block if every == 1 else np.ascontiguousarray(block[:, ::every])

        velocity = read(self.motion)
        dispersion = self.dispersion
        if isinstance(dispersion, str):
            dispersion = gradient_dispersion(velocity)
        else:
            dispersion = read(dispersion)
        return Gas(
            density=read(self.cube.density),
            temperature=read(self.cube.temperature),
            velocity=velocity,
            abundances=tuple(not_negative(read(x), "abundance") for x in self.abundances),
            dispersion=not_negative(dispersion, "turbulent_dispersion"),
        )

    def solver(self) -> Any:
        """Return the function that solves a block."""
        if self.backend == "numba":
            return solve
        from polaris_lab.radiative_transfer.torch_backend import TorchSolver

        return TorchSolver(self.device)

    def run(
        self,
        *,
        output: Any = None,
        overwrite: bool = False,
        client: Any = None,
        progress: bool = True,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[PPVCube]:
        """Solve all rays and return the cubes."""
        scheme, face = self._with_peaks(), self.face
        values = len(scheme.channels) * len(scheme.lines)
        size = 4 if scheme.precision == "float32" else 8
        per_ray = 4 * face.depth * (4 if size == 4 else 16) + size * values
        limit = rays.BLOCK_BYTES if client is None else rays.MESSAGE_BYTES
        all_rays = face.rows * face.columns
        if on_progress is not None:
            limit = min(limit, per_ray * all_rays // REPORTS)
            on_progress(0, all_rays)
        blocks = list(row_blocks(face, per_ray, [self.cube.density], limit))
        store = open_store(output, scheme, self._provenance(), face, self.cube, overwrite=overwrite)
        total = None
        solver = self.solver()
        try:
            with _bar(face, len(blocks), progress) as bar:
                group = 1 if client is None else _IN_FLIGHT
                for first in range(0, len(blocks), group):
                    rows = blocks[first : first + group]
                    tasks = ((scheme, self.gas(start, stop)) for start, stop in rows)
                    answers = map_tasks(solver, tasks, client=client, workers=1)
                    for (start, stop), (spectra, census) in zip(rows, answers, strict=True):
                        store.write(start, stop, spectra)
                        total = census if total is None else _merge(total, census)
                        bar.update((stop - start) * face.columns)
                        if on_progress is not None:
                            on_progress(stop * face.columns, all_rays)
        except BaseException:
            store.discard()
            raise
        for note in compilation_notes():
            _logger.info(note)
            if progress:
                tqdm.write(note, file=sys.stderr)
        self._warn(total)
        return store.finish()

    def _provenance(self) -> dict[str, Any]:
        """Return what a cube says of its making: gas, choices and version."""
        scheme = self.scheme
        dispersion = self.dispersion
        return {
            "polaris_lab": __version__,
            "source": self.cube.name or self.cube.provenance.get("source", "simulation cube"),
            "line_of_sight": self.face.axis,
            "abundance_per_hydrogen": [x if np.ndim(x) == 0 else "array" for x in self.abundances],
            "turbulent_dispersion_km_s": dispersion if np.ndim(dispersion) == 0 else "array",
            "in_cell_velocity": "linear" if scheme.linear else "constant",
            "channel": "average" if scheme.average else "centre",
            "background_K": scheme.background,
            "precision": scheme.precision,
            "backend": self.backend,
        }

    def _with_peaks(self) -> Scheme:
        """Bound the peak of each cube from below, by some rays of the middle row."""
        if self.scheme.quantity != "brightness" or self.backend != "numba":
            return self.scheme
        middle = self.face.rows // 2
        sample = self.gas(middle, middle + 1, every=max(1, self.face.columns // 64))
        spectra, _ = solve((self.scheme, sample))
        return replace(self.scheme, peaks=tuple(float(np.abs(cube).max()) for cube in spectra))

    def _warn(self, census: Census) -> None:
        """Warn of steps that "constant" cannot follow and of channels that miss the gas."""
        pairs = (self.face.depth - 1) * self.face.rows * self.face.columns
        if not self.scheme.linear and census.steps and not isinstance(self.dispersion, str):
            warnings.warn(
                f"the velocity steps by more than half a line width between {census.steps / pairs:.1%} of the "
                'neighbouring cells; in_cell_velocity="linear" follows it through the cell',
                VelocityStepWarning,
                stacklevel=4,
            )
        outside = census.mass_outside / census.mass
        if outside > 0.01:
            warnings.warn(
                f"{outside:.1%} of the gas moves outside the channels, which cover {self.scheme.channels[0]:.4g} to "
                f"{self.scheme.channels[-1]:.4g} km/s; the gas needs {census.slowest - 0.5:.4g} to {census.fastest + 0.5:.4g} km/s",
                ChannelRangeWarning,
                stacklevel=4,
            )


def _merge(one: Census, other: Census) -> Census:
    return Census(
        coldest=min(one.coldest, other.coldest),
        hottest=max(one.hottest, other.hottest),
        slowest=min(one.slowest, other.slowest),
        fastest=max(one.fastest, other.fastest),
        mass=one.mass + other.mass,
        mass_outside=one.mass_outside + other.mass_outside,
        steps=one.steps + other.steps,
    )


def _bar(face: Face, blocks: int, progress: bool) -> Any:
    return tqdm(
        total=face.rows * face.columns,
        desc="rays",
        unit="ray",
        unit_scale=True,
        disable=not progress or blocks < 2,
    )
