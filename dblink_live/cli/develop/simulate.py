"""``dblink-live simulate``: maps or camera frames of a specimen whose truth is known, to try everything else on."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from dblink_live.cli.options import UsageError, Verbs, add_json, add_verb, not_negative_int, positive_int
from dblink_live.cli.result import Outcome
from dblink_live.files import replacing
from dblink_live.types import CountImage, Shape
from dblink_live.workflows.progress import CONSOLE

if TYPE_CHECKING:
    from dblink_live.simulate import CameraSimulator, VideoParameters

STRUCTURES = ("filaments", "mitochondria", "er")
WINDOW_FRAMES = 10
CAMERA_SHAPE = Shape(32, 32)
"""Of 160 nm pixels: the released simulator's field of 5.12 um."""
RAW_SUFFIXES = (".tif", ".tiff")
TRUTH_SUFFIX = ".truth.npz"


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "simulate",
        run=run,
        help="simulate localization maps, or camera frames, of a specimen whose truth is known",
        example="dblink-live simulate filaments --out filaments.npz\n"
        "  dblink-live reconstruct filaments.npz --out filaments.ome.zarr\n"
        "  dblink-live evaluate --reconstruction filaments.ome.zarr --truth filaments.npz",
    )
    parser.add_argument("structure", choices=STRUCTURES, help="what is seen")
    parser.add_argument(
        "--out",
        metavar="F",
        type=Path,
        required=True,
        help="an .npz file with counts X and truth, both [T, H, W]; with --raw an OME-TIFF (.tif) of camera frames, "
        f"beside which the truth of every window lies as F{TRUTH_SUFFIX}",
    )
    parser.add_argument(
        "--frames", metavar="N", type=positive_int, default=2000, help="camera frames, ten a window (default 2000)"
    )
    parser.add_argument(
        "--seed", metavar="S", type=not_negative_int, default=0, help="same seed, same specimen and noise (default 0)"
    )
    parser.add_argument("--raw", action="store_true", help="camera frames instead of localization maps")
    parser.add_argument(
        "--preset",
        metavar="P",
        help='what differs from the released simulator of DBlink, for instance "3x speed"; a wrong one lists all',
    )
    parser.add_argument("--overwrite", action="store_true", help="replace F if it exists")
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    if options.frames % WINDOW_FRAMES:
        raise UsageError(f"expected --frames as a multiple of {WINDOW_FRAMES}, a whole window, found {options.frames}")
    parameters = _preset(options.structure, options.preset, options.raw)
    return _simulate_frames(options, parameters) if options.raw else _simulate_maps(options, parameters)


def _preset(structure: str, name: str | None, raw: bool) -> VideoParameters:
    """The parameters of preset ``name``, refused where they say nothing of ``structure``, or of camera frames."""
    from dblink_live.simulate import PRESETS

    default = PRESETS["default"]

    def fits(preset: VideoParameters) -> bool:
        if preset.structure not in (default.structure, structure):
            return False
        if raw:
            # A camera sees molecules with photons of their own: of a preset only its motion concerns it.
            return replace(preset, speed=default.speed, structure=default.structure) == default
        return preset.growth is None or structure == "filaments"

    fitting = [preset for preset, parameters in PRESETS.items() if fits(parameters)]
    chosen = name or "default"
    if chosen not in fitting:
        what = f"camera frames of {structure}" if raw else structure
        raise UsageError(f"expected a preset of {what} among {', '.join(fitting)}, found {chosen!r}")
    return replace(PRESETS[chosen], structure=cast("Literal['filaments', 'mitochondria', 'er']", structure))


