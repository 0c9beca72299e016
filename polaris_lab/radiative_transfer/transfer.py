"""From a cube of gas to the line cube that a telescope would see: `synthesize_ppv`.

Radiative transfer in LTE, cell by cell from the far side to the observer (report, eq. 9):

    I <- I exp(-tau) + B_nu(T) (1 - exp(-tau)),     I = B_nu(T_bg) behind the cloud,
    tau(v) = c^3 A g_u/(8 pi nu_0^3) N_mol exp(-E_l/kT)/Z (1 - exp(-h nu_0/kT)) phi(v),

given as T = c^2/(2 k nu_0^2) (I - B_nu(T_bg)): the Rayleigh-Jeans brightness temperature of the line with the
background subtracted, as an ON-OFF observation shows it. Conventions, because each of them is worth per cents:
abundance per hydrogen **nucleus**; `turbulent_dispersion` is sigma, not b; depth increases with index and the
observer sits before index 0; positive velocity recedes; nu = nu_0 (1 - v/c) (radio convention); a channel is
its centre unless ``channel="average"``. `polaris_lab.radiative_transfer.lte` says where LTE fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from astropy import units as u

from polaris_lab.clouds.simulation import SimulationCube
from polaris_lab.radiative_transfer.choices import (
    check_abundance,
    check_background,
    check_choice,
    check_dispersion,
    check_lines,
    check_velocity,
    default_velocity,
)
from polaris_lab.radiative_transfer.job import ChannelRangeWarning, Job, VelocityStepWarning
from polaris_lab.radiative_transfer.lines import Line
from polaris_lab.radiative_transfer.ppv import PPVCube
from polaris_lab.radiative_transfer.rays import face_of
from polaris_lab.radiative_transfer.solve import Scheme

__all__ = ["ChannelRangeWarning", "VelocityStepWarning", "optical_depth", "synthesize_ppv"]

_logger = logging.getLogger(__name__)

CMB = 2.72548 * u.K


def synthesize_ppv(
    cube: SimulationCube,
    line: Line | Sequence[Line],
    *,
    abundance: Any,
    axis: str = "z",
    velocity: u.Quantity | None = None,
    turbulent_dispersion: Any = None,
    in_cell_velocity: str = "linear",
    background: u.Quantity = CMB,
    channel: str = "centre",
    precision: str = "float32",
    backend: str = "numba",
    device: Any = None,
    output: str | Path | Sequence[str | Path] | None = None,
    overwrite: bool = False,
    client: Any = None,
    progress: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> PPVCube | list[PPVCube]:
    """Compute the position-position-velocity cube of a line, in LTE.

    Parameters
    ----------
    cube : SimulationCube
        Density [cm^-3], temperature [K] and the velocity [km/s] along `axis`; a cube opened from a file is
        read in blocks of rays, so that memory stays bounded.
    line : Line or sequence of Line
        Several lines are computed in one pass over the cube and come back as a list.
    abundance : float, ndarray or sequence of them
        Molecules per hydrogen nucleus: a number, or an array like the density (see
        :mod:`polaris_lab.radiative_transfer.abundance` for freeze-out and photodissociation). Several lines
        may have one each.
    axis : {"z", "y", "x"}
        Line of sight; the observer sits before its index 0.
    velocity : Quantity, optional
        Centres of the channels, ascending. By default they cover the gas with two channels a line width; the
        choice is logged and stands in the result.
    turbulent_dispersion : Quantity, ndarray or "gradient", optional
        One-dimensional dispersion sigma of motion below the cell: a velocity, an array [km/s] like the
        density, or "gradient": |v(i+1) - v(i-1)| / 2 / sqrt(12), the rms of a velocity linear through the
        cell, which is the report's scheme and needs ``in_cell_velocity="constant"``.
    in_cell_velocity : {"linear", "constant"}
        "linear": from face to face of each cell, the profile being a difference of error functions (exact).
        "constant": the report's scheme, wrong where neighbours differ by more than half a line width.
    background : Quantity
        Temperature of the black body behind the cloud; 0 K for none.
    channel : {"centre", "average"}
        Sample the centre of each channel or average over its width.
    precision : {"float32", "float64"}
        Of the computation and of the result; float32 is good to 2e-5 of the peak.
    backend : {"numba", "torch"}
        Compiled CPU kernels, or torch on `device`.
    device : torch.device or str, optional
        For the torch back end; by default "cpu".
    output : path or sequence of paths, optional
        A ``.fits`` or ``.zarr`` file to write block by block, one a line; the result then reads from it.
    overwrite : bool
        Replace existing outputs.
    client : dask.distributed.Client, optional
        A cluster on which the blocks are computed.
    progress : bool
        Show a bar when the cube takes more than one block.
    on_progress : callable, optional
        Called with the rays that are solved and those there are, at the start and after every block. What it
        raises stops the work and leaves no output behind.

    Returns
    -------
    PPVCube or list of PPVCube
        `.data` has shape (channels, rows, columns) in K, rows and columns being the two axes that remain.

    Raises
    ------
    ValueError
        If the cube carries no temperature or no velocity along `axis`, a value is out of range, shapes
        differ, or choices contradict each other.
    TypeError, UnitsError
        If `velocity`, `background` or `turbulent_dispersion` come without a unit or with a wrong one.

    Warns
    -----
    VelocityStepWarning
        With "constant" where velocity steps exceed half a line width.
    ChannelRangeWarning
        If more than 1 % of the mass moves outside the channels.

    Examples
    --------
    >>> import numpy as np
    >>> still = np.zeros((8, 4, 4))
    >>> cloud = SimulationCube(
    ...     still + 1e3, cell_size=0.1 * u.pc, temperature=still + 10, velocity={"z": still}
    ... )
    >>> ppv = synthesize_ppv(
    ...     cloud, Line.named("13CO"), abundance=1.4e-6, velocity=np.linspace(-1, 1, 41) * u.km / u.s
    ... )
    >>> ppv.data.shape
    (41, 4, 4)
    """
    lines, several = check_lines(line)
    job = _prepare(
        cube,
        lines,
        abundance=abundance,
        axis=axis,
        velocity=velocity,
        turbulent_dispersion=turbulent_dispersion,
        in_cell_velocity=in_cell_velocity,
        background=background,
        channel=channel,
        precision=precision,
        backend=backend,
        device=device,
        quantity="brightness",
    )
    results = job.run(
        output=output, overwrite=overwrite, client=client, progress=progress, on_progress=on_progress
    )
    return results if several else results[0]


def optical_depth(
    cube: SimulationCube,
    line: Line,
    *,
    abundance: Any,
    axis: str = "z",
    velocity: u.Quantity | None = None,
    turbulent_dispersion: Any = None,
    in_cell_velocity: str = "linear",
    channel: str = "centre",
    precision: str = "float32",
    progress: bool = True,
) -> PPVCube:
    """Compute the total optical depth of a line along each ray and channel (choices as in :func:`synthesize_ppv`).

    Returns
    -------
    PPVCube
        `.data` is tau, dimensionless.

    Raises
    ------
    TypeError
        If several lines are given: each has an optical depth of its own.
    """
    lines, several = check_lines(line)
    if several:
        raise TypeError(
            f"line: expected one line, got {len(lines)}; call optical_depth once for each of them"
        )
    job = _prepare(
        cube,
        lines,
        abundance=abundance,
        axis=axis,
        velocity=velocity,
        turbulent_dispersion=turbulent_dispersion,
        in_cell_velocity=in_cell_velocity,
        background=CMB,
        channel=channel,
        precision=precision,
        backend="numba",
        device=None,
        quantity="optical_depth",
    )
    return job.run(progress=progress)[0]


def _prepare(cube: SimulationCube, lines: tuple[Line, ...], **choices: Any) -> Job:
    """Check every choice and return the job."""
    linear = check_choice(choices["in_cell_velocity"], "in_cell_velocity", ("linear", "constant")) == "linear"
    average = check_choice(choices["channel"], "channel", ("centre", "average")) == "average"
    precision = check_choice(choices["precision"], "precision", ("float32", "float64"))
    backend = check_choice(choices["backend"], "backend", ("numba", "torch"))
    face = face_of(cube.shape, choices["axis"])
    if cube.temperature is None:
        raise ValueError(
            "cube: expected a temperature [K] for the level populations, got a cube without one; "
            "build it with temperature=array, or for isothermal gas temperature=np.full(density.shape, 10.0)"
        )
    motion = cube.velocity_along(face.axis)
    abundances = check_abundance(choices["abundance"], cube.shape, len(lines))
    dispersion = check_dispersion(choices["turbulent_dispersion"], cube.shape, linear)
    background = check_background(choices["background"])
    if choices["velocity"] is None:
        channels = default_velocity(cube, face, lines, dispersion)
        _logger.info(
            "velocity: %d channels of %.3g km/s from %.4g to %.4g km/s, chosen from the cube",
            len(channels),
            channels[1] - channels[0],
            channels[0],
            channels[-1],
        )
    else:
        channels = check_velocity(choices["velocity"])
    scheme = Scheme(
        lines=lines,
        channels=tuple(channels.tolist()),
        cell_cm=cube.cell_size_cm,
        background=background,
        linear=linear,
        average=average,
        precision=precision,
        quantity=choices["quantity"],
        peaks=(0.0,) * len(lines),
    )
    return Job(cube, face, motion, abundances, dispersion, scheme, backend, choices["device"])
