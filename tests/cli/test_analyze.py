"""``analyze`` from the command line, on run folders and on reconstructions alone."""

from __future__ import annotations

import json
import re
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import numpy as np
import pytest
from other_program import held
from scipy.ndimage import gaussian_filter

from dblink_live import analyze as analyze_in_python
from dblink_live import files
from dblink_live.analysis.trust.consistency import revision
from dblink_live.cli import main
from dblink_live.files import FileHeldError
from dblink_live.models import StreamingReconstructor, load_model
from dblink_live.store import RunWriter, SegmentCounts, open_run
from dblink_live.tables import read_localizations
from dblink_live.types import (
    Grid,
    LocalizationMap,
    Reconstruction,
    RunInfo,
    Segment,
    Shape,
    empty_localizations,
)
from dblink_live.windows import bin_localizations
from dblink_live.workflows.progress import Advance, NoProgress
from dblink_live.workflows.videos.lookahead_stages import stages_of

GRID = Grid(pitch_nm=40.0, shape=Shape(96, 96))
CAMERA = Shape(24, 24)
PIXEL_NM = 160.0
N_WINDOWS = 30
FRAMES = 10
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "analysis.md"
PROMISED = {
    key.split(".")[0]
    for row in re.findall(r"^\| (`.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    for key in re.findall(r"`([a-z_.]+)`", row)
}
"""The figures that the page lists."""


def ring_table(n_per_frame: int = 20) -> np.ndarray:
    """Localizations on two rings that stand still, to 15 nm."""
    rng = np.random.default_rng(0)
    n = N_WINDOWS * FRAMES * n_per_frame
    angle, radius = rng.uniform(0, 2 * np.pi, n), rng.choice([600.0, 1300.0], n)
    points = 1920 + radius * np.stack([np.sin(angle), np.cos(angle)]) + rng.normal(0, 15, (2, n))
    table = empty_localizations(n)
    table["frame"] = np.repeat(np.arange(N_WINDOWS * FRAMES), n_per_frame)
    table["y"], table["x"] = points / PIXEL_NM - 0.5
    return table


def write_run(
    folder: Path,
    table: np.ndarray,
    n_windows: int = N_WINDOWS,
    products: tuple[str, ...] = ("live",),
    window_frames: int = FRAMES,
    pixel_size_nm: float | None = PIXEL_NM,
) -> Path:
    """A run whose pictures are the blurred sum of all windows, and so never change."""
    info = RunInfo(uuid="1", created_utc="2026-01-01T00:00:00", config={}, model="light", model_sha256="")
    total = bin_localizations(table, CAMERA, PIXEL_NM).sum(axis=0, dtype=float) if len(table) else np.zeros(GRID.shape)
    picture = np.clip(gaussian_filter(total, 1.0) / max(1.0, np.percentile(total, 99)), 0, 1).astype(np.float32)
    with RunWriter.create(folder, info, window_frames=window_frames) as writer:
        segment = Segment(index=0, shape=CAMERA, dtype="uint16", frame_interval_ms=20.0, pixel_size_nm=pixel_size_nm)
        writer.begin_segment(segment, GRID, pixel_size_nm)
        for window in range(n_windows):
            start = window_frames * window
            rows = table[(table["frame"] >= start) & (table["frame"] < start + window_frames)]
            shifted = rows.copy()
            shifted["frame"] -= start
            counts = bin_localizations(shifted, CAMERA, PIXEL_NM, window=window_frames)
            counts = counts[0] if len(counts) else np.zeros(GRID.shape, np.uint16)
            writer.write_map(LocalizationMap(0, window, start, start + window_frames, counts, GRID), rows)
            if "live" in products:
                writer.write_reconstruction(Reconstruction(0, window, picture, "bounded", lookahead=2))
        writer.write_ledger(0, {"seen": 1, "committed": 1, "lost": {}, "deselected": 0, "tail": 0, "in_flight": 0})
    return folder


def analyze(capsys: pytest.CaptureFixture[str], *args: str | Path) -> tuple[dict, list[str]]:
    """The JSON object, which must be all of standard output, and the lines of standard error."""
    assert main(["analyze", *map(str, args), "--json"]) == 0
    printed = capsys.readouterr()
    figures = json.loads(printed.out)
    assert set(figures) >= PROMISED
    assert set(figures["frc_nm"]) == {"localizations", "reconstruction"}
    return figures, printed.err.splitlines()


def test_a_run_that_stands_still(tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "ring.run", ring_table())
    figures, errors = analyze(capsys, run, "--full", "--model", checkpoint)
    # 6,000 points of 15 nm: rings blurred by twice their precision and some shot noise.
    assert 30.0 < figures["frc_nm"]["localizations"] < 90.0
    assert figures["drift_nm"] == pytest.approx(0.0, abs=1e-3)
    assert figures["consistency"] == pytest.approx(1.0, abs=1e-4)
    assert 0.9 < figures["supported_fraction"] <= 1.0
    assert figures["drift_localizations_nm"] < 20.0
    assert 0.0 <= figures["left_out_fraction"] < 0.5
    regions = figures["frc_regions_nm"]
    known = [value for row in regions["localizations"] for value in row if value is not None]
    assert known and all(20.0 < value < 150.0 for value in known)
    assert len(figures["frc_rolling_nm"]["first_frame"]) == 9
    # Pictures of 40 nm pixels blurred by one of them.
    assert 80.0 <= figures["decorrelation_nm"] < 300.0
    assert (figures["product"], figures["segment"], figures["windows"]["all"]) == ("live", 0, N_WINDOWS)
    # The network here has random weights; whether its halves agree says nothing, but it is said either way.
    resolved = figures["frc_nm"]["reconstruction"] is not None
    assert resolved != ("frc_nm.reconstruction" in figures["gaps"])
    assert any("revision is unknown" in line for line in errors)
    assert any("prior" in note for note in figures["notes"])


def test_a_quick_analysis_says_what_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "ring.run", ring_table())
    quick, errors = analyze(capsys, run)
    assert quick["full"] is False
    for name in ("frc_nm.reconstruction", "revisions.provisional_to_bounded"):
        assert any(line.startswith(f"{name} is unknown: ") for line in errors)
    assert any("--full" in note for note in quick["notes"])
    # Stretches of a fifth of the recording, side by side instead of overlapping.
    assert quick["frc_rolling_nm"]["first_frame"] == [0, 60, 120, 180, 240]
    assert 30.0 < quick["frc_nm"]["localizations"] < 90.0
    assert quick["drift_localizations_nm"] < 20.0


