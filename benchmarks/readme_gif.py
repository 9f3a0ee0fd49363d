"""The moving picture of the README: camera, plain sum and live reconstruction of a simulated living specimen.

    python -m benchmarks.readme_gif [--docs docs]

Camera frames are simulated, localized, counted into windows and reconstructed by a stream with a lookahead of 8 and a
hop of 4, as a live run does; the picture of a window stands beside the camera frame and the sum of that moment.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, ImageDraw

import dblink_live as dbl
from benchmarks.example import call_json
from dblink_live.display.contrast import CAMERA, RECONSTRUCTION, SUM, ContrastPolicy, contrast_limits
from dblink_live.display.drawing import BACKGROUND, draw_scale_bar, shade, write_text

SIMULATE = ("simulate", "filaments", "--raw", "--preset", "8x speed", "--frames", "2000", "--seed", "17")
WINDOW_FRAMES, SUM_WINDOWS = 10, 25
FIRST, STEP, MS_PER_PICTURE = 16, 2, 100
"""First window shown, windows per picture of the GIF, and its duration."""
PANEL_PX, GAP, HEAD = 250, 8, 26
COLOURS = 128


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.readme_gif",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="the GIF goes into its images/")
    path = parser.parse_args().docs / "images" / "live.gif"
    pictures = list(_pictures())
    palette = pictures[len(pictures) // 2].quantize(COLOURS, Image.Quantize.MAXCOVERAGE)
    shades = [picture.quantize(COLOURS, palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    shades[0].save(path, save_all=True, append_images=shades[1:], duration=MS_PER_PICTURE, loop=0, optimize=True)
    print(f"{path}: {len(shades)} pictures, {path.stat().st_size / 1e6:.1f} MB")


def _pictures() -> Iterator[Image.Image]:
    with tempfile.TemporaryDirectory() as folder:
        stack = Path(folder) / "filaments.tif"
        facts = call_json(*SIMULATE, "--out", str(stack))
        frames = tifffile.imread(stack)
    pixel_size_nm = float(facts["pixel_size_nm"])
    camera = dbl.Camera(pixel_size_nm, facts["offset_adu"], facts["electrons_per_adu"])
    table = dbl.localize(frames, camera)
    scale = round(pixel_size_nm / 40)
    counts = dbl.bin_localizations(table, frames.shape[1:], pixel_size_nm, scale, WINDOW_FRAMES)
    stream = dbl.StreamingReconstructor("filaments", lookahead=8, hop=4)
    live = [picture.image for window in counts for picture in stream.push(window)]
    sums = [counts[max(0, t + 1 - SUM_WINDOWS) : t + 1].sum(0) for t in range(len(live))]
    for t in range(FIRST, len(live), STEP):
        yield _draw(frames[(t + 1) * WINDOW_FRAMES - 1], sums[t], live[t], pixel_size_nm, pixel_size_nm / scale)


def _draw(
    frame: npt.NDArray[Any], plain_sum: npt.NDArray[Any], live: npt.NDArray[Any], pixel_nm: float, pitch_nm: float
) -> Image.Image:
    side_nm = frame.shape[0] * pixel_nm
    paper = Image.new("RGB", (3 * PANEL_PX + 4 * GAP, PANEL_PX + HEAD + GAP), BACKGROUND)
    draw = ImageDraw.Draw(paper)
    panels = (
        ("camera", frame, pixel_nm, CAMERA, "grey"),
        (f"plain sum of {SUM_WINDOWS} windows", plain_sum, pitch_nm, SUM, "ice"),
        ("live reconstruction", live, pitch_nm, RECONSTRUCTION, "ember"),
    )
    for i, (label, image, pitch, policy, colours) in enumerate(panels):
        left = GAP + i * (PANEL_PX + GAP)
        write_text(draw, (left + PANEL_PX / 2, 5), label, 14, "ma")
        shades = _shade(image, pitch, side_nm / PANEL_PX, policy, colours)
        paper.paste(Image.fromarray(shades), (left, HEAD))
        draw_scale_bar(draw, left, HEAD, PANEL_PX, side_nm, side_nm / PANEL_PX)
    return paper


def _shade(
    image: npt.NDArray[Any], pitch_nm: float, nm_per_px: float, policy: ContrastPolicy, colours: str
) -> npt.NDArray[np.uint8]:
    return shade(image, pitch_nm, nm_per_px, (PANEL_PX, PANEL_PX), policy, contrast_limits(image, policy), colours)


if __name__ == "__main__":
    main()
