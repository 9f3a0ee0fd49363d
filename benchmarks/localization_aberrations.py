"""What the Gaussian model costs on spots that are none: Airy patterns in and out of focus, and astigmatic ones.

    python -m benchmarks.localization_aberrations [--molecules 1500] [--json FILE]

Isolated molecules of 3000 photons on 20 per pixel, drawn pupil by pupil: the scalar point spread function of an
objective of aperture 1.4 in oil at 670 nm, 100 nm pixels, each pixel an integral over 5 x 5 points. The width is
learned from the frames, as a user would have it. Bias and RMSE are an axis, in nm; the bias within a pixel is the
largest over the five places in a pixel; photons and stated precision are over the truth.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import numpy.typing as npt

from benchmarks.report import Report, markdown_table
from dblink_live.analysis.matching import match_localizations
from dblink_live.localization import GaussianLocalizer
from dblink_live.localization.gaussian.psf import Width
from dblink_live.types import Camera, empty_localizations

PIXEL_NM, WAVELENGTH_NM, APERTURE, INDEX = 100.0, 670.0, 1.4, 1.518
PHOTONS, BACKGROUND_E = 3000.0, 20.0
SIDE = 25
OVERSAMPLED = 5
N_PUPIL = 512
CAMERA = Camera(PIXEL_NM, offset_adu=100.0)
RADIUS_NM = 250.0
SEED = 70_000
CASES = (
    ("in focus", 0.0, 0.0),
    ("300 nm out of focus", 300.0, 0.0),
    ("astigmatic, 0 nm", 0.0, 0.6),
    ("astigmatic, 200 nm", 200.0, 0.6),
)
"""Name, defocus in nm, astigmatism in radians (Zernike, root mean square)."""

Array = npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--molecules", type=int, default=1500)
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    report = Report("localization_aberrations", {"molecules": options.molecules})
    rows = []
    for name, defocus_nm, astigmatism in CASES:
        fine = fine_spot(defocus_nm, astigmatism)
        rng = np.random.default_rng(SEED)
        place = rng.integers(-OVERSAMPLED * 2, OVERSAMPLED * 2 + 1, (2, options.molecules))
        frames = np.stack([frame(fine, int(dy), int(dx), rng) for dy, dx in place.T])
        truth = empty_localizations(options.molecules)
        truth["frame"] = np.arange(options.molecules)
        truth["y"], truth["x"] = SIDE // 2 + place / OVERSAMPLED
        for fit in ("fixed", "free", "elliptic"):
            width: Width = fit  # type: ignore[assignment]
            localizer = GaussianLocalizer(CAMERA, fit=width)
            found = localizer.localize(frames, truth["frame"])
            near = np.hypot(found["x"] - truth["x"][found["frame"]], found["y"] - truth["y"][found["frame"]]) < 2.5
            extra = int((~near).sum())
            found = found[near]
            scores = match_localizations(found, truth, PIXEL_NM, RADIUS_NM)
            rmse = scores.rmse_nm / math.sqrt(2)
            stated = PIXEL_NM * math.sqrt(np.square(np.stack([found["lpx"], found["lpy"]])).mean())
            sigma = localizer.psf_sigma_px or float("nan")
            row = [name, fit, sigma, scores.n_pairs / len(truth), extra, *scores.bias_nm, _bias_within(found, truth)]
            rows.append([*row, rmse, stated / rmse, float(np.median(found["photons"])) / PHOTONS])
    header = ["spot", "fit", "width px", "found", "false", "bias y", "bias x", "bias within a pixel", "RMSE"]
    header += ["stated / true", "photons"]
    print(markdown_table(header, rows))
    report.add("scores", [dict(zip(header, row, strict=True)) for row in rows])
    report.finish(options.json)


def fine_spot(defocus_nm: float, astigmatism: float) -> Array:
    """Intensity on points of a fifth of a pixel, centred, of sum 1."""
    step_nm = PIXEL_NM / OVERSAMPLED
    frequency = np.fft.fftfreq(N_PUPIL, step_nm)
    fy, fx = frequency[:, None], frequency[None, :]
    radius = np.hypot(fy, fx) * WAVELENGTH_NM / APERTURE
    axial = np.sqrt(np.maximum((INDEX / WAVELENGTH_NM) ** 2 - fy**2 - fx**2, 0.0))
    phase = 2 * np.pi * axial * defocus_nm + astigmatism * math.sqrt(6) * radius**2 * np.cos(2 * np.arctan2(fy, fx))
    field = np.fft.fftshift(np.fft.ifft2(np.where(radius <= 1, np.exp(1j * phase), 0)))
    intensity: Array = np.abs(field) ** 2
    return intensity / intensity.sum()


def frame(fine: Array, dy: int, dx: int, rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    """Counts [H, W] of one molecule ``dy``, ``dx`` fine points from the middle of the middle pixel."""
    half = SIDE * OVERSAMPLED // 2
    first_y, first_x = (N_PUPIL // 2 - half - shift for shift in (dy, dx))
    extent = SIDE * OVERSAMPLED
    seen = fine[first_y : first_y + extent, first_x : first_x + extent]
    pixels = seen.reshape(SIDE, OVERSAMPLED, SIDE, OVERSAMPLED).sum(axis=(1, 3))
    return (rng.poisson(BACKGROUND_E + PHOTONS * pixels) + 100).astype(np.uint16)


def _bias_within(found: npt.NDArray[np.void], truth: npt.NDArray[np.void]) -> float:
    """Largest mean error over the places in a pixel, along either axis, in nm."""
    largest = 0.0
    for axis in ("x", "y"):
        at = truth[axis][found["frame"]]
        error = PIXEL_NM * (found[axis] - at)
        phase = np.rint(OVERSAMPLED * (at - np.rint(at))).astype(int)
        largest = max(largest, *(abs(float(error[phase == value].mean())) for value in np.unique(phase)))
    return largest


if __name__ == "__main__":
    main()
