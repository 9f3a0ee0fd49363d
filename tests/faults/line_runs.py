"""Runs of the live line over frames that a test makes, and what must hold of every one of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from dying_run import make_config

from dblink_live.errors import SourceError
from dblink_live.interfaces import FrameSource
from dblink_live.models import Model, load_model
from dblink_live.pipeline.live_loop import LiveLoop
from dblink_live.pipeline.provenance import describe_run
from dblink_live.pipeline.totals import LineTotals
from dblink_live.store import RunWriter, open_run, verify_run

WINDOW_FRAMES = 10
MAX_GAP_WINDOWS = 2
"""A longer gap begins a new segment."""


@cache
def _model() -> Model:
    return load_model("filaments", "cpu")


def run_line(source: FrameSource, folder: Path) -> LineTotals:
    """Write what ``source`` gives into a run; a source that fails leaves it interrupted."""
    # The least that the network can be asked for: what these tests look at is what comes to it.
    reconstruct = {"lookahead": 1, "hop": 4, "device": "cpu"}
    windows = {"frames": WINDOW_FRAMES, "max_gap_windows": MAX_GAP_WINDOWS}
    # Frames of these sources carry times of their own: no picture is too late.
    config = make_config(windows=windows, reconstruct=reconstruct, live={"latency_s": 1e12})
    info = describe_run(config, _model(), source.name)
    with RunWriter.create(folder, info, window_frames=WINDOW_FRAMES) as writer:
        line = LiveLoop(source, _model(), config, writer)
        return line.run(source.open())


def run_line_to_its_failure(source: FrameSource, folder: Path) -> str | None:
    """As `run_line`; what the source failed with, or None."""
    try:
        run_line(source, folder)
    except SourceError as error:
        return str(error)
    return None


def check_ledgers(folder: Path) -> dict[str, Any]:
    """Every frame has one fate, in each segment; return the sums over all of them."""
    report = verify_run(folder)
    assert report.ok, report.problems
    sums: dict[str, Any] = {"seen": 0, "committed": 0, "deselected": 0, "tail": 0, "lost": {}, "unknown_losses": 0}
    with open_run(folder) as run:
        assert list(run.ledger) == [stored.segment.index for stored in run.segments]
        for ledger in run.ledger.values():
            parts: Any = ledger
            fates = (parts["committed"], *parts["lost"].values(), parts["deselected"], parts["tail"])
            assert parts["seen"] == sum(fates) and parts["in_flight"] == 0, ledger
            for key in ("seen", "committed", "deselected", "tail", "unknown_losses"):
                sums[key] += parts[key]
            for cause, count in parts["lost"].items():
                sums["lost"][cause] = sums["lost"].get(cause, 0) + count
    return sums
