"""A cube keeps what it is given, says what it holds, and refuses what no cloud can be."""

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from polaris_lab.clouds.simulation import BLOCK_BYTES, axis_index, layer_ranges

CELL = 0.05 * u.pc


def ones(*shape):
    return np.full(shape, 100.0)


def test_density_is_float32_in_the_shape_given(box):
    assert box.density.dtype == np.float32
    assert box.shape == (5, 7, 9)
    assert box.side_pc == pytest.approx((0.32, 0.448, 0.576))


def test_the_cell_size_is_converted_once():
    cube = lab.SimulationCube(ones(2, 2, 2), cell_size=3.0856775814913673e17 * u.cm)
    assert cube.cell_size_pc == pytest.approx(0.1, rel=1e-12)
    assert cube.cell_size_cm == pytest.approx(3.0856775814913673e17, rel=1e-12)


def test_quantities_are_converted_to_the_units_of_the_cube():
    cube = lab.SimulationCube(
        ones(2, 2, 2) * 1e6 * u.m**-3,
        cell_size=CELL,
        temperature=ones(2, 2, 2) * u.K,
        velocity={"z": ones(2, 2, 2) * u.m / u.s},
    )
    np.testing.assert_allclose(cube.density, 100.0, rtol=1e-6)
    np.testing.assert_allclose(cube.velocity["z"], 0.1, rtol=1e-6)


def test_velocity_may_hold_any_subset_and_names_what_is_missing():
    cube = lab.SimulationCube(ones(2, 2, 2), cell_size=CELL, velocity={"x": ones(2, 2, 2)})
    assert list(cube.velocity) == ["x"]
    assert cube.velocity_along("x").shape == (2, 2, 2)
    with pytest.raises(ValueError, match=r'component along "z", the cube carries "x"'):
        cube.velocity_along("z")


def test_words_give_shape_side_ranges_and_contents(box):
    text = repr(box)
    for part in (
        "a box",
        "5 x 7 x 9",
        "0.064 pc",
        "0.32 x 0.448 x 0.576 pc",
        "cm^-3",
        "K",
        "v_z",
        "v_y",
        "v_x",
    ):
        assert part in text
    assert f"{box.density.max():.3g}" in text


def test_html_escapes_a_name():
    cube = lab.SimulationCube(ones(2, 2, 2), cell_size=CELL, name="<b>&")
    assert "&lt;b&gt;&amp;" in cube._repr_html_()
    assert "2 x 2 x 2" in cube._repr_html_()


def test_blocks_cover_every_layer_once():
    cube = lab.SimulationCube(np.arange(1.0, 61.0).reshape(5, 3, 4), cell_size=CELL)
    np.testing.assert_array_equal(np.concatenate([slab for _, slab in cube.blocks()]), cube.density)


def test_layers_are_cut_to_the_size_of_a_block():
    shape = (700, 512, 512)
    ranges = list(layer_ranges(shape))
    assert [start for start, _ in ranges] == [0, *[stop for _, stop in ranges[:-1]]]
    assert ranges[-1][1] == 700
    assert max(stop - start for start, stop in ranges) * 512 * 512 * 4 <= BLOCK_BYTES
    assert list(layer_ranges((3, 10**5, 10**5))) == [(0, 1), (1, 2), (2, 3)]  # a layer is the smallest block


@pytest.mark.parametrize("value", [0.0, -3.0, np.nan, np.inf, -np.inf])
def test_a_density_that_no_gas_has_is_named_with_its_cell(value):
    density = ones(3, 4, 5)
    density[2, 1, 3] = value
    with pytest.raises(
        ValueError, match=r"positive finite values in cm\^-3, got .*\[z=2, y=1, x=3\] \(1 such"
    ):
        lab.SimulationCube(density, cell_size=CELL)


@pytest.mark.parametrize("shape", [(4,), (4, 4), (2, 2, 2, 2), (0, 4, 4)])
def test_only_three_dimensions_are_a_cube(shape):
    with pytest.raises(ValueError, match="expected a 3D array"):
        lab.SimulationCube(np.ones(shape), cell_size=CELL)


def test_a_map_is_sent_to_where_maps_are_opened():
    with pytest.raises(ValueError, match=r"Observation\.from_fits"):
        lab.SimulationCube(ones(4, 4), cell_size=CELL)


def test_the_cell_size_must_be_given():
    with pytest.raises(TypeError, match="cell_size"):
        lab.SimulationCube(ones(2, 2, 2))


def test_a_bare_cell_size_is_refused():
    with pytest.raises(TypeError, match=r"cell_size: expected a Quantity.*0\.05 \* u\.pc"):
        lab.SimulationCube(ones(2, 2, 2), cell_size=0.05)


