"""Maps or camera frames of a specimen whose truth is known, as files to try everything else on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from dblink_live.errors import ConfigError
from dblink_live.files import replacing
from dblink_live.types import CountImage, Shape
from dblink_live.workflows.progress import Progress, progress_of

if TYPE_CHECKING:
    from dblink_live.simulate import CameraSimulator, VideoParameters

STRUCTURES = ("filaments", "mitochondria", "er")
WINDOW_FRAMES = 10
CAMERA_SHAPE = Shape(32, 32)
"""Of 160 nm pixels: the released simulator's field of 5.12 um."""
RAW_SUFFIXES = (".tif", ".tiff")
TRUTH_SUFFIX = ".truth.npz"


@dataclass(frozen=True)
class SimulatedFiles:
    """What `simulate_to_file` wrote."""

    path: Path
    truth: Path
    """The file that holds the truth of every window; that of the maps themselves."""
    shape: tuple[int, int]
    n_windows: int
    facts: dict[str, float]
    """What a user of the file must know of it: its pixels and, of camera frames, what their counts mean."""
    n_localizations: int | None = None
    """Of maps; None for camera frames."""


def simulate_to_file(
    structure: str,
    out: Path,
    *,
    frames: int = 2000,
    seed: int = 0,
    raw: bool = False,
    preset: str | None = None,
    overwrite: bool = False,
    progress: bool | Progress = False,
) -> SimulatedFiles:
    """Simulate localization maps with their truth into an ``.npz``, or camera frames into an OME-TIFF.

    Parameters
    ----------
    structure
        One of `STRUCTURES`.
    out
        ``.npz`` with counts ``X`` and ``truth``, both [T, H, W]; with ``raw`` a ``.tif``, with the truth beside it.
    frames
        Camera frames, `WINDOW_FRAMES` per window.
    seed
        The same seed gives the same specimen and noise.
    raw
        Whether camera frames are made instead of maps.
    preset
        What differs from the released simulator of DBlink; None is its default.

    Raises
    ------
    ConfigError
        Frames that are no whole windows, an unknown or unfitting preset, or a file that exists or has a wrong ending.
    """
    if frames % WINDOW_FRAMES:
        raise ConfigError(f"expected --frames as a multiple of {WINDOW_FRAMES}, a whole window, found {frames}")
    parameters = _preset(structure, preset, raw)
    _check_new_file(out, RAW_SUFFIXES if raw else (".npz",), overwrite)
    if raw:
        return _simulate_frames(out, structure, frames, seed, parameters, progress_of(progress))
    return _simulate_maps(out, frames, seed, parameters)


def _simulate_maps(out: Path, frames: int, seed: int, parameters: VideoParameters) -> SimulatedFiles:
    from dblink_live.simulate import simulate_video

    n_windows = frames // WINDOW_FRAMES
    video = simulate_video(replace(parameters, n_windows=n_windows, window_frames=WINDOW_FRAMES), seed)
    with replacing(out) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file, X=video.counts, truth=video.truth, pixel_size_nm=parameters.pitch_nm, window_frames=WINDOW_FRAMES
        )
    _, height, width = video.counts.shape
    n = int(video.counts.sum(dtype=np.int64))
    return SimulatedFiles(out, out, (height, width), n_windows, {"pixel_size_nm": parameters.pitch_nm}, n)


def _simulate_frames(
    out: Path, structure: str, frames: int, seed: int, parameters: VideoParameters, report: Progress
) -> SimulatedFiles:
    from dblink_live.simulate import make_camera
    from dblink_live.simulate.camera import DEMO_SPEED

    truth = out.with_name(f"{out.stem.removesuffix('.ome')}{TRUTH_SUFFIX}")
    # A live reticulum moves as its sources say at the demonstration's speed, not at 1 (see `make_specimen`).
    speed = parameters.speed * (DEMO_SPEED if structure == "er" else 1.0)
    simulator = make_camera(parameters.structure, CAMERA_SHAPE, seed, parameters.pitch_nm, speed)
    camera = simulator.camera
    with replacing(truth) as partial, partial.open("wb") as file:
        masks = np.stack([simulator.truth_at(first) for first in range(0, frames, WINDOW_FRAMES)])
        np.savez_compressed(file, truth=masks, pixel_size_nm=parameters.pitch_nm, window_frames=WINDOW_FRAMES)
    with replacing(out) as partial:
        _write_stack(partial, simulator, frames, parameters.frame_ms, report)
    facts = {
        "pixel_size_nm": camera.pixel_size_nm,
        "offset_adu": float(np.median(camera.offset_adu)),
        "electrons_per_adu": float(np.median(camera.electrons_per_adu)),
    }
    return SimulatedFiles(out, truth, CAMERA_SHAPE, len(masks), facts)


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
        raise ConfigError(f"expected a preset of {what} among {', '.join(fitting)}, found {chosen!r}")
    return replace(PRESETS[chosen], structure=cast("Literal['filaments', 'mitochondria', 'er']", structure))


def _write_stack(path: Path, simulator: CameraSimulator, n_frames: int, frame_ms: float, report: Progress) -> None:
    import tifffile

    def frames() -> Iterator[CountImage]:
        with report.bar("simulating", n_frames, "frames") as advance:
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
        raise ConfigError(f"expected a file that ends in {' or '.join(suffixes)}, found --out {path}")
    if not path.parent.is_dir():
        raise ConfigError(f"expected a folder to write to, found none at {path.parent}")
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} already exists; give another --out, or --overwrite")
