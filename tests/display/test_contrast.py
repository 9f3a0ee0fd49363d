"""Contrast limits, shades, pooling, colours and the headless picture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dblink_live.display.colours import COLOUR_MAPS, colour_map
from dblink_live.display.contrast import (
    CAMERA,
    RECONSTRUCTION,
    SUM,
    ContrastPolicy,
    Limits,
    contrast_limits,
    gamma_table,
    max_pool,
    to_bytes,
)
from dblink_live.display.scale_bar import length_label, scale_bar_nm
from dblink_live.display.snapshot import render_panels
from dblink_live.errors import ConfigError


def sparse(side: int, n_dots: int, value: float, dtype: str = "uint16") -> Any:
    image = np.zeros((side, side), dtype)
    rng = np.random.default_rng(0)
    image.flat[rng.choice(image.size, n_dots, replace=False)] = value
    return image


@pytest.mark.parametrize("side", [16, 173, 2048])
@pytest.mark.parametrize("n_dots", [1, 12])
def test_a_nearly_empty_map_is_not_shown_black(side: int, n_dots: int) -> None:
    image = sparse(side, n_dots, 7)
    limits = contrast_limits(image, SUM)
    assert limits == Limits(0.0, 7.0)
    assert to_bytes(image, limits).max() == 255


@pytest.mark.parametrize(
    ("policy", "image", "limits"),
    [
        pytest.param(SUM, np.zeros((9, 9), np.uint16), Limits(0.0, 2.0), id="empty map"),
        pytest.param(SUM, sparse(64, 300, 1), Limits(0.0, 2.0), id="single localizations are not blown up"),
        pytest.param(CAMERA, np.full((9, 9), 100, np.uint16), Limits(100.0, 108.0), id="flat camera frame"),
        pytest.param(
            RECONSTRUCTION, np.full((9, 9), 0.01, np.float32), Limits(0.0, 0.25), id="haze of a network stays dark"
        ),
        pytest.param(RECONSTRUCTION, sparse(64, 300, 0.8, "float32"), Limits(0.0, 0.8), id="structure"),
        pytest.param(SUM, np.full((4, 4), np.nan, np.float32), Limits(0.0, 2.0), id="nothing but NaN"),
    ],
)
def test_limits(policy: ContrastPolicy, image: Any, limits: Limits) -> None:
    found = contrast_limits(image, policy)
    # 0.8 is not a binary fraction: float32 against float64.
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high), rel=1e-6)


def test_not_a_number_does_not_spoil_the_limits() -> None:
    image = sparse(64, 500, 0.5, "float32")
    image[3, :10] = np.nan
    image[4, :10] = np.inf
    assert contrast_limits(image, RECONSTRUCTION) == Limits(0.0, 0.5)
    assert to_bytes(image, Limits(0.0, 0.5))[3, 0] == 0


def test_a_stride_changes_the_limits_of_a_large_picture_little() -> None:
    image = np.random.default_rng(1).poisson(100, (2048, 2048)).astype(np.uint16)
    found = contrast_limits(image, CAMERA)
    low, high = np.percentile(image, (CAMERA.low_percentile or 0.0, CAMERA.high_percentile))
    # 65,536 of 4 million Poisson pixels: the 99.8th percentile is good to about a count, sd / (density * sqrt(n)).
    assert found.low == pytest.approx(low, abs=2)
    assert found.high == pytest.approx(high, abs=2)


def test_shades_are_linear_and_clipped() -> None:
    image = np.array([[-5.0, 0.0, 5.0, 10.0, 99.0]], np.float32)
    assert to_bytes(image, Limits(0.0, 10.0)).tolist() == [[0, 0, 128, 255, 255]]
    assert to_bytes(np.array([[3]], np.uint8), Limits(3.0, 3.0)).tolist() == [[0]]


def test_one_localization_is_visible_beside_the_brightest() -> None:
    shades = gamma_table(SUM.gamma)[to_bytes(np.array([[1, 25]], np.uint16), Limits(0.0, 25.0))]
    assert shades[0, 0] > 40
    np.testing.assert_array_equal(gamma_table(1.0), np.arange(256))


@pytest.mark.parametrize("factor", [1, 2, 3, 5, 64])
@pytest.mark.parametrize("shape", [(12, 12), (13, 7), (1, 1), (64, 65)])
def test_pooling_keeps_the_brightest_of_every_block(factor: int, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    pooled = max_pool(image, factor)
    assert pooled.shape == (-(-shape[0] // factor), -(-shape[1] // factor))
    for row in range(pooled.shape[0]):
        for col in range(pooled.shape[1]):
            block = image[row * factor : (row + 1) * factor, col * factor : (col + 1) * factor]
            assert pooled[row, col] == block.max()


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_lightness_rises_evenly_from_black(name: Any) -> None:
    table = colour_map(name).astype(float)
    assert table[0].tolist() == [0, 0, 0]
    assert table[-1].max() > 240
    encoded = table / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    # CIE lightness, another measure than the one the maps are made with.
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    lightness = np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)
    # Bytes are rounded: steps wobble by up to one level of the darkest channel.
    assert np.diff(lightness).min() > -0.3
    # L* and the estimate of Oklab agree to a few tenths of a step; both are fixed at black, where they agree least.
    steps = np.diff(lightness[16::16])
    assert steps.min() > 0.75 * steps.mean()
    assert steps.max() < 1.25 * steps.mean()
    with pytest.raises(ValueError, match="read-only"):
        colour_map(name)[0] = 1


@pytest.mark.parametrize(
    ("field_nm", "length_nm", "label"),
    [(6912, 1000, "1 µm"), (20480, 5000, "5 µm"), (400, 100, "100 nm"), (8000, 2000, "2 µm"), (9e6, 2e6, "2 mm")],
)
def test_scale_bars_are_round(field_nm: float, length_nm: float, label: str) -> None:
    assert scale_bar_nm(field_nm) == pytest.approx(length_nm)
    assert length_label(scale_bar_nm(field_nm)) == label


def render(path: Path, camera_shape: tuple[int, int] | None = (64, 64), dot: tuple[int, int] = (100, 50)) -> Any:
    grid = (173, 173) if camera_shape is None else tuple(-(-side * 108 // 40) for side in camera_shape)
    counts = np.zeros(grid, np.uint16)
    counts[dot] = 5
    camera = None if camera_shape is None else np.zeros(camera_shape, np.uint16)
    render_panels(camera, counts, counts.astype(np.float32) / 5, 40.0, 108.0, path, title="sim:filaments")
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def warm_centres(pixels: Any) -> list[float]:
    """Columns of the coloured dots, left to right."""
    _, cols = np.nonzero((pixels[..., 0] > 200) & (pixels[..., 2] < 230) & (pixels[..., 0] - pixels[..., 2] > 20))
    cols = np.sort(cols)
    return [float(group.mean()) for group in np.split(cols, np.nonzero(np.diff(cols) > 20)[0] + 1)]


def test_panels_stand_side_by_side_with_the_same_field(tmp_path: Path) -> None:
    pixels = render(tmp_path / "new" / "panels.png")
    assert pixels.shape[1] > 3 * 560
    centres = warm_centres(pixels)
    assert len(centres) == 2  # one dot in the sum, one in the reconstruction, at the same place of their panels
    assert centres[1] - centres[0] == pytest.approx(560 + 16, abs=1)
    # Grid pixel 50 of 40 nm: its centre is 2020 nm of 6912, in a panel of 560 pixels.
    assert centres[0] - (24 + 576) == pytest.approx(2020 / 6912 * 560, abs=2)


def test_without_a_camera_there_are_two_panels(tmp_path: Path) -> None:
    pixels = render(tmp_path / "panels.png", camera_shape=None)
    assert 2 * 560 < pixels.shape[1] < 3 * 560


def test_a_single_dot_of_a_large_field_survives_on_paper(tmp_path: Path) -> None:
    # 1000 x 700 camera pixels are 2700 x 1890 grid pixels, on 560 x 392 pixels of paper.
    for dot in ((1001, 1001), (333, 1500), (2699, 1889)):
        pixels = render(tmp_path / "panels.png", camera_shape=(1000, 700), dot=dot)
        assert len(warm_centres(pixels)) == 2


@pytest.mark.parametrize(
    ("windowed_sum", "reconstruction", "says"),
    [
        pytest.param(np.zeros((8, 8)), np.zeros((9, 9)), "one grid", id="two grids"),
        pytest.param(np.zeros((2, 8, 8)), np.zeros((2, 8, 8)), "height, width", id="a video"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(
    tmp_path: Path, windowed_sum: Any, reconstruction: Any, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        render_panels(None, windowed_sum, reconstruction, 40.0, 108.0, tmp_path / "panels.png")


def test_drawing_needs_neither_torch_nor_qt() -> None:
    code = (
        "import sys, dblink_live.display.snapshot\n"
        "assert not [n for n in sys.modules if n.split('.')[0] in ('torch', 'PySide6', 'pyqtgraph', 'matplotlib')]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
