"""A bead at a known place, from camera counts to the grid that the network sees.

Every convention on the way (centre or corner, row or column, pixels or nanometres) adds half a pixel or more when it
is misread: 20 nm on the grid, 32 to 80 nm on the camera.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import erf

from dblink_live.localization import GaussianLocalizer
from dblink_live.types import Camera, Grid, Shape
from dblink_live.windows import WindowAccumulator

FIELD = Shape(19, 24)
PITCH_NM = 40.0
PSF_SIGMA_NM = 130.0
ELECTRONS = 20_000.0
BACKGROUND = 10.0
OFFSET_ADU = 100.0
ELECTRONS_PER_ADU = 0.5
N_SIDE = 16
"""Places of the bead along each axis."""
WINDOW_FRAMES = 2


def render(y_nm: float, x_nm: float, pixel_size_nm: float) -> npt.NDArray[np.float64]:
    """Mean electrons [H, W] of a bead (y_nm, x_nm) from the outer corner of the field, integrated over each pixel."""

    def share(centre_nm: float, n_pixels: int) -> npt.NDArray[np.float64]:
        edges_nm = np.arange(n_pixels + 1) * pixel_size_nm
        return np.diff(0.5 * erf((edges_nm - centre_nm) / (np.sqrt(2.0) * PSF_SIGMA_NM)))

    return BACKGROUND + ELECTRONS * np.outer(share(y_nm, FIELD.height), share(x_nm, FIELD.width))


@pytest.mark.parametrize("is_width_known", [True, False], ids=["stated width", "free width"])
@pytest.mark.parametrize("pixel_size_nm", [65.0, 100.0, 108.0, 160.0])
def test_a_bead_lands_where_it_is(pixel_size_nm: float, is_width_known: bool) -> None:
    rng = np.random.default_rng(int(pixel_size_nm))
    # One place at random in each cell of a lattice over 2 camera pixels: every sub-pixel position, on both lattices.
    cells = (np.mgrid[:N_SIDE, :N_SIDE].reshape(2, -1).T + rng.uniform(size=(N_SIDE**2, 2))) / N_SIDE
    # Away from the middle, and farther in x than in y: exchanged axes would show.
    places_nm = (np.array([6.5, 13.5]) + 2.0 * cells) * pixel_size_nm
    means = np.stack([render(y, x, pixel_size_nm) for y, x in places_nm]).repeat(WINDOW_FRAMES, axis=0)
    frames = np.round(rng.poisson(means) / ELECTRONS_PER_ADU + OFFSET_ADU).astype(np.uint16)
    numbers = np.arange(len(frames))

    camera = Camera(pixel_size_nm, offset_adu=OFFSET_ADU, electrons_per_adu=ELECTRONS_PER_ADU)
    localizer = GaussianLocalizer(camera, psf_sigma_px=PSF_SIGMA_NM / pixel_size_nm if is_width_known else None)
    localizations = localizer.localize(frames, numbers)
    grid = Grid.covering(FIELD, pixel_size_nm, PITCH_NM)
    windows = WindowAccumulator(grid, pixel_size_nm, WINDOW_FRAMES, segment=0, first_frame=0)
    completed = windows.add(numbers, numbers, localizations)

    counts = np.stack([window.map.counts for window in completed]).astype(np.float64)
    # The bead is found once in every frame, and nothing else is.
    assert (counts.sum(axis=(1, 2)) == WINDOW_FRAMES).all()
    y_nm = np.array([grid.centre_nm(row, 0)[0] for row in range(grid.shape.height)])
    x_nm = np.array([grid.centre_nm(0, col)[1] for col in range(grid.shape.width)])
    centroids_nm = np.stack([counts.sum(axis=2) @ y_nm, counts.sum(axis=1) @ x_nm], axis=1) / WINDOW_FRAMES
    offsets_nm = centroids_nm - places_nm
    # A count sits at most half a pitch from its localization, which 20,000 electrons place to 1.0-1.5 nm (one standard
    # deviation: 130 nm / sqrt(20,000), pixels and background on top); 8 nm are 5 of them.
    assert np.abs(offsets_nm).max() < PITCH_NM / 2 + 8.0
    # 256 places leave 40 nm / sqrt(12 * 256) = 0.7 nm of the mean to chance.
    assert np.abs(offsets_nm.mean(axis=0)).max() < 5.0
    # The localizations themselves: 512 of them, less than 0.1 nm of their mean to chance; 1 nm is the fit's own bias.
    found_nm = (np.stack([localizations["y"], localizations["x"]], axis=1) + 0.5) * pixel_size_nm
    assert np.abs((found_nm - places_nm.repeat(WINDOW_FRAMES, axis=0)).mean(axis=0)).max() < 1.0
