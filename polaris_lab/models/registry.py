"""The registry of blocks: what a blueprint may name, and the check of what it says about it.

A block is an :class:`torch.nn.Module` whose constructor takes JSON keywords. Two attributes are optional:
``stride`` (sizes and origins of tiles are multiples of it) and ``receptive_margin`` (how many pixels around
an output pixel can change it). A block with constants to be fitted before training is a
:class:`Fitted`: its method ``fit`` takes the target and whichever inputs of ``forward`` it needs, by name.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import typing
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn

from polaris_lab import config

BlockClass = TypeVar("BlockClass", bound=type[nn.Module])


@runtime_checkable
class Fitted(Protocol):
    """A block whose constants are fitted to the training pixels, in float64, before training."""

    def fit(self, *, target: Tensor) -> None:
        """Fit; keywords named as inputs of ``forward`` are handed their values, log10 (N, C, H, W)."""


_BLOCKS: dict[str, type[nn.Module]] = {}


def register_block(name: str) -> Callable[[BlockClass], BlockClass]:
    """Make a class known to blueprints under `name` (a class decorator).

    The class is an ``nn.Module``; its constructor takes keywords that JSON can hold, with type hints, and its
    ``forward`` takes one tensor per input of the node, each (N, C, H, W).

    Raises
    ------
    ValueError
        If the name is taken or no identifier.
    TypeError
        If the class is no ``nn.Module``, or a parameter of its constructor has no type hint.

    Examples
    --------
    >>> import torch
    >>> @register_block("softplus_floor")
    ... class SoftplusFloor(torch.nn.Module):
    ...     def __init__(self, floor: float = 0.0):
    ...         super().__init__()
    ...         self.floor = floor
    ...
    ...     def forward(self, x):
    ...         return self.floor + torch.nn.functional.softplus(x)  # (N, C, H, W)
    >>> block_settings("softplus_floor", {"floor": 1})
    {'floor': 1.0}
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"register_block: expected a name such as 'my_block', got {name!r}")

    def register(block: BlockClass) -> BlockClass:
        if not (isinstance(block, type) and issubclass(block, nn.Module)):
            raise TypeError(
                f"register_block({name!r}): expected a subclass of torch.nn.Module, got {block!r}"
            )
        known = _BLOCKS.get(name)
        if known is not None and (known.__module__, known.__qualname__) != (
            block.__module__,
            block.__qualname__,
        ):
            raise ValueError(
                f"register_block({name!r}): this name already belongs to {known.__module__}.{known.__qualname__}; "
                "choose another"
            )
        _settings_dataclass(name, block)
        _BLOCKS[name] = block
        return block

    return register


def block_names() -> tuple[str, ...]:
    """Return the names of all registered blocks, sorted."""
    return tuple(sorted(_BLOCKS))


def block_class(name: str, *, where: str = "block") -> type[nn.Module]:
    """Return the class registered under `name`.

    Raises
    ------
    ValueError
        If there is none ("did you mean").
    """
    if not isinstance(name, str) or name not in _BLOCKS:
        raise ValueError(
            f"{where}: unknown block {name!r}: {config.did_you_mean(name, block_names())}. "
            "A block of your own must be registered (register_block) before it is named"
        )
    return _BLOCKS[name]


def block_settings(name: str, settings: Mapping[str, Any], *, where: str | None = None) -> dict[str, Any]:
    """Return all settings of a block: those given, checked, and the defaults of the others.

    Raises
    ------
    ValueError
        An unknown setting (with the nearest known one), or a required one that is missing.
    TypeError
        A value of the wrong type.
    """
    where = where or name
    kind = _settings_dataclass(name, block_class(name, where=where))
    try:
        values = config.from_dict(kind, settings, where=where)
        _check_finite(dataclasses.asdict(values), where)
        return config.to_dict(values)
    except TypeError as error:
        key = str(error).removeprefix(f"{where}.").partition(":")[0].partition("[")[0]
        raise TypeError(f"{error}{default_in_words(name, key)}") from error


def _check_finite(settings: Mapping[str, Any], where: str) -> None:
    """Refuse numbers that JSON has no words for."""
    for key, value in settings.items():
        for number in value if isinstance(value, list | tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise ValueError(
                    f"{where}.{key}: expected finite numbers, got {value!r}; JSON holds no others"
                )


def default_in_words(name: str, key: str) -> str:
    """Return "; the default is ..." for a setting of a block, nothing where it has none.

    Examples
    --------
    >>> default_in_words("unet", "layers")
    '; the default is 4'
    """
    for field in dataclasses.fields(_settings_dataclass(name, block_class(name))):
        if field.name == key and field.default_factory is not dataclasses.MISSING:
            return f"; the default is {field.default_factory()!r}"
    return ""


def input_names(name: str) -> tuple[list[str], bool]:
    """Return what the forward method of a block calls its inputs, and whether it takes any number more."""
    parameters = list(inspect.signature(block_class(name).forward).parameters.values())[1:]
    variadic = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [parameter.name for parameter in parameters if parameter.kind in positional], variadic


def _settings_dataclass(name: str, block: type[nn.Module]) -> type:
    """Return a dataclass with the keywords of a block's constructor as its fields."""
    if block.__init__ is nn.Module.__init__:  # no constructor of its own: no settings
        return dataclasses.make_dataclass(f"{name}_settings", [])
    hints = typing.get_type_hints(block.__init__)
    fields: list[tuple[str, Any, Any]] = []
    for parameter in list(inspect.signature(block.__init__).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise TypeError(
                f"register_block({name!r}): expected a constructor with named settings, got {parameter}"
            )
        if parameter.name not in hints:
            raise TypeError(
                f"register_block({name!r}): expected a type hint for {parameter.name!r}, got none; "
                f"write for example {parameter.name}: int = 1"
            )
        field = dataclasses.field()
        if parameter.default is not parameter.empty:
            field = dataclasses.field(default_factory=lambda value=parameter.default: value)
        fields.append((parameter.name, hints[parameter.name], field))
    return dataclasses.make_dataclass(f"{name}_settings", fields, kw_only=True)
