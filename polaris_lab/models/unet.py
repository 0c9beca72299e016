"""The U-Net of the report, as an ordinary PyTorch module.

Encoder blocks of `base_filters` * 2^i channels, each followed by a 2x2 maximum pooling; a bottleneck; decoder
steps of a transposed convolution, an attention gate on the skip connection, concatenation and a block; a 1x1
convolution at the end. Any image size works. What differs from the report's code: padding by reflection in
place of zeros (zeros bias the edges of a patch), and no dropout unless asked for.

References
----------
Report, section 1.1; Ronneberger et al. 2015 (arXiv 1505.04597); attention gate: Oktay et al. 2018
(arXiv 1804.03999), here with the upsampled decoder features as the gating signal, as in the report's code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from polaris_lab.models.registry import register_block


class NormalizedConvolution(nn.Module):
    """A convolution, padded by reflection, and batch normalisation of its output.

    In evaluation the normalisation is a fixed linear map: it is folded into the weights of the convolution,
    which saves a pass over the features (a fifth of the time of the whole network).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, out_channels, kernel_size)
        self.normalization = nn.BatchNorm2d(out_channels)
        self.padding = (kernel_size // 2,) * 4

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the height and width of the input."""
        if self.padding[0]:
            x = functional.pad(x, self.padding, mode="reflect")  # (N, in_channels, H + k - 1, W + k - 1)
        if self.training:
            return self.normalization(self.convolution(x))  # (N, out_channels, H, W)
        norm = self.normalization
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)  # (out_channels,)
        weight = self.convolution.weight * scale[:, None, None, None]  # (out_channels, in_channels, k, k)
        bias = (self.convolution.bias - norm.running_mean) * scale + norm.bias  # (out_channels,)
        return functional.conv2d(x, weight, bias)  # (N, out_channels, H, W)


class ConvolutionBlock(nn.Sequential):
    """`convolutions` times (3x3 convolution, batch normalisation, ReLU), then dropout of whole channels."""

    def __init__(self, in_channels: int, out_channels: int, *, convolutions: int, dropout: float) -> None:
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: expected a probability from 0 to below 1, got {dropout}")
        steps: list[nn.Module] = []
        for step in range(convolutions):
            channels = in_channels if step == 0 else out_channels
            steps += [NormalizedConvolution(channels, out_channels, 3), nn.ReLU(inplace=True)]
        if dropout > 0:
            steps.append(nn.Dropout2d(dropout))
        super().__init__(*steps)


class AttentionGate(nn.Module):
    """Weigh the skip connection, pixel by pixel, by what the decoder sees.

    alpha = sigmoid(BN(psi(ReLU(BN(W_g g) + BN(W_x x))))), all convolutions 1x1, half the channels inside;
    the output is alpha x.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels // 2, 1)
        self.gate = NormalizedConvolution(channels, inner, 1)
        self.skip = NormalizedConvolution(channels, inner, 1)
        self.weight = NormalizedConvolution(inner, 1, 1)

    def forward(self, gate: Tensor, skip: Tensor) -> Tensor:
        """Return the skip features weighed between 0 and 1."""
        both = functional.relu(self.gate(gate) + self.skip(skip), inplace=True)  # (N, C/2, H, W)
        return torch.sigmoid(self.weight(both)) * skip  # (N, C, H, W)


@register_block("unet")
class UNet(nn.Module):
    """Map images to images of the same size, seeing structures from 1 to 2^layers pixels.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    layers : int
        Number of poolings; the deepest features are 2^layers times coarser than the image.
    base_filters : int
        Channels of the first block; each layer doubles them.
    attention : bool
        Gate the skip connections.
    convolutions : int
        3x3 convolutions in a block, 1 or 2.
    dropout : float
        Probability with which a channel is dropped after each block, in training.

    Attributes
    ----------
    stride : int
        2^layers.
    receptive_margin : int
        Pixels further than this from an output pixel have no influence on it.

    Examples
    --------
    >>> import torch
    >>> unet = UNet(layers=2, base_filters=4)
    >>> unet(torch.zeros(1, 1, 50, 37)).shape
    torch.Size([1, 1, 50, 37])
    >>> sum(p.numel() for p in UNet(layers=3, base_filters=16, convolutions=2).parameters())
    488930
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        layers: int = 4,
        base_filters: int = 64,
        attention: bool = True,
        convolutions: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels),
                            ("layers", layers), ("base_filters", base_filters)):  # fmt: skip
            if value < 1:
                raise ValueError(f"{name}: expected a whole number of at least 1, got {value}")
        if layers > 10:
            raise ValueError(f"layers: expected at most 10 (2^10 pixels), got {layers}; 3 to 5 are usual")
        if convolutions not in (1, 2):
            raise ValueError(f"convolutions: expected 1 or 2 per block, got {convolutions}")
        self.in_channels = in_channels
        self.layers = layers
        self.convolutions = convolutions
        widths = [base_filters * 2**level for level in range(layers + 1)]
        choices = {"convolutions": convolutions, "dropout": dropout}
        self.encoder = nn.ModuleList(
            ConvolutionBlock(before, width, **choices)
            for before, width in zip([in_channels, *widths], widths[:-1], strict=False)
        )
        self.bottleneck = ConvolutionBlock(widths[-2], widths[-1], **choices)
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(2 * w, w, kernel_size=2, stride=2) for w in widths[:-1]
        )
        self.gates = nn.ModuleList(AttentionGate(w) for w in widths[:-1]) if attention else None
        self.decoder = nn.ModuleList(ConvolutionBlock(2 * w, w, **choices) for w in widths[:-1])
        self.last = nn.Conv2d(base_filters, out_channels, kernel_size=1)
        self.stride = 2**layers
        self.receptive_margin = receptive_margin(layers, convolutions)
        self.apply(_initialise)
        with torch.no_grad():  # an untrained network corrects little, but every parameter gets a gradient
            self.last.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output (N, out_channels, H, W) for an image (N, in_channels, H, W)."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"unet needs {self.in_channels} input channels, got {tuple(x.shape[1:])} (channels, height, width)"
            )
        height, width = x.shape[-2:]
        x = pad_to_multiple(x, self.stride)  # (N, in_channels, H', W')
        skips = []
        for block in self.encoder:
            x = block(x)  # (N, b 2^i, H'/2^i, W'/2^i)
            skips.append(x)
            x = functional.max_pool2d(x, 2)  # (N, b 2^i, H'/2^(i+1), W'/2^(i+1))
        x = self.bottleneck(x)  # (N, b 2^layers, H'/2^layers, W'/2^layers)
        for level in reversed(range(self.layers)):
            x = self.upsample[level](x)  # (N, b 2^i, H'/2^i, W'/2^i)
            skip = skips.pop() if self.gates is None else self.gates[level](x, skips.pop())
            x = self.decoder[level](torch.cat([skip, x], dim=1))  # (N, b 2^i, H'/2^i, W'/2^i)
        return self.last(x)[..., :height, :width]  # (N, out_channels, H, W)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Reflect an image at its lower and right edge up to a multiple, at least twice it, of `multiple`.

    The deepest level then has at least 2 pixels, which reflection there needs. An image smaller than the
    padding is reflected to and fro.

    Examples
    --------
    >>> import torch
    >>> pad_to_multiple(torch.arange(3.0).reshape(1, 1, 1, 3), 4)[0, 0, 0]
    tensor([0., 1., 2., 1., 0., 1., 2., 1.])
    """
    for dimension in (-2, -1):
        size = x.shape[dimension]
        wanted = max(-(-size // multiple), 2) * multiple
        if wanted == size:
            continue
        period = max(2 * (size - 1), 1)
        index = torch.arange(wanted, device=x.device) % period
        x = x.index_select(dimension, torch.minimum(index, period - index) if size > 1 else index)
    return x  # (N, C, H', W')


def receptive_margin(layers: int, convolutions: int) -> int:
    """Return how far, in pixels, an input pixel of a U-Net can be from the output pixel it changes.

    The interval that an output pixel depends on is followed back through decoder, skip connections and
    encoder, for each position of the pixel on the grid of the deepest level.

    Examples
    --------
    >>> receptive_margin(layers=1, convolutions=1)
    5
    """

    def needed(first: int, last: int, level: int) -> tuple[int, int]:
        """Return the interval of the input of `level`'s encoder block that its decoder's output needs."""
        first, last = first - convolutions, last + convolutions  # the decoder's block, or the bottleneck
        if level == layers:
            return first, last
        below_first, below_last = needed(first // 2, last // 2, level + 1)
        first, last = min(first, 2 * below_first), max(last, 2 * below_last + 1)  # with the skip connection
        return first - convolutions, last + convolutions

    intervals = [(pixel, *needed(pixel, pixel, 0)) for pixel in range(2**layers)]
    return max(max(pixel - first, last - pixel) for pixel, first, last in intervals)


def _initialise(module: nn.Module) -> None:
    """Start convolutions with the variance that ReLU preserves (He et al. 2015) and no offset."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
