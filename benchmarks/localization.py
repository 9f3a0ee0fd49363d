"""Accuracy of the localizers on simulated frames, from sparse to crowded.

    python -m benchmarks.localization [--frames 500] [--densities 0.1 1.3 4.2 6.5]
        [--localizers gaussian dense auto picasso-mle picasso-lq daostorm] [--side 32] [--apart] [--tubulins FOLDER]
        [--sites FOLDER] [--json FILE]

Frames of 32 x 32 pixels (``side``) of 100 nm: molecules at random places that switch on and off (a Markov chain, on
for three frames on average), each a pixel-integrated Gaussian of sigma 1.09 px, 3000 photons per frame on a background
of 500 photons per pixel; counts are 500 + Poisson(500 + signal) + Normal(0, variance 300). The localizers are told the
camera and not the width of the spots; each looks at a few frames first, to load and compile itself. Scores are those of
the SMLM challenge (`dblink_live.analysis.matching`), beside what pairing with the molecules of other frames gives by
chance. torch takes all cores unless OMP_NUM_THREADS says otherwise.

Other programs' localizers (`benchmarks.rivals`: picasso-mle, picasso-lq, daostorm) are told the width, which they
cannot learn; those that are not installed are named and left out. ``--apart`` tells ours that a frame is missing before
each, which keeps them from using those before, and the width, which they would learn from them: what `dense` owes to
them. ``--tubulins`` adds the published stack of the folder `gt_deepstorm_tubulins`, of a program that is not ours; its
camera is taken for one of offset 100 and gain 1.
``--sites`` adds that of `gt_picasso_sim`, sparse DNA-PAINT by Picasso's own simulator, of which the places of the
binding sites are known and not when they shine: what is told is how far from its nearest site a molecule lies.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
import torch
import yaml

from benchmarks.report import Report, markdown_table
from benchmarks.rivals import RIVALS, localizers_by_name
from dblink_live.analysis.matching import chance_jaccard, match_localizations
from dblink_live.simulate.camera import render_spots
from dblink_live.types import Camera, FrameArray, Localizations, Shape, empty_localizations

PIXEL_NM = 100.0
SIGMA_PX = 1.09
REACH_PX = 6
"""Half the side of the square that a spot is drawn in."""
PHOTONS = 3000.0
BACKGROUND_E = 500.0
OFFSET_ADU = 500.0
READ_VARIANCE_E2 = 300.0
MEAN_ON_FRAMES = 3.0
ON_SHARE = 0.01
"""Share of the time that a molecule is on: so little that hardly one comes back in the frames compared for chance."""
SEED = 40_000
WARM_UP_FRAMES = 5
CAMERA = Camera(pixel_size_nm=PIXEL_NM, offset_adu=OFFSET_ADU, read_noise_e=math.sqrt(READ_VARIANCE_E2))
RADII_NM = (100.0, 250.0)
TUBULINS = Camera(pixel_size_nm=PIXEL_NM, offset_adu=100.0)
TUBULINS_SIGMA_PX = 0.9
SITES = Camera(pixel_size_nm=160.0)
SITES_SIGMA_PX = 0.82


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--densities", type=float, nargs="+", default=[0.1, 1.3, 4.2, 6.5], help="molecules on a um^2")
    parser.add_argument("--localizers", nargs="+", default=["gaussian", "dense", "auto"])
    parser.add_argument("--side", type=int, default=32, help="pixels of a simulated frame along an edge")
    parser.add_argument("--apart", action="store_true", help="as if a frame were missing before each")
    parser.add_argument("--tubulins", type=Path, default=None, help="folder of the published stack")
    parser.add_argument("--sites", type=Path, default=None, help="folder of Picasso's simulated stack")
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    shape = Shape(options.side, options.side)
    report = Report(
        "localization", {"frames": options.frames, "side": options.side, "threads": torch.get_num_threads()}
    )
    factories = localizers_by_name(options.localizers, apart=options.apart)
    stacks = [
        (f"{density:g}", CAMERA, SIGMA_PX, *simulate_stack(density, options.frames, SEED, shape))
        for density in options.densities
    ]
    if options.tubulins is not None:
        stacks.append(("tubulins", TUBULINS, TUBULINS_SIGMA_PX, *read_tubulins(options.tubulins, options.frames)))
    rows = []
    for stack, camera, sigma_px, frames, molecules in stacks:
        for localizer, factory in factories.items():
            known_px = sigma_px if localizer in RIVALS or options.apart else None
            factory(camera, psf_sigma_px=known_px)(frames[:WARM_UP_FRAMES])
            localize = factory(camera, psf_sigma_px=known_px)
            started = time.perf_counter()
            found = localize(frames)
            fps = len(frames) / (time.perf_counter() - started)
            near, far = (match_localizations(found, molecules, PIXEL_NM, radius) for radius in RADII_NM)
            rows.append(
                [
                    stack,
                    localizer,
                    100 * near.jaccard,
                    near.rmse_nm,
                    PIXEL_NM * float(np.hypot(found["lpx"], found["lpy"]).mean()),
                    math.hypot(*near.bias_nm),
                    100 * far.jaccard,
                    near.efficiency,
                    100 * chance_jaccard(found, molecules, PIXEL_NM, RADII_NM[0]),
                    fps,
                ]
            )
    header = ["on / um^2", "localizer", "Jaccard %", "RMSE nm", "reported precision nm", "bias nm"]
    header += ["Jaccard % at 250 nm", "efficiency", "chance %", "frames/s"]
    print(markdown_table(header, rows))
    print("\nRMSE and precision are lateral (both axes); Jaccard, RMSE, bias, efficiency and chance at 100 nm.")
    report.add("scores", [dict(zip(header, row, strict=True)) for row in rows])
    if options.sites is not None:
        frames, sites = read_sites(options.sites)
        rows = [
            [
                name,
                *distance_from_sites(
                    factory(SITES, psf_sigma_px=SITES_SIGMA_PX if name in RIVALS else None)(frames), sites
                ),
            ]
            for name, factory in factories.items()
        ]
        header = ["localizer", "molecules", "median distance px", "farther than half a pixel %"]
        print(markdown_table(header, rows))
        report.add("sites", [dict(zip(header, row, strict=True)) for row in rows])
    report.finish(options.json)


def simulate_stack(density_um2: float, n_frames: int, seed: int, shape: Shape) -> tuple[FrameArray, Localizations]:
    """Frames [T, H, W] uint16 and the molecules that are on in them, ``density_um2`` on average."""
    rng = np.random.default_rng(seed)
    area_um2 = shape.height * shape.width * (PIXEL_NM / 1000) ** 2
    n_molecules = round(density_um2 * area_um2 / ON_SHARE)
    position = rng.uniform(-0.5, (shape.height - 0.5, shape.width - 0.5), size=(n_molecules, 2))
    is_on = _switch(n_molecules, n_frames, rng)
    frames = np.zeros((n_frames, *shape), np.uint16)
    for t in range(n_frames):
        lit = position[is_on[t]]
        mean_e = BACKGROUND_E + render_spots(lit, np.full(len(lit), PHOTONS), SIGMA_PX, shape, REACH_PX)
        read_noise = rng.normal(0.0, math.sqrt(READ_VARIANCE_E2), shape)
        frames[t] = np.clip(np.rint(OFFSET_ADU + rng.poisson(mean_e) + read_noise), 0, 65535)
    frame, molecule = np.nonzero(is_on)
    molecules = empty_localizations(len(frame))
    molecules["frame"] = frame
    molecules["y"], molecules["x"] = position[molecule].T
    molecules["photons"] = PHOTONS
    return frames, molecules


def read_tubulins(folder: Path, n_frames: int) -> tuple[FrameArray, Localizations]:
    """The first frames of the published stack, and its molecules."""
    frames = tifffile.imread(folder / "testStack_SimulatedMicrotubules.tif")[:n_frames]
    rows = np.loadtxt(folder / "ground_truth.csv", delimiter=",", skiprows=1)
    rows = rows[rows[:, 0] <= len(frames)]
    molecules = empty_localizations(len(rows))
    # Frames count from 1, nanometres from the corner of the first pixel.
    molecules["frame"] = rows[:, 0].astype(np.int64) - 1
    molecules["x"], molecules["y"] = rows[:, 1] / PIXEL_NM - 0.5, rows[:, 2] / PIXEL_NM - 0.5
    return frames, molecules


def read_sites(folder: Path) -> tuple[FrameArray, npt.NDArray[np.float64]]:
    """Picasso's simulated stack [T, H, W], and the binding sites [S, 2] as x and y in pixels."""
    facts = yaml.safe_load((folder / "testdata.yaml").read_text())
    shape = (facts["Frames"], facts["Height"], facts["Width"])
    frames = np.fromfile(folder / "testdata.raw", "<u2").reshape(shape)
    x, y = (np.array(facts[f"Structure.Handle{axis}"].split(","), float) for axis in "XY")
    # It counts pixels from the corner of the first one.
    return frames, np.stack([x, y], 1) - 0.5


def distance_from_sites(found: Localizations, sites: npt.NDArray[np.float64]) -> list[object]:
    """How many were found, the median distance from the nearest site in pixels, and the share that is far from all."""
    points = np.stack([found["x"], found["y"]], 1)
    distance_px = np.linalg.norm(points[:, None] - sites[None], axis=2).min(axis=1)
    return [len(found), float(np.median(distance_px)), 100 * float((distance_px > 0.5).mean())]


def _switch(n_molecules: int, n_frames: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """[T, N] whether each molecule is on: a stationary chain of two states."""
    switch_off = 1.0 / MEAN_ON_FRAMES
    switch_on = switch_off * ON_SHARE / (1.0 - ON_SHARE)
    is_on = np.zeros((n_frames, n_molecules), bool)
    is_on[0] = rng.random(n_molecules) < ON_SHARE
    for t in range(1, n_frames):
        chance = rng.random(n_molecules)
        is_on[t] = np.where(is_on[t - 1], chance >= switch_off, chance < switch_on)
    return is_on


if __name__ == "__main__":
    main()
