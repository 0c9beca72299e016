"""`Line`: a rotational transition with everything that LTE needs to know about its molecule."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from pathlib import Path

from astropy import units as u

from polaris_lab.config import did_you_mean
from polaris_lab.radiative_transfer.molecules import MOLECULES
from polaris_lab.units import ATOMIC_MASS, BOLTZMANN, PLANCK, SPEED_OF_LIGHT


@dataclasses.dataclass(frozen=True)
class Line:
    """A transition between two levels of a molecule; plain numbers with the unit in the name or below.

    Parameters
    ----------
    molecule, transition : str
        Names, for example "13CO" and "1-0".
    rest_frequency_hz : float
        nu_0 [Hz].
    einstein_a : float
        A_ul [s^-1]. Databases differ by per cents: give another one with :meth:`with_einstein_a`.
    upper, lower : int
        Index of the two levels in `level_energies`.
    molecular_weight : float
        Mass in atomic mass units.
    level_energies : tuple of float
        Energies of all levels [cm^-1]; the partition function is their sum.
    level_weights : tuple of float
        Their statistical weights.
    source : str
        Where the numbers come from.

    Raises
    ------
    ValueError
        A level that does not exist, or a number that is not positive and finite.

    Examples
    --------
    >>> line = Line.named("13CO", "1-0")
    >>> line
    Line(13CO 1-0, 110.2013543 GHz, A = 6.294e-08 s^-1, LAMDA 13co.dat)
    >>> line.with_einstein_a(6.333e-8 / u.s).einstein_a
    6.333e-08
    """

    molecule: str
    transition: str
    rest_frequency_hz: float
    einstein_a: float
    upper: int
    lower: int
    molecular_weight: float
    level_energies: tuple[float, ...]
    level_weights: tuple[float, ...]
    source: str = ""

    def __post_init__(self) -> None:
        for name in ("rest_frequency_hz", "einstein_a", "molecular_weight"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
                raise ValueError(f"{name}: expected a positive finite number, got {value!r}")
        for name in ("level_energies", "level_weights"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        levels = len(self.level_energies)
        if levels != len(self.level_weights):
            raise ValueError(
                f"level_weights: expected one a level ({levels} energies), got {len(self.level_weights)}"
            )
        if not (0 <= self.lower < levels and 0 <= self.upper < levels):
            raise ValueError(
                f"upper, lower: expected indices of the {levels} levels, got {self.upper} and {self.lower}"
            )
        if self.level_energies[self.upper] <= self.level_energies[self.lower]:
            raise ValueError(
                f"upper: expected the level of higher energy, got level {self.upper} at "
                f"{self.level_energies[self.upper]} cm^-1 above level {self.lower} at {self.level_energies[self.lower]}"
            )

    # -- where lines come from -------------------------------------------------------------------------

    @classmethod
    def named(cls, molecule: str, transition: str = "1-0") -> Line:
        """Return a line of 12CO, 13CO or C18O, J = 1-0 to 5-4, with the constants of LAMDA.

        Parameters
        ----------
        molecule : {"12CO", "13CO", "C18O"}
            Isotopologue ("CO" is 12CO).
        transition : str
            Upper and lower J, such as "1-0".

        Raises
        ------
        ValueError
            An unknown name, with the nearest known one.

        References
        ----------
        Schöier et al. 2005, A&A 432, 369 (LAMDA): see :mod:`polaris_lab.radiative_transfer.molecules`.
        """
        names = {name.upper(): name for name in MOLECULES} | {"CO": "12CO"}
        key = names.get(str(molecule).strip().upper())
        if key is None:
            raise ValueError(
                f"molecule: unknown {molecule!r}: {did_you_mean(str(molecule).upper(), list(MOLECULES))}; "
                "other molecules are read with Line.from_lamda(path)"
            )
        data = MOLECULES[key]
        known = [f"{j + 1}-{j}" for j in range(len(data.frequencies_ghz))]
        wanted = _transition_name(transition)
        if wanted not in known:
            raise ValueError(
                f"transition: unknown {transition!r} of {key}: {did_you_mean(wanted, known)}; "
                "higher ones are read with Line.from_lamda(path, transition=...)"
            )
        lower = known.index(wanted)
        return cls(
            molecule=key,
            transition=wanted,
            rest_frequency_hz=data.frequencies_ghz[lower] * 1e9,
            einstein_a=data.einstein_a[lower],
            upper=lower + 1,
            lower=lower,
            molecular_weight=data.molecular_weight,
            level_energies=data.level_energies,
            level_weights=tuple(2.0 * j + 1 for j in range(len(data.level_energies))),
            source=data.source,
        )

    @classmethod
    def from_lamda(cls, path: str | Path, transition: str = "1-0") -> Line:
        """Read a line from a molecular file of the Leiden database (or one written in its format).

        Parameters
        ----------
        path : path
            The file, for example ``13co.dat``.
        transition : str
            Upper and lower level by their quantum label, such as "1-0" for J = 1-0.

        Raises
        ------
        ValueError
            If the file ends early or a row cannot be read (with its line number), or if it has no such
            transition (with those it has).

        References
        ----------
        https://home.strw.leidenuniv.nl/~moldata/molformat.html
        """
        return _read_lamda(Path(path), transition)

    # -- what follows from the numbers -----------------------------------------------------------------

    def with_einstein_a(self, einstein_a: float | u.Quantity) -> Line:
        """Return the same line with another Einstein coefficient [s^-1]."""
        if isinstance(einstein_a, u.Quantity):
            einstein_a = einstein_a.to_value("s-1")
        return dataclasses.replace(
            self, einstein_a=float(einstein_a), source=f"{self.source}, A given".lstrip(", ")
        )

    @property
    def name(self) -> str:
        """Molecule and transition, "13CO 1-0"."""
        return f"{self.molecule} {self.transition}"

    @property
    def rest_frequency(self) -> u.Quantity:
        """nu_0 in GHz."""
        return self.rest_frequency_hz / 1e9 * u.GHz

    @property
    def mass_g(self) -> float:
        """Mass of the molecule [g]."""
        return self.molecular_weight * ATOMIC_MASS

    @property
    def transition_temperature(self) -> float:
        """T_0 = h nu_0 / k [K]."""
        return PLANCK * self.rest_frequency_hz / BOLTZMANN

    @property
    def level_temperatures(self) -> tuple[float, ...]:
        """Energies of all levels in kelvin, E/k."""
        return tuple(PLANCK * SPEED_OF_LIGHT / BOLTZMANN * energy for energy in self.level_energies)

    def __repr__(self) -> str:
        source = f", {self.source}" if self.source else ""
        return f"Line({self.name}, {self.rest_frequency_hz / 1e9:.10g} GHz, A = {self.einstein_a:.4g} s^-1{source})"


def _transition_name(text: str) -> str:
    """Return "1-0" of "1-0", "J=1-0", "1 - 0" or "1→0"."""
    text = re.sub(r"\s|^J\s*=", "", str(text).strip(), flags=re.IGNORECASE)
    return re.sub(r"→|->|–|—", "-", text)


class _Rows:
    """The lines of a LAMDA file, one at a time, with errors that say where it ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: Iterator[tuple[int, str]] = iter(
            enumerate(path.read_text(errors="replace").splitlines(), 1)
        )
        self.number = 0

    def next(self, what: str) -> str:
        try:
            self.number, row = next(self._rows)
        except StopIteration:
            raise ValueError(
                f"{self.path}: expected {what} after line {self.number}, got the end of the file: "
                "it is truncated; download it again from LAMDA"
            ) from None
        return row

    def fields(self, what: str, kinds: tuple[type, ...]) -> list:
        """Read a row of numbers; what follows them is returned as one string."""
        row = self.next(what)
        words = row.split(None, len(kinds))
        try:
            if len(words) < len(kinds):
                raise ValueError
            values = [kind(word) for kind, word in zip(kinds, words, strict=False)]
        except ValueError:
            names = ", ".join(kind.__name__ for kind in kinds)
            raise ValueError(
                f"{self.path}, line {self.number}: expected {what} ({names}), got {row.strip()[:60]!r}; "
                "the file is truncated or not in LAMDA's format"
            ) from None
        return [*values, words[len(kinds)] if len(words) > len(kinds) else ""]

    def count(self, what: str) -> int:
        self.next(f"the heading of {what}")
        count = self.fields(what, (int,))[0]
        self.next(f"the heading under {what}")
        return count


