"""Parts of a map by sky coordinates: cut-outs, named boxes, DS9 regions in and out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.nddata import Cutout2D
from astropy.nddata.utils import NoOverlapError, PartialOverlapError

from polaris_lab.config import write_bytes
from polaris_lab.observations.maps import Observation
from polaris_lab.observations.places import Box, box

if TYPE_CHECKING:
    from regions import Regions, SkyRegion


def cutout(
    observation: Observation,
    where: str | Box | SkyCoord,
    size: u.Quantity | None = None,
    *,
    mode: str = "trim",
) -> Observation:
    """Cut a part out of a map.

    Parameters
    ----------
    observation : Observation
    where : str, Box or SkyCoord
        A region of the report by name (:data:`~polaris_lab.observations.places.BOXES`), a box, or a centre.
    size : Quantity, optional
        With a centre: side of the cut-out, or (height, width) along the rows and columns of the map; an angle, or a length
        at the distance of the cloud.
    mode : {"trim", "strict", "partial"}
        What happens at the edge of the map, as in :class:`astropy.nddata.Cutout2D`: the part inside, an error, or blank
        pixels beyond.

    Returns
    -------
    Observation
        With the coordinates of its own pixels.

    Raises
    ------
    ValueError
        If the region is unknown or lies outside the map, or `size` is missing or not needed.
    UnitsError
        If `size` is neither an angle nor a length.
    """
    if isinstance(where, str):
        where = box(where)
    if isinstance(where, Box):
        if size is not None:
            raise ValueError(
                f"size: expected none with the region {where.name!r}, which has its own, got {size}"
            )
        centre = SkyCoord(where.longitude_deg, where.latitude_deg, unit="deg", frame=where.frame)
        size = _extent_on_map(observation, where, centre)
    else:
        centre = where
        if not isinstance(centre, SkyCoord) or not centre.isscalar:
            raise ValueError(f"where: expected a name, a box or one SkyCoord, got {where!r}")
        if size is None:
            raise ValueError(
                "size: expected the side of the cut-out, for example 30 * u.arcmin or 2 * u.pc, got none"
            )
        size = _angle(size, observation)
    return _cut(observation, centre, size, mode)


def region_mask(observation: Observation, region: SkyRegion | Regions) -> np.ndarray:
    """Return which pixels have their centre inside a sky region, or inside any of several.

    Parameters
    ----------
    observation : Observation
    region : SkyRegion or Regions
        Of the ``regions`` package, such as those of :func:`read_regions`.

    Returns
    -------
    ndarray of bool, shape (ny, nx)

    Raises
    ------
    ValueError
        If no pixel lies inside.
    """
    inside = np.zeros(observation.shape, bool)
    for part in _each(region):
        where, contained = _contained(part, observation)
        inside[where] |= contained
    if not inside.any():
        raise ValueError(
            "region: expected one that covers pixels of the map, got one that lies outside or between pixels"
        )
    return inside


def _contained(part: Any, observation: Observation) -> tuple[tuple[slice, slice], np.ndarray]:
    """Return the rows and columns around one region, and which of their pixels it holds."""
    from regions import PixCoord

    pixels = part.to_pixel(observation.wcs)
    where = slice(0, observation.shape[0]), slice(0, observation.shape[1])
    box = getattr(pixels, "bounding_box", None)
    if box is not None and part.meta.get("include", True):  # one that excludes holds what lies around it
        ends = ((box.iymin, box.iymax), (box.ixmin, box.ixmax))
        where = tuple(
            slice(*np.clip(pair, 0, n).tolist()) for pair, n in zip(ends, observation.shape, strict=True)
        )
    yy, xx = np.mgrid[where]
    return where, pixels.contains(PixCoord(xx, yy)) if yy.size else np.zeros(yy.shape, bool)


def read_regions(path: str | Path) -> Regions:
    """Read a DS9 region file (``.reg``).

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it holds no region in sky coordinates.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a DS9 region file, got nothing there")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: expected a DS9 region file, got one that cannot be read ({error})"
        ) from error
    return _parsed(text, str(path))


def parse_regions(text: str) -> Regions:
    """Return the regions that a text describes in the words of DS9, such as ``"icrs; circle(52.3, 31.2, 0.1)"``.

    Angles without a unit are degrees.

    Raises
    ------
    ValueError
        If it holds no region in sky coordinates.

    Examples
    --------
    >>> len(parse_regions("icrs; box(52.3, 31.2, 0.2, 0.1, 0)"))
    1
    """
    return _parsed(text, "region")


