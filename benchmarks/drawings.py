"""The drawings of docs/explanation/how_it_works.md.

python -m benchmarks.drawings [--docs docs]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

import dblink_live as dbl
from dblink_live.simulate import PRESETS, simulate_video

TEAL, ORANGE, GREY = "#00796b", "#e65100", "#607d8b"
LINE = (
    ("camera", "frames", "own process"),
    ("localizer", "molecules", "fit or network"),
    ("windows", "counts on 40 nm", "10 frames each"),
    ("network", "pictures", "both directions of time"),
    ("run folder", "OME-Zarr + journal", "committed"),
)
"""Name, what comes out, a remark."""
N_WINDOWS, SHOWN, HOP, LOOKAHEAD = 16, 2, 4, 8


def draw_line(path: Path) -> None:
    """Draw the way of a frame from the camera to the run folder and the viewer."""
    figure, axis = _canvas(10, 2.5, (0, 10.2), (0, 2.6))
    for i, (name, result, remark) in enumerate(LINE):
        _box(axis, 2 * i + 0.1, 1.3, name, remark)
        if i + 1 < len(LINE):
            axis.annotate("", (2 * i + 2.1, 1.75), (2 * i + 1.7, 1.75), arrowprops={"arrowstyle": "->", "color": GREY})
            axis.text(2 * i + 1.9, 2.35, result, ha="center", fontsize=8, color=GREY)
    _box(axis, 6.1, 0.1, "viewer", "own process", color=ORANGE)
    axis.annotate("", (6.9, 1.0), (6.9, 1.3), arrowprops={"arrowstyle": "->", "color": GREY})
    axis.text(7.05, 1.1, "the newest only", fontsize=8, color=GREY, va="center")
    _save(figure, path)


def draw_lookahead(path: Path) -> None:
    """Draw which windows a live picture knows, and when it comes."""
    figure, axis = _canvas(10, 2.6, (-1.6, N_WINDOWS + 0.2), (-1.3, 2.2))
    colours = {"carried as a state": GREY, "pictures made together (hop)": TEAL, "later windows, waited for": ORANGE}
    for t in range(SHOWN + HOP + LOOKAHEAD):
        colour = list(colours.values())[0 if t < SHOWN else 1 if t < SHOWN + HOP else 2]
        axis.add_patch(FancyBboxPatch((t + 0.1, 0), 0.8, 0.8, boxstyle="round,pad=0.02", fc=colour, ec="none"))
    axis.annotate("", (SHOWN + HOP, 1.2), (0, 1.2), arrowprops={"arrowstyle": "->", "color": GREY})
    axis.text(0, 1.35, "forward direction: carried along", fontsize=8, color=GREY)
    end = SHOWN + HOP + LOOKAHEAD
    axis.annotate("", (SHOWN, -0.35), (end, -0.35), arrowprops={"arrowstyle": "->", "color": ORANGE})
    axis.text(end, -0.75, "reverse direction: from the newest window back", fontsize=8, color=ORANGE, ha="right")
    axis.axvline(end, ymin=0.3, ymax=0.85, color="k", lw=1)
    axis.text(end + 0.1, 1.35, "now", fontsize=9)
    axis.text(-0.1, 0.4, "windows", ha="right", va="center", fontsize=9)
    for i, (text, colour) in enumerate(colours.items()):
        axis.text(i * 5.2, 1.95, f"\N{BLACK SQUARE} {text}", color=colour, fontsize=8)
    _save(figure, path)


def draw_prior(path: Path) -> None:
    """Show a simulated moment: one window, the sum of 25, the reconstruction, the truth."""
    video = simulate_video(replace(PRESETS["3x speed"], n_windows=60), seed=11)
    picture = dbl.reconstruct(video.counts, "filaments")[30]
    panels = {
        "one window": video.counts[30],
        "plain sum of 25 windows": video.counts[18:43].sum(0),
        "reconstruction": picture,
        "truth": video.truth[30],
    }
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.3), layout="constrained")
    for axis, (title, image) in zip(axes, panels.items(), strict=True):
        axis.imshow(image, cmap="inferno", vmax=max(float(np.quantile(image.astype(np.float32), 0.998)), 1e-6))
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _canvas(width: float, height: float, x: tuple[float, float], y: tuple[float, float]) -> tuple[plt.Figure, Axes]:
    figure, axis = plt.subplots(figsize=(width, height), layout="constrained")
    axis.set_xlim(*x)
    axis.set_ylim(*y)
    axis.set_axis_off()
    return figure, axis


def _box(axis: Axes, x: float, y: float, title: str, remark: str, color: str = TEAL) -> None:
    axis.add_patch(FancyBboxPatch((x, y), 1.6, 0.9, boxstyle="round,pad=0.02", fc=color, ec="none"))
    axis.text(x + 0.8, y + 0.58, title, ha="center", va="center", color="w", fontsize=11, weight="bold")
    axis.text(x + 0.8, y + 0.22, remark, ha="center", va="center", color="w", fontsize=7.5)


def _save(figure: plt.Figure, path: Path) -> None:
    # White behind it: the site has a dark theme, too. No date: the same drawing is the same file.
    figure.savefig(path, facecolor="white", metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drawings", description=__doc__)
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="drawings go into its images/")
    images = parser.parse_args().docs / "images"
    mpl.use("agg")
    mpl.rcParams["svg.hashsalt"] = "dblink_live"
    draw_line(images / "how_line.svg")
    draw_lookahead(images / "how_lookahead.svg")
    draw_prior(images / "how_prior.png")


if __name__ == "__main__":
    main()
