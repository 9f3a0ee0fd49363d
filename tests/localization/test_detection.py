"""What counts as a molecule, and what does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from dblink_live.localization import GaussianLocalizer
from dblink_live.types import Camera

Render = Callable[..., npt.NDArray[np.float64]]


def test_noise_passes_for_molecules_as_rarely_as_documented() -> None:
    rng = np.random.default_rng(5)
    n, side = 120, 96
    megapixels = n * side**2 / 1e6
    frames = rng.poisson(100.0, (n, side, side)).astype(np.uint16)
    found = GaussianLocalizer(Camera(100.0), 1.2, threshold_sigma=4.0).localize(frames, np.arange(n))
    # 37 a megapixel are detected and about half of them pass the filters: 22 +- 5 here (Poisson), so 5 to 45.
    assert 5 < len(found) / megapixels < 45
    # 0.5 a megapixel at 5 sigma: 0.6 expected, 4 or more once in 300 times.
    assert len(GaussianLocalizer(Camera(100.0), 1.2).localize(frames, np.arange(n))) < 4


def test_the_threshold_follows_the_background(render: Render) -> None:
    # A lamp that lights one side: 5 to 200 electrons. Bumps that would be molecules on the left are noise on the right.
    rng = np.random.default_rng(6)
    n, side = 60, 64
    frames = rng.poisson(np.broadcast_to(np.linspace(5.0, 200.0, side), (n, side, side))).astype(np.uint16)
    found = GaussianLocalizer(Camera(100.0), 1.2).localize(frames, np.arange(n))
    # 0.25 megapixels at a few a megapixel.
    assert len(found) < 5


def test_an_unknown_gain_does_not_fill_the_frame_with_molecules() -> None:
    # Each electron makes 8 counts, and nobody says so: the noise is sqrt(8) times what the counts suggest.
    rng = np.random.default_rng(7)
    frames = (8 * rng.poisson(100.0, (60, 64, 64))).astype(np.uint16)
    found = GaussianLocalizer(Camera.uncalibrated(100.0), 1.2).localize(frames, np.arange(60))
    # Without the frame's own noise scale there would be thousands.
    assert len(found) < 5


def test_recall_of_separate_molecules_is_nearly_complete(render: Render) -> None:
    rng = np.random.default_rng(8)
    n, side = 20, 64
    rows, cols = (place.ravel() for place in np.mgrid[6:58:13, 6:58:13])
    x, y = (np.tile(place, n) + rng.uniform(-0.5, 0.5, n * len(rows)) for place in (cols, rows))
    frame = np.repeat(np.arange(n), len(rows))
    mean = render(frame, x, y, 500.0, shape=(n, side, side), sigma_px=1.2, background=10.0)
    found = GaussianLocalizer(Camera(100.0), 1.2).localize(rng.poisson(mean).astype(np.uint16), np.arange(n))
    # 500 photons on 10 a pixel stand some 14 sigma high.
    assert len(found) == pytest.approx(len(x), abs=2)
    assert (np.diff(found["frame"]) >= 0).all()


def test_molecules_of_a_crowded_frame_do_not_pass_for_its_noise(render: Render) -> None:
    rng = np.random.default_rng(9)
    n, side, crowd = 10, 64, 80
    x, y = rng.uniform(0.0, side - 1.0, (2, n * crowd))
    frame = np.repeat(np.arange(n), crowd)
    mean = render(frame, x, y, 1000.0, shape=(n, side, side), sigma_px=1.2, background=10.0)
    found = GaussianLocalizer(Camera(100.0), 1.2).localize(rng.poisson(mean).astype(np.uint16), np.arange(n))
    # Two per square micrometre: 51 of 80 stand far enough apart; a noise scale taken from the frame would leave 5.
    assert len(found) > 0.5 * n * crowd


@pytest.mark.parametrize("psf_sigma_px", [None, 1.2], ids=["learned", "stated"])
@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(np.zeros((3, 32, 32), np.uint16), id="all zero"),
        pytest.param(np.full((3, 32, 32), 1000, np.uint16), id="constant"),
        pytest.param(np.full((3, 32, 32), 65535, np.uint16), id="saturated"),
        pytest.param(np.full((3, 32, 32), 255, np.uint8), id="saturated 8 bits"),
        pytest.param(np.zeros((3, 7, 9), np.float32), id="least size"),
        pytest.param(np.zeros((0, 32, 32), np.uint16), id="no frames"),
    ],
)
def test_empty_frames_hold_nothing(frames: npt.NDArray[np.uint16], psf_sigma_px: float | None) -> None:
    localizer = GaussianLocalizer(Camera(100.0, offset_adu=100.0, read_noise_e=1.0), psf_sigma_px=psf_sigma_px)
    assert len(localizer.localize(frames, np.arange(len(frames)))) == 0
