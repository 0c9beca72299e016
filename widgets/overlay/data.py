"""What the overlay shows and where it comes from: maps, predictions and cores of a workspace, and a sample for newcomers."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table

from polaris_lab.observations.headers import quiet, read_image
from polaris_lab.observations.places import BOXES, PLACES, known_distance
from widgets import run_watcher
from widgets.overlay.sky_ticks import View

MAPS = (".fits", ".fits.gz", ".fit", ".fits.fz")
"""Endings of maps and of predictions."""

CATALOGUES = (".csv", ".ecsv", ".txt", ".tsv", ".vot")
"""Endings of catalogues."""

MOST_SEARCHED = 250_000
"""Pixels of a map that is searched for cores while its page waits."""

SPECIES = {
    "N(H₂), cm⁻²": "H2", "N(H), cm⁻²": "H", "A_V, mag": "A_V", "A_K, mag": "A_K", "τ (needs a law: use Python)": "tau",
}  # fmt: skip
"""What a map may count, in words."""

SAMPLE_LINES = """cube = lab.sample_cloud()
observation = lab.observations.observe_cube(
    cube, distance=300 * u.pc, beam_fwhm=40 * u.arcsec, noise=0.01, blank_corner=0.2
).observation"""

FIND_LINES = """level = np.nanmedian(observation.column_density) / u.cm**2
cores = lab.observations.cores.find_cores(
    observation.column_density, observation.wcs, distance=observation.distance, minimum=2 * level, contrast=level
)"""


@dataclass(frozen=True)
class Sources:
    """Lines of Python that give what is shown."""

    observation: str = ""
    prediction: str = ""
    cores: str = ""
    tiles: str = ""


AT_HAND = Sources(*["# observation, prediction, cores, tiles: those that you have at hand"] * 4)
"""Of what was handed over in Python."""


@functools.cache
def sample() -> tuple[Any, Any, Table, Sources]:
    """Return an observation of a simulated cloud, its estimate and its cores: made once, shared, only read."""
    import polaris_lab as lab

    observation = lab.observations.observe_cube(
        lab.sample_cloud(), distance=300 * u.pc, beam_fwhm=40 * u.arcsec, noise=0.01, blank_corner=0.2
    ).observation
    prediction = lab.observations.predict_classical.estimate_map(observation, "constrained_diffusion")
    lines = estimate_lines("constrained_diffusion")
    return observation, prediction, find_cores(observation), Sources(SAMPLE_LINES, lines, FIND_LINES)


def find_cores(observation: Any) -> Table:
    """Return the leaves of the map's dendrogram that rise a median above what they merge into.

    Raises
    ------
    ValueError
        If the map is so large that a page would stand still meanwhile, or nothing rises.
    ImportError
        Without astrodendro.
    """
    import polaris_lab as lab

    if observation.column_density.size > MOST_SEARCHED:
        raise ValueError(
            f"map: expected at most {MOST_SEARCHED} pixels to look for cores on a page, got {observation.column_density.size}; "
            "cut a part out (lab.observations.regions.cutout), or call find_cores in Python"
        )
    level = np.nanmedian(observation.column_density) / u.cm**2
    return lab.observations.cores.find_cores(
        observation.column_density,
        observation.wcs,
        distance=observation.distance,
        minimum=2 * level,
        contrast=level,
    )


def estimate_lines(name: str) -> str:
    """Return the Python that estimates a map without a network."""
    return f"prediction = lab.observations.predict_classical.estimate_map(observation, {name!r})"


def parse_distance(text: str) -> u.Quantity:
    """Return a distance written as number and unit, or that of a known cloud by its name.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> parse_distance("0.3 kpc").to("pc"), parse_distance("Barnard 5")
    (<Quantity 300. pc>, <Quantity 302. pc>)
    """
    words = text.strip()
    if not words:
        raise ValueError(
            'distance: expected that of the cloud, got none; type for example "300 pc", or the name of a known cloud: '
            + ", ".join(PLACES)
        )
    if words[:1].isalpha():
        return known_distance(words)
    try:
        value = u.Quantity(words)
    except (TypeError, ValueError) as error:
        raise ValueError(f'distance: expected a number and a unit such as "300 pc", got {text!r}') from error
    if not value.unit.is_equivalent(u.pc) or not value > 0:
        raise ValueError(f'distance: expected a length such as "300 pc", got {text!r}')
    return value


def hints(path: Path) -> tuple[str, str]:
    """Return distance and species as the header of a map states them, "" for what it does not.

    Raises
    ------
    ValueError
        If it is no map (:func:`polaris_lab.observations.headers.read_image` tells why).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said when it is opened
        header = read_image(path).header
    distance, species = header.get("DISTANCE"), str(header.get("SPECIES", "")).strip()
    known = isinstance(distance, int | float) and distance > 0
    return f"{distance:g} pc" if known else "", species if species in SPECIES.values() else ""


