"""Float32 ray kernels: windowed, vectorised over channels, cached on disk; threads share the rays.

Rays are taken in tiles of 64 neighbours. For 16 cells along the line at a time, a first loop (vectorised over
the tile) looks up the temperature tables and finds the window of channels each cell touches; a second adds the
cells to the spectra, 16 channels at a time, from the far side to the observer:

    D <- D + (J(T) - J(T_bg) - D) (1 - exp(-tau)),        D = 0 behind the cloud,

which is the transfer equation in Rayleigh-Jeans kelvin with the background already taken off; in this form
float32 keeps its accuracy for lines of any strength. A channel is left out where the optical depth that the
cell would add is too small to matter: the sum of everything left out on a ray stays below
`tolerance` x the peak of the cube.

Three rules keep the inner loops vectorised: indices are unsigned (signed ones keep the test for wrap-around),
blocks have 16 channels (8 are unrolled into scalars), and the compiler is told that no two arrays overlap.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from polaris_lab.radiative_transfer.vector_math import (
    FAST,
    LN_2,
    LOG2_E,
    SeparateArrays,
    absorbed,
    erf_ratio,
    erfc_tail,
    exp2,
    float_to_bits,
    log2,
    prefetch,
    rough_log2,
)

TILE = 64
CHUNK = 16
BLOCK = 16
PADDING = 2 * BLOCK
"""Channels beyond the last that a block may touch."""

f4, i4, u8 = np.float32, np.int32, np.uint64
_ROOT_LOG2_E = f4(np.sqrt(1.4426950408889634))
_HALF_ROOT_PI = f4(np.sqrt(np.pi) / 2)
_SERIES_LIMIT = f4(0.8)
_THICK = f4(20.0)


@njit(inline="always")
def _gaussian_block(spectrum, start, channels, rests, first, centre, inverse_width, log_depth, source):
    """Add one cell with a Gaussian profile to 16 channels."""
    for j in range(u8(BLOCK)):
        x = ((channels[first + j] - centre) + rests[first + j]) * inverse_width
        tau = exp2(log_depth - x * x)
        d = spectrum[start + j]
        spectrum[start + j] = d + (source - d) * absorbed(tau)


@njit(inline="always")
def _series_block(
    spectrum, start, channels, rests, first, centre, shift, inverse_width, log_depth, c, source
):
    """Add one cell whose velocity runs over less than 0.8 widths: Gaussian times a series in x^2.

    mean over s in [-h, h] of exp(-(x - s)^2) = exp(-x^2) sum_k (2x)^(2k)/(2k)! mean(s^(2k) exp(-s^2)):
    all terms are positive, so nothing cancels.
    """
    c0, c1, c2, c3, c4, c5 = c
    for j in range(u8(BLOCK)):
        x = ((channels[first + j] - centre) + (rests[first + j] - shift)) * inverse_width
        q = x * x
        series = ((((c5 * q + c4) * q + c3) * q + c2) * q + c1) * q + c0
        tau = exp2(log_depth - LOG2_E * q) * series
        d = spectrum[start + j]
        spectrum[start + j] = d + (source - d) * absorbed(tau)


@njit(inline="always")
def _erf_block(spectrum, start, channels, rests, first, centre, shift, half, inverse_width, depth, source):
    """Add one cell whose velocity runs over `half` on both sides of `centre` + `shift`: error functions."""
    h = half * inverse_width
    for j in range(u8(BLOCK)):
        x = ((channels[first + j] - centre) + (rests[first + j] - shift)) * inverse_width
        p1, d1 = erf_ratio(x - h)
        p2, d2 = erf_ratio(x + h)
        tau = max(depth * (p2 * d1 - p1 * d2) / (d1 * d2), f4(0.0))
        d = spectrum[start + j]
        spectrum[start + j] = d + (source - d) * absorbed(tau)


@njit(inline="always")
def _thick_block(spectrum, start, channels, rests, first, centre, shift, half, inverse_width, depth, source):
    """Add the same for a very thick cell, with relative accuracy in the wings of the profile."""
    h = half * inverse_width
    for j in range(u8(BLOCK)):
        x = abs(((channels[first + j] - centre) + (rests[first + j] - shift)) * inverse_width)
        inner, outer = erfc_tail(abs(x - h)), erfc_tail(x + h)
        both = inner - outer if x > h else f4(2.0) - inner - outer
        d = spectrum[start + j]
        spectrum[start + j] = d + (source - d) * absorbed(depth * both)


@njit(inline="always")
def _series_coefficients(h):
    """4^k/(2k)! mean over s in [0, 1] of (h s)^(2k) exp(-(h s)^2), k = 0..5."""
    q = h * h
    m0 = f4(1.0) - q * (f4(1 / 3) - q * (f4(1 / 10) - q * (f4(1 / 42) - q * f4(1 / 216))))
    m1 = f4(1 / 3) - q * (f4(1 / 5) - q * (f4(1 / 14) - q * f4(1 / 54)))
    m2 = f4(1 / 5) - q * (f4(1 / 7) - q * f4(1 / 18))
    m3 = f4(1 / 7) - q * (f4(1 / 9) - q * f4(1 / 22))
    m4 = f4(1 / 9) - q * f4(1 / 11)
    m5 = f4(1 / 11) - q * f4(1 / 13)
    return (
        m0,
        f4(2.0) * q * m1,
        f4(16 / 24) * q * q * m2,
        f4(64 / 720) * q * q * q * m3,
        f4(256 / 40320) * q * q * q * q * m4,
        f4(1024 / 3628800) * q * q * q * q * q * m5,
    )


@njit(inline="always")
def _reach(log_depth, inverse_width):
    """Distance from the line centre at which 2^log_depth exp(-x^2) falls to 1 (with the slack of rough_log2)."""
    return np.sqrt(max(log_depth + f4(0.1), f4(0.0)) * LN_2) / inverse_width


@njit(inline="always")
def _cell(density, temperature, broadening, tables, shift, offset, thermal):
    """Strength tau0 = kappa(T) n / a, source J(T) - J(T_bg) and 1/a of one cell, from the tables.

    The table is linear in T between points spaced evenly within each octave: its index is the leading bits
    of the float32 itself.
    """
    bits = float_to_bits(temperature)
    index = u8((bits >> shift) - offset)
    fraction = f4(bits & ((i4(1) << shift) - i4(1))) / f4(i4(1) << shift)
    kappa = tables[0, index] + fraction * tables[1, index]
    source = tables[2, index] + fraction * tables[3, index]
    inverse_width = f4(1.0) / np.sqrt(broadening + thermal * temperature)
    return min(kappa * density * inverse_width, f4(1e30)), source, inverse_width


@njit(inline="always")
def _limits(low, high, per_bin, top):
    """Bins of velocity at which a window starts and ends; `bins` turns them into channels of any spacing."""
    start = i4(min(max(low * per_bin, f4(0.0)), top))
    end = i4(min(max(high * per_bin + f4(1.0), f4(0.0)), top + f4(1.0)))
    return start, end


@njit(nogil=True, pipeline_class=SeparateArrays, fastmath=FAST, error_model="numpy", cache=True)
def constant_rays(
    density,
    temperature,
    velocity,
    broadening,
    uniform_broadening,
    tables,
    shift,
    offset,
    thermal,
    channels,
    rests,
    bins,
    per_bin,
    origin,
    weights,
    floor,
    inverse_peak,
    out,
    first,
    last,
):  # pragma: no cover - compiled
    """Spectra of rays through cells of constant velocity.

    Parameters
    ----------
    density, temperature, velocity : ndarray, shape (depth, rays), float32
        Molecules per unit of the tables' kappa, K, km/s; index 0 is nearest to the observer.
    broadening : ndarray, shape (depth, rays) or (0, 0), float32
        b^2 of each cell [km^2 s^-2]; empty for `uniform_broadening` everywhere.
    tables : ndarray, shape (4, n), float32
        kappa, its steps, source, its steps (see :mod:`polaris_lab.radiative_transfer.tables`).
    channels, rests : ndarray, shape (channels x samples + PADDING), float32
        Sampling velocities [km/s], ascending, and what rounding them to float32 took: with both, distances
        from a cell's velocity are exact to the last digit however far from zero they lie.
    bins, per_bin, origin : ndarray of int32, float, float
        First channel at or above each bin of velocity, bins per km/s, and where they start [km/s].
    weights : ndarray, shape (samples,), float32
        How the samples of one channel are averaged.
    floor, inverse_peak : float
        log2 of the optical depth that may be left out of a cell, and 1 over the peak of the cube [K^-1].
    out : ndarray, shape (channels, rays), float32
        Filled with the brightness temperature [K].
    first, last : int
        Tiles of rays to work on; tiles are independent, so threads share them.
    """
    depth, rays = density.shape
    padded = channels.size
    top = f4(bins.size - 2)
    for tile in range(first, last):
        spectrum = np.zeros(TILE * padded, np.float32)
        centre = np.empty(CHUNK * TILE, np.float32)
        width = np.empty(CHUNK * TILE, np.float32)
        strength = np.empty(CHUNK * TILE, np.float32)
        source = np.empty(CHUNK * TILE, np.float32)
        start = np.empty(CHUNK * TILE, np.int32)
        end = np.empty(CHUNK * TILE, np.int32)
        b2 = np.full(TILE, uniform_broadening, np.float32)
        first_ray = u8(tile * TILE)
        count = u8(min(TILE, rays - tile * TILE))
        for chunk in range((depth + CHUNK - 1) // CHUNK):
            far = depth - chunk * CHUNK
            layers = u8(min(CHUNK, far))
            for layer in range(layers):
                z = u8(far) - u8(1) - layer
                base = layer * u8(TILE)
                if far > 2 * CHUNK:
                    ahead = z - u8(CHUNK)
                    for i in range(u8(0), u8(TILE), u8(BLOCK)):
                        prefetch(density, ahead, first_ray + i)
                        prefetch(temperature, ahead, first_ray + i)
                        prefetch(velocity, ahead, first_ray + i)
                if broadening.size > 0:
                    for i in range(count):
                        b2[i] = broadening[z, first_ray + i]
                for i in range(count):
                    s, j, w = _cell(
                        density[z, first_ray + i],
                        temperature[z, first_ray + i],
                        b2[i],
                        tables,
                        shift,
                        offset,
                        thermal,
                    )
                    v = velocity[z, first_ray + i]
                    cut = floor - rough_log2(max(abs(j) * inverse_peak, f4(1.0)))
                    log_depth = log2(max(s, f4(1e-37)))
                    reach = _reach(log_depth - cut, w)
                    k0, k1 = _limits(v - origin - reach, v - origin + reach, per_bin, top)
                    start[base + i] = k0
                    end[base + i] = k1 if log_depth > cut else k0
                    centre[base + i] = v
                    width[base + i] = w * _ROOT_LOG2_E
                    strength[base + i] = log_depth
                    source[base + i] = j
            for layer in range(layers):
                for i in range(count):
                    n = layer * u8(TILE) + i
                    k, stop = u8(bins[u8(start[n])]), u8(bins[u8(end[n])])
                    row = i * u8(padded)
                    while k < stop:
                        _gaussian_block(
                            spectrum, row + k, channels, rests, k, centre[n], width[n], strength[n], source[n]
                        )
                        k += u8(BLOCK)
        _average(spectrum, weights, first_ray, count, u8(padded), out)


@njit(inline="always")
def _average(spectrum, weights, first_ray, count, padded, out):
    """Write the spectra of a tile, each channel the weighted mean of its samples."""
    samples = u8(weights.size)
    for k in range(u8(out.shape[0])):
        for i in range(count):
            total = f4(0.0)
            for m in range(samples):
                total += weights[m] * spectrum[i * padded + k * samples + m]
            out[k, first_ray + i] = total


@njit(nogil=True, pipeline_class=SeparateArrays, fastmath=FAST, error_model="numpy", cache=True)
def linear_rays(
    density,
    temperature,
    velocity,
    broadening,
    uniform_broadening,
    tables,
    shift,
    offset,
    thermal,
    channels,
    rests,
    bins,
    per_bin,
    origin,
    weights,
    floor,
    inverse_peak,
    out,
    first,
    last,
):  # pragma: no cover - compiled
    """Spectra of rays whose velocity runs linearly through each cell (arguments of :func:`constant_rays`).

    The velocity of a face is the mean of its two cells; the outer faces have the velocity of their cell.
    """
    depth, rays = density.shape
    padded = channels.size
    top = f4(bins.size - 2)
    for tile in range(first, last):
        spectrum = np.zeros(TILE * padded, np.float32)
        centre = np.empty(CHUNK * TILE, np.float32)
        middle = np.empty(CHUNK * TILE, np.float32)
        half = np.empty(CHUNK * TILE, np.float32)
        width = np.empty(CHUNK * TILE, np.float32)
        strength = np.empty(CHUNK * TILE, np.float32)
        source = np.empty(CHUNK * TILE, np.float32)
        start = np.empty(CHUNK * TILE, np.int32)
        end = np.empty(CHUNK * TILE, np.int32)
        b2 = np.full(TILE, uniform_broadening, np.float32)
        first_ray = u8(tile * TILE)
        count = u8(min(TILE, rays - tile * TILE))
        for chunk in range((depth + CHUNK - 1) // CHUNK):
            far = depth - chunk * CHUNK
            layers = u8(min(CHUNK, far))
            for layer in range(layers):
                z = u8(far) - u8(1) - layer
                before = z - u8(1) if z > u8(0) else u8(0)
                after = z + u8(1) if z + u8(1) < u8(depth) else z
                base = layer * u8(TILE)
                if broadening.size > 0:
                    for i in range(count):
                        b2[i] = broadening[z, first_ray + i]
                for i in range(count):
                    s, j, w = _cell(
                        density[z, first_ray + i],
                        temperature[z, first_ray + i],
                        b2[i],
                        tables,
                        shift,
                        offset,
                        thermal,
                    )
                    v = velocity[z, first_ray + i]
                    down = velocity[before, first_ray + i] - v
                    up = velocity[after, first_ray + i] - v
                    h = f4(0.25) * abs(up - down)
                    e = f4(0.25) * (up + down)
                    steps = f4(2.0) * h * w
                    cut = floor - rough_log2(max(abs(j) * inverse_peak, f4(1.0)))
                    spread = steps > _SERIES_LIMIT
                    flat = s * _HALF_ROOT_PI / max(steps, _SERIES_LIMIT)
                    log_depth = log2(max(s, f4(1e-37)))
                    bound = log2(max(min(s, f4(2.0) * flat), f4(1e-37)))
                    reach = _reach(bound - cut, w) + h
                    k0, k1 = _limits(v + e - origin - reach, v + e - origin + reach, per_bin, top)
                    start[base + i] = k0
                    end[base + i] = k1 if bound > cut else k0
                    centre[base + i] = v
                    middle[base + i] = e
                    half[base + i] = h
                    width[base + i] = w
                    strength[base + i] = flat if spread else log_depth
                    source[base + i] = j
            for layer in range(layers):
                for i in range(count):
                    n = layer * u8(TILE) + i
                    k, stop = u8(bins[u8(start[n])]), u8(bins[u8(end[n])])
                    row = i * u8(padded)
                    v, e, h = centre[n], middle[n], half[n]
                    w, s, j = width[n], strength[n], source[n]
                    if f4(2.0) * h * w > _SERIES_LIMIT and s < _THICK:
                        while k < stop:
                            _erf_block(spectrum, row + k, channels, rests, k, v, e, h, w, s, j)
                            k += u8(BLOCK)
                    elif f4(2.0) * h * w > _SERIES_LIMIT:
                        while k < stop:
                            _thick_block(spectrum, row + k, channels, rests, k, v, e, h, w, s, j)
                            k += u8(BLOCK)
                    else:
                        c = _series_coefficients(h * w)
                        while k < stop:
                            _series_block(spectrum, row + k, channels, rests, k, v, e, w, s, c, j)
                            k += u8(BLOCK)
        _average(spectrum, weights, first_ray, count, u8(padded), out)
