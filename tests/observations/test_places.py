"""Distances of known clouds and boxes of the report."""

from __future__ import annotations

import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from polaris_lab.observations import places


def test_every_distance_has_a_source():
    for entry in places.PLACES.values():
        assert entry.distance_pc > 0
        assert any(character.isdigit() for character in entry.source), entry
        assert (entry.report_pc is None) == (entry.report_source == "")


def test_names_are_found_however_they_are_written():
    assert places.known_distance("barnard-5") == places.known_distance("Barnard 5")
    assert places.known_distance("Polaris Flare", era="report") == 150 * u.pc
    assert places.known_distance("Polaris Flare (report)") == 150 * u.pc


def test_unknown_names_and_eras_are_refused():
    with pytest.raises(ValueError, match="did you mean 'Taurus L1495'"):
        places.known_distance("Taurus L1459")
    with pytest.raises(ValueError, match='"gaia" or "report"'):
        places.known_distance("Perseus", era="hipparcos")
    with pytest.raises(ValueError, match="did you mean 'saxophone'"):
        places.box("saxofone")


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        ("NGC2023/2024", ("05h41m38s -02d15m33s", "05h41m43s -01d51m23s")),
        ("NGC2068/2071", ("05h46m46s +00d04m45s", "05h47m07s +00d17m39s")),
        ("Integral Shaped Filament", ("05h35m17s -05d23m28s", "05h35m27s -05d05m00s")),
        ("L1495", ("04h18m00s +28d10m00s",)),
    ],
)
def test_the_objects_lie_in_their_boxes(box, inside):
    found = places.box(box)
    assert found.cloud in places.PLACES
    centre = SkyCoord(found.longitude_deg, found.latitude_deg, unit="deg", frame=found.frame).icrs
    for text in inside:
        east, north = centre.spherical_offsets_to(SkyCoord(text))
        assert abs(east.deg) < found.width_deg / 2
        assert abs(north.deg) < found.height_deg / 2