def test_the_table_shows_the_raw_localizations_beside_the_reconstruction(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "ring.run", ring_table(6), n_windows=12)
    assert main(["analyze", str(run)]) == 0
    printed = capsys.readouterr()
    for text in ("raw localizations", "reconstruction", "prior", "absorbs motion"):
        assert text in printed.out
    assert "frc_nm.reconstruction is unknown: " in printed.err
    assert "--full" in printed.out


def test_beads_tell_drift_and_rotation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = np.arange(N_WINDOWS * FRAMES)
    table = empty_localizations(2 * len(frames))
    table["frame"] = np.repeat(frames, 2)
    # Two beads 2,000 nm apart: one stands still, the other moves 100 nm across: the pair turns by 2.9 degrees.
    table["y"] = np.where(np.arange(len(table)) % 2, 18.0 + table["frame"] / len(frames) * 100 / PIXEL_NM, 18.0)
    table["x"] = np.where(np.arange(len(table)) % 2, 5.0 + 2000 / PIXEL_NM, 5.0)
    run = write_run(tmp_path / "beads.run", table)
    figures, _ = analyze(capsys, run, "--fiducials")
    found = figures["fiducials"]
    # Between the middles of the first and the last block of 20 frames lie 280 of 300 frames.
    assert found["beads"] == 2
    assert found["drift_nm"] == pytest.approx(50 * 280 / 300, abs=0.5)
    assert found["rotation_deg"] == pytest.approx(np.degrees(np.arctan2(100 * 280 / 300, 2000)), abs=0.02)
    figures, errors = analyze(capsys, write_run(tmp_path / "ring.run", ring_table(2)), "--fiducials")
    assert figures["fiducials"] is None
    assert any(line.startswith("fiducials is unknown") for line in errors)


def test_a_reconstruction_alone_has_no_localizations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    scene = gaussian_filter((rng.random((80, 90)) > 0.97).astype(np.float32), 1.5)
    video = np.stack([np.roll(scene, t, axis=1) for t in range(6)]) + 0.002 * rng.random((6, 80, 90), np.float32)
    np.save(tmp_path / "moving.npy", video.astype(np.float32))
    figures, errors = analyze(capsys, tmp_path / "moving.npy", "--pitch-nm", "40")
    # Five pixels of 40 nm, to a tenth of one.
    assert figures["drift_nm"] == pytest.approx(200.0, abs=4.0)
    assert figures["drift_path_nm"]["window"] == [0, 1, 2, 3, 4, 5]
    assert figures["consistency"] > 0.99 > figures["consistency_as_shown"]
    assert figures["frc_nm"] == {"localizations": None, "reconstruction": None}
    assert figures["supported_fraction"] is None
    assert sum("give its run folder" in line for line in errors) >= 3

    figures, errors = analyze(capsys, tmp_path / "moving.npy")
    assert figures["drift_nm"] is None
    assert figures["decorrelation_nm"] is None
    assert figures["consistency"] > 0.99
    assert any("--pitch-nm" in line for line in errors)


