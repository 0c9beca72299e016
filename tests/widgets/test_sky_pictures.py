"""Maps with sky coordinates: what stands in the picture, also for rotated, flipped, galactic and large maps."""

from __future__ import annotations

import io

import matplotlib.figure
import numpy as np
import pytest
from astropy.wcs import WCS
from PIL import Image

from widgets.sky_pictures import Sky, _reduced, sky_picture

MAP = 10 ** np.random.default_rng(0).normal(21.5, 0.3, (40, 60))


def sky(rotation: float = 0.0, *, galactic: bool = False, beam: float | None = 4.0) -> Sky:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["GLON-TAN", "GLAT-TAN"] if galactic else ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [52.0, 31.0], [30.5, 20.5]
    angle = np.radians(rotation)
    wcs.wcs.cd = [
        [-0.01 * np.cos(angle), -0.01 * np.sin(angle)],
        [-0.01 * np.sin(angle), 0.01 * np.cos(angle)],
    ]
    return Sky(wcs, 0.05, beam)


@pytest.fixture
def drawn(monkeypatch):
    """Return the figures that were drawn."""
    figures = []
    save = matplotlib.figure.Figure.savefig
    monkeypatch.setattr(
        matplotlib.figure.Figure,
        "savefig",
        lambda self, *a, **k: (figures.append(self), save(self, *a, **k))[1],
    )
    return figures


@pytest.mark.parametrize(("rotation", "galactic"), [(0, False), (37, False), (123, False), (0, True)])
def test_a_picture_has_sky_axes_a_scale_bar_and_the_beam(drawn, rotation, galactic):
    data = sky_picture(MAP, sky(rotation, galactic=galactic), label="column_density", cores=([3.0], [7.0]))
    assert Image.open(io.BytesIO(data)).size[0] > 300
    axes = drawn[0].axes[0]
    words = [coordinate.get_axislabel() for coordinate in axes.coords]
    assert words == (
        ["Galactic longitude l", "Galactic latitude b"]
        if galactic
        else ["Right ascension (ICRS)", "Declination (ICRS)"]
    )
    assert "0.5 pc" in [text.get_text() for text in axes.texts]
    (bar,) = axes.lines
    assert np.ptp(bar.get_xdata()) * 0.05 == pytest.approx(0.5)
    (beam,) = axes.patches
    assert beam.width == 4.0
    np.testing.assert_allclose(axes.collections[-1].get_offsets(), [[3, 7]])
    at = axes.wcs.pixel_to_world(3, 7)
    assert at.separation(sky(rotation, galactic=galactic).wcs.pixel_to_world(3, 7)).arcsec < 1e-6


def test_a_beam_that_is_not_known_is_not_drawn(drawn):
    sky_picture(MAP, sky(beam=None), label="column_density")
    assert not drawn[0].axes[0].patches


def test_a_large_map_keeps_its_places(drawn):
    sky_picture(np.tile(MAP, (3, 2)), sky(20), label="column_density", max_pixels=40, cores=([59.5], [59.5]))
    axes = drawn[0].axes[0]
    assert "1/3 resolution" in axes.get_title()
    reduced = _reduced(sky(20).wcs, 3)
    block = reduced.pixel_to_world(19, 19)  # pixels 57 to 59 of the map, its centre 58
    assert block.separation(sky(20).wcs.pixel_to_world(58, 58)).arcsec < 0.01
    np.testing.assert_allclose(axes.collections[-1].get_offsets(), [[19.5, 19.5]])
    assert axes.patches[0].width == pytest.approx(4 / 3)


def test_what_is_no_map_is_refused():
    with pytest.raises(ValueError, match="expected a map"):
        sky_picture(MAP[0], sky(), label="column_density")
    nothing = sky_picture(np.full((20, 20), np.nan), sky(), label="column_density")
    assert nothing.startswith(b"\x89PNG")
