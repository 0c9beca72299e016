"""The torch back end gives what the kernels give, and its gradient is the gradient."""

import numpy as np
import pytest
import torch
from astropy import units as u

from polaris_lab.radiative_transfer import synthesize_ppv
from polaris_lab.radiative_transfer.torch_backend import brightness_temperature

KMS = u.km / u.s


@pytest.mark.parametrize("channel", ["centre", "average"])
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 3e-5), ("float64", 1e-6)])
@pytest.mark.parametrize("density", [1e-3, 1.0, 300.0])
@pytest.mark.parametrize("mode", ["linear", "constant"])
@pytest.mark.filterwarnings("ignore::polaris_lab.radiative_transfer.VelocityStepWarning")
def test_two_back_ends_one_result(
    turbulent_cloud, make_cloud, line, mode, density, precision, tolerance, channel
):
    source = turbulent_cloud(speed=1.5)
    cube = make_cloud(density * source.density, source.temperature, source.velocity["z"])
    one, two = (
        synthesize_ppv(
            cube,
            line,
            abundance=1.4e-6,
            velocity=np.linspace(-6, 6, 64) * KMS,
            turbulent_dispersion=0.1 * KMS,
            in_cell_velocity=mode,
            precision=precision,
            backend=backend,
            channel=channel,
        ).data
        for backend in ("numba", "torch")
    )
    assert one.dtype == two.dtype == precision
    assert np.abs(one - two).max() < tolerance * np.abs(one).max()


@pytest.mark.parametrize("linear", [True, False])
def test_gradient(line, linear):
    """gradcheck with respect to density, temperature and velocity, with still, gentle and steep cells."""
    torch.manual_seed(0)
    density = torch.rand(6, 2, dtype=torch.float64) * 2e3 + 100
    temperature = torch.rand(6, 2, dtype=torch.float64) * 20 + 5
    velocity = torch.tensor([0.0, 0.001, 0.1, 0.9, 0.8, 0.8], dtype=torch.float64)[:, None].repeat(1, 2)
    velocity[:, 1] *= -2
    channels = torch.linspace(-2, 1.2, 9, dtype=torch.float64)

    def spectra(density, temperature, velocity):
        return brightness_temperature(
            1e3 * density,
            temperature,
            velocity,
            line=line,
            channels=channels,
            cell_cm=1e17,
            abundance=1.4e-6,
            dispersion=0.1,
            linear=linear,
        )

    inputs = [x.requires_grad_() for x in (density / 1e3, temperature, velocity)]
    assert torch.autograd.gradcheck(spectra, inputs, eps=1e-6, atol=1e-5, rtol=1e-4)


def test_a_fit_recovers_the_density(line):
    """Gradient descent through the transfer finds the density that made a thin spectrum."""
    channels = torch.linspace(-1, 1, 21, dtype=torch.float64)
    still = torch.zeros(5, 1, dtype=torch.float64)
    choices = {"line": line, "channels": channels, "cell_cm": 1e17, "abundance": 1.4e-6, "dispersion": 0.2}
    wanted = brightness_temperature(still + 800.0, still + 10, still, **choices)
    guess = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([guess], max_iter=50)

    def closure():
        optimizer.zero_grad()
        loss = (
            (brightness_temperature(still + 10**guess, still + 10, still, **choices) - wanted).square().sum()
        )
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)
    assert 10 ** guess.item() == pytest.approx(800, rel=1e-3)
