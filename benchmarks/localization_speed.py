"""Frames and molecules per second of the localizers, one beside the other.

    python -m benchmarks.localization_speed [--side 512] [--spots 233 2500] [--frames 48] [--rounds 3]
        [--localizers gaussian picasso-mle picasso-lq] [--json FILE]

Frames of ``side`` x ``side`` pixels with molecules at random places, a width of 1.2 px, 300 photons and more each, on
20 a pixel. Localizers are told camera and width, warm up on the first frames (Picasso compiles itself) and then take
turns, so that what else the machine does falls on all alike: on a busy machine only the ratios mean anything. The time
is that from frames in memory to the finished table; the best of the rounds counts.
Localizers that are not installed are named and left out (`benchmarks.rivals`).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.report import Report, markdown_table
from benchmarks.rivals import localizers_by_name
from dblink_live.simulate.camera import render_spots
from dblink_live.simulate.noise import digitise
from dblink_live.types import Camera, Shape

CAMERA = Camera(100.0, offset_adu=100.0, electrons_per_adu=0.5, read_noise_e=1.5)
SIGMA_PX = 1.2
BACKGROUND_E = 20.0
MIN_PHOTONS, FURTHER_PHOTONS = 300.0, 1500.0
REACH_PX = 6
WARM_UP_FRAMES = 8
SEED = 60_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--spots", type=int, nargs="+", default=[233, 2500], help="molecules per frame")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--localizers", nargs="+", default=["gaussian", "picasso-mle", "picasso-lq"])
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    report = Report("localization_speed", {**vars(options), "threads": torch.get_num_threads()})
    factories = localizers_by_name(options.localizers)
    rows = []
    for n_spots in options.spots:
        frames = simulate(Shape(options.side, options.side), n_spots, options.frames)
        best = dict.fromkeys(factories, float("inf"))
        found = dict.fromkeys(factories, 0)
        for factory in factories.values():
            factory(CAMERA, psf_sigma_px=SIGMA_PX)(frames[:WARM_UP_FRAMES])
        for _ in range(options.rounds):
            for name, factory in factories.items():
                localize = factory(CAMERA, psf_sigma_px=SIGMA_PX)
                started = time.perf_counter()
                found[name] = len(localize(frames))
                best[name] = min(best[name], time.perf_counter() - started)
        first = best[next(iter(best))]
        rows += [
            [
                n_spots,
                name,
                len(frames) / best[name],
                found[name] / best[name],
                found[name] / len(frames),
                best[name] / first,
            ]
            for name in factories
        ]
    header = [
        "molecules per frame",
        "localizer",
        "frames/s",
        "molecules/s",
        "found per frame",
        "time over the first one's",
    ]
    print(markdown_table(header, rows))
    report.add("speed", [dict(zip(header, row, strict=True)) for row in rows])
    report.finish(options.json)


def simulate(shape: Shape, n_spots: int, n_frames: int) -> npt.NDArray[np.uint16]:
    """Frames [T, H, W]."""
    rng = np.random.default_rng(SEED)
    frames = np.zeros((n_frames, *shape), np.uint16)
    for number in range(n_frames):
        at = rng.uniform(-0.5, np.array(shape) - 0.5, (n_spots, 2))
        photons = MIN_PHOTONS + rng.exponential(FURTHER_PHOTONS, n_spots)
        mean = BACKGROUND_E + render_spots(at, photons, SIGMA_PX, shape, REACH_PX)
        frames[number] = digitise(rng.poisson(mean).astype(np.float32), CAMERA, rng)
    return frames


if __name__ == "__main__":
    main()
