"""Which camera holds: settings, maps, presets and the source, and what each of them refuses."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from dblink_live.camera.presets import camera_preset, camera_presets
from dblink_live.camera.resolve import resolve_camera
from dblink_live.camera.sensor_maps import SensorMaps
from dblink_live.config import CameraConfig, load_run_config
from dblink_live.errors import CalibrationError
from dblink_live.simulate.sensors import SCMOS
from dblink_live.types import Segment, Shape

SEGMENT = Segment(index=0, shape=Shape(8, 10), dtype="uint16", pixel_size_nm=108.0, roi=(0, 0, 10, 8), bit_depth=14)
BINNED = Segment(index=0, shape=Shape(4, 5), dtype="uint16", pixel_size_nm=216.0, roi=(0, 0, 5, 4), binning=2)


@pytest.mark.parametrize("name", camera_presets())
def test_every_preset_names_a_document_for_each_number(name: str) -> None:
    preset = camera_preset(name)
    stated = [
        fact for fact in ("electrons_per_adu", "offset_adu", "read_noise_e", "bit_depth") if getattr(preset.facts, fact)
    ]
    assert sorted(preset.documents) == sorted(stated)
    assert all(len(document) > 10 for document in preset.documents.values())
    assert set(preset.unconfirmed) <= set(stated)
    warning = preset.warning()
    assert (warning is None) == (not preset.unconfirmed)


def test_a_preset_fills_what_settings_leave_open(caplog: pytest.LogCaptureFixture) -> None:
    config = CameraConfig(preset="hamamatsu-orca-flash4-v3/standard-scan", offset_adu=99.0)
    with caplog.at_level(logging.WARNING):
        camera = resolve_camera(config, SEGMENT)
    assert (camera.offset_adu, camera.electrons_per_adu, camera.read_noise_e) == (99.0, 0.46, 1.6)
    assert camera.is_calibrated
    assert camera.bit_depth == 14
    assert (
        resolve_camera(CameraConfig(preset="andor-zyla-4.2/12bit-low-noise", offset_adu=100), SEGMENT).bit_depth == 12
    )
    # The source's own gain stands behind the preset's.
    assert resolve_camera(config, SEGMENT, SCMOS).offset_adu == 99.0


@pytest.mark.parametrize(
    ("config", "segment", "named"),
    [
        pytest.param(CameraConfig(preset="orca-flash"), SEGMENT, "did you mean", id="unknown"),
        pytest.param(CameraConfig(preset="andor-zyla-4.2"), SEGMENT, "12bit-high-well or", id="no mode"),
        pytest.param(CameraConfig(preset="andor-ixon-ultra-897/em-10mhz"), SEGMENT, "camera.em_gain", id="no EM gain"),
        pytest.param(
            CameraConfig(preset="andor-ixon-ultra-897/em-10mhz", em_gain=200.0),
            SEGMENT,
            "performance sheet",
            id="no gain",
        ),
        pytest.param(CameraConfig(preset="photometrics-kinetix/speed"), SEGMENT, "camera.offset_adu and", id="nothing"),
        pytest.param(
            CameraConfig(preset="hamamatsu-orca-fusion/ultra-quiet-scan"), BINNED, "binning_mode", id="binned"
        ),
        pytest.param(
            CameraConfig(preset="andor-ixon-ultra-897/em-10mhz", em_gain=200.0, binning_mode="sum"),
            BINNED,
            "at binning 1",
            id="binned EMCCD",
        ),
    ],
)
def test_a_preset_that_cannot_hold_is_refused(config: CameraConfig, segment: Segment, named: str) -> None:
    with pytest.raises(CalibrationError, match=named):
        resolve_camera(config, segment)


def test_an_emccd_preset_takes_its_gain_from_the_performance_sheet() -> None:
    config = CameraConfig(preset="andor-ixon-ultra-897/em-10mhz", em_gain=200.0, electrons_per_adu=15.4)
    camera = resolve_camera(config, SEGMENT)
    assert (camera.offset_adu, camera.electrons_per_adu, camera.em_gain, camera.read_noise_e) == (
        200.0,
        15.4,
        200.0,
        50.0,
    )
    assert camera.excess_noise_factor == 2.0


@pytest.mark.parametrize(("mode", "offset", "gain"), [("sum", 400.0, 0.24), ("mean", 100.0, 0.96)])
def test_a_preset_follows_binning_where_it_is_explained(mode: str, offset: float, gain: float) -> None:
    settings = ["camera.preset=hamamatsu-orca-fusion/ultra-quiet-scan", f"camera.binning_mode={mode}"]
    camera = resolve_camera(load_run_config(None, settings).camera, BINNED)
    assert (camera.offset_adu, camera.electrons_per_adu) == (offset, gain)
    assert camera.read_noise_e == pytest.approx(1.4)


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    maps = SensorMaps(
        offset_adu=rng.normal(100, 2, (8, 10)).astype(np.float32),
        noise_adu=rng.uniform(2, 5, (8, 10)).astype(np.float32),
        roi=(0, 0, 10, 8),
    )
    digest = maps.save(tmp_path / "cam.npz")
    path = tmp_path / "camera.toml"
    path.write_text(f'[camera]\nmaps = "cam.npz"\nmaps_sha256 = "{digest}"\n')
    return path


def test_maps_are_found_beside_their_configuration(
    config_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_run_config(config_path, ["camera.electrons_per_adu=0.5"])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    maps = SensorMaps.load(config_path.parent / "cam.npz")
    camera = resolve_camera(config.camera, SEGMENT)
    assert np.array_equal(camera.offset_adu, maps.offset_adu)
    assert np.allclose(camera.read_noise_e, 0.5 * maps.noise_adu)
    # As a run stores them: the path still holds.
    again = load_run_config(None, base=config.to_plain())
    assert np.array_equal(resolve_camera(again.camera, SEGMENT).offset_adu, maps.offset_adu)


def test_maps_without_a_gain_leave_the_run_uncalibrated(config_path: Path) -> None:
    camera = resolve_camera(load_run_config(config_path).camera, SEGMENT)
    assert not camera.is_calibrated
    assert np.asarray(camera.offset_adu).shape == (8, 10)
    from_preset = load_run_config(config_path, ["camera.preset=andor-zyla-4.2/16bit"]).camera
    assert resolve_camera(from_preset, SEGMENT).electrons_per_adu == 0.45


def test_a_fact_is_stated_once(config_path: Path) -> None:
    twice = load_run_config(config_path, ["camera.offset_adu=100"]).camera
    with pytest.raises(CalibrationError, match=r"camera\.offset_adu as a number or in camera\.maps, found both"):
        resolve_camera(twice, SEGMENT)
    without = load_run_config(config_path, ["camera.offset_adu=100", "camera.maps="]).camera
    assert resolve_camera(without, SEGMENT).offset_adu == 100.0


def test_other_maps_in_their_place_are_noticed(config_path: Path) -> None:
    flat = np.ones((8, 10), np.float32)
    SensorMaps(flat, flat, roi=(0, 0, 10, 8)).save(config_path.parent / "cam.npz")
    with pytest.raises(CalibrationError, match="found others"):
        resolve_camera(load_run_config(config_path).camera, SEGMENT)
    # Named anew by the user, they are taken.
    named = load_run_config(config_path, [f"camera.maps={config_path.parent / 'cam.npz'}"]).camera
    assert resolve_camera(named, SEGMENT).offset_adu == pytest.approx(flat)


@pytest.mark.parametrize("pixel_size_nm", [0.108, 19.9, 1000.0, 6500.0])
@pytest.mark.parametrize("is_of_the_source", [True, False])
def test_a_pixel_size_that_makes_no_sense_is_refused_unless_it_is_confirmed(
    pixel_size_nm: float, is_of_the_source: bool
) -> None:
    found = pixel_size_nm if is_of_the_source else 108.0
    segment = Segment(index=0, shape=Shape(8, 10), dtype="uint16", pixel_size_nm=found)
    stated = None if is_of_the_source else pixel_size_nm
    with pytest.raises(CalibrationError, match=r"is the pixel-size calibration missing\?"):
        resolve_camera(CameraConfig(pixel_size_nm=stated), segment)
    confirmed = CameraConfig(pixel_size_nm=stated, unusual_pixel_size=True)
    assert resolve_camera(confirmed, segment).pixel_size_nm == pixel_size_nm


@pytest.mark.parametrize("pixel_size_nm", [20.0, 65.0, 999.0])
def test_a_usual_pixel_size_is_taken(pixel_size_nm: float) -> None:
    segment = Segment(index=0, shape=Shape(8, 10), dtype="uint16", pixel_size_nm=pixel_size_nm)
    assert resolve_camera(CameraConfig(), segment).pixel_size_nm == pixel_size_nm
