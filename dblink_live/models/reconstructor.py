"""`StreamingReconstructor`: localization maps in, reconstructions out, in order, over any number of segments."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from dblink_live.errors import ModelError
from dblink_live.models.checkpoint import Model, load_model
from dblink_live.models.maps import check_counts, check_maps, check_pitch
from dblink_live.models.streaming import Picture, StreamingEngine, StreamState
from dblink_live.types import LocalizationMap, Reconstruction, Shape


@dataclass
class _Stream:
    """One segment that is being reconstructed."""

    segment: int
    state: StreamState
    t_last_frame_ns: deque[int] = field(default_factory=deque)
    """Of each pending window; 0 where the map is not live."""


class StreamingReconstructor:
    """Turns localization maps into pictures with bounded lookahead, live or from files.

    A map of another segment than the one before ends that one's stream first: its remaining pictures come out, and the
    next segment starts with a fresh state.

    Parameters
    ----------
    model
        A loaded model, or the name or path of one.
    lookahead
        Later windows that a picture waits for, at least.
    hop
        Windows that are reconstructed together; see `StreamingEngine`.
    provisional
        Also return a picture of the newest window at once, with stage "provisional" and lookahead 0.

    Examples
    --------
    >>> from dblink_live.models import LightNetwork, Model
    >>> model = Model.untrained(LightNetwork())
    >>> stream = StreamingReconstructor(model, lookahead=2, hop=1)
    >>> [len(stream.push(np.zeros((32, 32), np.uint16))) for _ in range(4)]
    [0, 0, 1, 1]
    >>> [(r.window, r.lookahead) for r in stream.flush()]
    [(2, 1), (3, 0)]
    """

    def __init__(self, model: Model | str, lookahead: int = 8, hop: int = 4, provisional: bool = False) -> None:
        self.model = load_model(model) if isinstance(model, str) else model
        self._engine = StreamingEngine(self.model.network, lookahead, hop, provisional)
        self._stream: _Stream | None = None
        self._is_flushed = False

    def push(self, map: LocalizationMap | npt.NDArray[np.generic]) -> list[Reconstruction]:
        """Take the next map and return the pictures that became ready, oldest first.

        A bare array [H, W], localizations per pixel, is the next window of the running segment, with all its frames
        seen. Each picture is a `Reconstruction`, whose image [H, W] is the probability of structure in [0, 1].

        Raises
        ------
        ModelError
            After `flush`; or the map is on another grid pitch than the model's, of another shape than the segment's,
            out of order, or holds NaN or negative counts. The stream stays as it was.
        """
        if self._is_flushed:
            raise ModelError("expected no map after flush, which ends a stream; make a new StreamingReconstructor")
        counts = check_counts(map.counts if isinstance(map, LocalizationMap) else map, ndim=2)
        shape = Shape(*counts.shape)
        if isinstance(map, LocalizationMap):
            check_pitch(map.grid.pitch_nm, self.model)
            segment, window, present, t_ns = map.segment, map.window, map.fraction_present, map.t_last_frame_ns
        else:
            check_maps(map, self.model)
            segment, present, t_ns = (self._stream.segment if self._stream else 0), 1.0, 0
            window = self._stream.state.next_window if self._stream else 0
        if self._stream is not None and segment == self._stream.segment:
            self._check_next(self._stream, shape, window)
        finished = self._end_stream() if self._stream is not None and segment != self._stream.segment else []
        if self._stream is None:
            self._stream = _Stream(segment, self._engine.start(shape, window))
        stream = self._stream
        pictures, stream.state = self._engine.push(
            torch.from_numpy(counts)[None], torch.tensor([present], dtype=torch.float32), stream.state
        )
        stream.t_last_frame_ns.append(t_ns)
        return finished + self._to_reconstructions(pictures, stream)

    def flush(self) -> list[Reconstruction]:
        """Return the pictures that still wait, as `push` does, with what lookahead there is.

        Nothing can be pushed after it, and a second call returns none.
        """
        self._is_flushed = True
        return self._end_stream()

    def _end_stream(self) -> list[Reconstruction]:
        if self._stream is None:
            return []
        pictures = self._engine.flush(self._stream.state)
        finished = self._to_reconstructions(pictures, self._stream)
        self._stream = None
        return finished

    def _to_reconstructions(self, pictures: list[Picture], stream: _Stream) -> list[Reconstruction]:
        finished = []
        for picture in pictures:
            is_provisional = picture.stage == "provisional"
            t_ns = stream.t_last_frame_ns[-1] if is_provisional else stream.t_last_frame_ns.popleft()
            image = picture.probability.float().cpu().numpy()
            finished.append(
                Reconstruction(
                    segment=stream.segment,
                    window=picture.window,
                    image=image,
                    stage=picture.stage,
                    lookahead=picture.lookahead,
                    latency_s=(time.perf_counter_ns() - t_ns) * 1e-9 if t_ns > 0 else 0.0,
                    error=None if picture.error is None else picture.error.float().cpu().numpy(),
                )
            )
        return finished

    def _check_next(self, stream: _Stream, shape: Shape, window: int) -> None:
        if shape != stream.state.shape:
            raise ModelError(
                f"expected maps of {stream.state.shape.height} x {stream.state.shape.width} pixels, as before in this "
                f"segment, found {shape.height} x {shape.width}; a change of shape begins a new segment"
            )
        if window != stream.state.next_window:
            raise ModelError(
                f"expected window {stream.state.next_window} of segment {stream.segment}, found window {window}; "
                "push every window in order, a missing one as a map of zeros with all its frames missing"
            )
