"""The neural localizer and the choice between it and the fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
import torch

from dblink_live.analysis.matching import MatchScores, match_localizations
from dblink_live.errors import ConfigError, ModelError, SourceError
from dblink_live.interfaces import Explaining, Localizer
from dblink_live.localization import AutoLocalizer, DenseLocalizer, GaussianLocalizer
from dblink_live.localization.neural.dense.network import REACH_PX, DenseConfig, DenseNetwork
from dblink_live.localization.neural.inputs import CHANNELS
from dblink_live.registry import get_localizer_factory
from dblink_live.types import Camera, Localizations, empty_localizations

Render = Callable[..., npt.NDArray[np.float64]]
PIXEL_NM, SIGMA_PX, PHOTONS, BACKGROUND = 100.0, 1.09, 3000.0, 500.0
CAMERA = Camera(PIXEL_NM, offset_adu=100.0)


def make_stack(
    render: Render, per_um2: float, n_frames: int, *, shape: tuple[int, int] = (32, 32), seed: int = 3
) -> tuple[npt.NDArray[np.uint16], Localizations]:
    """Frames and molecules; each molecule is on in three frames, the first of them at random."""
    rng = np.random.default_rng(seed)
    n = round(per_um2 * shape[0] * shape[1] * 1e-6 * PIXEL_NM**2 * (n_frames + 2) / 3)
    first = rng.integers(-2, n_frames, n)
    y, x = rng.uniform(-0.5, shape[0] - 0.5, n), rng.uniform(-0.5, shape[1] - 0.5, n)
    frame = (first[:, None] + np.arange(3)).ravel()
    inside = (frame >= 0) & (frame < n_frames)
    molecules = empty_localizations(int(inside.sum()))
    molecules["frame"], molecules["x"], molecules["y"] = frame[inside], x.repeat(3)[inside], y.repeat(3)[inside]
    mean = render(
        molecules["frame"], molecules["x"], molecules["y"], PHOTONS,
        shape=(n_frames, *shape), sigma_px=SIGMA_PX, background=BACKGROUND,
    )  # fmt: skip
    return (rng.poisson(mean) + 100).astype(np.uint16), molecules


def score(localizer: Localizer, frames: npt.NDArray[np.uint16], molecules: Localizations) -> MatchScores:
    return match_localizations(localizer.localize(frames, np.arange(len(frames))), molecules, PIXEL_NM)


def test_crowded_molecules_are_told_apart(render: Render) -> None:
    frames, molecules = make_stack(render, per_um2=4.0, n_frames=20)
    dense = score(DenseLocalizer(CAMERA), frames, molecules)
    fitted = score(GaussianLocalizer(CAMERA, psf_sigma_px=SIGMA_PX), frames, molecules)
    # Measured 0.90 and 0.36; some 800 molecules know a share to 0.02.
    assert dense.jaccard > 0.75
    assert dense.jaccard > fitted.jaccard + 0.25
    assert dense.rmse_nm < 35.0


def test_an_isolated_molecule_is_placed_nearly_at_the_bound(render: Render, cramer_rao: Callable[..., float]) -> None:
    n = 150
    places = 9.0 + np.random.default_rng(4).uniform(-0.5, 0.5, (2, n))
    # Every other frame, so that the frames before tell nothing.
    mean = render(
        np.arange(n), *places, PHOTONS, shape=(n, 19, 19), sigma_px=SIGMA_PX, background=BACKGROUND
    )  # fmt: skip
    frames = (np.random.default_rng(5).poisson(mean) + 100).astype(np.uint16)
    found = DenseLocalizer(CAMERA, psf_sigma_px=SIGMA_PX).localize(frames, 2 * np.arange(n))
    near = np.hypot(found["x"] - places[0][found["frame"] // 2], found["y"] - places[1][found["frame"] // 2]) < 0.5
    found = found[near]
    assert len(found) > 0.98 * n
    bound = cramer_rao(9.0, 9.0, PHOTONS, side=19, sigma_px=SIGMA_PX, background=BACKGROUND)
    error = np.concatenate([found["x"] - places[0][found["frame"] // 2], found["y"] - places[1][found["frame"] // 2]])
    # Measured 1.2; 300 errors know it to 4 %.
    assert np.sqrt(np.mean(error**2)) < 1.4 * bound
    reported = np.sqrt(np.mean(np.concatenate([found["lpx"], found["lpy"]]) ** 2))
    assert reported == pytest.approx(np.sqrt(np.mean(error**2)), rel=0.5)
    assert np.median(found["photons"]) == pytest.approx(PHOTONS, rel=0.15)
    assert np.median(found["bg"]) == pytest.approx(BACKGROUND, rel=0.1)


@pytest.mark.parametrize("psf_sigma_px", [None, SIGMA_PX], ids=["learned", "stated"])
@pytest.mark.parametrize("name", ["dense", "auto"])
def test_the_answer_does_not_depend_on_batching(render: Render, name: str, psf_sigma_px: float | None) -> None:
    # Sparse, then crowded; odd sides.
    calm, _ = make_stack(render, per_um2=0.05, n_frames=8, shape=(25, 31))
    wild, _ = make_stack(render, per_um2=3.0, n_frames=17, shape=(25, 31))
    frames = np.concatenate([calm, wild])
    # A frame is missing.
    numbers = np.delete(np.arange(1000, 1026), 12)
    factory = get_localizer_factory(name)
    whole = factory(CAMERA, psf_sigma_px=psf_sigma_px).localize(frames, numbers)
    assert len(whole) > 100
    for batch in (1, 7):
        localizer = factory(CAMERA, psf_sigma_px=psf_sigma_px)
        parts = [localizer.localize(frames[i : i + batch], numbers[i : i + batch]) for i in range(0, 25, batch)]
        assert np.concatenate(parts).tobytes() == whole.tobytes(), batch


def test_large_frames_in_bands_are_as_those_at_once(render: Render, monkeypatch: pytest.MonkeyPatch) -> None:
    from dblink_live.localization.neural.dense import localizer as module

    frames, _ = make_stack(render, per_um2=3.0, n_frames=2, shape=(97, 41))
    whole = DenseLocalizer(CAMERA, psf_sigma_px=SIGMA_PX).localize(frames, np.arange(2))
    monkeypatch.setattr(module, "_BAND_PIXELS", 40 * 42)
    banded = DenseLocalizer(CAMERA, psf_sigma_px=SIGMA_PX).localize(frames, np.arange(2))
    assert np.array_equal(whole["frame"], banded["frame"])
    # Another shape of convolution may round otherwise.
    assert np.abs(whole["x"] - banded["x"]).max() < 1e-3


def test_with_the_most_layers_it_looks_no_farther_than_the_bands_overlap() -> None:
    network = DenseNetwork(DenseConfig(fine_channels=2, coarse_channels=2, coarse_layers=5, last_layers=3)).eval()
    with torch.no_grad():
        # Nothing is rectified away, so that every pixel within reach counts.
        for weights in network.parameters():
            weights.abs_()
    for middle in (40, 41):
        frames = torch.rand(1, CHANNELS, 80, 80, requires_grad=True)
        network(frames)[0, :, middle, middle].sum().backward()
        assert frames.grad is not None
        seen = frames.grad.abs().sum(dim=(0, 1)).nonzero()
        assert REACH_PX - 2 < (seen - middle).abs().max() <= REACH_PX


def test_files_from_before_the_last_layers_were_counted_have_two() -> None:
    stated = b'{"fine_channels": 24, "coarse_channels": 48, "coarse_layers": 3}'
    assert msgspec.json.decode(stated, type=DenseConfig) == DenseConfig(24, 48, 3, 2)


def test_the_width_is_learned_from_crowded_frames(render: Render) -> None:
    frames, _ = make_stack(render, per_um2=5.0, n_frames=40)
    localizer = DenseLocalizer(CAMERA)
    localizer.localize(frames, np.arange(40))
    # Molecules that lie by chance near each other make a few % of difference.
    assert localizer.psf_sigma_px == pytest.approx(SIGMA_PX, rel=0.08)
    assert isinstance(localizer, Explaining)


def test_maps_of_the_sensor_are_used_pixel_by_pixel(render: Render) -> None:
    frames, molecules = make_stack(render, per_um2=2.0, n_frames=10)
    rng = np.random.default_rng(6)
    offset = rng.uniform(50.0, 400.0, (32, 32)).astype(np.float32)
    gain = rng.uniform(0.7, 1.4, (32, 32)).astype(np.float32)
    counts = np.rint((frames - 100.0) / gain + offset).astype(np.uint16)
    camera = replace(CAMERA, offset_adu=offset, electrons_per_adu=gain)
    plain = score(DenseLocalizer(CAMERA, psf_sigma_px=SIGMA_PX), frames, molecules)
    mapped = score(DenseLocalizer(camera, psf_sigma_px=SIGMA_PX), counts, molecules)
    blind = score(DenseLocalizer(CAMERA, psf_sigma_px=SIGMA_PX), counts, molecules)
    # Rounding to whole counts is all that differs.
    assert mapped.jaccard == pytest.approx(plain.jaccard, abs=0.02)
    assert blind.jaccard < mapped.jaccard - 0.2


def test_an_uncalibrated_camera_measures_its_noise(render: Render) -> None:
    frames, molecules = make_stack(render, per_um2=2.0, n_frames=15)
    counts = np.rint(300.0 + (frames - 100.0) / 3.0).astype(np.uint16)
    found = score(DenseLocalizer(Camera.uncalibrated(PIXEL_NM)), counts, molecules)
    known = score(DenseLocalizer(CAMERA), frames, molecules)
    assert found.jaccard == pytest.approx(known.jaccard, abs=0.06)


def test_auto_goes_by_the_crowding_and_says_so(render: Render) -> None:
    sparse, _ = make_stack(render, per_um2=0.03, n_frames=12, shape=(64, 64))
    crowded, _ = make_stack(render, per_um2=2.0, n_frames=6, shape=(64, 64))
    numbers = np.arange(12)
    auto = AutoLocalizer(CAMERA, psf_sigma_px=SIGMA_PX)
    assert np.array_equal(
        auto.localize(sparse, numbers), GaussianLocalizer(CAMERA, psf_sigma_px=SIGMA_PX).localize(sparse, numbers)
    )
    assert "gaussian for 12 frames, dense for 0" in auto.notes()[0]
    auto = AutoLocalizer(CAMERA, psf_sigma_px=SIGMA_PX)
    found = auto.localize(crowded, numbers[:6])
    assert np.array_equal(found, DenseLocalizer(CAMERA, psf_sigma_px=SIGMA_PX).localize(crowded, numbers[:6]))
    assert "gaussian for 0 frames, dense for 6" in auto.notes()[0]
    # A width that the network does not know leaves the fit.
    wide = AutoLocalizer(CAMERA, psf_sigma_px=3.0)
    wide.localize(crowded, numbers[:6])
    assert "trained" in wide.notes()[0]


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(np.full((4, 20, 20), 100, np.uint16), id="constant"),
        pytest.param(np.zeros((4, 20, 20), np.uint16), id="below the offset"),
        pytest.param(np.full((4, 20, 20), 65535, np.uint16), id="saturated"),
        pytest.param(np.zeros((0, 20, 20), np.uint16), id="no frames"),
    ],
)
@pytest.mark.parametrize("camera", [CAMERA, Camera.uncalibrated(PIXEL_NM)], ids=["calibrated", "uncalibrated"])
def test_frames_without_molecules_have_none(frames: npt.NDArray[np.uint16], camera: Camera) -> None:
    for name in ("dense", "auto"):
        assert len(get_localizer_factory(name)(camera).localize(frames, np.arange(len(frames)))) == 0


def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"between 0.8 and 2 camera pixels.*found 130"):
        DenseLocalizer(CAMERA, psf_sigma_px=130.0)
    with pytest.raises(ConfigError, match="decides by probability"):
        DenseLocalizer(CAMERA, threshold_sigma=4.0)
    with pytest.raises(ConfigError, match=r"between 0 and 1, found 1\.5"):
        DenseLocalizer(CAMERA, min_probability=1.5)
    with pytest.raises(ModelError, match="did you mean 'dense'"):
        DenseLocalizer(CAMERA, weights="dens")
    with pytest.raises(ModelError, match="found no file"):
        get_localizer_factory(str(tmp_path / "mine.safetensors"))(CAMERA)
    with pytest.raises(SourceError, match="found 6 x 16"):
        DenseLocalizer(CAMERA).localize(np.zeros((2, 6, 16), np.uint16), np.arange(2))
    with pytest.raises(SourceError, match="found 3 and 2"):
        AutoLocalizer(CAMERA).localize(np.zeros((3, 16, 16), np.uint16), np.arange(2))
