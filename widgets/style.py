"""Colours, fonts and words of every figure: the one place where they are chosen.

Series take the Okabe-Ito colours and maps take perceptually uniform scales (viridis, cividis, magma), which
people with any common colour vision can read; positive and negative errors go from blue to red through white.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#AA4499",
    "#E69F00",
    "#56B4E9",
)
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
"""Colours of lines, in order."""

DASHES = ("solid", "dashed", "dotted", "dotdash")
"""Line styles that tell series apart without colour."""

MISSING = "#B8B8B8"
"""Colour of pixels without a value (NaN)."""

NEUTRAL = "#666666"
"""Colour of reference lines."""

FONT_SIZES = {
    "title": "12pt",
    "labels": "11pt",
    "xticks": "10pt",
    "yticks": "10pt",
    "legend": "10pt",
    "clabel": "10pt",
    "cticks": "9pt",
}


@dataclass(frozen=True)
class Quantity:
    """How one physical quantity is named and coloured."""

    label: str
    """Symbol and unit, for an axis or a colour bar."""
    colours: str
    """Name of the colour scale."""
    title: str
    """Words, for the head of a figure."""


QUANTITIES = {
    "column_density": Quantity("N_H [cm⁻²]", "cividis", "Column density"),
    "mass_weighted_density": Quantity("⟨n_H⟩_M [cm⁻³]", "viridis", "Mass-weighted density"),
    "volume_weighted_density": Quantity("⟨n_H⟩_V [cm⁻³]", "viridis", "Volume-weighted density"),
    "max_density": Quantity("n_H,max [cm⁻³]", "viridis", "Maximum density"),
    "density": Quantity("n_H [cm⁻³]", "viridis", "Density"),
    "interval_width": Quantity("68 % interval [dex]", "magma", "Width of the 68 % interval"),
    "coverage": Quantity("predictions per pixel", "cividis", "Coverage"),
    "integrated_intensity": Quantity("W [K km s⁻¹]", "magma", "Integrated intensity"),
    "brightness_temperature": Quantity("T [K]", "magma", "Brightness temperature"),
    "centroid_velocity": Quantity("⟨v⟩ [km s⁻¹]", "RdBu_r", "Centroid velocity: red recedes"),
    "residual": Quantity("log₁₀(predicted / true) [dex]", "RdBu_r", "Residual"),
}
"""The quantities that have a name of their own; any other text is taken as a label as it stands."""

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def quantity(name: str) -> Quantity:
    """Return how a quantity is shown: one of :data:`QUANTITIES`, or a free text with its unit in brackets.

    Examples
    --------
    >>> quantity("column_density").label
    'N_H [cm⁻²]'
    >>> quantity("<n_H>_M [cm^-3]").label
    '⟨n_H⟩_M [cm⁻³]'
    """
    if name in QUANTITIES:
        return QUANTITIES[name]
    label = typeset(name)
    known = next((q for q in QUANTITIES.values() if q.label == label), None)
    return known or Quantity(label, "viridis", label.split(" [")[0])


def typeset(text: str) -> str:
    """Write powers and means with the signs of print: ``cm^-3`` as cm⁻³, ``<n>`` as ⟨n⟩.

    Examples
    --------
    >>> typeset("<n> [cm^-3]")
    '⟨n⟩ [cm⁻³]'
    """
    text = re.sub(r"\^(-?\d+)", lambda power: power.group(1).translate(_SUPERSCRIPT), text)
    return re.sub(r"<([^<>\s]+)>", r"⟨\1⟩", text)


def unit_of(label: str) -> str:
    """Return the unit of a label (what stands in its last brackets), "" without one.

    Examples
    --------
    >>> unit_of("N_H [cm⁻²]")
    'cm⁻²'
    """
    found = re.search(r"\[([^\[\]]*)\]\s*$", label)
    return found.group(1) if found else ""
