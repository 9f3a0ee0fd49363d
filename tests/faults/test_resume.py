"""Runs that were killed with kill -9 are taken up: nothing committed changes, everything in flight is made again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from dying_run import make_config

from dblink_live.cli import main
from dblink_live.config import RunConfig
from dblink_live.errors import ConfigError, ModelError, SourceError, StoreError
from dblink_live.models import LightNetwork, load_model, reconstruct, save_checkpoint
from dblink_live.pipeline.live_run import LiveRun, open_live_run
from dblink_live.pipeline.resume import open_resumed_run
from dblink_live.simulate import make_camera
from dblink_live.store import RunWriter, open_run, verify_run
from dblink_live.types import Shape

SIDE, N_FRAMES = 24, 155
PROGRAM = Path(__file__).with_name("dying_run.py")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    camera = make_camera("filaments", Shape(SIDE, SIDE), seed=11)
    path = tmp_path_factory.mktemp("stack") / "filaments.tif"
    tifffile.imwrite(path, np.stack([camera.frame(n) for n in range(N_FRAMES)]), photometric="minisblack")
    return path


@pytest.fixture(scope="module")
def undisturbed(stack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same stack at one go."""
    folder = tmp_path_factory.mktemp("runs") / "undisturbed.run"
    with open_live_run(f"tiff:{stack}", folder, make_config(), publish=False) as session:
        session.run()
    return folder


def kill_a_run(repository: Path, stack: Path, folder: Path, *options: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    command = [sys.executable, str(PROGRAM), str(stack), str(folder), *options]
    died = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=300)
    assert died.returncode not in (0, 1), died.stderr


def resume(folder: Path, config: RunConfig | None = None) -> LiveRun:
    with open_resumed_run(folder, config, publish=False) as session:
        return session.run()


def committed(folder: Path) -> dict[tuple[str, int, int], bytes]:
    with open_run(folder) as run:
        return {(row.product, row.segment, row.window): run.read_window(row).tobytes() for row in run.windows()}


