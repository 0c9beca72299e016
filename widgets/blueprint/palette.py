"""The palette of the editor: presets to open, inputs and blocks to add by a click or by dragging them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import panel_material_ui as pmui

from polaris_lab.models.presets import preset_names
from polaris_lab.models.registry import block_class, block_names
from polaris_lab.models.schema import block_schema
from polaris_lab.quantities import quantity, quantity_names
from widgets.blueprint.canvas import DRAG

GROUPS = {
    "Presets": ("presets",),
    "Inputs": ("inputs",),
    "Combine": ("blocks", "merge", "film"),
    "Convolutions and U-Nets": ("convolutions", "unet", "unet_cubes", "multi_unet"),
    "Kolmogorov-Arnold": ("kan",),
    "Scale and baseline": ("reference", "contrast", "residuals", "bounds", "encoders"),
    "Spectra and volumes": ("spectra", "volume"),
    "Context and structure": ("context", "graph"),
    "Generative": ("generative",),
}
"""Heads of the palette, by the modules of the blocks under them; others come under "Own blocks"."""


Entry = tuple[str, str, str]
"""Kind, name, words."""


def entries() -> dict[str, list[Entry]]:
    """Return what the palette holds: by its head, (kind, name, words), where kind is preset, input or block.

    Examples
    --------
    >>> [name for kind, name, _words in entries()["Presets"]][:2]
    ['bridge', 'context_unet']
    """
    return _entries(block_names(), preset_names(), quantity_names())


@functools.lru_cache(maxsize=4)
def _entries(
    blocks: tuple[str, ...], presets: tuple[str, ...], quantities: tuple[str, ...]
) -> dict[str, list[Entry]]:
    groups: dict[str, list[Entry]] = {head: [] for head in GROUPS}
    groups["Presets"] = [("preset", name, "a whole network: opens it") for name in presets]
    groups["Inputs"] = [
        ("input", name, f"[{quantity(name).unit}], a {quantity(name).shape}") for name in quantities
    ]
    for name in blocks:
        path = block_class(name).__module__.removeprefix("polaris_lab.models.").split(".")[0]
        head = next((head for head, modules in GROUPS.items() if path in modules), "Own blocks")
        groups.setdefault(head, []).append(("block", name, block_schema(name)["description"]))
    return groups


class Palette:
    """A list of all presets, inputs and blocks with a field that narrows it.

    Parameters
    ----------
    on_add : callable
        ``on_add(kind, name)``, on a click.

    Attributes
    ----------
    view : panel Column
    """

    def __init__(self, on_add: Callable[[str, str], Any]):
        self._on_add = on_add
        self._all = entries()
        self._shown: list[list[tuple[str, str, str]]] = []
        self._find = pmui.TextInput(label="Find a block or preset", sizing_mode="stretch_width")
        self._find.param.watch(lambda event: self.narrow(event.new), "value_input")
        self._list = pmui.MenuList(
            items=[], draggable=True, drag_type=DRAG, dense=True, highlight=False, sizing_mode="stretch_width"
        )
        self._list.on_click(self._click)
        self.view: Any = pmui.Column(
            self._find,
            pmui.Column(self._list, scroll=True, max_height=430, sizing_mode="stretch_width"),
            sizing_mode="stretch_width",
        )
        self.narrow("")

    def narrow(self, text: str) -> None:
        """List only what has a text in its name or words; with an empty text, everything."""
        wanted = (text or "").strip().lower()
        heads, self._shown = [], []
        for head, group in self._all.items():
            found = [entry for entry in group if wanted in f"{entry[1]} {entry[2]} {head}".lower()]
            if found:
                heads.append(
                    {
                        "label": head,
                        "icon": "category",
                        "items": [_item(*entry) for entry in found],
                        "selectable": False,
                    }
                )
                self._shown.append(found)
        self._list.items = heads or [{"label": "Nothing of this name: shorten the text", "selectable": False}]
        self._list.expanded = [(k,) for k in range(len(heads))] if wanted else [(0,)]

    def dropped(self, data: Any) -> tuple[str, str] | None:
        """Return kind and name of what was dragged onto the drawing; None for a head."""
        path = data.get("path", []) if isinstance(data, dict) else []
        if len(path) != 2 or not (
            0 <= path[0] < len(self._shown) and 0 <= path[1] < len(self._shown[path[0]])
        ):
            return None
        return self._shown[path[0]][path[1]][:2]

    def _click(self, event: Any) -> None:
        item = event if isinstance(event, dict) else getattr(event, "item", None) or self._list.value
        key = item.get("key") if isinstance(item, dict) else None
        if key:
            self._on_add(*key.split(":", 1))


def _item(kind: str, name: str, words: str) -> dict[str, Any]:
    short = words if len(words) < 90 else f"{words[:88]}…"
    return {"label": name, "secondary": short, "key": f"{kind}:{name}", "icon": None}
