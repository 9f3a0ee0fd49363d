"""A dense EMCCD recording of microtubules: which of the molecules that each localizer finds do the frames support?

    python -m benchmarks.microtubules [--data ../shared/data] [--docs docs] [--json FILE]

Storm-analysis' deconSTORM stack (Mukamel, Babcock & Zhuang, Biophys. J. 102, 2391 (2012)): 626 frames of 16 x 16
pixels, 7 counts per photon, taken behind an EM register, so that noise has twice the variance of photons alone. The
fit finds a few molecules per frame, the network several times as many, in stripes along the filaments.

There is no truth. In its place, each molecule is taken out of the model of its frame (all molecules found, each with
its best brightness, over the background of that pixel) and the chi square that is lost is its *support*: one that is
not there loses almost nothing. What chance gives is told by the places of molecules found 200 frames later, added to
the model. Noise is that of the stated excess, so a chi square of 1 per pixel means that all light is explained.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image
from scipy.optimize import nnls

from benchmarks.report import Report, markdown_table
from dblink_live.localization import DenseLocalizer, GaussianLocalizer
from dblink_live.types import Camera, FrameArray, Localizations

COUNTS_PER_PHOTON = 7.0
EXCESS = 2.0
SIGMA_PX = 1.0
SUPPORT = 9.0
"""Chi square that a molecule of three parameters has to explain."""
LATER_FRAMES = 200
CAMERAS = {
    "excess noise unknown": Camera(160.0, 0.0, 1 / COUNTS_PER_PHOTON),
    "excess noise known": Camera(160.0, 0.0, 30.0 / COUNTS_PER_PHOTON, em_gain=30.0),
}


@dataclass(frozen=True)
class Support:
    """How well the molecules of one localizer explain the frames."""

    per_frame: float
    chi_square: float
    """Per pixel, that is left."""
    share_unsupported: float
    chance_supported: float
    """Share of places of other frames that are supported: what looks real by chance."""


def measure_support(frames: FrameArray, found: Localizations) -> Support:
    """Return how the frames support the molecules ``found`` in them."""
    photons = frames.astype(np.float64) / COUNTS_PER_PHOTON
    background = np.percentile(photons, 25, axis=0)
    by_frame = {number: found[found["frame"] == number] for number in range(len(frames))}
    left, supports, chances = [], [], []
    for number, frame in enumerate(photons):
        weights = 1 / np.sqrt(EXCESS * np.maximum(frame, background)).ravel()
        own = [(row["y"], row["x"]) for row in by_frame[number]]
        whole = _chi_square(frame, background, own, weights)
        left.append(whole / frame.size)
        supports += [
            _chi_square(frame, background, own[:index] + own[index + 1 :], weights) - whole for index in range(len(own))
        ]
        for row in by_frame[(number + LATER_FRAMES) % len(frames)][:3]:
            place = (row["y"], row["x"])
            if all((place[0] - y) ** 2 + (place[1] - x) ** 2 > 2.0 for y, x in own):
                chances.append(whole - _chi_square(frame, background, [*own, place], weights))
    return Support(
        per_frame=len(found) / len(frames),
        chi_square=float(np.mean(left)),
        share_unsupported=float(np.mean(np.array(supports) < SUPPORT)) if supports else 0.0,
        chance_supported=float(np.mean(np.array(chances) >= SUPPORT)) if chances else 0.0,
    )


def _chi_square(
    frame: npt.NDArray[np.float64],
    background: npt.NDArray[np.float64],
    places: list[tuple[float, float]],
    weights: npt.NDArray[np.float64],
) -> float:
    rows, cols = np.indices(frame.shape)
    spots = [np.exp(-((rows - y) ** 2 + (cols - x) ** 2) / (2 * SIGMA_PX**2)).ravel() for y, x in places]
    model = np.stack([*spots, background.ravel(), np.ones(frame.size)], axis=1)
    _, residual = nnls(model * weights[:, None], frame.ravel() * weights)
    return float(residual) ** 2


def main() -> None:
    """Measure, print the table, and write the picture where ``--docs`` says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--docs", type=Path, help="folder whose images/microtubules.png is written")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    frames = tifffile.imread(options.data / "raw_microtubules" / "microtubules.tif")
    numbers = np.arange(len(frames))
    rows, pictures, figures = [], [], {}
    for localizer in (GaussianLocalizer, DenseLocalizer):
        for name, camera in CAMERAS.items():
            found = localizer(camera, psf_sigma_px=SIGMA_PX).localize(frames, numbers)
            support = measure_support(frames, found)
            title = {"GaussianLocalizer": "fit", "DenseLocalizer": "dense"}[localizer.__name__]
            rows.append(
                [
                    f"{title}, {name}",
                    f"{support.per_frame:.1f}",
                    f"{support.chi_square:.2f}",
                    f"{100 * support.share_unsupported:.0f} %",
                    f"{100 * support.chance_supported:.0f} %",
                ]
            )
            figures[f"{title}, {name}"] = vars(support)
            pictures.append(_render(found, frames.shape[1:]))
    header = ["localizer, camera", "per frame", "chi square left per pixel", "unsupported", "supported by chance"]
    print(markdown_table(header, rows))
    if options.json is not None:
        report = Report("microtubules", {"data": str(options.data)})
        for key, value in figures.items():
            report.add(key, value)
        report.finish(options.json)
    if options.docs is not None:
        mean = np.kron(frames.mean(axis=0), np.ones((10, 10)))
        panels = [_grey(mean), *map(_grey, pictures)]
        gap = np.full((panels[0].shape[0], 6), 255, np.uint8)
        sheet = np.concatenate([part for panel in panels for part in (panel, gap)][:-1], axis=1)
        Image.fromarray(sheet).save(options.docs / "images" / "microtubules.png")


def _render(found: Localizations, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    edges = [np.arange(side * 10 + 1) / 10 - 0.5 for side in shape]
    return np.histogram2d(found["y"], found["x"], bins=edges)[0]


def _grey(image: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    low, high = image.min(), np.quantile(image, 0.995)
    return (np.clip((image - low) / max(high - low, 1e-9), 0, 1) * 255).astype(np.uint8)


if __name__ == "__main__":
    main()