def _simulate_maps(options: argparse.Namespace, parameters: VideoParameters) -> Outcome:
    from dblink_live.simulate import simulate_video

    _check_new_file(options.out, (".npz",), options.overwrite)
    n_windows = options.frames // WINDOW_FRAMES
    video = simulate_video(replace(parameters, n_windows=n_windows, window_frames=WINDOW_FRAMES), options.seed)
    with replacing(options.out) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file, X=video.counts, truth=video.truth, pixel_size_nm=parameters.pitch_nm, window_frames=WINDOW_FRAMES
        )
    n = int(video.counts.sum(dtype=np.int64))
    return Outcome(
        text=f"{n} localizations in {n_windows} windows of {options.structure}, with their truth: {options.out}",
        figures={
            "out": str(options.out),
            "truth": str(options.out),
            "structure": options.structure,
            "preset": options.preset or "default",
            "seed": options.seed,
            "frames": options.frames,
            "windows": n_windows,
            "shape": list(video.counts.shape[1:]),
            "pixel_size_nm": parameters.pitch_nm,
            "localizations": n,
        },
    )


def _simulate_frames(options: argparse.Namespace, parameters: VideoParameters) -> Outcome:
    from dblink_live.simulate import make_camera
    from dblink_live.simulate.camera import DEMO_SPEED

    _check_new_file(options.out, RAW_SUFFIXES, options.overwrite)
    truth = options.out.with_name(f"{options.out.stem.removesuffix('.ome')}{TRUTH_SUFFIX}")
    # A live reticulum moves as its sources say at the demonstration's speed, not at 1 (see `make_specimen`).
    speed = parameters.speed * (DEMO_SPEED if options.structure == "er" else 1.0)
    simulator = make_camera(options.structure, CAMERA_SHAPE, options.seed, parameters.pitch_nm, speed)
    camera = simulator.camera
    with replacing(truth) as partial, partial.open("wb") as file:
        masks = np.stack([simulator.truth_at(first) for first in range(0, options.frames, WINDOW_FRAMES)])
        np.savez_compressed(file, truth=masks, pixel_size_nm=parameters.pitch_nm, window_frames=WINDOW_FRAMES)
    with replacing(options.out) as partial:
        _write_stack(partial, simulator, options.frames, parameters.frame_ms)
    facts = {
        "pixel_size_nm": camera.pixel_size_nm,
        "offset_adu": float(np.median(camera.offset_adu)),
        "electrons_per_adu": float(np.median(camera.electrons_per_adu)),
    }
    known = " ".join(f"--{key.replace('_', '-')} {value:g}" for key, value in facts.items())
    return Outcome(
        text=f"{options.frames} frames of {options.structure}: {options.out} ({known}); truth of every window: {truth}",
        figures={
            "out": str(options.out),
            "truth": str(truth),
            "structure": options.structure,
            "preset": options.preset or "default",
            "seed": options.seed,
            "frames": options.frames,
            "windows": len(masks),
            "shape": list(CAMERA_SHAPE),
            **facts,
        },
    )


def _write_stack(path: Path, simulator: CameraSimulator, n_frames: int, frame_ms: float) -> None:
    import tifffile

    def frames() -> Iterator[CountImage]:
        with CONSOLE.bar("simulating", n_frames, "frames") as advance:
            for number in range(n_frames):
                yield simulator.frame(number)
                advance(number + 1)

    pitch_um = simulator.camera.pixel_size_nm / 1000.0
    size = {"PhysicalSizeX": pitch_um, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": pitch_um, "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(
        path,
        frames(),
        shape=(n_frames, *simulator.shape),
        dtype=np.uint16,
        photometric="minisblack",
        ome=True,
        metadata={"axes": "TYX", "TimeIncrement": frame_ms / 1000.0, "TimeIncrementUnit": "s", **size},
    )


def _check_new_file(path: Path, suffixes: tuple[str, ...], overwrite: bool) -> None:
    """Before any work is done, refuse what could not be written after it."""
    if not path.name.lower().endswith(suffixes):
        raise UsageError(f"expected a file that ends in {' or '.join(suffixes)}, found --out {path}")
    if not path.parent.is_dir():
        raise UsageError(f"expected a folder to write to, found none at {path.parent}")
    if path.exists() and not overwrite:
        raise UsageError(f"expected a new file, but {path} exists; give another --out, or --overwrite")
