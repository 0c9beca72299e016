"""`Blueprint`: a network as data. One representation serves code, JSON, and whatever draws it.

A blueprint is a list of named nodes in the order in which they run; each names its block (see
:mod:`polaris_lab.models.registry`), the block's settings and the nodes or inputs that feed it. The node
named like the blueprint's output gives the answer. Inputs and output are log10 of physical maps.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from polaris_lab import config
from polaris_lab.models.node import Node, check_name, checked_names


@dataclasses.dataclass(frozen=True)
class Blueprint:
    """A network: inputs, nodes in the order in which they run, and the node that gives the answer.

    Parameters
    ----------
    inputs : tuple of str
        Names of the maps it takes, such as "column_density".
    nodes : tuple of Node
        Each takes inputs or earlier nodes.
    output : str
        The target, such as "mass_weighted_density": the node of this name gives its log10.
    name : str
        What the network is called in reports.
    extra_outputs : tuple of str
        More targets, each a node, learned together with the first.
    optional_inputs : tuple of str
        Those of the inputs that may be missing; nodes then get NaN in their place.

    Raises
    ------
    ValueError, TypeError
        Whatever is wrong with it: the error names the node.

    Examples
    --------
    >>> blueprint = Blueprint(
    ...     inputs=("column_density",),
    ...     nodes=(Node("mass_weighted_density", "power_law", inputs=("column_density",)),),
    ...     output="mass_weighted_density",
    ...     name="power law",
    ... )
    >>> Blueprint.from_json(blueprint.to_json()) == blueprint
    True
    """

    inputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    output: str
    name: str = "blueprint"
    extra_outputs: tuple[str, ...] = ()
    optional_inputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", checked_names(self.inputs, "inputs of the blueprint"))
        if not self.inputs:
            raise ValueError('blueprint: expected at least one input, got none; such as "column_density"')
        if len(set(self.inputs)) < len(self.inputs):
            raise ValueError(
                f"blueprint: expected inputs that differ, got {list(self.inputs)}; name each once, nodes may share it"
            )
        if isinstance(self.nodes, str) or not isinstance(self.nodes, Iterable):
            raise TypeError(f"blueprint: expected nodes as a tuple of Node, got {self.nodes!r}")
        object.__setattr__(self, "nodes", tuple(self.nodes))
        for node in self.nodes:
            if not isinstance(node, Node):
                raise TypeError(f"blueprint: expected nodes of type Node, got {node!r}")
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"name of the blueprint: expected a text, got {self.name!r}")
        check_name(self.output, "output of the blueprint")
        for field in ("extra_outputs", "optional_inputs"):
            object.__setattr__(self, field, checked_names(getattr(self, field), f"{field} of the blueprint"))
        _check_wiring(self)
        _check_dangling(self)
        _check_optional_inputs(self)

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @classmethod
    def unet(
        cls,
        layers: int = 4,
        base_filters: int = 64,
        attention: bool = True,
        *,
        convolutions: int = 1,
        residual: bool = True,
        scale_equivariant: bool = True,
        reference_scale: float = 16.0,
        dropout: float = 0.0,
        head: str = "point",
        inputs: Sequence[str] = ("column_density",),
        output: str = "mass_weighted_density",
        outputs: Sequence[str] = (),
        residual_blocks: bool = False,
        bounds: bool = False,
    ) -> Blueprint:
        """Return the blueprint of a U-Net: see :func:`polaris_lab.models.presets.unet`.

        Examples
        --------
        >>> blueprint = Blueprint.unet(layers=3, base_filters=16)
        >>> [node.name for node in blueprint.nodes]
        ['contrast', 'correction', 'baseline', 'mass_weighted_density']
        """
        from polaris_lab.models import presets

        return presets.unet(
            layers,
            base_filters,
            attention,
            convolutions=convolutions,
            residual=residual,
            scale_equivariant=scale_equivariant,
            reference_scale=reference_scale,
            dropout=dropout,
            head=head,
            inputs=inputs,
            output=output,
            outputs=outputs,
            residual_blocks=residual_blocks,
            bounds=bounds,
        )

    @classmethod
    def unet_and_kan(
        cls, layers: int = 4, base_filters: int = 64, attention: bool = True, **settings: Any
    ) -> Blueprint:
        """Return that of a U-Net with a KAN beside it: see :func:`polaris_lab.models.presets.kan.unet_and_kan`.

        Parameters
        ----------
        layers, base_filters, attention
            Of the U-Net.
        **settings
            The other keywords of the preset, such as ``widths`` and ``combine``.

        Examples
        --------
        >>> [node.block for node in Blueprint.unet_and_kan(layers=3, widths=(10, 10)).nodes]
        ['standardize', 'unet', 'pixel_kan', 'add', 'destandardize']
        """
        given = {"layers": layers, "base_filters": base_filters, "attention": attention}
        return cls.preset("unet_and_kan", **given, **settings)

    @classmethod
    def preset(cls, name: str, **settings: Any) -> Blueprint:
        """Return the blueprint of an architecture by its name; :func:`polaris_lab.models.preset_names` lists them.

        Parameters
        ----------
        name : str
            Such as "unet".
        **settings
            Keywords of the preset's function; those left out take their defaults.

        Raises
        ------
        ValueError, TypeError
            An unknown preset or setting ("did you mean"), or a value out of range or of the wrong type.

        Examples
        --------
        >>> Blueprint.preset("unet", layers=3, base_filters=16) == Blueprint.unet(layers=3, base_filters=16)
        True
        """
        from polaris_lab.models import presets

        return presets.preset(name, settings)

    @property
    def outputs(self) -> tuple[str, ...]:
        """All targets, the main one first."""
        return (self.output, *self.extra_outputs)

    def node(self, name: str) -> Node:
        """Return the node of this name."""
        names = [node.name for node in self.nodes]
        if name not in names:
            raise ValueError(
                f"blueprint {self.name!r}: unknown node {name!r}: {config.did_you_mean(name, names)}"
            )
        return self.nodes[names.index(name)]

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with anything in it."""
        return config.fingerprint(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values, with the version of this layout."""
        values = config.to_dict(self)
        for field in ("extra_outputs", "optional_inputs"):  # most have none: left out, as in the first files
            if not values[field]:
                del values[field]
        return {"schema": config.SCHEMA, **values}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str = "blueprint") -> Blueprint:
        """Build it from :meth:`to_dict`'s values; errors name what is wrong, where."""
        if not isinstance(data, Mapping):
            raise TypeError(f"{where}: expected an object with named values, got {type(data).__name__}")
        values = dict(data)
        config.check_schema(values.pop("schema", None), where)
        return config.from_dict(cls, values, where=where)

    def to_json(self) -> str:
        """Return it as JSON text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Blueprint:
        """Read the JSON text of a blueprint. Nothing in it is executed; blocks are looked up by name."""
        if not isinstance(text, str | bytes):
            raise TypeError(
                f"blueprint: expected JSON text, got {type(text).__name__}; give what to_json returned"
            )
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"blueprint: expected JSON, got a fault in line {error.lineno}: {error.msg}; give what to_json returned"
            ) from error
        except (RecursionError, UnicodeDecodeError) as error:
            kind = (
                "bytes that are no text"
                if isinstance(error, UnicodeDecodeError)
                else "brackets too deep to be one"
            )
            raise ValueError(f"blueprint: expected JSON, got {kind}; give what to_json returned") from error
        return cls.from_dict(data)

    def to_python(self) -> str:
        """Return it as the source of a plain PyTorch module: see :func:`polaris_lab.models.source.to_python`."""
        from polaris_lab.models.source import to_python

        return to_python(self)

    def summary(self, size: tuple[int, int] = (64, 64)) -> str:
        """Return a table of the nodes: shapes for images of `size` (height, width), parameters, operations."""
        from polaris_lab.models.summary import summary_text

        return summary_text(self, size)

    def _repr_html_(self) -> str:
        from polaris_lab.models.summary import summary_html

        return summary_html(self)


def _check_wiring(blueprint: Blueprint) -> None:
    """Refuse names used twice, inputs that nothing gives, nodes before their inputs, and a missing output."""
    later = [node.name for node in blueprint.nodes]
    known = list(blueprint.inputs)
    for node in blueprint.nodes:
        if node.name in known:
            what = "an input" if node.name in blueprint.inputs else "an earlier node"
            raise ValueError(
                f"node {node.name!r}: expected a name of its own, got that of {what}; rename one of them"
            )
        for source in node.inputs:
            if source == node.name:
                raise ValueError(
                    f"node {node.name!r}: expected inputs out of {known}, got its own output; name another: a "
                    "blueprint has no cycles"
                )
            if source in known:
                continue
            if source in later:
                raise ValueError(
                    f"node {node.name!r}: its input {source!r} comes later; expected one of {known}. "
                    "Put nodes in the order in which they run; a blueprint has no cycles"
                )
            raise ValueError(
                f"node {node.name!r}: nothing gives its input {source!r}: "
                f"{config.did_you_mean(source, [*known, *later])}"
            )
        known.append(node.name)
    for output in blueprint.outputs:
        if output not in later:
            raise ValueError(
                f"blueprint: expected a node named like its output {output!r}, got "
                f"{later or 'no nodes'}; give this name to the node that yields the answer"
            )
    if len(set(blueprint.outputs)) < len(blueprint.outputs):
        raise ValueError(f"blueprint: expected outputs that differ, got {list(blueprint.outputs)}")


def _check_dangling(blueprint: Blueprint) -> None:
    """Refuse nodes and inputs on which no output depends: a slip in the wiring, or work for nothing."""
    needed = set(blueprint.outputs)
    for node in reversed(blueprint.nodes):
        if node.name not in needed:
            raise ValueError(
                f"node {node.name!r}: expected something that takes what it gives, got nothing: none of the outputs "
                f"{list(blueprint.outputs)} depends on it; name it as an input of another node, or leave it out"
            )
        needed.update(node.inputs)
    for name in blueprint.inputs:
        if name not in needed:
            raise ValueError(
                f"input {name!r}: expected a node that takes it, got none of {[n.name for n in blueprint.nodes]}; name it "
                "among the inputs of a node, or leave it out: data would be asked for that change nothing"
            )


def _check_optional_inputs(blueprint: Blueprint) -> None:
    """Refuse optional inputs that are no inputs, and a network that could be left without any."""
    for name in blueprint.optional_inputs:
        if name not in blueprint.inputs:
            raise ValueError(
                f"optional_inputs: {name!r} is no input: {config.did_you_mean(name, blueprint.inputs)}"
            )
    if set(blueprint.optional_inputs) == set(blueprint.inputs):
        raise ValueError(
            "optional_inputs: expected at least one input that is always there, got all of "
            f"{list(blueprint.inputs)}; column_density should not be optional"
        )
