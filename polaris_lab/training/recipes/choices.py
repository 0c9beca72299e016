"""`Recipe`: everything that decides a pretrained network, as plain JSON values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polaris_lab.config import check_schema, did_you_mean, fingerprint, from_dict, read_json, to_dict
from polaris_lab.training.settings import TrainingConfig

FOLDER = Path(__file__).resolve().parents[2] / "pretrained"
"""Recipes, and the runs that came of them, as they are shipped."""

KINDS = ("suite", "copula")
"""Kinds of clouds: those of :func:`polaris_lab.clouds.suite.draw_choices`, and of :mod:`polaris_lab.clouds.copula`."""


@dataclasses.dataclass(frozen=True)
class CloudGroup:
    """Clouds of one kind.

    Parameters
    ----------
    kind : {"suite", "copula"}
        "suite": of ten clouds seven flows and three random fields, their Mach number, PDF, tail and spectrum drawn;
        "copula": random fields with ridges.
    size : int
        Cells along each side of a box.
    training, validation : int
        How many; no cloud is in both.
    """

    kind: str
    size: int
    training: int
    validation: int

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: unknown name {self.kind!r}: {did_you_mean(self.kind, KINDS)}")
        if self.size < 16 or self.size % 2:
            raise ValueError(f"size: expected an even number of cells from 16 up, got {self.size}")
        if min(self.training, self.validation) < 1:
            raise ValueError(
                f"training, validation: expected at least one cloud of each, got {self.training}, {self.validation}"
            )


@dataclasses.dataclass(frozen=True)
class CloudChoices:
    """The gas of a recipe.

    Parameters
    ----------
    seed : int
        Names the clouds; others than those of benchmarks and of the project's suite, whose seed is 0.
    groups : tuple of CloudGroup
    cores_per_128 : int
        Cores added to a box of 128^3 cells in its second version, in proportion to its face; half of them where it is diffuse.
    """

    seed: int
    groups: tuple[CloudGroup, ...]
    cores_per_128: int = 12

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", tuple(self.groups))
        if not self.groups:
            raise ValueError("groups: expected at least one group of clouds, got none")


@dataclasses.dataclass(frozen=True)
class PatchChoices:
    """What a network is shown of the gas.

    Parameters
    ----------
    seed : int
    size : int
        Side of a patch [pixels].
    training, validation : int
        How many.
    pixel_size_pc : float
        What a pixel is called in the dataset. Lengths are counted in pixels: n falls as 1/length where columns are kept,
        so a patch of any pixel size is brought to this one exactly.
    pixel_range_pc : (float, float)
        Pixels of maps that the network may be given as they are.
    resolved_pc : (float, float)
        Of these, those at which gas of the generators was seen; outside, the symmetry of lengths is all there is.
    widest_beam_pixels : float
        Full width at half maximum of the widest beam.
    largest_noise, largest_zero_level : float
        Noise as a fraction of N, and offset as a fraction of the median.
    clean : float
        Share of the patches with neither beam, noise nor offset.
    cored : float
        Share of the patches cut from boxes with cores.
    told : float
        Share of the patches whose depth, and whose pixel size, is told. (A beam is told wherever there is one.)
    """

    seed: int
    size: int
    training: int
    validation: int
    pixel_size_pc: float = 0.05
    pixel_range_pc: tuple[float, float] = (0.01, 0.2)
    resolved_pc: tuple[float, float] = (0.05, 0.2)
    widest_beam_pixels: float = 4.0
    largest_noise: float = 0.12
    largest_zero_level: float = 0.2
    clean: float = 0.4
    cored: float = 0.5
    told: float = 1.0

    def __post_init__(self) -> None:
        for name in ("pixel_range_pc", "resolved_pc"):
            low, high = getattr(self, name)
            object.__setattr__(self, name, (float(low), float(high)))
            if not 0 < low <= self.pixel_size_pc <= high:
                raise ValueError(
                    f"{name}: expected a range that holds {self.pixel_size_pc} pc, got {low}-{high}"
                )
        for name in ("clean", "cored", "told", "largest_noise", "largest_zero_level"):
            if not 0 <= getattr(self, name) < 1 + 1e-9:
                raise ValueError(f"{name}: expected a share from 0 to 1, got {getattr(self, name)}")
        if self.size < 16 or min(self.training, self.validation) < 1:
            raise ValueError(
                f"patches: expected a side of 16 pixels or more and some of each kind, got {self.size}, {self.training}, "
                f"{self.validation}"
            )


@dataclasses.dataclass(frozen=True)
class Refinement:
    """A second training, on other patches of the same clouds, that begins with the weights of the first.

    Parameters
    ----------
    patches : PatchChoices
    training : dict
        Fields of :class:`~polaris_lab.training.settings.TrainingConfig`.
    """

    patches: PatchChoices
    training: dict


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a pretrained network is made.

    Parameters
    ----------
    name : str
    description : str
        One sentence.
    clouds : CloudChoices
    patches : PatchChoices
    preset : dict
        "name" of a blueprint's preset, and its settings.
    training : dict
        Fields of :class:`~polaris_lab.training.settings.TrainingConfig`.
    refinement : Refinement, optional
        Its patches are those that the network is validated and calibrated on.
    """

    name: str
    description: str
    clouds: CloudChoices
    patches: PatchChoices
    preset: dict
    training: dict
    refinement: Refinement | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.preset.get("name"), str):
            raise ValueError(f"preset: expected the key 'name', such as \"unet\", got {sorted(self.preset)}")
        self.stages  # noqa: B018 (refuses a wrong field now, not after the clouds)

    @property
    def stages(self) -> list[tuple[PatchChoices, TrainingConfig]]:
        """What the network is shown and how it is trained, one stage after the other."""
        stages = [(self.patches, self.training)]
        if self.refinement is not None:
            stages.append((self.refinement.patches, self.refinement.training))
        return [
            (patches, from_dict(TrainingConfig, training, where=f"{self.name}.training"))
            for patches, training in stages
        ]

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with anything in it."""
        return fingerprint(to_dict(self))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
        """Build it from JSON values; errors name the key."""
        values = dict(data)
        check_schema(values.pop("schema", None), where)
        return from_dict(cls, values, where=where)


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes that are shipped.

    Examples
    --------
    >>> "default" in recipe_names()
    True
    """
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


def load_recipe(recipe: str | Path) -> Recipe:
    """Read a recipe by its name, or from a JSON file.

    Raises
    ------
    ValueError
        If there is no recipe of that name, or the file is wrong: the error names the key.
    """
    path = Path(recipe)
    if path.suffix != ".json":
        names = recipe_names()
        if str(recipe) not in names:
            raise ValueError(f"recipe: unknown name {str(recipe)!r}: {did_you_mean(str(recipe), names)}")
        path = FOLDER / f"{recipe}.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected the JSON file of a recipe, got nothing there")
    return Recipe.from_dict(read_json(path), where=str(path))
