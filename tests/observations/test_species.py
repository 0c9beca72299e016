"""Units as headers write them."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.observations.species import SPECIES, check_species, parse_unit


@pytest.mark.parametrize(
    "text",
    [
        "cm-2",
        "cm^-2",
        "cm^(-2)",
        "cm**-2",
        "cm**(-2)",
        "cm^{-2}",
        "1/cm^2",
        "/cm2",
        "CM-2",
        "[cm-2]",
        "H2/cm^2",
        "N(H2) [cm^-2]",
        "N_H2 cm-2",
        "H2 molecules / cm^2",
        "cm-2 (H2)",
        " cm^-2 ",
    ],
)
def test_per_square_centimetre(text):
    assert parse_unit(text) == u.cm**-2


@pytest.mark.parametrize(
    "text", ["10^21 cm^-2", "10**21 cm-2", "1e21 cm-2", "10^{21} cm^{-2}", "10+21 cm-2", "10^(21) H2 cm-2"]
)
def test_powers_of_ten(text):
    assert parse_unit(text).to(u.cm**-2) == pytest.approx(1e21)


@pytest.mark.parametrize(
    "text",
    [
        "log10(cm^-2)",
        "log10 cm^-2",
        "log(1/cm2)",
        "dex(cm-2)",
        "log10(N(H2)/cm^-2)",
        "log10(cm^(-2))",
        "LOG10(cm-2)",
    ],
)
def test_logarithms(text):
    assert parse_unit(text) == u.dex(u.cm**-2)


@pytest.mark.parametrize(
    ("text", "unit"), [("mag", u.mag), ("mag(A_V)", u.mag), ("K km s-1", u.K * u.km / u.s)]
)
def test_other_units(text, unit):
    assert parse_unit(text) == unit


@pytest.mark.parametrize("text", ["", "   ", "bananas", "log", "log10(NH)", "10^21"])
def test_no_unit(text):
    assert parse_unit(text) is None


def test_the_extinction_laws_agree_with_each_other():
    """A_K = 0.112 A_V gives the same gas; N(H2) = 0.94e21 A_V when all of it is molecular."""
    assert SPECIES["A_K"].factor * 0.112 == pytest.approx(SPECIES["A_V"].factor)
    np.testing.assert_allclose(SPECIES["A_V"].factor / SPECIES["H2"].factor, 0.935e21)


@pytest.mark.parametrize("species", ["h2", "HII", 2, ["H2"], ""])
def test_an_unknown_species_is_named_with_those_that_are_known(species):
    with pytest.raises(ValueError, match=r"species: unknown .* Known: A_K, A_V, H, H2, tau"):
        check_species(species)
