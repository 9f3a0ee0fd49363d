"""The live network: a bidirectional gated linear recurrence at quarter resolution.

Gates and candidates of a window follow from that window alone, as in minimal gated units (Feng et al., "Were RNNs all
we needed?", 2024): an encoder computes them once, for both directions, and what is left to do from window to window is
elementwise but for a depthwise 3x3 kernel that lets the state move. The reverse pass over a stream's known windows thus
costs next to nothing, and a picture for every window is affordable.

Beside this memory each direction keeps leaky averages of the counts and of the mask. For a pixel whose blinks are
Poisson, the evidence for structure depends on the discounted sum of counts and the discounted exposure alone, so the
network need not learn to count.

Shapes: B batch, T windows, K time constants, N pictures, C channels, H, W pixels of the fine grid; H', W' a quarter of
them, after padding to `stride`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, ClassVar

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dblink_live.models.convlstm import Direction
from dblink_live.models.network import (
    BidirectionalNetwork,
    Decoded,
    DirectionState,
    Encoded,
    Span,
    check_span,
    joined,
    pad_to_stride,
    padded_size,
)

FOLD = 4
"""The network runs on the grid folded by this: FOLD^2 pixels become channels, and nothing is averaged away."""
FINE_CHANNELS = 4
"""Channels on the fine grid, before the last convolution."""

_LAYOUT = torch.channels_last

Channels = Annotated[int, msgspec.Meta(ge=1, le=1024)]
Windows = Annotated[float, msgspec.Meta(gt=0.0)]


class GatedConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes of a `GatedNetwork`."""

    encoder: Channels = 48
    """Channels of the encoder, which sees one window."""
    hidden: Channels = 64
    """State channels of each direction."""
    head: Channels = 64
    """Channels of the decoder."""
    dilations: Annotated[tuple[Annotated[int, msgspec.Meta(ge=1, le=16)], ...], msgspec.Meta(max_length=8)] = (1, 2, 1)
    """Of the decoder's residual blocks, from the bottom."""
    time_constants: Annotated[tuple[Windows, ...], msgspec.Meta(min_length=1, max_length=16)] = (1.5, 4.0, 16.0, 48.0)
    """Windows after which a leaky average has forgotten all but 1/e."""
    error: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    """Channels of the branch that predicts errors; 0 leaves it out."""
    initial_probability: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.03
    """Share of structure pixels that the untrained network assumes."""


