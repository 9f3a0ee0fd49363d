"""The smallest distance at which two parallel filaments are told apart: a sum's and a network's.

    python -m benchmarks.two_filaments [--model filaments] [--distances 60 80 ...] [--precisions 15 25] [--docs docs]

Two straight filaments 60 nm wide lie at a distance, turned by a random angle, and stand still or drift across
themselves. Localizations have a Gaussian error. Told apart are they in a window where the profile across them, averaged
along 1.6 um, has two maxima no more than a third of the distance off their places, and falls between them below 0.735
of the lower one (Rayleigh's dip). The share of windows is averaged over angles; the resolution is the smallest distance
from which on it stays at or above one half. The sum has the best half-width and blur for each condition, an advantage
that the network does not get.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, map_coordinates

from benchmarks.documents import find_page, measured_with, write_block
from benchmarks.report import Report, markdown_table
from dblink_live.analysis.metrics import windowed_sum
from dblink_live.models import Model, load_model, reconstruct

SIDE = 64
N_WINDOWS = 60
SCORED = slice(20, 44, 4)
WIDTH_NM = 60.0
LENGTH_NM = 1600.0
DIP = 0.735
N_ANGLES = 4
NOISE_PER_WINDOW = 5.0
PER_UM_AND_WINDOW = 1.2
"""Localizations of the released simulator per micrometre of a filament and window."""
HALF_WIDTHS, BLURS_PX = (2, 5, 10, 20), (0.5, 0.8, 1.2)
STEP_NM = 5.0
FIRST_SEED = 960_000
Profile = npt.NDArray[np.floating]
Counts = np.ndarray[tuple[int, int, int], np.dtype[np.uint16]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="filaments")
    parser.add_argument("--distances", type=float, nargs="+", default=[60, 80, 100, 120, 140, 160, 200, 240])
    parser.add_argument("--precisions", type=float, nargs="+", default=[10.0, 15.0, 25.0])
    parser.add_argument("--densities", type=float, nargs="+", default=[1.0, 4.0])
    parser.add_argument("--speeds", type=float, nargs="+", default=[0.0, 8.0], help="nm per window")
    parser.add_argument("--docs", type=Path, help="write the table into quality.md of this folder")
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    began = time.perf_counter()
    model = load_model(options.model)
    report = Report("two_filaments", {"model": options.model})
    rows: list[list[object]] = []
    distances = sorted(options.distances)
    for precision, density, speed in itertools.product(options.precisions, options.densities, options.speeds):
        shares = [told_apart(model, distance, precision, density, speed) for distance in distances]
        found = [resolution(distances, [share[method] for share in shares]) for method in range(3)]
        rows.append([f"{precision:g}", f"{density:g}", f"{speed:g}", *map(_shown, found)])
        report.add(
            f"{precision:g} nm, density {density:g}, {speed:g} nm per window", dict(zip(distances, shares, strict=True))
        )
        print(rows[-1], file=sys.stderr, flush=True)
    header = ["precision [nm]", "density", "nm per window", "best sum [nm]", "live, lookahead 8 [nm]", "full pass [nm]"]
    table = markdown_table(header, rows)
    print(table)
    if options.docs is not None:
        head = measured_with([model], time.perf_counter() - began)
        write_block(find_page(options.docs, "quality"), f"two filaments {model.name}", f"{head}\n\n{table}")
    report.finish(options.json)


def told_apart(
    model: Model, distance_nm: float, precision_nm: float, density: float, speed_nm: float
) -> tuple[float, float, float]:
    """Share of windows in which the best sum, the live pictures and the full pass show two filaments."""
    videos = [draw_pair(model.pixel_size_nm, distance_nm, precision_nm, density, speed_nm, n) for n in range(N_ANGLES)]

    def share(pictures: list[npt.NDArray[np.float32]]) -> float:
        hits = [
            is_split(profile(picture[t], angle, middle[t], model.pixel_size_nm), distance_nm)
            for (_, angle, middle), picture in zip(videos, pictures, strict=True)
            for t in range(*SCORED.indices(N_WINDOWS))
        ]
        return float(np.mean(hits))

    maps = [counts for counts, _, _ in videos]
    sums = [
        share([gaussian_filter(windowed_sum(counts, half).astype(np.float32), (0, blur, blur)) for counts in maps])
        for half, blur in itertools.product(HALF_WIDTHS, BLURS_PX)
    ]
    live = share([reconstruct(counts, model, 8) for counts in maps])
    return max(sums), live, share([reconstruct(counts, model, "full") for counts in maps])


def draw_pair(
    pitch_nm: float, distance_nm: float, precision_nm: float, density: float, speed_nm: float, number: int
) -> tuple[Counts, float, Profile]:
    """Counts [T, H, W], the angle across the pair, and its middle's place along that [T] in nm from the centre."""
    rng = np.random.default_rng([FIRST_SEED, number])
    angle = rng.uniform(0.0, math.pi)
    middle: Profile = rng.uniform(-0.5, 0.5) * pitch_nm + speed_nm * (np.arange(N_WINDOWS) - N_WINDOWS / 2)
    half_nm = SIDE * pitch_nm / 2
    counts = np.zeros((N_WINDOWS, SIDE, SIDE), np.uint16)
    for t in range(N_WINDOWS):
        n = int(rng.poisson(2 * density * PER_UM_AND_WINDOW * 2 * half_nm * 1.5 * 1e-3))
        across = middle[t] + rng.choice([-0.5, 0.5], n) * distance_nm + WIDTH_NM * rng.uniform(-0.5, 0.5, n)
        along = rng.uniform(-1.5, 1.5, n) * half_nm
        y = across * math.sin(angle) + along * math.cos(angle) + rng.normal(0.0, precision_nm, n) + half_nm
        x = across * math.cos(angle) - along * math.sin(angle) + rng.normal(0.0, precision_nm, n) + half_nm
        n_noise = int(rng.poisson(NOISE_PER_WINDOW))
        rows = np.floor(np.concatenate([y, rng.uniform(0, 2 * half_nm, n_noise)]) / pitch_nm).astype(int)
        cols = np.floor(np.concatenate([x, rng.uniform(0, 2 * half_nm, n_noise)]) / pitch_nm).astype(int)
        inside = (rows >= 0) & (rows < SIDE) & (cols >= 0) & (cols < SIDE)
        np.add.at(counts[t], (rows[inside], cols[inside]), 1)
    return counts, angle, middle


