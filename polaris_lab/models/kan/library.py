"""The library of formulas: their functions, how they are written, and from where their inner numbers are searched."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Shape:
    """A formula of the library: y = sum of coefficients times columns(t), where t is x, brought to -1 .. 1.

    Attributes
    ----------
    columns : callable
        (t, inner numbers) -> ndarray (points, coefficients).
    text : callable
        (coefficients, inner numbers, centre, scale) -> the formula in x.
    starts : tuple of tuple of float
        Inner numbers to start from; one empty tuple where there are none.
    """

    columns: Callable[[np.ndarray, Sequence[float]], np.ndarray]
    text: Callable[[np.ndarray, np.ndarray, float, float], str]
    starts: tuple[tuple[float, ...], ...] = ((),)

    @property
    def parameters(self) -> int:
        """How many numbers are fitted."""
        inner = self.starts[0]
        return self.columns(np.zeros(1), inner).shape[-1] + len(inner)


def _softplus(u: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, u)


def _sigmoid(u: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * u))


def _depth(t: np.ndarray, depth: float) -> np.ndarray:
    """Return t measured from an origin below -1, the first point of the curve."""
    return np.maximum(t + 1 + np.exp(depth), 1e-9)


def _number(value: float) -> str:
    return f"{value:.4g}"


def _sum(*terms: tuple[float, str]) -> str:
    """Write coefficients and what they multiply, with the signs between them."""
    text = ""
    for value, factor in terms:
        sign = (" - " if value < 0 else " + ") if text else ("-" if value < 0 else "")
        text += f"{sign}{_number(abs(value))}{' ' + factor if factor else ''}"
    return text


def _argument(rate: float, origin: float) -> str:
    """Write rate (x - origin)."""
    return f"{_number(rate)} {_from(origin)}"


def _from(origin: float) -> str:
    """Write (x - origin)."""
    return f"(x {'-' if origin >= 0 else '+'} {abs(origin):.6g})"


def _function(name: str, linear: bool = False) -> Callable[..., str]:
    """Return the text of a formula with one function of rate (x - origin), after a line if there is one."""

    def text(c: np.ndarray, inner: np.ndarray, m: float, s: float) -> str:
        origin = m + s * inner[1] if len(inner) > 1 else m
        last = (c[-1], f"{name}({_argument(inner[0] / s, origin)})")
        return _sum((c[0], ""), (c[1] / s, _from(m)), last) if linear else _sum((c[0], ""), last)

    return text


def _deep(function: str) -> Callable[..., str]:
    """Return the text of a logarithm or a power of x - origin."""

    def text(c: np.ndarray, inner: np.ndarray, m: float, s: float) -> str:
        origin = m - s * (1 + np.exp(inner[0]))
        base = _from(origin)
        if function == "ln":
            return _sum((c[0] - c[1] * np.log(s), ""), (c[1], f"ln{base}"))
        return _sum((c[0], ""), (c[1] / s ** inner[1], f"{base}^{_number(inner[1])}"))

    return text


def _sine_text(c: np.ndarray, inner: np.ndarray, m: float, s: float) -> str:
    phase = float(np.angle(np.exp(1j * (np.arctan2(c[2], c[1]) - inner[0] * m / s))))
    return _sum((c[0], ""), (np.hypot(c[1], c[2]), f"sin({_sum((inner[0] / s, 'x'), (phase, ''))})"))


def _columns(*columns: Any) -> np.ndarray:
    return np.stack(np.broadcast_arrays(*columns), axis=-1)


_STEPS = ((3.0, -0.5), (3.0, 0.0), (3.0, 0.5))

FORMULAS: dict[str, Shape] = {
    "constant": Shape(lambda t, p: _columns(np.ones_like(t)), lambda c, p, m, s: _sum((c[0], ""))),
    "linear": Shape(lambda t, p: _columns(1.0, t), lambda c, p, m, s: _sum((c[0], ""), (c[1] / s, _from(m)))),
    "quadratic": Shape(
        lambda t, p: _columns(1.0, t, t**2),
        lambda c, p, m, s: _sum((c[0], ""), (c[1] / s, _from(m)), (c[2] / s**2, f"{_from(m)}^2")),
    ),
    "exponential": Shape(lambda t, p: _columns(1.0, np.exp(p[0] * t)), _function("exp"), ((1.0,), (-1.0,))),
    "logarithm": Shape(lambda t, p: _columns(1.0, np.log(_depth(t, p[0]))), _deep("ln"), ((-1.0,), (1.0,))),
    "power": Shape(
        lambda t, p: _columns(1.0, _depth(t, p[0]) ** p[1]), _deep("^"), ((0.0, 0.5), (0.0, 2.0), (0.0, 3.0))
    ),
    "sigmoid": Shape(lambda t, p: _columns(1.0, _sigmoid(p[0] * (t - p[1]))), _function("sigmoid"), _STEPS),
    "softplus": Shape(
        lambda t, p: _columns(1.0, _softplus(p[0] * (t - p[1]))),
        _function("softplus"),
        (*_STEPS, (-3.0, 0.0)),
    ),
    "gaussian": Shape(
        lambda t, p: _columns(1.0, np.exp(-((p[0] * (t - p[1])) ** 2))),
        lambda c, p, m, s: _sum((c[0], ""), (c[1], f"exp(-({_argument(p[0] / s, m + s * p[1])})^2)")),
        _STEPS,
    ),
    "sine": Shape(
        lambda t, p: _columns(1.0, np.sin(p[0] * t), np.cos(p[0] * t)), _sine_text, ((1.5,), (3.0,), (6.0,))
    ),
    "broken_line": Shape(
        lambda t, p: _columns(1.0, t, _softplus(p[0] * (t - p[1]))),
        _function("softplus", linear=True),
        _STEPS,
    ),
}
"""The library, from the simplest up. A power law N -> n is "linear" (both are logarithms), one with a smooth break is
"broken_line"; softplus(u) = ln(1 + e^u), sigmoid(u) = 1 / (1 + e^-u) = (1 + tanh(u/2)) / 2."""
