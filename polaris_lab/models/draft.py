"""`Draft`: a blueprint in the making, which may lack wires and outputs; each change gives a new one, or says why not.

A :class:`~polaris_lab.models.blueprint.Blueprint` is complete or it is none. Whoever draws one passes through states that
are not: nodes without wires, channels that do not fit yet. A draft holds those.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from polaris_lab import config
from polaris_lab.models.blueprint import Blueprint
from polaris_lab.models.node import Node, check_name
from polaris_lab.models.registry import block_names, input_names


@dataclasses.dataclass(frozen=True)
class DraftNode:
    """One node of a draft: a block with its settings, and what feeds each of its inputs."""

    name: str
    """What it is called."""
    block: str
    """A registered block."""
    settings: dict = dataclasses.field(default_factory=dict)
    """All keywords of its constructor."""
    sources: tuple[str | None, ...] = ()
    """What feeds each input, in their order; None where there is no wire yet."""

    @property
    def ports(self) -> list[str]:
        """Names of its inputs; a block that takes any number has a free one at the end."""
        names, variadic = input_names(self.block)
        if not variadic:
            return names
        return names + [f"more_{k + 1}" for k in range(max(0, len(self.sources) - len(names)) + 1)]

    @property
    def missing(self) -> list[str]:
        """Names of the inputs that need a wire and have none."""
        return [port for port, source in zip(self.ports, self.sources, strict=False) if source is None]


@dataclasses.dataclass(frozen=True)
class Draft:
    """A network that is being drawn.

    Parameters
    ----------
    inputs : tuple of str
        Maps that it takes.
    nodes : tuple of DraftNode
        In any order.
    outputs : tuple of str
        Nodes that give the answers, the main one first.
    optional_inputs : tuple of str
        Those of the inputs that may be missing.
    name : str
        What the network is called.

    Examples
    --------
    >>> draft = Draft(inputs=("column_density",)).add("power_law", name="mass_weighted_density")
    >>> draft = draft.connect("column_density", "mass_weighted_density").answer("mass_weighted_density")
    >>> draft.blueprint().output
    'mass_weighted_density'
    """

    inputs: tuple[str, ...] = ()
    nodes: tuple[DraftNode, ...] = ()
    outputs: tuple[str, ...] = ()
    optional_inputs: tuple[str, ...] = ()
    name: str = "blueprint"

    @classmethod
    def of(cls, blueprint: Blueprint) -> Draft:
        """Return the draft of a finished blueprint.

        Examples
        --------
        >>> Draft.of(Blueprint.unet()).blueprint() == Blueprint.unet()
        True
        """
        nodes = tuple(DraftNode(n.name, n.block, dict(n.settings), n.inputs) for n in blueprint.nodes)
        return cls(blueprint.inputs, nodes, blueprint.outputs, blueprint.optional_inputs, blueprint.name)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return config.to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Draft:
        """Build it from :meth:`to_dict`'s values; errors name what is wrong."""
        draft = config.from_dict(cls, data, where="draft")
        for node in draft.nodes:
            needed = len(_checked(node.name, node.block, node.settings).sources)
            if len(node.sources) < needed:
                raise ValueError(f"node {node.name!r}: expected {needed} sources, got {len(node.sources)}")
            for source in node.sources:
                if source is not None and source not in draft.names:
                    raise ValueError(
                        f"node {node.name!r}: unknown source {source!r}: {config.did_you_mean(source, draft.names)}"
                    )
        return draft

    # -- what it holds -------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """Names of all inputs and nodes."""
        return [*self.inputs, *(node.name for node in self.nodes)]

    @property
    def wires(self) -> list[tuple[str, str, str]]:
        """Every wire: source, target, and the name of the target's input."""
        return [
            (source, node.name, port)
            for node in self.nodes
            for port, source in zip(node.ports, node.sources, strict=False)
            if source is not None
        ]

    def node(self, name: str) -> DraftNode:
        """Return the node of this name."""
        for node in self.nodes:
            if node.name == name:
                return node
        known = [node.name for node in self.nodes]
        raise ValueError(f"unknown node {name!r}: {config.did_you_mean(name, known)}")

    def free_name(self, wish: str) -> str:
        """Return a name that nothing has yet: the wish itself, or with a number."""
        name, number = wish, 1
        while name in self.names:
            number += 1
            name = f"{wish}_{number}"
        return name

    def path(self, start: str, end: str) -> list[str]:
        """Return the names on a path of wires from one node to another; empty if there is none."""
        trails, seen = [[start]], {start}
        for trail in trails:
            if trail[-1] == end:
                return trail
            for source, target, _port in self.wires:
                if source == trail[-1] and target not in seen:
                    seen.add(target)
                    trails.append([*trail, target])
        return []

    def blueprint(self) -> Blueprint:
        """Return the finished blueprint, its nodes in the order in which they run.

        Raises
        ------
        ValueError
            If something is missing: the error says what, and where.
        """
        for node in self.nodes:
            if node.missing:
                raise ValueError(
                    f"node {node.name!r}: expected a wire at its input {node.missing[0]!r}, got none; connect it, or "
                    "remove the node"
                )
        if not self.outputs:
            raise ValueError(
                "blueprint: expected a node that gives the answer, got none; choose a node and make it the output"
            )
        return Blueprint(
            inputs=self.inputs,
            nodes=tuple(Node(n.name, n.block, n.settings, n.sources) for n in self.ordered()),
            output=self.outputs[0],
            name=self.name,
            extra_outputs=self.outputs[1:],
            optional_inputs=self.optional_inputs,
        )

    def ordered(self) -> list[DraftNode]:
        """Return the nodes in the order in which they can run: their own where that is one."""
        waiting, ordered, known = list(self.nodes), [], {None, *self.inputs}
        while waiting:
            ready = next((node for node in waiting if known.issuperset(node.sources)), waiting[0])
            waiting.remove(ready)
            ordered.append(ready)
            known.add(ready.name)
        return ordered

    # -- changes: each returns a new draft -----------------------------------------------------------

    def add(self, block: str, name: str | None = None, **settings: Any) -> Draft:
        """Add a node without wires; settings left out take their defaults.

        Raises
        ------
        ValueError, TypeError
            An unknown block or setting ("did you mean"), a value that the block refuses, or a name that is taken.
        """
        if block not in block_names():
            raise ValueError(f"unknown block {block!r}: {config.did_you_mean(block, block_names())}")
        name = self.free_name(block) if name is None else name
        self._check_free(name)
        node = _checked(name, block, settings)
        return dataclasses.replace(self, nodes=(*self.nodes, node))

    def add_input(self, name: str, *, optional: bool = False) -> Draft:
        """Add an input, by the name of its quantity."""
        check_name(name, "an input")
        self._check_free(name)
        draft = dataclasses.replace(self, inputs=(*self.inputs, name))
        return draft.set_optional(name, True) if optional else draft

    def set_optional(self, name: str, optional: bool) -> Draft:
        """Say whether an input may be missing."""
        if name not in self.inputs:
            raise ValueError(f"unknown input {name!r}: {config.did_you_mean(name, self.inputs)}")
        kept = tuple(n for n in self.inputs if (optional if n == name else n in self.optional_inputs))
        return dataclasses.replace(self, optional_inputs=kept)

    def connect(self, source: str, target: str, port: str | None = None) -> Draft:
        """Draw a wire to an input of a node, by default the first that is free.

        Raises
        ------
        ValueError
            An unknown node or input, a wire that is there already, an input that has one, a cycle, or shapes that do
            not fit.
        """
        wire = f"wire {source!r} -> {target!r}"
        if source not in self.names:
            raise ValueError(f"{wire}: unknown node {source!r}: {config.did_you_mean(source, self.names)}")
        if target in self.inputs:
            raise ValueError(f"{wire}: {target!r} is an input of the network; nothing feeds it")
        node = self.node(target)
        ports = node.ports
        if port is None:
            port = next((p for p in ports if _at(node, p) is None), ports[-1])
        if port not in ports:
            raise ValueError(f"{wire}: {target!r} has no input {port!r}: {config.did_you_mean(port, ports)}")
        got = _at(node, port)
        if got == source:
            raise ValueError(f"{wire}: this wire is there already")
        if trail := self.path(target, source):
            raise ValueError(f"{wire}: a cycle, {' -> '.join([*trail, target])}; a blueprint has no cycles")
        if got is not None:
            raise ValueError(f"{wire}: its input {port!r} takes {got!r} already; remove that wire first")
        sources = list(node.sources) + [None] * (ports.index(port) + 1 - len(node.sources))
        sources[ports.index(port)] = source
        draft = self._replace(target, sources=tuple(sources))
        draft._check_no_worse(self, wire)
        return draft

    def disconnect(self, target: str, port: str) -> Draft:
        """Take the wire away from an input of a node."""
        node = self.node(target)
        if port not in node.ports or _at(node, port) is None:
            raise ValueError(f"node {target!r}: expected a wire at its input {port!r}, got none")
        return self._replace(target, sources=_without(node, node.ports.index(port)))

    def remove(self, name: str) -> Draft:
        """Take an input or a node away, and its wires."""
        if name not in self.names:
            raise ValueError(f"unknown node {name!r}: {config.did_you_mean(name, self.names)}")
        draft = self
        for source, target, _port in self.wires:
            if source == name and target != name:
                node = draft.node(target)
                draft = draft._replace(target, sources=_without(node, node.sources.index(name)))
        return dataclasses.replace(
            draft,
            inputs=tuple(n for n in draft.inputs if n != name),
            optional_inputs=tuple(n for n in draft.optional_inputs if n != name),
            nodes=tuple(n for n in draft.nodes if n.name != name),
            outputs=tuple(n for n in draft.outputs if n != name),
        )

    def set(self, name: str, **settings: Any) -> Draft:
        """Change settings of a node. Shapes may cease to fit: a chain of nodes is changed one by one.

        Raises
        ------
        ValueError, TypeError
            An unknown setting, or a value that the block refuses.
        """
        node = self.node(name)
        return self._replace(
            name, settings=_checked(name, node.block, {**node.settings, **settings}).settings
        )

    def rename(self, old: str, new: str) -> Draft:
        """Call an input or a node otherwise; wires and outputs follow."""
        if old not in self.names:
            raise ValueError(f"unknown node {old!r}: {config.did_you_mean(old, self.names)}")
        if old == new:
            return self
        self._check_free(new)
        if old in self.inputs:
            check_name(new, "an input")
        else:
            node = self.node(old)
            _checked(new, node.block, node.settings)

        def renamed(names: tuple) -> tuple:
            return tuple(new if name == old else name for name in names)

        nodes = tuple(
            dataclasses.replace(n, name=new if n.name == old else n.name, sources=renamed(n.sources))
            for n in self.nodes
        )
        return dataclasses.replace(
            self,
            inputs=renamed(self.inputs),
            optional_inputs=renamed(self.optional_inputs),
            outputs=renamed(self.outputs),
            nodes=nodes,
        )

    def answer(self, name: str, target: str | None = None, *, extra: bool = False) -> Draft:
        """Make a node the main output, or one more; `target` is the quantity that it learns, and becomes its name."""
        self.node(name)
        draft = self
        if target is not None and target != name:
            if target in self.outputs:  # the node that had the quantity until now gives it up
                draft = draft.rename(target, draft.free_name(draft.node(target).block))
            draft, name = draft.rename(name, target), target
        others = tuple(output for output in draft.outputs if output != name)
        outputs = (*others, name) if extra else (name, *others[1:])
        return dataclasses.replace(draft, outputs=outputs)

    def no_answer(self, name: str) -> Draft:
        """Make a node no output any more."""
        return dataclasses.replace(self, outputs=tuple(output for output in self.outputs if output != name))

    def _replace(self, name: str, **changes: Any) -> Draft:
        nodes = tuple(dataclasses.replace(n, **changes) if n.name == name else n for n in self.nodes)
        return dataclasses.replace(self, nodes=nodes)

    def _check_free(self, name: str) -> None:
        if name in self.names:
            raise ValueError(f"name {name!r}: expected one of its own, got that of another node or input")

    def _check_no_worse(self, before: Draft, wire: str) -> None:
        """Refuse a wire with which a node fails that did not fail before."""
        from polaris_lab.models.draft_shapes import look

        old, new = look(before), look(self)
        for name, seen in new.items():
            if seen.error and not old[name].error:
                raise ValueError(f"{wire}: node {name!r}: {seen.error}")


def _checked(name: str, block: str, settings: Mapping[str, Any]) -> DraftNode:
    """Return a node without wires, its name and settings checked as those of a blueprint's node are."""
    count = len(input_names(block)[0])
    node = Node(name, block, dict(settings), inputs=("x",) * count)
    return DraftNode(name, block, dict(node.settings), (None,) * count)


def _at(node: DraftNode, port: str) -> str | None:
    """Return what feeds an input of a node."""
    index = node.ports.index(port)
    return node.sources[index] if index < len(node.sources) else None


def _without(node: DraftNode, index: int) -> tuple[str | None, ...]:
    """Return the sources of a node without one: a further input goes, one that must be there stays empty."""
    sources = list(node.sources)
    if index >= len(input_names(node.block)[0]):
        del sources[index]
    else:
        sources[index] = None
    return tuple(sources)
