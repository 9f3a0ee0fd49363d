"""Resolve the camera facts of a run: settings, then sensor maps, preset and source; ask the user for the rest."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path

from dblink_live.camera.presets import CameraPreset, camera_preset
from dblink_live.camera.sensor_maps import SensorMaps
from dblink_live.config import CameraConfig
from dblink_live.errors import CalibrationError
from dblink_live.pixel_sizes import UnusualPixelSize, check_pixel_size
from dblink_live.types import Camera, FloatImage, Segment

_LOG = logging.getLogger(__name__)

PIXEL_SIZE_TOLERANCE = 0.01
PerPixel = float | FloatImage
"""One value for the sensor, or one per pixel."""


@dataclass(frozen=True)
class _Facts:
    """What one origin states of a camera; None means unknown."""

    pixel_size_nm: float | None = None
    em_gain: float | None = None
    bit_depth: int | None = None
    offset_adu: PerPixel | None = None
    electrons_per_adu: PerPixel | None = None
    read_noise_e: PerPixel | None = None


def resolve_camera(config: CameraConfig, segment: Segment, default: Camera | None = None) -> Camera:
    """The camera of ``segment``.

    ``default`` is what the source itself vouches for (a simulated camera knows its own gain). Settings win over
    sensor maps, which may not state the same fact, those over a preset, and that over the source. An unknown gain
    makes the camera *uncalibrated*: the run goes on, visibly marked.

    Raises
    ------
    CalibrationError
        Neither the configuration nor the source knows the pixel size, or it makes no sense; the sensor maps cannot
        follow the segment's region and binning; or a preset is unknown, does not hold for the binning, or leaves out
        what is then asked for.
    """
    preset = None if config.preset is None else _preset_for(config, segment)
    maps = _maps_for(config, segment) if config.maps else None
    settings, source, frames = _of_settings(config), _of_source(default), _of_frames(segment)
    known = _merged(settings, _of_maps(maps), _of_preset(preset, config, segment), source, frames)

    pixel_size_nm = _merged(settings, frames, source).pixel_size_nm
    if pixel_size_nm is None:
        raise CalibrationError(
            "expected the camera's pixel size in the sample plane, but neither the configuration nor the source states "
            "it (Micro-Manager says 0.0 when it is uncalibrated); give it with --set camera.pixel_size_nm=..."
        )
    if config.unusual_pixel_size:
        pixel_size_nm = UnusualPixelSize(pixel_size_nm)
    origin = "what the source states" if config.pixel_size_nm is None else "camera.pixel_size_nm"
    pixel_size_nm = check_pixel_size(pixel_size_nm, origin, remedy="--set camera.unusual_pixel_size=true")
    offset, gain, read_noise = known.offset_adu, known.electrons_per_adu, known.read_noise_e
    if maps is not None:
        # The maps' noise is in counts, so whatever gain holds makes electrons of it.
        read_noise = maps.noise_adu * (1.0 if gain is None else gain)
    if preset is not None:
        _require_complete(preset, offset, gain, read_noise)
    camera = Camera(
        pixel_size_nm=pixel_size_nm,
        offset_adu=0.0 if offset is None else offset,
        em_gain=known.em_gain or 1.0,
        read_noise_e=0.0 if read_noise is None else read_noise,
        bit_depth=known.bit_depth or 16,
        is_calibrated=gain is not None,
    )
    if gain is None:
        return camera
    return replace(camera, electrons_per_adu=gain, quantum_efficiency=config.quantum_efficiency)


def _of_settings(config: CameraConfig) -> _Facts:
    return _Facts(
        pixel_size_nm=config.pixel_size_nm,
        offset_adu=config.offset_adu,
        electrons_per_adu=config.electrons_per_adu,
        em_gain=config.em_gain if config.em_gain != 1.0 else None,
        read_noise_e=config.read_noise_e or None,
        bit_depth=config.bit_depth,
    )


def _of_maps(maps: SensorMaps | None) -> _Facts:
    return _Facts() if maps is None else _Facts(offset_adu=maps.offset_adu, electrons_per_adu=maps.electrons_per_adu)


def _of_source(camera: Camera | None) -> _Facts:
    if camera is None:
        return _Facts()
    return _Facts(
        pixel_size_nm=camera.pixel_size_nm,
        offset_adu=camera.offset_adu,
        electrons_per_adu=camera.electrons_per_adu,
        em_gain=camera.em_gain,
        read_noise_e=camera.read_noise_e,
        bit_depth=camera.bit_depth,
    )


def _of_frames(segment: Segment) -> _Facts:
    bit_depth = segment.bit_depth or (8 if segment.dtype == "uint8" else None)
    return _Facts(pixel_size_nm=segment.pixel_size_nm, bit_depth=bit_depth)


def _merged(*origins: _Facts) -> _Facts:
    """Return each fact as the first of ``origins`` that knows it states it."""
    names = [field.name for field in fields(_Facts)]
    stated = {name: [value for facts in origins if (value := getattr(facts, name)) is not None] for name in names}
    return _Facts(**{name: values[0] for name, values in stated.items() if values})


def _maps_for(config: CameraConfig, segment: Segment) -> SensorMaps:
    """The sensor maps for the frames of ``segment``; a fact that is set as a number too is refused."""
    maps = _load(config.maps or "", config.maps_sha256).for_segment(segment, config.binning_mode)
    in_maps = {"offset_adu": True, "read_noise_e": True, "electrons_per_adu": maps.electrons_per_adu is not None}
    for name, is_there in in_maps.items():
        if is_there and getattr(config, name):
            raise CalibrationError(
                f"expected camera.{name} as a number or in camera.maps, found both; leave the number out, or the maps "
                "with --set camera.maps=''"
            )
    return maps


@cache
def _load(path: str, sha256: str | None) -> SensorMaps:
    """Read once a process: each segment asks anew."""
    return SensorMaps.load(Path(path), sha256)


def _preset_for(config: CameraConfig, segment: Segment) -> CameraPreset:
    preset = camera_preset(config.preset or "")
    if (warning := preset.warning()) is not None:
        _warn_once(warning)
    if segment.binning != 1 and (preset.is_emccd or config.binning_mode is None):
        remedy = (
            "" if preset.is_emccd else "say what it makes of the counts (--set camera.binning_mode=sum or mean), or "
        )
        raise CalibrationError(
            f"expected frames at binning 1, for which the preset {preset.name} holds, found {segment.binning}; {remedy}"
            "measure the camera at that binning with dblink-live calibrate"
        )
    if preset.is_emccd and config.em_gain == 1.0:
        raise CalibrationError(
            f"expected the EM gain that {preset.camera} is set to, found none; give it with --set camera.em_gain=..."
        )
    return preset


def _of_preset(preset: CameraPreset | None, config: CameraConfig, segment: Segment) -> _Facts:
    """The preset's numbers for pixels that were binned behind the converter."""
    if preset is None:
        return _Facts()
    facts = preset.facts
    n = segment.binning**2
    is_sum = config.binning_mode == "sum"
    offset, gain, noise = facts.offset_adu, facts.electrons_per_adu, facts.read_noise_e
    return _Facts(
        offset_adu=offset * n if offset is not None and is_sum else offset,
        electrons_per_adu=gain * n if gain is not None and not is_sum else gain,
        read_noise_e=None if noise is None else noise * segment.binning,
        bit_depth=facts.bit_depth,
    )


def _require_complete(preset: CameraPreset, offset: object, gain: object, read_noise: object) -> None:
    missing = [name for name, value in (("offset_adu", offset), ("electrons_per_adu", gain)) if value is None]
    if missing:
        raise CalibrationError(
            f"expected {' and '.join(f'camera.{name}' for name in missing)} beside the preset {preset.name}, which "
            f"does not know them; take {preset.asks}, or measure the camera with dblink-live calibrate"
        )
    if read_noise is None:
        _warn_once(f"the preset {preset.name} does not know the read noise, 0 is taken; give camera.read_noise_e")


@cache
def _warn_once(sentence: str) -> None:
    _LOG.warning("%s", sentence)


def pixel_size_conflict(config: CameraConfig, segment: Segment) -> str | None:
    """A sentence for the log when the configuration and the source state different pixel sizes; settings win."""
    stated, found = config.pixel_size_nm, segment.pixel_size_nm
    if stated is None or found is None or abs(stated - found) <= PIXEL_SIZE_TOLERANCE * found:
        return None
    return f"camera.pixel_size_nm is set to {stated} nm while the source says {found} nm; the setting is used"
