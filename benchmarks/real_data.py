"""Pictures of real recordings for docs/real_data.md.

    python -m benchmarks.real_data --data ../shared/data --out docs/images

Two recordings: a STORM table of E. coli (LacY-eYFP; Smit et al., ColiCoords) and a DNA-PAINT stack written by
Micro-Manager. Nothing of them was used for training, and there is no truth to score against: the pictures are to be
looked at.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from dblink_live import bin_localizations, read_localizations, reconstruct
from dblink_live.analysis.metrics import windowed_sum
from dblink_live.analysis.snapshot import render_panels
from dblink_live.config import run_config_from_plain
from dblink_live.models import load_model
from dblink_live.pipeline.live_run import open_live_run
from dblink_live.pipeline.scoring import save_panels

PITCH_NM = 40.0
ECOLI_PIXEL_NM = 160.0
ECOLI_WINDOW_FRAMES = 32
ECOLI_FIELD_PX = 176


def ecoli(data: Path, out: Path) -> None:
    """The densest 7 x 7 um of the table: the sum of the middle 9 windows beside the full pass."""
    table = read_localizations(data / "tab_ecoli_storm" / "01_storm.csv", pixel_size_nm=ECOLI_PIXEL_NM).localizations
    side = int(max(table["x"].max(), table["y"].max())) + 2
    counts = bin_localizations(table, (side, side), ECOLI_PIXEL_NM, 4, ECOLI_WINDOW_FRAMES, int(table["frame"].min()))
    counts = counts[(slice(None), *densest_field(counts.sum(axis=0), ECOLI_FIELD_PX))]
    middle = len(counts) // 2
    picture = reconstruct(counts, load_model("filaments"), lookahead="full")[middle]
    few = windowed_sum(counts, 4)[middle]
    title = f"E. coli, STORM table, window {middle} of {len(counts)}: sum of 9 windows, reconstruction"
    render_panels(None, few, picture, PITCH_NM, ECOLI_PIXEL_NM, out / "ecoli.png", title)
    everything = counts.sum(axis=0).astype(np.float32)
    title = f"The same field: sum of all {len(counts)} windows, reconstruction of one"
    render_panels(None, everything, picture, PITCH_NM, ECOLI_PIXEL_NM, out / "ecoli_all.png", title)


def densest_field(total: np.ndarray, side: int) -> tuple[slice, slice]:
    """The square of ``side`` px with most localizations, on a coarse lattice."""
    sums = np.cumsum(np.cumsum(np.pad(total, ((1, 0), (1, 0))), axis=0), axis=1)
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    y, x = np.unravel_index(inside.argmax(), inside.shape)
    return slice(int(y), int(y) + side), slice(int(x), int(x) + side)


def dna_paint(data: Path, out: Path) -> None:
    """The Micro-Manager stack through the live line."""
    stack = data / "raw_dnapaint_micromanager" / "3C_30px_100f.tif"
    config = run_config_from_plain({"camera": {"pixel_size_nm": 130.0}, "windows": {"frames": 4}})
    with tempfile.TemporaryDirectory() as name:
        with open_live_run(f"tiff:{stack}", Path(name) / "dna_paint.run", config, publish=False) as session:
            finished = session.run()
        panels = save_panels(finished)
        if panels is not None:
            (out / "dna_paint.png").write_bytes(panels.read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    ecoli(options.data, options.out)
    dna_paint(options.data, options.out)


if __name__ == "__main__":
    main()
