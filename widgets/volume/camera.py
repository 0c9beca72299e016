"""Where a volume is looked at from: the one camera of the browser, the torch projector and PyVista."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

SLOPE = math.tan(math.radians(20.0))
"""Half the height of the field of view, 40 degrees, over its distance."""

VIEWS = {
    "oblique": (225.0, 25.0),
    "along z": (270.0, -90.0),
    "along y": (90.0, 0.0),
    "along x": (0.0, 0.0),
}
"""Azimuth and elevation of the observer's named views; the last three are those of :func:`polaris_lab.column_density`."""


@dataclass(frozen=True)
class Camera:
    """An eye that looks at a point of a box whose longest side is 1.

    The axes x, y, z are right-handed, the box is centred on 0, and ``right = towards x up``: looking along an axis
    shows what :func:`polaris_lab.clouds.sky_face` shows, not mirrored.

    Parameters
    ----------
    azimuth, elevation : float
        Of the look [degrees]: at (0, 0) the eye looks along x with z up; a positive elevation looks from above.
    distance : float
        From the eye to the target [longest side].
    target : (float, float, float)
        x, y, z of the point that is turned about.
    perspective : bool
        Rays from the eye; else parallel ones, over the same height at the target.

    Examples
    --------
    >>> camera = Camera(*VIEWS["along z"])
    >>> [[round(float(v)) + 0 for v in vector] for vector in camera.frame]
    [[0, 0, 1], [-1, 0, 0], [0, 1, 0]]
    """

    azimuth: float = 225.0
    elevation: float = 25.0
    distance: float = 2.6
    target: tuple[float, float, float] = (0.0, 0.0, 0.0)
    perspective: bool = True

    @property
    def frame(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the unit vectors (x, y, z) towards, right and up."""
        azimuth, elevation = math.radians(self.azimuth), math.radians(self.elevation)
        ca, sa, ce, se = math.cos(azimuth), math.sin(azimuth), math.cos(elevation), math.sin(elevation)
        return np.array([ce * ca, ce * sa, -se]), np.array([sa, -ca, 0.0]), np.array([se * ca, se * sa, ce])

    @property
    def eye(self) -> np.ndarray:
        """Return where the eye is (x, y, z)."""
        return np.array(self.target) - self.distance * self.frame[0]

    def rays(self, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """Return origins and unit directions, shape (height, width, 3) in x, y, z; the first row is the lowest."""
        towards, right, up = self.frame
        v = (2 * (np.arange(height) + 0.5) / height - 1) * SLOPE
        u = (2 * (np.arange(width) + 0.5) / width - 1) * SLOPE * width / height
        across = u[None, :, None] * right + v[:, None, None] * up  # (height, width, 3)
        if not self.perspective:
            start = np.array(self.target) + self.distance * across - 8 * towards
            return start, np.broadcast_to(towards, start.shape)
        rays = towards + across
        return np.broadcast_to(self.eye, rays.shape), rays / np.linalg.norm(rays, axis=-1, keepdims=True)

    @classmethod
    def from_view(cls, view: Mapping[str, Any]) -> Camera:
        """Return the camera that the browser's component tells of."""
        return cls(
            float(view["azimuth"]),
            float(view["elevation"]),
            float(view["distance"]),
            tuple(float(v) for v in view["target"]),
            bool(view["perspective"]),
        )

    def to_view(self) -> dict[str, Any]:
        """Return it as the browser's component takes it."""
        return {
            "azimuth": float(self.azimuth),
            "elevation": float(self.elevation),
            "distance": float(self.distance),
            "target": [float(v) for v in self.target],
            "perspective": bool(self.perspective),
        }
