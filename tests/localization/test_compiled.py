"""What is compiled for a CPU and what torch does on an accelerator find the same molecules."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from dblink_live.config import load_run_config
from dblink_live.errors import ModelError
from dblink_live.localization import GaussianLocalizer
from dblink_live.localization.gaussian import detect
from dblink_live.localization.gaussian import fit as fit_module
from dblink_live.localization.gaussian.band_pass import band_pass_for
from dblink_live.localization.gaussian.detect import Spots
from dblink_live.localization.gaussian.detect_batched import detect_batched
from dblink_live.localization.gaussian.detect_compiled import detect_compiled
from dblink_live.localization.gaussian.fit_batched import fit_batched
from dblink_live.localization.gaussian.fit_compiled import fit_compiled
from dblink_live.localization.gaussian.psf import Width
from dblink_live.localization.gaussian.regions import Regions
from dblink_live.localization.photoelectrons import PhotonFrames, to_photons
from dblink_live.registry import get_localizer_factory
from dblink_live.types import Camera, Localizations

Render = Callable[..., npt.NDArray[np.float64]]
SIDE_ROWS, SIDE_COLS = 61, 74


def crowded_frames(render: Render, camera: Camera, sigma_px: float = 1.2) -> PhotonFrames:
    """Single molecules, pairs and crowds, at the border, too; a frame whose sides are no multiples of anything."""
    rng = np.random.default_rng(12)
    n, crowd = 8, round(50 / sigma_px**2)
    x, y = rng.uniform(-0.5, SIDE_COLS - 0.5, n * crowd), rng.uniform(-0.5, SIDE_ROWS - 0.5, n * crowd)
    photons = rng.uniform(200.0, 4000.0, n * crowd)
    frame = np.repeat(np.arange(n), crowd)
    mean = render(frame, x, y, photons, shape=(n, SIDE_ROWS, SIDE_COLS), sigma_px=sigma_px, background=20.0)
    return to_photons(rng.poisson(mean).astype(np.uint16), camera, torch.device("cpu"))


def sensor(name: str) -> Camera:
    """A camera, by what is known of it."""
    if name == "uncalibrated":
        return Camera.uncalibrated(100.0)
    noise = np.random.default_rng(13).gamma(2.0, 1.0, (SIDE_ROWS, SIDE_COLS)).astype(np.float32)
    return Camera(100.0, read_noise_e=noise if name == "maps" else 1.5)


@pytest.mark.parametrize("threshold_sigma", [2.0, 5.0])
@pytest.mark.parametrize("camera", ["one number", "maps", "uncalibrated"])
def test_the_same_spots_are_detected(render: Render, camera: str, threshold_sigma: float) -> None:
    frames = crowded_frames(render, sensor(camera))
    band_pass = band_pass_for(frames.read_variance, 1.2)
    expected = detect_batched(frames, band_pass, threshold_sigma)
    assert len(expected) > 40
    assert torch.equal(detect_compiled(frames, band_pass, threshold_sigma), expected)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_of_equal_neighbours_the_same_one_is_the_spot(levels: int) -> None:
    # So few brightnesses that plateaus are everywhere.
    counts = np.random.default_rng(14).integers(0, levels, (3, 40, 40)) * 50
    frames = to_photons(counts.astype(np.uint16), Camera(100.0, read_noise_e=1.0), torch.device("cpu"))
    band_pass = band_pass_for(frames.read_variance, 0.8)
    found = detect_compiled(frames, band_pass, 0.5)
    assert torch.equal(found, detect_batched(frames, band_pass, 0.5))
    assert len(found) > 20 or levels == 1


def regions_of(frames: PhotonFrames, sigma_px: float) -> Regions:
    found = detect_compiled(frames, band_pass_for(frames.read_variance, sigma_px), 5.0)
    return Regions.around(Spots(*found.unbind(1)), frames, sigma_px)


@pytest.mark.parametrize("has_light", [False, True], ids=["first look", "second look"])
@pytest.mark.parametrize("sigma_px", [1.2, 2.4], ids=["7 pixels", "11 pixels"])
@pytest.mark.parametrize("width", ["fixed", "free", "elliptic"])
def test_the_same_molecules_are_fitted(render: Render, width: Width, sigma_px: float, has_light: bool) -> None:
    regions = regions_of(crowded_frames(render, sensor("maps"), sigma_px), sigma_px)
    every_other = regions.everything()[::2]
    shape = regions.side, regions.side, len(every_other)
    light = 5.0 * torch.rand(shape, generator=torch.Generator().manual_seed(15)) if has_light else None
    expected = fit_batched(regions, every_other, light, sigma_px, width)
    found = fit_compiled(regions, every_other, light, sigma_px, width)
    both = expected.has_converged & found.has_converged
    assert len(every_other) > 25
    # A spot that creeps along a ridge may end on either side of the last permitted step.
    assert (expected.has_converged != found.has_converged).sum() <= 2
    # What is two molecules in one creeps.
    assert both.sum() > 0.7 * len(both)
    for name in ("x", "y", "sigma_x_px", "sigma_y_px"):
        # Single precision leaves 1e-6 px; a spot that stops a step earlier is off by what counts as rest, 5e-4 px.
        assert (getattr(expected, name) - getattr(found, name))[both].abs().max() < 1e-3
    # At rest photons are within 2e-3 of the top; what follows from them is so within about twice that.
    for name in ("photons", "background", "precision_x", "precision_y", "precision_photons", "deviance"):
        torch.testing.assert_close(getattr(found, name)[both], getattr(expected, name)[both], rtol=5e-3, atol=1e-2)


@pytest.mark.parametrize("fit", ["fixed", "elliptic"])
def test_a_whole_localizer_finds_the_same_by_either_path(
    render: Render, monkeypatch: pytest.MonkeyPatch, fit: Width
) -> None:
    """What torch does on an accelerator, here on a CPU, from the frames to the table."""
    rng = np.random.default_rng(16)
    n_frames, per_frame = 12, 6
    frame = np.repeat(np.arange(n_frames), per_frame)
    x, y = rng.uniform(4, SIDE_COLS - 5, len(frame)), rng.uniform(4, SIDE_ROWS - 5, len(frame))
    shape, photons = (n_frames, SIDE_ROWS, SIDE_COLS), np.full(len(frame), 2000.0)
    mean = render(frame, x, y, photons, shape=shape, sigma_px=1.2, background=20.0)
    frames = rng.poisson(mean).astype(np.uint16)

    def localize() -> Localizations:
        return GaussianLocalizer(sensor("maps"), fit=fit).localize(frames, np.arange(n_frames))

    compiled = localize()
    monkeypatch.setattr(detect, "detect_compiled", detect_batched)
    monkeypatch.setattr(fit_module, "fit_compiled", fit_batched)
    batched = localize()
    assert len(compiled) == len(batched) > 0.8 * len(frame)
    assert np.array_equal(compiled["frame"], batched["frame"])
    for name in ("x", "y", "sx", "sy"):
        assert np.abs(compiled[name] - batched[name]).max() < 1e-3  # as above
    for name in ("photons", "bg", "lpx", "lpy"):
        np.testing.assert_allclose(compiled[name], batched[name], rtol=5e-3, atol=1e-2)


@pytest.mark.parametrize("name", ["gaussian", "auto", "dense", "deepstorm"])
def test_a_localizer_runs_on_the_device_of_its_setting(name: str, render: Render) -> None:
    settings = load_run_config(None, [f"localizer.name={name}", "localizer.device=cuda"]).localizer
    make = get_localizer_factory(settings.name)
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="expected a CUDA device for 'cuda', found 0"):
            make(sensor("one number"), **settings.to_options())
        return
    frames = np.full((3, SIDE_ROWS, SIDE_COLS), 20, np.uint16)
    assert len(make(sensor("one number"), **settings.to_options()).localize(frames, np.arange(3))) == 0


def test_nothing_is_fitted_where_nothing_was_found(render: Render) -> None:
    regions = regions_of(crowded_frames(render, sensor("one number")), 1.2)
    nothing = fit_compiled(regions, regions.everything()[:0], None, 1.2, "free")
    assert len(nothing.x) == len(nothing.has_converged) == 0


def test_it_runs_where_no_compiled_code_can_be_kept(tmp_path: Path) -> None:
    # A package folder that nobody may write to, and a user without a home: on such machines numba refuses to compile.
    refuse = "numba.core.caching.CacheImpl._locator_classes = []"
    program = (
        f"import numba.core.caching; {refuse}\n"
        "import numpy as np\n"
        "from dblink_live.localization.gaussian.compiled import compiled\n"
        "@compiled\n"
        "def double(values):\n"
        "    return 2 * values.sum()\n"
        "print(double(np.arange(4)))"
    )
    script = tmp_path / "program.py"
    script.write_text(program)
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=dict(os.environ), timeout=120, check=False
    )
    assert done.stdout.split() == ["12"], done.stderr
