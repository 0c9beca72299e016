"""Build a network from blocks, see what each gives, train it, and look inside: :class:`BlueprintEditor`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from polaris_lab.models import Blueprint
from polaris_lab.models.draft import Draft
from polaris_lab.models.draft_shapes import Seen, look
from polaris_lab.training import Run
from widgets import shell
from widgets.blueprint import canvas as blueprint_canvas
from widgets.blueprint import training as blueprint_training
from widgets.blueprint import words as blueprint_words
from widgets.blueprint.controls import Controls
from widgets.blueprint.files import BlueprintFile
from widgets.blueprint.inside import Inside
from widgets.blueprint.opening import REFUSALS, Opening, opened
from widgets.dashboard import Dashboard

TITLE = "Blueprint editor"

PURPOSE = (
    "Build a network from blocks, see what every block gives, train it, and look inside what it has learned."
)

STEPS = 200
"""Changes that can be undone."""


class BlueprintEditor(Opening, Dashboard):
    """A drawing of a network that can be changed: by the mouse, by fields and keys, and by these methods.

    Every method that changes the drawing raises ValueError (or TypeError) with the reason when it cannot be done; the
    drawing then stays as it was, and the page shows the reason.

    Parameters
    ----------
    blueprint : Blueprint, Draft or Run, optional
        What is drawn first. A run also shows its inside. By default an empty drawing with the column density.
    workspace_folder : str or Path
        The folder that files are read from and written to; names that lead out of it are refused.

    Examples
    --------
    >>> editor = BlueprintEditor()
    >>> node = editor.add("power_law", name="mass_weighted_density")
    >>> editor.connect("column_density", node)
    >>> editor.answer(node)
    >>> editor.blueprint.output
    'mass_weighted_density'
    >>> editor.connect(node, node)
    Traceback (most recent call last):
    ValueError: wire 'mass_weighted_density' -> 'mass_weighted_density': a cycle, mass_weighted_density -> \
