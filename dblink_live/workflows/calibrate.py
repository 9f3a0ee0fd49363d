"""A camera's offset, gain and read noise from stacks, as a configuration that `run` takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dblink_live.errors import CalibrationError, ConfigError, input_accepted
from dblink_live.files import replacing
from dblink_live.types import Frame, Segment
from dblink_live.workflows.localize import BATCH_FRAMES, refuse_cameras, source_of
from dblink_live.workflows.progress import Progress, progress_of

if TYPE_CHECKING:
    from dblink_live.camera.photon_transfer import DarkFacts, GainFacts, StackStatistics
    from dblink_live.camera.pixel_maps import PixelMaps


@dataclass(frozen=True)
class CameraMeasurement:
    """What `measure_camera` found."""

    dark: DarkFacts
    gain: GainFacts | None
    """None without a light stack."""
    pixels: PixelMaps | None
    """Maps of single pixels; None where none were made."""
    maps_path: Path | None
    em_gain: float
    n_dark: int
    n_light: list[int]
    """Frames of each stack."""

    def describe(self) -> str:
        """Return the figures in a line."""
        dark, gain = self.dark, self.gain
        offset = (
            f"offset {dark.offset_adu:.2f} ADU (pixels differ by {dark.offset_spread_adu:.2g} ADU), "
            f"noise {dark.noise_adu:.2f} ADU"
        )
        maps = "" if self.pixels is None else ", with maps of single pixels"
        if gain is None:
            return f"{offset}{maps}; the gain needs a light stack"
        return (
            f"{offset}, {gain.electrons_per_adu:.4g} +- {gain.electrons_per_adu_error:.2g} electrons/ADU, "
            f"read noise {gain.read_noise_e:.2f} electrons{maps}"
        )


def measure_camera(
    dark: str,
    lights: Sequence[str],
    out: Path,
    *,
    em_gain: float = 1.0,
    maps: bool = True,
    roi: tuple[int, int, int, int] | None = None,
    overwrite: bool = False,
    progress: bool | Progress = False,
) -> CameraMeasurement:
    """Measure a camera from stacks, and write a configuration, with maps of its pixels beside it.

    Parameters
    ----------
    dark
        Frames taken with the shutter closed.
    lights
        Frames of one steady, still scene each, of different brightness; without any the gain stays unknown.
    out
        The ``.toml`` file to write.
    em_gain
        Electron-multiplying gain that all stacks were taken at. Above 1 there are no maps: all pixels share one
        amplifier.
    maps
        Whether single pixels are mapped, where there are frames enough.
    roi
        Region of the sensor that the stacks show, where they do not state it: x, y, width, height.

    Raises
    ------
    ConfigError
        A file exists, or cannot be written.
    SourceError, CalibrationError
        A stack cannot be read, or does not tell what it should.
    """
    from dblink_live.camera.photon_transfer import measure_dark, measure_gain
    from dblink_live.camera.pixel_maps import measure_pixels

    report = progress_of(progress)
    check_new_configuration(out, overwrite)
    statistics, segment = _read(dark, report)
    facts = measure_dark(statistics)
    light = [_read(stack, report)[0] for stack in lights]
    gain = measure_gain(statistics, light, em_gain) if light else None
    wants_maps = em_gain == 1.0 and maps
    pixels = measure_pixels(statistics, light, gain) if wants_maps else None
    if wants_maps and pixels is None:
        report.note(f"no maps of single pixels: {statistics.n_frames} dark frames are too few, take some hundreds")
    maps_path = None if pixels is None else out.with_suffix(".maps.npz")
    if maps_path is not None and maps_path.exists() and not overwrite:
        raise ConfigError(f"{maps_path} already exists; give another name, or --overwrite")
    n_light = [stack.n_frames for stack in light]
    measured = CameraMeasurement(facts, gain, pixels, maps_path, em_gain, statistics.n_frames, n_light)
    with input_accepted():
        digest = None
        if pixels is not None and maps_path is not None:
            digest = _save_maps(maps_path, pixels, segment, roi)
        with replacing(out) as unfinished:
            unfinished.write_text(_toml(measured, dark, lights, digest), encoding="utf-8")
    return measured


def check_new_configuration(path: Path, overwrite: bool) -> None:
    """Refuse, before any work is done, a configuration that could not be written after it, with a `ConfigError`."""
    if path.suffix.lower() != ".toml":
        raise ConfigError(f"expected a configuration that ends in .toml, found {path}")
    if not path.parent.is_dir():
        raise ConfigError(f"expected a folder to write to, found none at {path.parent}")
    if path.is_dir() or (path.exists() and not overwrite):
        raise ConfigError(f"{path} already exists; give another name, or --overwrite")


def _read(stack: str, report: Progress) -> tuple[StackStatistics, Segment]:
    from dblink_live.camera.photon_transfer import StackStatistics
    from dblink_live.sources import open_source

    statistics = StackStatistics(stack)
    source = open_source(source_of(stack), launch=refuse_cameras)
    try:
        segment = source.open()
        with report.bar(f"reading {stack}", source.n_frames_expected, "frames") as advance:
            while not source.is_finished:
                for event in source.read(BATCH_FRAMES, timeout_s=1.0):
                    if isinstance(event, Segment):
                        raise CalibrationError(
                            f"expected one setting throughout {stack}, found a change of {event.reason} after frame "
                            f"{statistics.n_frames}; record it anew"
                        )
                    if isinstance(event, Frame):
                        statistics.add(event.data)
                advance(statistics.n_frames)
    finally:
        source.close()
    return statistics, segment


def _save_maps(path: Path, pixels: PixelMaps, segment: Segment, roi: tuple[int, int, int, int] | None) -> str:
    from dblink_live.camera.sensor_maps import SensorMaps

    maps = SensorMaps(
        offset_adu=pixels.offset_adu,
        noise_adu=pixels.noise_adu,
        electrons_per_adu=pixels.electrons_per_adu,
        roi=roi or segment.roi,
        binning=segment.binning,
    )
    return maps.save(path)


def _toml(measured: CameraMeasurement, dark_stack: str, light_stacks: Sequence[str], maps_digest: str | None) -> str:
    dark, gain, maps_path = measured.dark, measured.gain, measured.maps_path
    # As JSON, a file's name cannot end the comment it stands in.
    lines = [
        f"# Measured by dblink-live calibrate from {json.dumps(dark_stack)} (dark)"
        + (
            f" and {json.dumps(list(light_stacks))} (light)."
            if gain
            else "; without a light stack the gain is unknown."
        ),
        "# Holds for the readout mode, gain setting, binning and temperature that these were taken at.",
        "[camera]",
    ]
    numbers = [f"offset_adu = {dark.offset_adu:.6g}"]
    if gain:
        numbers += [
            f"electrons_per_adu = {gain.electrons_per_adu:.6g}  # +- {gain.electrons_per_adu_error:.2g}",
            f"read_noise_e = {gain.read_noise_e:.6g}",
        ]
    if maps_digest is not None:
        lines += [
            f"maps = {json.dumps(maps_path.name if maps_path else None)}",
            f"maps_sha256 = {json.dumps(maps_digest)}",
            "# Of all pixels together, where the maps are left out:",
            *(f"# {number}" for number in numbers),
        ]
    else:
        lines += numbers
    if measured.em_gain > 1:
        lines.append(f"em_gain = {measured.em_gain:.6g}")
    return "\n".join([*lines, ""])
