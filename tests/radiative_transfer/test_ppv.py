"""Line cubes as objects and as files: our own round trips, spectral-cube, and real cubes with their habits."""

import tracemalloc
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits

from polaris_lab.clouds import SimulationCube
from polaris_lab.radiative_transfer import Line, PPVCube, integrated_intensity, moments, synthesize_ppv

KMS = u.km / u.s


@pytest.fixture(scope="module")
def ppv(turbulent_cloud, line):
    return synthesize_ppv(
        turbulent_cloud(),
        line,
        abundance=1.4e-6,
        velocity=np.linspace(-5, 5, 101) * KMS,
        turbulent_dispersion=0.1 * KMS,
    )


# -- the object --------------------------------------------------------------------------------------------


def test_says_what_it_is(ppv):
    assert repr(ppv) == (
        "PPVCube(13CO 1-0: 101 channels of 0.1 km/s from -5 to 5 km/s, 12 x 16 pixels of 0.05 pc, seen along z; K)"
    )


def test_spectrum_and_channel(ppv):
    np.testing.assert_array_equal(ppv.spectrum(row=3, column=5), ppv.data[:, 3, 5])
    np.testing.assert_array_equal(ppv.channel(0.96 * KMS), ppv.data[60])
    with pytest.raises(IndexError, match="expected a pixel of 12 x 16"):
        ppv.spectrum(row=12, column=0)


@pytest.mark.parametrize(
    ("data", "velocity", "message"),
    [
        (np.zeros((3, 4)), [0, 1, 2], "three axes"),
        (np.zeros((3, 4, 5)), [0, 1], "one for each of the 3 channels"),
        (np.zeros((3, 4, 5)), [2, 1, 0], "ascending"),
    ],
)
def test_bad_cubes_are_refused(data, velocity, message):
    with pytest.raises(ValueError, match=message):
        PPVCube(data, velocity)


# -- our own files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", ["z", "y"])
def test_fits_round_trip(turbulent_cloud, line, tmp_path, axis):
    cube = turbulent_cloud()
    ppv = synthesize_ppv(
        cube,
        line.with_einstein_a(6.333e-8),
        abundance=1.4e-6,
        axis=axis,
        velocity=np.linspace(-5, 5, 51) * KMS,
    )
    back = PPVCube.open(ppv.to_fits(tmp_path / "new" / "cube.fits"))
    np.testing.assert_array_equal(back.data, ppv.data)
    np.testing.assert_allclose(back.velocity, ppv.velocity, atol=1e-12)
    assert back.line.einstein_a == 6.333e-8
    assert back.axis == axis
    assert back.pixel_size.to_value("pc") == pytest.approx(0.05)
    assert back.unit == "K"


def test_fits_header_says_everything(ppv, tmp_path):
    header = fits.getheader(ppv.to_fits(tmp_path / "cube.fits", distance=140 * u.pc))
    assert header["CTYPE3"] == "VRAD"
    assert header["SPECSYS"] == "LSRK"
    assert header["BUNIT"] == "K"
    assert header["RESTFRQ"] == pytest.approx(110.2013542798e9, rel=1e-12)
    assert header["CDELT2"] == pytest.approx(np.degrees(0.05 / 140))


def test_a_header_says_how_the_cube_was_made(ppv, turbulent_cloud, line, tmp_path):
    header = fits.getheader(ppv.to_fits(tmp_path / "cube.fits"))
    assert (header["ABUNDANC"], header.comments["ABUNDANC"]) == (1.4e-6, "molecules per hydrogen nucleus")
    assert (header["TURBSIG"], header["INCELLV"], header["CHANNEL"]) == (0.1, "linear", "centre")
    assert header["LOSAXIS"] == "z"
    assert header["TBACK"] == pytest.approx(2.72548)
    assert "positive recedes" in header.comments["CTYPE3"]
    back = PPVCube.open(tmp_path / "cube.fits")
    assert back.provenance["abundance_per_hydrogen"] == 1.4e-6
    cube = turbulent_cloud()
    array = synthesize_ppv(cube, line, abundance=1e-6 * np.ones(cube.shape), velocity=[-4, 0, 4] * KMS)
    assert fits.getheader(array.to_fits(tmp_path / "array.fits"))["ABUNDANC"] == "array"


def test_fits_needs_even_channels(line, tmp_path):
    uneven = PPVCube(np.zeros((3, 2, 2)), [0, 1, 3], line=line)
    with pytest.raises(ValueError, match="equally spaced channels for FITS"):
        uneven.to_fits(tmp_path / "cube.fits")
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten_unasked(ppv, tmp_path):
    path = ppv.to_fits(tmp_path / "cube.fits")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        ppv.to_fits(path)
    ppv.to_fits(path, overwrite=True)
    assert [item.name for item in tmp_path.iterdir()] == ["cube.fits"]