def _parsed(text: str, where: str) -> Regions:
    from regions import PixelRegion, Regions

    try:
        found = Regions.parse(text, format="ds9")
    except Exception as error:  # the parser raises many kinds
        raise ValueError(
            f"{where}: expected regions as DS9 writes them, got some that cannot be read ({error})"
        ) from error
    sky = Regions([part for part in found if not isinstance(part, PixelRegion)])
    if not len(sky):
        raise ValueError(
            f"{where}: expected regions in sky coordinates (fk5, icrs, galactic), got {len(found)} others; write for "
            'example "icrs; circle(52.3, 31.2, 0.1)", or save them in DS9 with "Coordinate System: WCS"'
        )
    return sky


def write_regions(regions: SkyRegion | Regions, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write regions as a DS9 file, whole or not at all.

    Raises
    ------
    FileExistsError
        If the file exists and `overwrite` is not set.
    """
    from regions import Regions

    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: expected a new file, got one that exists; overwrite=True replaces it")
    return write_bytes(path, Regions(_each(regions)).serialize(format="ds9").encode())


def box_region(name: str | Box) -> SkyRegion:
    """Return a named box as a sky region, for plots, masks and DS9."""
    from regions import RectangleSkyRegion

    found = box(name) if isinstance(name, str) else name
    centre = SkyCoord(found.longitude_deg, found.latitude_deg, unit="deg", frame=found.frame)
    return RectangleSkyRegion(centre, found.width_deg * u.deg, found.height_deg * u.deg)


def _each(region: Any) -> list[Any]:
    from regions import Regions

    return list(region) if isinstance(region, Regions | list | tuple) else [region]


def _angle(size: u.Quantity, observation: Observation) -> u.Quantity:
    """Return a size as an angle."""
    size = u.Quantity(size)
    if size.unit.is_equivalent(u.deg):
        angle = size.to(u.deg)
    elif size.unit.is_equivalent(u.pc):
        angle = np.degrees(size.to_value(u.pc) / observation.distance_pc) * u.deg
    else:
        raise u.UnitsError(
            f"size: expected an angle or a length, got {size}; write for example 30 * u.arcmin"
        )
    if angle.size not in (1, 2) or not (angle > 0).all():
        raise ValueError(f"size: expected one or two positive sizes, got {size}")
    return angle


def _extent_on_map(observation: Observation, where: Box, centre: SkyCoord) -> u.Quantity:
    """Return height and width of the rows and columns that hold a box, whatever the rotation of the map."""
    east = np.array([-1, 1, 1, -1]) * where.width_deg / 2
    north = np.array([-1, -1, 1, 1]) * where.height_deg / 2
    corners = centre.spherical_offsets_by(east * u.deg, north * u.deg)
    x, y = observation.wcs.world_to_pixel(corners)
    if not np.isfinite([x, y]).all():
        raise ValueError(_outside(observation, centre, where.name))
    x0, y0 = observation.wcs.world_to_pixel(centre)
    pixel_y, pixel_x = (side / observation.distance_pc for side in observation.pixel_sides_pc)
    height, width = 2 * np.abs(y - y0).max() * pixel_y, 2 * np.abs(x - x0).max() * pixel_x
    return np.degrees([height, width]) * u.deg


def _cut(observation: Observation, centre: SkyCoord, size: u.Quantity, mode: str) -> Observation:
    """Return the cut-out, in pixels, so that the pixel scale at the centre of the map decides."""
    if mode not in ("trim", "strict", "partial"):
        raise ValueError(f'mode: expected "trim", "strict" or "partial", got {mode!r}')
    height, width = np.broadcast_to(size.to_value(u.rad), 2)
    pixel_y, pixel_x = (side / observation.distance_pc for side in observation.pixel_sides_pc)
    pixels = tuple(max(1, round(float(n))) for n in (height / pixel_y, width / pixel_x))
    x, y = observation.wcs.world_to_pixel(centre)
    if not np.isfinite([x, y]).all():
        raise ValueError(_outside(observation, centre, "cut-out"))
    choices = {"wcs": observation.wcs, "mode": mode, "fill_value": np.nan, "copy": True}
    try:
        part = Cutout2D(observation.column_density, (float(x), float(y)), pixels, **choices)
        error = observation.error
        error = None if error is None else Cutout2D(error, (float(x), float(y)), pixels, **choices).data
    except (NoOverlapError, PartialOverlapError) as problem:
        raise ValueError(_outside(observation, centre, "cut-out")) from problem
    if not np.isfinite(part.data).any():
        raise ValueError(
            f"cut-out: expected valid pixels around {centre.to_string('hmsdms')}, got blank ones only"
        )
    return observation.with_map(part.data, wcs=part.wcs, error=error)


def _outside(observation: Observation, centre: SkyCoord, what: str) -> str:
    ny, nx = observation.shape
    middle = observation.wcs.pixel_to_world((nx - 1) / 2, (ny - 1) / 2)
    return (
        f"{what}: expected a place on the map, whose centre is {middle.icrs.to_string('hmsdms', precision=0)} (ICRS), got "
        f"{centre.icrs.to_string('hmsdms', precision=0)}, which lies outside or across its edge"
    )
