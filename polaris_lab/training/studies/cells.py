"""The cells of a study: which networks are trained on which patches, and how each is judged."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from polaris_lab.config import canonical_json, did_you_mean, fingerprint, from_dict, to_dict
from polaris_lab.training.settings import TrainingConfig

if TYPE_CHECKING:
    from polaris_lab.models import Blueprint

TRAINING, SETTINGS = "training.", "settings."


@dataclasses.dataclass(frozen=True)
class Cell:
    """One entry of a study: a run, and a judgement of it.

    Attributes
    ----------
    settings : dict
        What is varied, by name: JSON values.
    seed : int
        Of the training.
    run : str
        Folder of the run in that of the study. Cells may share a run and judge it differently.
    blueprint, training : dict
        What is trained, and how.
    training_dataset : str
        Where its patches are, seen from the folder of the study ("" for those of the study).
    judged_on : str
        Dataset whose validation patches judge the run ("" for those it was validated with).
    method : str
        "validation": as the run validates; "apply": to `judged_on` as it is; "downsample": to `judged_on` at the pixels
        of the run.
    """

    settings: dict
    seed: int
    run: str
    blueprint: dict
    training: dict
    training_dataset: str = ""
    judged_on: str = ""
    method: str = "validation"

    @property
    def key(self) -> str:
        """What it is, as one text: its settings and its seed."""
        return key_of(self.settings, self.seed)


def key_of(settings: Mapping[str, Any], seed: int) -> str:
    """Return settings and a seed as one text."""
    return canonical_json({"settings": dict(settings), "seed": seed})


def grid(varied: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return every combination of the values of some names, the last name changing fastest.

    Raises
    ------
    TypeError, ValueError
        If a name has no list of values, an empty one, or one value twice.

    Examples
    --------
    >>> grid({"layers": (1, 2), "base_filters": (4,)})
    [{'layers': 1, 'base_filters': 4}, {'layers': 2, 'base_filters': 4}]
    """
    if not varied:
        raise ValueError("varied: expected a setting with its values, such as layers=(2, 3), got none")
    values = {name: checked_values(name, given) for name, given in varied.items()}
    return [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]


def checked_values(name: str, values: Any) -> list[Any]:
    """Return the values of one name as a list of JSON values, refusing none and doubles."""
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"{name}: expected a list of values, such as (2, 3), got {values!r}")
    plain = [json_value(name, value) for value in values]
    if not plain:
        raise ValueError(f"{name}: expected one value or more, got an empty list: there is nothing to run")
    if len({canonical_json(value) for value in plain}) < len(plain):
        raise ValueError(f"{name}: expected values that differ, got {plain}")
    return plain


def json_value(name: str, value: Any) -> Any:
    """Return a value as JSON has it: numpy numbers as Python's, tuples as lists."""
    if hasattr(value, "item") and not isinstance(value, list | tuple):
        value = value.item()
    if isinstance(value, list | tuple):
        return [json_value(name, entry) for entry in value]
    if value is not None and not isinstance(value, bool | int | float | str | Mapping):
        raise TypeError(f"{name}: expected values that JSON knows, got {value!r}")
    return value


def checked_seeds(seeds: Sequence[int] | None, training: TrainingConfig) -> list[int]:
    """Return the seeds of a study, by default that of the training.

    Raises
    ------
    TypeError, ValueError
        If they are no whole numbers from 0, none, or two are equal.
    """
    if seeds is None:
        return [training.seed]
    values = checked_values("seeds", seeds)
    for seed in values:
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise ValueError(f"seeds: expected whole numbers, 0 or more, got {seed!r}")
    return values


