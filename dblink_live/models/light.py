"""The live network: a bidirectional ConvLSTM at half resolution with leaky sums, light enough to train on a CPU.

Beside its recurrent memory each direction keeps leaky averages of the counts and of the mask. For a pixel whose blinks
are Poisson, the evidence for structure depends on the discounted sum of counts and the discounted exposure alone, so
the LSTM need not learn to count; it learns what moves, what is noise and what is shape.

Shapes: B batch, T windows, K time constants, N pictures, C channels, H, W pixels of the fine grid; H', W' half of them,
after padding to `stride`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dblink_live.models.convlstm import ConvLSTM, Direction
from dblink_live.models.network import (
    BidirectionalNetwork,
    Decoded,
    DirectionState,
    Span,
    joined,
    last_of_scan,
    pad_to_stride,
    padded_size,
)

FOLD = 2
"""The recurrent part runs on the grid folded by this: FOLD^2 pixels become channels, and nothing is averaged away."""

Channels = Annotated[int, msgspec.Meta(ge=1, le=1024)]
Windows = Annotated[float, msgspec.Meta(gt=0.0)]


class LightConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes of a `LightNetwork`."""

    hidden: Annotated[tuple[Channels, ...], msgspec.Meta(min_length=1, max_length=16)] = (16, 16)
    """Hidden channels of each ConvLSTM layer, from the bottom."""
    forget_bias: float = 1.5
    time_constants: Annotated[tuple[Windows, ...], msgspec.Meta(max_length=16)] = (4.0, 16.0, 48.0)
    """Windows after which a leaky average has forgotten all but 1/e."""
    head: tuple[Channels, Channels] = (32, 64)
    """Channels of the decoder at half and at quarter resolution."""
    initial_probability: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.03
    """Share of structure pixels that the untrained network assumes."""


