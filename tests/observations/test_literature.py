"""Published densities, brought to nuclei and to one distance."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS

from polaris_lab.observations import Prediction, literature


def test_molecules_are_doubled_and_densities_moved():
    molecules = literature.LiteratureDensity("X", 1e4, "H2", 100.0, "mean", "dense", "somebody")
    assert molecules.nuclei() == 2e4
    assert molecules.nuclei(200.0) == 1e4
    lines = literature.LiteratureDensity("X", 1e4, "H", None, "from lines", "dense", "somebody")
    assert lines.nuclei(200.0) == 1e4


def test_every_entry_says_what_it_is():
    for entry in literature.LITERATURE:
        assert entry.kind in literature.KINDS
        assert entry.species in ("H", "H2")
        assert entry.reference, entry
        assert entry.definition, entry


def test_a_map_stands_beside_every_value():
    density = np.full((100, 100), 50.0)
    density[0, :20] = 1e5
    density[50] = np.nan
    found = literature.compare_with_literature(density, "taurus l1495", distance_pc=140.0)
    assert len(found.rows) == len(literature.published("Taurus L1495"))
    by_reference = {(entry.kind, entry.reference): row for entry, *row in found.rows}
    assert by_reference["diffuse", literature._REPORT][2] == pytest.approx(0.0)
    assert by_reference["dense", literature._REPORT][2] == pytest.approx(0.0)
    assert "Palmeirim" in str(found)
    assert "<table>" in found._repr_html_()


def test_twice_the_distance_halves_what_was_published():
    density = np.full((10, 10), 100.0)
    near, far = (
        literature.compare_with_literature(density, "Polaris", distance_pc=d) for d in (150.0, 300.0)
    )
    assert far.rows[0][1] == near.rows[0][1] / 2


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="did you mean 'Polaris'"):
        literature.published("Polari")
    with pytest.raises(ValueError, match="valid pixel"):
        literature.compare_with_literature(np.full((2, 2), np.nan), "Polaris", distance_pc=150.0)
    with pytest.raises(ValueError, match="distance_pc"):
        literature.compare_with_literature(np.ones((2, 2)), "Polaris", distance_pc=0.0)


def test_a_prediction_says_its_distance_itself():
    density = np.full((20, 20), 1e3)
    flags = np.zeros((20, 20), np.int16)
    found = Prediction(density, flags, flags, WCS(naxis=2), provenance={"distance_pc": 140.0})
    by_one_call = literature.compare_with_literature(found, "Taurus L1495")
    assert (
        by_one_call.rows
        == literature.compare_with_literature(density, "Taurus L1495", distance_pc=140.0).rows
    )
    with pytest.raises(ValueError, match=r"write for example distance_pc=140\.0"):
        literature.compare_with_literature(density, "Taurus L1495")
