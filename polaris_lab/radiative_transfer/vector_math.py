"""Float32 pieces that LLVM turns into full vectors: exp2, 1 - exp(-tau), log2, erf.

The library's ``exp`` is called one number at a time and stops a loop from being vectorised; these are plain
arithmetic on bits, so that a loop over 16 channels becomes a handful of vector instructions. All are exact to
a few units in the last place of float32 (`tests/radiative_transfer/test_vector_math.py` measures them).
"""

from __future__ import annotations

import llvmlite.ir as ir
import numpy as np
from numba import njit, types
from numba.core.compiler import Compiler
from numba.extending import intrinsic

FAST = {"nnan", "ninf", "nsz", "arcp", "contract"}
"""What the compiler may assume: finite numbers, fused multiply-adds. Sums keep their order: the distance of a
channel from a cell's velocity is built from large and small parts, which reordering would mix."""


class SeparateArrays(Compiler):
    """Compile a kernel whose arguments never overlap, which the vectoriser cannot find out by itself.

    numba makes the same promise for the loops of ``parallel=True``; our kernels run in threads of their own
    (:func:`polaris_lab.parallel.share_rows`), and lose a factor of two to four without it.
    """

    def define_pipelines(self):
        """Return numba's pipelines, with the promise."""
        self.state.flags.noalias = True
        return super().define_pipelines()


f4 = np.float32
LOG2_E = f4(1.4426950408889634)
LN_2 = f4(0.6931471805599453)
_LOWEST = f4(-126.0)


def _exp2_coefficients(degree: int = 5) -> list[np.float32]:
    """Fit (2^f - 1)/f on [-1/2, 1/2] at Chebyshev nodes: relative error of 2^f below 3e-7."""
    f = 0.5 * np.cos(np.pi * (np.arange(400) + 0.5) / 400)
    window = [-0.5, 0.5]
    fit = np.polynomial.Polynomial.fit(
        f, np.expm1(f * np.log(2)) / f, degree - 1, domain=window, window=window
    )
    return [f4(c) for c in fit.coef]


_E1, _E2, _E3, _E4, _E5 = _exp2_coefficients()


@intrinsic
def bits_to_float(typing_context, bits):
    """Return the float32 whose bits are those of an int32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def float_to_bits(typing_context, value):
    """Return the bits of a float32 as an int32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


@intrinsic
def nearest(typing_context, value):
    """Round a float32 to the nearest integer (one vector instruction)."""

    def generate(context, builder, signature, arguments):
        function = builder.module.declare_intrinsic("llvm.nearbyint", [ir.FloatType()])
        return builder.call(function, [arguments[0]])

    return types.float32(types.float32), generate


@intrinsic
def prefetch(typing_context, array, row, column):
    """Ask for the cache line of ``array[row, column]`` (2D, C order); nothing else happens."""

    def generate(context, builder, signature, arguments):
        structure = context.make_array(signature.args[0])(context, builder, arguments[0])
        columns = builder.extract_value(structure.shape, 1)
        index = builder.add(builder.mul(arguments[1], columns), arguments[2])
        pointer = builder.bitcast(builder.gep(structure.data, [index]), ir.IntType(8).as_pointer())
        kind = ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch",
            (pointer.type,),
            ir.FunctionType(ir.VoidType(), [pointer.type, kind, kind, kind]),
        )
        builder.call(function, [pointer, kind(0), kind(3), kind(1)])
        return context.get_dummy_value()

    return types.void(array, types.uint64, types.uint64), generate


@njit(inline="always")
def exp2_less_one(f):  # pragma: no cover - compiled
    """2^f - 1 for f in [-1/2, 1/2]."""
    return ((((_E5 * f + _E4) * f + _E3) * f + _E2) * f + _E1) * f


@njit(inline="always")
def power_of_two(n):  # pragma: no cover - compiled
    """2^n for a whole number n (given as float32) from -126 to 127."""
    return bits_to_float((np.int32(n) + np.int32(127)) << np.int32(23))


@njit(inline="always")
def exp2(y):  # pragma: no cover - compiled
    """2^y in float32; below -126 it stays at 2^-126."""
    y = max(y, _LOWEST)
    n = nearest(y)
    s = power_of_two(n)
    return exp2_less_one(y - n) * s + s


@njit(inline="always")
def absorbed(tau):  # pragma: no cover - compiled
    """1 - exp(-tau) for tau >= 0, without cancellation for small tau."""
    y = max(-LOG2_E * tau, _LOWEST)
    n = nearest(y)
    s = power_of_two(n)
    return (f4(1.0) - s) - s * exp2_less_one(y - n)


@njit(inline="always")
def rough_log2(x):  # pragma: no cover - compiled
    """log2 of a positive float32 within 0.045, from its bits; for window widths only."""
    return f4(float_to_bits(x)) * f4(1.1920929e-7) - f4(126.957)


@njit(inline="always")
def log2(x):  # pragma: no cover - compiled
    """log2 of a positive normal float32, absolute error below 2e-7 x max(1, |log2 x|)."""
    bits = float_to_bits(x) - np.int32(0x3F3504F3)  # so that the mantissa is in [sqrt(1/2), sqrt(2))
    exponent = bits >> np.int32(23)
    m = bits_to_float((bits & np.int32(0x007FFFFF)) + np.int32(0x3F3504F3))
    s = (m - f4(1.0)) / (m + f4(1.0))  # log2 m = 2/ln2 atanh(s), |s| < 0.1716
    q = s * s
    series = f4(2.8853901) + q * (
        f4(0.96179669) + q * (f4(0.57707802) + q * (f4(0.41219859) + q * f4(0.32059890)))
    )
    return f4(exponent) + s * series


@njit(inline="always")
def erf_ratio(x):  # pragma: no cover - compiled
    """Numerator and denominator of a rational erf(x), float32; beyond |x| = 3.83 it stays at its end.

    The coefficients are those of the rational minimax approximation used by Eigen and XLA for float32.
    """
    x = min(max(x, f4(-3.832506856900711)), f4(3.832506856900711))
    q = x * x
    p = f4(0.00022905065861350646)
    p = q * p + f4(0.0034082910107109506)
    p = q * p + f4(0.050955695062380861)
    p = q * p + f4(0.18520832239976145)
    p = q * p + f4(1.128379143519084)
    d = f4(-1.1791602954361697e-7)
    d = q * d + f4(0.000023547966471313185)
    d = q * d + f4(0.0010179625278914885)
    d = q * d + f4(0.014070470171167667)
    d = q * d + f4(0.11098505178285362)
    d = q * d + f4(0.49746925110067538)
    d = q * d + f4(1.0)
    return x * p, d


@njit(inline="always")
def erfc_tail(x):  # pragma: no cover - compiled
    """erfc(x) for x >= 0 in float32, relative error below 1e-5 far into the wings (rational Chebyshev fit, 1.2e-7).

    References
    ----------
    Press et al., Numerical Recipes, chapter 6.2 (erfcc).
    """
    t = f4(1.0) / (f4(1.0) + f4(0.5) * x)
    p = f4(-0.82215223) + t * f4(0.17087277)
    p = f4(1.48851587) + t * p
    p = f4(-1.13520398) + t * p
    p = f4(0.27886807) + t * p
    p = f4(-0.18628806) + t * p
    p = f4(0.09678418) + t * p
    p = f4(0.37409196) + t * p
    p = f4(1.00002368) + t * p
    p = f4(-1.26551223) + t * p
    return t * exp2(LOG2_E * (p - x * x))
