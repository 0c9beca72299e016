"""The number of Gaussian components of a line as a channel of a training set."""

import numpy as np
import pytest
from astropy import units as u

from polaris_lab import PatchConfig, SimulationCube, build_dataset
from polaris_lab.datasets import EmissionConfig
from polaris_lab.radiative_transfer import VelocityStepWarning


def test_the_number_of_components_counts_clouds_on_the_line(tmp_path):
    """One clump shines as one Gaussian, two clumps 4 km/s apart as two; where there is next to no gas, none."""
    shape, rng = (8, 24, 24), np.random.default_rng(0)
    density = 1e-3 * np.exp(0.1 * rng.standard_normal(shape))
    density[2, :, 8:] += 3000.0
    density[6, :, 16:] += 3000.0
    velocity = np.where(np.arange(8) < 4, -2.0, 2.0)[:, None, None] * np.ones(shape)
    cube = SimulationCube(
        density,
        cell_size=0.05 * u.pc,
        temperature=np.full(shape, 12.0),
        velocity={"z": velocity},
        name="clumps",
    )
    line = EmissionConfig(
        velocity_min_km_s=-4.0,
        velocity_max_km_s=4.0,
        channel_width_km_s=0.1,
        turbulent_dispersion_km_s=0.3,
        in_cell_velocity="constant",
    )
    config = PatchConfig(
        patch_size=8,
        split_by="shuffle",
        lines_of_sight=("z",),
        low_density_fraction=1.0,
        quantities=("column_density", "mass_weighted_density", "number_of_components"),
        emission=line,
    )
    with pytest.warns(VelocityStepWarning):
        dataset = build_dataset([cube], config, tmp_path / "clumps.zarr", progress=False)
    expected = dict(zip((0, 8, 16), (0, 1, 2), strict=True))
    counts = dataset.read("number_of_components")
    assert len(dataset) == 9
    for column, count in zip(dataset.table["origin"][:, 1], counts, strict=True):
        np.testing.assert_array_equal(count, expected[int(column)])
