"""Windows that live processing skipped are made whole from recorded frames: to the bit what they would have been."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from dying_run import make_config
from line_runs import MAX_GAP_WINDOWS, WINDOW_FRAMES
from ring_source import RingSource, camera_of

from dblink_live.models import load_model
from dblink_live.pipeline.live_loop import LiveLoop
from dblink_live.pipeline.provenance import describe_run
from dblink_live.refine import Backfill, RefineSettings, open_refinement
from dblink_live.simulate import make_camera
from dblink_live.store import RawWriter, Run, RunWriter, SegmentCounts, create_raw, open_run, trim_raw, verify_run
from dblink_live.types import FrameArray, Segment, Shape

SHAPE = Shape(16, 16)
N_FRAMES = 150
N_SLOTS = 32
BURSTS = (25, 38, 10, 77)
"""Frames that the camera takes between two looks: the second lets a few go, the last so many that a segment ends."""


@pytest.fixture(scope="module")
def frames() -> FrameArray:
    camera = make_camera("filaments", SHAPE, seed=4)
    return np.stack([camera.frame(n) for n in range(N_FRAMES)])


def write_run(folder: Path, frames: FrameArray, n_slots: int, sigma_px: float | None, **localizer: object) -> None:
    """The live line over what comes through a ring of ``n_slots``."""
    model = load_model("filaments", "cpu")
    config = make_config(
        windows={"frames": WINDOW_FRAMES, "max_gap_windows": MAX_GAP_WINDOWS},
        reconstruct={"lookahead": 1, "hop": 4, "device": "cpu"},
        live={"latency_s": 1e12},  # the frames' times are their own: no picture is too late
        localizer=localizer if sigma_px is None else {"psf_sigma_px": sigma_px, **localizer},
    )
    bursts = itertools.chain(BURSTS, itertools.repeat(N_FRAMES))
    source = RingSource(SHAPE, n_slots, camera_of(frames, lambda: next(bursts)))
    with RunWriter.create(folder, describe_run(config, model, "ring"), window_frames=WINDOW_FRAMES) as writer:
        LiveLoop(source, model, config, writer).run(source.open())


def record(folder: Path, frames: FrameArray, numbers: list[int], first_segment: int = 0) -> None:
    """What the recorder's process does beside a run."""
    session = create_raw(folder, Segment(first_segment, SHAPE, "uint16", frame_interval_ms=20.0), 160.0)
    raw = RawWriter(folder, session)
    for number in numbers:
        raw.append(number, 20_000_000 * number, frames[number])
    raw.finish("ended with the camera")
    raw.close()
    trim_raw(folder)


def committed(run: Run) -> dict[tuple[str, int, int], bytes]:
    return {(row.product, row.segment, row.window): run.read_window(row).tobytes() for row in run.windows()}


