"""The curve that a KAN has learned: against the law it was taught, pruned, and as a formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polaris_lab.models import Blueprint, build_model
from polaris_lab.models.kan import (
    FORMULAS,
    edge_formulas,
    fit_formula,
    fit_formulas,
    learned_curve,
    prune_kan,
)


def law(x):
    """Slope 1.1, and 1.8 beyond a smooth break at 21.8: the shape of N -> n in molecular clouds."""
    return 2.3 + 1.1 * (x - 21.5) + 0.7 * np.logaddexp(0, 5 * (x - 21.8)) / 5


def train(name: str, steps: int = 250, **settings):
    """Teach a preset the law, at 0.5 dex of scatter in N; return it for evaluation."""
    generator = torch.Generator().manual_seed(1)
    x = 21.5 + 0.5 * torch.randn(24, 1, 24, 24, generator=generator, dtype=torch.float64)
    y = torch.from_numpy(law(x.numpy())).float()
    x = x.float()
    model = build_model(Blueprint.preset(name, **settings)).fit_constants({"column_density": x}, y)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        optimizer.zero_grad()
        part = slice(4 * (step % 6), 4 * (step % 6) + 4)
        (model({"column_density": x[part]}) - y[part]).square().mean().backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@pytest.fixture(scope="module")
def taught():
    torch.manual_seed(0)
    return train("just_kan", widths=(6, 6))


def test_a_trained_kan_recovers_the_law(taught):
    """To 0.02 dex RMS and 0.05 dex at most over 2 standard deviations of N (a straight line is 0.07 dex away)."""
    low, high = learned_curve(taught).trained
    curve = learned_curve(taught, limits=(low, high))
    assert low == pytest.approx(20.5, abs=0.03)
    assert high == pytest.approx(22.5, abs=0.03)
    error = curve.y - law(curve.x)
    assert np.sqrt(np.mean(error**2)) < 0.02
    assert np.abs(error).max() < 0.05
    line = np.polyval(np.polyfit(curve.x, law(curve.x), 1), curve.x)
    assert np.sqrt(np.mean((line - law(curve.x)) ** 2)) > 0.06


def test_the_curve_is_what_the_network_answers(taught):
    curve = learned_curve(taught, limits=(20.5, 22.5), points=40)
    image = torch.from_numpy(curve.x).float().reshape(1, 1, 1, 40)
    answer = taught({"column_density": image}).detach().flatten().numpy()
    np.testing.assert_allclose(answer, curve.y, atol=1e-4)


def test_the_curve_as_a_formula_finds_the_break(taught):
    curve = learned_curve(taught, limits=learned_curve(taught).trained)
    formula = fit_formula(curve.x, curve.y, tolerance=0.02)
    assert formula.rms < 0.02
    assert np.sqrt(np.mean((formula(curve.x) - law(curve.x)) ** 2)) < 0.03
    broken = fit_formulas(curve.x, curve.y, names=["broken_line"])[0]
    slopes = np.diff(broken(np.array([20.5, 20.6, 22.4, 22.5])))[[0, 2]] / 0.1
    np.testing.assert_allclose(slopes, [1.1, 1.8], atol=0.2)


def test_pruning_states_its_error_and_leaves_the_model(taught):
    before = {name: value.clone() for name, value in taught.state_dict().items()}
    pruned, report = prune_kan(taught, threshold=0.05)
    left, edges = report.edges
    assert edges == 6 + 36 + 6
    assert left < edges
    assert all(torch.equal(value, before[name]) for name, value in taught.state_dict().items())
    limits = learned_curve(taught).trained
    difference = learned_curve(pruned, limits=limits).y - learned_curve(taught, limits=limits).y
    assert report.rms_error == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-6)
    assert report.max_error == pytest.approx(np.abs(difference).max(), rel=1e-6)
    assert report.rms_error < 0.1
    for layer, kept in zip(pruned.nodes["kan"].layers, report.kept, strict=True):
        weight = layer.convolution.weight.view(len(kept), layer.basis.functions, -1)
        assert np.array_equal(weight.abs().sum(dim=1).detach().numpy() > 0, kept)


def test_harder_pruning_leaves_less(taught):
    reports = [prune_kan(taught, threshold=t)[1] for t in (0.0, 0.05, 0.2, 0.5)]
    left = [report.edges[0] for report in reports]
    assert left == sorted(left, reverse=True)
    assert left[0] == 48 > left[-1]
    assert reports[0].max_error == 0


def test_an_edge_without_effect_goes_with_what_feeds_it():
    """A node that nothing takes loses its edges; the curve does not change."""
    model = build_model(Blueprint.preset("just_kan", widths=(3,))).eval()
    last = model.nodes["kan"].layers[1]
    with torch.no_grad():
        last.convolution.weight.view(1, 5, 3)[:, :, 1] = 0
    _, report = prune_kan(model, threshold=1e-6)
    assert report.kept[1].tolist() == [[True, False, True]]
    assert report.kept[0].tolist() == [[True], [False], [True]]
    assert report.max_error < 1e-6


@pytest.mark.slow
def test_each_edge_left_has_a_formula():
    model = build_model(Blueprint.preset("just_kan", widths=(2,))).eval()
    formulas = edge_formulas(model, tolerance=0.1)
    assert sorted(formulas) == ["layer 1: 1 -> 1", "layer 1: 1 -> 2", "layer 2: 1 -> 1", "layer 2: 2 -> 1"]
    pruned, report = prune_kan(model, threshold=0.9)
    assert len(edge_formulas(pruned, tolerance=0.1)) == report.edges[0] < 4


@pytest.mark.parametrize("combine", ["sum", "product"])
def test_half_of_the_symbolic_network(combine):
    """The KAN's half is the network's answer where the U-Net's half is 0, or 1 in a product."""
    model = build_model(
        Blueprint.preset("unet_and_kan", layers=2, base_filters=2, widths=(3,), combine=combine)
    )
    with torch.no_grad():
        last = model.nodes["unet"].last
        last.weight.zero_()
        last.bias.fill_(1.0 if combine == "product" else 0.0)
    curve = learned_curve(model.eval(), limits=(-2, 2), points=32)
    image = torch.from_numpy(curve.x).float().reshape(1, 1, 1, 32).expand(1, 1, 32, 32)
    answer = model({"column_density": image})[0, 0, 5].detach().numpy()
    np.testing.assert_allclose(curve.y, answer, atol=1e-5)


