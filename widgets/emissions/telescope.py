"""The telescope of the emission explorer: beam, noise and velocity laid over a line cube that is there already."""

from __future__ import annotations

from typing import Any

from astropy import units as u

from polaris_lab.radiative_transfer import instrument, moments


class Telescope:
    """Remembers the last cube behind a beam, so that a slider for the noise need not convolve again.

    Examples
    --------
    >>> import numpy as np
    >>> from polaris_lab import PPVCube
    >>> point = np.zeros((2, 9, 9))
    >>> point[:, 4, 4] = 1.0
    >>> ppv, mask = Telescope().see(PPVCube(point, [0.0, 1.0], pixel_size=10 * u.arcsec), beam=30.0, systemic=2.0)
    >>> ppv.velocity.tolist(), bool(ppv.data[0, 4, 4] < 0.2), mask
    ([2.0, 3.0], True, None)
    """

    def __init__(self) -> None:
        self._last: tuple[Any, ...] = (None, None, None, None)

    def see(
        self,
        base: Any,
        *,
        beam: float = 0.0,
        noise: float = 0.0,
        seed: int = 0,
        distance: float = 300.0,
        systemic: float = 0.0,
    ) -> tuple[Any, Any]:
        """Return a cube as it is seen, and where it holds signal (None: everywhere, without noise).

        Parameters
        ----------
        base : PPVCube
        beam : float
            Full width at half maximum [arcsec], 0 for none.
        noise : float
            Rms in a channel [K], 0 for none; `seed` chooses it.
        distance : float
            [pc]
        systemic : float
            Added to all velocities [km/s].

        Raises
        ------
        ValueError
            If the cube has no pixel size to compare a beam with.
        """
        ppv, mask = base, None
        if beam:
            if self._last[0] is not base or self._last[1:3] != (beam, distance):
                blurred = instrument.convolve_beam(base, beam * u.arcsec, distance=distance * u.pc)
                self._last = base, beam, distance, blurred
            ppv = self._last[3]
        if noise:
            ppv = instrument.add_noise(ppv, noise * u.K, seed=seed)
            mask = moments.signal_mask(ppv, noise=noise)
        if systemic:
            ppv = ppv.with_data(ppv.data, velocity=ppv.velocity + systemic)
        return ppv, mask