def profile(picture: npt.NDArray[np.float32], angle: float, middle_nm: float, pitch_nm: float) -> Profile:
    """Mean along the filaments, at steps of `STEP_NM` across them, about their middle."""
    across = np.arange(-400.0, 400.0 + STEP_NM, STEP_NM) + middle_nm
    along = np.arange(-LENGTH_NM / 2, LENGTH_NM / 2, pitch_nm / 2)
    a, b = np.meshgrid(across, along, indexing="ij")
    centre = SIDE / 2 - 0.5
    y = (a * math.sin(angle) + b * math.cos(angle)) / pitch_nm + centre
    x = (a * math.cos(angle) - b * math.sin(angle)) / pitch_nm + centre
    found: Profile = map_coordinates(picture, [y, x], order=1).mean(axis=1)
    return found


def is_split(values: Profile, distance_nm: float) -> bool:
    """Whether a profile shows two filaments ``distance_nm`` apart."""
    at = np.arange(len(values)) * STEP_NM - 400.0
    reach = distance_nm / 3

    def peak(place: float) -> tuple[int, float]:
        near = np.flatnonzero(np.abs(at - place) <= reach)
        best = int(near[np.argmax(values[near])])
        return best, float(values[best])

    (left, low), (right, high) = peak(-distance_nm / 2), peak(distance_nm / 2)
    return right > left and min(low, high) > 0 and float(values[left : right + 1].min()) < DIP * min(low, high)


def resolution(distances: list[float], shares: list[float]) -> float | None:
    """The smallest distance from which on at least half of the windows show two; None where none does."""
    found = None
    for distance, share in zip(reversed(distances), reversed(shares), strict=True):
        if share < 0.5:
            break
        found = distance
    return found


def _shown(distance: float | None) -> str:
    return "more than tried" if distance is None else f"{distance:g}"


if __name__ == "__main__":
    main()
