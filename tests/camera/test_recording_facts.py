"""Offset and gain estimated from frames whose camera is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from dblink_live.camera.recording_facts import contradictions, estimate_camera
from dblink_live.cli import main
from dblink_live.config import load_run_config
from dblink_live.errors import CalibrationError
from dblink_live.store import open_run
from dblink_live.types import Camera

SCMOS = Camera(108.0, offset_adu=100.0, electrons_per_adu=0.46, read_noise_e=1.6)
EMCCD = Camera(160.0, offset_adu=200.0, electrons_per_adu=5.0, em_gain=300.0, read_noise_e=50.0)


def record(camera: Camera, n_frames: int = 200, side: int = 64, per_frame: float = 4.0, is_flat: bool = False):
    """Blinking molecules over an uneven background, drawn as the camera's physics says."""
    rng = np.random.default_rng(0)
    rows, cols = np.indices((side, side))
    bump = np.exp(-((rows - side / 2) ** 2 + (cols - side / 2) ** 2) / (2 * (side / 3) ** 2))
    frames = np.empty((n_frames, side, side), np.uint16)
    for frame in frames:
        electrons = np.full((side, side), 30.0) if is_flat else 15.0 + 45.0 * bump
        for _ in range(rng.poisson(per_frame)):
            y, x = rng.uniform(0, side, 2)
            spot = np.exp(-((rows - y) ** 2 + (cols - x) ** 2) / (2 * 1.2**2)) / (2 * np.pi * 1.2**2)
            electrons = electrons + rng.exponential(800.0) * spot
        counted = rng.poisson(electrons).astype(float)
        if camera.em_gain > 1:
            counted = np.where(counted > 0, rng.gamma(np.maximum(counted, 1), camera.em_gain), 0.0)
        counted += rng.normal(0.0, camera.read_noise_e, counted.shape)
        frame[:] = np.clip(np.round(counted / camera.electrons_per_adu + camera.offset_adu), 0, 65535)
    return frames


@pytest.mark.parametrize("camera", [SCMOS, EMCCD], ids=["sCMOS", "EMCCD"])
def test_offset_and_gain_are_found_within_their_uncertainty(camera: Camera) -> None:
    found = estimate_camera(record(camera), camera.em_gain)
    # Three standard errors, and the error itself small: 5 % of the gain, 2 photo-electrons of offset.
    assert abs(found.electrons_per_adu - camera.electrons_per_adu) < 3 * found.electrons_per_adu_error
    assert found.electrons_per_adu_error < 0.05 * camera.electrons_per_adu
    assert abs(found.offset_adu - camera.offset_adu) < 3 * found.offset_error_adu
    assert found.offset_error_adu < 2.0 * camera.em_gain / camera.electrons_per_adu
    assert contradictions(found, camera) == []


@pytest.mark.parametrize(
    ("given", "named"),
    [
        pytest.param(Camera(108.0, 100.0, 1.0), "electrons_per_adu is given as 1", id="gain"),
        pytest.param(Camera(108.0, 0.0, 0.46), "offset_adu is given as 0", id="no offset"),
        pytest.param(Camera(108.0, 140.0, 0.46), "offset_adu is given as 140", id="too high an offset"),
    ],
)
def test_facts_that_the_frames_contradict_are_named(given: Camera, named: str) -> None:
    (sentence,) = contradictions(estimate_camera(record(SCMOS)), given)
    assert sentence.startswith(named)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        pytest.param(record(SCMOS, n_frames=10), "20 frames or more", id="few frames"),
        pytest.param(np.full((40, 32, 32), 100, np.uint16), "that lie on no line", id="no light"),
    ],
)
def test_frames_that_do_not_tell_are_refused(frames: np.ndarray, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        estimate_camera(frames)


def test_calibrate_writes_what_run_reads_and_marks_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(tmp_path / "s.tif", record(SCMOS), photometric="minisblack")
    out = tmp_path / "camera.toml"
    assert main(["calibrate", "--from-recording", str(tmp_path / "s.tif"), "--out", str(out)]) == 0
    assert "estimated from 200 frames: offset" in capsys.readouterr().out
    assert out.read_text().startswith("# ESTIMATED")
    camera = load_run_config(out).camera
    assert camera.electrons_per_adu == pytest.approx(0.46, rel=0.05)
    assert main(["calibrate", "--out", str(out), "--overwrite"]) == 2
    assert "--from-recording" in capsys.readouterr().err


def test_localize_says_what_the_frames_contradict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(tmp_path / "s.tif", record(SCMOS), photometric="minisblack")
    given = ["localize", str(tmp_path / "s.tif"), "--pixel-size-nm", "108", "--localizer", "gaussian", "--overwrite"]
    given += ["--out", str(tmp_path / "t.csv"), "--psf-sigma-px", "1.2"]
    assert main(given) == 0
    assert "estimated from 200 frames" in capsys.readouterr().err
    assert main([*given, "--set", "camera.electrons_per_adu=1", "--set", "camera.offset_adu=100"]) == 0
    assert "electrons_per_adu is given as 1, and the frames speak of" in capsys.readouterr().err


def test_a_run_notes_an_estimate_where_nobody_calibrated_the_camera(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s.tif", record(SCMOS), photometric="minisblack")
    given = ["run", "--source", str(tmp_path / "s.tif"), "--out", str(tmp_path / "s.run"), "--pixel-size-nm", "108"]
    assert main([*given, "--set", "localizer.name=gaussian", "--no-view"]) == 0
    with open_run(tmp_path / "s.run") as run:
        events = [str(event) for event in run.events]
    assert any("uncalibrated: estimated from 200 frames" in event for event in events)
