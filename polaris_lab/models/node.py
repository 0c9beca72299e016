"""One node of a blueprint, and the checks of names and settings."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch import nn

from polaris_lab.models import (  # noqa: F401 (importing registers blocks)
    blocks,
    bounds,
    context,
    contrast,
    encoders,
    film,
    generative,
    multi_unet,
    reference,
    registry,
    residuals,
    spectra,
    unet,
    unet_cubes,
    volume,
)
from polaris_lab.models.graph import context as graph_context  # noqa: F401 (importing registers blocks)
from polaris_lab.models.kan import convolution, networks  # noqa: F401 (importing registers blocks)

_MODULES = nn.ModuleDict()  # what holds the nodes of a model: its own attributes cannot be names of nodes


class Settings(dict):
    """A dict of JSON values that refuses to change: what a frozen dataclass may hold."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("the settings of a node do not change; make a new Node (dataclasses.replace)")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple:
        return Settings, (dict(self),)


@dataclasses.dataclass(frozen=True)
class Node:
    """One step of a blueprint.

    Parameters
    ----------
    name : str
        What it is called: the name under which other nodes take its output.
    block : str
        A registered block.
    settings : dict
        Keywords of the block's constructor. Those left out take their defaults, and are then written down
        too, so that a stored blueprint means the same if a default changes.
    inputs : tuple of str
        Names of the blueprint's inputs or of earlier nodes, in the order of the block's ``forward``.

    Examples
    --------
    >>> Node("fuse", "add", inputs=("unet", "baseline"))
    Node(name='fuse', block='add', settings={}, inputs=('unet', 'baseline'))
    """

    name: str
    block: str
    settings: dict = dataclasses.field(default_factory=dict)
    inputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name, "a node's name")
        if hasattr(_MODULES, self.name):
            raise ValueError(
                f"node {self.name!r}: expected a name that PyTorch's modules do not use themselves, got one that they "
                f"do; call it {self.name}_1"
            )
        where = f"node {self.name!r}"
        if not isinstance(self.settings, Mapping):
            raise TypeError(
                f"{where}: expected settings as an object with named values, got {self.settings!r}"
            )
        settings = registry.block_settings(self.block, self.settings, where=where)
        object.__setattr__(self, "settings", Settings(settings))
        object.__setattr__(self, "inputs", checked_names(self.inputs, f"{where}: inputs"))
        self._check_number_of_inputs(where)
        _check_values(self.block, settings, where)

    def _check_number_of_inputs(self, where: str) -> None:
        expected, variadic = registry.input_names(self.block)
        got = len(self.inputs)
        if got < len(expected) or (got > len(expected) and not variadic):
            number = f"{len(expected)} inputs{' or more' if variadic else ''}"
            raise ValueError(
                f"{where}: {self.block} takes {number} ({', '.join(expected)}), got {got} {list(self.inputs)}"
            )


def _check_values(block: str, settings: Mapping[str, Any], where: str) -> None:
    """Let the block's constructor check its settings, on the meta device (no memory, no numbers)."""
    _block, kind, words = on_meta(registry.block_class(block), json.dumps(settings, sort_keys=True))
    if kind is not None:
        if ";" not in words and "did you mean" not in words:
            words += registry.default_in_words(block, words.partition(":")[0])
        raise (TypeError if issubclass(kind, TypeError) else ValueError)(f"{where}: {words}")


@functools.lru_cache(maxsize=128)
def on_meta(kind: type[nn.Module], settings: str) -> tuple[nn.Module | None, type[Exception] | None, str]:
    """Return a block on the meta device, or the type and words of what its constructor raises; remembered.

    Shapes are checked there, without any numbers: a constructor must not read those of its tensors.
    """
    try:
        with torch.device("meta"):
            return kind(**json.loads(settings)), None, ""
    except (RuntimeError, TypeError, ValueError) as error:
        words = str(error)
        if "meta tensor" in words or "meta device" in words:
            words = (
                "expected a block that is made without reading numbers of its tensors, since shapes are checked on the meta "
                f"device, got {words!r}; compute them with math or numpy"
            )
            return None, ValueError, words
        return None, type(error), words  # a RuntimeError: of more numbers than can be counted


def check_name(name: Any, what: str) -> None:
    """Refuse a name that is no identifier."""
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"{what}: expected letters, digits and underscores such as 'unet_1', got {name!r}")


def checked_names(names: Sequence[str], what: str) -> tuple[str, ...]:
    """Return names as a tuple; a bare text is refused (its letters would be the names)."""
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise TypeError(f"{what}: expected a tuple of names, got {names!r}; write ({names!r},)")
    for name in names:
        check_name(name, what)
    return tuple(names)
