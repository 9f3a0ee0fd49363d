"""Store: the only stage that writes arrays and windows of the run folder, in the order in which they come."""

from __future__ import annotations

from dblink_live.pipeline.recording.frame_accounts import FrameAccounts
from dblink_live.pipeline.stages.items import SegmentEnd, SegmentStart
from dblink_live.pipeline.stages.stage import Stage
from dblink_live.store import LiveStep, RunWriter
from dblink_live.types import Gap, LocalizationMap, Reconstruction
from dblink_live.windows import CompletedWindow

CAPACITY = 8


StoreInput = SegmentStart | CompletedWindow | Gap | Reconstruction | LiveStep | SegmentEnd


class StoreStage:
    """Writes a run.

    A map comes before its picture, and a segment's end after everything else of it: the stages in front hand them over
    in that order.

    Parameters
    ----------
    writer
        The run folder.
    accounts
        Is told of the frames that were committed, and asked for the ledger at a segment's end.
    """

    def __init__(self, writer: RunWriter, accounts: FrameAccounts) -> None:
        self.stage: Stage[StoreInput] = Stage("store", self.handle, capacity=CAPACITY)
        self.n_counts = 0
        """Maps that were written."""
        self.n_live = 0
        """Pictures that were written."""
        self._writer = writer
        self._accounts = accounts

    def handle(self, item: StoreInput) -> None:
        """Write one item."""
        if isinstance(item, CompletedWindow):
            self._write_window(item.map, item)
        elif isinstance(item, Reconstruction):
            self._writer.write_reconstruction(item)
            self.n_live += 1
        elif isinstance(item, LiveStep):
            self._writer.record_live_step(item)
        elif isinstance(item, Gap):
            self._writer.record_gap(item)
        elif isinstance(item, SegmentStart):
            self._writer.begin_segment(item.segment, item.grid, camera=item.camera)
            if item.note is not None:
                self._writer.event(item.note)
        else:
            for note in item.notes:
                self._writer.event(note)
            self._writer.write_ledger(item.segment, self._accounts.ledger(item.segment).to_plain())

    def _write_window(self, map: LocalizationMap, window: CompletedWindow) -> None:
        self._writer.write_map(map, window.localizations)
        self._accounts.committed(map.segment, map.n_frames - map.n_frames_missing)
        self.n_counts += 1
        self.stage.count(1, map.t_last_frame_ns)