mass_weighted_density; a blueprint has no cycles
    """

    node = param.String("", doc="The chosen node.")
    image_side = param.Integer(
        64, bounds=(1, 4096), doc="Side of the images that shapes are told for [pixels]."
    )
    draft = param.Parameter(precedence=-1, doc="The drawing, finished or not.")

    def __init__(
        self,
        blueprint: Blueprint | Draft | Run | None = None,
        *,
        workspace_folder: str | Path = ".",
        **params: Any,
    ):
        draft, run = opened(blueprint)
        super().__init__(draft=draft, **params)
        self._workspace = Path(workspace_folder).expanduser().resolve()
        self._places = blueprint_canvas.layered(draft)
        self._history, self._step = [(draft, self._places)], 0
        self._saved, self._refused, self._file = draft, "", BlueprintFile()
        self.address: Any = None
        self._preset: tuple[str, Draft | None] = ("", None)
        self.seen: dict[str, Seen] = {}
        self.canvas = blueprint_canvas.Canvas(
            refuse=self.reason_against,
            on_change=self._drawn,
            on_move=self._moved,
            on_select=lambda names: self.param.update(node=names[0] if len(names) == 1 else ""),
            on_drop=self._dropped,
            on_port=lambda name, _position: self.param.update(node=name),
        )
        self.inside = Inside()
        self.training = blueprint_training.TrainPanel(self._workspace, lambda: self.blueprint)
        self._parts = Controls(self)
        self.controls, self.main = self._parts.sidebar, self._parts.main
        self._view = pn.Row(pn.Column(self.controls, width=300), self.main, sizing_mode="stretch_width")
        self.inside.open(run)
        self._show()

    # -- what is drawn -------------------------------------------------------------------------------

    @property
    def blueprint(self) -> Blueprint:
        """The finished blueprint; ValueError says what is missing."""
        return self.draft.blueprint()

    @property
    def unsaved(self) -> bool:
        """Whether the drawing differs from what was opened or saved last."""
        return self.draft != self._saved

    def code(self) -> str:
        """Return the Python lines that give this drawing."""
        name, draft = self._preset
        return blueprint_words.code(self.draft, name if draft == self.draft else "")

    def python(self) -> str:
        """Return the network as a plain PyTorch module: :meth:`polaris_lab.models.Blueprint.to_python`."""
        return self.blueprint.to_python()

    def reason_against(self, source: str, target: str, port: str | None = None) -> str | None:
        """Return why a wire cannot be drawn, None if it can."""
        try:
            self.draft.connect(source, target, port)
        except REFUSALS as error:
            return str(error).removeprefix(f"wire {source!r} -> {target!r}: ")
        return None

    # -- changes -------------------------------------------------------------------------------------

    def add(
        self, block: str, name: str | None = None, *, at: tuple[float, float] | None = None, **settings: Any
    ) -> str:
        """Add a block; return the name of its node. `at` is its place [px]."""
        name = self.draft.free_name(block) if name is None else name
        self._change(lambda draft: draft.add(block, name, **settings), {name: at or self._free_place()})
        self.node = name
        return name

    def add_input(self, name: str, *, optional: bool = False, at: tuple[float, float] | None = None) -> str:
        """Add an input by the name of its quantity."""
        self._change(lambda draft: draft.add_input(name, optional=optional), {name: at or self._free_place()})
        self.node = name
        return name

    def connect(self, source: str, target: str, port: str | None = None) -> None:
        """Draw a wire, to the first free input if none is named."""
        self._change(lambda draft: draft.connect(source, target, port))

    def disconnect(self, target: str, port: str) -> None:
        """Cut the wire at an input of a node."""
        self._change(lambda draft: draft.disconnect(target, port))

    def remove(self, *names: str) -> None:
        """Remove nodes or inputs, and their wires."""

        def make(draft: Draft) -> Draft:
            for name in names:
                draft = draft.remove(name)
            return draft

        self._change(make)

    def set(self, name: str, **settings: Any) -> None:
        """Change settings of a node."""
        self._change(lambda draft: draft.set(name, **settings))

    def rename(self, old: str, new: str) -> None:
        """Call a node or an input otherwise."""
        chosen = self.node
        self._change(lambda draft: draft.rename(old, new), {new: self._places.get(old, (0.0, 0.0))})
        self.node = new if chosen == old else chosen

    def set_optional(self, name: str, optional: bool) -> None:
        """Say whether an input may be missing."""
        self._change(lambda draft: draft.set_optional(name, optional))

    def answer(self, name: str, target: str | None = None, *, extra: bool = False) -> None:
        """Make a node the output, or one more; `target`, the quantity that it learns, becomes its name."""
        places = {target: self._places.get(name, (0.0, 0.0))} if target else {}
        chosen = self.node
        self._change(lambda draft: draft.answer(name, target, extra=extra), places)
        self.node = (target or name) if chosen == name else self.node

    def no_answer(self, name: str) -> None:
        """Make a node no output any more."""
        self._change(lambda draft: draft.no_answer(name))

    def layout(self) -> None:
        """Put the nodes in columns from the inputs to the outputs."""
        self._change(lambda draft: draft, blueprint_canvas.layered(self.draft), always=True)
        self._parts.fit()

    def refuse(self, values: dict[str, Any]) -> None:
        """Say that values of the page's address cannot be; all of the address is left aside."""
        words = ", ".join(f"{name}={value}" for name, value in values.items())
        self._refused = f"address: expected the name of a node and a side in pixels, got {words}; correct it"
        self._show()

    def undo(self) -> None:
        """Take the last change back."""
        self._go(self._step - 1, "undo")

    def redo(self) -> None:
        """Make the change that was taken back again."""
        self._go(self._step + 1, "redo")

    def begin(self) -> None:
        """Forget what could be undone: what is drawn now is where this visitor begins."""
        self._history, self._step = [(self.draft, self._places)], 0
        self._show()

    # -- inside --------------------------------------------------------------------------------------

    def _try(self, work: Callable[[], Any]) -> Any:
        """Do something; what refuses it is shown, and raised."""
        try:
            done = work()
        except REFUSALS as error:
            self._refused = str(error)
            self._show(again=True)
            raise
        self._refused = ""
        return done

    def _change(
        self, make: Callable[[Draft], Draft], places: dict[str, Any] | None = None, *, always: bool = False
    ) -> None:
        """Change the drawing, as one step that can be undone."""
        draft = self._try(lambda: make(self.draft))
        if draft == self.draft and not always:
            self._show()
            return
        known = {**self._places, **(places or {})}
        missing = [name for name in draft.names if name not in known]
        known |= {name: self._free_place() for name in missing}
        self._places = {name: known[name] for name in draft.names}
        self.draft = draft
        self._history = [*self._history[: self._step + 1], (draft, self._places)][-STEPS:]
        self._step = len(self._history) - 1
        self._show()

    def _go(self, step: int, what: str) -> None:
        """Turn to a step of the history."""

        def check() -> None:
            if not 0 <= step < len(self._history):
                raise ValueError(f"{what}: nothing to {what}")

        self._try(check)
        self._step = step
        self.draft, self._places = self._history[step]
        self._show()

    def _free_place(self) -> tuple[float, float]:
        """Return a place under the drawing."""
        if not self._places:
            return (0.0, 0.0)
        x = sorted(x for x, _y in self._places.values())
        return (x[len(x) // 2], max(y for _x, y in self._places.values()) + blueprint_canvas.DOWN)

    def quietly(self, work: Callable[..., Any], *arguments: Any, **choices: Any) -> Any:
        """Do what a person asked for on the page: a refusal is told there and goes no further."""
        try:
            return work(*arguments, **choices)
        except REFUSALS:
            return None

    def _drawn(self, removed: list[str], cut: list[tuple], drawn: list[tuple]) -> None:
        """Take over what was done in the drawing."""

        def make(draft: Draft) -> Draft:
            for _source, target, port in reversed(cut):
                draft = draft.disconnect(target, port)
            for name in removed:
                draft = draft.remove(name)
            for wire in drawn:
                draft = draft.connect(*wire)
            return draft

        self.quietly(self._change, make)

    def _moved(self, name: str, x: float, y: float) -> None:
        """Remember where a node was put; not a step of its own."""
        if name in self._places:
            self._places = {**self._places, name: (x, y)}
            self._history[self._step] = (self.draft, self._places)

    def _dropped(self, data: Any, x: float, y: float) -> None:
        found = self._parts.palette.dropped(data)
        if found:
            self.pick(*found, at=(x, y))

    def pick(self, kind: str, name: str, at: tuple[float, float] | None = None) -> None:
        """Take something of the palette: a "preset", an "input" or a "block"; a refusal is told on the page."""
        if kind == "preset":
            self.quietly(self.preset, name)
        else:
            self.quietly(self.add_input if kind == "input" else self.add, name, at=at)

    @param.depends("node", watch=True)
    def _choose(self) -> None:
        if self.node and self.node not in self.draft.names:
            with param.parameterized.discard_events(self):
                self.node = ""
        self.canvas.choose(self.node or None)
        self._show_node()

    @param.depends("image_side", watch=True)
    def _show(self, *, again: bool = False) -> None:
        """Show the drawing as it stands; `again` also where the browser may show something else."""
        self.seen = look(self.draft, (self.image_side, self.image_side))
        if self.node not in self.draft.names:
            with param.parameterized.discard_events(self):
                self.node = ""
        self.canvas.show(self.draft, self.seen, self._places, self.node or None, again=again)
        state = blueprint_words.state(self.draft, self.seen, self._refused, saved=not self.unsaved)
        self._parts.show(state, can_undo=self._step > 0, can_redo=self._step < len(self._history) - 1)
        self._show_node()

    def _show_node(self) -> None:
        """Show the chosen node in the form, and what it has learned."""
        self._parts.show_node(self.node)
        node = next((n for n in self.draft.nodes if n.name == self.node), None)
        self.inside.show(self.node, node and node.block, node and node.settings)

    def __panel__(self) -> Any:
        return self._view


def app(path: str | None = None, *, workspace_folder: str | Path = ".", preset: str = "unet") -> Any:
    """Return the page of one visitor; what cannot be opened is said on it, over the preset.

    Parameters
    ----------
    path : str, optional
        A blueprint (.json) or a run folder inside the workspace. ``?path=`` in the page's address comes before
        it, and ``?preset=`` names a preset.
    workspace_folder : str or Path
        As in :class:`BlueprintEditor`.
    preset : str
        What a newcomer sees.
    """
    folder = Path(workspace_folder).expanduser().resolve()
    query = pn.state.location.query_params if pn.state.location is not None else {}
    wanted = query.get("path", path)
    editor = BlueprintEditor(workspace_folder=folder)
    editor.preset(preset)
    if wanted:
        editor.quietly(editor.load, str(wanted))
    elif "preset" in query:
        editor.quietly(editor.preset, str(query["preset"]))
    editor.begin()
    where = pmui.Typography(blueprint_words.where(folder), variant="body2")
    page = shell.page(
        TITLE, [editor.controls, where, pmui.Markdown(blueprint_words.HELP)], [editor.main], purpose=PURPOSE
    )
    page.param.watch(lambda event: editor.canvas.dark(event.new), "dark_theme")
    editor.canvas.dark(page.dark_theme)
    if pn.state.location is not None:
        pn.state.location.sync(editor, ["node", "image_side"], on_error=editor.refuse)
        editor.address = pn.state.location
    return page