def open_map(path: Path, distance: str, species: str, *, unit: str = "") -> tuple[Any, str, list[str]]:
    """Open a map.

    Returns
    -------
    observation : Observation
    lines : str
        The Python that gives it.
    warned : list of str
        What the library warned of.

    Raises
    ------
    ValueError, TypeError, OSError
        Of :meth:`polaris_lab.Observation.from_fits`; and if the distance cannot be read.
    """
    import polaris_lab as lab

    far = parse_distance(distance)
    choices = {"unit": unit.strip()} if unit.strip() else {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        observation = lab.Observation.from_fits(path, distance=far, species=species, **choices)
    more = "".join(f", {name}={value!r}" for name, value in choices.items())
    lines = (
        f"observation = lab.Observation.from_fits(\n    {path.as_posix()!r}, distance={far.value:g} * u.{far.unit}, "
        f"species={species!r}{more}\n)"
    )
    own = [str(note.message) for note in caught if note.category.__module__.startswith("polaris_lab")]
    return observation, lines, own


def is_prediction(path: Path) -> bool:
    """Return whether a file was written by :meth:`Prediction.write_fits`."""
    try:
        with quiet(), fits.open(path) as hdus:
            header = hdus[0].header
            return header.get("EXTNAME") == "DENSITY" and "MODEL" in header
    except (OSError, ValueError, TypeError, IndexError):
        return False


def source_of(path: Path, shown: Any) -> Path | None:
    """Return the map that a prediction was made of, if it lies beside it; None if it does not, or `shown` fits already."""
    from polaris_lab.observations import Prediction

    try:
        check_pair(shown, Prediction.open(path), path.name)
    except ValueError:
        with quiet(), fits.open(path) as hdus:
            name = Path(str(hdus[0].header.get("SOURCE", ""))).name
        source = path.with_name(name) if name else path
        return source if source != path and source.is_file() else None
    return None


def open_prediction(path: Path, observation: Any) -> tuple[Any, np.ndarray | None, str]:
    """Open a prediction of a map.

    Returns
    -------
    prediction : Prediction
    tiles : ndarray or None
        Outlines of its tiles, where the file holds them.
    lines : str

    Raises
    ------
    ValueError
        If it is none, or one of another map.
    """
    import polaris_lab as lab

    prediction = lab.observations.Prediction.open(path)
    check_pair(observation, prediction, path.name)
    tiles = lab.observations.footprint.read_tiles(path)
    return prediction, tiles, f"lab.observations.Prediction.open({path.as_posix()!r})"


def check_pair(observation: Any, prediction: Any, name: str) -> None:
    """Raise ValueError if a prediction does not lie on the pixels of a map."""
    if prediction.shape != observation.shape:
        raise ValueError(
            f"{name}: expected a prediction of this map, {observation.shape[0]} x {observation.shape[1]} pixels, got one of "
            f"{prediction.shape[0]} x {prediction.shape[1]}; open the map that it was made of first"
        )
    corner = observation.wcs.pixel_to_world(0, 0).icrs
    apart = corner.separation(prediction.wcs.pixel_to_world(0, 0).icrs).arcsec
    if apart > observation.pixel_size_arcsec:
        raise ValueError(
            f'{name}: expected a prediction of this map, got one whose first pixel lies {apart:.3g}" away; open the map '
            "that it was made of first"
        )


def open_cores(path: Path, observation: Any) -> tuple[Table, str]:
    """Open a catalogue of cores, moved to the distance of the map.

    Raises
    ------
    ValueError
        If it is no catalogue that the library knows.
    """
    from polaris_lab.observations import cores

    where = path.as_posix()
    try:
        found = cores.read_hgbs(path)
        lines = f"cores = lab.observations.cores.read_hgbs({where!r})"
    except (ValueError, UnicodeDecodeError):
        found = cores.read_catalogue(path, distance=observation.distance)
        lines = f"cores = lab.observations.cores.read_catalogue({where!r}, distance=observation.distance)"
    if abs(found.meta["distance_pc"] / observation.distance_pc - 1) > 1e-6:
        found = cores.at_distance(found, observation.distance)
        lines += "\ncores = lab.observations.cores.at_distance(cores, observation.distance)"
    return found, lines


def blank_prediction(observation: Any) -> Any:
    """Return what stands in the place of a prediction that nobody has made."""
    from polaris_lab.observations import Prediction

    none = np.zeros(observation.shape, np.int16)
    density = np.full(observation.shape, np.nan, np.float32)
    return Prediction(density, none, none, observation.wcs, provenance={"model": ""})


def find_runs(folder: Path) -> dict[str, str]:
    """Return the runs of a workspace: the words of each, and its name inside."""
    return {
        f"run {path.relative_to(folder).as_posix()}": path.relative_to(folder).as_posix()
        for path in run_watcher.find_runs(folder)
        if path != folder
    }


def parse_place(text: str) -> SkyCoord:
    """Return a place on the sky that was typed.

    Parameters
    ----------
    text : str
        ``"03:47:40 +32:54:00"``, ``"3h47m40s +32d54m"``, ``"56.9 32.9"`` (degrees, ICRS), ``"l=160.5 b=-17.8"``, or the
        name of a region of the report.

    Raises
    ------
    ValueError
        If it means nothing.

    Examples
    --------
    >>> parse_place("03:47:40 +32:54:00").to_string("decimal", precision=3)
    '56.917 32.900'
    >>> parse_place("l=160.5 b=-17.8").frame.name
    'galactic'
    """
    words = text.strip()
    named = {name.lower(): box for name, box in BOXES.items()}.get(words.lower())
    try:
        if named is not None:
            return SkyCoord(named.longitude_deg, named.latitude_deg, unit="deg", frame=named.frame)
        if words.lower().startswith("l"):
            numbers = words.lower().replace("=", " ").replace(",", " ").split()
            return SkyCoord(float(numbers[1]), float(numbers[3]), unit="deg", frame="galactic")
        sexagesimal = ":" in words or "h" in words.lower() or len(words.split()) > 2
        return SkyCoord(words.replace(",", " "), unit=("hourangle" if sexagesimal else "deg", "deg"))
    except (ValueError, IndexError, u.UnitsError) as error:
        raise ValueError(
            f'place: expected coordinates such as "03:47:40 +32:54:00", "56.9 32.9" (degrees), "l=160.5 b=-17.8", or one of '
            f"{', '.join(BOXES)}, got {text!r}"
        ) from error


def place_on(observation: Any, text: str) -> str:
    """Return a place that was typed as it stands in the page's address, if it lies on a map.

    Raises
    ------
    ValueError
        If the words mean no place, or one outside the map.
    """
    sky = parse_place(text)
    x, y = (float(value) for value in sky.to_pixel(observation.wcs))
    rows, columns = observation.shape
    if not (-0.5 <= x <= columns - 0.5 and -0.5 <= y <= rows - 0.5):
        middle = observation.wcs.pixel_to_world((columns - 1) / 2, (rows - 1) / 2).icrs
        raise ValueError(
            f"place: expected one on the map, whose middle is {middle.to_string('hmsdms', precision=0)} (ICRS), got "
            f"{text!r}, which lies outside"
        )
    return written(sky)


def view_words(observation: Any, view: View) -> dict[str, Any]:
    """Return the middle and the width of a view as they stand in the page's address; {} for one off the sky."""
    middle = observation.wcs.pixel_to_world((view.left + view.right) / 2, (view.bottom + view.top) / 2)
    arcmin = abs(view.right - view.left) * observation.pixel_size_arcsec / 60
    if not np.isfinite(middle.spherical.lon.deg) or not arcmin:
        return {}
    return {"centre": written(middle, digits=6), "width": float(f"{arcmin:.6g}")}


def written(sky: SkyCoord, digits: int = 5) -> str:
    """Return a place as it stands in the page's address: RA and Dec [deg, ICRS]."""
    return f"{sky.icrs.ra.deg:.{digits}f} {sky.icrs.dec.deg:+.{digits}f}"