def test_curve_of_a_scale_equivariant_network_is_one_of_the_contrast():
    model = build_model(Blueprint.preset("just_kan", scale_equivariant=True, residual=True)).eval()
    model.nodes["contrast"].deviation.fill_(0.3)
    curve = learned_curve(model)
    assert curve.abscissa == "contrast"
    assert curve.trained == pytest.approx((-0.6, 0.6))
    assert curve.x[[0, -1]] == pytest.approx([-0.9, 0.9])


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("constant", lambda x: 0 * x + 2.0),
        ("linear", lambda x: 3 - 1.4 * (x - 21)),
        ("quadratic", lambda x: 1 + 0.3 * (x - 21.2) ** 2),
        ("exponential", lambda x: 1 + 2 * np.exp(1.3 * (x - 22))),
        ("logarithm", lambda x: 2 + 0.7 * np.log(x - 19.9)),
        ("power", lambda x: 1 + 0.4 * (x - 19.5) ** 2.6),
        ("sigmoid", lambda x: 1 + 2 / (1 + np.exp(-4 * (x - 21.4)))),
        ("sigmoid", lambda x: np.tanh(2 * (x - 21.4))),
        ("softplus", lambda x: 1 + 0.5 * np.logaddexp(0, 5 * (x - 21.7))),
        ("gaussian", lambda x: 1 + 2 * np.exp(-((1.5 * (x - 21.3)) ** 2))),
        ("sine", lambda x: 1 + 0.3 * np.sin(4 * x + 0.4)),
        ("broken_line", law),
    ],
)
def test_formulas_find_themselves(name, function):
    """Noise-free: the right formula is chosen, and what it prints is what it computes."""
    x = np.linspace(20, 23, 80)
    formula = fit_formula(x, function(x), tolerance=1e-4)
    assert formula.name == name
    assert formula.rms < 1e-4
    assert formula.max_error < 1e-3
    np.testing.assert_allclose(evaluate(formula.expression, x), formula(x), atol=0.02)


def evaluate(expression: str, x: np.ndarray) -> np.ndarray:
    """Read a printed formula back with sympy."""
    from sympy import lambdify, symbols
    from sympy.parsing.sympy_parser import (
        convert_xor,
        implicit_multiplication,
        parse_expr,
        standard_transformations,
    )

    transformations = (*standard_transformations, implicit_multiplication, convert_xor)
    from sympy import Function

    names = {"softplus": Function("softplus"), "sigmoid": Function("sigmoid")}
    parsed = parse_expr(expression, local_dict={"x": symbols("x"), **names}, transformations=transformations)
    functions = {"softplus": lambda u: np.logaddexp(0, u), "sigmoid": lambda u: 1 / (1 + np.exp(-u))}
    return lambdify("x", parsed, [functions, "numpy"])(x) * np.ones_like(x)


def test_library_begins_with_the_simplest():
    numbers = [shape.parameters for shape in FORMULAS.values()]
    assert numbers == sorted(numbers)


def test_without_a_good_formula_the_nearest_is_given():
    x = np.linspace(0, 1, 60)
    y = np.sign(np.sin(40 * x))
    formula = fit_formula(x, y, tolerance=1e-6, names=["constant", "linear", "quadratic"])
    assert formula.name == "quadratic"
    assert formula.rms > 0.9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: learned_curve(preset("unet")), "one node 'pixel_kan', got 0 in 'U-Net 4 x 2 with attention'"),
        (lambda: learned_curve(two_maps()), "expected a KAN of one map, got 2 in node 'kan'"),
        (lambda: learned_curve(preset("just_kan"), limits=(23, 20)), "limits: expected two numbers that increase"),
        (lambda: learned_curve(preset("just_kan"), points=1), "points: expected at least 2, got 1"),
        (lambda: prune_kan(preset("just_kan"), threshold=1.5), "threshold: expected a share .* got 1.5"),
        (lambda: prune_kan(preset("unet")), "one node 'pixel_kan'"),
        (lambda: fit_formula([1, 2], [1, 2]), r"equal length of at least 8, got \(2,\)"),
        (lambda: fit_formula(range(9), [np.nan] * 9), "expected finite values"),
        (lambda: fit_formula(range(9), range(9), tolerance=-1), "tolerance: expected a positive number"),
        (lambda: fit_formula(range(9), range(9), names=["sinus"]), "unknown formula 'sinus': did you mean 'sine'"),
    ],
)  # fmt: skip
def test_bad_requests(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def preset(name: str):
    from polaris_lab.models.presets import tiny_settings

    return build_model(Blueprint.preset(name, **tiny_settings(name)))


def two_maps():
    return build_model(Blueprint.preset("just_kan", widths=(3,), inputs=("column_density", "temperature")))