def _read_lamda(path: Path, transition: str) -> Line:
    """Read one line of a LAMDA file, checking the whole of the file on the way."""
    rows = _Rows(path)
    rows.next("a heading")
    molecule = rows.next("the name of the molecule").split("(")[0].strip().split(" ")[0]
    rows.next("a heading")
    weight = rows.fields("the molecular weight", (float,))[0]
    levels = [
        rows.fields("a level", (int, float, float)) for _ in range(rows.count("the number of energy levels"))
    ]
    lines = [
        rows.fields("a transition", (int, int, int, float, float))
        for _ in range(rows.count("the number of radiative transitions"))
    ]
    _check_collisions(rows)
    index = {level[0]: position for position, level in enumerate(levels)}
    labels = [level[3].split("!")[0].strip().strip('"').strip() for level in levels]
    known = {
        f"{labels[index[up]]}-{labels[index[low]]}": (index[up], index[low], einstein_a, frequency)
        for _, up, low, einstein_a, frequency, _ in lines
        if up in index and low in index
    }
    wanted = _transition_name(transition)
    if wanted not in known:
        raise ValueError(
            f"transition: {path.name} has no {transition!r}: {did_you_mean(wanted, list(known))}"
        )
    upper, lower, einstein_a, frequency = known[wanted]
    return Line(
        molecule=_COMMON_NAMES.get(molecule, molecule),
        transition=wanted,
        rest_frequency_hz=frequency * 1e9,
        einstein_a=einstein_a,
        upper=upper,
        lower=lower,
        molecular_weight=weight,
        level_energies=tuple(level[1] for level in levels),
        level_weights=tuple(level[2] for level in levels),
        source=f"LAMDA {path.name}",
    )


_COMMON_NAMES = {"CO": "12CO", "13C16O": "13CO", "12C18O": "C18O"}


def _check_collisions(rows: _Rows) -> None:
    """Read the collision rates, which LTE does not use, to be sure that the file is whole."""
    rows.next("the heading of the number of collision partners")
    for _ in range(rows.fields("the number of collision partners", (int,))[0]):
        rows.next("the heading of a collision partner")
        rows.next("a collision partner")
        rows.next("the heading of the number of collisional transitions")
        transitions = rows.fields("the number of collisional transitions", (int,))[0]
        rows.next("the heading of the number of temperatures")
        temperatures = rows.fields("the number of collision temperatures", (int,))[0]
        rows.next("the heading of the temperatures")
        rows.fields("the collision temperatures", (float,) * temperatures)
        rows.next("the heading of the rates")
        for _ in range(transitions):
            rows.fields("collision rates", (int, int, int) + (float,) * temperatures)
