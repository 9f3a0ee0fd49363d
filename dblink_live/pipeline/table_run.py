"""A run folder from a localization table: a recording goes through windows, network and store as a camera's frames do.

Afterwards `refine`, `analyze`, `report`, `view` and `verify` take it as any other run. A table holds no frames and
tells no time: there is no latency, and no calibration of a camera that anybody knows of.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dblink_live.config import RunConfig
from dblink_live.errors import SourceError
from dblink_live.ledger import Ledger
from dblink_live.models import StreamingReconstructor, load_model
from dblink_live.pipeline.provenance import describe_run
from dblink_live.store import RunWriter
from dblink_live.tables import LocalizationTable
from dblink_live.tables.extent import covering_grid, first_frame_note, span_frames
from dblink_live.types import LOCALIZATION_DTYPE, Reconstruction, Segment
from dblink_live.windows import CompletedWindow, WindowAccumulator

BLOCK_FRAMES = 1024


def run_table(
    table: LocalizationTable,
    folder: Path,
    config: RunConfig,
    *,
    name: str,
    on_progress: Callable[[int], None] = lambda n_frames: None,
) -> int:
    """Make the run ``folder`` from ``table`` and return the number of its windows.

    Parameters
    ----------
    table
        At least one window of frames; rows outside its field are kept and counted in no map.
    folder
        Must not exist, or be empty.
    config
        Of it, ``windows``, ``reconstruct`` and ``store.live_dtype`` count.
    name
        What the run says of its source.
    on_progress
        Is told how many frames are done.

    Raises
    ------
    SourceError
        The table is empty, holds NaN or fewer frames than a window, or its field is impossibly large.
    StoreError
        The folder holds something, or cannot be written.
    """
    rows = table.localizations
    n_bad = int(np.count_nonzero(~(np.isfinite(rows["x"]) & np.isfinite(rows["y"]))))
    if n_bad:
        raise SourceError(f"expected finite positions in {name}, found NaN or infinity in {n_bad} rows; remove them")
    length = config.windows.frames
    begin, stop = span_frames(table, length, name)
    n_frames = stop - begin
    if n_frames < length:
        raise SourceError(
            f"expected a window of {length} frames or more in {name}, found {n_frames}; take shorter windows"
        )
    model = load_model(config.reconstruct.model, device=config.reconstruct.device)
    grid = covering_grid(table, model.pixel_size_nm, name)
    segment = Segment(0, table.field(), "uint16", pixel_size_nm=table.pixel_size_nm)
    info = describe_run(config, model, name)
    with RunWriter.create(folder, info, window_frames=length, live_dtype=config.store.live_dtype) as writer:
        writer.begin_segment(segment, grid)
        windows = WindowAccumulator(grid, table.pixel_size_nm, length, segment=0, first_frame=begin)
        note = first_frame_note(begin, length)
        if note is not None:
            writer.event(note)
        line = _Line(writer, StreamingReconstructor(model, config.reconstruct.lookahead, config.reconstruct.hop))
        frame_of = rows["frame"]
        for first in range(begin, stop, BLOCK_FRAMES):
            numbers = np.arange(first, min(first + BLOCK_FRAMES, stop))
            low, high = np.searchsorted(frame_of, [first, first + len(numbers)])
            line.take(windows.add(numbers, np.zeros_like(numbers), rows[low:high].astype(LOCALIZATION_DTYPE)))
            on_progress(first - begin + len(numbers))
        line.end()
        n_windows = n_frames // length
        ledger = Ledger(segment=0).with_frames(n_frames).with_committed(n_windows * length)
        writer.write_ledger(0, ledger.with_tail(windows.flush()).to_plain())
        if windows.n_outside:
            writer.event(f"{windows.n_outside} localizations lie outside the field and are in no map")
    return n_windows


class _Line:
    """Windows in, maps and pictures into the run."""

    def __init__(self, writer: RunWriter, reconstructor: StreamingReconstructor) -> None:
        self._writer = writer
        self._reconstructor = reconstructor

    def take(self, windows: list[CompletedWindow]) -> None:
        for window in windows:
            self._writer.write_map(window.map, window.localizations)
            self._write(self._reconstructor.push(window.map))

    def end(self) -> None:
        self._write(self._reconstructor.flush())

    def _write(self, pictures: list[Reconstruction]) -> None:
        for picture in pictures:
            self._writer.write_reconstruction(picture)
