"""A simulation step by step: its state, its records, its checkpoint, its cube."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from astropy import units as u
from torch import Tensor

from polaris_lab.clouds.fields import random_velocity
from polaris_lab.clouds.memory import check_memory
from polaris_lab.clouds.simulation import AXES, SimulationCube
from polaris_lab.clouds.solver.checkpoints import check_same, read_checkpoint, write_checkpoint
from polaris_lab.clouds.solver.forces import GAIN, STRONGEST, Driving, gravity, jeans_stiffness
from polaris_lab.clouds.solver.hydro import BACKENDS, COURANT, advance, default_backend, signal_speeds
from polaris_lab.clouds.solver.settings import METHOD, STATEMENT, SimulationConfig, SimulationRecord
from polaris_lab.clouds.synthetic import sound_speed
from polaris_lab.config import to_dict

CHECKPOINT_SECONDS = 300.0
"""A running simulation writes its state so often, besides when it stops."""

BYTES_A_CELL = {"compiled": 160, "torch": 380}
"""Memory that a cell takes in single precision, by back end (measured at 128^3); double takes twice."""

FREE_FALL_COURANT = 0.3
"""Share of the time in which the strongest pull moves gas by a cell, that a step may take."""


@dataclass(frozen=True)
class Moment:
    """The whole state between two steps; the next moment is a function of this one and the configuration."""

    step: int
    time: float  # in box sound crossing times
    strength: float  # of the driving
    modes: np.ndarray  # of the driving
    state: Tensor  # (4, n, n, n): density, momentum along z, y, x
    push: Tensor  # (3, n, n, n): acceleration; follows from the rest
    speeds: tuple[float, float, float]  # largest |v| + c along z, y, x; likewise
    mach_number: float  # likewise


class Simulation:
    """A cloud in the making: iterate over :meth:`steps`, break out when you like, go on later.

    Parameters
    ----------
    config : SimulationConfig
    checkpoint : str or Path, optional
        File that keeps the state; if it is there the simulation goes on from it.
    device : str
        Of PyTorch: "cpu", "cuda", ...
    backend : {"compiled", "torch"}, optional
        By default compiled loops on the processor and PyTorch elsewhere.

    Raises
    ------
    ValueError
        If the checkpoint was made with other choices or is damaged, or the device is not there, or the back end does not
        fit it.
    MemoryError
        If the grid would not fit into the memory of the processor, with the number.

    Examples
    --------
    >>> simulation = Simulation(SimulationConfig(size=16, turnover_times=0.2, free_fall_times=0.0))
    >>> for record in simulation.steps():
    ...     if record.fraction > 0.5:
    ...         break
    >>> print(simulation.is_finished, simulation.cube().shape)
    False (16, 16, 16)
    """

    def __init__(
        self,
        config: SimulationConfig,
        *,
        checkpoint: str | Path | None = None,
        device: str = "cpu",
        backend: str | None = None,
    ) -> None:
        self.config, self.device = config, str(device)
        self.backend = default_backend(self.device) if backend is None else backend
        if self.backend not in BACKENDS or (self.backend == "compiled" and not self.device.startswith("cpu")):
            raise ValueError(
                f'backend: expected "torch", or "compiled" on the device "cpu", got {backend!r} on {self.device!r}'
            )
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f'device: expected one that PyTorch finds here, such as "cpu", got {device!r}: {str(error)[:100]}'
            ) from error
        if self.device.startswith("cpu"):
            needed = BYTES_A_CELL[self.backend] * config.size**3 * (1 + (config.precision == "double"))
            check_memory(needed, f"{config.size}^3 cells", "size")
        self._path = None if checkpoint is None else Path(checkpoint)
        self._driving = Driving(config.seed, config.compressive_fraction, config.turnover_time)
        self._stiffness = jeans_stiffness(config.gravity, config.size)
        if self._path is not None and self._path.exists():
            kept, content = read_checkpoint(self._path)
            check_same(self._path, kept, config)
            self._moment = self._restore(content)
        else:
            self._moment = self._start()

    @classmethod
    def open(cls, checkpoint: str | Path, **choices: Any) -> Simulation:
        """Open a checkpoint with the choices that it was made with; `device` and `backend` as for the class."""
        config, _ = read_checkpoint(Path(checkpoint))
        return cls(config, checkpoint=checkpoint, **choices)

    @property
    def is_finished(self) -> bool:
        """Whether the end is reached."""
        return self._moment.time >= self.config.end

    def steps(self) -> Iterator[SimulationRecord]:
        """Run, yielding after each step; stop by breaking out of the loop, go on by calling it again.

        The checkpoint, if there is one, is written every five minutes and whenever the loop ends: at the end, by a
        break, by an exception, by Ctrl-C.

        Raises
        ------
        FloatingPointError
            If the gas is no longer finite; the last state that was is kept.
        """
        written, last = self._moment.step, time.monotonic()
        try:
            while not self.is_finished:
                self._moment = self._next(self._moment)  # one assignment: interrupted or done, never half
                if self._path is not None and time.monotonic() - last > CHECKPOINT_SECONDS:
                    self.save()
                    written, last = self._moment.step, time.monotonic()
                yield self.record()
        finally:
            if self._path is not None and (self._moment.step > written or not self._path.exists()):
                self.save()

    def save(self) -> None:
        """Write the state to the checkpoint, whole or not at all."""
        if self._path is None:
            raise ValueError(
                "checkpoint: expected a file to write to, got none; open the simulation with checkpoint=..."
            )
        moment = self._moment
        content = {"step": moment.step, "time": moment.time, "strength": moment.strength}
        arrays = {"modes": torch.from_numpy(moment.modes), "state": moment.state}
        write_checkpoint(self._path, self.config, {**content, **arrays})

    def record(self) -> SimulationRecord:
        """Return the record of the last step."""
        config, moment = self.config, self._moment
        density = moment.state[0]
        low, high = (float(value) * config.mean_density_cm3 for value in torch.aminmax(density))
        return SimulationRecord(
            step=moment.step,
            fraction=min(1.0, moment.time / config.end),
            time_Myr=moment.time * config.sound_crossing_Myr,
            turnover_times=min(moment.time, config.quiet_end) / config.turnover_time,
            free_fall_times=max(0.0, moment.time - config.quiet_end) / config.free_fall_time,
            mach_number=moment.mach_number,
            lowest_density_cm3=low,
            highest_density_cm3=high,
            mass_drift=float(density.mean(dtype=torch.float64)) - 1.0,
        )

    def cube(self, *, name: str | None = None) -> SimulationCube:
        """Return the cloud as it is now, with what it was made from in its provenance."""
        config, state = self.config, self._moment.state.to("cpu")
        density = (state[0] * config.mean_density_cm3).to(torch.float32).numpy()
        scale = sound_speed(config.flow_temperature_K) / 1e5
        velocity = (state[1:] / state[:1] * scale).to(torch.float32).numpy()
        return SimulationCube(
            density,
            cell_size=config.box_size_pc / config.size * u.pc,
            temperature=np.full_like(density, config.flow_temperature_K),
            velocity=dict(zip(AXES, velocity, strict=True)),
            name=name or f"simulated cloud {config.seed}",
            provenance=self._provenance(),
        )

    def _provenance(self) -> dict[str, Any]:
        """Return the stamp; no date in it, so that equal simulations give equal cubes, stamp included."""
        from polaris_lab import __version__

        return {
            "source": "simulation",
            "code": "polaris_lab.clouds.simulate",
            "method": METHOD,
            "statement": STATEMENT,
            "seed": self.config.seed,
            "parameters": to_dict(self.config),
            "finished": self.is_finished,
            "reached": to_dict(self.record()),
            "jeans_floor_cm3": self.config.mean_density_cm3 / self._stiffness,
            "backend": f"{self.backend} on {self.device}",
            "polaris_lab": __version__,
            "versions": {
                "python": platform.python_version(),
                "numpy": np.__version__,
                "torch": torch.__version__,
            },
        }

    # -- from one moment to the next -----------------------------------------------------------------

    def _start(self) -> Moment:
        config = self.config
        kind = {
            "dtype": torch.float32 if config.precision == "single" else torch.float64,
            "device": self.device,
        }
        rng = np.random.default_rng(config.seed)
        velocity = random_velocity(rng, config.size, compressive_fraction=config.compressive_fraction)
        state = torch.ones((4, *velocity.shape[1:]), **kind)
        state[1:] = torch.from_numpy(velocity * config.mach_number).to(**kind)
        return self._complete(0, 0.0, 1.0, self._driving.first(), state, None)

    def _restore(self, content: dict[str, Any]) -> Moment:
        modes, state = content["modes"].numpy(), content["state"].to(self.device)
        return self._complete(
            int(content["step"]), float(content["time"]), float(content["strength"]), modes, state, None
        )

    def _complete(
        self,
        step: int,
        reached: float,
        strength: float,
        modes: np.ndarray,
        state: Tensor,
        push: Tensor | None,
    ) -> Moment:
        """Add what follows from the rest of a moment."""
        push = self._push(state[0], modes, strength, reached) if push is None else push
        speeds, power = signal_speeds(state, self._stiffness_at(reached))
        if not (float(state[0].amin()) > 0 and all(map(math.isfinite, (*speeds, power)))):
            raise FloatingPointError(
                f"step {step}: expected finite gas of positive density, got other values; the state of the step before "
                "is kept. Lower mach_number or free_fall_times"
            )
        mach_number = math.sqrt(power / float(state[0].sum(dtype=torch.float64)))
        return Moment(step, reached, strength, modes, state, push, speeds, mach_number)

    def _stiffness_at(self, reached: float) -> float:
        return self._stiffness if reached >= self.config.quiet_end else 0.0

    def _push(self, density: Tensor, modes: np.ndarray, strength: float, reached: float) -> Tensor:
        """Return the acceleration by driving and, once it acts, by gravity."""
        nominal = 2.0 * self.config.mach_number**2  # the square of the velocity over half a box
        push = self._driving.force(modes, density).mul_(strength * nominal)
        if reached >= self.config.quiet_end and self.config.free_fall_times:
            push += gravity(density, self.config.gravity)
        return push

    def _duration(self, moment: Moment) -> float:
        """Return the next step: what waves and pulls allow, or what remains until gravity sets in or the end."""
        config = self.config
        end = config.quiet_end if moment.time < config.quiet_end else config.end
        allowed = COURANT / (config.size * max(moment.speeds))
        pull = float(moment.push.abs().amax())
        if pull > 0:
            allowed = min(allowed, FREE_FALL_COURANT / math.sqrt(config.size * pull))
        remains = end - moment.time
        if remains <= allowed:
            return remains
        return min(allowed, 0.5 * remains)  # no sliver of a step at the end

    def _next(self, moment: Moment) -> Moment:
        """Return the moment after one step: half a kick, three sweeps, half a kick with the new forces."""
        config = self.config
        duration = self._duration(moment)
        stage_end = config.quiet_end if moment.time < config.quiet_end else config.end
        reached = stage_end if duration >= stage_end - moment.time else moment.time + duration
        step = moment.step + 1
        state = moment.state.clone()
        state[1:].addcmul_(state[:1], moment.push, value=0.5 * duration)
        state = advance(
            state,
            duration * config.size,
            order=(0, 1, 2) if step % 2 else (2, 1, 0),
            stiffness=self._stiffness_at(moment.time),
            backend=self.backend,
        )
        modes = self._driving.next(moment.modes, duration, step)
        lack = (config.mach_number - moment.mach_number) / config.mach_number
        strength = min(max(1.0 + GAIN * lack, 0.0), STRONGEST)
        push = self._push(state[0], modes, strength, reached)
        state[1:].addcmul_(state[:1], push, value=0.5 * duration)
        return self._complete(step, reached, strength, modes, state, push)
