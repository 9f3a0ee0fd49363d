"""Training for structure that a user drew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import binary_dilation

from dblink_live.errors import ConfigError
from dblink_live.models import load_model, reconstruct
from dblink_live.simulate.varied import VariedParameters, draw_mask_video
from dblink_live.train import Specimens, TrainingSettings, train_to_checkpoint
from dblink_live.train.reconstruction.drawn_mask import read_drawn_mask
from dblink_live.types import Shape


def draw_rings(side: int = 96) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    radius = np.hypot(y % 32 - 16, x % 32 - 16)
    return ((radius > 8) & (radius < 11)).astype(np.uint8) * 200


def test_a_drawing_moves_and_blinks_where_it_is() -> None:
    parameters = VariedParameters(shape=Shape(64, 64), n_windows=20, density=(4.0, 4.1), noise=(0.01, 0.02))
    video = draw_mask_video(draw_rings()[None] > 100, parameters, np.random.default_rng(3))
    assert video.truth.any(axis=(1, 2)).all()
    near = binary_dilation(video.truth, np.ones((1, 7, 7), bool))
    assert video.counts[near].sum() > 0.85 * video.counts.sum() > 100
    steps = [
        draw_mask_video(draw_rings()[None] > 100, parameters, np.random.default_rng(seed)).truth for seed in range(6)
    ]
    assert any((truth[1:] != truth[:-1]).any() for truth in steps)


def test_a_small_drawing_is_surrounded_by_nothing() -> None:
    parameters = VariedParameters(shape=Shape(64, 64), n_windows=1, max_step_nm=0.0)
    video = draw_mask_video(np.ones((1, 32, 40), bool), parameters, np.random.default_rng(0))
    assert video.truth.sum() == pytest.approx(32 * 40, rel=0.05)


def test_a_network_is_trained_for_a_drawing(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "rings.tif", draw_rings())
    settings = TrainingSettings(
        name="rings",
        steps=3,
        batch=1,
        crop_px=32,
        clip_windows=4,
        supervised_windows=2,
        warmup_forward=4,
        warmup_reverse=4,
        pool_videos=2,
        validation_videos=1,
        video_windows=16,
        device="cpu",
        specimens=Specimens(structure="mask", mask=str(tmp_path / "rings.tif")),
    )
    train_to_checkpoint(settings, tmp_path / "rings.safetensors")
    model = load_model(tmp_path / "rings.safetensors")
    assert model.training["structure"] == "mask"
    assert model.envelope.speed == (0.0, 40.0)
    assert reconstruct(np.zeros((2, 16, 16)), model).shape == (2, 16, 16)


@pytest.mark.parametrize(
    ("picture", "found"),
    [
        (np.zeros((64, 64), np.uint8), "0.0%"),
        (255 - draw_rings(), "to 82"),
        (np.ones((8, 8), np.uint8), r"\[8, 8\]"),
    ],
    ids=["empty", "inverted", "small"],
)
def test_a_useless_mask_is_refused(tmp_path: Path, picture: np.ndarray, found: str) -> None:
    tifffile.imwrite(tmp_path / "mask.tif", picture)
    with pytest.raises(ConfigError, match=found):
        read_drawn_mask(str(tmp_path / "mask.tif"))


def test_a_missing_or_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("no picture")
    for name in ("text.tif", "missing.tif"):
        with pytest.raises(ConfigError, match="cannot read the mask"):
            read_drawn_mask(str(tmp_path / name))


@pytest.mark.parametrize("specimens", [{"structure": "mask"}, {"mask": "rings.tif"}], ids=str)
def test_a_mask_and_its_structure_belong_together(specimens: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"expected specimens\.mask"):
        TrainingSettings(specimens=Specimens(**specimens))  # type: ignore[arg-type]
