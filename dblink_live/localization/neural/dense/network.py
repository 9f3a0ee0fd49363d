"""The network: a small U-Net of two levels that states, for each camera pixel, whether a molecule lies there.

For each pixel it gives the probability that a molecule's centre lies in it, where, how bright it is, and how uncertain
position and brightness are, as DECODE does (Speiser et al., Nature Methods 18, 1082, 2021). Unlike DECODE's, it is
small enough for a CPU at camera rate, sees a frame and those before it and none after it, and is told the width of the
point spread function instead of being trained for one.

Shapes: N frames, C channels, H, W camera pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dblink_live.localization.neural.blocks import Block
from dblink_live.localization.neural.inputs import CHANNELS

OUTPUTS = 7
REACH_PX = 16
"""A pixel's answer depends on pixels at most this far away."""
_TYPICAL_LOG_UNITS = 4.5
"""Brightness at which training starts: 90 units of noise."""
_START_LOGIT = -3.0
"""Probability at which training starts: 5 % a pixel, a crowded frame."""


Width = Annotated[int, msgspec.Meta(ge=1, le=1024)]


class DenseConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes of the network. With the most layers it looks `REACH_PX` far."""

    fine_channels: Width
    coarse_channels: Width
    coarse_layers: Annotated[int, msgspec.Meta(ge=0, le=5)]
    last_layers: Annotated[int, msgspec.Meta(ge=0, le=3)] = 2
    """On the fine level, after the coarse one has told what it sees. Files that do not say it have two."""


SHIPPED = DenseConfig(fine_channels=16, coarse_channels=48, coarse_layers=3, last_layers=1)
"""Sizes of the shipped network, and of any that is trained without a word about sizes."""


@dataclass(frozen=True)
class Predictions:
    """The network's predictions per pixel; all [N, H, W]."""

    logit: Tensor
    """Of the probability that a molecule's centre lies in the pixel."""
    x: Tensor
    """Offset of the molecule from the pixel's centre in pixels, in (-1, 1)."""
    y: Tensor
    log_units: Tensor
    """Natural logarithm of its photons in units of the background's noise."""
    x_sigma: Tensor
    """Standard deviation of ``x`` in pixels."""
    y_sigma: Tensor
    log_units_sigma: Tensor

    @classmethod
    def of(cls, raw: Tensor) -> Predictions:
        """Bring the network's output [N, OUTPUTS, H, W] into its ranges."""
        logit, x, y, brightness, x_sigma, y_sigma, brightness_sigma = raw.unbind(1)
        return cls(
            logit=logit + _START_LOGIT,
            x=torch.tanh(x),
            y=torch.tanh(y),
            log_units=brightness + _TYPICAL_LOG_UNITS,
            x_sigma=_positive(x_sigma),
            y_sigma=_positive(y_sigma),
            log_units_sigma=_positive(brightness_sigma),
        )

    def cropped(self, n: int, height: int, width: int) -> Predictions:
        """Those of the first ``n`` frames, rows and columns."""
        return Predictions(*(getattr(self, item.name)[:n, :height, :width] for item in fields(self)))


def _positive(raw: Tensor) -> Tensor:
    """A standard deviation between a hundredth and about 3."""
    return 0.01 + 3.0 * torch.sigmoid(raw - 2.0)


class DenseNetwork(nn.Module):
    """[N, CHANNELS, H, W] to [N, OUTPUTS, H, W]; height and width must be even."""

    architecture = "dense"

    def __init__(self, config: DenseConfig | None = None) -> None:
        super().__init__()
        self.config = config or SHIPPED
        fine, coarse = self.config.fine_channels, self.config.coarse_channels
        self.enter = nn.Sequential(Block(CHANNELS, fine), Block(fine, fine))
        self.down = Block(fine, coarse, kernel=2, stride=2)
        self.coarse = nn.Sequential(*(Block(coarse, coarse) for _ in range(self.config.coarse_layers)))
        self.up = nn.ConvTranspose2d(coarse, fine, 2, stride=2)
        self.leave = nn.Sequential(*(Block(fine, fine) for _ in range(self.config.last_layers)))
        self.out = nn.Conv2d(fine, OUTPUTS, 1)
        nn.init.normal_(self.out.weight, std=0.02)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]  # a Conv2d with a bias has one

    def forward(self, frames: Tensor) -> Tensor:
        fine = self.enter(frames)
        seen_from_afar = self.up(self.coarse(self.down(fine)))
        out: Tensor = self.out(self.leave(F.relu(seen_from_afar.add_(fine), inplace=True)))
        return out
