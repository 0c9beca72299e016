"""A blueprint as Python: the source of a plain PyTorch module that needs no blueprint to run."""

from __future__ import annotations

import keyword
import re
import textwrap

from polaris_lab.models.blueprint import Blueprint
from polaris_lab.models.build import check_shapes
from polaris_lab.models.inputs import shape_of
from polaris_lab.models.node import Node
from polaris_lab.models.registry import block_class
from polaris_lab.models.summary import channels_of

_HEADER = '''"""{title}

Made from the blueprint {fingerprint}. Inputs are log10 of what is logarithmic, the rest as it is.
It answers with log10 of {outputs}.
Weights have the names that they have in the blueprint's model: load_state_dict of either takes those of the other.
"""

import torch
from torch import nn

{imports}


class Network(nn.Module):
    """{name}."""

    def __init__(self):
        super().__init__()
        self.nodes = nn.ModuleDict(
            {{
{blocks}
            }}
        )

    def forward(self, {arguments}):
{body}
'''


def to_python(blueprint: Blueprint) -> str:
    """Return the source of a module with a class ``Network`` that gives what the blueprint's model gives.

    It imports torch and the block classes, nothing else of the library. ``Network()(**inputs)`` takes the inputs by
    name and returns the raw answer, a dict of them where there are several outputs; optional inputs may be left
    out.

    Parameters
    ----------
    blueprint : Blueprint
        What to write down.

    Returns
    -------
    str
        Python source.

    Raises
    ------
    ValueError
        If the blueprint's shapes do not fit, or a block cannot be imported (it was defined in a notebook or inside a
        function): the error names the node.

    Examples
    --------
    >>> print(to_python(Blueprint.unet(2, 4)).split("forward")[1])
    (self, column_density):
            contrast = self.nodes["contrast"](column_density)  # (N, 1, H, W)
            correction = self.nodes["correction"](contrast)  # (N, 1, H, W)
            baseline = self.nodes["baseline"](column_density, contrast)  # (N, 1, H, W)
            mass_weighted_density = self.nodes["mass_weighted_density"](baseline, correction)  # (N, 1, H, W)
            return mass_weighted_density
    <BLANKLINE>
    """
    names = _variables(blueprint)
    text = _HEADER.format(
        title=_plain(blueprint.name) + ".",
        name=_plain(blueprint.name),
        fingerprint=blueprint.fingerprint,
        outputs=", ".join(blueprint.outputs),
        imports="\n".join(_imports(blueprint)),
        blocks="\n".join(_block_line(node) for node in blueprint.nodes),
        arguments=_arguments(blueprint, names),
        body=textwrap.indent("\n".join(_body(blueprint, names)), " " * 8),
    )
    compile(text, blueprint.name, "exec")  # only parsed: never write what Python cannot read
    return text


def _plain(text: str) -> str:
    """Return a title as it may stand in a docstring, on one line."""
    return re.sub(r"[\s]+", " ", text.replace("\\", "/").replace('"', "'")).strip()


def _variables(blueprint: Blueprint) -> dict[str, str]:
    """Return a Python variable for each input and node."""
    taken = {"self", "torch", "nn", *keyword.kwlist, *(_class_name(node) for node in blueprint.nodes)}
    variables: dict[str, str] = {}
    for name in (*blueprint.inputs, *(node.name for node in blueprint.nodes)):
        variable = name
        while variable in taken:
            variable += "_"
        taken.add(variable)
        variables[name] = variable
    return variables


def _class_name(node: Node) -> str:
    return block_class(node.block).__qualname__


def _imports(blueprint: Blueprint) -> list[str]:
    """Return one import line for each module that blocks come from."""
    modules: dict[str, set[str]] = {}
    for node in blueprint.nodes:
        block = block_class(node.block)
        if "<locals>" in block.__qualname__ or block.__module__ == "__main__" or "." in block.__qualname__:
            raise ValueError(
                f"node {node.name!r}: expected a block that can be imported, got {block.__module__}."
                f"{block.__qualname__}; move the class to a module of its own, at its top level"
            )
        modules.setdefault(block.__module__, set()).add(block.__qualname__)
    owners: dict[str, str] = {}
    for module, classes in modules.items():
        for name in classes:
            if owners.setdefault(name, module) != module or name in ("Network", "torch", "nn"):
                raise ValueError(
                    f"block {name}: expected classes whose names differ, from each other and from Network, got "
                    f"{owners[name]}.{name} and {module}.{name}; rename the class"
                )
    return [
        f"from {module} import {', '.join(sorted(classes))}" for module, classes in sorted(modules.items())
    ]


def _block_line(node: Node) -> str:
    """Return the entry of one node in the dictionary of blocks."""
    settings = [f"{key}={_literal(value)}" for key, value in node.settings.items()]
    entry = f'"{node.name}": {_class_name(node)}({", ".join(settings)}),'
    if len(entry) > 90:
        lines = "".join(f"    {setting},\n" for setting in settings)
        entry = f'"{node.name}": {_class_name(node)}(\n{lines}),'
    return textwrap.indent(entry, " " * 16)


def _literal(value: object) -> str:
    """Return a JSON value as Python writes it; lists as tuples, which is what blocks take."""
    if isinstance(value, list | tuple):
        return "(" + ", ".join(map(_literal, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_literal(item)}" for key, item in value.items()) + "}"
    return repr(value)


def _arguments(blueprint: Blueprint, names: dict[str, str]) -> str:
    required = [names[name] for name in blueprint.inputs if name not in blueprint.optional_inputs]
    optional = [f"{names[name]}=None" for name in blueprint.inputs if name in blueprint.optional_inputs]
    return ", ".join([*required, *optional])


def _body(blueprint: Blueprint, names: dict[str, str]) -> list[str]:
    """Return the lines of the forward method."""
    shapes = check_shapes(blueprint)
    lines = []
    first = next(
        name
        for name in blueprint.inputs
        if name not in blueprint.optional_inputs and shape_of(name) != "scalar"
    )
    for name in blueprint.optional_inputs:
        lines += [
            f"if {names[name]} is None:",
            f"    {names[name]} = {_missing(blueprint, name, names[first])}",
        ]
    for node in blueprint.nodes:
        given = ", ".join(names[source] for source in node.inputs)
        shape = ", ".join(["N", str(shapes[node.name][0]), *_sides(shapes[node.name][1:])])
        lines.append(f'{names[node.name]} = self.nodes["{node.name}"]({given})  # ({shape})')
    if not blueprint.extra_outputs:
        return [*lines, f"return {names[blueprint.output]}"]
    answers = ", ".join(f'"{output}": {names[output]}' for output in blueprint.outputs)
    return [*lines, f"return {{{answers}}}"]


def _missing(blueprint: Blueprint, name: str, first: str) -> str:
    """Return the expression for an optional input that is not given: NaN everywhere."""
    channels = channels_of(blueprint)[name]
    if shape_of(name) == "scalar":
        return f"{first}.new_full((len({first}), 1, 1, 1), torch.nan)"
    return f"{first}.new_full((len({first}), {channels}, *{first}.shape[2:]), torch.nan)"


def _sides(sides: tuple[int, ...]) -> list[str]:
    """Return H and W for sides that are those of the image, else the numbers."""
    return ["H", "W"] if sides == (64, 64) else [str(side) for side in sides]
