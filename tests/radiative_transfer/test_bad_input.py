"""What a wrong request says: expected, got, remedy."""

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.clouds import SimulationCube
from polaris_lab.radiative_transfer import ChannelRangeWarning, optical_depth, synthesize_ppv

KMS = u.km / u.s
FIELD = np.full((6, 4, 5), 100.0)
VELOCITY = np.linspace(-2, 2, 21) * KMS


def cloud(**changes):
    fields = {"temperature": FIELD / 10, "velocity": {"z": 0 * FIELD}} | changes
    return SimulationCube(FIELD, cell_size=0.1 * u.pc, **fields)


def synthesize(line, cube=None, **changes):
    return synthesize_ppv(cube or cloud(), line, **({"abundance": 1.4e-6, "velocity": VELOCITY} | changes))


def test_the_plain_request_is_fine(line):
    assert np.isfinite(synthesize(line).data).all()


def test_no_temperature(line):
    with pytest.raises(
        ValueError, match=r"expected a temperature \[K\].*got a cube without one; build it with"
    ):
        synthesize(line, cloud(temperature=None))


def test_no_velocity_along_the_axis(line):
    with pytest.raises(ValueError, match='velocity: expected the component along "x", the cube carries "z"'):
        synthesize(line, axis="x")
    with pytest.raises(ValueError, match="carries none"):
        synthesize(line, cloud(velocity=None))


@pytest.mark.parametrize("kelvin", [0.0, -5.0])
@pytest.mark.parametrize("velocity", [VELOCITY, None])
def test_temperature_must_be_positive(line, kelvin, velocity):
    field = FIELD / 10
    field[2, 1, 3] = kelvin
    with pytest.raises(ValueError, match=r"temperature.*expected.*positive.*got"):
        synthesize(line, cloud(temperature=field), velocity=velocity)


@pytest.mark.parametrize("abundance", [-1e-6, np.nan, np.inf, np.full(FIELD.shape, -1e-6)])
def test_abundance_must_not_be_negative(line, abundance):
    with pytest.raises(ValueError, match=r"abundance: expected .*zero or more"):
        synthesize(line, abundance=abundance)


def test_abundance_must_be_a_number(line):
    with pytest.raises(TypeError, match="molecules per hydrogen nucleus, such as"):
        synthesize(line, abundance="much")


def test_shapes_must_agree(line):
    with pytest.raises(
        ValueError, match=r"abundance: expected the shape of the density \(6, 4, 5\), got \(6, 4, 4\)"
    ):
        synthesize(line, abundance=FIELD[..., :4])
    with pytest.raises(ValueError, match=r"turbulent_dispersion: expected the shape of the density"):
        synthesize(line, turbulent_dispersion=FIELD[:3] * KMS)
    with pytest.raises(ValueError, match="expected one for each of the 2 lines, got 3"):
        synthesize([line, line], abundance=[1e-6] * 3)


def test_channels_must_ascend(line):
    with pytest.raises(
        ValueError, match=r"velocity: expected ascending channel centres, got 2 followed by 1.8.*np.sort"
    ):
        synthesize(line, velocity=VELOCITY[::-1])
    with pytest.raises(ValueError, match="ascending"):
        synthesize(line, velocity=[0, 1, 1, 2] * KMS)


def test_channels_need_a_unit(line):
    with pytest.raises(TypeError, match=r"velocity: expected a Quantity.*got ndarray without a unit; write"):
        synthesize(line, velocity=VELOCITY.value)
    with pytest.raises(u.UnitsError, match=r"velocity: expected km/s, got no unit"):
        synthesize(line, velocity=VELOCITY.value * u.dimensionless_unscaled)
    with pytest.raises(u.UnitsError, match=r"frequencies in GHz; convert them with .*doppler_radio"):
        synthesize(line, velocity=[110.19, 110.2] * u.GHz)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_channels_must_be_finite(line, bad):
    with pytest.raises(ValueError, match="finite channel centres"):
        synthesize(line, velocity=[0, 1, bad] * KMS)


def test_channels_that_miss_the_line_warn_with_the_range(line):
    with pytest.warns(
        ChannelRangeWarning, match=r"100.0% of the gas moves outside.*5 to 7 km/s.*-0.5 to 0.5 km/s"
    ):
        ppv = synthesize(line, velocity=np.linspace(5, 7, 21) * KMS)
    assert np.abs(ppv.data).max() < 1e-6


@pytest.mark.parametrize(
    "choices",
    [
        {"axis": "w"},
        {"in_cell_velocity": "linaer"},
        {"channel": "center"},
        {"precision": "float16"},
        {"backend": "tensorflow"},
        {"turbulent_dispersion": "gradiant"},
    ],
)
def test_unknown_words(line, choices):
    with pytest.raises(ValueError, match=next(iter(choices))):
        synthesize(line, **choices)


def test_the_gradient_is_not_counted_twice(line):
    with pytest.raises(ValueError, match=r'expected in_cell_velocity="constant", got "linear"'):
        synthesize(line, turbulent_dispersion="gradient")


def test_dispersion_needs_a_unit_and_no_sign(line):
    with pytest.raises(TypeError, match="turbulent_dispersion: expected a Quantity"):
        synthesize(line, turbulent_dispersion=0.2)
    with pytest.raises(ValueError, match="expected zero or more"):
        synthesize(line, turbulent_dispersion=-0.2 * KMS)
    with pytest.raises(u.UnitsError):
        synthesize(line, turbulent_dispersion=1 * u.K)


def test_background_is_a_temperature(line):
    with pytest.raises(ValueError, match="background"):
        synthesize(line, background=-1 * u.K)
    with pytest.raises(TypeError, match="background"):
        synthesize(line, background=2.7)


def test_a_line_is_a_line():
    with pytest.raises(TypeError, match=r'expected a Line, got "?\'13CO\''):
        synthesize("13CO")
    with pytest.raises(ValueError, match="at least one Line"):
        synthesize([])


def test_an_optical_depth_is_that_of_one_line(line):
    with pytest.raises(TypeError, match="expected one line, got 2; call optical_depth once for each"):
        optical_depth(cloud(), [line, line], abundance=1.4e-6, velocity=VELOCITY)


def test_lazily_read_gas_is_checked_too(line, tmp_path):
    """A memory map is not read when the cube is made; its bad cells are refused when they are."""
    path = tmp_path / "t.npy"
    np.save(path, np.where(np.arange(FIELD.size).reshape(FIELD.shape) == 7, np.nan, FIELD).astype(np.float32))
    np.save(tmp_path / "n.npy", FIELD.astype(np.float32))
    cube = SimulationCube(
        np.load(tmp_path / "n.npy", mmap_mode="r"),
        cell_size=0.1 * u.pc,
        temperature=np.load(path, mmap_mode="r"),
        velocity={"z": 0 * FIELD},
    )
    with pytest.raises(ValueError, match=r"temperature: expected positive finite values in K, got nan"):
        synthesize(line, cube)


def test_lazily_read_abundance_is_checked_too(line, tmp_path):
    np.save(tmp_path / "x.npy", np.where(FIELD > 0, -1e-6, 0))
    with pytest.raises(ValueError, match="abundance: expected finite values of zero or more"):
        synthesize(line, abundance=np.load(tmp_path / "x.npy", mmap_mode="r"))
