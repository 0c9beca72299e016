"""The line cube in plain ipywidgets: pictures, links, files, bad input."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.radiative_transfer import Line, PPVCube, integrated_intensity, moments
from widgets import PlainEmission
from widgets.emissions import plain_pictures
from widgets.plain_emission import brightest


def make_cube(shape=(12, 10, 16), **changes):
    velocity = np.linspace(-2, 2, shape[0])
    drift = np.linspace(-1, 1, shape[2])
    data = 5 * np.exp(-((velocity[:, None, None] - drift) ** 2) / 0.2) * np.linspace(1, 2, shape[1])[:, None]
    return PPVCube(data, velocity, **({"line": Line.named("13CO"), "pixel_size": 0.1 * u.pc} | changes))


@pytest.fixture(scope="module")
def explorer():
    return PlainEmission(make_cube(), frames=6, places=4)


def pixels(svg: str) -> np.ndarray:
    """Decode the map of a picture."""
    import matplotlib.image

    data = re.search(r'href="data:image/png;base64,([^"]+)"', svg).group(1)
    return matplotlib.image.imread(io.BytesIO(base64.b64decode(data)), format="png")


def test_the_png_holds_the_map_with_its_first_row_at_the_bottom():
    values = np.array([[0.0, 1.0, np.nan], [0.5, 0.25, 0.75]])
    import matplotlib.image

    shown = matplotlib.image.imread(io.BytesIO(plain_pictures.png(values, (0.0, 1.0), "gray")), format="png")
    grey = shown[::-1, :, 0]
    np.testing.assert_allclose(grey[np.isfinite(values)], values[np.isfinite(values)], atol=0.005)
    assert grey[0, 2] == pytest.approx(int("B8", 16) / 255)  # missing
    assert shown.shape[:2] == values.shape


def test_every_frame_shows_the_mean_of_its_channels(explorer):
    velocity, maps = moments.channel_maps(make_cube(), channels=6)
    assert np.array_equal(explorer.velocities, velocity)
    for svg, values, speed in zip(explorer.channel_pictures, maps, velocity, strict=True):
        assert f"Channel at {speed:.2f} km/s".replace("-", "−") in svg
        bright = pixels(svg)[::-1, :, 0]  # red grows with magma
        assert np.unravel_index(bright.argmax(), bright.shape)[1] == pytest.approx(
            np.unravel_index(values.argmax(), values.shape)[1], abs=1
        )


def test_pictures_have_axes_with_units_and_words_for_readers_who_do_not_see(explorer):
    for svg in (*explorer.channel_pictures, *explorer.place_pictures):
        for label in ("x offset [pc]", "y offset [pc]", "velocity [km s⁻¹]", "T [K]"):
            assert label in svg
        assert 'role="img" aria-label="' in svg
    assert "W [K km s⁻¹]" in explorer.place_pictures[0]


def test_the_places_are_bright_and_apart(explorer):
    integral = integrated_intensity(make_cube())
    assert integral[explorer.places[0]] == integral.max()
    apart = [np.hypot(*np.subtract(a, b)) for i, a in enumerate(explorer.places) for b in explorer.places[:i]]
    assert min(apart) >= 2
    assert f"W = {integral.max():.3g} K km/s" in explorer.place_pictures[0]
    assert brightest(np.full((2, 2), np.nan), 3) == []


def test_the_widgets_are_linked_without_python(explorer):
    from ipywidgets.widgets.widget_link import Link

    assert all(isinstance(link, Link) for link in explorer.view.links)
    play, slider = explorer.view.children[1].children
    channels, place, spectra = explorer.view.children[2:]
    pairs = [(link.source[0], link.source[1], link.target[0], link.target[1]) for link in explorer.view.links]
    assert pairs == [
        (play, "value", slider, "value"),
        (slider, "value", channels, "selected_index"),
        (place, "index", spectra, "selected_index"),
    ]
    assert len(channels.children) == slider.max + 1 == play.max + 1 == 6
    assert "application/vnd.jupyter.widget-view+json" in explorer._repr_mimebundle_()


def test_one_file_fetches_nothing(explorer, tmp_path):
    path = explorer.to_html(tmp_path / "cube.html")
    page = path.read_text(encoding="utf-8")
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(link.startswith("data:") for link in links)
    assert "://" not in page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        explorer.to_html(path)
    assert explorer.to_html(path, overwrite=True) == path


def test_two_in_one_page_do_not_meet(explorer):
    names = {re.search(r'id="([^"]+)"', explorer.html().data).group(1) for _ in range(2)}
    assert len(names) == 2


def test_words_of_others_are_no_markup():
    shown = PlainEmission(make_cube(), frames=2, places=1, title="<script>x</script>")
    assert "<script>x" not in shown.html().data
    assert "<script>" not in shown.view.children[0].value


@pytest.mark.parametrize(
    ("pixel", "label"),
    [(None, "x offset [px]"), (90 * u.arcsec, "x offset [arcmin]"), (0.1 * u.pc, "x offset [pc]")],
)
def test_pixels_of_any_kind(pixel, label):
    shown = PlainEmission(make_cube(pixel_size=pixel, line=None), frames=2, places=1)
    assert label in shown.channel_pictures[0]


def test_missing_pixels_and_a_single_channel():
    cube = make_cube()
    data = np.array(cube.data)
    data[:, :3] = np.nan
    assert "nan" not in "".join(PlainEmission(cube.with_data(data), frames=3, places=2).channel_pictures)
    one = PPVCube(np.ones((1, 4, 4)), [0.0])
    assert len(PlainEmission(one).channel_pictures) == 1


@pytest.mark.parametrize("choice", [{"frames": 0}, {"places": 1.5}, {"frames": True}])
def test_bad_numbers_are_refused(choice):
    with pytest.raises(ValueError, match="expected a whole number from 1 up"):
        PlainEmission(make_cube(), **choice)


def test_a_cube_of_nan_is_refused():
    with pytest.raises(ValueError, match="got one of NaN only"):
        PlainEmission(make_cube().with_data(np.full((12, 10, 16), np.nan)))


def test_a_real_cube_stays_small(shared_data, tmp_path):
    cube = PPVCube.open(shared_data / "ppv" / "perseus_l1448_13co10.fits")
    path = PlainEmission(cube).to_html(tmp_path / "l1448.html")
    print(f"L1448: {path.stat().st_size / 1024:.0f} kB")
    assert path.stat().st_size < 2e6
