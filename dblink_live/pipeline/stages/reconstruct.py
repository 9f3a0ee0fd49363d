"""Reconstruct: window maps in, pictures out, with the state of the network carried along each segment."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dblink_live.config import ReconstructConfig
from dblink_live.models import Model, StreamingReconstructor
from dblink_live.pipeline.stages.items import SegmentEnd, SegmentStart
from dblink_live.pipeline.stages.stage import Stage
from dblink_live.status import LatencyRecorder
from dblink_live.types import Grid, LocalizationMap, Reconstruction

ReconstructInput = SegmentStart | LocalizationMap | SegmentEnd
CAPACITY = 4


class ReconstructStage:
    """Runs the network.

    Parameters
    ----------
    model
        The network and its facts.
    settings
        Lookahead and hop.
    provisional
        Whether provisional pictures are made, too.
    store
        Takes pictures to be stored, and a segment's end once its last picture is made.
    show
        Takes every picture, with its grid; None where nothing shows it.
    """

    def __init__(
        self,
        model: Model,
        settings: ReconstructConfig,
        *,
        provisional: bool,
        store: Callable[[Reconstruction | SegmentEnd], object],
        show: Callable[[Reconstruction, Grid], object] | None = None,
    ) -> None:
        self.stage: Stage[ReconstructInput] = Stage("reconstruct", self._handle, capacity=CAPACITY)
        self.latency = LatencyRecorder()
        """Of the pictures that were made, provisional ones left out."""
        self._model = model
        self._settings = settings
        self._provisional = provisional
        self._store = store
        self._show = show
        self._grid: Grid | None = None
        self._stream: StreamingReconstructor | None = None

    def _handle(self, item: ReconstructInput) -> None:
        if isinstance(item, LocalizationMap):
            if self._stream is not None:
                self._emit(self._stream.push(item))
                self.stage.count(1, item.t_last_frame_ns)
        elif isinstance(item, SegmentStart):
            self._grid = item.grid
            self._stream = StreamingReconstructor(
                self._model, self._settings.lookahead, self._settings.hop, self._provisional
            )
        else:
            if self._stream is not None:
                self._emit(self._stream.flush())
            self._store(item)

    def _emit(self, pictures: Iterable[Reconstruction]) -> None:
        for picture in pictures:
            if picture.stage != "provisional":
                self._store(picture)
                self.latency.add(picture.latency_s)
            if self._grid is not None and self._show is not None:
                self._show(picture, self._grid)
