"""The scores of appendix B: by hand, in their limits, and for all windows at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from polaris_lab.datasets.scoring import (
    acceptance_probability,
    combined_score,
    difference_score,
    log_laplacian,
    patch_score,
    score_windows,
    smoothness_score,
)


@pytest.fixture
def maps(cube):
    from polaris_lab import project

    projection = project(cube, axis="z")
    return projection.column_density, projection.mass_weighted_density


# -- equation 12 -------------------------------------------------------------------------------------


def test_smoothness_by_hand():
    """ln(1 + x) = 1 in the centre of 3 x 3 zeros: Laplacian -4 there, 1 beside it, 0 in the corners."""
    image = np.zeros((3, 3))
    image[1, 1] = np.e - 1
    assert np.allclose(log_laplacian(image), [[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    assert smoothness_score(image) == pytest.approx((4 * 1 + 16) / 9)


def test_the_laplacian_is_that_of_five_points(maps):
    """Against scipy's, whose nearest border is the same choice."""
    values = np.log1p(maps[0])
    assert np.allclose(log_laplacian(maps[0]), ndimage.laplace(values, mode="nearest"), atol=1e-11)


def test_natural_logarithm_and_no_unit_for_large_values(maps):
    """With x >> 1 a factor is a constant in the logarithm: the score of N_H knows no unit."""
    assert smoothness_score(maps[0]) == pytest.approx(smoothness_score(maps[0] * 1e4), rel=1e-9)
    assert smoothness_score(np.log1p(maps[0])) != pytest.approx(smoothness_score(maps[0]), rel=0.5)


def test_a_power_of_the_map_scales_the_score_with_its_square(maps):
    assert smoothness_score(maps[0] ** 2) == pytest.approx(4 * smoothness_score(maps[0]), rel=1e-9)


def test_uniform_maps_and_gradients_score_nothing():
    gradient = np.exp(np.add.outer(np.arange(40.0), 0.5 * np.arange(40.0))) * 1e10
    assert smoothness_score(np.full((9, 9), 3e21)) == 0
    assert np.allclose(log_laplacian(gradient)[1:-1, 1:-1], 0, atol=1e-9)


@pytest.mark.parametrize("score", [smoothness_score, lambda image: difference_score(image, image**2)])
def test_scores_know_no_direction(maps, score):
    for turned in (np.rot90(maps[0]), maps[0].T, maps[0][::-1]):
        assert score(turned) == pytest.approx(score(maps[0]), rel=1e-9)


def test_filaments_score_above_diffuse_gas(maps):
    blurred = np.exp(ndimage.gaussian_filter(np.log(maps[0]), 4))
    assert smoothness_score(blurred) < 0.1 * smoothness_score(maps[0])


# -- equation 13 -------------------------------------------------------------------------------------


def test_difference_by_hand():
    column_density = np.array([[1.0, 2.0], [3.0, 5.0]]) * 1e21  # scaled: 0, 1/4, 1/2, 1
    density = np.array([[10.0, 30.0], [10.0, 20.0]])  # scaled: 0, 1, 0, 1/2
    assert difference_score(column_density, density) == pytest.approx(np.var([0, -0.75, 0.5, 0.5]), rel=1e-12)


def test_volume_weighted_density_has_no_difference(cube):
    from polaris_lab import project

    projection = project(cube, axis="z")
    assert difference_score(projection.column_density, projection.volume_weighted_density) < 1e-20
    assert difference_score(projection.column_density, projection.mass_weighted_density) > 1e-4


def test_units_do_not_matter_to_the_difference(maps):
    assert difference_score(maps[0] / 3e18, 5 * maps[1] + 7) == pytest.approx(
        difference_score(*maps), rel=1e-9
    )


def test_a_uniform_map_scales_to_zero(maps):
    assert difference_score(np.ones((5, 5)), np.ones((5, 5))) == 0
    image = np.random.default_rng(0).uniform(size=(5, 5))
    image[0, :2] = 0, 1
    assert difference_score(np.ones((5, 5)), image) == pytest.approx(image.var())


