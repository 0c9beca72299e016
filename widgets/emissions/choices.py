"""What can be chosen in the emission explorer: its state, which stands in the page's address."""

from __future__ import annotations

import param

from polaris_lab.radiative_transfer.abundance import ABUNDANCE
from widgets.emissions import controls as emission_controls
from widgets.emissions.maps import MOMENTS
from widgets.emissions.side import UNITS


class EmissionChoices(param.Parameterized):
    """The parameters of :class:`widgets.EmissionExplorer`; abstract."""

    __abstract = True

    path = param.String("", doc="File inside the workspace; empty for what was handed over.")
    observed_path = param.String("", doc="File of an observed line cube inside the workspace.")
    line = param.Selector(default="13CO 1-0", objects=emission_controls.LINES)
    abundance = param.Number(ABUNDANCE["13CO"], bounds=(0, None), doc="Molecules per hydrogen nucleus.")
    axis = param.Selector(default="z", objects=["z", "y", "x"])
    channel_width = param.Selector(default=0.1, objects=emission_controls.CHANNEL_WIDTHS, doc="[km/s]")
    temperature = param.Number(10.0, bounds=(0, None), doc="Of gas without one [K]; 0 refuses it.")
    reduction = param.Integer(1, bounds=(1, None), doc="Cells that become one, along each axis.")
    beam = param.Number(0.0, bounds=(0, None), doc="Full width at half maximum [arcsec]; 0 for none.")
    noise = param.Number(0.0, bounds=(0, None), doc="Rms in a channel [K]; 0 for none.")
    seed = param.Integer(0, bounds=(0, None), doc="Of the noise.")
    distance = param.Number(300.0, bounds=(0, None), inclusive_bounds=(False, True), doc="[pc]")
    systemic = param.Number(0.0, doc="Velocity of the whole synthetic cloud [km/s].")
    velocity = param.Number(None, allow_None=True, doc="That is looked at [km/s]; None for the brightest.")
    x = param.Number(None, allow_None=True, doc="Of the cursor, from the centre, in the unit of the axes.")
    y = param.Number(None, allow_None=True, doc="Of the cursor; None for the brightest pixel.")
    unit = param.Selector(default="pc", objects=list(UNITS))
    moment = param.Selector(default="integrated_intensity", objects=list(MOMENTS))
    same_colours = param.Boolean(False, doc="Whether both cubes are drawn in the same colours.")
    channel = param.Integer(0, bounds=(0, None), doc="Channel of the synthetic cube; follows the velocity.")
