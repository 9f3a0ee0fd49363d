"""The streaming engine: a bidirectional network over an endless stream, with bounded lookahead and bounded memory.

The forward direction is carried from window to window. The reverse direction is run, from a zero state, over the
windows that are known to follow: pictures are made in groups of ``hop`` windows t..t+hop-1, aligned with the absolute
window index, as soon as window t+hop-1+lookahead has arrived, and the group shares one reverse pass. What was seen is
decided by indices alone, so the pictures do not depend on how the stream was cut into pushes, and no picture depends on
a later window.

The engine is functional: the caller owns the `StreamState`, passes it in and gets the next one back.

Shapes: B = 1 batch, T windows, C feature channels, H, W pixels of the fine grid, H', W' of the feature maps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dblink_live.errors import ModelError
from dblink_live.models.network import BidirectionalNetwork, DirectionState, Encoded, Span, crop
from dblink_live.types import Shape, Stage

REVERSE_SPAN = 8
"""Windows that a reverse pass holds the features of at a time."""


@dataclass(frozen=True)
class PendingWindow:
    """A window that has been pushed and waits for its lookahead."""

    reverse_inputs: Span
    """What the network has computed of this window for the reverse direction, [1, 1, ...] each."""
    forward_features: Tensor
    """[1, 1, C, H', W']."""


@dataclass(frozen=True)
class StreamState:
    """What a stream carries between pushes; at most ``lookahead + hop`` windows are pending."""

    shape: Shape
    next_window: int
    """Absolute index of the window that the next push begins with."""
    forward: DirectionState
    pending: tuple[PendingWindow, ...] = ()

    @property
    def first_pending(self) -> int:
        """Absolute index of the oldest window without a final picture."""
        return self.next_window - len(self.pending)


@dataclass(frozen=True)
class Picture:
    """The network's answer for one window."""

    window: int
    probability: Tensor
    """[H, W] float32 on the network's device."""
    error: Tensor | None
    """[H, W] float32: probability that the picture is wrong here by more than one pixel; None where the network
    predicts none."""
    stage: Stage
    lookahead: int
    """Windows after this one that the reverse pass has really seen."""


