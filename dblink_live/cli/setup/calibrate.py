"""``dblink-live calibrate``: a camera's offset, gain and read noise from stacks, as a configuration for `run`."""

from __future__ import annotations

import argparse
from pathlib import Path

from dblink_live.cli.options import UsageError, Verbs, add_json, add_verb, em_gain, roi
from dblink_live.cli.result import Outcome
from dblink_live.errors import input_accepted
from dblink_live.files import replacing


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
    from dblink_live.workflows.calibrate import measure_camera

    if options.from_recording is not None:
        return _estimate(options)
    if options.dark is None:
        raise UsageError("expected --dark STACK, or --from-recording STACK, found neither")
    found = measure_camera(
        options.dark,
        options.light,
        options.out,
        em_gain=options.em_gain,
        maps=not options.no_maps,
        roi=options.roi,
        overwrite=options.overwrite,
        progress=True,
    )
    dark, gain, pixels = found.dark, found.gain, found.pixels
    return Outcome(
        text=f"{found.describe()}: {options.out}",
        figures={
            "config": str(options.out),
            "offset_adu": dark.offset_adu,
            "offset_spread_adu": dark.offset_spread_adu,
            "noise_adu": dark.noise_adu,
            "electrons_per_adu": gain.electrons_per_adu if gain else None,
            "electrons_per_adu_error": gain.electrons_per_adu_error if gain else None,
            "read_noise_e": gain.read_noise_e if gain else None,
            "em_gain": options.em_gain,
            "dark_frames": found.n_dark,
            "light_frames": found.n_light,
            "maps": str(found.maps_path) if pixels else None,
            "pixels_own": (
                {"offset": pixels.own_offset, "noise": pixels.own_noise, "gain": pixels.own_gain} if pixels else None
            ),
        },
    )


def _estimate(options: argparse.Namespace) -> Outcome:
    from dblink_live.workflows.calibrate import check_new_configuration
    from dblink_live.workflows.inputs.camera_estimate import configuration_of, estimate_from_recording

    check_new_configuration(options.out, options.overwrite)
    if options.dark is not None or options.light:
        raise UsageError("expected --from-recording alone, found --dark or --light beside it; leave one of them out")
    facts = estimate_from_recording(options.from_recording, options.em_gain)
    with input_accepted(), replacing(options.out) as unfinished:
        unfinished.write_text(configuration_of(facts, options.from_recording), encoding="utf-8")
    return Outcome(text=f"{facts.describe()}: {options.out}", figures={"config": str(options.out), **facts.to_plain()})
