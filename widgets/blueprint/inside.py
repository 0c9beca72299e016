"""Inside a trained network: weights, feature maps of one patch, and learned curves of the chosen node."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from polaris_lab.training.batches import Patches
from widgets import parts
from widgets.blueprint import words as blueprint_words
from widgets.blueprint.figures import TilesFigure, as_tiles, unit_of_output

WIDE = {"sizing_mode": "stretch_width"}


class Inside:
    """Shows the chosen node of a run.

    Attributes
    ----------
    view : panel Column
    run : Run or None
    """

    def __init__(self) -> None:
        self.run: Any = None
        self._model: Any = None
        self._features: dict[str, np.ndarray] = {}
        self._node, self._busy = "", False
        self._words = pmui.Alert(
            title="", object=blueprint_words.NOT_TRAINED, severity="info", margin=10, **WIDE
        )
        self.patch = pmui.IntInput(label="Patch of the dataset", value=0, start=0, width=170)
        self.part = pmui.Select(label="Feature maps of", options=[], **WIDE)
        self.array = pmui.Select(label="Weights", options=[], **WIDE)
        self.patch.param.watch(lambda _event: self._look(), "value")
        self.part.param.watch(lambda _event: self._draw(), "value")
        self.array.param.watch(lambda _event: self._draw(), "value")
        self.maps, self.weights = TilesFigure("Viridis", symmetric=False), TilesFigure("", symmetric=True)
        self._map_pane, self._weight_pane = (
            pn.pane.Bokeh(self.maps.figure),
            pn.pane.Bokeh(self.weights.figure),
        )
        self._curve_words = pmui.Typography("", variant="body2")
        self._curve = pn.Column()  # holds the figure, or nothing: a Bokeh pane that was hidden stays so
        self._table = pn.pane.HTML("", stylesheets=[parts.STYLE], **WIDE)
        half = {"styles": {"flex": "1 1 390px", "min-width": "0"}}
        self._figures = pn.FlexBox(
            pn.Column(pmui.Row(self.patch, self.part, **WIDE), self._map_pane, **half),
            pn.Column(self.array, self._weight_pane, self._table, **half),
            pn.Column(self._curve_words, self._curve, **half),
            visible=False,
            **WIDE,
        )
        self.view: Any = pmui.Column(
            pmui.Typography("Inside the trained network", variant="h6"), self._words, self._figures, **WIDE
        )

    def open(self, run: Any) -> None:
        """Turn to a run, or to none; one that is not trained yet is said."""
        self.run, self._model, self._features = run, None, {}
        if run is not None:
            try:
                self._model = run.model()
            except (ValueError, OSError) as error:
                self._say("warning", "Nothing to see inside yet", str(error))
                return
            self._look()

    def show(self, name: str | None, block: str | None, settings: dict | None) -> None:
        """Show a node of the drawing, if the run has the same."""
        self._node = name or ""
        self._figures.visible = False
        if self.run is None:
            self._say("info", "", blueprint_words.NOT_TRAINED)
            return
        if self._model is None:
            return  # what is wrong has been said
        if not name:
            self._say("info", self.run.name, "Choose a node of the drawing to see what it has learned.")
            return
        known = {node.name: node for node in self.run.blueprint.nodes}
        if name not in known and name not in self.run.blueprint.inputs:
            self._say(
                "warning",
                name,
                f"{self.run.name} has no node of this name: train the drawing to see inside it.",
            )
            return
        if name in known and (known[name].block, dict(known[name].settings)) != (block, settings):
            self._say(
                "warning", name, f"Changed since {self.run.name} was trained; shown is the node as trained."
            )
        else:
            self._say("success", f"{self.run.name}: {name}", "")
        self._offer(name)

    def _offer(self, name: str) -> None:
        """List the parts and the arrays of a node, and draw the first."""
        arrays = self._model.weights(name) if name in self._model.nodes else {}
        found = [key for key in self._features if key == name or key.startswith(f"{name}.")]
        self._busy = True
        self.part.param.update(options=found, value=name if name in found else next(iter(found), None))
        wide = [key for key, values in arrays.items() if values.ndim]
        first = next((key for key in wide if arrays[key].ndim > 1), next(iter(wide), None))
        self.array.param.update(options=wide, value=first)
        self._busy = False
        rows = [
            f"<tr><td>{html.escape(key)}</td><td class='number'>{float(values):.4g}</td></tr>"
            for key, values in arrays.items()
            if not values.ndim
        ]
        self._table.object = (
            f"<table><tr><th>constant</th><th class='number'>value</th></tr>{''.join(rows)}</table>"
            if rows
            else ""
        )
        self._figures.visible = True
        self._draw()
        self._draw_curve(name)

    def _look(self) -> None:
        """Run the network on the chosen patch."""
        if self._model is None:
            return
        blueprint, self._features = self.run.blueprint, {}
        try:
            dataset = self.run.dataset()
            rows = np.array([self.patch.value])
            if not 0 <= self.patch.value < len(dataset):
                raise ValueError(
                    f"patch: expected a number from 0 to {len(dataset) - 1}, got {self.patch.value}"
                )
            inputs = Patches.from_dataset(
                dataset, rows, inputs=blueprint.inputs, target=blueprint.output
            ).inputs
            found = {**inputs, **self._model.features(inputs)}
            self._features = {name: values[0].numpy() for name, values in found.items() if values.ndim >= 3}
        except (ValueError, OSError, IndexError, RuntimeError) as error:
            self._say("error", "No feature maps", str(error))
            return
        if self._node:
            node = next((n for n in blueprint.nodes if n.name == self._node), None)
            self.show(self._node, node and node.block, node and dict(node.settings))

    def _draw(self) -> None:
        """Draw the chosen part and the chosen array."""
        if self._busy or self._model is None:
            return
        part, key = self.part.value, self.array.value
        self._map_pane.visible, self._weight_pane.visible = part in self._features, bool(key)
        if part in self._features:
            tiles = as_tiles(self._features[part])
            unit = unit_of_output(part) if part in self.run.blueprint.outputs else "activation"
            side = f"{tiles.shape[1]} × {tiles.shape[2]} pixels"
            title = f"{part}: {min(16, len(tiles))} of {len(tiles)} maps, {side} each"
            self.maps.show(tiles, title=title, unit=unit)
        if key and self._node in self._model.nodes:
            values = self._model.weights(self._node)[key]
            tiles = as_tiles(values)
            words = " × ".join(map(str, values.shape))
            self.weights.show(
                tiles, title=f"{min(16, len(tiles))} of {len(tiles)} tiles of {words}", unit="weight"
            )
        pn.io.push_notebook(self._map_pane, self._weight_pane)

    def _draw_curve(self, name: str) -> None:
        """Draw the law that a Kolmogorov-Arnold node has learned, or say why there is none."""
        import holoviews as hv

        from polaris_lab.models.kan.curves import kan_node, learned_curve
        from widgets.kan_curves import learned_curves

        self._curve.objects = []
        block = self._model.blueprint.node(name).block if name in self._model.nodes else ""
        if "kan" not in block:
            self._curve_words.object = ""
            return
        try:
            if kan_node(self._model).name != name:
                raise ValueError(f"learned_curve: expected the node of single pixels, got {name!r}")
            drawn = learned_curves(learned_curve(self._model), width=330, height=280)
            self._curve.objects = [pn.pane.Bokeh(hv.render(drawn, backend="bokeh"))]
        except ValueError as error:
            self._curve_words.object = parts.plain(f"No learned curve: {error}.")
            return
        self._curve_words.object = "The law that this node has learned; grey: where it was trained."

    def _say(self, severity: str, title: str, words: str) -> None:
        self._words.param.update(severity=severity, title=title, object=parts.plain(words))