class LightNetwork(BidirectionalNetwork):
    """Two small ConvLSTMs with leaky sums, and a U-shaped residual decoder.

    Examples
    --------
    >>> sum(p.numel() for p in LightNetwork().parameters())
    334185
    """

    architecture: ClassVar[str] = "light"
    stride: ClassVar[int] = 2 * FOLD
    halo: ClassVar[int] = 48
    _constants: Tensor

    def __init__(self, config: LightConfig | None = None) -> None:
        super().__init__()
        self.config: LightConfig = config or LightConfig()
        constants = self.config.time_constants
        n_leaky = len(constants) * (FOLD**2 + 1)
        # Two compressions of the counts, the mask, and for each time constant the leaky counts and the exposure.
        n_inputs = 2 * FOLD**2 + 1 + n_leaky
        self.forward_lstm = ConvLSTM(n_inputs, self.config.hidden, kernel_size=3, forget_bias=self.config.forget_bias)
        self.reverse_lstm = ConvLSTM(n_inputs, self.config.hidden, kernel_size=3, forget_bias=self.config.forget_bias)
        self.head = _Head(2 * (self.config.hidden[-1] + n_leaky), *self.config.head)
        odds = self.config.initial_probability / (1.0 - self.config.initial_probability)
        nn.init.constant_(self.head.bias, math.log(odds))
        # [K, 1, 1, 1]; derived from the configuration, hence not in the checkpoint.
        self.register_buffer("_constants", torch.tensor(constants).view(-1, 1, 1, 1), persistent=False)

    def initial_state(
        self, batch: int, height: int, width: int, device: torch.device | str | None = None
    ) -> DirectionState:
        rows, cols = padded_size(height, self.stride) // FOLD, padded_size(width, self.stride) // FOLD
        h, c = self.forward_lstm.initial_state(batch, rows, cols, device)
        n_leaky = len(self.config.time_constants) * (FOLD**2 + 1)
        return DirectionState(h=h, c=c, leaky=torch.zeros((batch, n_leaky, rows, cols), device=device))

    def scan(
        self,
        direction: Direction,
        spans: Sequence[Span],
        state: DirectionState,
        n_features: int | None = None,
    ) -> tuple[Tensor, DirectionState]:
        counts, present = joined(spans)
        # [B, T, H, W] -> [B, T, 4, H', W'], and the mask as a plane [B, T, 1, H', W'].
        folded = F.pixel_unshuffle(pad_to_stride(counts.float(), self.stride).unsqueeze(2), FOLD)
        mask = present.float()[:, :, None, None, None].expand_as(folded[:, :, :1])
        leaky, last_leaky = self._leaky_averages(direction, torch.cat([folded, mask], dim=2), state.leaky)
        evidence = self._compress_leaky(leaky)
        # Real maps hold anything from 0 to hundreds in a pixel: the first compression keeps their order of magnitude,
        # the second is bounded and resolves 0, 1 and 2.
        inputs = torch.cat([folded.log1p(), folded / (1.0 + folded), mask, evidence], dim=2)
        lstm = self.forward_lstm if direction == "forward" else self.reverse_lstm
        hidden, h, c = lstm(inputs, state.h, state.c, direction)
        features = last_of_scan(direction, torch.cat([hidden, evidence], dim=2), n_features)
        return features, DirectionState(h=h, c=c, leaky=last_leaky)

    def decode(self, forward_features: Tensor, reverse_features: Tensor) -> Decoded:
        features = torch.cat([forward_features, reverse_features], dim=1)
        # Channels-last saves an eighth of the head's time on CPUs.
        pictures: Tensor = self.head(features.contiguous(memory_format=torch.channels_last))
        return Decoded(pictures.squeeze(1))

    def probability(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def _leaky_averages(self, direction: Direction, planes: Tensor, leaky: Tensor | None) -> tuple[Tensor, Tensor]:
        """Exponential averages of ``planes`` [B, T, 5, H', W'] over time, for each time constant.

        Returns them [B, T, K, 5, H', W'] in time order, and the last as the state [B, K*5, H', W'].
        """
        if leaky is None:
            leaky = planes.new_zeros((planes.shape[0], len(self._constants) * planes.shape[2], *planes.shape[3:]))
        average = torch.unflatten(leaky, 1, (len(self._constants), planes.shape[2]))
        gain = -torch.expm1(-1.0 / self._constants)  # 1 - exp(-1/tau)
        windows = planes.shape[1]
        averages: list[Tensor] = []
        for t in range(windows) if direction == "forward" else range(windows - 1, -1, -1):
            average = torch.lerp(average, planes[:, t, None], gain)
            averages.append(average)
        if direction == "reverse":
            averages.reverse()
        return torch.stack(averages, dim=1), average.flatten(1, 2)

    def _compress_leaky(self, leaky: Tensor) -> Tensor:
        """Averages [B, T, K, 5, H', W'] to channels [B, T, K*5, H', W']: log(1 + counts in about tau), exposure."""
        counts, exposure = leaky[:, :, :, :-1], leaky[:, :, :, -1:]
        return torch.cat([(self._constants * counts).log1p(), exposure], dim=3).flatten(2, 3)


class _Head(nn.Module):
    """Features [N, C, H', W'] -> logits [N, 1, H, W]: a U of two levels, then unfolding to the fine grid."""

    def __init__(self, input_channels: int, half: int, quarter: int) -> None:
        super().__init__()
        fine = max(half // FOLD**2, 1)
        self.stem = nn.Conv2d(input_channels, half, 3, padding=1)
        self.descend = _Residual(half)
        self.down = nn.Conv2d(half, quarter, 3, stride=2, padding=1)
        self.bottom = nn.Sequential(_Residual(quarter), _Residual(quarter))
        self.up = nn.Conv2d(quarter, half, 1)
        self.ascend = nn.Sequential(_Residual(half), _Residual(half))
        self.unfold = nn.Conv2d(half, fine * FOLD**2, 3, padding=1)
        self.last = nn.Conv2d(fine, 1, 3, padding=1, bias=False)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        half = self.descend(F.relu(self.stem(features)))
        quarter = self.bottom(F.relu(self.down(half)))
        half = self.ascend(half + F.interpolate(self.up(quarter), scale_factor=2.0, mode="nearest"))
        fine = F.pixel_shuffle(F.relu(self.unfold(half)), FOLD)
        logits: Tensor = self.last(fine) + self.bias
        return logits


class _Residual(nn.Module):
    """Two convolutions around a skip (He et al., 2016), unnormalized: batch statistics would tie windows together."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        # Starting small, each block begins as the identity.
        with torch.no_grad():
            self.second.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))
