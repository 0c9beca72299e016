"""The registry of presets: functions that return a blueprint, by the name of their architecture."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from polaris_lab.config import did_you_mean

if TYPE_CHECKING:
    from polaris_lab.models.blueprint import Blueprint

Preset = Callable[..., "Blueprint"]

_PRESETS: dict[str, Preset] = {}
_TINY: dict[str, dict[str, Any]] = {}


def register_preset(name: str, *, tiny: Mapping[str, Any] | None = None) -> Callable[[Preset], Preset]:
    """Make a function that returns a blueprint known under `name` (a decorator).

    Parameters
    ----------
    name : str
        An identifier, such as "unet".
    tiny : mapping, optional
        Settings that make it small enough to train a step in a fraction of a second; tests use them.

    Raises
    ------
    ValueError
        If the name is no identifier or taken.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"register_preset: expected a name such as 'unet', got {name!r}")

    def register(preset: Preset) -> Preset:
        known = _PRESETS.get(name)
        if known is not None and (known.__module__, known.__qualname__) != (
            preset.__module__,
            preset.__qualname__,
        ):
            raise ValueError(f"register_preset({name!r}): this name is taken; choose another")
        _PRESETS[name] = preset
        _TINY[name] = dict(tiny or {})
        return preset

    return register


def preset_names() -> tuple[str, ...]:
    """Return the names of all presets, sorted."""
    return tuple(sorted(_PRESETS))


def preset_function(name: str) -> Preset:
    """Return the function of a preset, whose signature lists its settings.

    Raises
    ------
    ValueError
        If there is none of that name ("did you mean").
    """
    if not isinstance(name, str) or name not in _PRESETS:
        raise ValueError(f"preset: unknown name {name!r}: {did_you_mean(str(name), preset_names())}")
    return _PRESETS[name]


def preset(name: str, settings: Mapping[str, Any]) -> Blueprint:
    """Return the blueprint of a preset.

    Raises
    ------
    ValueError
        An unknown preset or setting ("did you mean"), or a value that is out of range.
    TypeError
        A value of the wrong type.
    """
    function = preset_function(name)
    known = list(inspect.signature(function).parameters)
    for key in settings:
        if key not in known:
            raise ValueError(f"preset {name!r}: unknown setting {key!r}: {did_you_mean(str(key), known)}")
    return function(**settings)


def tiny_settings(name: str) -> dict[str, Any]:
    """Return the settings that make a preset small: see :func:`register_preset`."""
    preset_function(name)
    return dict(_TINY[name])
