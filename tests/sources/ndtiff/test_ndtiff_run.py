"""A live run beside an acquisition that goes on: from the files to a run folder whose ledger balances."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.ndtiff_writers import JavaStyleWriter, frame_of
from dblink_live.cli import main
from dblink_live.simulate import make_camera
from dblink_live.store import open_run, verify_run
from dblink_live.types import Shape

SIDE, N_FRAMES = 24, 125


class _Announcement(logging.Handler):
    """Notices that the user was told to start the acquisition."""

    def __init__(self, made: threading.Event) -> None:
        super().__init__()
        self._made = made

    def emit(self, record: logging.LogRecord) -> None:
        self._made.set()


@pytest.fixture
def waiting() -> Iterator[threading.Event]:
    """Set once the follower waits for a dataset."""
    made = threading.Event()
    handler, logger = _Announcement(made), logging.getLogger("dblink_live.sources.ndtiff.discovery")
    logger.addHandler(handler)
    yield made
    logger.removeHandler(handler)


def test_a_run_beside_an_acquisition_accounts_for_every_image(
    waiting: threading.Event, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    camera = make_camera("filaments", Shape(SIDE, SIDE), seed=5)
    saved = tmp_path / "saved"
    saved.mkdir()

    def acquire() -> None:
        assert waiting.wait(60)
        writer = JavaStyleWriter(saved / "acq_1", {"PixelSizeUm": 0.1, "Interval_ms": 20.0})
        for number in range(N_FRAMES):
            # Two frames of the chosen channel never reach the disk: time skips them for both channels.
            time_index = number if number < 60 else number + 2
            writer.put({"time": time_index, "channel": "sir"}, camera.frame(number), {"Exposure": 20.0})
            writer.put({"time": time_index, "channel": "trans"}, frame_of(number, SIDE), {"Exposure": 5.0})
        writer.finish()

    acquisition = threading.Thread(target=acquire)
    acquisition.start()
    run = tmp_path / "cell.run"
    status = main(["run", "--no-view", "--json", "--source", f"ndtiff:{saved}?channel=sir", "--out", str(run)])
    acquisition.join()
    figures = json.loads(capsys.readouterr().out)
    assert status == 0
    # 127 times, of which 2 are lost: 120 frames in 12 whole windows, 7 behind them.
    frames = figures["frames"]
    assert (frames["seen"], frames["lost"]["camera"]) == (2 * N_FRAMES + 2, 2)
    assert frames["committed"] + frames["tail"] == N_FRAMES
    assert figures["fps_asked"] == 50.0
    report = verify_run(run)
    assert report.ok, report.problems
    with open_run(run) as stored:
        assert stored.ledger[0]["deselected"] == N_FRAMES
        assert stored.segments[0].segment.channel == "sir"
        assert stored.segments[0].segment.pixel_size_nm == 100.0
