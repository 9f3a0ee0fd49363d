"""Molecules beside fiducial beads: what a bright neighbour must not hide, and what it must not make up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from dblink_live.localization import GaussianLocalizer
from dblink_live.types import Camera

Array = npt.NDArray[np.float64]

SIDE_PX = 28
SIGMA_PX = 1.0
CAMERA = Camera(100.0, offset_adu=100.0, electrons_per_adu=1.0, read_noise_e=1.5)
N_FRAMES = 150


def _photograph(mean: Array, rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    counts = 100 + rng.poisson(mean) + rng.normal(0.0, 1.5, mean.shape)
    return np.clip(np.rint(counts), 0, 65535).astype(np.uint16)


@pytest.mark.parametrize("bead_column", [13.0, 21.0], ids=["in the middle", "near the border"])
def test_a_bead_does_not_hide_molecules_six_widths_away(bead_column: float, render: Callable[..., Array]) -> None:
    rng = np.random.default_rng(5)
    frames = np.arange(N_FRAMES)
    bead = np.array([14.0, bead_column])[:, None] + rng.uniform(-0.5, 0.5, (2, N_FRAMES))
    angle = rng.uniform(0.0, 2 * np.pi, N_FRAMES)
    molecule = np.clip(bead + 6 * SIGMA_PX * np.array([np.sin(angle), np.cos(angle)]), 0.0, SIDE_PX - 1)
    mean = render(
        np.concatenate([frames, frames]),
        np.concatenate([bead[1], molecule[1]]),
        np.concatenate([bead[0], molecule[0]]),
        np.repeat([10_000.0, 1_000.0], N_FRAMES),
        shape=(N_FRAMES, SIDE_PX, SIDE_PX),
        sigma_px=SIGMA_PX,
        background=20.0,
    )
    table = GaussianLocalizer(CAMERA, psf_sigma_px=SIGMA_PX).localize(_photograph(mean, rng), frames)
    from_molecule = np.hypot(table["x"] - molecule[1][table["frame"]], table["y"] - molecule[0][table["frame"]])
    from_bead = np.hypot(table["x"] - bead[1][table["frame"]], table["y"] - bead[0][table["frame"]])
    found = np.unique(table["frame"][from_molecule < 0.5])
    assert len(found) >= 0.97 * N_FRAMES  # without the second look: three quarters
    assert np.count_nonzero((from_molecule >= 0.5) & (from_bead >= 0.5)) <= 0.02 * N_FRAMES


def test_a_bead_alone_is_one_molecule(render: Callable[..., Array]) -> None:
    rng = np.random.default_rng(6)
    frames = np.arange(N_FRAMES)
    place = 14.0 + rng.uniform(-0.5, 0.5, (2, N_FRAMES))
    mean = render(
        frames, place[1], place[0], 40_000.0,
        shape=(N_FRAMES, SIDE_PX, SIDE_PX), sigma_px=SIGMA_PX, background=20.0,
    )  # fmt: skip
    table = GaussianLocalizer(CAMERA, psf_sigma_px=SIGMA_PX).localize(_photograph(mean, rng), frames)
    assert table["frame"].tolist() == frames.tolist()


def test_the_answer_beside_beads_does_not_depend_on_the_batch(render: Callable[..., Array]) -> None:
    rng = np.random.default_rng(7)
    n = 3 * N_FRAMES
    frame = np.sort(rng.integers(0, 20, n))
    photons = rng.choice([1_000.0, 12_000.0], n)
    places = rng.uniform(0.0, SIDE_PX - 1, (2, n))
    mean = render(
        frame, places[0], places[1], photons, shape=(20, SIDE_PX, SIDE_PX), sigma_px=SIGMA_PX, background=20.0
    )
    frames = _photograph(mean, rng)
    at_once = GaussianLocalizer(CAMERA, psf_sigma_px=SIGMA_PX).localize(frames, np.arange(20))
    localizer = GaussianLocalizer(CAMERA, psf_sigma_px=SIGMA_PX)
    one_by_one = np.concatenate([localizer.localize(frames[k : k + 1], np.array([k])) for k in range(20)])
    np.testing.assert_array_equal(at_once, one_by_one)
