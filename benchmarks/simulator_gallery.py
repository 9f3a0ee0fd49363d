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
from PIL import Image, ImageDraw, ImageFont

from dblink_live.analysis.colours import ColourMapName, colour_map
from dblink_live.analysis.scale_bar import length_label, scale_bar_nm
from dblink_live.simulate import PRESETS, SCMOS, CameraSimulator, VideoParameters, simulate_video
from dblink_live.simulate.blinking import BlinkSchedule
from dblink_live.simulate.video import draw_specimen
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
PANEL_PX = 256
GAP_PX = 6
HEAD_PX = 30
MARGIN_PX = 150
BACKGROUND = (18, 18, 20)
INK = (225, 225, 225)


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


def picture(values: npt.NDArray[np.generic], colours: ColourMapName, white_quantile: float) -> Image.Image:
    """One panel; white is the ``white_quantile`` of the values, black their tenth percentile."""
    numbers = values.astype(np.float64)
    low, high = np.quantile(numbers, 0.1), np.quantile(numbers, white_quantile)
    scaled = np.clip((numbers - low) / max(high - low, 1e-9), 0.0, 1.0)
    rgb = colour_map(colours)[np.rint(255 * scaled).astype(np.int64)]
    return Image.fromarray(rgb).resize((PANEL_PX, PANEL_PX), Image.Resampling.NEAREST)


def gallery(seed: int) -> Image.Image:
    """All rows below each other, with a scale bar."""
    step = PANEL_PX + GAP_PX
    sheet = Image.new("RGB", (MARGIN_PX + len(COLUMNS) * step, HEAD_PX + len(ROWS) * step), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=16)
    for column, title in enumerate(COLUMNS):
        draw.text((MARGIN_PX + column * step, 6), title, INK, font)
    for row, preset in enumerate(ROWS):
        top = HEAD_PX + row * step
        draw.text((8, top + PANEL_PX // 2 - 10), preset, INK, font)
        for column, panel in enumerate(panels(preset, seed)):
            sheet.paste(panel, (MARGIN_PX + column * step, top))
    parameters = PRESETS[ROWS[0]]
    field_nm = parameters.shape.width * parameters.pitch_nm
    bar_nm = scale_bar_nm(field_nm)
    bar_px = round(bar_nm / field_nm * PANEL_PX)
    left, bottom = 8, HEAD_PX + PANEL_PX - 14
    draw.rectangle((left, bottom, left + bar_px, bottom + 5), INK)
    # The font that Pillow brings has no micro sign.
    draw.text((left, bottom - 24), length_label(bar_nm).replace("µ", "u"), INK, font)
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/simulators.png"))
    parser.add_argument("--seed", type=int, default=19)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    gallery(options.seed).save(options.out, optimize=True)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