def test_a_zarr_reconstruction_states_its_own_pitch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "ring.run", ring_table(2), n_windows=6)
    figures, _ = analyze(capsys, run / "run.ome.zarr" / "live")
    assert figures["pitch_nm"] == pytest.approx(40.0)
    assert figures["drift_nm"] == pytest.approx(0.0, abs=1e-3)


def test_pixels_that_are_not_square_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "ring.run", ring_table(2), n_windows=3)
    facts = run / "run.ome.zarr" / "live" / "zarr.json"
    plain = json.loads(facts.read_text())
    for level in plain["attributes"]["ome"]["multiscales"][0]["datasets"]:
        level["coordinateTransformations"][0]["scale"][-2] *= 1.25
    facts.write_text(json.dumps(plain))
    assert main(["analyze", str(facts.parent)]) == 2
    assert "expected square pixels" in capsys.readouterr().err


def test_a_reference_is_compared_with_the_reconstruction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    scene = gaussian_filter((rng.random((96, 96)) > 0.95).astype(np.float32), 1.0)
    video = scene + 0.02 * rng.random((5, 96, 96), np.float32)
    np.save(tmp_path / "r.npy", video.astype(np.float32))
    np.save(tmp_path / "scene.npy", gaussian_filter(scene, 3.0) + 0.02 * rng.random((96, 96)))
    told = [tmp_path / "r.npy", "--pitch-nm", "40", "--reference"]
    figures, _ = analyze(capsys, *told, tmp_path / "scene.npy")
    # A Gaussian of 3 px has fallen to a hundredth at 1 / 6 cycles a pixel, 240 nm; noise takes over before.
    assert 240.0 < figures["frc_reference_nm"] < 1500.0
    assert figures["frc_curves"]["reference"]["correlation"][1] > 0.9
    np.save(tmp_path / "small.npy", scene[:50])
    assert main(["analyze", *map(str, told), str(tmp_path / "small.npy")]) == 2
    assert "expected a reference of 96 x 96" in capsys.readouterr().err


