"""What a dataset, a network and a map may hold: names, units, and what a network sees of each.

A network sees log10 of what is positive and spans decades, and everything else as it is. This table is the one
place that knows which is which; datasets, models and training read it.
"""

from __future__ import annotations

import dataclasses

from polaris_lab.config import did_you_mean

SHAPES = ("map", "cube", "maps", "scalar")
"""One image (y, x); an image for each velocity or depth (v, y, x); several images of one kind (c, y, x); one number."""


@dataclasses.dataclass(frozen=True)
class Quantity:
    """How one named quantity is stored and shown to a network.

    Attributes
    ----------
    unit : str
        As FITS writes it.
    logarithmic : bool
        Whether networks see its log10: it is then positive everywhere.
    shape : {"map", "cube", "maps", "scalar"}
        What one patch holds of it. As tensors: (N, 1, H, W), (N, V, H, W), (N, C, H, W) and (N, 1, 1, 1).
    """

    unit: str
    logarithmic: bool
    shape: str = "map"

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(f"shape: expected one of {', '.join(SHAPES)}, got {self.shape!r}")


_QUANTITIES = {
    "column_density": Quantity("cm-2", True),
    "mass_weighted_density": Quantity("cm-3", True),
    "volume_weighted_density": Quantity("cm-3", True),
    "max_density": Quantity("cm-3", True),
    "temperature": Quantity("K", True),
    "ppv_cube": Quantity("K", False, "cube"),
    "integrated_intensity": Quantity("K km s-1", False),
    "centroid_velocity": Quantity("km s-1", False),
    "velocity_dispersion": Quantity("km s-1", False),
    "peak_temperature": Quantity("K", False),
    "number_of_components": Quantity("1", False),
    "density_cube": Quantity("cm-3", True, "cube"),
    "context_column_density": Quantity("cm-2", True),
    "context_mask": Quantity("1", False),
    "position": Quantity("pc", False, "maps"),
    "pixel_size": Quantity("pc", True, "scalar"),
    "depth": Quantity("pc", True, "scalar"),
    "beam_fwhm": Quantity("pc", True, "scalar"),
    "constrained_diffusion_density": Quantity("cm-3", True),
    "aviator_density": Quantity("cm-3", True),
}


def quantity(name: str) -> Quantity:
    """Return what is known of a quantity.

    Raises
    ------
    ValueError
        If nothing is ("did you mean").

    Examples
    --------
    >>> quantity("column_density")
    Quantity(unit='cm-2', logarithmic=True, shape='map')
    """
    if name not in _QUANTITIES:
        raise ValueError(
            f"quantity: unknown name {name!r}: {did_you_mean(name, quantity_names())}. "
            "One of your own is made known with polaris_lab.quantities.register_quantity"
        )
    return _QUANTITIES[name]


def is_logarithmic(name: str) -> bool:
    """Return whether networks see log10 of it: what the table says, True for a name it does not hold.

    Examples
    --------
    >>> is_logarithmic("ppv_cube"), is_logarithmic("a_density_of_my_own")
    (False, True)
    """
    return _QUANTITIES[name].logarithmic if name in _QUANTITIES else True


def is_density(name: str) -> bool:
    """Return whether it is a density, which falls as 1/length where columns are kept; True for a name it does not hold.

    Examples
    --------
    >>> is_density("max_density"), is_density("temperature")
    (True, False)
    """
    return _QUANTITIES[name].unit == "cm-3" if name in _QUANTITIES else True


def quantity_names() -> tuple[str, ...]:
    """Return the names of all quantities, in the order in which they were made known."""
    return tuple(_QUANTITIES)


def register_quantity(name: str, *, unit: str, logarithmic: bool, shape: str = "map") -> Quantity:
    """Make a quantity of your own known to datasets and networks.

    Parameters
    ----------
    name : str
        An identifier.
    unit : str
        As FITS writes it; "1" for a pure number.
    logarithmic : bool
        Whether networks see its log10; it must then be positive.
    shape : {"map", "cube", "maps", "scalar"}
        See :class:`Quantity`.

    Returns
    -------
    Quantity

    Raises
    ------
    ValueError
        If the name is no identifier or means something else already, the unit is unknown, or the shape is.

    Examples
    --------
    >>> register_quantity("dust_opacity", unit="cm2 g-1", logarithmic=True).unit
    'cm2 g-1'
    """
    from astropy import units as u

    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"register_quantity: expected a name such as 'dust_opacity', got {name!r}")
    try:
        u.Unit(unit)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"register_quantity({name!r}): expected a unit such as 'cm-2' or '1', got {unit!r}"
        ) from error
    new = Quantity(unit, bool(logarithmic), shape)
    if _QUANTITIES.get(name, new) != new:
        raise ValueError(
            f"register_quantity({name!r}): this name already means {_QUANTITIES[name]}; choose another name"
        )
    _QUANTITIES[name] = new
    return new
