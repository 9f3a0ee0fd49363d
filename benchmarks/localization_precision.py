"""Isolated molecules: how near the localizers come to the Cramer-Rao bound, and whether they know how near they are.

    python -m benchmarks.localization_precision [--molecules 6000] [--localizers gaussian picasso-mle] [--json FILE]

Molecules stand 14 px apart on a sensor of 256 x 256 pixels, at random places within a pixel. Each is a pixel-integrated
Gaussian, and each case has a camera of its own: plain numbers, maps of offset, gain and read noise with hot pixels, an
electron-multiplying register. Localizers are told the camera, and `gaussian` the width.

The bound is that of the 7 x 7 pixels about a molecule with x, y, photons, background and width unknown, the sensor's
own pixels included, and averaged over the molecules. ``reported`` is the root mean square of the precisions that come
with the localizations, over that of the errors: 1 is the truth. Errors are known to 1 / sqrt(4 x molecules).
Localizers that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.special import erf

from benchmarks.report import Report, markdown_table
from benchmarks.rivals import localizers_by_name
from dblink_live.analysis.matching import match_localizations
from dblink_live.simulate.camera import render_spots
from dblink_live.simulate.noise import digitise
from dblink_live.types import Camera, FrameArray, Localizations, Shape, empty_localizations

SHAPE = Shape(256, 256)
SPACING_PX = 14
BOX_PX = 7
PIXEL_NM = 100.0
RADIUS_NM = 250.0
REACH_PX = 8
SEED = 50_000

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """Molecules and the camera that sees them."""

    name: str
    sigma_px: float
    photons: float
    background_e: float
    camera: Camera


def cases() -> list[Case]:
    """From an ordinary camera to the awkward ones."""
    rng = np.random.default_rng(SEED)
    # A few electrons at most pixels, tens at one in a hundred: as scientific CMOS sensors have it (Huang et al. 2013).
    read_noise = np.where(rng.random(SHAPE) < 0.01, rng.uniform(10, 40, SHAPE), rng.lognormal(0.5, 0.3, SHAPE))
    maps = Camera(
        PIXEL_NM,
        offset_adu=rng.normal(100.0, 3.0, SHAPE).astype(np.float32),
        electrons_per_adu=rng.normal(0.46, 0.03, SHAPE).astype(np.float32),
        read_noise_e=read_noise.astype(np.float32),
    )
    emccd = Camera(PIXEL_NM, offset_adu=1000.0, electrons_per_adu=20.0, em_gain=200.0, read_noise_e=40.0)
    quiet = Camera(PIXEL_NM, offset_adu=100.0, electrons_per_adu=0.5, read_noise_e=1.4)
    issue = Camera(PIXEL_NM, offset_adu=500.0, read_noise_e=math.sqrt(300.0))
    return [
        Case("3000 photons on 500, read variance 300", 1.09, 3000.0, 500.0, issue),
        Case("1000 on 10", 1.2, 1000.0, 10.0, quiet),
        Case("300 on 5", 1.0, 300.0, 5.0, quiet),
        Case("20000 on 50", 1.3, 20_000.0, 50.0, quiet),
        Case("1000 on 10, sCMOS maps", 1.2, 1000.0, 10.0, maps),
        Case("300 on 2, sCMOS maps", 1.0, 300.0, 2.0, maps),
        Case("1000 on 10, EMCCD", 1.2, 1000.0, 10.0, emccd),
        Case("300 on 2, EMCCD", 1.0, 300.0, 2.0, emccd),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--molecules", type=int, default=6000)
    parser.add_argument("--localizers", nargs="+", default=["gaussian", "picasso-mle"])
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    report = Report("localization_precision", {"molecules": options.molecules})
    factories = localizers_by_name(options.localizers)
    rows = []
    for case in cases():
        frames, molecules = simulate(case, options.molecules)
        bound_nm = PIXEL_NM * math.sqrt(np.square(bound_px(case, molecules)).mean())
        for name, factory in factories.items():
            # The width is stated to who takes it: here the question is the fit, not the learning.
            found = factory(case.camera, psf_sigma_px=case.sigma_px)(frames)
            rows.append([case.name, name, bound_nm, *_figures(found, molecules, bound_nm)])
    header = ["photons per molecule on background a pixel", "localizer", "bound nm", "RMSE / bound", "reported / true"]
    header += ["bias x nm", "bias y nm", "Jaccard %", "efficiency"]
    print(markdown_table(header, rows))
    print(f"\nBound, RMSE and bias an axis; pairs within {RADIUS_NM:g} nm; {options.molecules} molecules a case.")
    report.add("scores", [dict(zip(header, row, strict=True)) for row in rows])
    report.finish(options.json)


def simulate(case: Case, n_molecules: int) -> tuple[FrameArray, Localizations]:
    """Frames [T, H, W] uint16 and at least ``n_molecules`` molecules in them."""
    rng = np.random.default_rng([SEED, 1])
    first = SPACING_PX // 2
    rows, cols = (
        place.ravel() for place in np.mgrid[first : SHAPE.height : SPACING_PX, first : SHAPE.width : SPACING_PX]
    )
    n_frames = math.ceil(n_molecules / len(rows))
    molecules = empty_localizations(n_frames * len(rows))
    molecules["frame"] = np.repeat(np.arange(n_frames), len(rows))
    molecules["y"] = np.tile(rows, n_frames) + rng.uniform(-0.5, 0.5, len(molecules))
    molecules["x"] = np.tile(cols, n_frames) + rng.uniform(-0.5, 0.5, len(molecules))
    molecules["photons"] = case.photons
    frames = np.zeros((n_frames, *SHAPE), np.uint16)
    for number in range(n_frames):
        lit = molecules[molecules["frame"] == number]
        at = np.stack([lit["y"], lit["x"]], axis=1).astype(np.float64)
        light = render_spots(at, np.full(len(lit), case.photons), case.sigma_px, SHAPE, REACH_PX)
        electrons = rng.poisson(case.background_e + light).astype(np.float32)
        frames[number] = digitise(electrons, case.camera, rng)
    return frames, molecules


def bound_px(case: Case, molecules: Localizations) -> Array:
    """[2, K] least standard deviations along y and x in the `BOX_PX` square about each molecule."""
    reach = np.arange(BOX_PX) - BOX_PX // 2
    rows, cols = (np.rint(molecules[axis]).astype(np.int64)[:, None] + reach for axis in ("y", "x"))
    along_y, along_y_dy, along_y_ds = _integrated_gaussian(rows - molecules["y"][:, None], case.sigma_px)
    along_x, along_x_dx, along_x_ds = _integrated_gaussian(cols - molecules["x"][:, None], case.sigma_px)
    shape = along_y[:, :, None] * along_x[:, None, :]
    widening = along_y_ds[:, :, None] * along_x[:, None, :] + along_y[:, :, None] * along_x_ds[:, None, :]
    jacobian = np.stack(
        [
            case.photons * along_y_dy[:, :, None] * along_x[:, None, :],
            case.photons * along_y[:, :, None] * along_x_dx[:, None, :],
            shape,
            np.ones_like(shape),
            case.photons * widening,
        ],
        axis=1,
    ).reshape(len(shape), 5, -1)
    camera = case.camera
    read_noise = np.broadcast_to(np.asarray(camera.read_noise_e, np.float64), SHAPE)[rows[:, :, None], cols[:, None, :]]
    rounding = np.broadcast_to(np.asarray(camera.electrons_per_adu, np.float64), SHAPE)[
        rows[:, :, None], cols[:, None, :]
    ]
    mean = case.background_e + case.photons * shape
    dark = (np.square(read_noise) + np.square(rounding) / 12.0) / camera.em_gain**2
    weight = 1.0 / (camera.excess_noise_factor * mean + dark).reshape(len(shape), -1)
    information = np.einsum("kip,kp,kjp->kij", jacobian, weight, jacobian)
    bound: Array = np.sqrt(np.linalg.inv(information)[:, (0, 1), (0, 1)]).T
    return bound


def _integrated_gaussian(distance: Array, sigma_px: float) -> tuple[Array, Array, Array]:
    """Light in pixels at ``distance`` from a molecule [K, S], and its derivatives to the place and the width."""
    edges = np.stack([distance - 0.5, distance + 0.5]) / sigma_px
    density = np.exp(-0.5 * np.square(edges)) / (math.sqrt(2 * math.pi) * sigma_px)
    lower, upper = density
    share = 0.5 * np.diff(erf(edges / math.sqrt(2.0)), axis=0)[0]
    return share, lower - upper, edges[0] * lower - edges[1] * upper


def _figures(found: Localizations, molecules: Localizations, bound_nm: float) -> list[float]:
    scores = match_localizations(found, molecules, PIXEL_NM, RADIUS_NM)
    rmse_nm = math.sqrt(np.square(scores.rmse_axis_nm).mean())
    # A frame is a layer far above the one before: the nearest molecule is one of the same frame.
    far = 1e6
    places, truth = (
        np.stack([t["x"], t["y"], far * t["frame"]], axis=1).astype(np.float64) for t in (found, molecules)
    )
    is_pair = cKDTree(truth).query(places)[0] * PIXEL_NM <= RADIUS_NM
    reported = PIXEL_NM * np.stack([found["lpx"], found["lpy"]])[:, is_pair].astype(np.float64)
    reported_nm = math.sqrt(np.square(reported).mean())
    bias_y, bias_x = scores.bias_nm
    return [rmse_nm / bound_nm, reported_nm / rmse_nm, bias_x, bias_y, 100 * scores.jaccard, scores.efficiency]


if __name__ == "__main__":
    main()
