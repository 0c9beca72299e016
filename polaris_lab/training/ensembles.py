"""Several runs that differ in their seed, used as one network: its mean, and how far its members disagree."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from polaris_lab.config import SCHEMA, check_schema, read_json, write_json
from polaris_lab.models.heads import GaussianHead, Head
from polaris_lab.training.symmetric import Symmetric, gaussian_mixture

if TYPE_CHECKING:
    from polaris_lab.datasets import PatchDataset
    from polaris_lab.models import Blueprint
    from polaris_lab.training.run import Run
    from polaris_lab.training.settings import TrainingConfig

DESCRIPTION = "ensemble.json"


class EnsembleModel(nn.Module):
    """Networks of one blueprint as one, whose answer is a Gaussian.

    Its mean is the mean of the members' values. Its variance is the variance between the members, plus the mean of
    their own variances where they have any (law of total variance).

    Parameters
    ----------
    members : sequence of BlueprintModel
        Two or more.

    Raises
    ------
    ValueError
        If there are fewer than two, or they have several outputs.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        if len(members) < 2:
            raise ValueError(f"members: expected two networks or more, got {len(members)}")
        self.members = nn.ModuleList(members)
        first = members[0]
        if len(first.heads) > 1:
            raise ValueError(f"members: expected networks with one output, got {list(first.heads)}")
        self.blueprint, self.channels = first.blueprint, first.channels
        self.receptive_margin, self.stride = first.receptive_margin, first.stride
        self.heads: dict[str, Head] = {first.blueprint.output: GaussianHead()}

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return mean and ln of the standard deviation of log10 of the target, (N, 2, H, W)."""
        return gaussian_mixture(*self.moments(inputs))

    def moments(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return value and own variance (0 for networks without) of each member, (members, N, 1, H, W)."""
        import torch

        means, variances = [], []
        for member in self.members:
            raw, head = member(inputs), next(iter(member.heads.values()))
            sigma = head.sigma(raw)
            means.append(member.point(raw))
            variances.append(torch.zeros_like(means[-1]) if sigma is None else sigma**2)
        return torch.stack(means), torch.stack(variances)

    def point(self, raw: Tensor, output: str | None = None) -> Tensor:
        """Return the mean (N, 1, H, W)."""
        return self.heads[output or self.blueprint.output].point(raw)


