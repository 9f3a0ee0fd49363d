"""Pictures of every simulator: what the camera sees, what is localized, and what is really there.

    python -m benchmarks.simulator_gallery [--out docs/images/simulators.png] [--seed 19]

A row is a preset of `dblink_live.simulate.video.PRESETS`, in its field of 5.12 um. From left to right: one frame of a
simulated sCMOS camera of 160 nm pixels, the localizations of one window of 10 frames and of 100 of them, and the truth
at the start, in the middle and at the end of 2000 frames.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.panels import picture, sheet
from dblink_live.simulate import PRESETS, SCMOS, CameraSimulator, VideoParameters, simulate_video
from dblink_live.simulate.blinking import BlinkSchedule
from dblink_live.simulate.video import FIELD, draw_specimen
from dblink_live.types import Shape

ROWS = (
    "default",
    "8x speed",
    "mitochondria",
    "er",
    "fluorophores",
    "uneven labelling",
    "growing filaments",
)
COLUMNS = ("camera frame", "10 frames", "1000 frames", "truth, frame 0", "truth, frame 1000", "truth, frame 1990")


def panels(preset: str, seed: int) -> list[Image.Image]:
    """The six pictures of one preset."""
    parameters = PRESETS[preset]
    video = simulate_video(parameters, seed)
    middle = len(video.counts) // 2
    return [
        picture(camera_frame(parameters, seed), "grey", 0.998),
        # The square root keeps single localizations visible beside a molecule that was seen ten times.
        picture(spread(np.sqrt(video.counts[middle])), "ember", 1.0),
        picture(video.counts[middle - 50 : middle + 50].sum(axis=0), "ember", 0.999),
        *(picture(video.truth[t], "ice", 1.0) for t in (0, middle, -1)),
    ]


def camera_frame(parameters: VideoParameters, seed: int) -> npt.NDArray[np.uint16]:
    """Frame 1000 of the same specimen: `simulate_video` draws it first of all, from the same random numbers."""
    specimen = draw_specimen(parameters, np.random.default_rng(seed))
    grid = specimen.grid
    scale = round(SCMOS.pixel_size_nm / grid.pitch_nm)
    shape = Shape(grid.shape.height // scale, grid.shape.width // scale)
    schedule = BlinkSchedule(seed, on_per_frame=5.0)
    return CameraSimulator(specimen, shape, schedule, SCMOS, seed=seed).frame(1000)


def spread(counts: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Each localization on 2 x 2 pixels, so that a print shows it."""
    padded = np.pad(counts, ((1, 0), (1, 0)))
    return np.maximum.reduce([padded[1:, 1:], padded[:-1, 1:], padded[1:, :-1], padded[:-1, :-1]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/simulators.png"))
    parser.add_argument("--seed", type=int, default=19)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    field_nm = FIELD.width * PRESETS[ROWS[0]].pitch_nm
    sheet(COLUMNS, {preset: panels(preset, options.seed) for preset in ROWS}, field_nm).save(options.out, optimize=True)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
