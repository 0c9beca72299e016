"""What the editor needs of the browser itself: undo by keys, a word before unsaved work is left, the drawing in view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import param
from panel.custom import JSComponent


class Keys(JSComponent):
    """Listens for Ctrl+Z, Ctrl+Shift+Z and Ctrl+Y outside of text fields; has no look of its own."""

    unsaved = param.Boolean(False, doc="Whether the browser asks before it leaves the page.")
    fit = param.Integer(0, doc="Goes up when all of the drawing is to be seen.")

    _esm = """
    const deep = (root, wanted) => {
      for (const element of root.querySelectorAll("*")) {
        if (element.matches(wanted)) return element
        const inside = element.shadowRoot && deep(element.shadowRoot, wanted)
        if (inside) return inside
      }
    }
    export function render({ model, el }) {
      const around = () => el.getRootNode().host?.getRootNode().host
      const typing = node => node?.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(node?.tagName)
      const keys = event => {
        const path = event.composedPath()
        if (!(event.ctrlKey || event.metaKey) || typing(path[0])) return
        if (document.querySelector(".jp-Notebook") && !path.includes(around())) return
        const key = event.key.toLowerCase()
        if (key !== "z" && key !== "y") return
        event.preventDefault()
        model.send_msg(key === "y" || event.shiftKey ? "redo" : "undo")
      }
      const leave = event => { if (model.unsaved) { event.preventDefault(); event.returnValue = "" } }
      const fit = () => setTimeout(() => {
        const inside = around()?.shadowRoot
        inside && deep(inside, ".react-flow__controls-fitview")?.click()
      }, 400)
      document.addEventListener("keydown", keys)
      window.addEventListener("beforeunload", leave)
      model.on("fit", fit)
      model.on("remove", () => {
        document.removeEventListener("keydown", keys)
        window.removeEventListener("beforeunload", leave)
      })
    }
    """

    def __init__(self, *, on_key: Callable[[str], Any], **params: Any):
        super().__init__(width=0, height=0, margin=0, **params)
        self._on_key = on_key

    def _handle_msg(self, message: Any) -> None:
        """Take "undo" or "redo" from the browser."""
        if message in ("undo", "redo"):
            self._on_key(message)