def split_names(preset: str, names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return for each dotted name whether it belongs to the "training" or the "settings" of a preset, and its field.

    Raises
    ------
    ValueError
        If a name is neither a field of TrainingConfig ("training.learning_rate") nor a setting of the preset
        ("layers", or "settings.layers").
    """
    import inspect

    from polaris_lab.models.presets import preset_function

    fields = [field.name for field in dataclasses.fields(TrainingConfig) if field.name != "seed"]
    known = list(inspect.signature(preset_function(preset)).parameters)
    found = {}
    for name in names:
        if name == "training.seed":
            raise ValueError("training.seed: expected the seeds as seeds=(0, 1, 2), got them as a setting")
        part, field = ("training", name.removeprefix(TRAINING)) if name.startswith(TRAINING) else (
            "settings", name.removeprefix(SETTINGS)
        )  # fmt: skip
        if field not in (fields if part == "training" else known):
            offered = known + [TRAINING + entry for entry in fields]
            raise ValueError(f"preset {preset!r}: unknown setting {name!r}: {did_you_mean(name, offered)}")
        found[name] = (part, field)
    return found


def chosen(
    preset: str, base: Mapping[str, Any], training: TrainingConfig, settings: Mapping[str, Any], seed: int
) -> tuple[Blueprint, TrainingConfig]:
    """Return the blueprint and the training of one combination of dotted settings.

    Raises
    ------
    TypeError, ValueError
        If a name is unknown or a value of the wrong type or out of range: the error says of which cell.
    """
    from polaris_lab.models import Blueprint

    parts: dict[str, dict[str, Any]] = {
        "settings": dict(base),
        "training": {**to_dict(training), "seed": seed},
    }
    for name, (part, field) in split_names(preset, settings).items():
        parts[part][field] = settings[name]
    try:
        return Blueprint.preset(preset, **parts["settings"]), from_dict(
            TrainingConfig, parts["training"], where="training"
        )
    except (TypeError, ValueError) as error:
        where = ", ".join(f"{name}={value!r}" for name, value in settings.items())
        raise type(error)(f"cell {where or preset}: {error}") from error


def run_name(settings: Mapping[str, Any], seed: int) -> str:
    """Return the folder of a run: what is varied, in words that a file system takes, and the seed.

    Examples
    --------
    >>> run_name({"layers": 2, "training.learning_rate": 0.001}, 0)
    'layers_2-learning_rate_0.001-seed_0'
    """
    words = [f"{name.rpartition('.')[2]}_{label(value)}" for name, value in settings.items()]
    text = "-".join([*words, f"seed_{seed}"])
    plain = "".join(sign if sign.isalnum() or sign in "._-+" else "_" for sign in text)
    if plain == text and len(plain) <= 100:
        return plain
    return f"{plain[:80]}-{fingerprint({'settings': dict(settings), 'seed': seed})[:8]}"


def label(value: Any) -> Any:
    """Return a value as an entry of a table: lists as text."""
    if isinstance(value, list | tuple):
        return "-".join(str(label(entry)) for entry in value)
    return value if isinstance(value, int | float | str) and not isinstance(value, bool) else str(value)


def check_cells(cells: Sequence[Cell], datasets: Mapping[str, Any]) -> None:
    """Refuse before anything is trained what could not be: shapes, names, batches.

    Raises
    ------
    ValueError
        If a network does not fit the patches, the dataset lacks something, or a batch is larger than the
        training set: the error says of which cell.
    """
    from polaris_lab.models import Blueprint, check_shapes
    from polaris_lab.training.batches import check_names, split_rows
    from polaris_lab.training.loop import check_batch_size

    seen = set()
    for cell in cells:
        what = canonical_json([cell.blueprint, {**cell.training, "seed": 0}, cell.training_dataset])
        if what in seen:
            continue
        seen.add(what)
        dataset = datasets[cell.training_dataset]
        blueprint = Blueprint.from_dict(cell.blueprint)
        try:
            check_names(dataset, blueprint.inputs, blueprint.outputs)
            rows = [split_rows(dataset, split) for split in ("training", "validation")]
            check_batch_size(TrainingConfig(**cell.training), rows[0])
            check_shapes(blueprint, (dataset.patch_size, dataset.patch_size))
        except ValueError as error:
            where = ", ".join(f"{name}={value!r}" for name, value in cell.settings.items())
            raise ValueError(f"cell {where}: {error}") from error
