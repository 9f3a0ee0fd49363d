"""Takes up a run that was interrupted: by a crash, a failing source, a full disk, or while it was being finalized.

What is committed stays as it is. The stored counts of the segment that broke off are replayed to rebuild the network's
state, and the pictures that were in flight are made again: the same, to the bit on a CPU, as an uninterrupted run
would have committed had the segment ended there. Then the source goes on in a new segment, with fresh network state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from dblink_live.config import RunConfig, changed_settings, run_config_from_plain
from dblink_live.errors import ConfigError, ModelError, StoreError
from dblink_live.models import Model, StreamingEngine, bounded_pass, load_model
from dblink_live.pipeline.live_run import (
    LiveSession,
    Resumption,
    forecast_of,
    open_for_run,
    open_publisher,
    recorder_of,
    start_message,
)
from dblink_live.pipeline.provenance import package_versions
from dblink_live.sources import SourceSpec, parse_source
from dblink_live.store import (
    CommittedWindow,
    Run,
    RunWriter,
    SegmentCounts,
    StoredSegment,
    ledger_from_journal,
    open_run,
    trim_raw,
)
from dblink_live.types import Camera, Gap, GapCause, Reconstruction

REASON = "resume"
MAY_CHANGE = frozenset(
    {
        "publish.address",
        "publish.keys",
        "reconstruct.device",
        "reconstruct.threads",
        "reconstruct.provisional",
        "live.latency_s",
        "live.region",
        "store.when_full",
    }
)
"""Settings that are about the machine and not about the pictures."""


def open_resumed_run(
    folder: Path,
    config: RunConfig | None = None,
    *,
    publish: bool = True,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> LiveSession:
    """Open an interrupted run, complete what had been in flight, and open its source again.

    A recording goes on behind the last committed window. A camera starts again, for as many frames as are left of those
    that were asked for; what it took in the meantime is lost, and said to be of unknown number. A run that had come to
    its end and only was not finalized needs no source.

    Parameters
    ----------
    folder
        The run.
    config
        Settings of the user's choice; they must be those that the run was begun with, but for `MAY_CHANGE`. None takes
        the stored ones.
    publish
        Whether viewers can connect.
    on_progress
        Called with the number of windows of a segment that were replayed, and their total.

    Raises
    ------
    StoreError
        It is no run, it is complete, or another process writes to it.
    ConfigError, ModelError
        A setting or the model is another than the run was begun with.
    SourceError
        The source cannot be opened. What was redone is committed by then.
    """
    with ExitStack() as stack:
        with open_run(folder) as run:
            stored_config = run_config_from_plain(run.config)
            config = _checked(stored_config, config)
            if config.reconstruct.threads:
                torch.set_num_threads(config.reconstruct.threads)
            model = _same_model(run, config)
            spec = _source_of(run, stored_config)
            info, was_finalizing = run.info, run.is_finalizing
            writer = stack.enter_context(RunWriter.resume(folder))
            trim_raw(folder)
            resumed = _take_up(run, writer, model, config, spec, on_progress)
        if was_finalizing or (spec.frames is not None and spec.frames <= resumed.n_frames_kept):
            return LiveSession(None, model, config, writer, None, info, stack.pop_all(), resumed)
        opened, camera = open_for_run(spec, config, stack, resumed.n_frames_kept)
        opened = replace(opened, segment=replace(opened.segment, reason=REASON))
        publisher = open_publisher(config, stack) if publish else None
        if publisher is not None:
            publisher.start(start_message(info, opened, folder, camera, model, config))
        config, expected = forecast_of(opened, camera, model, config)
        recorder = recorder_of(opened, camera, config, writer, stack, first_segment=resumed.n_segments)
        return LiveSession(opened, model, config, writer, publisher, info, stack.pop_all(), resumed, recorder, expected)


def _checked(stored: RunConfig, asked: RunConfig | None) -> RunConfig:
    """The configuration to go on with."""
    if asked is None:
        return stored
    # The source was stored with the run; a configuration file need not repeat it.
    asked = msgspec.structs.replace(asked, source=stored.source if asked.source.spec is None else asked.source)
    if asked.reconstruct.engine == "auto":  # which one that was, the run has stored
        engine = stored.reconstruct.engine
        asked = msgspec.structs.replace(asked, reconstruct=msgspec.structs.replace(asked.reconstruct, engine=engine))
    changed = {name: values for name, values in changed_settings(stored, asked).items() if name not in MAY_CHANGE}
    if changed:
        listing = ", ".join(f"{name} = {now!r} (was {before!r})" for name, (before, now) in changed.items())
        raise ConfigError(
            f"expected the settings that the run was begun with, found {listing}; resume without them, or begin a new "
            "run"
        )
    return asked


def _same_model(run: Run, config: RunConfig) -> Model:
    model = load_model(config.reconstruct.model, device=config.reconstruct.device)
    if model.sha256 != run.info.model_sha256:
        raise ModelError(
            f"expected model {config.reconstruct.model!r} with sha256 {run.info.model_sha256[:12]}, with which the run "
            f"was begun, found {model.sha256[:12]}; put that file back, or begin a new run"
        )
    return model


def _source_of(run: Run, config: RunConfig) -> SourceSpec:
    if config.source.spec is None:
        raise StoreError(f"expected {run.path} to say where its frames came from, found nothing; begin a new run")
    return parse_source(config.source.spec)


def _take_up(
    run: Run,
    writer: RunWriter,
    model: Model,
    config: RunConfig,
    spec: SourceSpec,
    on_progress: Callable[[int, int], None],
) -> Resumption:
    """Complete every segment that broke off, and note in the log what was found and done."""
    rows = run.windows("counts")
    segments = run.segments
    last_commit_ns = max((row.t_commit_ns for row in run.windows()), default=None)
    n_redone = 0
    for stored in segments:
        n_redone += _redo_pictures(run, stored, writer, model, config, on_progress)
        if stored.segment.index not in run.ledger:
            _close_ledger(run, stored.segment.index, writer, spec)
    resumed = Resumption(
        n_segments=len(segments),
        n_frames_kept=_n_kept(rows, spec),
        n_redone=n_redone,
        estimated_camera=_estimated(segments),
        # A clock that was set back meanwhile must not make it negative.
        downtime_s=None if last_commit_ns is None else max(round((time.time_ns() - last_commit_ns) * 1e-9, 3), 0.0),
    )
    since = "" if resumed.downtime_s is None else f" {resumed.downtime_s:.1f} s after the last commit"
    writer.event(f"resumed{since}: {len(rows)} windows kept, {n_redone} pictures redone{_other_versions(run)}")
    writer.flush()
    return resumed


def _estimated(segments: Sequence[StoredSegment]) -> Camera | None:
    """The newest camera that was estimated from the frames."""
    cameras = (stored.to_camera() for stored in reversed(segments))
    return next((camera for camera in cameras if camera is not None and camera.is_estimated), None)


def _redo_pictures(
    run: Run,
    stored: StoredSegment,
    writer: RunWriter,
    model: Model,
    config: RunConfig,
    on_progress: Callable[[int, int], None],
) -> int:
    """Make the pictures of a segment that were in flight; return their number."""
    index = stored.segment.index
    if run.live_steps(index):
        # Some of them were left out on purpose, or show a part of the field: all that are missing are left to `refine`.
        return 0
    committed = {row.window for row in run.windows("live", index)}
    counts = SegmentCounts(run, stored)
    n_windows = counts.shape[0]
    missing = [t for t in range(n_windows) if (row := counts.row(t)) is not None and row.window not in committed]
    if not missing:
        return 0
    watched = _WatchedCounts(counts, on_progress)
    engine = StreamingEngine(model.network, config.reconstruct.lookahead, config.reconstruct.hop)
    for picture in bounded_pass(engine, watched, counts.present, first=missing[0]):
        row = counts.row(picture.window)
        if row is not None and row.window not in committed:
            image = picture.probability.cpu().numpy()
            error = None if picture.error is None else picture.error.cpu().numpy()
            writer.write_reconstruction(
                Reconstruction(index, row.window, image, "bounded", picture.lookahead, error=error)
            )
    return len(missing)


def _close_ledger(run: Run, segment: int, writer: RunWriter, spec: SourceSpec) -> None:
    """Say of a segment that broke off what is known of its frames."""
    rows, gaps = run.windows("counts", segment), run.gaps
    if spec.is_recording:
        # What was read and not committed is read again, in the next segment: nothing is lost.
        known = ledger_from_journal(segment, rows, gaps)
        n_committed = sum(row.stop - row.start - row.n_frames_missing for row in rows)
        n_lost = sum(row.n_frames_missing for row in rows)
        writer.write_ledger(segment, {**known, "seen": n_committed + n_lost, "tail": 0})
        return
    if not any(gap.segment == segment and gap.cause is GapCause.LOST_IN_CRASH for gap in gaps):
        last = max((row.stop - 1 for row in rows), default=-1)
        gap = Gap(segment, after=last, count=None, cause=GapCause.LOST_IN_CRASH)
        writer.record_gap(gap)
        gaps = [*gaps, gap]
    writer.write_ledger(segment, ledger_from_journal(segment, rows, gaps))


def _n_kept(rows: list[CommittedWindow], spec: SourceSpec) -> int:
    """Frames behind which a recording goes on, or by which a camera has fewer to take."""
    if spec.is_recording:
        return max((row.stop for row in rows), default=0)
    return sum(row.stop - row.start for row in rows)


def _other_versions(run: Run) -> str:
    before, now = run.info.versions, package_versions()
    changed = [f"{name} {now.get(name)} (was {found})" for name, found in before.items() if now.get(name) != found]
    return f"; with {', '.join(changed)}" if changed else ""


class _WatchedCounts:
    """Counts that report how far they have been read."""

    def __init__(self, counts: SegmentCounts, on_progress: Callable[[int, int], None]) -> None:
        self.shape = counts.shape
        self._counts = counts
        self._on_progress = on_progress

    def __getitem__(self, key: slice) -> npt.NDArray[np.uint16]:
        self._on_progress(int(key.stop), self.shape[0])
        return self._counts[key]
