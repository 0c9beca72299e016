"""Round bodies come back as they are; columns close; outlines and inscribed circles against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from polaris_lab.estimators import Aviator, InverseModelling
from polaris_lab.estimators.inscribed import _squared_distances, half_depths
from polaris_lab.units import PARSEC
from tests.estimators.conftest import PIXEL_PC, gaussian, rms


@pytest.mark.parametrize("sigma", [2.0, 4.0, 8.0])
@pytest.mark.parametrize(
    ("filament", "angle"),
    [(False, 0.0), (True, 0.0), (True, 0.4), (True, np.pi / 4)],
    ids=["core", "x", "oblique", "diagonal"],
)
def test_gaussian_bodies(sigma, filament, angle):
    """<n>_M = N / (2 sqrt(pi) sigma) at every pixel above a tenth of the peak (middle of the map)."""
    column, truth = gaussian(sigma, side=96, filament=filament, angle=angle)
    middle = np.zeros(column.shape, bool)
    middle[24:72, 24:72] = True
    error = np.log10(Aviator()(column, pixel_size_pc=PIXEL_PC) / truth)[middle & (column > 1e21)]
    assert abs(error.mean()) < 0.05
    assert rms(error) < 0.08


@pytest.mark.parametrize(("power", "share"), [(2, 1 / 2), (4, 5 / 8)])
def test_plummer_cores(power, share):
    """Through the axis of n_c (1 + r^2/R^2)^(-p/2): <n>_M = n_c/2 (p = 2) or 5 n_c/8 (p = 4), N = pi n_c R or half of it."""
    side, radius = 128, 6.0
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    central = 1e4
    unit = np.pi * central * radius * PIXEL_PC * PARSEC * (1.0 if power == 2 else 0.5)
    column = unit * (1 + (x**2 + y**2) / radius**2) ** (-(power - 1) / 2)
    density = Aviator(background=True)(column, pixel_size_pc=PIXEL_PC)
    assert np.log10(density[64, 64] / (share * central)) == pytest.approx(0, abs=0.12)


def test_a_round_slab_is_a_ball_of_its_column():
    """A flat disc of column f in front of nothing: column f everywhere inside, largest depth 2R in the middle."""
    y, x = np.mgrid[:64, :64] - 31.5
    column = np.where(x**2 + y**2 < 20**2, 1e22, 1e16)
    cube = Aviator().cube(column, pixel_size_pc=PIXEL_PC)
    inside = column > 1e20
    np.testing.assert_allclose(cube.sum(axis=0)[inside] * PIXEL_PC * PARSEC, 1e22, rtol=1e-5)
    extent = (cube[:, 31, 31] > 0).sum()
    assert extent == pytest.approx(40, abs=3)


@pytest.mark.parametrize("background", [False, True])
def test_cube_and_map_agree(pairs, background):
    column = pairs[0][1].copy()
    column[40:44, 7] = np.nan
    estimate = Aviator(background=background)
    cube = estimate.cube(column, pixel_size_pc=PIXEL_PC)
    valid = np.isfinite(column)
    assert (cube[:, valid] >= 0).all()
    assert np.isnan(cube[:, ~valid]).all()
    total = cube.sum(axis=0) * PIXEL_PC * PARSEC
    if background:
        np.testing.assert_allclose(total[valid], column[valid], rtol=1e-12)
    else:
        assert (total[valid] <= column[valid] * (1 + 1e-12)).all()
    known = valid & (total > 0)
    mean = (cube**2).sum(axis=0)[known] / cube.sum(axis=0)[known]
    floor = column[known] / (len(cube) * PIXEL_PC * PARSEC)
    np.testing.assert_allclose(
        estimate(column, pixel_size_pc=PIXEL_PC)[known], np.maximum(mean, floor), rtol=1e-9
    )


def test_a_uniform_map_is_a_slab_as_deep_as_long():
    density = Aviator(background=True)(np.full((9, 33), 1e21), pixel_size_pc=PIXEL_PC)
    np.testing.assert_allclose(density, 1e21 / (33 * PIXEL_PC * PARSEC), rtol=1e-9)


def test_distances_are_exact():
    rng = np.random.default_rng(0)
    for shape in ((40, 60), (61, 8), (9, 9)):
        inside = ndimage.gaussian_filter(rng.normal(size=shape), 2) > -0.1
        inside[0, 0] = False
        squared = np.empty(shape)
        _squared_distances(inside, squared)
        np.testing.assert_allclose(squared, ndimage.distance_transform_edt(inside) ** 2, atol=1e-9)


def test_depths_against_brute_force():
    """Every circle drawn, not only those on ridges: half depths differ by 2 % at most (rms)."""
    inside = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(48, 48)), 4) > 0
    distance = ndimage.distance_transform_edt(inside)
    y, x = np.mgrid[:48, :48]
    radius = np.zeros(inside.shape)
    for row, column in zip(*np.nonzero(inside), strict=True):
        held = (y - row) ** 2 + (x - column) ** 2 < distance[row, column] ** 2
        radius[held] = np.maximum(radius[held], distance[row, column] - 0.35)
    depth = np.sqrt(np.maximum(radius**2 - (radius - distance + 0.35) ** 2, 0)) * inside
    mine = half_depths(inside)
    assert (mine[inside] > 0.5).all()
    assert (mine[~inside] == 0).all()
    assert rms((mine - depth)[inside] / depth[inside]) < 0.02


def test_a_thin_branch_is_not_as_deep_as_its_hub():
    """Each part of an outline gets the circle that fits there."""
    inside = np.zeros((60, 100), bool)
    y, x = np.mgrid[:60, :100]
    inside[(y - 30) ** 2 + (x - 25) ** 2 < 20**2] = True
    inside[28:33, 25:90] = True  # 5 pixels wide
    depth = half_depths(inside)
    assert depth[30, 25] == pytest.approx(20, abs=1)
    assert depth[30, 75] == pytest.approx(2.5, abs=0.3)


@pytest.mark.parametrize("sigma", [3.0, 6.0])
def test_inverse_modelling_of_one_core(sigma):
    """Its contours are circles of the same area already: right to 0.1 dex where it is bright."""
    column, truth = gaussian(sigma)
    error = np.log10(InverseModelling()(column, pixel_size_pc=PIXEL_PC) / truth)[column > 1e21]
    assert rms(error) < 0.1


def test_inverse_modelling_knows_no_shape(pairs):
    """Its density is a function of the column density alone, with at most one bend, and rises."""
    column = pairs[0][0]
    density = InverseModelling()(column, pixel_size_pc=PIXEL_PC)
    order = np.argsort(column, axis=None)
    x, y = np.log10(column.ravel()[order]), np.log10(density.ravel()[order])
    slope = np.diff(y)[np.diff(x) > 1e-4] / np.diff(x)[np.diff(x) > 1e-4]
    assert len(np.unique(slope.round(3))) <= 4
    assert (slope > 0).all()


def test_bad_steps():
    for kind in (Aviator, InverseModelling):
        with pytest.raises(ValueError, match=r"step: expected a number from 0.005 to 1, got 0"):
            kind(step=0)
    with pytest.raises(ValueError, match="aviator: expected one map"):
        Aviator().cube(np.ones((2, 16, 16)), pixel_size_pc=1.0)
