"""Localizers on real frames, beside Picasso's: what each finds, and the pictures that come of it.

    python -m benchmarks.localization_real [--data ../shared/data] [--docs docs]
        [--localizers gaussian dense picasso-mle] [--json FILE]

Podosomes (densely fluctuating fluorescent proteins; Rosten et al., threeB) and DNA-PAINT as Micro-Manager wrote it
(picasso-workflow), both of cameras that nobody has calibrated. There is no truth. What stands for it: a molecule stays
on for some frames, so what is real is *seen again* near its place in the next ones. How much of that is chance is told
by frames half a recording away. Where Picasso is installed (`benchmarks.rivals`), it is said which share of what it
finds the others find, too. With ``--docs`` picture and table go into docs/explanation/localizers.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from benchmarks.documents import find_page, measured_with, write_block
from benchmarks.panels import below_each_other, picture, sheet
from benchmarks.report import Report, markdown_table
from benchmarks.rivals import localizers_by_name
from dblink_live.analysis.matching import match_localizations
from dblink_live.analysis.rendering import render
from dblink_live.analysis.resolution.frc import frc_of_localizations
from dblink_live.errors import AnalysisError
from dblink_live.localization.neural.weights import list_localizer_networks, network_card
from dblink_live.types import Camera, FrameArray, Grid, Localizations, Shape

PITCH_NM = 20.0
RADIUS_NM = 100.0
"""Within which a molecule is the same one."""
NEXT_FRAMES = 3
WHITE_QUANTILE = 0.995
REFERENCE = "picasso-mle"


@dataclass(frozen=True)
class Stack:
    """Real camera frames."""

    title: str
    path: str
    """Below the data folder."""
    pixel_size_nm: float


@dataclass(frozen=True)
class Network:
    """Weights of a localizer, as documents name them."""

    name: str
    sha256: str


STACKS = (
    Stack("podosomes", "raw_3b_podosome/test_data.tif", 100.0),
    Stack("DNA-PAINT", "raw_dnapaint_micromanager/3C_30px_100f.tif", 130.0),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--docs", type=Path, default=None, help="picture and table go there")
    parser.add_argument("--localizers", nargs="+", default=["gaussian", "dense", REFERENCE])
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    started = time.perf_counter()
    factories = localizers_by_name(options.localizers)
    report = Report("localization_real", {"localizers": list(factories)})
    rows: list[list[object]] = []
    papers: list[Image.Image] = []
    for stack in STACKS:
        frames = tifffile.imread(options.data / stack.path)
        camera = Camera(stack.pixel_size_nm)
        found = {name: factory(camera)(frames) for name, factory in factories.items()}
        rows += [[stack.title, name, *_judge(table, found, frames, stack)] for name, table in found.items()]
        panels = [
            picture(frames.mean(axis=0), "grey", WHITE_QUANTILE),
            *(_rendered(table, frames, stack) for table in found.values()),
        ]
        # One sheet a field: each has a scale of its own.
        papers.append(sheet(["mean frame", *factories], {stack.title: panels}, frames.shape[2] * stack.pixel_size_nm))
    header = ["frames", "localizer", "molecules per frame", "seen again", "by chance", "of Picasso's MLE", "FRC, nm"]
    table = markdown_table(header, rows)
    print(table)
    report.add("rows", [dict(zip(header, row, strict=True)) for row in rows])
    report.finish(options.json)
    if options.docs is not None:
        below_each_other(papers).save(options.docs / "images" / "localizers_real.png", optimize=True)
        networks = [Network(name, network_card(name).sha256) for name in factories if name in list_localizer_networks()]
        head = measured_with(networks, time.perf_counter() - started)
        write_block(find_page(options.docs, "localizers"), "real frames", f"{head}\n\n{table}")


def _judge(table: Localizations, found: Mapping[str, Localizations], frames: FrameArray, stack: Stack) -> list[object]:
    shares = [
        f"{100 * seen_again(table, len(frames), stack.pixel_size_nm, shift):.0f} %" for shift in (0, len(frames) // 2)
    ]
    of_reference: object = "-"
    if REFERENCE in found and len(found[REFERENCE]):
        reference = found[REFERENCE]
        pairs = match_localizations(table, reference, stack.pixel_size_nm, RADIUS_NM).n_pairs
        of_reference = f"{100 * pairs / len(reference):.0f} %"
    return [f"{len(table) / len(frames):.1f}", *shares, of_reference, _resolution(table, stack)]


def _resolution(table: Localizations, stack: Stack) -> str:
    try:
        return f"{frc_of_localizations(table, stack.pixel_size_nm).resolution_nm():.0f}"
    except AnalysisError:
        return "too few"


def seen_again(table: Localizations, n_frames: int, pixel_size_nm: float, shift: int = 0) -> float:
    """Share of the localizations near which there is another in one of the `NEXT_FRAMES` frames behind ``shift``."""
    points = np.stack([table["x"], table["y"]], 1) * pixel_size_nm
    by_frame = [points[table["frame"] == number] for number in range(n_frames)]
    n_seen = n_asked = 0
    for number, here in enumerate(by_frame[: n_frames - NEXT_FRAMES]):
        later = [by_frame[(number + shift + step) % n_frames] for step in range(1, NEXT_FRAMES + 1)]
        there = np.concatenate(later)
        distance_nm = np.linalg.norm(here[:, None] - there[None], axis=2)
        n_seen += int((distance_nm <= RADIUS_NM).any(axis=1).sum())
        n_asked += len(here)
    return n_seen / max(n_asked, 1)


def _rendered(table: Localizations, frames: FrameArray, stack: Stack) -> Image.Image:
    grid = Grid.covering(Shape(*frames.shape[1:]), stack.pixel_size_nm, PITCH_NM)
    return picture(render(table, stack.pixel_size_nm, grid), "ember", WHITE_QUANTILE)


if __name__ == "__main__":
    main()
