"""Blank pixels: which values mean "not observed", and how a map is filled for a network's eyes only."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter, minimum_filter

USUAL_BLANKS = (0.0, -1.0)
"""Values that stand for "not observed" in public maps, beside NaN and the header's BLANK."""


class BlankPixelWarning(UserWarning):
    """Pixels of a map were taken as not observed; the message counts them by their value."""


def mark_blanks(
    values: np.ndarray,
    *,
    blank: float | Sequence[float] | None = None,
    header: Mapping | None = None,
    where: str = "map",
) -> np.ndarray:
    """Return a copy of a map with NaN at the pixels that hold no measurement.

    Parameters
    ----------
    values : ndarray
        A map as read from its file, real numbers.
    blank : float or sequence of float, optional
        The values that mean "not observed" (NaN always does); none at all with an empty sequence. By default
        0, -1 and the header's BLANK, which are replaced with a :class:`BlankPixelWarning`.
    header : mapping, optional
        The header, for its BLANK. In an integer image astropy has turned those pixels into NaN already; they
        are counted all the same.
    where : str
        What the map is called in the warning.

    Returns
    -------
    ndarray
        Same shape, floating point of the precision of `values`; infinities are NaN too.

    Examples
    --------
    >>> mark_blanks(np.array([[1e21, -999.0]]), blank=-999)
    array([[1.e+21,    nan]])
    """
    values = np.asarray(values)
    kind = values.dtype.newbyteorder("=") if values.dtype.kind == "f" else np.dtype(np.float64)
    marked = values.astype(kind, copy=True)
    header = header or {}
    header_blank = header.get("BLANK")
    stored_as_integer = header_blank is not None and int(header.get("ZBITPIX", header.get("BITPIX", 0))) > 0
    counts = {f"{header_blank:g}": int(np.isnan(marked).sum())} if stored_as_integer else {}
    for value in _candidates(blank, None if stored_as_integer else header_blank):
        hit = marked == value
        if hit.any():
            counts[f"{value:g}"] = int(hit.sum())
            marked[hit] = np.nan
    marked[np.isinf(marked)] = np.nan
    counts = {value: count for value, count in counts.items() if count}
    if counts and blank is None:
        listed = ", ".join(f"{count} of value {value}" for value, count in counts.items())
        warnings.warn(
            f"{where}: {sum(counts.values())} of {values.size} pixels are taken as not observed ({listed}); "
            "blank=VALUE says which values mean that, blank=() that none does",
            BlankPixelWarning,
            stacklevel=5,
        )
    return marked


SPIKE_FACTOR = 30.0
"""A pixel this many times above the median of the pixels around it is no measurement: a beam covers several pixels,
and neighbours cannot differ so much. Failed fits of spectral energy distributions leave 1e25 beside 1e22."""


SPIKE_BLOCK = 256
"""Side of the blocks [pixels] in which spikes are looked for."""