def test_a_killed_run_is_taken_up_behind_its_last_window(
    repository: Path, stack: Path, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "killed.run"
    kill_a_run(repository, stack, folder, "--at-picture", "3")
    before = committed(folder)
    with open_run(folder) as run:
        assert run.status == "interrupted"
        n_counts, n_live = run.committed_count("counts"), run.committed_count("live")
    # The fourth picture is made once ten maps are there; a few more may have been binned meanwhile.
    assert n_live == 3 and 10 <= n_counts <= 15

    resumed = resume(folder).resumed
    assert resumed is not None
    assert (resumed.n_frames_kept, resumed.n_redone) == (10 * n_counts, n_counts - n_live)
    after = committed(folder)
    assert {key: after[key] for key in before} == before
    report = verify_run(folder)
    assert report.ok, report.problems
    assert report.windows == {"counts": 15, "live": 15, "full": 0}

    with open_run(folder) as run, open_run(undisturbed) as whole:
        assert run.status == "complete"
        assert [stored.segment.reason for stored in run.segments] == ["start", "resume"]
        assert any(event.text.startswith("resumed") for event in run.events)
        # Every frame of the stack is in one window, or in the tail that fills none.
        spans = [(row.start, row.stop) for row in run.windows("counts")]
        assert spans == [(start, start + 10) for start in range(0, 150, 10)]
        assert run.counts is not None and whole.counts is not None and run.live is not None and whole.live is not None
        assert np.array_equal(run.counts[:], whole.counts[:])
        ledgers = run.ledger
        assert (ledgers[0]["seen"], ledgers[0]["committed"]) == (10 * n_counts, 10 * n_counts)
        assert (ledgers[1]["seen"], ledgers[1]["tail"]) == (N_FRAMES - 10 * n_counts, 5)
        # The replayed pictures are those of a stream that ends with the first segment; 8 bits hold half a step.
        expected = reconstruct(run.counts[:n_counts], load_model("filaments", "cpu"), lookahead=4, hop=3)
        assert np.abs(run.live[:n_counts] / np.float32(255) - expected).max() <= 0.5 / 255 + 1e-5
        # Windows that had had their lookahead are those of the run that nothing disturbed, to the bit.
        assert np.array_equal(run.live[: n_live // 3 * 3], whole.live[: n_live // 3 * 3])


def test_a_run_that_dies_twice_is_taken_up_twice(
    repository: Path, stack: Path, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "unlucky.run"
    kill_a_run(repository, stack, folder, "--at-map", "3")
    kill_a_run(repository, stack, folder, "--at-map", "1")
    before = committed(folder)
    resume(folder)
    after = committed(folder)
    assert {key: after[key] for key in before} == before
    report = verify_run(folder)
    assert report.ok and report.windows["counts"] == report.windows["live"] == 15, report.problems
    with open_run(folder) as run, open_run(undisturbed) as whole:
        assert [stored.segment.reason for stored in run.segments] == ["start", "resume", "resume"]
        assert run.counts is not None and whole.counts is not None
        assert np.array_equal(run.counts[:], whole.counts[:])


@pytest.mark.parametrize("call", [1, 2], ids=["before the list of series", "before the root"])
def test_a_run_that_was_killed_while_its_arrays_were_made_begins(
    repository: Path, stack: Path, undisturbed: Path, tmp_path: Path, call: int
) -> None:
    folder = tmp_path / "stillborn.run"
    kill_a_run(repository, stack, folder, "--in", "create_group", "--call", str(call))
    with open_run(folder) as run:
        assert run.status == "interrupted" and run.segments == []
    assert verify_run(folder).ok
    resume(folder)
    assert committed(folder) == committed(undisturbed)
    assert verify_run(folder).ok


@pytest.mark.parametrize(("function", "call"), [("trim", 1), ("build_pyramid", 1)])
def test_a_run_that_was_killed_while_finalizing_finishes(
    repository: Path, stack: Path, undisturbed: Path, tmp_path: Path, function: str, call: int
) -> None:
    folder = tmp_path / "nearly.run"
    kill_a_run(repository, stack, folder, "--in", function, "--call", str(call))
    with open_run(folder) as run:
        assert run.status == "interrupted" and run.is_finalizing
    finished = resume(folder)
    assert finished.totals.frames_seen == 0
    assert committed(folder) == committed(undisturbed)
    with open_run(folder) as run:
        assert run.status == "complete" and len(run.segments) == 1
        assert run.live is not None and run.live.zarr.shape[0] == 15
    assert verify_run(folder).ok


DIE_IN_A_PYRAMID = """
import sys
from pathlib import Path
from dying_run import dying
from synthetic import write_run
from dblink_live.store import arrays
from dblink_live.types import Grid, Shape
setattr(arrays, sys.argv[2], dying(getattr(arrays, sys.argv[2]), int(sys.argv[3])))
write_run(Path(sys.argv[1]), 3, Grid(40.0, Shape(530, 530)))
"""


@pytest.mark.parametrize(("function", "call"), [("create_level", 0), ("publish_levels", 1), ("publish_levels", 2)])
def test_a_half_built_pyramid_is_built_again(repository: Path, tmp_path: Path, function: str, call: int) -> None:
    folder = tmp_path / "large.run"
    path = os.pathsep.join(map(str, [repository, repository / "tests" / "faults", repository / "tests" / "store"]))
    command = [sys.executable, "-c", DIE_IN_A_PYRAMID, str(folder), function, str(call)]
    died = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": path}, timeout=300)
    assert died.returncode not in (0, 1)
    assert verify_run(folder).ok  # a valid OME-Zarr at every moment
    before = committed(folder)
    RunWriter.resume(folder).finalize()
    assert committed(folder) == before
    with open_run(folder) as run:
        assert run.status == "complete"
    for product in ("counts", "live"):
        levels = [zarr.open_array(folder / "run.ome.zarr" / product / str(level), mode="r") for level in (0, 1)]
        assert levels[1].shape == (levels[0].shape[0], 265, 265)
        fine = np.asarray(levels[0])
        assert np.array_equal(levels[1], fine.reshape(len(fine), 265, 2, 265, 2).max(axis=(2, 4)))
    assert verify_run(folder).ok


def test_the_camera_that_was_estimated_before_the_kill_is_that_of_the_rest(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(5)
    light = np.linspace(10.0, 90.0, 48)[:, None] * np.ones(48)
    # An estimate takes 200 frames, and at least 20: of the 15 behind the kill there could be none.
    frames = np.round(rng.poisson(light, (235, 48, 48)) / 0.5 + 100.0).astype(np.uint16)
    tifffile.imwrite(tmp_path / "s.tif", frames, photometric="minisblack")
    folder = tmp_path / "s.run"
    kill_a_run(repository, tmp_path / "s.tif", folder, "--uncalibrated", "--at-map", "22")
    with open_run(folder) as run:
        (begun,) = run.segments
    before = begun.to_camera()
    assert before is not None and before.is_estimated
    assert before.electrons_per_adu == pytest.approx(0.5, rel=0.05)

    assert main(["resume", str(folder), "--no-view", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["calibrated"], figures["estimated"]) == (True, True)
    assert figures["frames"]["seen"] == 15
    with open_run(folder) as run:
        assert [stored.segment.reason for stored in run.segments] == ["start", "resume"]
        assert run.segments[1].to_camera() == before
        assert sum("camera estimated from" in event.text for event in run.events) == 1
    report = verify_run(folder)
    assert report.ok and report.windows["live"] == report.windows["counts"] == 23, report.problems


@pytest.mark.slow
def test_a_camera_goes_on_for_the_frames_that_are_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pymmcore_plus")
    from benchmarks.killing import kill_a_run

    folder = tmp_path / "killed.run"
    assert kill_a_run(folder, 1.0, frames=250).problems == []
    with open_run(folder) as run:
        n_kept = 10 * run.committed_count("counts")
    assert main(["resume", str(folder), "--no-view", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["frames"]["seen"] == 250 - n_kept
    report = verify_run(folder)
    assert report.ok and report.windows["live"] == report.windows["counts"], report.problems
    with open_run(folder) as run:
        assert [stored.segment.reason for stored in run.segments] == ["start", "resume"]
        # What the camera took while nobody was there cannot be known, and is never called zero.
        assert run.ledger[0]["lost"] == {"lost_in_crash": None}
        assert [(gap.segment, gap.after, gap.count) for gap in run.gaps] == [(0, n_kept - 1, None)]


@pytest.fixture
def interrupted(stack: Path, tmp_path: Path) -> Path:
    """A run that a failing source ended, with a model of its own."""
    model = tmp_path / "own.safetensors"
    save_checkpoint(model, LightNetwork(), name="own", pixel_size_nm=40.0, threshold=0.5)
    cut = tmp_path / "cut.tif"
    cut.write_bytes(stack.read_bytes()[: stack.stat().st_size // 2])
    config = make_config(reconstruct={"model": str(model), "lookahead": 2, "hop": 2, "device": "cpu"})
    with (
        pytest.raises(SourceError),
        open_live_run(f"tiff:{cut}", tmp_path / "cut.run", config, publish=False) as session,
    ):
        session.run()
    return tmp_path / "cut.run"


def test_a_changed_model_is_refused_by_name_and_nothing_is_written(interrupted: Path) -> None:
    before = committed(interrupted)
    model = interrupted.with_name("own.safetensors")
    save_checkpoint(model, LightNetwork(), name="own", pixel_size_nm=40.0, threshold=0.5)
    with pytest.raises(ModelError, match=r"own\.safetensors"):
        open_resumed_run(interrupted, publish=False)
    assert committed(interrupted) == before
    with open_run(interrupted) as run:
        assert not any(event.text.startswith("resumed") for event in run.events)


def test_changed_settings_are_refused_by_name_but_the_machine_may_change(
    interrupted: Path, stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = committed(interrupted)
    options = ["resume", str(interrupted), "--no-view", "--set", "windows.frames=20", "--set", "reconstruct.threads=2"]
    assert main(options) == 2
    error = capsys.readouterr().err
    assert "windows.frames = 20 (was 10)" in error and "threads" not in error and error.count("\n") == 1
    assert committed(interrupted) == before
    # The whole stack is put in the place of the half one: the run goes on.
    interrupted.with_name("cut.tif").write_bytes(stack.read_bytes())
    assert main([*options[:3], *options[5:], "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["resumed"]["n_frames_kept"] == len([key for key in before if key[0] == "counts"]) * 10
    assert figures["frames"]["seen"] == N_FRAMES - figures["resumed"]["n_frames_kept"]
    report = verify_run(interrupted)
    assert report.ok and report.windows["counts"] == report.windows["live"] == 15, report.problems


def test_a_source_that_is_gone_leaves_a_run_that_can_still_be_resumed(interrupted: Path) -> None:
    interrupted.with_name("cut.tif").unlink()
    with pytest.raises(SourceError, match=r"cut\.tif"):
        open_resumed_run(interrupted, publish=False)
    with open_run(interrupted) as run:
        assert run.status == "interrupted"
    assert verify_run(interrupted).ok


def test_what_is_complete_or_being_written_is_not_resumed(undisturbed: Path, interrupted: Path) -> None:
    with pytest.raises(StoreError, match="is complete"):
        open_resumed_run(undisturbed, publish=False)
    assert verify_run(undisturbed).ok
    with RunWriter.append_to(interrupted), pytest.raises(StoreError, match="another process"):
        open_resumed_run(interrupted, publish=False)
    with pytest.raises(ConfigError, match=r"source\.spec"):
        open_resumed_run(interrupted, make_config(source={"spec": "tiff:other.tif"}), publish=False)


def test_adding_to_a_run_that_was_being_finalized_leaves_it_to_be_finalized(
    repository: Path, stack: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "nearly.run"
    kill_a_run(repository, stack, folder, "--in", "trim")
    RunWriter.append_to(folder).finalize()
    with open_run(folder) as run:
        assert run.status == "interrupted" and run.is_finalizing
    RunWriter.resume(folder).close()  # a second interruption
    with open_run(folder) as run:
        assert run.is_finalizing
    RunWriter.resume(folder).finalize()
    with open_run(folder) as run:
        assert run.status == "complete"
