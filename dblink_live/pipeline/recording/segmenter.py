"""What a source gives, cut into segments: where one begins and ends, and what becomes of losses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from dblink_live.camera.resolve import pixel_size_conflict, resolve_camera
from dblink_live.config import RunConfig
from dblink_live.interfaces import SourceEvent
from dblink_live.latency import max_missing_windows
from dblink_live.pipeline.recording.frame_accounts import FrameAccounts
from dblink_live.pipeline.stages.items import ForLocalize, FrameBatch, SegmentEnd, SegmentStart
from dblink_live.types import Camera, Frame, Gap, GapCause, Grid, Segment


class Segmenter:
    """Numbers segments, ends one at a loss that is too long or of unknown size, and counts every frame.

    Parameters
    ----------
    config
        Of the run.
    pitch_nm
        Of the maps.
    accounts
        Is told of every frame and loss.
    default_camera
        What the source vouches for when the configuration is silent.
    first_segment
        Index of the first segment: above 0 in a run that is resumed.
    """

    def __init__(
        self,
        config: RunConfig,
        pitch_nm: float,
        accounts: FrameAccounts,
        *,
        default_camera: Camera | None = None,
        first_segment: int = 0,
    ) -> None:
        self._config = config
        self._pitch_nm = pitch_nm
        self._accounts = accounts
        self._default_camera = default_camera
        self._n_segments = first_segment
        self._next: Segment | None = None
        """What follows a gap that ended a segment: it begins with its first frame, if no other is announced before."""
        self.current: SegmentStart | None = None
        """The segment that frames belong to now."""
        self.pixel_size_nm = 0.0
        """Camera pixel of the newest segment."""

    def begin(self, announced: Segment) -> SegmentStart:
        """Begin a segment as its source announced it.

        Raises
        ------
        CalibrationError
            The camera of the segment is not known well enough.
        """
        self._next = None
        # Numbered here: a long gap starts a segment that the source knows nothing of.
        segment = replace(announced, index=self._n_segments)
        self._n_segments += 1
        camera = resolve_camera(self._config.camera, segment, self._default_camera)
        self.pixel_size_nm = camera.pixel_size_nm
        grid = Grid.covering(segment.shape, camera.pixel_size_nm, self._pitch_nm)
        self._accounts.open(segment.index)
        self.current = SegmentStart(segment, camera, grid, pixel_size_conflict(self._config.camera, segment))
        return self.current

    def end(self) -> Iterator[SegmentEnd]:
        """End the segment, where one is open."""
        if self.current is not None:
            yield SegmentEnd(self.current.segment.index)
            self.current = None

    def items(self, events: Iterable[SourceEvent]) -> Iterator[ForLocalize]:
        """Return what the stages are given for ``events`` of the source, in order."""
        batch: list[Frame] = []
        for event in events:
            if isinstance(event, Frame):
                batch.append(event)
                continue
            yield from self._frames(batch)
            batch = []
            if isinstance(event, Gap):
                yield from self._gap(event)
            else:
                yield from self.end()
                yield self.begin(event)
        yield from self._frames(batch)

    def _frames(self, frames: list[Frame]) -> Iterator[ForLocalize]:
        if not frames:
            return
        yield from self._begin_next()
        if self.current is not None:
            self._accounts.arrived(self.current.segment.index, len(frames))
            yield FrameBatch(frames)

    def _gap(self, gap: Gap) -> Iterator[ForLocalize]:
        """Account for frames that will not come."""
        yield from self._begin_next()
        if self.current is None:
            return
        segment = self.current.segment
        own = replace(gap, segment=segment.index)
        self._accounts.missed(own)
        if gap.cause is not GapCause.DESELECTED and self._ends_segment(gap):
            yield SegmentEnd(segment.index, gap=own)
            self.current, self._next = None, replace(segment, reason=f"gap ({gap.cause.value})")
        else:
            yield own

    def _ends_segment(self, gap: Gap) -> bool:
        settings = self._config.reconstruct
        most = max_missing_windows(
            self._config.windows.max_gap_windows,
            settings.lookahead,
            settings.hop,
            is_own_and_unrecorded=gap.cause is GapCause.RECONSTRUCT and not self._config.store.record,
        )
        return gap.count is None or gap.count > most * self._config.windows.frames

    def _begin_next(self) -> Iterator[SegmentStart]:
        if self._next is not None:
            yield self.begin(self._next)
