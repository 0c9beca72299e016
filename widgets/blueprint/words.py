"""What the editor of blueprints says: labels of nodes, its lines of Python, its states, its help."""

from __future__ import annotations

import html
from typing import Any

from polaris_lab.models import Blueprint
from polaris_lab.models.draft import Draft
from polaris_lab.models.draft_shapes import Seen
from widgets.parts import plain

HELP = """
**Drawing.** Click a block in the list, or drag it onto the drawing. Pull a wire from the right edge of a node to a
port at the left edge of another; a red port says, when you point at it, why it does not take the wire. Delete
removes what is chosen. Ctrl+Z undoes, Ctrl+Shift+Z redoes.

**On each node** stand its block, the shape (channels × height × width) that it gives, and its trainable parameters.
A dashed frame and ⚠ mark a node that cannot take its inputs. Networks see log₁₀ of what spans decades.

**Without the mouse.** *Node* chooses one, *Wire* connects two; every field and button can be reached with Tab.

**Inside a trained network.** Open a run: the chosen node shows its weights, its feature maps for one patch, and
the curve that a Kolmogorov-Arnold network has learned.
"""

NOT_TRAINED = (
    "Open a run (run.json in its folder) to see weights, feature maps and learned curves of the chosen node."
)


def count(number: int) -> str:
    """Return a number of parameters in few characters.

    Examples
    --------
    >>> [count(n) for n in (0, 930, 15_680, 31_393_901)]
    ['no parameters', '930 parameters', '15.7 k parameters', '31.4 M parameters']
    """
    if number < 10_000:
        return f"{number} parameters" if number else "no parameters"
    return f"{number / 1e6:.3g} M parameters" if number >= 999_500 else f"{number / 1e3:.3g} k parameters"


def shape(seen: Seen) -> str:
    """Return a shape as it is read.

    Examples
    --------
    >>> shape(Seen((1, 64, 64))), shape(Seen())
    ('1 × 64 × 64', 'shape not known yet')
    """
    return "shape not known yet" if seen.shape is None else " × ".join(map(str, seen.shape))


def node_label(name: str, words: str, seen: Seen, lost: str = "") -> str:
    """Return the lines on a node: name, what it is, shape, parameters, and what is wrong."""
    lines = [name, words, shape(seen)]
    if seen.parameters:
        lines.append(count(seen.parameters))
    if seen.error:
        lines.append(f"⚠ {seen.error}")
    elif lost:
        lines.append(f"○ {lost}")
    return "\n".join(lines)


def state(draft: Draft, seen: dict[str, Seen], refused: str, *, saved: bool) -> tuple[str, str, str]:
    """Return severity, title and words of the line over the drawing."""
    if refused:
        return "error", "Not done", plain(f"{refused}.".replace("..", "."))
    faults = {name: known.error for name, known in seen.items() if known.error}
    total = sum(known.parameters for known in seen.values())
    kept = "" if saved else " Changes are not saved."
    if faults:
        name, reason = next(iter(faults.items()))
        return "error", f"Node {name} does not fit", plain(f"{reason}. Change a setting, or undo.{kept}")
    try:
        blueprint = draft.blueprint()
    except (TypeError, ValueError) as error:
        return "warning", "Not finished", plain(f"{error}.{kept}")
    words = f"{', '.join(blueprint.inputs)} → {', '.join(blueprint.outputs)}; {count(total)} in {len(draft.nodes)} nodes."
    return "success", f"{draft.name}: complete", plain(words + kept)


def code(draft: Draft, preset: str = "") -> str:
    """Return Python lines that give this drawing: the preset of this name, or else node by node.

    Examples
    --------
    >>> print(code(Draft.of(Blueprint.preset("just_kan")), "just_kan"))
    import polaris_lab as lab
    from widgets import BlueprintEditor
    <BLANKLINE>
    blueprint = lab.Blueprint.preset('just_kan')
    BlueprintEditor(blueprint)
    """
    head = ["import polaris_lab as lab", "from widgets import BlueprintEditor", ""]
    if preset:
        return "\n".join(
            [*head, f"blueprint = lab.Blueprint.preset({preset!r})", "BlueprintEditor(blueprint)"]
        )
    try:
        blueprint = draft.blueprint()
    except (TypeError, ValueError) as error:
        lines = [
            f"# not finished: {' '.join(str(error).split())}",
            f"draft = lab.models.Draft.from_dict({draft.to_dict()!r})",
        ]
        return "\n".join([*head, *lines, "BlueprintEditor(draft)"])
    return "\n".join([*head, *_source(blueprint), "BlueprintEditor(blueprint)"])


def _source(blueprint: Blueprint) -> list[str]:
    """Return the lines that make a blueprint."""
    nodes = [
        f"        lab.models.Node({n.name!r}, {n.block!r}, {dict(n.settings)!r}, inputs={n.inputs!r}),"
        for n in blueprint.nodes
    ]
    more = [
        f"    {field}={value!r},"
        for field in ("extra_outputs", "optional_inputs")
        if (value := getattr(blueprint, field))
    ]
    return [
        "blueprint = lab.Blueprint(",
        f"    inputs={blueprint.inputs!r},",
        "    nodes=(",
        *nodes,
        "    ),",
        f"    output={blueprint.output!r},",
        f"    name={blueprint.name!r},",
        *more,
        ")",
    ]


def where(folder: Any) -> str:
    """Return the line that tells which folder files are read from and written to, in HTML."""
    return f'Workspace<br><span style="overflow-wrap: anywhere">{html.escape(str(folder))}</span>'
