"""The pictures of the ray marcher without graphics hardware: torch interpolates, the same rays, the same sums.

Where a browser has no WebGL2 the page shows these, and tests hold both against each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from widgets.volume.camera import Camera

MODES = ("composite", "maximum", "emission")
"""Ways of putting a ray together."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What a picture is made of, apart from the camera; the same as the browser gets.

    Attributes
    ----------
    texture : ndarray, shape (depth, rows, columns), uint8
        Values on their scale.
    lut : ndarray, shape (2, 256, 4), uint8
        Colours and opacities on the scale; colours alone, of the brightness.
    half : ndarray
        Half the sides of the box along x, y, z.
    fill : tuple of float
        The part of the texture's sides along x, y, z that the box fills.
    mode : str
        One of :data:`MODES`.
    clip_low, clip_high : tuple of float
        Corners of the part that is seen, x, y, z.
    stride : float
        Longest step [longest side of the box].
    density : float
        Opacity 1 of the table is this much optical depth per side of the box.
    gas : ndarray, optional
        float16 of shape (depth, rows, columns, 4): v_z, v_y, v_x [km/s] and opacity; with `thin` (depth, rows,
        columns): what is added up along a ray.
    kelvin : ndarray, optional
        Temperature [K], float16.
    line : dict
        Numbers of the emission, named as the shader's: channel, thermal, broad, peak, transition, behind, cell, thin_step.
    """

    texture: np.ndarray
    lut: np.ndarray
    half: np.ndarray
    fill: tuple[float, float, float]
    mode: str
    clip_low: tuple[float, float, float]
    clip_high: tuple[float, float, float]
    stride: float
    density: float
    gas: np.ndarray | None = None
    kelvin: np.ndarray | None = None
    gas_fill: tuple[float, float, float] = (1.0, 1.0, 1.0)
    thin: bool = False
    line: dict[str, float] = field(default_factory=dict)


def picture(scene: Scene, camera: Camera, *, width: int, height: int) -> np.ndarray:
    """Return a picture, shape (height, width, 3) uint8, the first row on top.

    Raises
    ------
    ValueError
        If the mode is emission and the scene holds no gas.
    """
    values = march(scene, camera, width=width, height=height)
    if scene.mode != "composite":
        row = 0 if scene.mode == "maximum" else 1
        seen = np.clip(values / (scene.line["peak"] if scene.mode == "emission" else 1.0), 0, 1)
        values = _colours(scene.lut[row, :, :3] / 255.0, seen)
        values[np.isnan(seen)] = 0.0
    return np.round(255 * np.clip(values[::-1], 0, 1)).astype(np.uint8)


def march(scene: Scene, camera: Camera, *, width: int, height: int) -> np.ndarray:
    """Return what rays gather, the first row the lowest.

    Returns
    -------
    ndarray
        (height, width, 3) colours in the mode "composite"; else (height, width): the largest value on its scale, or
        the brightness [K], NaN for rays that miss the box.
    """
    import torch

    if scene.mode == "emission" and scene.gas is None:
        raise ValueError("mode: expected gas to emit, got a scene without; make it with a line")
    origin, ray = camera.rays(width, height)
    with np.errstate(divide="ignore", invalid="ignore"):
        safe = np.where(np.abs(ray) < 1e-9, 1e-9, ray)
        a, b = (np.array(scene.clip_low) - origin) / safe, (np.array(scene.clip_high) - origin) / safe
    begin = np.maximum(np.minimum(a, b).max(-1), 0.0)
    length = np.maximum(a, b).min(-1) - begin
    hit = length > 1e-6
    steps = np.clip(np.ceil(length[hit] / scene.stride - 1e-3), 1, 4096).astype(int)
    order = np.argsort(-steps, kind="stable")  # the longest rays first: those that go on are always in front
    rays = _Rays(
        *(torch.as_tensor(v[hit][order], dtype=torch.float32) for v in (origin, ray, begin, length)),
        torch.as_tensor(steps[order]),
    )
    gather = {"composite": _composite, "maximum": _maximum, "emission": _emission}[scene.mode]
    with torch.inference_mode():
        found = gather(scene, rays).numpy()
    back = np.empty_like(found)
    back[order] = found
    whole = np.full((height, width, *found.shape[1:]), 0.0 if scene.mode == "composite" else np.nan)
    whole[hit] = back
    return whole


@dataclass(eq=False)
class _Rays:
    """Rays that hit the box, the longest first."""

    origin: Any
    direction: Any
    begin: Any
    length: Any
    steps: Any

    def walk(self) -> Any:
        """Yield, step by step, how many rays go on, the length of their steps and a function of the place in a step."""
        import torch

        most = int(self.steps[0]) if len(self.steps) else 0
        going = torch.searchsorted(
            -self.steps, -torch.arange(most), right=False
        )  # rays with more than i steps
        ds = self.length / self.steps
        for i in range(most):
            n = int(going[i])

            def at(part: float, n: int = n, i: int = i) -> Any:
                return self.origin[:n] + self.direction[:n] * (self.begin[:n] + (i + part) * ds[:n])[:, None]

            yield n, ds[:n], at


def _sampler(values: Any, half: np.ndarray, fill: tuple[float, float, float]) -> Callable[[Any], Any]:
    """Return linear interpolation at places (n, 3) in x, y, z, as the graphics card does it: (n,) or (n, C)."""
    import torch
    from torch.nn.functional import grid_sample

    volume = torch.as_tensor(np.ascontiguousarray(values, np.float32))
    single = volume.ndim == 3
    volume = volume[None] if single else volume.movedim(-1, 0)  # (C, D, H, W)
    sides, part = torch.as_tensor(half, dtype=torch.float32), torch.tensor(fill, dtype=torch.float32)

    def sample(places: Any) -> Any:
        grid = (places + sides) / sides * part - 1  # (n, 3)
        found = grid_sample(
            volume[None], grid[None, None, None], mode="bilinear", padding_mode="border", align_corners=False
        )
        found = found[0, :, 0, 0]  # (C, n)
        return found[0] if single else found.movedim(0, -1)

    return sample


def _colours(table: Any, at: Any) -> Any:
    """Return the linearly interpolated rows of a table of 256 at positions from 0 to 1."""
    floor = np.clip(np.nan_to_num(at) * 255, 0, 255)
    low = np.minimum(floor.astype(int), 254)
    part = (floor - low)[..., None]
    return table[low] * (1 - part) + table[low + 1] * part


def _composite(scene: Scene, rays: _Rays) -> Any:
    import torch

    sample = _sampler(scene.texture, scene.half, scene.fill)
    table = torch.as_tensor(scene.lut[0], dtype=torch.float32) / 255
    colour, clear = torch.zeros(len(rays.steps), 3), torch.ones(len(rays.steps))
    for n, ds, at in rays.walk():
        floor = sample(at(0.5)).clamp(0, 255)
        low = floor.long().clamp(max=254)
        part = (floor - low)[:, None]
        c = table[low] * (1 - part) + table[low + 1] * part
        alpha = -torch.expm1(-c[:, 3] * scene.density * ds)
        colour[:n] += (clear[:n] * alpha)[:, None] * c[:, :3]
        clear[:n] *= 1 - alpha
    return colour


def _maximum(scene: Scene, rays: _Rays) -> Any:
    import torch

    sample = _sampler(scene.texture, scene.half, scene.fill)
    most = torch.zeros(len(rays.steps))
    for n, _ds, at in rays.walk():
        most[:n] = torch.maximum(most[:n], sample(at(0.5)))
    return most / 255


def _emission(scene: Scene, rays: _Rays) -> Any:
    import torch

    gas = _sampler(scene.gas, scene.half, scene.gas_fill)
    brightness = torch.zeros(len(rays.steps))
    if scene.thin:
        for n, ds, at in rays.walk():
            brightness[:n] += gas(at(0.5)) * ds * scene.line["thin_step"]
        return brightness
    kelvin = _sampler(scene.kelvin, scene.half, scene.gas_fill)
    line, tau = scene.line, torch.zeros(len(rays.steps))
    along = rays.direction.flip(-1)  # z, y, x
    before = (gas(rays.origin + rays.direction * rays.begin[:, None])[:, :3] * along).sum(-1)
    for n, ds, at in rays.walk():
        middle = at(0.5)
        after = (gas(at(1.0))[:, :3] * along[:n]).sum(-1)
        warm = kelvin(middle)
        inverse = torch.rsqrt(line["broad"] + line["thermal"] * warm)
        shape = _profile(before[:n] - line["channel"], after - line["channel"], inverse)
        kappa = gas(middle)[:, 3] / math.sqrt(math.pi) * inverse * shape * ds / line["cell"]
        source = line["transition"] / torch.expm1(line["transition"] / warm) - line["behind"]
        brightness[:n] += source * -torch.expm1(-kappa) * torch.exp(-tau[:n])
        tau[:n] += kappa
        before = after
    return brightness


def _profile(first: Any, last: Any, inverse: Any) -> Any:
    """Mean of exp(-(u / a)^2) over velocities from face to face of a step."""
    import torch

    x0, x1 = first * inverse, last * inverse
    step, middle = x1 - x0, 0.5 * (x0 + x1)
    gentle = step.abs() < 0.05
    safe = torch.where(gentle, torch.ones_like(step), step)
    steep = 0.5 * math.sqrt(math.pi) * (torch.erf(x1) - torch.erf(x0)) / safe
    return torch.where(gentle, torch.exp(-middle * middle), steep.clamp_min(0.0))
