"""Offset and gain estimated from frames whose camera is known."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dblink_live.camera.recording_facts import contradictions, estimate_camera, estimated_camera
from dblink_live.cli import main
from dblink_live.config import load_run_config
from dblink_live.errors import CalibrationError
from dblink_live.store import open_run
from dblink_live.tables import read_localizations
from dblink_live.types import Camera

SCMOS = Camera(108.0, offset_adu=100.0, electrons_per_adu=0.46, read_noise_e=1.6)
EMCCD = Camera(160.0, offset_adu=200.0, electrons_per_adu=5.0, em_gain=300.0, read_noise_e=50.0)


@functools.cache
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


def test_localize_takes_the_estimate_or_says_what_the_frames_contradict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "s.tif", record(SCMOS), photometric="minisblack")
    given = ["localize", str(tmp_path / "s.tif"), "--pixel-size-nm", "108", "--localizer", "gaussian", "--overwrite"]
    given += ["--out", str(tmp_path / "t.csv"), "--psf-sigma-px", "1.2", "--json"]

    def photons(*options: str) -> float:
        assert main([*given, *options]) == 0
        return float(np.median(read_localizations(tmp_path / "t.csv")["photons"]))

    by_estimate = photons()
    printed = capsys.readouterr()
    assert json.loads(printed.out)["is_estimated"] is True
    assert "camera estimated from 200 frames" in printed.err
    truth = ("--offset-adu", "100", "--electrons-per-adu", "0.46", "--read-noise-e", "1.6")
    assert by_estimate == pytest.approx(photons(*truth), rel=0.1)
    printed = capsys.readouterr()
    assert (json.loads(printed.out)["is_estimated"], printed.err.count("estimated from")) == (False, 0)
    photons("--set", "camera.electrons_per_adu=1", "--set", "camera.offset_adu=100")
    assert "electrons_per_adu is given as 1, and the frames speak of" in capsys.readouterr().err


def run_of(tmp_path: Path, frames: np.ndarray, *settings: str) -> list[str]:
    tifffile.imwrite(tmp_path / "s.tif", frames, photometric="minisblack")
    given = ["run", "--source", str(tmp_path / "s.tif"), "--out", str(tmp_path / "s.run"), "--pixel-size-nm", "108"]
    given += ["--set", "localizer.name=gaussian", "--no-view", "--json"]
    for setting in settings:
        given += ["--set", setting]
    return given


@pytest.mark.parametrize(
    ("camera", "settings"), [(SCMOS, ()), (EMCCD, ("camera.em_gain=300",))], ids=["sCMOS", "EMCCD"]
)
def test_a_run_without_a_calibration_uses_a_certain_estimate_and_marks_it(
    camera: Camera, settings: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(run_of(tmp_path, record(camera), *settings)) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["calibrated"], figures["estimated"]) == (True, True)
    assert any("estimated from the frames" in reason for reason in figures["verdict"]["reasons"])
    with open_run(tmp_path / "s.run") as run:
        (stored,) = run.segments
        assert sum("camera estimated from 200 frames" in event.text for event in run.events) == 1
        assert len(run.counts) == 20
    used = stored.to_camera()
    assert used is not None and used.is_estimated
    assert used.electrons_per_adu == pytest.approx(camera.electrons_per_adu, rel=0.1)
    assert abs(used.offset_adu - camera.offset_adu) < 3 * used.offset_error_adu
    assert main(["report", str(tmp_path / "s.run")]) == 0
    page = next((tmp_path / "s.run").rglob("*.html")).read_text(encoding="utf-8")
    assert "ESTIMATED camera" in page and "UNCALIBRATED" not in page and "electrons_per_adu_error" in page


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        pytest.param(record(SCMOS, n_frames=24, side=32), "is too uncertain to be used", id="uncertain"),
        pytest.param(record(SCMOS, n_frames=40, side=32, is_flat=True), "that lie on no line", id="one brightness"),
        pytest.param(record(SCMOS, n_frames=15, side=32), "20 frames or more", id="few frames"),
    ],
)
def test_a_run_without_a_certain_estimate_stays_uncalibrated_and_says_why(
    frames: np.ndarray, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(run_of(tmp_path, frames)) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["calibrated"], figures["estimated"]) == (False, False)
    with open_run(tmp_path / "s.run") as run:
        (said,) = [event.text for event in run.events if "uncalibrated" in event.text]
        camera = run.segments[0].to_camera()
    assert reason in said
    assert camera is not None and (camera.is_calibrated, camera.electrons_per_adu) == (False, 1.0)


def test_a_run_names_given_facts_that_its_frames_contradict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = run_of(tmp_path, record(SCMOS), "camera.electrons_per_adu=1", "camera.offset_adu=100")
    assert main(given) == 0
    assert "estimated" not in json.loads(capsys.readouterr().out)["verdict"]["reasons"]
    with open_run(tmp_path / "s.run") as run:
        assert any("electrons_per_adu is given as 1" in event.text for event in run.events)
        assert run.segments[0].camera["electrons_per_adu"] == 1.0


def test_real_recordings_give_an_estimate_or_are_refused(shared_data: Path) -> None:
    """None of the real stacks gives a certain estimate: fields are small, and molecules everywhere in two of them."""
    unknown = Camera.uncalibrated(100.0)
    for name in ("raw_3b_podosome/test_data.tif", "raw_dnapaint_micromanager/3C_30px_100f.tif"):
        frames = tifffile.imread(shared_data / name)[:200]
        camera, said = estimated_camera(frames, unknown)
        assert camera is unknown and "too uncertain" in said
    frames = tifffile.imread(shared_data / "raw_microtubules" / "microtubules.tif")
    camera, said = estimated_camera(frames, unknown)
    assert camera is unknown and "that lie on no line" in said
