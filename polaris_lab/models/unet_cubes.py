"""U-Nets along the spectra of a cube (1D), and through the whole of it (3D), as blocks of a blueprint.

A cube is an image whose channels are its planes: (N, V, H, W).
"""

from __future__ import annotations

from torch import Tensor, nn

from polaris_lab.models.registry import register_block
from polaris_lab.models.unet import UNet


class _CubeUNet(nn.Module):
    """What both have in common: a U-Net with one channel in and out."""

    dimensions: int

    def __init__(
        self,
        layers: int = 3,
        base_filters: int = 8,
        attention: bool = False,
        convolutions: int = 1,
        residual_blocks: bool = False,
    ) -> None:
        super().__init__()
        settings = {"residual_blocks": residual_blocks, "dimensions": self.dimensions}
        self.unet = UNet(1, 1, layers, base_filters, attention, convolutions, **settings)
        if self.dimensions == 3:  # along a spectrum no pixel sees another
            self.stride = self.unet.stride
            self.receptive_margin = self.unet.receptive_margin


@register_block("spectral_unet")
class SpectralUNet(_CubeUNet):
    """A one-dimensional U-Net along every pixel's spectrum, the same for all pixels; it sees no neighbours.

    Parameters
    ----------
    layers, base_filters, attention, convolutions, residual_blocks
        See :class:`polaris_lab.models.unet.UNet`.

    Examples
    --------
    >>> import torch
    >>> SpectralUNet(layers=1, base_filters=2)(torch.zeros(1, 12, 3, 4)).shape
    torch.Size([1, 12, 3, 4])
    """

    dimensions = 1

    def forward(self, cube: Tensor) -> Tensor:
        """Return a cube (N, V, H, W) of the same shape."""
        images, channels, height, width = cube.shape
        spectra = cube.permute(0, 2, 3, 1).reshape(-1, 1, channels)  # (N H W, 1, V)
        spectra = self.unet(spectra).reshape(images, height, width, channels)  # (N, H, W, V)
        return spectra.permute(0, 3, 1, 2)  # (N, V, H, W)


@register_block("volume_unet")
class VolumeUNet(_CubeUNet):
    """A three-dimensional U-Net through a cube: it sees structures in position and velocity together.

    Parameters
    ----------
    layers, base_filters, attention, convolutions, residual_blocks
        See :class:`polaris_lab.models.unet.UNet`.

    Examples
    --------
    >>> import torch
    >>> VolumeUNet(layers=1, base_filters=2)(torch.zeros(1, 6, 5, 4)).shape
    torch.Size([1, 6, 5, 4])
    """

    dimensions = 3

    def forward(self, cube: Tensor) -> Tensor:
        """Return a cube (N, V, H, W) of the same shape."""
        return self.unet(cube[:, None])[:, 0]  # (N, V, H, W)