# -- equations 11 and 14 -----------------------------------------------------------------------------


def test_the_sum_has_the_weights_of_the_report(maps):
    parts = smoothness_score(maps[0]), smoothness_score(maps[1]), difference_score(*maps)
    assert patch_score(*maps) == pytest.approx(parts[0] + 0.5 * parts[1] + 5 * parts[2])
    with pytest.raises(ValueError, match=r"expected one a score \(3\), got 2"):
        combined_score(parts, weights=(1, 2))


def test_acceptance_is_the_report_s_sigmoid():
    assert acceptance_probability(1.0, steepness=2, offset=1) == 0.5
    assert acceptance_probability(0.0) == pytest.approx(1 / (1 + np.e**2))
    figure = acceptance_probability(np.array([0.0, 1.0]), steepness=7, offset=0.5)  # figure 46
    assert figure.round(2).tolist() == [0.03, 0.97]
    scores = np.linspace(-5, 5, 101)
    assert (np.diff(acceptance_probability(scores)) > 0).all()
    assert np.allclose(acceptance_probability(1 + scores) + acceptance_probability(1 - scores), 1)


@pytest.mark.parametrize("score", [-1e300, -1e3, 1e3, 1e300])
def test_acceptance_does_not_overflow(score):
    assert acceptance_probability(score, steepness=5) == (score > 0)


# -- all windows -------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [16, 31, 96])
def test_all_windows_equal_one_by_one(maps, window):
    """On crops of the face's Laplacian, to 1e-6 (in fact to rounding)."""
    found = score_windows(*maps, window)
    laplacians = [log_laplacian(image) for image in maps]
    assert found.total.shape == (97 - window, 97 - window)
    for row in range(0, 97 - window, 13):
        for column in range(0, 97 - window, 11):
            crop = (slice(row, row + window), slice(column, column + window))
            parts = [laplacian[crop].var() for laplacian in laplacians]
            parts.append(difference_score(maps[0][crop], maps[1][crop]))
            assert [part[row, column] for part in found[:3]] == pytest.approx(parts, rel=1e-6)
            assert found.total[row, column] == pytest.approx(combined_score(parts), rel=1e-6)


def test_a_whole_face_is_one_window(maps):
    found = score_windows(*maps, 96)
    assert found.total[0, 0] == pytest.approx(patch_score(*maps), rel=1e-9)


def test_a_crop_differs_only_by_its_border(maps):
    """Cropping first changes the Laplacian of the outermost pixels alone: some per cent at 64 px."""
    whole = score_windows(*maps, 64).column_smoothness[16, 16]
    assert smoothness_score(maps[0][16:80, 16:80]) == pytest.approx(whole, rel=0.2)


def test_extreme_contrast(maps):
    """A core a million times denser beside faint gas spoils no window."""
    column_density, density = (image.copy() for image in maps)
    density[5, 5] *= 1e6
    column_density[5, 5] *= 1e4
    found = score_windows(column_density, density, 16)
    for row, column in ((20, 20), (6, 6), (0, 0), (80, 3)):
        crop = (slice(row, row + 16), slice(column, column + 16))
        assert found.difference[row, column] == pytest.approx(
            difference_score(column_density[crop], density[crop]), rel=1e-6
        )


def test_uniform_faces_score_nothing():
    found = score_windows(np.full((20, 20), 1e22), np.full((20, 20), 1e3), 8)
    for part in found:
        assert (part == 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_bad_values(maps, value):
    maps[1][3, 3] = value
    with pytest.raises(ValueError, match="mass_weighted_density: expected finite values above -1"):
        score_windows(*maps, 16)


def test_bad_shapes(maps):
    with pytest.raises(ValueError, match="expected the shape of the column density"):
        score_windows(maps[0], maps[1][1:], 16)
    with pytest.raises(ValueError, match="expected at most the sides of the map, 96 x 96 pixels, got 97"):
        score_windows(*maps, 97)
    with pytest.raises(ValueError, match="image: expected a 2D map"):
        smoothness_score(maps[0][None])
