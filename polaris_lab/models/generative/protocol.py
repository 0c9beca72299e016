"""What every generative block has in common: it learns a distribution of maps, and draws from it.

A generative block is the last of its blueprint, but for those that take one output each of what it draws. Its inputs are
a baseline (log10 of the target, a first guess; one for all channels, or one for each) and one or more images (the
condition). It models y = (target - baseline - offset) / scale, whose constants are fitted to the training pixels: with a
baseline and a condition that follow N -> lambda N, so do its samples. Where a channel cannot lie below another, target
and baseline are first made free numbers (:mod:`polaris_lab.models.generative.ordered`).
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from polaris_lab.config import did_you_mean
from polaris_lab.models.fitting import mean_and_deviation
from polaris_lab.models.generative.ordered import check_order, check_targets_rise, from_free, to_free

Field = Callable[[Tensor, float], Tensor]
"""The network with its condition in place: from a map (N, C, H, W) and a time in 0..1 to an answer of the same shape."""

STANDARDIZE = ("deviation", "range")


class Generative(nn.Module, abc.ABC):
    """A block that answers with samples. Subclasses say what is learnt, and how noise becomes a sample.

    Parameters
    ----------
    in_channels : int
        Channels of the condition.
    channels : int
        Channels C of the target.
    standardize : {"deviation", "range"}
        What is learnt is the residual about the baseline, for each channel in units of its standard deviation; or of
        its range over the training pixels, so that it lies in -1..1 (Xu et al. 2023).
    above : tuple of int
        For each channel the number of an earlier one that it is not below in any sample, as n_max is not below <n>_M;
        -1 for none. () if there is no order.

    Attributes
    ----------
    default_steps : int
        Evaluations of the network for one sample, unless told otherwise.
    validation_steps : int
        Those for the samples of which every epoch reports the accuracy.
    local : bool
        Whether the network looks no further than its `receptive_margin`.
    offset, scale : Tensor (C,)
        Fitted constants [dex].
    extent : Tensor ()
        Largest absolute value of y over the training pixels.
    """

    default_steps: int = 8
    validation_steps: int = 2
    local: bool = True
    offset: Tensor
    scale: Tensor
    extent: Tensor

    def __init__(
        self,
        in_channels: int = 1,
        channels: int = 1,
        standardize: str = "deviation",
        above: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        for name, count in (("in_channels", in_channels), ("channels", channels)):
            if count < 1:
                raise ValueError(f"{name}: expected a whole number of at least 1, got {count}")
        if standardize not in STANDARDIZE:
            raise ValueError(
                f"standardize: unknown name {standardize!r}: {did_you_mean(standardize, STANDARDIZE)}"
            )
        self.channels, self.standardize = channels, standardize
        self.above = check_order(above, channels)
        self.register_buffer("offset", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))
        self.register_buffer("extent", torch.tensor(1.0))

    # -- what a subclass says --------------------------------------------------------------------------

    @abc.abstractmethod
    def loss(self, y: Tensor, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return the loss of every pixel (N, C or 1, H, W) for a standardised target (N, C, H, W)."""

    @abc.abstractmethod
    def evaluate(self, x: Tensor, time: float, image: Tensor) -> Tensor:
        """Return what the network says of a map (N, C, H, W) at a time in 0..1, given the condition."""

    @abc.abstractmethod
    def generate(self, field: Field, noise: Tensor, steps: int, generator: torch.Generator | None) -> Tensor:
        """Return samples of y (N, C, H, W) for Gaussian noise of that shape; it may ask `field` at each step."""

    @abc.abstractmethod
    def centre(self, image: Tensor) -> Tensor:
        """Return one answer without noise: a central value of y (N, C, H, W)."""

    def check_available(self) -> None:
        """Refuse to work where a library that it needs is missing."""

    # -- what all of them do ---------------------------------------------------------------------------

    def forward(self, baseline: Tensor, image: Tensor, *others: Tensor) -> Tensor:
        """Return a central value of the target (N, C, H, W), without drawing; NaN where the baseline is."""
        return self.restore(self.centre(self.picture([image, *others])), baseline)  # (N, C, H, W)

    @torch.no_grad()
    def fit(self, baseline: Tensor, *, target: Tensor) -> None:
        """Take offset and scale of target - baseline, in float64."""
        self.check_available()
        if target.shape[1] != self.channels:
            raise ValueError(
                f"expected a target of {self.channels} channels, got {target.shape[1]}; set channels={target.shape[1]}"
            )
        check_targets_rise(target, self.above)
        extent = 0.0
        free = to_free(target, self.above)  # (N, C, H, W)
        guess = self._free_baseline(baseline)  # (N, 1 or C, H, W)
        for channel in range(self.channels):
            own = channel if guess.shape[1] == self.channels else 0
            residual = free[:, [channel]] - guess[:, [own]]  # (N, 1, H, W)
            offset, scale = mean_and_deviation(residual)
            finite = residual[torch.isfinite(residual)]
            low, high = float(finite.min()), float(finite.max())
            if self.standardize == "range":
                offset, scale = 0.5 * (low + high), 0.5 * (high - low)
            scale = scale if scale > 1e-12 else 1.0
            self.offset[channel], self.scale[channel] = offset, scale
            extent = max(extent, (high - offset) / scale, (offset - low) / scale)
        self.extent.fill_(max(extent, 1e-6))

    def training_loss(
        self, condition: Sequence[Tensor], target: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return the mean loss over the valid pixels of each image (N,).

        Parameters
        ----------
        condition : sequence of Tensor
            The inputs of the node: the baseline (N, 1 or C, H, W), and one or more images.
        target : Tensor, shape (N, C, H, W)
            log10; pixels where it or the baseline is NaN have no weight.
        generator : torch.Generator
            On the CPU, whatever the device of the maps: noise and times come from it.
        """
        baseline, *images = condition
        residual = to_free(target, self.above) - self._free_baseline(baseline)  # (N, C, H, W)
        y = (residual - self.offset[:, None, None]) / self.scale[:, None, None]  # (N, C, H, W)
        valid = torch.isfinite(y).all(dim=1, keepdim=True)  # (N, 1, H, W)
        loss = self.loss(torch.where(valid, y, 0.0), self.picture(images), generator)  # (N, C or 1, H, W)
        loss = torch.where(valid, loss, 0.0).float().mean(dim=1)  # (N, H, W)
        return loss.flatten(1).sum(dim=1) / valid.flatten(1).sum(dim=1).clamp(min=1)  # (N,)

    @torch.no_grad()
    def sample(
        self,
        condition: Sequence[Tensor],
        *,
        samples: int,
        steps: int | None = None,
        generator: torch.Generator,
    ) -> Tensor:
        """Draw maps of log10 of the target (samples, N, C, H, W), NaN where the baseline is.

        Parameters
        ----------
        condition, generator
            As for :meth:`training_loss`.
        samples : int
            Maps to draw for each image.
        steps : int, optional
            Evaluations of the network for each; :attr:`default_steps` by default.
        """
        samples, steps = checked_count("samples", samples), self.checked_steps(steps)
        baseline, *images = condition
        image = self.picture(images).repeat(samples, 1, 1, 1)  # (samples N, F, H, W)
        shape = (len(image), self.channels, *image.shape[-2:])
        noise = normal(shape, generator, image)  # (samples N, C, H, W)
        y = self.generate(lambda x, time: self.evaluate(x, time, image), noise, steps, generator)
        return self.restore(y.unflatten(0, (samples, -1)), baseline)  # (samples, N, C, H, W)

    def picture(self, images: Sequence[Tensor]) -> Tensor:
        """Return the condition as one image; what is not known is 0, the neutral value."""
        size = tuple(torch.broadcast_shapes(*(image.shape[-2:] for image in images)))
        image = torch.cat([image.expand(*image.shape[:2], *size) for image in images], dim=1)  # (N, F, H, W)
        return torch.where(torch.isfinite(image), image, 0.0)  # (N, F, H, W)

    def restore(self, y: Tensor, baseline: Tensor) -> Tensor:
        """Return log10 of the target for its standardised residual."""
        shift = self.offset[:, None, None] + self.scale[:, None, None] * y  # (..., C, H, W)
        return from_free(self._free_baseline(baseline) + shift, self.above)  # (..., C, H, W)

    def _free_baseline(self, baseline: Tensor) -> Tensor:
        """Return a baseline (..., 1 or C, H, W) in the free numbers of the channels, all of them where there is an order."""
        if not self.above:
            return baseline
        shape = (*baseline.shape[:-3], self.channels, *baseline.shape[-2:])
        return to_free(baseline.expand(shape), self.above)  # (..., C, H, W)

    def checked_steps(self, steps: int | None) -> int:
        """Return the number of steps; refuse what is no whole number of at least 1."""
        return self.default_steps if steps is None else checked_count("steps", steps)


def checked_count(name: str, value: int) -> int:
    """Return a count of at least 1.

    Examples
    --------
    >>> checked_count("samples", 0)
    Traceback (most recent call last):
    ValueError: samples: expected a whole number of at least 1, got 0
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: expected a whole number of at least 1, got {value!r}")
    return value


def normal(shape: Sequence[int], generator: torch.Generator | None, like: Tensor) -> Tensor:
    """Return Gaussian noise from a generator on the CPU, where and as precise as `like`: the same on every device."""
    return torch.randn(tuple(shape), generator=generator).to(like)


def uniform(count: int, generator: torch.Generator) -> Tensor:
    """Return `count` times in 0..1, one in each part of equal length, in random order: less noise in the loss.

    Examples
    --------
    >>> times = uniform(4, torch.Generator().manual_seed(0))
    >>> (times * 4).long().sort().values
    tensor([0, 1, 2, 3])
    """
    order = torch.randperm(count, generator=generator)
    return (order + torch.rand(count, generator=generator)) / count  # (count,)


@contextlib.contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Hold a model in evaluation mode."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
