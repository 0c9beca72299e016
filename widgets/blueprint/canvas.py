"""The drawing of a network: nodes that can be moved, wired and removed with the mouse."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

import networkx as nx
import panel as pn
from panel_reactflow import NodeType, ReactFlow

from polaris_lab.models.draft import Draft, DraftNode
from polaris_lab.models.draft_shapes import Seen
from polaris_lab.models.registry import block_names, input_names
from polaris_lab.models.schema import block_schema
from widgets import style
from widgets.blueprint.words import node_label

DRAG = "application/x-polaris-block"
"""What is dragged from the palette, to the browser."""

WIDTH, ACROSS, DOWN = 178, 215, 125
"""Width of a node, and the distances between nodes of the automatic layout [px]."""

INPUT = "blueprint_input"
"""Type of the nodes that stand for inputs."""

_STYLES = """
.react-flow__handle { width: 13px; height: 13px; }
.react-flow__handle::before { content: ""; position: absolute; inset: -6px; }
.react-flow__handle[data-tooltip]::after { white-space: normal; width: max-content; max-width: 320px; z-index: 1000;
  font-size: 13px; }
.react-flow__handle[data-tooltip-pos="left"]::after { right: auto; left: calc(100% + 6px); top: calc(100% + 14px); }
.rf-node-label { white-space: pre-line; font-size: 13px; line-height: 1.35; overflow-wrap: anywhere;
  font-weight: 400 !important; margin: 0 4px !important; }
