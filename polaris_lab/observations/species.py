"""What a map counts, and in which unit: everything becomes N_H [cm^-2], hydrogen nuclei.

Headers lie about units often enough that nothing is guessed: a unit that is missing, that is no column density or
that contradicts the values is refused with the words that settle it.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np
from astropy import units as u

from polaris_lab.config import did_you_mean
from polaris_lab.units import HYDROGEN_PER_H2, positive


class Species(NamedTuple):
    """One thing a map can count."""

    factor: float
    """N_H [cm^-2] for one unit of the map."""
    unit: str
    """Unit of the map: "cm-2" or "mag"."""
    law: str
    """The conversion in words, with its source."""


BOHLIN = 1.87e21
"""N_H / A_V [cm^-2 mag^-1]: Bohlin, Savage & Drake 1978, ApJ 224, 132 (5.8e21 E(B-V), R_V = 3.1)."""

A_K_PER_A_V = 0.112
"""A_K / A_V: Rieke & Lebofsky 1985, ApJ 288, 618."""

SPECIES = {
    "H2": Species(HYDROGEN_PER_H2, "cm-2", "N_H = 2 N(H2)"),
    "H": Species(1.0, "cm-2", "N_H as given"),
    "A_V": Species(BOHLIN, "mag", "N_H = 1.87e21 A_V (Bohlin et al. 1978)"),
    "A_K": Species(
        BOHLIN / A_K_PER_A_V,
        "mag",
        "N_H = 1.67e22 A_K (Bohlin et al. 1978; A_K = 0.112 A_V, Rieke & Lebofsky 1985)",
    ),
    "tau": Species(math.nan, "", "an optical depth, whose law must be named"),
}
"""What a map may count, by the name that `species=` takes, with the law that holds unless another is named."""

LAWS = {
    "A_V": {
        "bohlin1978": SPECIES["A_V"],
        "guver2009": Species(2.21e21, "mag", "N_H = 2.21e21 A_V (Guver & Ozel 2009, MNRAS 400, 2050)"),
        "zhu2017": Species(2.08e21, "mag", "N_H = 2.08e21 A_V (Zhu et al. 2017, MNRAS 471, 3494)"),
    },
    "A_K": {
        "rieke1985": SPECIES["A_K"],
        "cardelli1989": Species(
            BOHLIN / 0.114,
            "mag",
            "N_H = 1.64e22 A_K (Bohlin et al. 1978; A_K = 0.114 A_V, Cardelli et al. 1989, ApJ 345, 245)",
        ),
    },
    "tau": {
        "planck2014": Species(
            1 / 1.2e-26,
            "",
            "N_H = tau_353 / 1.2e-26 cm^2 (Planck Collaboration XI 2014, A&A 571, A11; dense gas)",
        ),
    },
}
"""Named laws by species; the first of A_V and of A_K is the default, an optical depth has none."""

MU_H2 = 2.8
"""Gas mass per H2 molecule in m_H that N_H = 2 N(H2) with 1.4 m_H a nucleus implies; older maps took 2.33."""

PLAUSIBLE_MU = (2.0, 3.0)
"""Where a gas mass per H2 molecule must lie [m_H]."""

PLAUSIBLE_COLUMN = (1e18, 1e26)
"""Where the median of a column density map must lie [cm^-2]: outside, the unit is wrong."""

PLAUSIBLE_EXTINCTION = (1e-3, 1e3)
"""Where the median of an extinction map must lie [mag]."""

PLAUSIBLE_DEPTH = (1e-7, 1.0)
"""Where the median of a map of dust optical depth must lie."""

_H2_WORD = r"(?:N\s*\(\s*H_?2\s*\)|N_?H_?2\b|\bH_?2\b)"
_H_WORD = r"(?:N\s*\(\s*HI?\s*\)|\bN_?HI?\b|\bHI?\b|\b(?:nuclei|atoms?)\b)"
_WORDS = (
    rf"{_H2_WORD}|N\s*\(\s*HI?\s*\)|\bN_?HI?\b|\bHI?\b|\bA_?[VK]\b"
    r"|\b(?:nuclei|molecules?|particles?|atoms?)\b"
)


def check_species(species: object) -> str:
    """Return the name of a species, or say what is missing.

    Raises
    ------
    TypeError
        If it was not given.
    ValueError
        If it is unknown or cannot be converted yet.
    """
    if species is None:
        raise TypeError(
            'species: expected what the map counts, got nothing; write species="H2" for N(H2) (Herschel, HGBS), '
            'species="H" for hydrogen nuclei, "A_V" or "A_K" for extinction: between H and H2 lies a factor of 2'
        )
    if not isinstance(species, str) or species not in SPECIES:
        raise ValueError(f"species: unknown {species!r}: {did_you_mean(str(species), list(SPECIES))}")
    return str(species)


def conversion(species: str, *, law: str | u.Quantity | None = None, mu: float | None = None) -> Species:
    """Return what one unit of a map is in N_H, and the law in words.

    Parameters
    ----------
    species : str
        A name in :data:`SPECIES`.
    law : str or Quantity, optional
        A name in :data:`LAWS`; of an optical depth also a cross-section per hydrogen nucleus (cm2), which divides
        it.
    mu : float, optional
        Gas mass per H2 molecule in m_H with which a map of N(H2) was made, where it is not 2.8: the mass it measured
        stays, N_H = 2 N(H2) mu / 2.8.

    Raises
    ------
    ValueError
        If the law is unknown or missing, or `law` or `mu` says nothing about this species, or `mu` is implausible.
    """
    if mu is not None:
        if species != "H2":
            raise ValueError(
                f'mu: expected it with species="H2", whose mass per molecule it is, got species={species!r}; leave it out'
            )
        if not PLAUSIBLE_MU[0] <= mu <= PLAUSIBLE_MU[1]:
            raise ValueError(
                f"mu: expected a gas mass per H2 molecule of 2 to 3 m_H (2.33 or 2.8), got {mu:g}"
            )
        if law is None and mu != MU_H2:
            factor = HYDROGEN_PER_H2 * mu / MU_H2
            return Species(factor, "cm-2", f"N_H = 2 N(H2) {mu:g} / 2.8: made with {mu:g} m_H a molecule")
    if law is None:
        if species == "tau":
            raise ValueError(
                "law: expected the opacity behind the optical depth, got none; name one "
                f"({', '.join(LAWS['tau'])}: {LAWS['tau']['planck2014'].law}) or give a cross-section per hydrogen "
                "nucleus, for example law=1.2e-26 * u.cm**2"
            )
        return SPECIES[species]
    if species not in LAWS:
        raise ValueError(
            f'law: expected none with species="{species}", which counts particles, got {law!r}; laws are for A_V, A_K and '
            "optical depths, which give N_H themselves"
        )
    if isinstance(law, u.Quantity):
        if species != "tau":
            raise ValueError(
                f"law: expected a name with species={species!r}, got {law}: {', '.join(LAWS[species])}"
            )
        section = positive(law, u.cm**2, "law")
        return Species(1 / section, "", f"N_H = tau / {section:.3g} cm^2")
    if law not in LAWS[species]:
        raise ValueError(f"law: unknown {law!r} for {species}: {did_you_mean(str(law), list(LAWS[species]))}")
    return LAWS[species][law]


def parse_unit(text: str | u.UnitBase) -> u.UnitBase | None:
    """Read a unit as headers write it; None if it means nothing.

    ``cm-2``, ``cm^-2``, ``cm^(-2)``, ``cm**-2``, ``1/cm^2``, ``10^21 cm^-2``, ``H2/cm2``, ``log10(cm^-2)`` and
    ``dex(cm-2)`` are all understood.

    Examples
    --------
    >>> parse_unit("cm^(-2)"), parse_unit("log10 cm^-2"), parse_unit("unknown")
    (Unit("1 / cm2"), Unit("dex(1 / cm2)"), None)
    """
    if not isinstance(text, str):
        return u.Unit(text)
    text = re.sub(r"\(\s*\)", "", re.sub(_WORDS, " ", text)).strip(" \t[]'\"")
    if text.lower() == "dex":
        return u.dex(u.one)
    logarithm = re.fullmatch(r"(?:log_?10|log|dex|lg)\b\s*[\[(]?(.+?)[\])]?", text, re.IGNORECASE)
    if logarithm:
        inner = re.sub(r"^\(?\s*N\s*\)?\s*(?=[/\[(])", "", logarithm[1].strip())  # log(N / cm^-2)
        inner += ")" * (inner.count("(") - inner.count(")"))
        unit = parse_unit(re.sub(r"^/\s*(?=.*-\s*\d)", "", inner))  # log(N / cm^-2): in units of cm^-2
        return None if unit is None else u.dex(unit)
    text = re.sub(r"[({]\s*([+-]?\d+)\s*[)}]", r"\1", text)
    number = re.match(r"(?:10\s*(?:\^|\*\*)\s*\+?(\d+)|(\d[\d.]*[eE]\+?\d+))\s*[*x]?\s*", text)
    scale = 1.0
    if number:
        scale = 10.0 ** int(number[1]) if number[1] else float(number[2])
        text = text[number.end() :]
    text = re.sub(r"^\s*/", "1/", text).strip()
    for attempt in (text, text.lower()) if text else ():
        try:
            unit = u.Unit(attempt)
        except (ValueError, TypeError):
            continue
        return unit if scale == 1.0 else u.Unit(scale * unit)
    return None


def to_hydrogen(
    values: np.ndarray,
    *,
    species: str,
    unit: str | u.UnitBase | None,
    header_unit: str | None,
    where: str,
    law: str | u.Quantity | None = None,
    mu: float | None = None,
) -> np.ndarray:
    """Return N_H [cm^-2] from the values of a map.

    Parameters
    ----------
    values : ndarray
        The map, NaN where blank.
    species : str
        A name in :data:`SPECIES`.
    unit : str or Unit, optional
        The word of the caller, which stands above the header.
    header_unit : str, optional
        BUNIT.
    where : str
        What the map is called in errors.
    law, mu : optional
        As for :func:`conversion`.

    Returns
    -------
    ndarray
        N_H [cm^-2] with the shape and precision of `values`. Values that have no logarithm stay as they are.

    Raises
    ------
    ValueError
        If the unit is missing, is no unit of the species, or contradicts the values; with the remedy.
    """
    entry = conversion(species, law=law, mu=mu)
    median = _median(values)
    said = header_unit.strip() if header_unit else ""
    found = parse_unit(unit) if unit is not None else parse_unit(said) if said else None
    if unit is not None and found is None:
        raise ValueError(f'{where}: unit: expected for example "cm-2", "dex(cm-2)" or "mag", got {unit!r}')
    if found is None and not said and entry.unit != "cm-2":
        found = u.Unit(
            entry.unit
        )  # extinction is in magnitudes, an optical depth a number: the species has said so
    origin = f"unit={str(unit)!r}" if unit is not None else f"BUNIT = {said!r}" if said else "an empty BUNIT"
    if found is None:
        raise ValueError(f"{where}: expected a unit, got {origin}; {_advice(median, species)}")
    if unit is None and species == "H" and re.search(_H2_WORD, said):
        raise ValueError(
            f'{where}: expected a map of hydrogen nuclei, got {origin}: species="H2" doubles it to N_H; '
            'if the header is wrong, write unit="cm-2"'
        )
    if unit is None and species == "H2" and re.search(_H_WORD, said) and not re.search(_H2_WORD, said):
        raise ValueError(
            f'{where}: expected a map of H2, got {origin}: species="H" takes it as it is, species="H2" would double it to '
            'N_H = 2 N(H2); if the header is wrong, write unit="cm-2"'
        )
    linear, factor = _factor(found, u.Unit(entry.unit))
    if factor is None:
        raise ValueError(
            f'{where}: species="{species}" expects a map in {entry.unit or "plain numbers"}, got {origin}; '
            f"{_advice(median, species, found)}"
        )
    with np.errstate(over="ignore"):  # values that are no logarithm are refused below, in words
        result = values if linear else np.power(values.dtype.type(10), values)
    if factor != 1.0:
        result = result * values.dtype.type(factor)
    middle = median if result is values else _median(result)
    _check_range(middle, entry.unit, origin, where, _advice(median, species))
    if entry.factor == 1.0:
        return result
    nuclei = np.empty(values.shape, values.dtype)  # multiplied in float64, of which no whole map is held:
    # 1e26 a unit of optical depth is near the end of float32
    return np.multiply(result, entry.factor, out=nuclei, dtype=np.float64, casting="unsafe")


def _factor(found: u.UnitBase, wanted: u.UnitBase) -> tuple[bool, float | None]:
    """Return whether a unit is linear, and what one of it is in the wanted unit (None: no such thing)."""
    logarithmic = isinstance(found, u.function.logarithmic.DexUnit)
    physical = found.physical_unit if logarithmic else found
    try:
        return not logarithmic, float(physical.to(wanted))
    except u.UnitConversionError:
        return not logarithmic, None


def _median(values: np.ndarray) -> float:
    good = values[np.isfinite(values) & (values > 0)]
    return float(np.median(good)) if good.size else float("nan")


def _check_range(median: float, unit: str, origin: str, where: str, advice: str) -> None:
    low, high = {"cm-2": PLAUSIBLE_COLUMN, "mag": PLAUSIBLE_EXTINCTION, "": PLAUSIBLE_DEPTH}[unit]
    if not low <= median <= high:
        raise ValueError(
            f"{where}: with {origin} the median is {median:.3g}{unit and ' ' + unit}, expected {low:g} to {high:g}; {advice}"
        )


def _advice(median: float, species: str, found: u.UnitBase | None = None) -> str:
    """Say what the values look like and which words would open the map."""
    if PLAUSIBLE_COLUMN[0] <= median <= PLAUSIBLE_COLUMN[1]:
        remedy = 'they look like a column density: if so, write unit="cm-2"'
        if SPECIES[species].unit != "cm-2":
            remedy += ' and species="H2" or "H"'
    elif 18.5 <= median <= 26:
        remedy = 'they look like the log10 of a column density: if so, write unit="dex(cm-2)"'
    elif found is not None and found != u.mag:
        remedy = f"a map in {found} is no column density; convert it, or say what it is with unit="
    elif 0.01 <= median <= 200:
        remedy = (
            'if this is a map of extinction, write species="A_V" (N_H = 1.87e21 A_V) or "A_K"; in other units, for '
            'example, unit="1e21 cm-2"'
        )
    else:
        remedy = 'say what they are with unit=, for example unit="1e21 cm-2"'
    return f"the values have a median of {median:.3g}: {remedy}"
