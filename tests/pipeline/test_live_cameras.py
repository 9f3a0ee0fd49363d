"""The whole live loop over a real ring, with a localizer or a network that is too slow for its camera."""

from __future__ import annotations

import mmap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dblink_live.config import run_config_from_plain
from dblink_live.interfaces import Skipping, SourceEvent
from dblink_live.localization import GaussianLocalizer
from dblink_live.models import load_model
from dblink_live.pipeline.live_loop import LiveLoop
from dblink_live.pipeline.provenance import describe_run
from dblink_live.pipeline.stages import localize
from dblink_live.simulate import SCMOS
from dblink_live.sources.camera_process import RingEnd, RingReader, RingShape, RingWriter
from dblink_live.store import RunWriter, open_run, verify_run
from dblink_live.types import Camera, FrameArray, Localizations, Segment, Shape

FIELD = Shape(32, 32)
INTERVAL_S = 0.01


class Ring:
    """A camera that takes frames on the host's clock into a real ring, whenever somebody looks."""

    name = "ring"
    is_live = True
    n_frames_expected = None

    def __init__(self, n_frames: int) -> None:
        shape = RingShape(n_slots=2048, slot_bytes=2 * FIELD.height * FIELD.width)
        memory = mmap.mmap(-1, shape.nbytes)
        self._writer, self._reader = RingWriter(memory, shape), RingReader(memory)
        self._n_frames, self._n_taken, self._started_s = n_frames, 0, 0.0
        self._has_ended = False
        self.max_age_s: float | None = None
        self.asked_for: list[float] = []

    @property
    def n_waiting(self) -> int:
        return self._reader.counters.depth

    def open(self) -> Segment:
        self._writer.write_segment(Segment(0, FIELD, "uint16", frame_interval_ms=1000 * INTERVAL_S))
        (segment,) = self._reader.read(0)
        assert isinstance(segment, Segment)
        return segment

    def read(self, max_frames: int, timeout_s: float) -> list[SourceEvent]:
        self._started_s = self._started_s or time.perf_counter()
        due = min(self._n_frames, int((time.perf_counter() - self._started_s) / INTERVAL_S))
        while self._n_taken < due:
            taken_ns = round((self._started_s + self._n_taken * INTERVAL_S) * 1e9)
            frame = np.full(FIELD, 100, np.uint16)
            self._writer.write_frame(0, self._n_taken, taken_ns, frame)
            self._n_taken += 1
            if self._n_taken == self._n_frames:
                self._writer.write_end()
        items: list[Any] = []
        if self.max_age_s is not None:
            self.asked_for.append(self.max_age_s)
            oldest_ns, now_ns = self._reader.oldest_ns, time.perf_counter_ns()
            if oldest_ns is not None and now_ns - oldest_ns > self.max_age_s * 1e9:
                items += self._reader.give_up(now_ns - round(self.max_age_s * 1e9 / 4))
        items += self._reader.read(max_frames)
        self._has_ended = self._has_ended or any(isinstance(item, RingEnd) for item in items)
        return [item for item in items if not isinstance(item, RingEnd)]

    @property
    def is_finished(self) -> bool:
        return self._has_ended

    def stop(self) -> None:
        self._n_frames = self._n_taken

    def close(self) -> None:
        """Nothing is held but memory."""


class SlowLocalizer:
    """Takes eight times as long for a frame as the camera does."""

    name = "slow"

    def __init__(self, camera: Camera, psf_sigma_px: float | None = None) -> None:
        self._inner = GaussianLocalizer(camera, psf_sigma_px=psf_sigma_px)

    def localize(self, frames: FrameArray, frame_numbers: np.ndarray) -> Localizations:
        time.sleep(8 * INTERVAL_S * len(frames))
        return self._inner.localize(frames, frame_numbers)


def test_frames_that_wait_too_long_for_the_localizer_are_skipped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(localize, "get_localizer_factory", lambda name: SlowLocalizer)
    plain = {
        "camera": {"pixel_size_nm": 160.0, "offset_adu": SCMOS.offset_adu, "electrons_per_adu": 1.0},
        "localizer": {"psf_sigma_px": 0.9},
        "reconstruct": {"lookahead": 1, "hop": 1, "device": "cpu"},
        "live": {"latency_s": 1.2},
        "windows": {"max_gap_windows": 100},
        "store": {"record": True},
    }
    config = run_config_from_plain(plain)
    source = Ring(n_frames=300)
    assert isinstance(source, Skipping)
    info = describe_run(config, load_model("filaments", "cpu"), source.name)
    with RunWriter.create(tmp_path / "a.run", info, window_frames=10) as writer:
        totals = LiveLoop(source, load_model("filaments", "cpu"), config, writer).run(source.open())
    assert totals.lost.get("reconstruct", 0) > 0
    assert totals.frames_seen == 300 == totals.frames_committed + totals.frames_tail + sum(totals.lost.values())
    assert source.asked_for[0] == pytest.approx(0.5 * (1.2 - 0.2))
    assert totals.budget_s == 1.2
    report = verify_run(tmp_path / "a.run")
    assert report.ok, report.problems
    with open_run(tmp_path / "a.run") as run:
        windows = run.windows("counts")
        assert len(windows) == 30  # whole or not, each has its place
        made = {row.window for row in run.windows("live")}
        assert made | {step.window for step in run.live_steps()} == set(range(30))