.rf-node-label::first-line { font-weight: 700; }
.react-flow__edge-path { stroke-width: 2px; }
"""

Places = dict[str, tuple[float, float]]


def layered(draft: Draft) -> Places:
    """Return places for all nodes: a column for each step from the inputs, few crossings within.

    Examples
    --------
    >>> from polaris_lab.models import Blueprint
    >>> places = layered(Draft.of(Blueprint.unet()))
    >>> places["column_density"][0] < places["contrast"][0] < places["correction"][0]
    True
    """
    graph = nx.DiGraph()
    graph.add_nodes_from(draft.names)
    graph.add_edges_from((source, target) for source, target, _port in draft.wires)
    layers = [list(layer) for layer in nx.topological_generations(graph)]
    rank: dict[str, float] = {}
    for layer in layers:
        layer.sort(key=lambda name: _mean([rank[source] for source in graph.predecessors(name)]))
        rank |= {name: row - (len(layer) - 1) / 2 for row, name in enumerate(layer)}
    for layer in reversed(layers[:-1]):
        layer.sort(key=lambda name: _mean([rank[target] for target in graph.successors(name)]))
        rank |= {name: row - (len(layer) - 1) / 2 for row, name in enumerate(layer)}
    return {
        name: (float(column * ACROSS), rank[name] * DOWN + 28 * (column % 2))
        for column, layer in enumerate(layers)
        for name in layer
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


class Canvas:
    """Draws a draft, and tells what a person does to it.

    Parameters
    ----------
    refuse : callable
        ``refuse(source, target, port)`` gives the reason against a wire, None if there is none.
    on_change : callable
        ``on_change(removed, cut, drawn)``: names of removed nodes, wires that were cut and drawn.
    on_move, on_select, on_drop, on_port : callable
        ``on_move(name, x, y)``, ``on_select(names)``, ``on_drop(data, x, y)`` and ``on_port(name, position)``.

    Attributes
    ----------
    flow : panel_reactflow.ReactFlow
    """

    def __init__(
        self,
        *,
        refuse: Callable[[str, str, str], str | None],
        on_change: Callable[[list[str], list[tuple], list[tuple]], Any],
        on_move: Callable[[str, float, float], Any],
        on_select: Callable[[list[str]], Any],
        on_drop: Callable[[Any, float, float], Any],
        on_port: Callable[[str, dict], Any],
    ):
        self._on_change, self._draft, self._busy, self._sent = on_change, Draft(), False, 0
        self.flow = ReactFlow(
            node_types=dict(_known_types()),
            editor_mode="side",
            default_node_editor=_no_editor,
            default_edge_editor=_no_editor,
            connection_validation={"direction": True, "cycles": True, "duplicates": True},
            drop_types=[DRAG],
            max_zoom=1.1,
            min_zoom=0.1,
            stylesheets=[_STYLES],
            default_edge_options={"type": "bezier"},
            sizing_mode="stretch_width",
            height=520,
            min_height=420,
        )
        self.flow.add_connection_validator(
            lambda wire: refuse(wire["source"], wire["target"], wire["targetHandle"])
        )
        for event in ("edge_added", "edge_deleted", "node_deleted"):
            self.flow.on(event, lambda _payload: self._compare())
        self.flow.on("node_moved", lambda p: on_move(p["node_id"], p["position"]["x"], p["position"]["y"]))
        self.flow.on("selection_changed", lambda p: on_select(list(p.get("nodes") or [])))
        self.flow.on("drop", lambda p: on_drop(p["data"], p["position"]["x"], p["position"]["y"]))
        self.flow.on("handle_clicked", lambda p: on_port(p["node_id"], p["position"]))

    def dark(self, dark: bool) -> None:
        """Follow the page, light or dark."""
        self.flow.color_mode = "dark" if dark else "light"

    def show(
        self, draft: Draft, seen: dict[str, Seen], places: Places, chosen: str | None, *, again: bool = False
    ) -> None:
        """Draw a draft; what stays the same is not sent, but for `again`: the browser shows what was refused."""
        self._draft, self._busy = draft, True
        self._sent += again
        try:
            types = {_type_name(node): _block_type(node.block, len(node.ports)) for node in draft.nodes}
            if set(types) - set(self.flow.node_types):
                self.flow.node_types = {**self.flow.node_types, **types}
            nodes = [self._input(draft, name, seen[name]) for name in draft.inputs]
            nodes += [self._node(draft, node, seen[node.name]) for node in draft.nodes]
            for node in nodes:
                x, y = places[node["id"]]
                node.update(position={"x": x, "y": y}, selected=node["id"] == chosen)
            edges = [_edge(*wire, self._sent) for wire in draft.wires]
            if nodes != self.flow.nodes:
                self.flow.nodes = nodes
            if edges != self.flow.edges:
                self.flow.edges = edges
        finally:
            self._busy = False

    def choose(self, name: str | None) -> None:
        """Mark a node as the chosen one."""
        for node in list(self.flow.nodes):
            if bool(node.get("selected")) != (node["id"] == name):
                self.flow.patch_node_props(node["id"], {"selected": node["id"] == name})

    def _compare(self) -> None:
        """Tell how the drawing in the browser differs from the draft."""
        if self._busy:
            return
        shown = {node["id"] for node in self.flow.nodes}
        wires = [(edge["source"], edge["target"], edge.get("targetHandle") or "") for edge in self.flow.edges]
        removed = [name for name in self._draft.names if name not in shown]
        cut = [w for w in self._draft.wires if w not in wires and not {w[0], w[1]} & set(removed)]
        drawn = list((Counter(wires) - Counter(self._draft.wires)).elements())
        if removed or cut or drawn:
            self._on_change(removed, cut, drawn)

    def _input(self, draft: Draft, name: str, seen: Seen) -> dict[str, Any]:
        words = "input, may be missing" if name in draft.optional_inputs else "input"
        return _drawn(name, INPUT, node_label(name, words, seen), style.GREEN, "")

    def _node(self, draft: Draft, node: DraftNode, seen: Seen) -> dict[str, Any]:
        words = node.block
        if node.name in draft.outputs:
            words += " · output" if node.name == draft.outputs[0] else " · further output"
        lost = f"needs a wire at {', '.join(node.missing)}" if node.missing else ""
        colour = style.PURPLE if node.name in draft.outputs else style.BLUE
        return _drawn(
            node.name, _type_name(node), node_label(node.name, words, seen, lost), colour, seen.error
        )


def _drawn(name: str, kind: str, label: str, colour: str, error: str) -> dict[str, Any]:
    """Return a node as ReactFlow takes it; a fault shows by a dashed frame and words, not by colour alone."""
    frame = f"2px dashed {style.VERMILION}" if error else f"1px solid {colour}"
    look = {"width": f"{WIDTH}px", "border": frame, "borderLeft": f"7px solid {colour}"}
    return {"id": name, "type": kind, "label": label, "data": {}, "style": look}


def _edge(source: str, target: str, port: str, sent: int) -> dict[str, Any]:
    return {
        "id": f"{source}->{target}.{port}",
        "source": source,
        "target": target,
        "sourceHandle": "out",
        "targetHandle": port,
        "data": {"sent": sent},
        "markerEnd": {"type": "arrowclosed"},
    }


def _no_editor(_data: Any, _schema: Any, **_about: Any) -> Any:
    """Stand in for the editor of nodes and wires, which would come with a script of its own: the form is beside."""
    return pn.Spacer(width=0, height=0)


def _type_name(node: DraftNode) -> str:
    """Return the type of a node: its block, and how many inputs are shown."""
    return f"{node.block}_{len(node.ports)}"


@functools.cache
def _block_type(block: str, ports: int) -> dict[str, Any]:
    """Return how nodes of a block look: ports by the names of its inputs, and the schema of its settings."""
    names, _variadic = input_names(block)
    names = names + [f"more_{k + 1}" for k in range(ports - len(names))]
    inputs = [{"id": name, "label": f"input {name}"} for name in names]
    kind = NodeType(
        type=f"{block}_{ports}", label=block, schema=block_schema(block), inputs=inputs,
        outputs=[{"id": "out", "label": "what it gives"}], input_connectable_start=False,
    )  # fmt: skip
    return kind.to_dict()


def _known_types() -> dict[str, Any]:
    """Return the types of inputs and of all blocks as they are taken from the palette."""
    types = {
        INPUT: NodeType(
            type=INPUT, label="input", inputs=[], outputs=[{"id": "out", "label": "map"}]
        ).to_dict()
    }
    for block in block_names():
        names, variadic = input_names(block)
        ports = len(names) + variadic
        types[f"{block}_{ports}"] = _block_type(block, ports)
    return types
