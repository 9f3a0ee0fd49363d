"""The window on a run folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from growing_run import GRID, GrowingRun, counts_of, probability_of
from PySide6.QtTest import QTest

from dblink_live.bus import Publisher, StartMessage
from dblink_live.errors import StoreError
from dblink_live.store import RunWriter
from dblink_live.types import LocalizationMap, Reconstruction, RunInfo, Segment, Shape, empty_localizations
from dblink_live.viewer.sources.stored_source import SUM_WINDOWS, StoredSource
from dblink_live.viewer.theme import Tone
from dblink_live.viewer.window import ViewerWindow

Until = Callable[[Callable[[], Any]], Any]


def shown(window: ViewerWindow, slot: Any) -> Any:
    picture = window.presenter.area.panels[slot].picture
    assert picture is not None
    return picture.image


def test_scrubbing_shows_the_stored_windows(growing_run: GrowingRun, open_window: Callable[..., ViewerWindow]) -> None:
    growing_run.add(60)
    growing_run.writer.finalize()
    window = open_window(None, StoredSource(growing_run.path))
    assert window.presenter.timeline.position == 59
    window.presenter.timeline.scrub_to(40)
    np.testing.assert_array_equal(shown(window, "reconstruction"), probability_of(40))
    expected = sum(counts_of(n).astype(np.uint32) for n in range(40 - SUM_WINDOWS + 1, 41))
    np.testing.assert_array_equal(shown(window, "sum"), expected)
    window.presenter.step(-35)
    np.testing.assert_array_equal(shown(window, "sum"), sum(counts_of(n).astype(np.uint32) for n in range(6)))
    picture = window.presenter.area.panels["sum"].picture
    assert picture is not None
    assert (picture.pitch_nm, picture.origin_nm) == (GRID.pitch_nm, GRID.origin_nm)
    window.presenter.step(-1000)
    assert window.presenter.timeline.position == 0
    assert window.presenter.mode == "stored"
    # There are no camera frames in a run folder: no black panel for them.
    assert not window.presenter.area.panels["camera"].isVisible()


def test_half_precision_and_bytes_are_both_probabilities(tmp_path: Path) -> None:
    run = GrowingRun(tmp_path / "run")
    run.add(10)
    half = np.full(GRID.shape, 0.5, np.float32)
    run.writer.write_reconstruction(Reconstruction(0, 2, half, "bounded", 8))
    run.writer.finalize()
    feed = StoredSource(run.path)
    # 0.5 is stored as 128 of 255.
    np.testing.assert_allclose(feed.at(2)["reconstruction"].image, 128 / 255, rtol=1e-6)
    feed.close()


def test_the_full_pass_is_preferred_and_the_live_one_a_key_away(
    growing_run: GrowingRun, open_window: Callable[..., ViewerWindow]
) -> None:
    growing_run.add(12)
    full = Reconstruction(0, 3, probability_of(30), "full", 8)
    growing_run.writer.write_reconstruction(full)
    growing_run.writer.finalize()
    window = open_window(None, StoredSource(growing_run.path))
    window.presenter.timeline.scrub_to(3)
    picture = window.presenter.area.panels["reconstruction"].picture
    assert picture is not None
    assert picture.badge == "FULL PASS"
    window.presenter.toggle_provisional()
    np.testing.assert_array_equal(shown(window, "reconstruction"), probability_of(3))


def test_a_growing_run_is_followed_until_someone_scrubs(
    growing_run: GrowingRun, open_window: Callable[..., ViewerWindow], until: Until
) -> None:
    growing_run.add(10)
    window = open_window(None, StoredSource(growing_run.path))
    assert window.presenter.timeline.position == 9
    assert window.presenter.area.panels["reconstruction"].picture is None  # its lookahead has not passed
    growing_run.add(10)
    until(lambda: window.presenter.refresh_history() or window.presenter.timeline.position == 19)
    window.presenter.timeline.scrub_to(4)
    growing_run.add(10)
    until(lambda: window.presenter.refresh_history() or "30" in window.presenter.timeline.text)
    assert window.presenter.timeline.position == 4
    window.presenter.follow()
    until(lambda: window.presenter.refresh_history() or window.presenter.timeline.position == 29)


def test_playing_goes_on_to_the_end_and_stops(
    growing_run: GrowingRun, open_window: Callable[..., ViewerWindow], until: Until
) -> None:
    growing_run.add(6)
    growing_run.writer.finalize()
    window = open_window(None, StoredSource(growing_run.path))
    window.presenter.pause()
    assert window.presenter.mode == "playing"
    assert window.presenter.timeline.position == 0
    until(lambda: window.presenter.showing == "stored")
    assert window.presenter.timeline.position == 5


def test_lost_frames_are_marked_where_they_were(
    growing_run: GrowingRun, open_window: Callable[..., ViewerWindow]
) -> None:
    growing_run.add(20)
    growing_run.lose(after=73, count=4)
    growing_run.writer.finalize()
    feed = StoredSource(growing_run.path)
    assert feed.gap_indices == (7,)  # window 7 holds frames 70 to 79
    window = open_window(None, feed)
    window.presenter.tick()
    lost = next(item for item in window.presenter.status_bar.shown if item.name == "lost")
    assert (lost.text, lost.tone) == ("4 frames lost", Tone.ALARM)


def test_time_goes_on_where_lost_frames_began_a_segment(tmp_path: Path) -> None:
    info = RunInfo(uuid="1", created_utc="2026-01-01T00:00:00", config={}, model="filaments", model_sha256="")
    segment = Segment(0, Shape(24, 32), "uint16", frame_interval_ms=20.0, wall_clock_anchor_ns=10**18)
    restarted = replace(segment, index=2, wall_clock_anchor_ns=10**18 + 60 * 10**9)
    begins = ((segment, 100), (replace(segment, index=1, reason="gap (reconstruct)"), 500), (restarted, 0))
    with RunWriter.create(tmp_path / "gaps.run", info, window_frames=10) as writer:
        for of, first in begins:
            writer.begin_segment(of, GRID, 108.0)
            for window in range(2):
                start = first + 10 * window
                counts = LocalizationMap(of.index, window, start, start + 10, counts_of(window), GRID)
                writer.write_map(counts, empty_localizations())
        writer.finalize()
    feed = StoredSource(tmp_path / "gaps.run")
    try:
        # Seconds from frame 100 on: frame 510 is 8.2 s later; the acquisition that was started again, a minute.
        assert [feed.time_s(index) for index in range(6)] == pytest.approx([0.2, 0.4, 8.2, 8.4, 60.2, 60.4])
    finally:
        feed.close()


def test_an_interrupted_run_says_so(growing_run: GrowingRun, open_window: Callable[..., ViewerWindow]) -> None:
    growing_run.add(10)
    growing_run.writer.close()
    window = open_window(None, StoredSource(growing_run.path))
    window.presenter.tick()
    assert "interrupted" in window.presenter.banner.text()


def test_a_damaged_window_is_named_and_the_others_are_shown(
    growing_run: GrowingRun, open_window: Callable[..., ViewerWindow]
) -> None:
    growing_run.add(40)
    growing_run.writer.finalize()
    chunk = growing_run.path / "run.ome.zarr" / "counts" / "0" / "c" / "3" / "0" / "0"
    chunk.write_bytes(b"not a shard at all")
    window = open_window(None, StoredSource(growing_run.path))
    window.presenter.timeline.scrub_to(3)
    window.presenter.tick()
    assert "verify" in window.presenter.banner.text()
    assert window.presenter.banner.notice.tone is Tone.ALARM
    window.presenter.timeline.scrub_to(30)
    window.presenter.tick()
    assert not window.presenter.banner.isVisible()
    np.testing.assert_array_equal(shown(window, "reconstruction"), probability_of(30))


def test_no_run_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="run folder"):
        StoredSource(tmp_path / "nothing")
    with pytest.raises(StoreError, match="run folder"):
        StoredSource(tmp_path)


def test_a_live_run_on_this_machine_can_be_scrubbed_and_left_again(
    growing_run: GrowingRun, live_window: ViewerWindow, publisher: Publisher, until: Until
) -> None:
    growing_run.add(30)
    publisher.start(StartMessage(run_uuid="1", source="test", run_folder=str(growing_run.path)))
    until(
        lambda: (
            live_window.presenter.tick()
            or live_window.presenter.refresh_history()
            or "30" in live_window.presenter.timeline.text
        )
    )
    live_window.presenter.timeline.scrub_to(12)
    assert live_window.presenter.mode == "stored"
    np.testing.assert_array_equal(shown(live_window, "reconstruction"), probability_of(12))
    live_window.presenter.timeline.follow_button.click()
    assert live_window.presenter.mode == "live"
    QTest.qWait(1)
    assert live_window.presenter.timeline.position == 29


def test_the_folder_of_another_run_is_not_taken_for_that_of_the_live_one(
    growing_run: GrowingRun, live_window: ViewerWindow, publisher: Publisher, until: Until
) -> None:
    growing_run.add(30)
    publisher.start(StartMessage(run_uuid="2", source="test", run_folder=str(growing_run.path)))
    until(
        lambda: (
            live_window.presenter.tick()
            or live_window.presenter.refresh_history()
            or "test" in live_window.windowTitle()
        )
    )
    live_window.presenter.timeline.scrub_to(12)
    assert live_window.presenter.mode == "live"
    assert live_window.presenter.area.panels["reconstruction"].picture is None


def test_a_folder_of_a_live_run_that_is_not_here_does_not_matter(
    tmp_path: Path, live_window: ViewerWindow, publisher: Publisher, until: Until
) -> None:
    (tmp_path / "empty").mkdir()
    publisher.start(StartMessage(source="test", run_folder=str(tmp_path / "empty")))
    until(
        lambda: (
            live_window.presenter.tick()
            or live_window.presenter.refresh_history()
            or "test" in live_window.windowTitle()
        )
    )
    live_window.presenter.tick()
    assert live_window.presenter.mode == "live"
    assert not live_window.presenter.banner.isVisible()