def test_drift_is_taken_from_tables_and_maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = ring_table(10)
    # 300 nm across in 300 frames.
    table["x"] += table["frame"] / PIXEL_NM
    run = write_run(tmp_path / "moving.run", table)
    for name in ("still.csv", "still.npy"):
        analyze(capsys, run, "--undrift", tmp_path / name)
    still = read_localizations(tmp_path / "still.csv", PIXEL_NM)
    late, early = (np.median(still["x"][still["frame"] // 100 == part]) for part in (2, 0))
    # Cross-correlation is good to a few nm of the 200 between these medians, which scatter by some 20.
    assert abs(late - early) * PIXEL_NM < 60
    maps = np.load(tmp_path / "still.npy")
    columns = np.arange(maps.shape[2])
    middle = (maps.sum(axis=1) * columns).sum(axis=1) / maps.sum(axis=(1, 2))
    assert abs(middle[-5:].mean() - middle[:5].mean()) * 40.0 < 60
    assert main(["analyze", str(run), "--undrift", str(tmp_path / "still.csv")]) == 2
    assert "exists" in capsys.readouterr().err
    short = write_run(tmp_path / "short.run", ring_table(1), n_windows=2)
    assert main(["analyze", str(short), "--undrift", str(tmp_path / "none.csv")]) == 1
    assert "found none" in capsys.readouterr().err
    assert not (tmp_path / "none.csv").exists()


class AnotherProgramWrites(NoProgress):
    """While the figures are measured, another program makes ``target`` and keeps it open."""

    def __init__(self, target: Path, stack: ExitStack) -> None:
        self._target, self._stack = target, stack

    def bar(self, label: str, total: int | None, unit: str) -> AbstractContextManager[Advance]:
        if label == "measuring":
            self._target.write_bytes(b"theirs")
            self._stack.enter_context(held(self._target))
        return super().bar(label, total, unit)


@pytest.mark.usefixtures("windows_rules")
@pytest.mark.parametrize("name", ["still.csv", "still.npy"])
def test_a_corrected_file_that_another_program_holds_is_kept_under_another_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PATIENCE_S", 0.1)
    run = write_run(tmp_path / "ring.run", ring_table(10))
    target, kept = tmp_path / name, tmp_path / name.replace(".", ".new.")
    with ExitStack() as stack, pytest.raises(FileHeldError, match=kept.name) as refused:
        analyze_in_python(run, undrift=target, progress=AnotherProgramWrites(target, stack))
    assert (refused.value.path, refused.value.kept) == (target, kept)
    assert target.read_bytes() == b"theirs"
    analyze_in_python(run, undrift=tmp_path / f"free_{name}")
    assert kept.read_bytes() == (tmp_path / f"free_{name}").read_bytes()
    assert not list(tmp_path.glob("*.unfinished"))


def test_three_stages_of_the_same_windows_are_compared(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "ring.run", ring_table(2), n_windows=12)
    assert main(["refine", str(run), "--model", str(checkpoint)]) == 0
    capsys.readouterr()
    figures, _ = analyze(capsys, run, "--full", "--model", checkpoint)
    steps = {"provisional_to_bounded", "bounded_to_full", "provisional_to_full"}
    assert set(figures["revisions"]) == steps
    assert figures["revision"] == figures["revisions"]["bounded_to_full"]
    by_window = figures["revision_by_window"]
    assert by_window["window"] == list(range(12))
    with open_run(run) as opened:
        segment = opened.segments[0]
        counts = SegmentCounts(opened, segment)[:]
        stream = StreamingReconstructor(load_model(str(checkpoint)), lookahead=2, hop=2, provisional=True)
        shown = [p.image for one in counts for p in stream.push(one) if p.stage == "provisional"]
        found = stages_of(opened, segment, (slice(None), slice(None)), str(checkpoint), True, NoProgress())
    # What the network makes again afterwards is what a live stream shows at once.
    np.testing.assert_allclose(found.provisional, shown, atol=1e-5)
    expected = revision(found.provisional, found.full)
    assert by_window["provisional_to_full"] == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("options", "unknown"),
    [
        pytest.param({"n_windows": 1}, ["drift_nm", "consistency", "revision"], id="one window"),
        pytest.param(
            {"table": empty_localizations()},
            ["frc_nm.localizations", "frc_nm.reconstruction", "decorrelation_nm", "drift_nm", "consistency"],
            id="empty",
        ),
        pytest.param(
            {"products": ()}, ["drift_nm", "consistency", "decorrelation_nm", "supported_fraction"], id="no picture"
        ),
        pytest.param({"pixel_size_nm": None}, ["frc_nm.localizations", "frc_nm.reconstruction"], id="no calibration"),
    ],
)
def test_what_a_poor_run_cannot_answer_is_a_gap_with_its_reason(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str], options: dict, unknown: list[str]
) -> None:
    options = {"table": ring_table(2), "n_windows": 4} | options
    run = write_run(tmp_path / "poor.run", **options)
    figures, errors = analyze(capsys, run, "--full", "--model", checkpoint)
    for name in unknown:
        first, _, second = name.partition(".")
        assert (figures[first][second] if second else figures[first]) is None
        assert any(line.startswith(f"{name} is unknown: ") for line in errors)


@pytest.mark.parametrize(
    ("pictures", "unknown"),
    [
        pytest.param(np.zeros((4, 64, 64), np.float32), ["drift_nm", "consistency", "decorrelation_nm"], id="all zero"),
        pytest.param(
            np.full((4, 64, 64), np.nan, np.float32), ["drift_nm", "consistency", "decorrelation_nm"], id="NaN"
        ),
        pytest.param(np.eye(64, dtype=np.float32), ["drift_nm", "consistency"], id="one picture"),
    ],
)
def test_pictures_that_show_nothing_give_gaps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pictures: np.ndarray, unknown: list[str]
) -> None:
    np.save(tmp_path / "poor.npy", pictures)
    figures, _ = analyze(capsys, tmp_path / "poor.npy", "--pitch-nm", "40")
    for name in unknown:
        assert figures[name] is None
        assert name in figures["gaps"]


def test_wrong_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "r.npy", np.zeros((2, 8, 8)))
    np.save(tmp_path / "none.npy", np.zeros((0, 8, 8)))
    (tmp_path / "folder").mkdir()
    run = write_run(tmp_path / "ring.run", ring_table(1), n_windows=2)
    for args in (
        ["none"],
        ["none.npy"],
        ["folder"],
        ["r.npy", "--product", "live"],
        ["r.npy", "--segment", "0"],
        ["r.npy", "--fiducials"],
        ["r.npy", "--undrift", "new.csv"],
        [run, "--undrift", "new.docx"],
        [run, "--undrift", "nowhere/new.csv"],
        [run, "--reference", "none.npy"],
        [run, "--product", "full"],
        [run, "--segment", "7"],
        [run, "--pitch-nm", "40"],
        [run, "--model", "unheard-of"],
    ):
        assert main(["analyze", str(tmp_path / args[0]), *args[1:]]) == 2
        printed = capsys.readouterr()
        assert (printed.out, len(printed.err.splitlines())) == ("", 1)