@dataclasses.dataclass(frozen=True)
class EnsemblePrediction:
    """What an ensemble says of patches.

    Attributes
    ----------
    density : ndarray (patches, y, x), float32
        10 to the mean of the members' log10 [cm^-3].
    sigma_dex : ndarray (patches, y, x), float32
        Standard deviation of log10: between the members, and within them where they know it.
    target : ndarray (patches, y, x), float32
        The truth [cm^-3].
    """

    density: np.ndarray
    sigma_dex: np.ndarray
    target: np.ndarray


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Runs of one blueprint on one dataset that differ in their seed, in one folder.

    Attributes
    ----------
    path : Path
        The folder: ``ensemble.json``, and a run ``seed_N`` for each seed.
    runs : tuple of Run
    """

    path: Path
    runs: tuple[Run, ...]

    @classmethod
    def create(
        cls,
        path: str | Path,
        blueprint: Blueprint,
        dataset: PatchDataset,
        config: TrainingConfig | None = None,
        *,
        seeds: Sequence[int] = (0, 1, 2),
    ) -> Ensemble:
        """Make the runs of an ensemble; if its making was cut off, make those that lack.

        Parameters
        ----------
        path, blueprint, dataset, config
            As for :meth:`polaris_lab.training.Run.create`.
        seeds : sequence of int
            Two or more, all different.

        Raises
        ------
        FileExistsError
            If something else stands at `path`, or a run of other choices in it.
        ValueError
            If there are fewer than two seeds, or two are equal.
        """
        from polaris_lab.training.run import Run
        from polaris_lab.training.settings import TrainingConfig

        path, config = Path(path), TrainingConfig() if config is None else config
        seeds = [int(seed) for seed in seeds]
        if len(seeds) < 2 or len(set(seeds)) < len(seeds):
            raise ValueError(f"seeds: expected two or more that differ, got {seeds}")
        if (path.exists() and not (path / DESCRIPTION).exists()) and (path.is_file() or any(path.iterdir())):
            raise FileExistsError(
                f"{path}: expected a free path, got something that is no ensemble; choose another"
            )
        members = [f"seed_{seed}" for seed in seeds]
        if (path / DESCRIPTION).exists() and _members(path) != members:
            raise FileExistsError(
                f"{path}: expected an ensemble of {members}, got one of {_members(path)}; open it with Ensemble.open, or "
                "choose another path"
            )
        write_json(path / DESCRIPTION, {"schema": SCHEMA, "members": members})
        for seed, name in zip(seeds, members, strict=True):
            wanted = dataclasses.replace(config, seed=seed)
            if not (path / name).exists():
                Run.create(path / name, blueprint, dataset, wanted)
            found = Run.open(path / name)
            if found.blueprint != blueprint or found.dataset_fingerprint != dataset.fingerprint or (
                dataclasses.replace(found.config, precision=wanted.precision) != wanted
            ):  # fmt: skip
                raise FileExistsError(
                    f"{path / name}: expected no run, or one of these choices, got another; choose another path"
                )
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> Ensemble:
        """Open an ensemble.

        Raises
        ------
        FileNotFoundError
            If there is none, or one of its runs is missing.
        ValueError
            If a file is damaged.
        """
        from polaris_lab.training.run import Run

        path = Path(path)
        if not (path / DESCRIPTION).exists():
            raise FileNotFoundError(
                f"{path}: expected an ensemble, got nothing of the kind; make one with Ensemble.create"
            )
        return cls(path, tuple(Run.open(path / name) for name in _members(path)))

    @property
    def state(self) -> str:
        """What it is doing: "finished" when all runs are, else the state of the first that is not."""
        return next((run.state for run in self.runs if run.state != "finished"), "finished")

    def train(self, *, progress: bool = True) -> Ensemble:
        """Train every run that is not finished to its end, one after the other; call it again to go on.

        Raises
        ------
        RunInUseError, DivergedError, FileNotFoundError, ValueError
            As :meth:`polaris_lab.training.Run.train`.
        """
        for run in self.runs:
            if run.state != "finished":
                run.train(progress=progress)
        return self

    def model(self) -> EnsembleModel:
        """Return the networks with the weights of their best epochs, as one, in evaluation mode."""
        return EnsembleModel([run.model() for run in self.runs]).eval()

    def predict(
        self, dataset: PatchDataset | None = None, *, split: str = "validation", symmetric: bool = False
    ) -> EnsemblePrediction:
        """Predict patches of a dataset.

        Parameters
        ----------
        dataset : PatchDataset, optional
            By default that of the runs.
        split : str
            Which patches.
        symmetric : bool
            Average over the eight symmetries too.
        """
        from polaris_lab.training.validation import raw_answers

        network: nn.Module = self.model()
        network = Symmetric(network).eval() if symmetric else network
        first = self.runs[0]
        dataset = first.dataset() if dataset is None else dataset
        raw = raw_answers(network, dataset, split, batch_size=first.config.batch_size)  # (n, 2, y, x)
        head = GaussianHead()
        return EnsemblePrediction(
            density=(10 ** head.point(raw).double())[:, 0].float().numpy(),
            sigma_dex=head.sigma(raw)[:, 0].numpy(),
            target=dataset.read(first.target, dataset.indices(split)),
        )

    def __repr__(self) -> str:
        """Say how many runs of what."""
        names = ", ".join(run.name for run in self.runs)
        return f"Ensemble({len(self.runs)} of {self.runs[0].blueprint.name}: {names}; {self.state})"


def _members(path: Path) -> list[str]:
    data = read_json(path / DESCRIPTION)
    check_schema(data.get("schema"), str(path / DESCRIPTION))
    return list(data["members"])
