"""The localizer as a whole: batching, the learned width, real recordings, bad input."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import yaml
from scipy.spatial import cKDTree

from dblink_live import localize
from dblink_live.errors import CalibrationError, ConfigError, PluginError, SourceError
from dblink_live.interfaces import Localizer
from dblink_live.localization import GaussianLocalizer
from dblink_live.types import Camera

Render = Callable[..., npt.NDArray[np.float64]]
N = 60
CAMERA = Camera(100.0, offset_adu=100.0)


@pytest.fixture(scope="module")
def movie(render: Render) -> npt.NDArray[np.uint16]:
    """Frames with none to a dozen molecules each, some on top of each other."""
    rng = np.random.default_rng(9)
    n_molecules = rng.integers(0, 13, N)
    n_molecules[7] = 1  # a molecule alone in its frame takes the same arithmetic as in company
    frame = np.repeat(np.arange(N), n_molecules)
    x, y = rng.uniform(-0.5, 39.5, len(frame)), rng.uniform(-0.5, 31.5, len(frame))
    mean = render(frame, x, y, rng.exponential(1500.0, len(frame)), shape=(N, 32, 40), sigma_px=1.2, background=8.0)
    return (rng.poisson(mean) + 100).astype(np.uint16)


@pytest.mark.parametrize("psf_sigma_px", [None, 1.2], ids=["learned", "stated"])
def test_the_answer_does_not_depend_on_batching(movie: npt.NDArray[np.uint16], psf_sigma_px: float | None) -> None:
    numbers = np.arange(1000, 1000 + N)
    whole = GaussianLocalizer(CAMERA, psf_sigma_px=psf_sigma_px).localize(movie, numbers)
    assert len(whole) > 200
    for batch in (1, 7, 25):
        localizer = GaussianLocalizer(CAMERA, psf_sigma_px=psf_sigma_px)
        parts = [localizer.localize(movie[i : i + batch], numbers[i : i + batch]) for i in range(0, N, batch)]
        assert np.concatenate(parts).tobytes() == whole.tobytes(), batch


def test_the_width_is_learned_and_then_kept(movie: npt.NDArray[np.uint16]) -> None:
    localizer = GaussianLocalizer(CAMERA)
    assert localizer.psf_sigma_px is None
    found = localizer.localize(movie, np.arange(N))
    # 100 widths of a few % each; a few molecules on top of each other pass as one wide one.
    assert localizer.psf_sigma_px == pytest.approx(1.2, rel=0.03)
    n_first = np.unique(found["sx"][:20]).size
    assert n_first == 20
    assert np.unique(found["sx"][-50:]) == np.float32(localizer.psf_sigma_px)


def test_pairs_of_molecules_teach_no_width(render: Render) -> None:
    rng = np.random.default_rng(10)
    n = 40
    frame = np.repeat(np.arange(n), 4 * 2)
    corners = np.tile([[8.0, 8.0], [8.0, 24.0], [24.0, 8.0], [24.0, 24.0]], (n, 1)).repeat(2, axis=0)
    apart = rng.uniform(-1.0, 1.0, (len(frame) // 2, 1)) * [1.0, 0.5] + [2.4, 0.0]
    places = corners + np.stack([np.zeros_like(apart), apart], axis=1).reshape(-1, 2)
    mean = render(frame, *places.T, 4000.0, shape=(n, 33, 33), sigma_px=1.0, background=10.0)
    localizer = GaussianLocalizer(Camera(100.0))
    found = localizer.localize(rng.poisson(mean).astype(np.uint16), np.arange(n))
    # Each pair, 2 to 4 px apart, makes one or two spots, more than the 100 that are needed; but no single Gaussian
    # explains them. Better no width than theirs.
    assert len(found) > 100
    assert localizer.psf_sigma_px is None


def test_localize_numbers_frames_and_takes_8_bit_and_float(movie: npt.NDArray[np.uint16]) -> None:
    small = np.minimum(movie[:5], 255)
    found = localize(small, CAMERA, first_frame=7)
    assert found["frame"].min() >= 7
    assert found["frame"].max() <= 11
    assert np.array_equal(localize(small.astype(np.uint8), CAMERA, first_frame=7), found)
    assert np.array_equal(localize(small.astype(np.float64), CAMERA, first_frame=7), found)  # type: ignore[arg-type]
    assert isinstance(GaussianLocalizer(CAMERA), Localizer)


def test_simulated_dna_origami_is_where_picasso_put_it(shared_data: Path) -> None:
    folder = shared_data / "gt_picasso_sim"
    frames = np.fromfile(folder / "testdata.raw", "<u2").reshape(1000, 32, 32).astype(np.uint16)
    facts = next(iter(yaml.safe_load_all((folder / "testdata.yaml").read_text(encoding="utf-8"))))
    sites_x, sites_y = (np.array(facts[f"Structure.Handle{axis}"].split(","), float) for axis in "XY")
    localizer = GaussianLocalizer(Camera(160.0))
    found = localizer.localize(frames, np.arange(1000))
    assert len(found) > 500
    assert localizer.psf_sigma_px == pytest.approx(facts["Imager.PSF"], rel=0.02)
    # Picasso's simulator counts from the corner of the lowest pixel, upwards.
    places = np.stack([found["x"] + 0.5, 31.5 - found["y"]], axis=1)
    distance, nearest = cKDTree(np.stack([sites_x, sites_y], axis=1)).query(places)
    # 0.125 px lie between sites, so noise moves a few to a neighbour; none comes from elsewhere.
    assert np.mean(distance < 0.3) > 0.98
    offset = (places - np.stack([sites_x, sites_y], axis=1)[nearest])[distance < 0.3].mean(axis=0)
    # 600 places of 0.02 px: 0.001 px to chance; half a pixel if a convention were misread. 160 nm x 0.01 = 1.6 nm.
    assert np.abs(offset).max() < 0.01


def test_real_dna_paint_recurs_at_the_same_places(shared_data: Path) -> None:
    frames = tifffile.imread(shared_data / "raw_dnapaint_micromanager" / "3C_30px_100f.tif")
    localizer = GaussianLocalizer(Camera.uncalibrated(130.0))
    found = localizer.localize(frames, np.arange(len(frames)))
    assert 150 < len(found) < 450

    def recurring(frame: npt.NDArray[np.int64]) -> float:
        """Share of molecules seen again within 0.7 px and four frames."""
        places = np.stack([found["x"], found["y"], frame / 6.0], axis=1)
        return float(np.mean(cKDTree(places).query(places, k=2)[0][:, 1] < 0.7))

    # A strand stays bound for some frames, on one of a few sites: 75 % are seen again. With frames shuffled the sites
    # remain and the binding is gone: 34 to 42 %. False molecules would be alike in both.
    control = np.mean([recurring(np.random.default_rng(seed).permutation(found["frame"])) for seed in range(5)])
    assert recurring(found["frame"]) > 1.6 * control
    assert 0.7 < float(np.median(found["sx"])) < 1.0
    assert (found["lpx"] > 0).all()


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        pytest.param(np.full((2, 16, 16), np.nan, np.float32), "NaN", id="NaN"),
        pytest.param(np.full((2, 16, 16), np.inf, np.float32), "infinity", id="infinite"),
        pytest.param(np.zeros((2, 16, 16, 3), np.uint8), r"\(2, 16, 16, 3\)", id="RGB"),
        pytest.param(np.zeros((16, 16), np.uint16), r"\(16, 16\)", id="one frame, no axis"),
        pytest.param(np.zeros((2, 16, 16), np.complex64), "complex64", id="complex"),
        pytest.param(np.zeros((2, 6, 16), np.uint16), "found 6 x 16", id="too small"),
        pytest.param(np.zeros((3, 16, 16), np.uint16), "found 3 and 2", id="more frames than numbers"),
    ],
)
def test_frames_that_are_none_are_one_clear_error(frames: npt.NDArray[np.uint16], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        GaussianLocalizer(CAMERA).localize(frames, np.arange(2))


@pytest.mark.parametrize("name", ["offset_adu", "electrons_per_adu", "read_noise_e"])
def test_a_map_of_another_shape_names_both(name: str) -> None:
    camera = Camera(100.0, **{name: np.ones((16, 20), np.float32)})  # type: ignore[arg-type]
    with pytest.raises(CalibrationError, match=rf"{name}.*{re.escape('(20, 16)')}.*{re.escape('(16, 20)')}"):
        GaussianLocalizer(camera).localize(np.zeros((1, 20, 16), np.uint16), np.arange(1))


def test_settings_that_cannot_be_and_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"between 0.4 and 4.0 camera pixels, found 130"):
        GaussianLocalizer(CAMERA, psf_sigma_px=130.0)
    with pytest.raises(ConfigError, match="found nan"):
        GaussianLocalizer(CAMERA, psf_sigma_px=float("nan"))
    with pytest.raises(ConfigError, match="threshold_sigma above 0, found 0"):
        GaussianLocalizer(CAMERA, threshold_sigma=0.0)
    with pytest.raises(PluginError, match="did you mean 'gaussian'"):
        localize(np.zeros((1, 16, 16), np.uint16), CAMERA, localizer="gausian")