class GatedNetwork(BidirectionalNetwork):
    """A gated linear recurrence in each direction, leaky sums, and a residual decoder at quarter resolution.

    Examples
    --------
    >>> sum(p.numel() for p in GatedNetwork().parameters())
    299685
    """

    architecture: ClassVar[str] = "gated"
    stride: ClassVar[int] = FOLD
    halo: ClassVar[int] = 48
    _decay: Tensor

    def __init__(self, config: GatedConfig | None = None) -> None:
        super().__init__()
        self.config: GatedConfig = config or GatedConfig()
        width, hidden = self.config.encoder, self.config.hidden
        # Two compressions of the counts, and the mask.
        self.stem = _Pointwise(2 * FOLD**2 + 1, width)
        self.encoder = _Residual(width)
        n_leaky = len(self.config.time_constants) * (FOLD**2 + 1)
        self.forward_cell = _GatedCell(width, hidden, n_leaky, self.config.head)
        self.reverse_cell = _GatedCell(width, hidden, n_leaky, self.config.head)
        self.head = _Head(self.config)
        # [K]; derived from the configuration, hence not in the checkpoint.
        decay = torch.exp(-1.0 / torch.tensor(self.config.time_constants))
        self.register_buffer("_decay", decay, persistent=False)

    def initial_state(
        self, batch: int, height: int, width: int, device: torch.device | str | None = None
    ) -> DirectionState:
        rows, cols = padded_size(height, self.stride) // FOLD, padded_size(width, self.stride) // FOLD
        # Laid out as the gates are: elementwise work on tensors of different layouts takes a multiple of the time.
        h = torch.zeros((batch, self.config.hidden, rows, cols), device=device).contiguous(memory_format=_LAYOUT)
        n_constants = len(self.config.time_constants)
        exposure = torch.zeros((batch, n_constants, 1, 1), device=device)
        leaky = torch.zeros((batch, n_constants, rows, cols, FOLD**2), device=device)
        return DirectionState(h=(h,), c=(exposure,), leaky=leaky)

    def encode(self, counts: Tensor, present: Tensor) -> Encoded:
        check_span(counts, present)
        planes = _folded(pad_to_stride(counts.float(), self.stride))  # [B, T, H', W', 16]
        mask = present.float()
        # Real maps hold anything from 0 to hundreds in a pixel: the first compression keeps their order of magnitude,
        # the second is bounded and resolves 0, 1 and 2.
        inputs = torch.cat(
            [planes.log1p(), planes / (1.0 + planes), mask[:, :, None, None, None].expand_as(planes[..., :1])], dim=4
        )
        features = self.encoder(F.relu(self.stem(inputs.flatten(0, 1).permute(0, 3, 1, 2))))
        shape = counts.shape[:2]
        return Encoded(
            forward=(planes, mask, *(torch.unflatten(gate, 0, shape) for gate in self.forward_cell.gates(features))),
            reverse=(planes, mask, *(torch.unflatten(gate, 0, shape) for gate in self.reverse_cell.gates(features))),
        )

    def scan(
        self,
        direction: Direction,
        spans: Sequence[Span],
        state: DirectionState,
        n_features: int | None = None,
    ) -> tuple[Tensor, DirectionState]:
        gates = [(update[:, t], candidate[:, t]) for *_, update, candidate in spans for t in range(update.shape[1])]
        n_windows = len(gates)
        wanted = n_windows if n_features is None else n_features
        cell = self.forward_cell if direction == "forward" else self.reverse_cell
        kernel = cell.kernel()
        h = state.h[0]
        hidden: list[Tensor] = []
        for step, (update, candidate) in enumerate(gates if direction == "forward" else reversed(gates)):
            h = torch.lerp(cell.mix(h, kernel), candidate, update)
            if step >= n_windows - wanted:
                hidden.append(h)
        if direction == "reverse":
            hidden.reverse()
        planes, mask = joined([span[:2] for span in spans])
        counts, exposure, leaky = self._leaky_averages(direction, planes, mask, state, wanted)
        after = DirectionState(
            h=(h,), c=(exposure[:, -1 if direction == "forward" else 0, :, None, None],), leaky=leaky
        )
        if not hidden:
            return h.new_zeros((h.shape[0], 0, self.config.head, *h.shape[2:])), after
        states = torch.stack(hidden, dim=1) if len(hidden) > 1 else hidden[0].unsqueeze(1)
        features = cell.features(states.flatten(0, 1), counts.flatten(0, 1), exposure[:, :wanted].flatten(0, 1))
        return torch.unflatten(features, 0, states.shape[:2]), after

    def decode(self, forward_features: Tensor, reverse_features: Tensor) -> Decoded:
        decoded: Decoded = self.head(F.relu(forward_features + reverse_features))
        return decoded

    def probability(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def _leaky_averages(
        self, direction: Direction, planes: Tensor, mask: Tensor, state: DirectionState, wanted: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Average ``planes`` [B, T, H', W', 16] and ``mask`` [B, T] exponentially over time, for each time constant.

        Returns those of the last ``wanted`` windows of the scan (at least one), in time order: log(1 + counts in about
        a time constant) [B, wanted, H', W', K*16], and exposure [B, wanted, K]; and the last averages of the counts as
        the state [B, K, H', W', 16], in units of counts per time constant.
        """
        batch, n_windows, rows, cols, n_planes = planes.shape
        n_constants = len(self._decay)
        # The recurrence in closed form: average i of the scan is a sum over the windows j <= i before it.
        first = n_windows - max(wanted, 1)
        steps = torch.arange(n_windows, device=planes.device)
        age = (steps[first:, None] - steps[None, :]).float()
        gain = (1.0 - self._decay)[:, None, None]
        weights = torch.where(age >= 0, gain * self._decay[:, None, None] ** age.clamp(min=0.0), 0.0)
        kept = self._decay[:, None] ** (steps[first:] + 1.0)  # [K, wanted]
        if direction == "reverse":  # to windows in time order
            weights, kept = weights.flip(1, 2), kept.flip(1)
        constants = self._constants()[:, None, None]
        with _float32(planes.device):
            # [B, wanted, K]; summed by hand, so that no value depends on how many are wanted.
            exposure = (weights.transpose(0, 1) * mask[:, None, None]).sum(3) + kept.T * state.c[0].flatten(1)[:, None]
            averages = (constants * weights).flatten(0, 1) @ planes.reshape(batch, n_windows, -1)
        averages = averages.view(batch, n_constants, -1, rows, cols, n_planes)
        assert state.leaky is not None
        averages = torch.addcmul(averages, kept[:, :, None, None, None], state.leaky[:, :, None])
        last = averages[:, :, -1 if direction == "forward" else 0]
        evidence = averages[:, :, :wanted].permute(0, 2, 3, 4, 1, 5).flatten(4).log1p()
        return evidence, exposure, last

    def _constants(self) -> Tensor:
        """[K] windows."""
        return -1.0 / self._decay.log()


def _folded(maps: Tensor) -> Tensor:
    """Maps [B, T, H, W] as [B, T, H', W', FOLD^2]: pixel_unshuffle with the channels last."""
    batch, n_windows, height, width = maps.shape
    blocks = maps.view(batch, n_windows, height // FOLD, FOLD, width // FOLD, FOLD)
    return blocks.permute(0, 1, 2, 4, 3, 5).flatten(4)


def _float32(device: torch.device) -> AbstractContextManager[object]:
    """Leave autocast: the state is a sum over the whole stream, and half precision would drift."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


class _GatedCell(nn.Module):
    """Gates and candidates of one direction, and the kernel that mixes its state.

    A window's state is ``(1 - z) * mix(h) + z * n``. ``mix`` is a depthwise 3x3 kernel of weights that are positive and
    sum to 1 (softmax), so that no state grows without bound.
    """

    def __init__(self, input_channels: int, hidden: int, n_leaky: int, features: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.of_state = _Pointwise(hidden, features)
        self.of_evidence = _Pointwise(n_leaky, features, bias=False)
        self.inputs = _Pointwise(input_channels, 2 * hidden)
        with torch.no_grad():
            # Channels begin with memories of 2 to 64 windows, and with little mixing.
            memory = torch.logspace(math.log10(2.0), math.log10(64.0), hidden)
            if self.inputs.bias is not None:
                self.inputs.bias[:hidden] = torch.logit(1.0 / memory)
            logits = torch.zeros(hidden, 9)
            logits[:, 4] = torch.linspace(4.0, 8.0, hidden).flip(0)[torch.randperm(hidden)]
        self.mixing = nn.Parameter(logits)

    def gates(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Update gate and candidate [N, hidden, H', W'] of encoded windows [N, C, H', W']."""
        gates = self.inputs(features)
        # Each in memory of its own: steps over parts of a larger tensor take a multiple of the time.
        update, candidate = gates[:, : self.hidden].float(), gates[:, self.hidden :].float()
        return update.sigmoid(), candidate.contiguous(memory_format=_LAYOUT)

    def features(self, states: Tensor, counts: Tensor, exposure: Tensor) -> Tensor:
        """Features [N, C, H', W'] of this direction, for the decoder.

        Parameters
        ----------
        states
            [N, hidden, H', W'].
        counts
            [N, H', W', K*16]: leaky sums.
        exposure
            [N, K]; it is the same for all pixels.
        """
        weight = self.of_evidence.weight.view(self.of_evidence.out_channels, -1, FOLD**2 + 1)
        of_exposure = (weight[:, :, -1] * exposure[:, None]).sum(2)[:, :, None, None]
        of_counts = F.linear(counts, weight[:, :, :-1].flatten(1)).permute(0, 3, 1, 2)
        features: Tensor = self.of_state(states) + (of_counts + of_exposure)
        return features

    def kernel(self) -> Tensor:
        """[hidden, 1, 3, 3]."""
        return self.mixing.softmax(dim=1).view(self.hidden, 1, 3, 3)

    def mix(self, h: Tensor, kernel: Tensor) -> Tensor:
        """Move the state [B, hidden, H', W']."""
        with _float32(h.device):
            return F.conv2d(h.float(), kernel.float(), padding=1, groups=self.hidden)


class _Head(nn.Module):
    """Features [N, C, H', W'] -> logits [N, H, W] of structure and, where it is wanted, of error."""

    def __init__(self, config: GatedConfig) -> None:
        super().__init__()
        width = config.head
        self.blocks = nn.Sequential(*(_Residual(width, dilation) for dilation in config.dilations))
        self.unfold = _Pointwise(width, FINE_CHANNELS * FOLD**2)
        self.last = nn.Conv2d(FINE_CHANNELS, 1, 3, padding=1)
        odds = config.initial_probability / (1.0 - config.initial_probability)
        nn.init.constant_(self.last.bias, math.log(odds))  # type: ignore[arg-type]
        self.error = _ErrorBranch(width, config.error) if config.error else None

    def forward(self, features: Tensor) -> Decoded:
        trunk = self.blocks(features)
        fine = F.pixel_shuffle(F.relu(self.unfold(trunk)), FOLD)
        logits = self.last(fine).squeeze(1)
        return Decoded(logits, None if self.error is None else self.error(trunk.detach(), logits.detach()))


class _ErrorBranch(nn.Module):
    """Predicts where the picture is wrong from what it was made of; no gradient reaches the picture from here."""

    def __init__(self, input_channels: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(input_channels + FOLD**2, width, 3, padding=1)
        self.second = _Pointwise(width, width)
        self.unfold = _Pointwise(width, FOLD**2)

    def forward(self, trunk: Tensor, logits: Tensor) -> Tensor:
        """Error logits [N, H, W] of features [N, C, H', W'] and the picture's logits [N, H, W]."""
        folded = F.pixel_unshuffle(logits.sigmoid().unsqueeze(1), FOLD)
        hidden = F.relu(self.second(F.relu(self.first(torch.cat([trunk, folded], dim=1)))))
        return F.pixel_shuffle(self.unfold(hidden), FOLD).squeeze(1)


class _Pointwise(nn.Conv2d):
    """A 1x1 convolution, as the matrix product that it is: of channels-last maps, the faster way on a CPU."""

    def __init__(self, input_channels: int, output_channels: int, bias: bool = True) -> None:
        super().__init__(input_channels, output_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class _Residual(nn.Module):
    """Two convolutions around a skip (He et al., 2016), unnormalized: batch statistics would tie windows together."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        # Starting small, each block begins as the identity.
        with torch.no_grad():
            self.second.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.first(x).relu_())
        return out.add_(x).relu_()
