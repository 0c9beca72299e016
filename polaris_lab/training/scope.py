"""`Scope`: which maps a network may be given, kept in the folder of its run."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING

from polaris_lab.config import SCHEMA, check_schema, from_dict, read_json, to_dict, write_json

if TYPE_CHECKING:
    from polaris_lab.training.run import Run

FILE = "scope.json"
"""Its name in the folder of a run."""


@dataclasses.dataclass(frozen=True)
class Scope:
    """Pixels and beams of the maps that a network was made for.

    A network counts lengths in pixels. With all lengths times mu and the columns kept, n falls as 1/mu: so one that was
    shown gas at many scales of its pixels reads a map of any pixel size as it is, and the density is scaled by the
    ratio of its own pixel to the map's.

    Parameters
    ----------
    pixel_range_pc : (float, float)
        Pixels that are read as they are; finer ones are averaged to the lower end, coarser ones refused.
    resolved_pc : (float, float)
        Pixels at which gas of the training clouds was seen. Elsewhere the answer extrapolates, and says so.
    widest_beam_pixels : float
        Full width at half maximum of the beam up to which pixels are taken as they are; with a wider one, they are averaged.
    recipe : str
        Fingerprint of the recipe that it came of.

    Raises
    ------
    ValueError
        If a range is not one.
    """

    pixel_range_pc: tuple[float, float]
    resolved_pc: tuple[float, float]
    widest_beam_pixels: float
    recipe: str = ""

    def __post_init__(self) -> None:
        for name in ("pixel_range_pc", "resolved_pc"):
            low, high = getattr(self, name)
            object.__setattr__(self, name, (float(low), float(high)))
            if not 0 < low < high < math.inf:
                raise ValueError(f"{name}: expected two positive lengths in rising order, got {low}, {high}")
        if not self.widest_beam_pixels >= 1:
            raise ValueError(f"widest_beam_pixels: expected a pixel or more, got {self.widest_beam_pixels}")

    def working_pixel(self, pixel_pc: float, beam_pc: float | None = None) -> float:
        """Return the pixel [pc] that a map is to be averaged to: its own where nothing speaks against it.

        Examples
        --------
        >>> scope = Scope((0.01, 0.2), (0.05, 0.2), 4.0)
        >>> scope.working_pixel(0.02), scope.working_pixel(0.004), scope.working_pixel(0.02, beam_pc=0.2)
        (0.02, 0.01, 0.05)
        """
        wanted = max(pixel_pc, self.pixel_range_pc[0])
        return wanted if beam_pc is None else max(wanted, beam_pc / self.widest_beam_pixels)

    def extrapolation(self, pixel_pc: float) -> str:
        """Return the sentence that a map of pixels that no training gas resolves must carry; else ""."""
        low, high = self.resolved_pc
        if low * 0.99 <= pixel_pc <= high * 1.01:
            return ""
        return (
            f"EXTRAPOLATED in scale: pixels of {pixel_pc:.3g} pc, the training gas was seen at {low:g}-{high:g} pc; that "
            "structure looks alike at other scales is assumed"
        )

    def write(self, folder: str | Path) -> Path:
        """Write it into the folder of a run."""
        return write_json(Path(folder) / FILE, {"schema": SCHEMA, **to_dict(self)})


def scope_of(run: Run) -> Scope | None:
    """Return the scope of a run, None where it was made for one pixel size."""
    path = Path(run.path) / FILE if getattr(run, "path", None) is not None else None
    if path is None or not path.exists():
        return None
    values = dict(read_json(path))
    check_schema(values.pop("schema", None), str(path))
    return from_dict(Scope, values, where=str(path))


def length_ratio(run: Run, pixel_size_pc: float) -> float:
    """Return the factor from lengths at a pixel size to those that a network counts in: 1 for a run without a scope.

    Densities are multiplied by it, and so are lengths (the depth) before the network sees them.

    Raises
    ------
    ValueError
        If the pixels are outside of the range.
    """
    scope = scope_of(run)
    if scope is None:
        return 1.0
    low, high = scope.pixel_range_pc
    if not low * (1 - 1e-6) <= pixel_size_pc <= high * (1 + 1e-6):
        raise ValueError(
            f"pixel_size: expected {low:g} to {high:g} pc for {run.path.name!r}, got {pixel_size_pc:.4g} pc; average the maps "
            "to pixels in this range"
        )
    return run.pixel_size_pc / pixel_size_pc
