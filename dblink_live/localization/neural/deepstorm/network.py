"""The network of Deep-STORM: an encoder and a decoder that draw molecules on a grid finer than the camera's pixels.

Nehme et al., "Deep-STORM: super-resolution single-molecule microscopy by deep learning", Optica 5, 458 (2018); their
program is EliasNehme/Deep-STORM. The frame is enlarged by repeating its pixels; three convolutions, each followed by
a pooling, a fourth at the coarsest grid, three more, each after an enlargement by repetition, and a convolution of a
single pixel that gives the image of the molecules. Kernels are 3 x 3, normalised by batch, rectified, without bias;
nothing leads from the encoder to the decoder but the coarsest grid.

What differs is what goes in: the paper's network sees one frame scaled to [0, 1] and knows one microscope. This one
sees one frame in units of the background's noise, and is told the width of the point spread function
(`dblink_live.localization.neural.inputs`).

Shapes: N frames, H, W camera pixels, U fine pixels a camera pixel along an axis.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import torch
from torch import Tensor, nn

from dblink_live.errors import ConfigError
from dblink_live.localization.neural.blocks import Block
from dblink_live.localization.neural.inputs import CONTEXT_FRAMES, channels

SPIKE = 100.0
"""Sum of the target image over one molecule, as published: it balances the two terms of the loss."""
CHANNELS = 4
"""A frame, a compressed copy of it, the width of the point spread function, the background's variance."""
_POOLED = 8
"""Fine pixels a pixel of the coarsest grid along an axis."""
_OUT_SCALE = 20.0
"""Of the last convolution, so that weights of the usual size give spikes of the size of `SPIKE` from the start."""
_REACH_FINE = 32
"""A fine pixel's answer depends on fine pixels at most this far away: 22 by the kernels, 7 by the pooling."""
Width = Annotated[int, msgspec.Meta(ge=1, le=2048)]


class DeepStormConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes of the network; the published ones unless told otherwise, which are for a GPU."""

    channels: tuple[Width, Width, Width, Width] = (32, 64, 128, 512)
    """Of the four convolutions of the encoder; the decoder's are the first three in reverse."""
    upsampling: int = 8
    """Fine pixels a camera pixel along an axis: 1, 2, 4 or 8."""

    def __post_init__(self) -> None:
        if self.upsampling not in (1, 2, 4, 8):
            raise ConfigError(f"expected an upsampling of 1, 2, 4 or 8, found {self.upsampling}")

    @property
    def reach_px(self) -> int:
        """A pixel's answer depends on camera pixels at most this far away."""
        return _REACH_FINE // self.upsampling

    @property
    def side_px(self) -> int:
        """Frames must have a multiple of this as height and width; no fewer than 4, as torch's blocks."""
        return max(4, _POOLED // self.upsampling)


class DeepStormNetwork(nn.Module):
    """[N, CHANNELS, H, W] to the image of the molecules [N, U H, U W]; see `DeepStormConfig.side_px`."""

    architecture = "deepstorm"

    def __init__(self, config: DeepStormConfig | None = None) -> None:
        super().__init__()
        self.config = config or DeepStormConfig()
        first, second, third, coarse = self.config.channels
        self.enlarge = nn.Upsample(scale_factor=self.config.upsampling)
        self.encoder = nn.Sequential(
            Block(CHANNELS, first), nn.MaxPool2d(2), Block(first, second), nn.MaxPool2d(2), Block(second, third),
            nn.MaxPool2d(2), Block(third, coarse),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Upsample(scale_factor=2), Block(coarse, third), nn.Upsample(scale_factor=2), Block(third, second),
            nn.Upsample(scale_factor=2), Block(second, first),
        )  # fmt: skip
        self.out = nn.Conv2d(first, 1, 1, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.orthogonal_(module.weight)

    def forward(self, frames: Tensor) -> Tensor:
        out: Tensor = self.out(self.decoder(self.encoder(self.enlarge(frames))))
        return _OUT_SCALE * out[:, 0]


def network_input(units: Tensor, variance_e: Tensor, log_sigma_px: Tensor) -> Tensor:
    """[N, CHANNELS, H, W] of frames alone, whatever was before them; parameters as of `channels`."""
    return channels(units[:, :1], variance_e, log_sigma_px)


def of_one_frame(inputs: Tensor) -> Tensor:
    """The channels of `network_input` out of those that the dense network sees [N, C, H, W]."""
    n_frames = CONTEXT_FRAMES + 1
    return inputs[:, [0, n_frames, 2 * n_frames, 2 * n_frames + 1]]


def smoothed(image: Tensor) -> Tensor:
    """The heat map of ``image`` [N, h, w]: each fine pixel spread as a Gaussian of one fine pixel, as published."""
    step = torch.arange(-3, 4, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * step.square())
    kernel = kernel / kernel.sum()
    along_y = nn.functional.conv2d(image[:, None], kernel.view(1, 1, -1, 1), padding=(3, 0))
    return nn.functional.conv2d(along_y, kernel.view(1, 1, 1, -1), padding=(0, 3))[:, 0]