def find_spikes(values: np.ndarray, *, factor: float = SPIKE_FACTOR) -> np.ndarray:
    """Return which pixels rise above `factor` times the median of the 24 pixels around them.

    Parameters
    ----------
    values : ndarray, shape (ny, nx)
        A linear map, NaN where blank; blank pixels have no say.
    factor : float
        The rule.

    Returns
    -------
    ndarray of bool

    Raises
    ------
    ValueError
        If the factor is not above 1.

    Examples
    --------
    >>> spiky = np.full((7, 7), 1e22)
    >>> spiky[3, 3] = 1e25
    >>> np.argwhere(find_spikes(spiky)).tolist()
    [[3, 3]]
    """
    if not factor > 1:
        raise ValueError(f"spikes: expected a factor above 1, got {factor}")
    with np.errstate(invalid="ignore"):
        high = values > factor * np.nanmedian(values)
    spikes = np.zeros(values.shape, bool)
    for y, x in _above_lowest(values, high, factor):
        around = values[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
        good = np.isfinite(around)
        others = int(good.sum()) - 1
        if others >= 3:
            rest = np.sort(around[good])[:-1] if values[y, x] == np.nanmax(around) else around[good]
            spikes[y, x] = values[y, x] > factor * np.median(rest)
    return spikes


def _above_lowest(values: np.ndarray, high: np.ndarray, factor: float) -> np.ndarray:
    """Return those of the high pixels that rise above their lowest neighbour by as much, (n, 2).

    Only they can rise above the median of all neighbours so. Most maps have few of them: only the blocks around them are
    looked at.
    """
    rows, columns = values.shape
    found = [np.empty((0, 2), np.intp)]
    for top in range(0, rows, SPIKE_BLOCK):
        if not high[top : top + SPIKE_BLOCK].any():
            continue
        for left in range(0, columns, SPIKE_BLOCK):
            mine = high[top : top + SPIKE_BLOCK, left : left + SPIKE_BLOCK]
            if not mine.any():
                continue
            first, start = max(top - 2, 0), max(left - 2, 0)
            around = values[first : top + SPIKE_BLOCK + 2, start : left + SPIKE_BLOCK + 2]
            lowest = minimum_filter(np.where(np.isnan(around), np.inf, around), 5, mode="nearest")
            inside = slice(top - first, None), slice(left - start, None)
            lowest = lowest[inside][: mine.shape[0], : mine.shape[1]]
            part = values[top : top + SPIKE_BLOCK, left : left + SPIKE_BLOCK]
            with np.errstate(invalid="ignore"):
                found.append(np.argwhere(mine & (part > factor * lowest)) + np.array([top, left]))
    return np.concatenate(found)


def mark_spikes(values: np.ndarray, *, factor: float | None, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a map with NaN at its spikes, and which they are; `factor` None or False leaves all as it is.

    Warns
    -----
    BlankPixelWarning
        How many were found.
    """
    if factor is None or factor is False:
        return values, np.zeros(values.shape, bool)
    spikes = find_spikes(values, factor=SPIKE_FACTOR if factor is True else float(factor))
    if not spikes.any():
        return values, spikes
    warnings.warn(
        f"{where}: {int(spikes.sum())} of {values.size} pixels rise more than {SPIKE_FACTOR if factor is True else factor:g} "
        f"times above those around them (up to {np.nanmax(values[spikes]):.3g}) and are taken as failed fits, not "
        "observed; spikes=False keeps them",
        BlankPixelWarning,
        stacklevel=4,
    )
    return np.where(spikes, values.dtype.type(np.nan), values), spikes


def _candidates(blank: float | Sequence[float] | None, header_blank: float | None) -> list[float]:
    if blank is None:
        return [*USUAL_BLANKS, *([float(header_blank)] if header_blank is not None else [])]
    try:
        return [float(value) for value in np.atleast_1d(np.asarray(blank, dtype=float))]
    except (TypeError, ValueError) as error:
        raise TypeError(f"blank: expected a number or several of them, got {blank!r}") from error


def fill_blanks(values: np.ndarray) -> np.ndarray:
    """Fill NaN smoothly from the pixels around them (normalised convolution over growing scales).

    A blank pixel takes the Gaussian mean of the valid pixels around it, with the smallest width
    (1, 2, 4, ... pixels) at which a twentieth of the weight falls on valid pixels: close to data the map is continued
    smoothly, deep inside a hole it levels off. Valid pixels are not touched. It is meant for log10 maps, and for
    the input of a network only: the pixels stay blank in every result.

    Parameters
    ----------
    values : ndarray, shape (ny, nx)
        A map with NaN.

    Returns
    -------
    ndarray
        Same shape and precision, finite everywhere.

    Raises
    ------
    ValueError
        If every pixel is NaN.

    Examples
    --------
    >>> fill_blanks(np.array([[2.0, np.nan, 2.0]]))
    array([[2., 2., 2.]])
    """
    valid = np.isfinite(values)
    if valid.all():
        return np.array(values)
    if not valid.any():
        raise ValueError("map: expected at least one valid pixel, got NaN everywhere")
    centre = float(np.mean(values, where=valid, dtype=np.float64))
    offset = np.where(valid, values - centre, 0.0).astype(np.float64)
    presence = valid.astype(np.float64)
    filled, todo = offset.copy(), ~valid
    width = 1.0
    while todo.any():
        weight = gaussian_filter(presence, width, mode="constant", truncate=3.0)
        mean = gaussian_filter(offset, width, mode="constant", truncate=3.0)
        near = todo & (weight > 0.05)
        filled[near] = mean[near] / weight[near]
        todo &= ~near
        width *= 2.0
        if width > 2 * max(values.shape):
            break  # what is left lies farther from data than the map is wide: it keeps the mean
    return np.where(valid, values, filled + centre).astype(values.dtype)
