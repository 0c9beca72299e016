"""Formulas for curves: a small library of functions, fitted by least squares, the simplest that is good enough chosen.

Each formula is linear in its coefficients once the numbers inside its function (a rate, an origin) are given; only
those are searched for, from several starts (variable projection: Golub & Pereyra 1973).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from polaris_lab.config import did_you_mean
from polaris_lab.models.build import BlueprintModel
from polaris_lab.models.kan.curves import kan_node, normal_points
from polaris_lab.models.kan.library import FORMULAS
from polaris_lab.models.kan.pruning import edge_curves, layer_inputs, normalized

EDGE_POINTS = 64
"""Points at which an edge is fitted."""


@dataclasses.dataclass(frozen=True)
class Formula:
    """A fitted formula; call it with x.

    Attributes
    ----------
    name : str
        One of :data:`FORMULAS`.
    expression : str
        Readable, in x.
    rms, max_error : float
        Differences from the curve, in the unit of y.
    parameters : int
        How many numbers were fitted.
    coefficients, inner, centre, scale
        The numbers themselves: see :class:`polaris_lab.models.kan.library.Shape`.
    """

    name: str
    expression: str
    rms: float
    max_error: float
    parameters: int
    coefficients: tuple[float, ...]
    inner: tuple[float, ...]
    centre: float
    scale: float

    def __call__(self, x: Any) -> np.ndarray:
        """Return the formula's value at x."""
        x = np.asarray(x, dtype=float)
        t = (x.ravel() - self.centre) / self.scale
        return (FORMULAS[self.name].columns(t, self.inner) @ np.array(self.coefficients)).reshape(x.shape)

    def __repr__(self) -> str:
        return f"Formula({self.name}: y = {self.expression}; rms {self.rms:.2g})"


def fit_formula(
    x: Any, y: Any, *, tolerance: float | None = None, names: Sequence[str] | None = None
) -> Formula:
    """Return the simplest formula that follows a curve.

    Parameters
    ----------
    x, y : array_like, shape (points,)
        The curve, such as ``curve.x`` and ``curve.y`` of a :class:`polaris_lab.models.kan.LearnedCurve`.
    tolerance : float, optional
        Largest RMS difference, in the unit of y; 1 % of the spread of y by default. Of the formulas that reach
        it the one with the fewest numbers is taken; if none does, the one that comes nearest.
    names : sequence of str, optional
        Formulas to try; all of :data:`FORMULAS` by default.

    Raises
    ------
    ValueError
        Arrays of unequal or too short length or with NaN, a tolerance that is not positive, or an unknown name.

    Examples
    --------
    >>> x = np.linspace(20, 23, 50)
    >>> fit_formula(x, 1.4 * x - 27)
    Formula(linear: y = 3.1 + 1.4 (x - 21.5); rms ...)
    """
    x, y = _checked(x, y, names)
    if tolerance is None:
        tolerance = 0.01 * float(np.std(y)) + 1e-12
    if not tolerance > 0:
        raise ValueError(f"tolerance: expected a positive number in the unit of y, got {tolerance}")
    fits: list[Formula] = []
    for name in names or FORMULAS:
        good = [fit for fit in fits if fit.rms <= tolerance]
        if good and FORMULAS[name].parameters > good[0].parameters:  # the library begins with the simplest
            continue
        fits.append(_fit(name, x, y))
    good = [fit for fit in fits if fit.rms <= tolerance]
    if good:
        return min(good, key=lambda fit: (fit.parameters, fit.rms))
    return min(fits, key=lambda fit: fit.rms)


def fit_formulas(x: Any, y: Any, *, names: Sequence[str] | None = None) -> list[Formula]:
    """Return the best fit of each formula, as :func:`fit_formula` compares them.

    Parameters
    ----------
    x, y, names
        See :func:`fit_formula`.
    """
    x, y = _checked(x, y, names)
    return [_fit(name, x, y) for name in names or FORMULAS]


def edge_formulas(model: BlueprintModel, *, tolerance: float = 0.02) -> dict[str, Formula]:
    """Return a formula for each edge of a network's KAN that has not been pruned.

    Parameters
    ----------
    model : BlueprintModel
        As for :func:`polaris_lab.models.kan.learned_curve`, best after
        :func:`polaris_lab.models.kan.prune_kan`.
    tolerance : float
        As for :func:`fit_formula`, in units of the edge's spread.

    Returns
    -------
    dict of Formula
        By "layer 1: 1 -> 3", counted from 1; x is the normalised input of the edge's node.
    """
    kan = model.nodes[kan_node(model).name]
    formulas = {}
    for number, x in enumerate(layer_inputs(kan, normal_points(EDGE_POINTS))):
        layer = kan.layers[number]
        curves = edge_curves(layer, x).numpy()  # (points, out, in)
        seen = normalized(layer, x)[0, :, 0].numpy()  # (in, points)
        for end, start in np.argwhere(curves.std(axis=0) > 0):
            curve = curves[:, end, start]
            if np.ptp(seen[start]) > 0:
                formulas[f"layer {number + 1}: {start + 1} -> {end + 1}"] = fit_formula(
                    seen[start], curve, tolerance=tolerance * float(curve.std())
                )
    return formulas


def _checked(x: Any, y: Any, names: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the curve as arrays, or say what is wrong with it or with the names."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 8:
        raise ValueError(
            f"fit_formula: expected x and y of one equal length of at least 8, got {x.shape} and {y.shape}"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all() and np.ptp(x) > 0):
        raise ValueError("fit_formula: expected finite values, and an x that varies; leave NaN out")
    for name in names or ():
        if name not in FORMULAS:
            raise ValueError(f"names: unknown formula {name!r}: {did_you_mean(str(name), list(FORMULAS))}")
    return x, y


def _fit(name: str, x: np.ndarray, y: np.ndarray) -> Formula:
    """Return the least squares fit of one formula."""
    shape = FORMULAS[name]
    scale = 0.5 * float(np.ptp(x))
    centre = round(0.5 * float(x.max() + x.min()), 2 - math.floor(math.log10(scale)))  # reads well
    t = (x - centre) / scale

    def solved(inner: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        columns = shape.columns(t, inner)  # (points, coefficients)
        basis, triangle = np.linalg.qr(columns)
        coefficients = np.linalg.lstsq(triangle, basis.T @ y, rcond=None)[0]
        return coefficients, columns @ coefficients - y

    best: tuple[float, np.ndarray] | None = None
    for start in shape.starts:
        inner = np.array(start)
        if start:
            inner = least_squares(lambda p: solved(p)[1], start, bounds=(-BOUND, BOUND), max_nfev=60).x
        square = float(np.mean(solved(inner)[1] ** 2))
        if best is None or square < best[0]:
            best = square, inner
    inner = best[1]
    coefficients, residual = solved(inner)
    return Formula(
        name=name,
        expression=shape.text(coefficients, inner, centre, scale),
        rms=float(np.sqrt(best[0])),
        max_error=float(np.abs(residual).max()),
        parameters=shape.parameters,
        coefficients=tuple(map(float, coefficients)),
        inner=tuple(map(float, inner)),
        centre=centre,
        scale=scale,
    )


BOUND = 12.0
"""Limit of the inner numbers, in half the length of the curve or its inverse: nothing overflows."""
