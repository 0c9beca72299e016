"""Arrays of a dataset: their names, units and checks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy import units as u

from polaris_lab.config import SCHEMA, Provenance, did_you_mean, fingerprint, to_dict
from polaris_lab.datasets.emission_config import LINE_UNITS
from polaris_lab.datasets.growing import KIND
from polaris_lab.datasets.layout import CHANNEL_UNITS, DENSITY_CUBE, LINE_CUBE, patch_dimensions
from polaris_lab.quantities import quantity
from polaris_lab.units import positive

UNITS = {
    name: quantity(name).unit
    for name in ("column_density", "mass_weighted_density", "volume_weighted_density", "max_density")
}
"""Unit of every quantity that a cube can be projected to."""

SIGNED = ("context_mask", "position")
"""Channels that are zero or negative somewhere."""

PLAUSIBLE_COLUMN_DENSITY = (1e16, 1e28)
"""Medians outside this range [cm^-2] betray a logarithm or another unit (pc cm^-3 gives about 100)."""


def checked_arrays(
    inputs: Mapping[str, Any], targets: Mapping[str, Any], velocity: Any = None
) -> tuple[dict[str, np.ndarray], dict[str, str], np.ndarray | None]:
    """Return images as float32 by name with their units and the velocity axis, or say what is wrong with them.

    Parameters
    ----------
    inputs, targets : mapping
        Images (n, y, x) by name, as for :meth:`PatchDataset.from_arrays`.
    velocity : Quantity, optional
        Channel centres of "ppv_cube".

    Returns
    -------
    arrays : dict of ndarray, shape (n, y, x) or (n, v, y, x), float32
    units : dict of str
    velocity : ndarray, shape (v,), or None
        [km/s].

    Raises
    ------
    ValueError
        If shapes differ, an image is not square, or a value is not finite and positive, or in the wrong unit.
    """
    for role, given in (("inputs", inputs), ("targets", targets)):
        if not isinstance(given, Mapping) or not given:
            raise ValueError(
                f'{role}: expected images by name, for example {{"column_density": array}}, got '
                f"{type(given).__name__}" + (" without any" if isinstance(given, Mapping) else "")
            )
    twice = sorted(set(inputs) & set(targets))
    if twice:
        raise ValueError(f"targets: expected names that are no input, got {twice[0]!r} in both")
    arrays, units = {}, {}
    for name, values in {**inputs, **targets}.items():
        arrays[name], units[name] = _checked(name, values, optional=name in inputs)
    maps = [name for name, values in arrays.items() if values.ndim > 1]
    if not maps:
        raise ValueError(f"inputs, targets: expected at least one map (n, y, x), got only {sorted(arrays)}")
    first, shape = maps[0], _map_shape(arrays[maps[0]])
    for name, values in arrays.items():
        expected = shape if values.ndim > 1 else shape[:1]
        if _map_shape(values) != expected:
            raise ValueError(f"{name}: expected the shape of {first} {expected}, got {_map_shape(values)}")
    return arrays, units, _channels(arrays.get(LINE_CUBE), velocity)


def _map_shape(values: np.ndarray) -> tuple[int, ...]:
    """Return (n, y, x), without the velocity axis of a line cube; (n,) for scalars."""
    return (values.shape[0], *values.shape[-2:]) if values.ndim > 1 else values.shape


def _channels(cubes: np.ndarray | None, velocity: Any) -> np.ndarray | None:
    """Return the velocity axis of the line cubes [km/s], None where there are neither."""
    from polaris_lab.radiative_transfer.choices import check_velocity

    if cubes is None:
        if velocity is not None:
            raise ValueError(
                f'velocity: expected line cubes "{LINE_CUBE}" (n, v, y, x) with it, got none; leave one or the other out'
            )
        return None
    channels = check_velocity(velocity)
    if len(channels) != cubes.shape[1]:
        raise ValueError(
            f"velocity: expected one for each of the {cubes.shape[1]} channels of {LINE_CUBE} (n, v, y, x), got "
            f"{len(channels)}; the velocity axis is the second"
        )
    return channels


def _checked(name: str, values: Any, *, optional: bool) -> tuple[np.ndarray, str]:
    known = UNITS | LINE_UNITS | CHANNEL_UNITS
    axes = ("n", *patch_dimensions(name))
    if isinstance(values, u.Quantity):
        unit = known.get(name) or values.unit.to_string("fits")
        if not values.unit.is_equivalent(unit):
            raise u.UnitsError(
                f"{name}: expected a unit that converts to {unit}, got {str(values.unit) or 'no unit'}"
            )
        values = values.to_value(unit)
    elif name in known:
        unit = known[name]
    else:
        raise ValueError(
            f"{name}: {did_you_mean(name, list(known))}; another quantity needs its unit: give it as a Quantity"
        )
    if np.ma.is_masked(values):
        raise ValueError(
            f"{name}: expected a value in every pixel, got {np.ma.count_masked(values)} masked pixels; leave such "
            "images out, or cut the pixels off"
        )
    values = np.asarray(values)
    if values.ndim != len(axes) or min(values.shape, default=0) < 1:
        raise ValueError(
            f"{name}: expected images of shape ({', '.join(axes)}), got {values.shape}"
            + ("; a single image needs a first axis: image[None]" if values.ndim == len(axes) - 1 else "")
        )
    if values.ndim > 1 and values.shape[-2] != values.shape[-1]:
        raise ValueError(
            f"{name}: expected square images, got {values.shape[-2]} x {values.shape[-1]} pixels; cut squares out of "
            "them (training turns and mirrors them)"
        )
    if values.dtype.kind not in "fiu":
        raise TypeError(f"{name}: expected real numbers in {unit}, got {values.dtype}")
    values = values.astype(np.float32)  # a copy
    _check_values(name, values, unit, axes, optional=optional and name != "column_density")
    if name == "column_density":
        low, high = PLAUSIBLE_COLUMN_DENSITY
        median = float(np.median(values))
        if not low <= median <= high:
            raise ValueError(
                f"{name}: expected hydrogen nuclei per cm^2 (medians from {low:g} to {high:g}), got a median of "
                f"{median:.4g}; " + _unit_guess(median)
            )
    return values, unit


def _check_values(name: str, values: np.ndarray, unit: str, axes: tuple[str, ...], *, optional: bool) -> None:
    """Refuse values that are not finite, or not positive where the quantity is; an optional image may be missing."""
    # lines are zero off the gas and negative where it is colder than the sky
    positive = name not in LINE_UNITS and name not in SIGNED
    blank = np.isnan(values)
    if name == "context_column_density":
        missing = blank  # what lies beyond the map
    else:
        missing = blank.reshape(len(values), -1).all(axis=1).reshape(-1, *(1,) * (values.ndim - 1))
    bad = ~np.isfinite(values) | ((values <= 0) & positive)
    if optional:
        bad &= ~missing
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        place = ", ".join(f"{axis}={i}" for axis, i in zip(axes[1:], first[1:], strict=True))
        raise ValueError(
            f"{name}: expected {'positive ' if positive else ''}finite values in {unit}, got {values[first]} in image "
            f"{first[0]}{place and f' at [{place}]'} ({int(bad.sum())} such {'pixels' if place else 'images'}); leave such images out, or cut the pixels off"
        )


def _unit_guess(median: float) -> str:
    if 16 <= median <= 28:
        return "this looks like log10: give 10**values"
    if median < 1e7:
        return "if it is in pc cm^-3, multiply by 3.0857e18; if in m^-2, divide by 1e4; or give a Quantity"
    return "give a Quantity with its unit"


def given_split(split: Sequence[str] | float, count: int, seed: int) -> tuple[str, np.ndarray]:
    """Return the rule ("given" or "shuffle") and the flag of every image.

    Raises
    ------
    ValueError
        If a flag is unknown, there are too many or few, or the fraction is out of range.
    """
    if isinstance(split, int | float) and not isinstance(split, bool):
        return "shuffle", shuffled_split(count, float(split), seed)
    flags = np.asarray(split, dtype=str)
    if flags.shape != (count,):
        raise ValueError(
            f"split: expected a fraction or one flag for each of the {count} images, got {flags.shape or split!r}"
        )
    known = ("training", "validation", "dropped")
    for flag in np.unique(flags):
        if flag not in known:
            raise ValueError(f"split: unknown flag {str(flag)!r}: {did_you_mean(str(flag), known)}")
    return "given", flags


def shuffled_split(count: int, fraction: float, seed: int) -> np.ndarray:
    """Draw a fraction of `count` patches for validation: at least one, and never all.

    Raises
    ------
    ValueError
        If the fraction is not between 0 and 1, or there are fewer than two patches.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"split: expected a fraction between 0 and 1 for validation, got {fraction}")
    if count < 2:
        raise ValueError(f"split: expected at least 2 patches to share between two sides, got {count}")
    chosen = min(max(1, round(fraction * count)), count - 1)
    flags = np.full(count, "training", dtype="U10")
    flags[np.random.default_rng([seed, count]).permutation(count)[:chosen]] = "validation"
    return flags


