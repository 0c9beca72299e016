"""What a block takes, as JSON Schema: types and defaults from the signature of its constructor, words from its docstring."""

from __future__ import annotations

import inspect
import json
import re
import types
import typing
from typing import Any

from torch import nn

from polaris_lab.models.registry import block_class

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def block_schema(name: str) -> dict[str, Any]:
    """Return the settings of a block as a JSON Schema, for forms and for other programs.

    Parameters
    ----------
    name : str
        A registered block.

    Returns
    -------
    dict
        ``title``, ``description``, and ``properties``: type, default, description and, where the docstring
        lists them, the choices (``enum``) of each setting.

    Examples
    --------
    >>> schema = block_schema("kan_convolution")
    >>> schema["properties"]["form"]["enum"], schema["properties"]["kernel_size"]["default"]
    (['full', 'bottleneck'], 3)
    """
    block = block_class(name)
    text = inspect.cleandoc(block.__doc__ or "")
    schema: dict[str, Any] = {
        "title": name,
        "type": "object",
        "description": text.split("\n\n")[0],
        "properties": {},
    }
    if block.__init__ is nn.Module.__init__:  # no constructor of its own: no settings
        return schema
    hints, words = typing.get_type_hints(block.__init__), _parameters(text)
    for parameter in list(inspect.signature(block.__init__).parameters.values())[1:]:
        kind, description = words.get(parameter.name, ("", ""))
        entry = {"title": parameter.name, **_type(hints[parameter.name])}
        if choices := re.search(r"\{(.*)\}", kind):
            entry["enum"] = json.loads(f"[{choices.group(1)}]")
        if description:
            entry["description"] = description
        if parameter.default is parameter.empty:
            schema.setdefault("required", []).append(parameter.name)
        else:
            default = parameter.default
            entry["default"] = list(default) if isinstance(default, tuple) else default
        schema["properties"][parameter.name] = entry
    return schema


def _type(hint: Any) -> dict[str, Any]:
    """Return a type hint in the words of JSON Schema."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [_type(part) for part in typing.get_args(hint) if part is not type(None)]
        return {**inner[0], "type": [inner[0].get("type", "string"), "null"]}
    if typing.get_origin(hint) is tuple:
        return {"type": "array", "items": _type(typing.get_args(hint)[0])}
    return {"type": _TYPES[hint]} if hint in _TYPES else {}


def _parameters(text: str) -> dict[str, tuple[str, str]]:
    """Return the kind and the description of each parameter that a numpydoc docstring tells."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[^\n]*\n-+\n|\Z)", text, re.MULTILINE | re.DOTALL)
    found: dict[str, tuple[str, str]] = {}
    for entry in re.finditer(
        r"^(\w[\w, ]*) : ([^\n]*)\n((?:[ \t]+[^\n]*\n?|\n)*)",
        section.group(1) if section else "",
        re.MULTILINE,
    ):
        for name in entry.group(1).split(", "):
            found[name] = (entry.group(2), " ".join(entry.group(3).split()))
    return found
