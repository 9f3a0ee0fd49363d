"""Localizers on a CUDA device find the molecules that they find on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from dblink_live.config import run_config_from_plain
from dblink_live.localization import GaussianLocalizer
from dblink_live.localization.gaussian.psf import Width
from dblink_live.registry import get_localizer_factory
from dblink_live.types import Camera, Localizations

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("full_float32")]
CAMERA = Camera(100.0, offset_adu=100.0, read_noise_e=1.5)


@pytest.fixture(scope="module")
def frames() -> npt.NDArray[np.uint16]:
    """Camera frames [12, 48, 56] of Gaussian spots, 5 per frame, in Poisson noise over an offset of 100."""
    rng = np.random.default_rng(1)
    rows, cols = np.arange(48), np.arange(56)
    stack = np.empty((12, 48, 56), np.uint16)
    for frame in stack:
        y, x = rng.uniform(4, 43, (5, 1)), rng.uniform(4, 51, (5, 1))
        spots = np.exp(-((rows - y) ** 2) / 2.4).T @ np.exp(-((cols - x) ** 2) / 2.4)
        frame[:] = rng.poisson(20 + 300 * spots) + 100
    return stack


def expect_same(found: Localizations, expected: Localizations, position_px: float, share: float = 1.0) -> None:
    """At least ``share`` of the molecules in both tables, each within ``position_px`` of its twin."""
    assert len(expected) > 30
    n_same = 0
    for frame in np.unique(expected["frame"]):
        mine, theirs = (table[table["frame"] == frame] for table in (found, expected))
        if len(mine):
            distance = np.hypot(mine["x"] - theirs["x"][:, None], mine["y"] - theirs["y"][:, None])
            n_same += int((distance.min(axis=1) < position_px).sum())
    assert n_same >= share * len(expected) and len(found) <= len(expected) + (1 - share) * len(expected)


@pytest.mark.parametrize("fit", ["fixed", "free", "elliptic"])
@pytest.mark.parametrize("camera", ["one number", "maps", "uncalibrated"])
def test_the_batched_fit_finds_what_the_compiled_one_does(
    device: str, frames: npt.NDArray[np.uint16], fit: Width, camera: str
) -> None:
    noise = np.random.default_rng(3).gamma(2.0, 1.0, frames.shape[1:]).astype(np.float32)
    cameras = {
        "one number": CAMERA,
        "maps": Camera(100.0, offset_adu=100.0, read_noise_e=noise),
        "uncalibrated": Camera.uncalibrated(100.0),
    }

    def localize(where: str) -> Localizations:
        return GaussianLocalizer(cameras[camera], fit=fit, device=where).localize(frames, np.arange(len(frames)))

    found, expected = localize(device), localize("cpu")
    # A spot at the limit of a filter may be kept by one of the two: tests/localization/test_compiled.py.
    expect_same(found, expected, position_px=2e-3, share=0.98)


@pytest.mark.parametrize("name", ["dense", "deepstorm", "auto"])
def test_a_network_finds_what_it_finds_on_the_cpu(device: str, frames: npt.NDArray[np.uint16], name: str) -> None:
    options: dict[str, Any] = {"psf_sigma_px": 1.1}

    def localize(where: str) -> Localizations:
        localizer = get_localizer_factory(name)(CAMERA, device=where, **options)
        return np.concatenate(
            [localizer.localize(frames[part], np.arange(len(frames))[part]) for part in (slice(0, 5), slice(5, 12))]
        )

    expect_same(localize(device), localize("cpu"), position_px=1e-2, share=0.97)


def test_a_run_setting_puts_the_localizer_on_the_device(device: str) -> None:
    config = run_config_from_plain({"localizer": {"name": "dense", "device": device}})
    localizer = get_localizer_factory("dense")(CAMERA, **config.localizer.to_options())
    dark = np.full((2, 24, 24), 100, np.uint16)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    assert len(localizer.localize(dark, np.arange(2))) == 0
    if device == "cuda":
        assert torch.cuda.max_memory_allocated() > before