class StreamingEngine:
    """Runs a network over streams.

    Parameters
    ----------
    network
        In evaluation mode, on the device that is to be used.
    lookahead
        L >= 0: the least number of later windows that a picture waits for; only the stream's tail has fewer.
    hop
        k >= 1: windows that share one reverse pass. Each pass covers k + L windows, so its cost per picture falls with
        k, and a picture waits for up to k - 1 windows more. What a network knows of a window is computed once and kept
        until its picture is made, so for a network whose reverse pass is elementwise (`GatedNetwork`) 1 costs little
        more than 4.
    provisional
        Also answer for the newest window of each push at once, from the forward direction and itself alone.
    n_together
        Pictures that are decoded at a time: the decoder's intermediate maps are by far the largest tensors here, so 1
        on a CPU; a GPU is faster with more.
    newest_only
        Of the windows that share a reverse pass only the newest gets its picture; `flush` answers for all that wait.

    Raises
    ------
    ModelError
        A parameter is out of its range, or the network is in training mode.
    """

    def __init__(
        self,
        network: BidirectionalNetwork,
        lookahead: int = 8,
        hop: int = 4,
        provisional: bool = False,
        newest_only: bool = False,
        n_together: int = 1,
    ) -> None:
        if lookahead < 0 or hop < 1:
            raise ModelError(f"expected lookahead >= 0 and hop >= 1 windows, found lookahead {lookahead} and hop {hop}")
        if network.training:
            raise ModelError("expected a network in evaluation mode, found one in training mode; call network.eval()")
        self.network = network
        self.lookahead = lookahead
        self.hop = hop
        self.provisional = provisional
        self.newest_only = newest_only
        self.n_together = n_together
        self.device = next(network.parameters()).device

    @torch.inference_mode()
    def start(self, shape: Shape, first_window: int = 0) -> StreamState:
        """The state of a stream of maps of ``shape`` that begins with window ``first_window``."""
        forward = self.network.initial_state(1, shape.height, shape.width, self.device)
        return StreamState(shape=shape, next_window=first_window, forward=forward)

    @torch.inference_mode()
    def push(self, counts: Tensor, present: Tensor, state: StreamState) -> tuple[list[Picture], StreamState]:
        """Take the next windows: ``counts`` [T, H, W] and the share of frames seen ``present`` [T], float32.

        Returns the pictures that became ready, oldest first (a provisional one last), and the next state.

        Raises
        ------
        ModelError
            The maps are not of the stream's shape.
        """
        if counts.ndim != 3 or tuple(counts.shape[1:]) != tuple(state.shape) or present.shape != counts.shape[:1]:
            raise ModelError(
                f"expected maps [T, {state.shape.height}, {state.shape.width}] and one mask value a map, "
                f"found {list(counts.shape)} and {list(present.shape)}"
            )
        pictures: list[Picture] = []
        for t in range(counts.shape[0]):
            encoded = self._encode(counts[t], present[t])
            features, forward = self.network.scan("forward", [encoded.forward], state.forward)
            state = replace(
                state,
                next_window=state.next_window + 1,
                forward=forward,
                pending=(*state.pending, PendingWindow(encoded.reverse, features)),
            )
            group_end = (state.first_pending // self.hop + 1) * self.hop
            if state.next_window >= group_end + self.lookahead:
                n_ready = group_end - state.first_pending
                pictures += self._decode(state, n_ready, n_ready - 1 if self.newest_only else 0)
                state = replace(state, pending=state.pending[n_ready:])
        if self.provisional and state.pending and counts.shape[0]:
            newest = replace(state, pending=state.pending[-1:])
            pictures += [replace(picture, stage="provisional") for picture in self._decode(newest, 1)]
        return pictures, state

    @torch.inference_mode()
    def skip(self, counts: Tensor, present: Tensor, state: StreamState) -> StreamState:
        """Take the next windows as `push` does, but make no pictures of them: they are known already.

        Raises
        ------
        ModelError
            Windows that were pushed still wait for their pictures.
        """
        if state.pending:
            raise ModelError(
                f"expected no window to wait for its picture, found {len(state.pending)}; flush them first"
            )
        for t in range(counts.shape[0]):
            encoded = self._encode(counts[t], present[t])
            _, forward = self.network.scan("forward", [encoded.forward], state.forward, 0)
            state = replace(state, next_window=state.next_window + 1, forward=forward)
        return state

    def forgo(self, state: StreamState, until: int) -> StreamState:
        """Give up the pictures of the windows before ``until`` that still wait: the stream goes on without them.

        Pictures of later windows are the same as if these had been made.
        """
        return replace(state, pending=state.pending[max(0, until - state.first_pending) :])

    @torch.inference_mode()
    def flush(self, state: StreamState) -> list[Picture]:
        """The pictures of all windows that still wait, with what lookahead the end of the stream leaves them.

        They share one reverse pass. The stream ends here.
        """
        return self._decode(state, len(state.pending))

    def _encode(self, counts: Tensor, present: Tensor) -> Encoded:
        """What the network computes of one window [H, W] alone, once."""
        return self.network.encode(
            counts[None, None].to(self.device, torch.float32), present.view(1, 1).to(self.device, torch.float32)
        )

    def _decode(self, state: StreamState, n_ready: int, first: int = 0) -> list[Picture]:
        """Pictures of the pending windows [``first``, ``n_ready``), after one reverse pass over all pending ones."""
        height, width = state.shape
        reverse = self.network.initial_state(1, height, width, self.device)
        newest_first: list[Picture] = []
        for stop in range(len(state.pending), 0, -REVERSE_SPAN):
            start = max(stop - REVERSE_SPAN, 0)
            span = state.pending[start:stop]
            n_wanted = max(min(stop, n_ready) - start, 0)
            inputs = [window.reverse_inputs for window in span]
            reverse_features, reverse = self.network.scan("reverse", inputs, reverse, n_wanted)
            for high in range(start + n_wanted, max(start, first), -self.n_together):
                low = max(high - self.n_together, start, first)
                forward = [window.forward_features[:, 0] for window in state.pending[low:high]]
                decoded = self.network.decode(
                    forward[0] if len(forward) == 1 else torch.cat(forward),
                    reverse_features[0, low - start : high - start],
                )
                probability, error = self.network.probability(crop(decoded.logits, height, width)), decoded.error_logits
                for i in range(high - 1, low - 1, -1):
                    newest_first.append(
                        Picture(
                            window=state.first_pending + i,
                            probability=probability[i - low],
                            error=None if error is None else crop(error, height, width)[i - low].sigmoid(),
                            stage="bounded",
                            lookahead=len(state.pending) - 1 - i,
                        )
                    )
        return newest_first[::-1]
