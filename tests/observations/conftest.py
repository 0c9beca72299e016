"""Small maps on disk and in memory, with the traps of real files on demand."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS

from polaris_lab.datasets import PatchDataset
from polaris_lab.models import Blueprint
from polaris_lab.observations import Observation
from polaris_lab.training import Run, TrainingConfig


def sky_wcs(shape: tuple[int, int], *, pixel_arcsec: float = 20.0, rotation: float = 0.0) -> WCS:
    """Return a TAN projection centred on a map, north up by `rotation` degrees, east left."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [65.0, 27.0]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    angle, step = np.radians(rotation), pixel_arcsec / 3600
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wcs.wcs.cd = turn @ np.diag([-step, step])
    return wcs


def smooth_column(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Return a lognormal map of N [cm^-2] with structure on all scales."""
    rng = np.random.default_rng(seed)
    y, x = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    wave = np.hypot(y, x)
    wave[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * wave**-1.4, s=shape)
    return 10 ** (21.3 + 0.3 * field / field.std())


@pytest.fixture
def make_fits(tmp_path: Path) -> Callable[..., Path]:
    """Return a writer of FITS maps: ``make_fits(values, BUNIT="cm-2", ...)``; None drops a card."""

    def write(
        values: np.ndarray | None = None, *, wcs: WCS | None = None, name: str = "map.fits", **cards
    ) -> Path:
        values = smooth_column((24, 40)) if values is None else values
        header = (wcs or sky_wcs(values.shape[-2:])).to_header()
        for key, value in {"BUNIT": "cm-2", **cards}.items():
            if value is None:
                header.remove(key, ignore_missing=True)
            else:
                header[key] = value
        path = tmp_path / name
        with warnings.catch_warnings():  # a BLANK in a floating point image is part of a trap
            warnings.simplefilter("ignore", AstropyWarning)
            fits.PrimaryHDU(values, header).writeto(path)
        return path

    return write


def toy_density(column: np.ndarray, seed: int = 1) -> np.ndarray:
    """Return a density that follows the column density as a power law, with 0.15 dex of scatter nobody can predict."""
    scatter = 0.15 * np.random.default_rng(seed).standard_normal(column.shape)
    return 10 ** (2.5 + 1.6 * (np.log10(column) - 21.3) + scatter)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a small trained and validated run: 0.02 pc pixels, patches of 32, a scale-equivariant U-Net."""
    columns = np.stack([smooth_column((32, 32), seed) for seed in range(40)])
    densities = np.stack([toy_density(column, seed) for seed, column in enumerate(columns)])
    dataset = PatchDataset.from_arrays(
        {"column_density": columns},
        {"mass_weighted_density": densities},
        pixel_size=0.02 * u.pc,
        split=["training"] * 30 + ["validation"] * 10,
    )
    blueprint = Blueprint.unet(layers=2, base_filters=4, reference_scale=6.0)
    config = TrainingConfig(epochs=4, batch_size=10, device="cpu")
    run = Run.create(tmp_path_factory.mktemp("runs") / "run", blueprint, dataset, config)
    run.train(progress=False).validate()
    return run


@pytest.fixture
def observe(run: Run) -> Callable[..., Observation]:
    """Return a maker of maps with the run's pixel: ``observe(column, pixel=1.0)``, in pixels of the model."""

    def make(column: np.ndarray, *, pixel: float = 1.0, species: str = "H", **choices) -> Observation:
        arcsec = 20.0
        distance = pixel * run.pixel_size_pc / np.radians(arcsec / 3600) * u.pc
        return Observation(
            column,
            wcs=sky_wcs(column.shape, pixel_arcsec=arcsec),
            distance=distance,
            species=species,
            **choices,
        )

    return make
