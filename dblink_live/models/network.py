"""What every reconstruction network is: two independent recurrent directions and a decoder.

The directions never see each other, so the forward one can be carried along a live stream exactly, and the reverse one
can be run over as much of the future as is known. The decoder joins the features of one window from both.

Shapes: B batch, T windows, N pictures, C feature channels, H, W pixels of the fine grid, H', W' of the feature maps.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dblink_live.errors import ModelError
from dblink_live.models.convlstm import Direction


@dataclass(frozen=True)
class DirectionState:
    """Everything that one direction carries from window to window."""

    h: tuple[Tensor, ...]
    """Hidden state of each layer from the bottom, [B, C, H', W']."""
    c: tuple[Tensor, ...]
    """Cell state of each layer, [B, C, H', W'], always float32."""
    leaky: Tensor | None = None
    """Leaky averages of the input, [B, C, H', W'], always float32; None for networks that have none."""

    def detach(self) -> DirectionState:
        """The same values, cut off from the gradient's graph."""
        return DirectionState(
            h=tuple(h.detach() for h in self.h),
            c=tuple(c.detach() for c in self.c),
            leaky=None if self.leaky is None else self.leaky.detach(),
        )


Span = tuple[Tensor, ...]
"""What a network has computed of consecutive windows for one direction, [B, T, ...] each."""


class Encoded(NamedTuple):
    """What a network knows of a span of windows before it looks at others.

    It is computed once per window. Every later pass over the window, in its direction, needs nothing else.
    """

    forward: Span
    reverse: Span


class Decoded(NamedTuple):
    """What a network says of N pictures, [N, H, W] of the padded field."""

    logits: Tensor
    """`BidirectionalNetwork.probability` turns them into the probability of structure."""
    error_logits: Tensor | None = None
    """Logits of the probability that the picture is wrong here by more than one pixel; None where none is predicted."""


class BidirectionalNetwork(nn.Module, ABC):
    """Base of the networks that `StreamingEngine` can run.

    A subclass says what is computed of each window alone (`encode`), how one direction is run over a span of them
    (`scan`) and how two feature maps become a picture (`decode`). Fields of any size are allowed: `encode` pads with
    zeros on the right and at the bottom to a multiple of `stride`, `decode` returns the padded field, and callers cut
    it with `crop`.
    """

    architecture: ClassVar[str]
    """Name in checkpoints."""
    stride: ClassVar[int] = 1
    """The field's sides are padded to multiples of this."""
    halo: ClassVar[int] = 0
    """Pixels beyond a part of the field that its pictures depend on by more than half of 1/255: measured by
    ``benchmarks/refine.py``, for in principle every window carries a pixel's influence further."""
    config: msgspec.Struct
    """What is needed, beside the weights, to build the network again."""

    @abstractmethod
    def initial_state(
        self, batch: int, height: int, width: int, device: torch.device | str | None = None
    ) -> DirectionState:
        """The state before anything was seen, for either direction; ``height`` and ``width`` of the fine grid."""

    def encode(self, counts: Tensor, present: Tensor) -> Encoded:
        """Compute what each window says by itself; by default the window's own data.

        Parameters
        ----------
        counts
            [B, T, H, W] float32, T >= 1: localizations per pixel and window.
        present
            [B, T] float32: share of each window's frames that were seen; 0 for a missing window, whose counts are 0.

        Raises
        ------
        ModelError
            The shapes are others.
        """
        check_span(counts, present)
        return Encoded(forward=(counts, present), reverse=(counts, present))

    @abstractmethod
    def scan(
        self,
        direction: Direction,
        spans: Sequence[Span],
        state: DirectionState,
        n_features: int | None = None,
    ) -> tuple[Tensor, DirectionState]:
        """Run one direction over windows.

        Parameters
        ----------
        direction
            "forward" from the first window to the last, "reverse" from the last to the first.
        spans
            The direction's part of one or more answers of `encode`, in time order.
        state
            As `initial_state` or an earlier call returned it.
        n_features
            Windows whose features are wanted, the last of the scan; all by default.

        Returns
        -------
        features
            [B, n_features, C, H', W'] in time order, whatever the direction.
        state
            To be carried into the next span.
        """

    @abstractmethod
    def decode(self, forward_features: Tensor, reverse_features: Tensor) -> Decoded:
        """Join features [N, C, H', W'] of the two directions into pictures of the padded field."""

    @abstractmethod
    def probability(self, logits: Tensor) -> Tensor:
        """Map the decoder's output to the probability of structure, in [0, 1] in evaluation mode."""

    def forward(self, counts: Tensor, present: Tensor | None = None) -> Tensor:
        """The full bidirectional pass: logits [B, T, H, W] for ``counts`` [B, T, H, W]; T may be 0.

        ``present`` [B, T] defaults to all windows whole.
        """
        batch, windows, height, width = counts.shape
        if counts.numel() == 0:
            return counts.new_zeros(counts.shape)
        if present is None:
            present = counts.new_ones(batch, windows)
        state = self.initial_state(batch, height, width, counts.device)
        encoded = self.encode(counts, present)
        forward_features, _ = self.scan("forward", [encoded.forward], state)
        reverse_features, _ = self.scan("reverse", [encoded.reverse], state)
        logits = self.decode(forward_features.flatten(0, 1), reverse_features.flatten(0, 1)).logits
        return torch.unflatten(crop(logits, height, width), 0, (batch, windows))


def with_bfloat16_weights(network: BidirectionalNetwork) -> BidirectionalNetwork:
    """Return a copy of ``network`` for use under autocast to bfloat16: its convolutions hold weights of that type.

    The answers are those of autocast alone, which would convert the weights anew at every call.
    """
    converted = copy.deepcopy(network)
    for module in converted.modules():
        if isinstance(module, nn.Conv2d):
            module.to(dtype=torch.bfloat16, memory_format=torch.channels_last)  # type: ignore[call-overload]  # PyTorch
    return converted


def crop(pictures: Tensor, height: int, width: int) -> Tensor:
    """Undo the padding of `encode` on pictures [..., H, W]."""
    return pictures[..., :height, :width]


def padded_size(size: int, stride: int) -> int:
    """The smallest multiple of ``stride`` that is not below ``size``."""
    return -(-size // stride) * stride


def pad_to_stride(counts: Tensor, stride: int) -> Tensor:
    """Pad [..., H, W] with zeros on the right and at the bottom to multiples of ``stride``."""
    height, width = counts.shape[-2:]
    bottom, right = padded_size(height, stride) - height, padded_size(width, stride) - width
    return F.pad(counts, (0, right, 0, bottom)) if bottom or right else counts


def joined(spans: Sequence[Span]) -> Span:
    """One span of consecutive ``spans``."""
    return spans[0] if len(spans) == 1 else tuple(torch.cat(parts, dim=1) for parts in zip(*spans, strict=True))


def last_of_scan(direction: Direction, features: Tensor, n_features: int | None) -> Tensor:
    """Features [B, T, ...] of the ``n_features`` windows that a scan reaches last; all where it is None."""
    if n_features is None:
        return features
    return features[:, features.shape[1] - n_features :] if direction == "forward" else features[:, :n_features]


def check_span(counts: Tensor, present: Tensor) -> None:
    """Raise ModelError unless ``counts`` is [B, T >= 1, H, W] and ``present`` its [B, T]."""
    if counts.ndim != 4 or counts.shape[1] < 1 or present.shape != counts.shape[:2]:
        raise ModelError(
            "expected counts [B, T, H, W] with T >= 1 and present [B, T], "
            f"found {tuple(counts.shape)} and {tuple(present.shape)}"
        )