@pytest.mark.parametrize(
    ("sigma_px", "localizer"),
    [
        pytest.param(0.875, {}, id="a width that was stated"),
        pytest.param(None, {}, id="a width that is learned"),
        pytest.param(
            0.875, {"fit": "free", "min_photons": 300.0, "max_precision_px": 0.2, "max_misfit": 3.0}, id="every setting"
        ),
    ],
)
def test_skipped_windows_are_what_an_undisturbed_run_counts(
    tmp_path: Path, frames: FrameArray, sigma_px: float | None, localizer: dict[str, object]
) -> None:
    folder, whole = tmp_path / "skipping.run", tmp_path / "whole.run"
    write_run(folder, frames, N_SLOTS, sigma_px, **localizer)
    write_run(whole, frames, N_FRAMES, sigma_px, **localizer)
    with open_run(folder) as run:
        before, ledger = committed(run), run.ledger
        segments = run.segments
        lacking = [row for row in run.windows("counts") if row.n_frames_missing]
        begins = [min(row.start for row in run.windows("counts", stored.segment.index)) for stored in segments]
    # What the test is about has happened: windows lack frames, and a gap was so long that a segment begins behind it.
    assert lacking and len(segments) == 2 and begins[1] % WINDOW_FRAMES != 0
    record(folder, frames, list(range(N_FRAMES)))

    mending = Backfill(folder)
    n_windows = mending.n_windows
    summary = mending.run()
    assert (summary.n_mended, summary.n_left, summary.reasons) == (n_windows, 0, [])
    assert n_windows > len(lacking)

    with open_run(folder) as run, open_run(whole) as undisturbed:
        counts = {row.start: undisturbed.read_window(row) for row in undisturbed.windows("counts")}
        mended = SegmentCounts(run, segments[0], mended=True)
        assert mended.present.min() == 1.0
        # To the last whole window before the next segment begins.
        assert mended.shape[0] == begins[1] // WINDOW_FRAMES > MAX_GAP_WINDOWS
        made = {row.window for row in run.windows("mended", 0)}
        for t in range(mended.shape[0]):
            # What lacked nothing stays as it was, also where its width was learned from fewer frames.
            if sigma_px is not None or t in made:
                assert np.array_equal(mended[t : t + 1][0], counts[WINDOW_FRAMES * t])
        for row in run.windows("mended", 0):
            found = run.localizations(0, row.window, "mended")
            assert np.array_equal(found, undisturbed.localizations(0, row.window))
        # Nothing that was committed is another now, and what was lost live stays said.
        after = committed(run)
        assert {key: after[key] for key in before} == before
        assert run.ledger == ledger
    report = verify_run(folder)
    assert report.ok, report.problems
    assert Backfill(folder).n_windows == 0

    with open_refinement(folder, RefineSettings(), device="cpu") as refinement:
        refined = refinement.run()
    n_windows = begins[1] // WINDOW_FRAMES + (N_FRAMES - begins[1]) // WINDOW_FRAMES
    assert refined.n_full == refined.written == refined.n_counts == n_windows
    assert verify_run(folder).ok


def test_what_was_not_recorded_stays_missing_and_is_said(tmp_path: Path, frames: FrameArray) -> None:
    folder = tmp_path / "skipping.run"
    write_run(folder, frames, N_SLOTS, 0.875)
    assert Backfill(folder).run().n_mended == 0
    with open_run(folder) as run:
        lacking = {row.window for row in run.windows("counts", 0) if row.n_frames_missing}
    assert Backfill(folder).run().n_left >= len(lacking)
    # The recorder came late: half of the first window that lacks frames, then all of them.
    begin = WINDOW_FRAMES * min(lacking) + 5
    record(folder, frames, [n for n in range(begin, N_FRAMES) if n != begin + 7])
    with open_run(folder) as run:
        (first,) = (row for row in run.windows("counts", 0) if row.window == min(lacking))
    Backfill(folder).run()
    with open_run(folder) as run:
        mended = {row.window: row.n_frames_missing for row in run.windows("mended", 0)}
        # Made again where the recording has more of it than live processing had.
        assert (first.window in mended) == (first.n_frames_missing > 5)
        assert mended[min(lacking) + 1] == 1
    assert verify_run(folder).ok


def test_a_mending_that_is_stopped_goes_on(tmp_path: Path, frames: FrameArray) -> None:
    folder = tmp_path / "skipping.run"
    write_run(folder, frames, N_SLOTS, 0.875)
    record(folder, frames, list(range(N_FRAMES)))
    other = Path(shutil.copytree(folder, tmp_path / "at_once.run"))
    first = Backfill(folder).run(should_stop=lambda: True)
    assert first.stopped_early and first.n_mended == 1
    second = Backfill(folder).run()
    Backfill(other).run()
    with open_run(folder) as run, open_run(other) as at_once:
        assert run.committed_count("mended") == 1 + second.n_mended == at_once.committed_count("mended")
        assert committed(run) == committed(at_once)


def test_a_pass_that_was_begun_is_not_put_together_from_two_kinds_of_maps(tmp_path: Path, frames: FrameArray) -> None:
    folder = tmp_path / "skipping.run"
    write_run(folder, frames, N_SLOTS, 0.875)
    with open_refinement(folder, RefineSettings(), device="cpu") as refinement:
        refinement.run()
    record(folder, frames, list(range(N_FRAMES)))
    summary = Backfill(folder).run()
    assert summary.n_mended == 0 and summary.n_left > 0
    assert summary.reasons == ["the full pass was begun without them"]
