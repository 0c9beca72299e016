"""`polaris-lab emission`: a cube in, line cubes out; every wrong request is one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits

from polaris_lab.cli import main
from polaris_lab.cli.line_options import parse_center, parse_line, parse_quantity, parse_velocity
from polaris_lab.clouds import SimulationCube
from polaris_lab.radiative_transfer import Line, PPVCube, integrated_intensity, synthesize_ppv

CHANNELS = "-2 2 0.1 km/s"


def gas() -> SimulationCube:
    """A small cloud, different along each axis."""
    rng = np.random.default_rng(3)
    shape = (5, 6, 7)
    ramp = np.broadcast_to(np.linspace(-0.6, 0.8, 7), shape)
    return SimulationCube(
        10 ** rng.uniform(2, 4, shape),
        cell_size=0.1 * u.pc,
        temperature=rng.uniform(8, 20, shape),
        velocity={"z": ramp, "x": -ramp},
        name="a cloud",
    )


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    """A cube in a file, beside the working folder."""
    monkeypatch.chdir(tmp_path)
    return gas().save(tmp_path / "cloud.npz")


def emission(*words) -> int:
    return main(["emission", *(str(word) for word in words)])


def refused(capsys, *words) -> str:
    """Return the one line that a refusal says."""
    assert emission(*words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def test_the_file_is_what_the_library_computes(cloud, tmp_path):
    assert (
        emission(
            cloud, "--line", "13CO:1-0", "--abundance", "1.4e-6", "--axis", "z", "--output", "13co.fits",
            "--velocity", CHANNELS,
        )
        == 0
    )  # fmt: skip
    velocity = (-2 + 0.1 * np.arange(41)) * u.km / u.s
    expected = synthesize_ppv(gas(), Line.named("13CO"), abundance=1.4e-6, velocity=velocity)
    made = PPVCube.open(tmp_path / "13co.fits")
    np.testing.assert_allclose(made.data, expected.data, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(made.velocity, expected.velocity, atol=1e-9)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["13co.fits", "cloud.npz"]


def test_the_file_opens_in_spectral_cube_with_units(cloud, tmp_path):
    spectral_cube = pytest.importorskip("spectral_cube")
    assert emission(cloud, "--line", "13CO:1-0", "--output", "13co.fits", "--velocity", CHANNELS) == 0
    cube = spectral_cube.SpectralCube.read(tmp_path / "13co.fits")
    assert cube.unit == u.K
    assert cube.shape == (41, 6, 7)
    assert cube.spectral_axis.unit.is_equivalent(u.km / u.s)
    assert cube.header["RESTFRQ"] == pytest.approx(110.2013542798e9)
    moment = cube.with_spectral_unit(u.km / u.s).moment(order=0).to_value(u.K * u.km / u.s)
    np.testing.assert_allclose(
        moment, integrated_intensity(PPVCube.open(tmp_path / "13co.fits")), rtol=1e-4, atol=1e-5
    )


def test_several_lines_have_usual_abundances_and_names_of_their_own(cloud, tmp_path, capsys):
    words = ["--line", "13CO", "--line", "12CO:2-1", "--velocity", CHANNELS]
    assert emission(cloud, *words, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert [made["line"] for made in answer["cubes"]] == ["13CO 1-0", "12CO 2-1"]
    assert [made["abundance_per_hydrogen"] for made in answer["cubes"]] == pytest.approx([1e-4 / 70, 1e-4])
    assert answer["cubes"][0]["velocity_km_s"] == pytest.approx({"first": -2, "last": 2, "step": 0.1})
    assert {path.name for path in tmp_path.glob("*.fits")} == {
        "cloud_13CO_1-0.fits",
        "cloud_12CO_2-1.fits",
    }
    assert answer["cubes"][1]["peak_K"] > answer["cubes"][0]["peak_K"] > 0


def test_a_folder_takes_the_usual_names(cloud, tmp_path):
    (tmp_path / "out").mkdir()
    assert emission(cloud, "--line", "C18O", "--output", "out", "--velocity", CHANNELS) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cloud_C18O_1-0.fits"]


def test_zarr_is_written_too(cloud, tmp_path):
    assert emission(cloud, "--line", "13CO", "--output", "13co.zarr", "--velocity", CHANNELS) == 0
    assert PPVCube.open(tmp_path / "13co.zarr").shape == (41, 6, 7)


def test_channels_are_chosen_from_the_cube_and_said(cloud, capsys):
    assert emission(cloud, "--line", "13CO", "--quiet") == 0
    out, err = capsys.readouterr()
    assert "chosen from the cube" in out
    assert err == ""


def test_the_reports_scheme(cloud, tmp_path):
    words = ["--in-cell-velocity", "constant", "--turbulent-dispersion", "gradient", "--channel", "average"]
    assert emission(cloud, "--line", "13CO", "--output", "a.fits", "--velocity", CHANNELS, *words) == 0
    header = fits.getheader(tmp_path / "a.fits")
    assert (header["INCELLV"], header["TURBSIG"], header["CHANNEL"]) == ("constant", "gradient", "average")


def test_float64(cloud, tmp_path):
    words = ["--precision", "float64", "--velocity", CHANNELS]
    assert emission(cloud, "--line", "13CO", "--output", "a.fits", *words) == 0
    assert fits.getheader(tmp_path / "a.fits")["BITPIX"] == -64


def test_a_telescope_keeps_the_flux_and_says_what_it_is(cloud, tmp_path):
    words = ["--distance", "400 pc", "--center", "05:41:00 -01:51:00", "--beam", "90 arcsec"]
    words += ["--velocity", CHANNELS]
    assert emission(cloud, "--line", "13CO", "--output", "sharp.fits", "--velocity", CHANNELS) == 0
    assert emission(cloud, "--line", "13CO", "--output", "seen.fits", *words) == 0
    header = fits.getheader(tmp_path / "seen.fits")
    assert header["CRVAL1"] == pytest.approx(85.25)
    assert header["CDELT2"] * 3600 == pytest.approx(0.1 / 400 * 206264.806, rel=1e-6)
    assert header["BMAJ"] * 3600 == pytest.approx(90)
    assert header["DISTPC"] == pytest.approx(400)
    sharp, seen = (fits.getdata(tmp_path / name) for name in ("sharp.fits", "seen.fits"))
    assert seen.max() < sharp.max()
    assert seen.sum() == pytest.approx(sharp.sum(), rel=0.1)  # but for the edges


def test_noise_has_the_level_asked_for_and_its_seed(cloud, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        words = ["--noise", "0.5 K", "--seed", seed, "--velocity", "20 40 0.1 km/s"]
        assert emission(cloud, "--line", "13CO", "--output", f"{name}.fits", *words) == 0
    a, b, c = (fits.getdata(tmp_path / f"{name}.fits") for name in "abc")
    assert np.std(a) == pytest.approx(0.5, rel=0.03)
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert fits.getheader(tmp_path / "a.fits")["NOISERMS"] == pytest.approx(0.5)


def test_a_file_of_other_names_and_without_temperature(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cube = gas()
    np.savez(tmp_path / "foreign.npz", rho=cube.density, vz=cube.velocity["z"])
    words = ["--field", "density=rho", "--field", "velocity_z=vz", "--cell-size", "0.1 pc"]
    assert '--unit "density=cm-3"' in refused(capsys, "foreign.npz", "--line", "13CO", *words)
    words += [
        "--unit",
        "density=cm-3",
        "--unit",
        "velocity_z=km s-1",
        "--temperature",
        "10 K",
        "--velocity",
        CHANNELS,
        "--output",
        "a.fits",
    ]
    assert emission("foreign.npz", "--line", "13CO", *words) == 0
    isothermal = SimulationCube(
        cube.density,
        cell_size=cube.cell_size,
        velocity=cube.velocity,
        temperature=np.full(cube.shape, 10.0),
    )
    expected = synthesize_ppv(
        isothermal, Line.named("13CO"), abundance=1e-4 / 70, velocity=parse_velocity(CHANNELS)
    )
    np.testing.assert_allclose(PPVCube.open(tmp_path / "a.fits").data, expected.data, rtol=1e-5, atol=1e-6)


def test_a_name_that_fits_cannot_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cube = gas()
    cube.name = "nuage é"
    cube.save(tmp_path / "nuage é.npz")
    assert emission("nuage é.npz", "--line", "13CO", "--velocity", CHANNELS) == 0
    assert fits.getheader(tmp_path / "nuage_é_13CO_1-0.fits")["ORIGIN"] == "nuage ?"


# -- what is refused -----------------------------------------------------------------------------------


def test_a_cube_without_temperature(cloud, tmp_path, capsys):
    cube = gas()
    SimulationCube(cube.density, cell_size=cube.cell_size, velocity=cube.velocity).save(tmp_path / "cold.npz")
    message = refused(capsys, "cold.npz", "--line", "13CO")
    assert "expected a temperature [K]" in message
    assert '--temperature "10 K"' in message


def test_a_cube_without_velocity_along_the_axis(cloud, tmp_path, capsys):
    assert "--axis z or --axis x" in refused(capsys, cloud, "--line", "13CO", "--axis", "y")
    cube = gas()
    SimulationCube(cube.density, cell_size=cube.cell_size, temperature=cube.temperature).save("still.npz")
    assert "got no velocity; give --field velocity_z=KEY" in refused(capsys, "still.npz", "--line", "13CO")


def test_a_temperature_of_zero(cloud, capsys, tmp_path):
    cube = gas()
    fields = {"density": cube.density, "temperature": 0 * cube.density, "velocity_z": cube.velocity["z"]}
    np.savez("frozen.npz", **fields)
    for velocity in ([], ["--velocity", CHANNELS]):
        message = refused(capsys, "frozen.npz", "--cell-size", "0.1 pc", "--line", "13CO", *velocity)
        assert "temperature" in message
        assert "positive" in message
    assert not list(tmp_path.glob("*.fits*"))


BAD = [
    (["--line", "13C0:1-0"], "--line 13C0:1-0: molecule: unknown '13C0': did you mean '13CO'"),
    (["--line", "13CO:9-8"], "transition: unknown '9-8' of 13CO"),
    (["--line", "13CO", "--abundance", "-1e-6"], "--abundance: expected zero or more"),
    (["--line", "13CO", "--abundance", "nan"], "--abundance: expected zero or more"),
    (["--line", "13CO", "--line", "12CO", "--abundance", "1e-6"], "13CO and 12CO are not equally abundant"),
    (["--line", "13CO", "--velocity", "-5 5 0.1"], "got no unit in"),
    (["--line", "13CO", "--velocity", "5 -5 0.1 km/s"], "--velocity: expected ascending channels"),
    (["--line", "13CO", "--velocity", "-5 5 -0.1 km/s"], "--velocity: expected ascending channels"),
    (["--line", "13CO", "--velocity", "110 111 0.1 GHz"], "expected km/s, got frequencies"),
    (["--line", "13CO", "--velocity", "-5 5 km/s"], "expected lowest and highest channel, step and unit"),
    (["--line", "13CO", "--velocity", "-5 5 1e-9 km/s"], "expected at most 100000 channels"),
    (["--line", "13CO", "--turbulent-dispersion", "0.2"], "the unit is not optional"),
    (["--line", "13CO", "--turbulent-dispersion", "-0.2 km/s"], "number of zero or more"),
    (["--line", "13CO", "--turbulent-dispersion", "gradient"], "would count the gradient twice"),
    (["--line", "13CO", "--beam", "30 arcsec"], "--distance: expected one with --beam in angles"),
    (["--line", "13CO", "--center", "80 1"], "--distance: expected one with --center"),
    (["--line", "13CO", "--center", "north", "--distance", "1 kpc"], "--center: expected right ascension"),
    (["--line", "13CO", "--distance", "400"], "the unit is not optional"),
    (["--line", "13CO", "--noise", "0 K"], "--noise: expected a positive number"),
    (["--line", "13CO", "--noise", "1 K", "--seed", "-1"], "--seed: expected a whole number from 0 up"),
    (["--line", "13CO", "--field", "rho"], "--field: expected NAME=VALUE"),
    (["--line", "13CO", "--output", "13co.txt"], "--output: expected a path ending in .fits or .zarr"),
    (["--line", "13CO", "--noise", "1 K", "--output", "a.zarr"], "expected a path ending in .fits with"),
    (["--line", "13CO", "--line", "12CO", "--output", "a.fits"], "expected a path for each of the 2 lines"),
    (["--line", "13CO", "--line", "13CO"], "--output: expected another path for each line"),
]


@pytest.mark.parametrize(("words", "expected"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_a_wrong_request_is_one_line_and_writes_nothing(words, expected, cloud, capsys, tmp_path):
    assert expected in refused(capsys, cloud, *words)
    assert list(tmp_path.iterdir()) == [cloud]


def test_a_missing_cube_is_named(capsys, tmp_path):
    assert "none.npz" in refused(capsys, tmp_path / "none.npz", "--line", "13CO")


def test_a_file_that_does_not_say_its_cell_size(tmp_path, capsys):
    np.savez(tmp_path / "bare.npz", density=np.ones((3, 3, 3)))
    assert 'give --cell-size "0.05 pc"' in refused(capsys, tmp_path / "bare.npz", "--line", "13CO")


def test_channels_that_miss_the_line_are_warned_of_with_the_range(cloud, capsys):
    words = ["--line", "13CO", "--velocity", "20 30 0.1 km/s", "--output", "a.fits"]
    assert emission(cloud, *words) == 0
    warning = capsys.readouterr().err
    assert "warning: 100.0% of the gas moves outside the channels" in warning
    assert "the gas needs -1.1 to 1.3 km/s" in warning
    assert emission(cloud, *words, "--overwrite", "--json") == 0
    assert "the gas needs" in json.loads(capsys.readouterr().out)["warnings"][0]


def test_what_exists_is_kept_unless_told_otherwise(cloud, tmp_path, capsys):
    target = tmp_path / "a.fits"
    target.write_text("mine")
    words = [cloud, "--line", "13CO", "--velocity", CHANNELS, "--output", target]
    assert "give --overwrite or another --output" in refused(capsys, *words)
    assert target.read_text() == "mine"
    assert emission(*words, "--overwrite") == 0
    assert fits.getheader(target)["BUNIT"] == "K"


def test_neither_the_cube_nor_a_folder_is_overwritten(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cube = gas().save(tmp_path / "cloud.fits")
    (tmp_path / "data.zarr").mkdir()
    (tmp_path / "data.zarr" / "diary.txt").write_text("mine")
    words = [cube, "--line", "13CO", "--overwrite", "--output"]
    assert "got the cube itself" in refused(capsys, *words, "cloud.fits")
    assert "a folder of something else" in refused(capsys, *words, "data.zarr")
    assert (tmp_path / "data.zarr" / "diary.txt").exists()


@pytest.mark.parametrize("options", [[], ["--noise", "0.1 K"]])
def test_an_interrupt_leaves_nothing_behind(options, cloud, tmp_path, monkeypatch):
    from polaris_lab.radiative_transfer import job, ppv_files

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    if options:
        monkeypatch.setattr(ppv_files, "create_fits", interrupted)
    else:
        monkeypatch.setattr(job, "map_tasks", interrupted)
    words = ["--line", "13CO", "--velocity", CHANNELS, "--output", "a.fits", *options]
    assert emission(cloud, *words) == 130
    assert list(tmp_path.iterdir()) == [cloud]


# -- options -------------------------------------------------------------------------------------------


def test_lines_are_named_or_read_from_a_file(tmp_path, shared_data):
    assert parse_line("co:3-2") == Line.named("12CO", "3-2")
    path = next((shared_data / "lamda").glob("13co*.dat"))
    assert parse_line(f"{path}:2-1").rest_frequency_hz == pytest.approx(220.3986841281e9)
    assert parse_line(str(path)).transition == "1-0"


@pytest.mark.parametrize("text", ["-1 1 0.25 km/s", "-1,1,0.25 km/s", "-1000 1000 250 m/s", "-1 1.1 .25km/s"])
def test_channels_run_from_the_lowest_to_at_most_the_highest(text):
    np.testing.assert_allclose(parse_velocity(text).to_value("km/s"), np.linspace(-1, 1, 9), atol=1e-12)


def test_positions():
    for text in ("85.25 -1.85", "05:41:00 -01:51:00", "5h41m0s -1d51m0s"):
        position = parse_center(text)
        assert (position.ra.deg, position.dec.deg) == pytest.approx((85.25, -1.85))


@pytest.mark.parametrize("text", ["K", "1 2 K", "inf K", "nan K", "1", "1 km"])
def test_quantities_that_are_none(text):
    with pytest.raises(ValueError, match="--noise: expected a"):
        parse_quantity(text, "K", "--noise", "0.1 K", positive=True)
