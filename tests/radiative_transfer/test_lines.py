"""Lines against the files of the Leiden database, and what a bad name or file says."""

import dataclasses

import pytest
from astropy import units as u

from polaris_lab.radiative_transfer import Line

FILES = {"12CO": "co.dat", "13CO": "13co.dat", "C18O": "c18o.dat"}


@pytest.mark.parametrize("molecule", FILES)
@pytest.mark.parametrize("transition", ["1-0", "2-1", "3-2", "4-3", "5-4"])
def test_named_equals_lamda(shared_data, molecule, transition):
    path = shared_data / "lamda" / FILES[molecule]
    assert Line.named(molecule, transition) == Line.from_lamda(path, transition)


def test_a_line_beyond_the_named_ones_is_read(shared_data):
    line = Line.from_lamda(shared_data / "lamda" / "13co.dat", "7-6")
    assert line.upper == 7
    assert line.einstein_a == 2.991e-5


def test_spellings_of_a_transition():
    assert Line.named("13co", "J=2-1") == Line.named("13CO", "2 - 1") == Line.named("13CO", "2→1")
    assert Line.named("CO") == Line.named("12CO", "1-0")


def test_is_frozen_and_hashable_and_takes_another_a():
    line = Line.named("13CO")
    with pytest.raises(dataclasses.FrozenInstanceError):
        line.einstein_a = 1.0
    other = line.with_einstein_a(6.333e-8 / u.s)
    assert other.einstein_a == dataclasses.replace(line, einstein_a=6.333e-8).einstein_a == 6.333e-8
    assert other.rest_frequency_hz == line.rest_frequency_hz
    assert len({line, other, Line.named("13CO")}) == 2


@pytest.mark.parametrize("value", [0.0, -1e-8, float("nan")])
def test_a_bad_einstein_coefficient_is_refused(value):
    with pytest.raises(ValueError, match="einstein_a: expected a positive finite number"):
        Line.named("13CO").with_einstein_a(value)


def test_unknown_names_ask_what_was_meant():
    with pytest.raises(ValueError, match="did you mean '13CO'"):
        Line.named("13C0")
    with pytest.raises(ValueError, match=r"transition: unknown '1-2' of 13CO: did you mean"):
        Line.named("13CO", "1-2")
    with pytest.raises(ValueError, match="from_lamda"):
        Line.named("HCO+")


def test_a_transition_that_the_file_lacks_is_refused(shared_data):
    with pytest.raises(ValueError, match=r"13co.dat has no '90-89'"):
        Line.from_lamda(shared_data / "lamda" / "13co.dat", "90-89")


@pytest.mark.parametrize("fraction", [0.0, 0.0005, 0.003, 0.008, 0.02, 0.5, 0.9])
def test_a_truncated_file_is_refused(shared_data, tmp_path, fraction):
    text = (shared_data / "lamda" / "13co.dat").read_text()
    path = tmp_path / "short.dat"
    path.write_text(text[: int(fraction * len(text))])
    with pytest.raises(ValueError, match=r"short.dat.*truncated"):
        Line.from_lamda(path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("one\ntwo\nthree\nfour\nfive\nsix\n")
    with pytest.raises(ValueError, match="line 4: expected the molecular weight"):
        Line.from_lamda(path)


def test_levels_must_exist_and_be_in_order():
    line = Line.named("13CO")
    with pytest.raises(ValueError, match="expected indices of the 41 levels"):
        dataclasses.replace(line, upper=99)
    with pytest.raises(ValueError, match="level of higher energy"):
        dataclasses.replace(line, upper=0, lower=1)
    with pytest.raises(ValueError, match="level_weights"):
        dataclasses.replace(line, level_weights=(1.0, 3.0))
