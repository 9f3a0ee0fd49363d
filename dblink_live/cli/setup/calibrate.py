"""``dblink-live calibrate``: a camera's offset, gain and read noise from stacks, as a configuration for `run`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from dblink_live.cli.options import UsageError, Verbs, add_json, add_verb, em_gain, roi
from dblink_live.cli.result import Outcome
from dblink_live.errors import CalibrationError, input_accepted
from dblink_live.files import replacing
from dblink_live.types import Frame, Segment
from dblink_live.workflows.localize import BATCH_FRAMES, refuse_cameras, source_of
from dblink_live.workflows.progress import CONSOLE, say

if TYPE_CHECKING:
    from dblink_live.camera.photon_transfer import DarkFacts, GainFacts, StackStatistics
    from dblink_live.camera.pixel_maps import PixelMaps


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "calibrate",
        run=run,
        help="measure a camera's offset, gain and read noise from dark and light stacks",
        example="dblink-live calibrate --dark dark.tif --light dim.tif --light bright.tif --out camera.toml",
    )
    parser.add_argument("--dark", metavar="STACK", help="frames taken with the shutter closed")
    parser.add_argument(
        "--from-recording",
        metavar="STACK",
        help="in place of --dark and --light: estimate offset and gain from an ordinary recording, by variance against "
        "mean of its background; marked as estimated, with its uncertainty",
    )
    parser.add_argument(
        "--light",
        metavar="STACK",
        action="append",
        default=[],
        help="frames of one steady, still scene; give several of different brightness. Without it the gain stays "
        "unknown",
    )
    parser.add_argument(
        "--em-gain",
        metavar="G",
        type=em_gain,
        default=1.0,
        help="electron-multiplying gain that all stacks were taken at (default: 1, none)",
    )
    parser.add_argument(
        "--no-maps",
        action="store_true",
        help="write one number for all pixels, and no maps of single ones; an EMCCD, whose pixels share one amplifier, "
        "never gets any",
    )
    parser.add_argument(
        "--roi",
        metavar="X,Y,W,H",
        type=roi,
        help="region of the sensor that the stacks show, where they do not state it themselves",
    )
    parser.add_argument(
        "--out", metavar="TOML", type=Path, required=True, help="configuration to write, for run --config"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace TOML if it exists")
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.camera.photon_transfer import measure_dark, measure_gain
    from dblink_live.camera.pixel_maps import measure_pixels

    _check_new_file(options.out, options.overwrite)
    if options.from_recording is not None:
        return _estimate(options)
    if options.dark is None:
        raise UsageError("expected --dark STACK, or --from-recording STACK, found neither")
    dark, segment = _read(options.dark)
    facts = measure_dark(dark)
    lights = [_read(stack)[0] for stack in options.light]
    gain = measure_gain(dark, lights, options.em_gain) if lights else None
    wants_maps = options.em_gain == 1.0 and not options.no_maps
    pixels = measure_pixels(dark, lights, gain) if wants_maps else None
    if wants_maps and pixels is None:
        say(f"no maps of single pixels: {dark.n_frames} dark frames are too few, take some hundreds")
    maps_path = options.out.with_suffix(".maps.npz")
    if pixels is not None and maps_path.exists() and not options.overwrite:
        raise UsageError(f"expected a new file, but {maps_path} exists; give another name, or --overwrite")
    with input_accepted():
        digest = _save_maps(maps_path, pixels, segment, options.roi) if pixels is not None else None
        with replacing(options.out) as unfinished:
            unfinished.write_text(_toml(options, facts, gain, maps_path.name, digest), encoding="utf-8")
    return Outcome(
        text=_text(options.out, facts, gain, pixels),
        figures={
            "config": str(options.out),
            "offset_adu": facts.offset_adu,
            "offset_spread_adu": facts.offset_spread_adu,
            "noise_adu": facts.noise_adu,
            "electrons_per_adu": gain.electrons_per_adu if gain else None,
            "electrons_per_adu_error": gain.electrons_per_adu_error if gain else None,
            "read_noise_e": gain.read_noise_e if gain else None,
            "em_gain": options.em_gain,
            "dark_frames": dark.n_frames,
            "light_frames": [light.n_frames for light in lights],
            "maps": str(maps_path) if pixels else None,
            "pixels_own": (
                {"offset": pixels.own_offset, "noise": pixels.own_noise, "gain": pixels.own_gain} if pixels else None
            ),
        },
    )


def _estimate(options: argparse.Namespace) -> Outcome:
    from dblink_live.workflows.camera_estimate import configuration_of, estimate_from_recording

    if options.dark is not None or options.light:
        raise UsageError("expected --from-recording alone, found --dark or --light beside it; leave one of them out")
    facts = estimate_from_recording(options.from_recording, options.em_gain)
    with input_accepted(), replacing(options.out) as unfinished:
        unfinished.write_text(configuration_of(facts, options.from_recording), encoding="utf-8")
    return Outcome(text=f"{facts.describe()}: {options.out}", figures={"config": str(options.out), **facts.to_plain()})


def _read(stack: str) -> tuple[StackStatistics, Segment]:
    from dblink_live.camera.photon_transfer import StackStatistics
    from dblink_live.sources import open_source

    statistics = StackStatistics(stack)
    source = open_source(source_of(stack), launch=refuse_cameras)
    try:
        segment = source.open()
        with CONSOLE.bar(f"reading {stack}", source.n_frames_expected, "frames") as advance:
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


def _toml(
    options: argparse.Namespace, dark: DarkFacts, gain: GainFacts | None, maps_name: str, maps_digest: str | None
) -> str:
    # As JSON, a file's name cannot end the comment it stands in.
    lines = [
        f"# Measured by dblink-live calibrate from {json.dumps(options.dark)} (dark)"
        + (f" and {json.dumps(options.light)} (light)." if gain else "; without a light stack the gain is unknown."),
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
            f"maps = {json.dumps(maps_name)}",
            f"maps_sha256 = {json.dumps(maps_digest)}",
            "# Of all pixels together, where the maps are left out:",
            *(f"# {number}" for number in numbers),
        ]
    else:
        lines += numbers
    if options.em_gain > 1:
        lines.append(f"em_gain = {options.em_gain:.6g}")
    return "\n".join([*lines, ""])


def _text(out: Path, dark: DarkFacts, gain: GainFacts | None, pixels: PixelMaps | None) -> str:
    offset = (
        f"offset {dark.offset_adu:.2f} ADU (pixels differ by {dark.offset_spread_adu:.2g} ADU), "
        f"noise {dark.noise_adu:.2f} ADU"
    )
    maps = "" if pixels is None else ", with maps of single pixels"
    if gain is None:
        return f"{offset}{maps}; the gain needs a light stack: {out}"
    return (
        f"{offset}, {gain.electrons_per_adu:.4g} +- {gain.electrons_per_adu_error:.2g} electrons/ADU, "
        f"read noise {gain.read_noise_e:.2f} electrons{maps}: {out}"
    )


def _check_new_file(path: Path, overwrite: bool) -> None:
    if path.suffix.lower() != ".toml":
        raise UsageError(f"expected a configuration that ends in .toml, found {path}")
    if not path.parent.is_dir():
        raise UsageError(f"expected a folder to write to, found none at {path.parent}")
    if path.is_dir() or (path.exists() and not overwrite):
        raise UsageError(f"expected a new file, but {path} exists; give another name, or --overwrite")