def test_spectral_cube_reads_it_and_agrees(ppv, tmp_path):
    """spectral-cube opens the file without repairs and its moments are ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what spectral-cube itself warns of is not ours
        from spectral_cube import SpectralCube

        cube = SpectralCube.read(ppv.to_fits(tmp_path / "cube.fits"))
        assert cube.unit == u.K
        assert cube.spectral_axis.unit == u.m / u.s
        assert cube.wcs.wcs.restfrq == pytest.approx(ppv.line.rest_frequency_hz)
        cube = cube.with_spectral_unit(KMS, velocity_convention="radio")
        np.testing.assert_allclose(cube.spectral_axis.value, ppv.velocity, atol=1e-9)
        ours = moments.moments(ppv)
        np.testing.assert_allclose(cube.moment0().value, ours.integrated_intensity, rtol=1e-5)
        np.testing.assert_allclose(cube.moment1().value, ours.centroid, atol=1e-4)
        np.testing.assert_allclose(cube.linewidth_sigma().value, ours.dispersion, rtol=1e-3)
        np.testing.assert_allclose(cube.max(axis=0).value, ours.peak, rtol=1e-6)


# -- cubes written block by block -----------------------------------------------------------------------------


@pytest.mark.parametrize("axis", ["z", "y", "x"])
@pytest.mark.parametrize("suffix", [".fits", ".zarr"])
def test_blocks_on_disk_equal_memory(turbulent_cloud, line, tmp_path, monkeypatch, axis, suffix, capsys):
    """A cube read from memory maps and written in many blocks is the cube computed at once."""
    source = turbulent_cloud()
    fields = {"n": source.density, "t": source.temperature, "v": source.velocity[axis]}
    for name, values in fields.items():
        np.save(tmp_path / f"{name}.npy", values)
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in fields}
    cube = type(source)(
        mapped["n"], cell_size=source.cell_size, temperature=mapped["t"], velocity={axis: mapped["v"]}
    )
    choices = {"abundance": 1.4e-6, "axis": axis, "velocity": np.linspace(-5, 5, 41) * KMS}
    at_once = synthesize_ppv(source, line, **choices)
    monkeypatch.setattr("polaris_lab.radiative_transfer.rays.BLOCK_BYTES", 40_000)
    path = tmp_path / f"out{suffix}"
    written = synthesize_ppv(cube, line, output=path, **choices)
    assert "ray" in capsys.readouterr().err  # the bar of several blocks
    written = np.asarray(written.data[:])
    assert np.abs(written - at_once.data).max() < 2e-6 * at_once.data.max()  # vector lanes fall elsewhere
    again = PPVCube.open(path)
    assert again.line == line
    np.testing.assert_array_equal(np.asarray(again.data[:]), written)
    np.testing.assert_allclose(integrated_intensity(again), integrated_intensity(at_once), atol=1e-5)
    assert not list(tmp_path.glob("*.partial"))


def test_memory_is_bounded(turbulent_cloud, line, tmp_path, monkeypatch):
    """A cube of 25 MB on disk, seen in 100 channels of 13 MB more, in blocks of 1 MB: a few MB are ever held."""
    shape = (64, 96, 128)
    for name, value in (("n", 100.0), ("t", 10.0), ("v", 0.0)):
        array = np.lib.format.open_memmap(tmp_path / f"{name}.npy", mode="w+", dtype=np.float32, shape=shape)
        array[:] = value
    fields = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "ntv"}
    cube = SimulationCube(
        fields["n"], cell_size=0.1 * u.pc, temperature=fields["t"], velocity={"z": fields["v"]}
    )
    choices = {"abundance": 1e-6, "velocity": np.linspace(-1, 1, 100) * KMS, "progress": False}
    synthesize_ppv(
        turbulent_cloud(), line, **(choices | {"velocity": np.linspace(-5, 5, 9) * KMS})
    )  # compile
    monkeypatch.setattr("polaris_lab.radiative_transfer.rays.BLOCK_BYTES", 2**20)
    tracemalloc.start()
    try:
        synthesize_ppv(cube, line, output=tmp_path / "out.zarr", **choices)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20


def test_a_cluster_gives_the_same(turbulent_cloud, line, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="needs the extra polaris-lab[cluster]")
    monkeypatch.setattr("polaris_lab.radiative_transfer.rays.MESSAGE_BYTES", 20_000)
    choices = {"abundance": 1.4e-6, "velocity": np.linspace(-5, 5, 41) * KMS, "progress": False}
    alone = synthesize_ppv(turbulent_cloud(), line, **choices)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        together = synthesize_ppv(turbulent_cloud(), line, client=client, **choices)
    assert np.abs(together.data - alone.data).max() < 2e-6 * alone.data.max()


def test_a_failure_leaves_nothing_behind(turbulent_cloud, line, tmp_path, monkeypatch):
    source = turbulent_cloud()
    np.save(tmp_path / "t.npy", np.where(np.arange(16) == 9, -1, source.temperature).astype(np.float32))
    np.save(tmp_path / "n.npy", source.density)
    cube = type(source)(
        np.load(tmp_path / "n.npy", mmap_mode="r"),
        cell_size=source.cell_size,
        temperature=np.load(tmp_path / "t.npy", mmap_mode="r"),
        velocity=source.velocity,
    )
    monkeypatch.setattr("polaris_lab.radiative_transfer.rays.BLOCK_BYTES", 1)
    with pytest.raises(ValueError, match="temperature: expected positive"):
        synthesize_ppv(
            cube, line, abundance=1e-6, velocity=[0] * KMS, output=tmp_path / "out.fits", progress=False
        )
    assert sorted(item.name for item in tmp_path.iterdir()) == ["n.npy", "t.npy"]


def test_bad_outputs_are_refused_before_the_work(turbulent_cloud, line, tmp_path):
    choices = {"abundance": 1e-6, "velocity": [0] * KMS}
    with pytest.raises(ValueError, match=r"ending in .fits or .zarr"):
        synthesize_ppv(turbulent_cloud(), line, output=tmp_path / "cube.txt", **choices)
    (tmp_path / "cube.fits").write_text("mine")
    with pytest.raises(FileExistsError):
        synthesize_ppv(turbulent_cloud(), line, output=tmp_path / "cube.fits", **choices)
    with pytest.raises(ValueError, match="one path for each of the 2 lines"):
        synthesize_ppv(turbulent_cloud(), [line, line], output=tmp_path / "other.fits", **choices)


# -- observed cubes --------------------------------------------------------------------------------------------


def test_the_l1448_cube(shared_data, caplog):
    """EQUINOX = 0, optical velocities in m/s, antenna temperatures."""
    path = shared_data / "ppv" / "perseus_l1448_13co10.fits"
    ppv = PPVCube.open(path)
    assert ppv.shape == (53, 105, 105)
    assert ppv.velocity[0] == pytest.approx(2.528, abs=1e-3)
    assert ppv.velocity[-1] == pytest.approx(5.982, abs=1e-3)
    assert ppv.pixel_size.to_value("arcsec") == pytest.approx(23, abs=0.01)
    assert "EQUINOX = 0.0 is no year" in caplog.text
    assert ppv.provenance["velocity_convention"] == "VOPT"
    centre = ppv.wcs.pixel_to_world(52, 52)
    assert abs(centre.dec.deg - 30.6) < 0.3
    assert 50.9 < centre.ra.deg < 51.8
    main_beam = PPVCube.open(path, main_beam_efficiency=0.5)
    np.testing.assert_allclose(main_beam.data, 2 * ppv.data)
    bright = integrated_intensity(main_beam)
    assert 5 < np.nanpercentile(bright, 99) < 40  # K km/s


def test_an_observed_cube_goes_round(shared_data, tmp_path):
    ppv = PPVCube.open(shared_data / "ppv" / "perseus_l1448_13co10.fits", line=Line.named("13CO"))
    back = PPVCube.open(ppv.to_fits(tmp_path / "l1448.fits"))
    np.testing.assert_array_equal(back.data, ppv.data)
    one, two = ppv.wcs.pixel_to_world(10, 20), back.wcs.pixel_to_world(10, 20)
    assert one.separation(two) < 0.01 * u.arcsec


def test_a_map_is_no_cube(shared_data):
    with pytest.raises(
        ValueError, match=r"expected a cube with three axes, got PRIMARY: 2 axes; a map is opened with"
    ):
        PPVCube.open(shared_data / "ppv" / "perseus_ngc1333_13co10_integrated.fits")


def observed(tmp_path, data, **cards):
    header = fits.Header()
    for key, value in cards.items():
        header[key.replace("_", "-")] = value
    path = tmp_path / "observed.fits"
    fits.writeto(path, data, header, overwrite=True)
    return path


SKY = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -0.01, "CDELT2": 0.01, "CRPIX1": 1, "CRPIX2": 1}
RADIO = {"CTYPE3": "VRAD", "CDELT3": 100.0, "CRVAL3": -200.0, "CRPIX3": 1.0, "CUNIT3": "m/s"}


def test_axes_in_any_order(tmp_path):
    """Velocity first in FITS order, or a degenerate Stokes axis: the same cube comes back."""
    data = np.arange(2.0 * 3 * 4).reshape(4, 2, 3)  # (v, dec, ra)
    plain = PPVCube.open(observed(tmp_path, data, **SKY, **RADIO))
    np.testing.assert_array_equal(plain.data, data)
    np.testing.assert_allclose(plain.velocity, [-0.2, -0.1, 0, 0.1])
    stokes = PPVCube.open(observed(tmp_path, data[None], **SKY, **RADIO, CTYPE4="STOKES", CRPIX4=1, CRVAL4=1))
    np.testing.assert_array_equal(stokes.data, data)
    turned = {f"{key[:5]}{int(key[5]) % 3 + 1}": value for key, value in (SKY | RADIO).items()}
    first = PPVCube.open(observed(tmp_path, data.transpose(1, 2, 0), **turned))  # FITS axes: v, ra, dec
    np.testing.assert_array_equal(first.data, data)
    np.testing.assert_allclose(first.velocity, plain.velocity)


def test_descending_velocities_are_turned(tmp_path):
    data = np.arange(24.0).reshape(4, 2, 3)
    ppv = PPVCube.open(observed(tmp_path, data, **SKY, **(RADIO | {"CDELT3": -100.0})))
    np.testing.assert_array_equal(ppv.data, data[::-1])
    assert (np.diff(ppv.velocity) > 0).all()


@pytest.mark.parametrize(("step", "scale"), [(100.0, 1e-3), (0.1, 1.0)])
def test_a_velocity_axis_without_unit(tmp_path, caplog, step, scale):
    cards = {key: value for key, value in RADIO.items() if key != "CUNIT3"} | {"CDELT3": step, "CRVAL3": 0.0}
    path = observed(tmp_path, np.zeros((4, 2, 3)), **SKY, **cards)
    ppv = PPVCube.open(path)
    np.testing.assert_allclose(ppv.velocity, np.arange(4) * step * scale)
    assert "the velocity axis has no unit" in caplog.text
    told = PPVCube.open(path, velocity_unit="cm/s")
    np.testing.assert_allclose(told.velocity, np.arange(4) * step * 1e-5)


def test_blanks_stay_blank(tmp_path):
    data = np.ones((4, 2, 3))
    data[:, 0, 1] = np.nan
    data[2, 1, 1] = np.nan
    ppv = PPVCube.open(observed(tmp_path, data, **SKY, **RADIO))
    found = integrated_intensity(ppv)
    assert np.isnan(found[0, 1])
    assert found[1, 1] == pytest.approx(0.3)
    assert found[1, 2] == pytest.approx(0.4)


def test_a_frequency_axis_is_refused_unless_told_how(tmp_path):
    rest = 110.2013543e9
    cards = {"CTYPE3": "FREQ", "CUNIT3": "Hz", "CRPIX3": 1.0, "CRVAL3": rest, "CDELT3": -36759.0}
    path = observed(tmp_path, np.arange(24.0).reshape(4, 2, 3), **SKY, **cards, RESTFRQ=rest)
    with pytest.raises(
        ValueError, match=r"got a frequency axis \(CTYPE3 = FREQ\); open it with rest_frequency=110.2013543"
    ):
        PPVCube.open(path)
    ppv = PPVCube.open(path, rest_frequency=rest * u.Hz)
    np.testing.assert_allclose(ppv.velocity, np.arange(4) * 0.1, atol=1e-5)
    assert ppv.line == Line.named("13CO", "1-0")


def test_no_spectral_axis_and_bad_efficiency(tmp_path):
    path = observed(tmp_path, np.zeros((4, 2, 3)), **SKY)
    with pytest.raises(ValueError, match="expected a velocity axis"):
        PPVCube.open(path)
    with pytest.raises(ValueError, match="main_beam_efficiency: expected above 0 and at most 1"):
        PPVCube.open(path, main_beam_efficiency=50)


def test_progress_is_told_and_changes_nothing_but_rounding(turbulent_cloud, line):
    cloud, choices = (
        turbulent_cloud(),
        {"abundance": 1e-6, "velocity": np.arange(-4.5, 5) * KMS, "progress": False},
    )
    told = []
    watched = synthesize_ppv(
        cloud, line, on_progress=lambda done, total: told.append((done, total)), **choices
    )
    rays = cloud.shape[1] * cloud.shape[2]
    assert told[0] == (0, rays)
    assert told[-1] == (rays, rays)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert len(told) > 10
    np.testing.assert_allclose(
        watched.data, synthesize_ppv(cloud, line, **choices).data, rtol=1e-5, atol=1e-6
    )


def test_whoever_watches_may_stop_and_nothing_is_left(turbulent_cloud, line, tmp_path):
    class Stopped(Exception):
        pass

    def stop(done, total):
        if done > total / 2:
            raise Stopped

    choices = {"abundance": 1e-6, "velocity": np.arange(-4.5, 5) * KMS, "progress": False}
    with pytest.raises(Stopped):
        synthesize_ppv(turbulent_cloud(), line, output=tmp_path / "cube.fits", on_progress=stop, **choices)
    assert list(tmp_path.iterdir()) == []
