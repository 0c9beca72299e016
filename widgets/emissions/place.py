"""Where an emission explorer looks: its cursor, its velocity, and the unit of its axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import param

from widgets.emissions.choices import EmissionChoices
from widgets.emissions.view import EmissionView, rounded


class Place(EmissionChoices):
    """The choices of an explorer, whose place follows the maps, the fields, the player and the unit.

    Attributes
    ----------
    view : EmissionView
    fields : dict
        The widgets of velocity and cursor.
    player : panel_material_ui.Player
    """

    __abstract = True

    view: EmissionView
    fields: dict[str, Any]
    player: Any
    _begun: bool

    def _forget_place(self) -> None:
        with param.parameterized.discard_events(self):
            self.param.update(velocity=None, x=None, y=None)

    def _place(self) -> None:
        """Move the axes to both maps, and the cursor to the brightest pixel where none is set."""
        if self.view.drawn:
            self.view.place()
            with param.parameterized.discard_events(self):
                self.param.update(**self.view.settled())
            self._follow_fields()

    def look_at(self, x: float, y: float) -> None:
        """Move the cursor."""
        self.param.update(x=rounded(x), y=rounded(y))

    def tune(self, velocity: float) -> None:
        """Look at another velocity."""
        self.velocity = round(float(velocity), 4)

    def _follow_fields(self) -> None:
        """Let the fields and the player tell what was set without events."""
        synthetic = self.view.sides["synthetic"]
        self.fields["velocity"].value = self.velocity
        self.fields["x"].value, self.fields["y"].value = self.x, self.y
        if synthetic.ppv is None:
            return
        channel = int(np.abs(synthetic.ppv.velocity - self.velocity).argmin())
        with param.parameterized.discard_events(self):
            self.channel = channel
        self.player.param.update(end=len(synthetic.ppv.velocity) - 1, value=channel)

    @param.depends("channel", watch=True)
    def _play(self) -> None:
        """Follow the player."""
        ppv = self.view.sides["synthetic"].ppv
        if ppv is not None and self.channel < len(ppv.velocity):
            self.velocity = round(float(ppv.velocity[self.channel]), 4)

    @param.depends("unit", watch=True)
    def _change_unit(self) -> None:
        """Keep the cursor where it is on the sky."""
        if self.x is not None and self.y is not None and self._begun:
            with param.parameterized.discard_events(self):
                self.param.update(**self.view.converted())
        self._place()
        self._show()

    def _show(self) -> None:
        """Draw everything as it stands."""
        raise NotImplementedError
