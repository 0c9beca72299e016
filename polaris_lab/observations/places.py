"""Known clouds: their distances with sources, and the boxes of the sky that the report shows.

A distance stands for a cloud only when its name is written: nothing is looked up from coordinates. Distances are
of the Gaia era; those that the report used are asked for as "report".
"""

from __future__ import annotations

import dataclasses

from astropy import units as u

from polaris_lab.config import did_you_mean


@dataclasses.dataclass(frozen=True)
class Place:
    """A cloud and how far away it is.

    Attributes
    ----------
    name : str
    distance_pc, error_pc : float
        And how well it is known; along Orion A it also varies by tens of parsecs.
    source : str
        Where the distance comes from.
    report_pc : float or None
        What the report, or the survey whose map it used, adopted.
    report_source : str
    """

    name: str
    distance_pc: float
    error_pc: float
    source: str
    report_pc: float | None = None
    report_source: str = ""


_ORTIZ_PERSEUS = "Ortiz-Leon et al. 2018 (ApJ 865, 73), Gaia DR2 and VLBI"
_ZUCKER_PERSEUS = "Zucker et al. 2018 (ApJ 869, 83), Gaia DR2 and extinction"
_ZUCKER = "Zucker et al. 2019 (ApJ 879, 125), Gaia DR2 and extinction"
_HGBS = "Herschel Gould Belt survey"

PLACES = {
    place.name: place
    for place in (
        Place("Taurus L1495", 129.9, 0.4, "Galli et al. 2019 (A&A 630, A137), Gaia DR2 and VLBI", 140.0, "report, section 4.1"),
        Place("Polaris Flare", 350.0, 20.0, "Zucker et al. 2020 (A&A 633, A51), rounded over its sightlines", 150.0, "report, section 4.2: Heithausen et al. 1998"),
        Place("Orion A", 400.0, 10.0, "Grossschedl et al. 2018 (A&A 619, A106), the head with the ONC; 470 pc at the tail", 414.0, "report, section 4.3: Menten et al. 2007"),
        Place("Orion B", 423.0, 21.0, _ZUCKER, 414.0, "report, section 4.3: Menten et al. 2007; HGBS: 400"),
        Place("Perseus", 294.0, 15.0, _ZUCKER, 300.0, _HGBS),
        Place("IC 348", 321.0, 10.0, _ORTIZ_PERSEUS, 300.0, _HGBS),
        Place("NGC 1333", 293.0, 22.0, _ORTIZ_PERSEUS, 300.0, _HGBS),
        Place("Barnard 5", 302.0, 21.0, _ZUCKER_PERSEUS, 300.0, _HGBS),
        Place("L1448", 288.0, 18.0, _ZUCKER_PERSEUS, 300.0, _HGBS),
        Place("Aquila", 436.0, 9.0, "Ortiz-Leon et al. 2017 (ApJ 834, 143), VLBI, with Serpens", 260.0, _HGBS),
        Place("Ophiuchus", 138.4, 2.6, "Ortiz-Leon et al. 2018 (ApJ 869, L33), L1688, Gaia DR2 and VLBI", 139.0, _HGBS),
        Place("Corona Australis", 149.4, 0.4, "Galli et al. 2020 (A&A 634, A98), Gaia DR2", 130.0, _HGBS),
    )
}  # fmt: skip
"""Known clouds by name."""


@dataclasses.dataclass(frozen=True)
class Box:
    """A rectangle on the sky.

    Attributes
    ----------
    name : str
    longitude_deg, latitude_deg : float
        Its centre, in `frame`.
    width_deg, height_deg : float
        Along longitude (on the sky, not in coordinate) and latitude.
    frame : {"icrs", "galactic"}
    cloud : str
        A name of :data:`PLACES`.
    """

    name: str
    longitude_deg: float
    latitude_deg: float
    width_deg: float
    height_deg: float
    frame: str
    cloud: str


BOXES = {
    box.name: box
    for box in (
        Box("L1495", 64.6, 27.9, 2.6, 2.0, "icrs", "Taurus L1495"),
        Box("saxophone", 123.5, 24.9, 1.0, 1.0, "galactic", "Polaris Flare"),
        Box("NGC2023/2024", 85.42, -2.06, 0.7, 0.9, "icrs", "Orion B"),
        Box("NGC2068/2071", 86.74, 0.19, 0.7, 0.8, "icrs", "Orion B"),
        Box("Integral Shaped Filament", 83.81, -5.40, 0.6, 1.5, "icrs", "Orion A"),
    )
}
"""The regions that the report's section 4 shows. It gives their names, not their corners: centres are those of the
named objects, sizes ours."""


def place(name: str) -> Place:
    """Return a known cloud.

    Raises
    ------
    ValueError
        If it is not known ("did you mean").
    """
    found = _PLACES_BY_KEY.get(_key(name))
    if found is None:
        raise ValueError(
            f"place: unknown cloud {name!r}: {did_you_mean(str(name), list(PLACES))}; give its distance as a quantity, "
            "for example 140 * u.pc"
        )
    return found


def known_distance(name: str, *, era: str = "gaia") -> u.Quantity:
    """Return the distance of a known cloud.

    Parameters
    ----------
    name : str
        A name of :data:`PLACES`; capitals, blanks and hyphens do not count.
    era : {"gaia", "report"}
        The Gaia-era distance, or the one that the report used. ``"Taurus L1495 (report)"`` says the same.

    Returns
    -------
    Quantity

    Raises
    ------
    ValueError
        If the cloud or the era is unknown, or the report had no distance for it.

    Examples
    --------
    >>> known_distance("taurus l1495"), known_distance("Polaris Flare (report)")
    (<Quantity 129.9 pc>, <Quantity 150. pc>)
    """
    name = str(name).strip()
    if name.lower().endswith("(report)"):
        name, era = name[: -len("(report)")].strip(), "report"
    found = place(name)
    if era == "gaia":
        return found.distance_pc * u.pc
    if era != "report":
        raise ValueError(f'era: expected "gaia" or "report", got {era!r}')
    if found.report_pc is None:
        raise ValueError(
            f"{found.name}: expected a distance of the report, got none; its Gaia-era one is {found.distance_pc:g} pc"
        )
    return found.report_pc * u.pc


def distance_source(name: str) -> str:
    """Return where the distance of a known cloud comes from, in words.

    Examples
    --------
    >>> distance_source("Orion A (report)")
    'Orion A, 414 pc: report, section 4.3: Menten et al. 2007'
    """
    distance = known_distance(name)
    report = str(name).strip().lower().endswith("(report)")
    found = place(str(name).strip()[: -len("(report)")].strip() if report else name)
    return f"{found.name}, {distance.value:g} pc: {found.report_source if report else found.source}"


def box(name: str) -> Box:
    """Return a named region of the report.

    Raises
    ------
    ValueError
        If it is not known ("did you mean").
    """
    known = {_key(key): value for key, value in BOXES.items()}
    if _key(name) not in known:
        raise ValueError(f"region: unknown name {name!r}: {did_you_mean(str(name), list(BOXES))}")
    return known[_key(name)]


def _key(name: str) -> str:
    return "".join(letter for letter in str(name).lower() if letter.isalnum())


_PLACES_BY_KEY = {_key(name): value for name, value in PLACES.items()}
