"""The directional frame and blind inpainting, on images whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from dblink_live.analysis.comparison.directional_frame import DirectionalFrame
from dblink_live.analysis.comparison.inpainting import BlindInpainter, InpaintingSettings
from dblink_live.errors import ConfigError
from dblink_live.types import Shape


def dotted_diagonal(side: int, every: int) -> np.ndarray:
    """Every ``every``-th pixel of a diagonal that stays 8 px away from the border."""
    counts = np.zeros((side, side), np.uint16)
    at = np.arange(8, side - 8, every)
    counts[at, at] = 1
    return counts


@pytest.mark.parametrize("shape", [(32, 32), (21, 40), (1, 5)], ids=["even", "odd by even", "tiny"])
def test_the_frame_is_tight(shape: tuple[int, int]) -> None:
    """Synthesis inverts analysis, and coefficients have the energy of the image (float32: relative 1e-5)."""
    image = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    frame = DirectionalFrame(Shape(*shape))
    coefficients = frame.analyse(image)
    assert len(coefficients) == frame.n_bands
    np.testing.assert_allclose(frame.synthesise(coefficients), image, atol=1e-5)
    assert float((coefficients**2).sum()) == pytest.approx(float((image**2).sum()), rel=1e-4)


def test_a_line_excites_the_direction_across_it() -> None:
    frame = DirectionalFrame(Shape(64, 64), n_scales=1, n_directions=8)
    image = np.zeros((64, 64), np.float32)
    image[32] = 1.0  # along x, so its frequencies run along y: a quarter turn, index 4 of 8 over half a turn
    energies = (frame.analyse(image)[1:] ** 2).sum(axis=(1, 2))
    assert int(energies.argmax()) == 4
    assert energies[4] > 0.5 * energies.sum()


def test_gaps_of_a_filament_are_filled_and_called_missing_and_noise_is_not_extended() -> None:
    counts = dotted_diagonal(72, every=4)
    counts[12, 55] = 1  # one localization far from the filament
    found = BlindInpainter(Shape(72, 72)).inpaint(counts)
    between = np.setdiff1d(np.arange(16, 56), np.arange(8, 64, 4))
    # The Gaussians themselves leave 0.02 in the middle of a gap of 4 diagonal steps; an observed pixel has about 0.9.
    assert (found.image[between, between] > 0.25).all()
    assert not found.is_observed[between, between].all()
    around = found.image[6:19, 49:62].copy()
    around[4:9, 4:9] = 0.0
    assert around.max() < 0.2
    assert found.is_observed[12, 55]


def test_an_empty_image_stays_empty() -> None:
    found = BlindInpainter(Shape(24, 30)).inpaint(np.zeros((24, 30), np.uint16))
    assert not found.image.any()
    assert found.is_observed.all()


def test_wrong_input_is_said_to_be_wrong() -> None:
    inpainter = BlindInpainter(Shape(8, 8), InpaintingSettings(n_iterations=1))
    with pytest.raises(ConfigError, match=r"expected counts of shape \(8, 8\)"):
        inpainter.inpaint(np.zeros((8, 9)))
    with pytest.raises(ConfigError, match="finite"):
        inpainter.inpaint(np.full((8, 8), np.nan))
    with pytest.raises(ConfigError, match="thresholds that fall"):
        InpaintingSettings(first_threshold=0.1, last_threshold=0.2)
    with pytest.raises(ConfigError, match="directions"):
        DirectionalFrame(Shape(8, 8), n_directions=1)