def content_manifest(
    arrays: Mapping[str, np.ndarray],
    units: Mapping[str, str],
    inputs: Sequence[str],
    targets: Sequence[str],
    pixel_size: u.Quantity,
    rule: str,
    table: Mapping[str, np.ndarray],
    seed: int,
    velocity: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return the attributes of a dataset made of a user's own images; its fingerprint names their content."""
    sentence = {
        "given": "The split was given with the images",
        "shuffle": f"Images were drawn at random for validation (seed {seed}): the same gas may be on both sides",
    }[rule]
    manifest = {
        "schema": SCHEMA,
        "kind": KIND,
        "pixel_size_pc": positive(pixel_size, u.pc, "pixel_size"),
        "patch_size": int(next(values.shape[-1] for values in arrays.values() if values.ndim > 1)),
        "inputs": list(inputs),
        "targets": list(targets),
        "units": dict(units),
        "split": {"rule": rule, "sentence": sentence},
        "config": None,
        "sources": [],
        "dropped": np.flatnonzero(table["split"] == "dropped").tolist(),
    }
    if DENSITY_CUBE in arrays:
        manifest["depth_cells"] = arrays[DENSITY_CUBE].shape[1]
    content = {
        "arrays": {name: hashlib.sha256(values.tobytes()).hexdigest() for name, values in arrays.items()},
        "split": table["split"].tolist(),
        "cloud": table["cloud"].tolist(),
    }
    if velocity is not None:
        content["velocity_km_s"] = velocity.tolist()
    manifest["fingerprint"] = fingerprint([manifest, content])
    manifest["provenance"] = to_dict(Provenance.now(seed=seed))
    return manifest


def column(values: np.ndarray) -> np.ndarray:
    """Return a column of a stored table as numpy has it."""
    return np.array(values.tolist(), dtype=str) if values.dtype.kind in "TO" else values


def per_patch(values: Sequence[str] | str, count: int, name: str) -> np.ndarray:
    """Return one word a patch, of one or of as many."""
    values = np.full(count, values) if isinstance(values, str) else np.asarray(values, dtype=str)
    if values.shape != (count,):
        raise ValueError(f"{name}: expected one name or {count} of them, got {values.shape}")
    return values
