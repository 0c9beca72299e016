"""`PatchConfig`: every choice that makes a training set out of clouds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from polaris_lab.clouds.simulation import AXES
from polaris_lab.config import plain_numbers
from polaris_lab.datasets.arrays import UNITS
from polaris_lab.datasets.checks import check_one_of, check_whole, check_within
from polaris_lab.datasets.emission_config import LINE_UNITS, EmissionConfig
from polaris_lab.datasets.layout import CHANNEL_UNITS, DENSITY_CUBE, LINE_CUBE
from polaris_lab.datasets.scoring import WEIGHTS

SPLIT_RULES = ("slab", "cloud", "shuffle")
SCORE_SCALES = ("absolute", "quantile")

SMALLEST_PATCH = 4
"""Smallest side of a patch [pixels]."""


@dataclass(frozen=True)
class PatchConfig:
    """How patches are chosen on the faces of a cloud, and how they are split.

    Attributes
    ----------
    patch_size : int
        Side of a patch [pixels]; 128 in the report.
    patches_per_face : int or None
        Patches wanted from one face; None takes as many as fit.
    attempts : int
        Random candidates for each patch's area on a face (50: 800 on a face of 4 x 4 patches).
    packing : bool
        When random placement jams below what is wanted, lay the patches out anew, as many as fit.
    min_separation : float
        Smallest distance between two patches of a face, along rows or columns, whichever is larger
        [patch sides]: 1 forbids any overlap; the report's code has 0.75.
    low_column_density : float
        A pixel counts as very diffuse below this [mean column density of the face].
    low_density_fraction : float
        Largest fraction of very diffuse pixels in a patch: the empty margins of a box are left out.
    weights : (float, float, float)
        Of s_Lambda(N_H), s_Lambda(<n>_M) and s_res in the score (eq. 11).
    steepness, offset : float
        A and B of the acceptance probability (eq. 14); 2 and 1 in the report's code.
    score_scale : {"absolute", "quantile"}
        What A and B refer to: the score itself, which depends on the pixel size and the cloud, or its quantile
        among all windows of the cloud (0 the smoothest, 1 the richest); see :meth:`by_quantile`.
    split_by : {"slab", "cloud", "shuffle"}
        "slab": a slab of each box is kept for validation and lines of sight along its normal are dropped, so that
        no gas is on both sides. "cloud": whole clouds are held out. "shuffle": patches are drawn at random, as in
        the report; the same gas is then on both sides.
    validation_fraction : float
        Share of the box, the clouds or the patches kept for validation.
    slab_axis : {"x", "y", "z"}
        Normal of the slab.
    slab_position : float or None
        Where the slab lies: 0 at the first cell, 1 at the last. None puts it where its share of the mass is
        nearest to its share of the volume and no room for patches is lost.
    validation_clouds : tuple of str
        Names of the clouds to hold out; empty draws them at random.
    lines_of_sight : tuple of str
        Faces to use, out of "z", "y", "x".
    quantities : tuple of str
        What is stored: column_density and the densities along the line of sight; and of a line "ppv_cube" (v, y, x)
        and the maps "integrated_intensity", "centroid_velocity", "velocity_dispersion", "peak_temperature" and
        "number_of_components".
        Column density and what the line gives are inputs, the densities are targets. Further inputs are
        "temperature" (mean along the line of sight, weighted by mass [K]), "context_column_density" and
        "context_mask" (the surroundings of the patch in coarse pixels, and how much of each lies in the patch),
        "position" (of every pixel from the centre of its face [pc]: along rows, along columns), the scalars
        "pixel_size" and "depth" (of the box along the line of sight [pc]), and "constrained_diffusion_density"
        and "aviator_density", which estimators make of the column density. "density_cube" (layer, y, x) is the gas
        itself, a target. With a slab split, pixels of the context on the other side of its border are blank, and
        an estimator sees its own side only.
    learned : tuple of str
        Maps among the quantities that are inputs by custom and targets here, such as "number_of_components".
    context_width : int
        Side of the context [patch sides]; its pixels are as many times coarser.
    depth_cells : int or None
        Layers of "density_cube", each the mean of as many cells; None for all cells.
    emission : EmissionConfig or None
        The line, for quantities that it gives; None for the defaults.
    seed : int
        For candidates, acceptance and splits.

    Raises
    ------
    ValueError, TypeError
        If a value is out of range or of the wrong type.

    References
    ----------
    Report, section 2.1 and appendix B.
    """

    patch_size: int = 64
    patches_per_face: int | None = None
    attempts: int = 50
    packing: bool = True
    min_separation: float = 1.0
    low_column_density: float = 0.25
    low_density_fraction: float = 0.5
    weights: tuple[float, float, float] = WEIGHTS
    steepness: float = 2.0
    offset: float = 1.0
    score_scale: str = "absolute"
    split_by: str = "slab"
    validation_fraction: float = 0.2
    slab_axis: str = "x"
    slab_position: float | None = None
    validation_clouds: tuple[str, ...] = ()
    lines_of_sight: tuple[str, ...] = ("z", "y", "x")
    quantities: tuple[str, ...] = ("column_density", "mass_weighted_density")
    seed: int = 0
    emission: EmissionConfig | None = None
    learned: tuple[str, ...] = ()
    context_width: int = 4
    depth_cells: int | None = None

    def __post_init__(self) -> None:
        for name in ("weights", "validation_clouds", "lines_of_sight", "quantities", "learned"):
            value = getattr(self, name)
            if not isinstance(value, tuple | list):
                raise TypeError(f"{name}: expected a tuple, got {value!r}")
            object.__setattr__(self, name, tuple(value))
        plain_numbers(self)
        self._check_numbers()
        self._check_names()

    def _check_numbers(self) -> None:
        check_whole("patch_size", self.patch_size, SMALLEST_PATCH, "the report's is 128, the default 64")
        if self.patches_per_face is not None:
            check_whole("patches_per_face", self.patches_per_face, 1, "None takes as many as fit")
        check_whole("attempts", self.attempts, 1, "the default is 50")
        check_whole("seed", self.seed, 0, "any such number gives its own draw")
        check_whole("context_width", self.context_width, 2, "the default is 4 patch sides")
        if self.depth_cells is not None:
            check_whole("depth_cells", self.depth_cells, 1, "None keeps all cells")
        if not isinstance(self.packing, bool):
            raise TypeError(f"packing: expected True or False, got {self.packing!r}")
        check_within("min_separation", self.min_separation, 0, math.inf, "1 forbids overlap", open_low=True)
        check_within("low_column_density", self.low_column_density, 0, math.inf, "0 switches the test off")
        check_within("low_density_fraction", self.low_density_fraction, 0, 1, "1 switches the test off")
        check_within("steepness", self.steepness, 0, math.inf, "the report's is 2; 0 switches the filter off")
        check_within("offset", self.offset, -math.inf, math.inf, "the report's is 1")
        check_within(
            "validation_fraction",
            self.validation_fraction,
            0,
            1,
            "0.2 is usual",
            open_low=True,
            open_high=True,
        )
        if self.slab_position is not None:
            check_within("slab_position", self.slab_position, 0, 1, "None lets the mass decide")
        if len(self.weights) != 3:
            raise ValueError(
                f"weights: expected three, of s_Lambda(N_H), s_Lambda(<n>_M) and s_res, got {len(self.weights)}"
            )
        for weight in self.weights:
            check_within("weights", weight, 0, math.inf, "the report's are (1, 0.5, 5)")

    def _check_names(self) -> None:
        check_one_of("split_by", self.split_by, SPLIT_RULES)
        check_one_of("score_scale", self.score_scale, SCORE_SCALES)
        check_one_of("slab_axis", self.slab_axis, AXES)
        for name, values, known in (
            ("lines_of_sight", self.lines_of_sight, AXES),
            ("quantities", self.quantities, (*UNITS, *LINE_UNITS, *CHANNEL_UNITS)),
        ):
            for value in values:
                check_one_of(name, value, known)
            if len(set(values)) != len(values) or not values:
                raise ValueError(f"{name}: expected different names out of {known}, got {values}")
        self._check_learned()
        if "column_density" not in self.quantities or not self.targets:
            raise ValueError(
                f'quantities: expected "column_density" and at least one density to learn, got {self.quantities}'
            )
        if not isinstance(self.emission, EmissionConfig | None):
            raise TypeError(f"emission: expected an EmissionConfig or None, got {self.emission!r}")
        if self.emission is not None and not self.line_quantities:
            raise ValueError(
                f"emission: expected a quantity of the line among quantities ({', '.join(LINE_UNITS)}), got "
                f"{self.quantities}; add one, or leave emission out"
            )
        if self.split_by == "slab" and set(self.lines_of_sight) <= {self.slab_axis}:
            raise ValueError(
                f"lines_of_sight: expected one other than the slab's normal {self.slab_axis!r}, along which gas of "
                f"both sides is mixed, got {self.lines_of_sight}; choose another slab_axis or split_by"
            )

    def _check_learned(self) -> None:
        maps = ("temperature", *(name for name in LINE_UNITS if name != LINE_CUBE))
        for name in self.learned:
            check_one_of("learned", name, maps)
            if name not in self.quantities:
                raise ValueError(
                    f"learned: expected names out of quantities {self.quantities}, got {name!r}; add it to quantities"
                )
        if self.depth_cells is not None and DENSITY_CUBE not in self.quantities:
            raise ValueError(
                f'depth_cells: expected "{DENSITY_CUBE}" among quantities, got {self.quantities}; add it, or leave '
                "depth_cells out"
            )

    @classmethod
    def by_quantile(cls, *, steepness: float = 7.0, offset: float = 0.5, **choices: Any) -> PatchConfig:
        """Return a configuration whose A and B refer to quantiles of the score.

        The defaults are the sigmoid of the report's figure 46: the median window is taken every second time, the
        smoothest in 3 % and the richest in 97 % of the draws, whatever the pixel size and the cloud.

        Examples
        --------
        >>> PatchConfig.by_quantile(patch_size=32).score_scale
        'quantile'
        """
        return cls(score_scale="quantile", steepness=steepness, offset=offset, **choices)

    @property
    def separation_pixels(self) -> int:
        """Smallest distance between two patches of a face [pixels]."""
        return max(1, math.ceil(self.min_separation * self.patch_size - 1e-9))

    @property
    def used_lines_of_sight(self) -> tuple[str, ...]:
        """Lines of sight that give patches: all but the normal of a slab."""
        dropped = self.slab_axis if self.split_by == "slab" else None
        return tuple(axis for axis in self.lines_of_sight if axis != dropped)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Quantities that a network is given."""
        return tuple(name for name in self.quantities if name not in self.targets)

    @property
    def targets(self) -> tuple[str, ...]:
        """Quantities to learn."""
        densities = (*(name for name in UNITS if name != "column_density"), DENSITY_CUBE, *self.learned)
        return tuple(name for name in self.quantities if name in densities)

    @property
    def projected_quantities(self) -> tuple[str, ...]:
        """Quantities that are sums and means along the line of sight."""
        return tuple(name for name in self.quantities if name in UNITS)

    @property
    def line_quantities(self) -> tuple[str, ...]:
        """Quantities that a line gives."""
        return tuple(name for name in self.quantities if name in LINE_UNITS)

    @property
    def channel_quantities(self) -> tuple[str, ...]:
        """Quantities that are neither: surroundings, places, scalars, estimators and the gas itself."""
        return tuple(name for name in self.quantities if name in CHANNEL_UNITS)

    @property
    def line_emission(self) -> EmissionConfig | None:
        """The line that is computed; None without a quantity that it gives."""
        return (self.emission or EmissionConfig()) if self.line_quantities else None