@pytest.mark.parametrize("size", [0 * u.pc, -1 * u.pc, np.nan * u.pc])
def test_a_cell_has_a_positive_size(size):
    with pytest.raises(ValueError, match="cell_size"):
        lab.SimulationCube(ones(2, 2, 2), cell_size=size)


def test_a_cell_size_is_a_length():
    with pytest.raises(u.UnitsError, match="cell_size"):
        lab.SimulationCube(ones(2, 2, 2), cell_size=1 * u.s)


def test_fields_must_have_the_shape_of_the_density():
    with pytest.raises(ValueError, match=r"temperature: expected the shape of the density \(2, 2, 2\)"):
        lab.SimulationCube(ones(2, 2, 2), cell_size=CELL, temperature=ones(2, 2, 3))
    with pytest.raises(ValueError, match=r'velocity\["y"\]: expected the shape'):
        lab.SimulationCube(ones(2, 2, 2), cell_size=CELL, velocity={"y": ones(2, 3, 2)})


def test_an_unknown_axis_is_named():
    with pytest.raises(ValueError, match="velocity: unknown axis 'los'"):
        lab.SimulationCube(ones(2, 2, 2), cell_size=CELL, velocity={"los": ones(2, 2, 2)})
    with pytest.raises(ValueError, match='expected "z", "y" or "x", got 0'):
        axis_index(0)


@pytest.mark.parametrize("field", ["temperature", "velocity"])
def test_other_fields_must_be_finite(field):
    bad = ones(2, 2, 2)
    bad[1, 0, 0] = np.nan
    given = {field: bad if field == "temperature" else {"x": bad}}
    with pytest.raises(ValueError, match="expected finite values, got NaN or infinity"):
        lab.SimulationCube(ones(2, 2, 2), cell_size=CELL, **given)


@pytest.mark.parametrize("values", [np.ones((2, 2, 2), complex), np.full((2, 2, 2), "a")])
def test_only_real_numbers_are_a_density(values):
    with pytest.raises(TypeError, match="expected real numbers"):
        lab.SimulationCube(values, cell_size=CELL)


def test_a_density_beyond_single_precision_is_refused():
    with pytest.raises(ValueError, match="positive finite"):
        lab.SimulationCube(np.full((2, 2, 2), 1e300), cell_size=CELL)


@pytest.mark.parametrize("field", ["density", "temperature", "velocity"])
def test_masked_cells_are_refused_not_forgotten(field):
    values = np.ma.masked_greater(np.arange(1.0, 9.0).reshape(2, 2, 2), 6)
    fields = {"density": values} if field == "density" else {"density": ones(2, 2, 2)}
    if field != "density":
        fields[field] = {"z": values} if field == "velocity" else values
    with pytest.raises(ValueError, match=rf"{field}.*got 2 masked cells"):
        lab.SimulationCube(**fields, cell_size=CELL)


def test_a_masked_array_without_masked_cells_is_an_array():
    cube = lab.SimulationCube(np.ma.array(ones(2, 2, 2)), cell_size=CELL)
    assert type(cube.density) is np.ndarray


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"density": ones(2, 2, 2) * u.g / u.cm**3},
            r"density: expected a unit .* cm-3, got g / cm3; divide",
        ),
        ({"density": ones(2, 2, 2) * u.one}, "density: expected a unit .*, got no unit$"),
        ({"temperature": ones(2, 2, 2) * u.deg_C}, "temperature: expected a unit .* K, got deg_C"),
        ({"velocity": {"y": ones(2, 2, 2) * u.K}}, r'velocity\["y"\]: expected a unit .* km/s, got K'),
    ],
)
def test_a_unit_that_does_not_fit_is_named_with_its_field(fields, message):
    with pytest.raises(u.UnitsError, match=message):
        lab.SimulationCube(**{"density": ones(2, 2, 2), **fields}, cell_size=CELL)


def test_a_temperature_is_positive():
    with pytest.raises(ValueError, match=r"temperature: expected positive values in K, got -100"):
        lab.SimulationCube(ones(2, 2, 2), cell_size=CELL, temperature=-ones(2, 2, 2))


def test_an_array_is_no_mapping_of_velocities():
    with pytest.raises(TypeError, match="velocity: expected a mapping from axis to component, got ndarray"):
        lab.SimulationCube(ones(2, 2, 2), cell_size=CELL, velocity=ones(3, 2, 2, 2))


@pytest.mark.parametrize("choices", [{}, {"cell_size": None}])
def test_a_missing_cell_size_is_refused_with_what_to_write(choices):
    with pytest.raises(TypeError, match=r"cell_size: expected a Quantity.*cell_size=1 \* u\.pc"):
        lab.SimulationCube(ones(2, 2, 2), **choices)
