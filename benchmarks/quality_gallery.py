"""What the scores of `benchmarks.quality` look like: sum, reconstructions and truth of one video of each preset.

    python -m benchmarks.quality_gallery [--out docs/images/quality.png] [--windows 120]

A row is a preset, of its second video in `benchmarks.quality`, at the middle of the stream. From left to right: the
plain sum of 81 windows, the live picture (lookahead 8, hop 4), that of the full pass, the truth, and what is wrong in
the full pass at the threshold of the checkpoint: white is right, orange drawn though nothing lies within 1 px, blue
left out though structure is there.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import maximum_filter

from benchmarks.panels import PANEL_PX, limited, picture, sheet
from benchmarks.quality import FIRST_SEED, SEEDS_A_PRESET, videos_with_structure
from dblink_live.analysis.metrics import windowed_sum
from dblink_live.models import Model, load_model, reconstruct
from dblink_live.simulate.video import FIELD, PRESETS, Video

ROWS = {
    "default": "filaments",
    "half density": "filaments",
    "3x speed": "filaments",
    "8x speed": "filaments",
    "mitochondria": "mitochondria",
}
COLUMNS = ("sum of 81 windows", "live, lookahead 8", "full pass", "truth", "errors of the full pass")
SUM_HALF_WIDTH = 40
ORANGE, BLUE, WHITE = (255, 150, 40), (70, 140, 255), (235, 235, 235)


def panels(video: Video, model: Model) -> list[Image.Image]:
    """The five pictures of one video."""
    middle = len(video.counts) // 2
    truth = video.truth[middle]
    live, full = (reconstruct(video.counts, model, lookahead)[middle] for lookahead in (8, "full"))
    return [
        picture(windowed_sum(video.counts, SUM_HALF_WIDTH)[middle], "ember", 0.999),
        limited(live, "ice", 0.0, 1.0),
        limited(full, "ice", 0.0, 1.0),
        limited(truth, "ice", 0.0, 1.0),
        errors(full > model.threshold, truth),
    ]


def errors(predicted: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> Image.Image:
    """Right, invented and left out, as F1 at 1 px counts them."""
    rgb = np.zeros((*truth.shape, 3), np.uint8)
    rgb[predicted] = WHITE
    rgb[predicted & ~maximum_filter(truth, 3)] = ORANGE
    rgb[truth & ~maximum_filter(predicted, 3)] = BLUE
    return Image.fromarray(rgb).resize((PANEL_PX, PANEL_PX), Image.Resampling.NEAREST)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/quality.png"))
    parser.add_argument("--windows", type=int, default=120)
    options = parser.parse_args()
    rows = {}
    for preset, name in ROWS.items():
        first_seed = FIRST_SEED + SEEDS_A_PRESET * list(PRESETS).index(preset)
        video = videos_with_structure(replace(PRESETS[preset], n_windows=options.windows), first_seed, 2)[1]
        rows[preset] = panels(video, load_model(name))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sheet(COLUMNS, rows, FIELD.width * PRESETS["default"].pitch_nm).save(options.out, optimize=True)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
