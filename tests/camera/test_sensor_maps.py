"""Sensor maps follow the frames' region and binning, or are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dblink_live.camera.sensor_maps import BinningMode, SensorMaps
from dblink_live.errors import CalibrationError
from dblink_live.localization.photoelectrons import to_photons
from dblink_live.simulate.noise import digitise
from dblink_live.simulate.sensors import SCMOS, uneven_sensor
from dblink_live.types import Camera, Segment, Shape

CHIP = uneven_sensor(SCMOS, Shape(48, 64), seed=2)
MAPS = SensorMaps(
    offset_adu=np.asarray(CHIP.offset_adu, np.float32),
    noise_adu=np.asarray(np.asarray(CHIP.read_noise_e) / CHIP.electrons_per_adu, np.float32),
    electrons_per_adu=np.asarray(CHIP.electrons_per_adu, np.float32),
    roi=(100, 200, 64, 48),
)
Roi = tuple[int, int, int, int]


def frames_of(roi: Roi | None, shape: tuple[int, int] | None = None, binning: int = 1) -> Segment:
    height, width = shape or ((roi[3], roi[2]) if roi else (48, 64))
    return Segment(index=0, shape=Shape(height, width), dtype="uint16", roi=roi, binning=binning)


def test_a_region_gets_its_own_part() -> None:
    part = MAPS.for_segment(frames_of((110, 203, 20, 30)))
    assert np.array_equal(part.offset_adu, MAPS.offset_adu[3:33, 10:30])
    assert np.array_equal(part.noise_adu, MAPS.noise_adu[3:33, 10:30])
    assert part.electrons_per_adu is not None
    assert MAPS.electrons_per_adu is not None
    assert np.array_equal(part.electrons_per_adu, MAPS.electrons_per_adu[3:33, 10:30])


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_binned_frames_become_the_electrons_that_were_there(mode: BinningMode) -> None:
    # The camera's own frames, binned as it would: in electrons they must have the light's mean and its noise.
    rng = np.random.default_rng(4)
    light = 200.0
    frames = np.stack([digitise(rng.poisson(light, (48, 64)).astype(np.float32), CHIP, rng) for _ in range(400)])
    blocks = frames.reshape(400, 24, 2, 32, 2).astype(np.float64)
    binned = blocks.sum(axis=(2, 4)) if mode == "sum" else blocks.mean(axis=(2, 4))
    maps = MAPS.for_segment(frames_of((50, 100, 32, 24), binning=2), mode)
    camera = Camera(
        pixel_size_nm=216.0,
        offset_adu=maps.offset_adu,
        electrons_per_adu=maps.electrons_per_adu if maps.electrons_per_adu is not None else 1.0,
        read_noise_e=maps.read_noise_e if maps.read_noise_e is not None else 0.0,
    )
    photons = to_photons(binned, camera, __import__("torch").device("cpu"))
    signal = photons.signal.numpy().astype(np.float64)
    # 400 frames: a pixel's mean to sqrt(800 / 400) = 1.4, and 768 pixels of them.
    assert np.abs(signal.mean(axis=0) - 4 * light).max() < 5 * 1.5
    assert signal.mean() == pytest.approx(4 * light, rel=0.002)
    # Pixels of gains that differ by 3 % weigh their light unequally: that adds 0.1 % to the variance.
    expected = 4 * light + photons.read_variance.numpy().mean()
    assert signal.var(axis=0, ddof=1).mean() == pytest.approx(expected, rel=0.015)


@pytest.mark.parametrize(
    ("maps", "segment", "named"),
    [
        pytest.param(MAPS, frames_of((99, 200, 20, 20)), "within the region", id="left of it"),
        pytest.param(MAPS, frames_of((150, 200, 20, 20)), "within the region", id="right of it"),
        pytest.param(MAPS, frames_of((100, 230, 20, 20)), "within the region", id="below it"),
        pytest.param(MAPS, frames_of((50, 100, 32, 24), binning=2), "camera.binning_mode", id="binning not explained"),
        pytest.param(MAPS, frames_of(None, (20, 20)), "is not stated", id="frames without a region"),
        pytest.param(
            SensorMaps(MAPS.offset_adu, MAPS.noise_adu),
            frames_of((100, 200, 64, 48)),
            "maps lie",
            id="maps without one",
        ),
        pytest.param(
            SensorMaps(MAPS.offset_adu, MAPS.noise_adu, roi=(0, 0, 64, 48), binning=4),
            frames_of((0, 0, 64, 48), binning=2),
            "a multiple of it",
            id="finer than the maps",
        ),
    ],
)
def test_what_does_not_fit_is_refused(maps: SensorMaps, segment: Segment, named: str) -> None:
    with pytest.raises(CalibrationError, match=named):
        maps.for_segment(segment)


def test_the_whole_of_both_needs_no_region() -> None:
    unplaced = SensorMaps(MAPS.offset_adu, MAPS.noise_adu)
    assert np.array_equal(unplaced.for_segment(frames_of(None)).offset_adu, MAPS.offset_adu)
    assert np.array_equal(unplaced.for_segment(frames_of((0, 0, 64, 48))).offset_adu, MAPS.offset_adu)
    assert np.array_equal(MAPS.for_segment(frames_of(None)).offset_adu, MAPS.offset_adu)


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    digest = MAPS.save(tmp_path / "a.npz")
    again = SensorMaps.load(tmp_path / "a.npz", digest)
    assert (again.roi, again.binning) == (MAPS.roi, 1)
    for name in ("offset_adu", "noise_adu", "electrons_per_adu"):
        assert np.array_equal(getattr(again, name), getattr(MAPS, name))
    SensorMaps(MAPS.offset_adu, MAPS.noise_adu).save(tmp_path / "b.npz")
    assert SensorMaps.load(tmp_path / "b.npz").electrons_per_adu is None
    with pytest.raises(CalibrationError, match="found others"):
        SensorMaps.load(tmp_path / "b.npz", digest)


def test_files_that_are_no_maps_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "maps.npz"
    with pytest.raises(CalibrationError, match="No such file"):
        SensorMaps.load(path)
    MAPS.save(path)
    whole = path.read_bytes()
    for damaged in (b"", b"text", whole[:-200], whole[:1000] + b"\0" * 500 + whole[1500:]):
        path.write_bytes(damaged)
        with pytest.raises(CalibrationError, match="which is none"):
            SensorMaps.load(path)
    np.savez(path, format_version=np.array(1), offset_adu=np.array([{"a": 1}], dtype=object))
    with pytest.raises(CalibrationError, match="which is none"):
        SensorMaps.load(path)
