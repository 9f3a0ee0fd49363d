"""The Picasso plug-in: found by name once it is installed, and what its localizers find.

What needs Picasso itself is skipped where it is not installed: it brings 1.2 GB, so CI goes without. For all of it:

    pip install ./plugins/picasso
    python -m pytest tests/plugins/test_picasso_localizers.py
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from dblink_live.errors import CalibrationError, ConfigError, PluginError, SourceError
from dblink_live.tables import read_localizations
from dblink_live.types import Camera

HAS_PICASSO = importlib.util.find_spec("picasso") is not None
needs_picasso = pytest.mark.skipif(not HAS_PICASSO, reason="Picasso is not installed: pip install ./plugins/picasso")
# Picasso and what it imports warn of what is theirs to mend.
pytestmark = pytest.mark.filterwarnings("ignore")

CAMERA = Camera(pixel_size_nm=108.0, offset_adu=100.0, electrons_per_adu=0.5, read_noise_e=2.0)
SIGMA_PX = 1.1
PHOTONS = 3000.0
BACKGROUND_E = 40.0
SPOTS_YX = np.array([[10.3, 15.6], [21.7, 30.2], [30.4, 9.8]])
N_FRAMES = 40


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch, repository: Path) -> Any:
    monkeypatch.syspath_prepend(str(repository / "plugins" / "picasso"))
    return importlib.import_module("dblink_live_picasso")


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """[40, 40, 48] counts of three molecules that never blink, as `CAMERA` sees them."""
    rng = np.random.default_rng(6)
    y, x = np.mgrid[:40, :48]
    signal = np.full((40, 48), BACKGROUND_E)
    for spot_y, spot_x in SPOTS_YX:
        signal += (
            PHOTONS / (2 * np.pi * SIGMA_PX**2) * np.exp(-((y - spot_y) ** 2 + (x - spot_x) ** 2) / (2 * SIGMA_PX**2))
        )
    electrons = rng.poisson(signal, (N_FRAMES, 40, 48)) + rng.normal(0, CAMERA.read_noise_e, (N_FRAMES, 40, 48))
    return np.clip(np.round(electrons / CAMERA.electrons_per_adu + CAMERA.offset_adu), 0, 65535).astype(np.uint16)


@pytest.fixture(scope="module")
def installed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has put the plug-in as it would into the user's environment."""
    folder = tmp_path_factory.mktemp("plugin")
    # pip builds where the source lies.
    shutil.copytree(repository / "plugins" / "picasso", folder / "source")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*command, "--target", str(folder / "site"), str(folder / "source")],
        capture_output=True,
        text=True,
        env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


def run_python(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with the plug-in installed in it."""
    paths = [str(site), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)},
    )


@pytest.fixture
def localize_arguments(tmp_path: Path, frames: np.ndarray) -> list[str]:
    tifffile.imwrite(tmp_path / "stack.tif", frames)
    facts = ["--pixel-size-nm", "108", "--offset-adu", "100", "--electrons-per-adu", "0.5"]
    return ["localize", "stack.tif", "--out", "t.csv", "--localizer", "picasso-mle", *facts, "--json"]


def test_both_localizers_are_known_by_name_once_installed(installed: Path, tmp_path: Path) -> None:
    code = "from dblink_live.registry import installed_localizers; print(*installed_localizers())"
    listed = run_python(installed, tmp_path, "-c", code)
    assert {"picasso-lq", "picasso-mle", "gaussian"} <= set(listed.stdout.split()), listed.stderr


@pytest.mark.skipif(HAS_PICASSO, reason="Picasso is installed")
def test_without_picasso_one_line_says_what_to_install(
    installed: Path, tmp_path: Path, localize_arguments: list[str]
) -> None:
    done = run_python(installed, tmp_path, "-m", "dblink_live", *localize_arguments)
    assert done.returncode == 2
    assert 'pip install "picassosr' in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "t.csv").exists()


@needs_picasso
@pytest.mark.slow
def test_localize_runs_picasso(installed: Path, tmp_path: Path, localize_arguments: list[str]) -> None:
    done = run_python(installed, tmp_path, "-m", "dblink_live", *localize_arguments)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["localizer"] == "picasso-mle"
    table = read_localizations(tmp_path / "t.csv", 108.0)
    assert len(table) >= len(SPOTS_YX) * N_FRAMES
    for spot_y, spot_x in SPOTS_YX:
        assert np.count_nonzero(np.hypot(table["y"] - spot_y, table["x"] - spot_x) < 0.3) == N_FRAMES


@needs_picasso
@pytest.mark.slow
@pytest.mark.parametrize("method", ["PicassoMLE", "PicassoLQ"])
def test_molecules_are_found_where_they_are(plugin: Any, frames: np.ndarray, method: str) -> None:
    numbers = np.arange(100, 100 + N_FRAMES)
    localizer = getattr(plugin, method)(CAMERA)
    rows = localizer.localize(frames, numbers)
    assert set(rows["frame"]) == set(numbers)
    for spot_y, spot_x in SPOTS_YX:
        ours = rows[np.hypot(rows["y"] - spot_y, rows["x"] - spot_x) < 0.5]
        assert len(ours) == N_FRAMES
        for axis, truth in (("y", spot_y), ("x", spot_x)):
            # The bound here is .029 px a frame, .005 px for the mean of 40: four of them. A frame's own is told to 35 %
            # (four times the 11 % by which a standard deviation of 40 is known).
            assert ours[axis].mean() == pytest.approx(truth, abs=0.02)
            assert ours[f"lp{axis}"].mean() == pytest.approx(ours[axis].std(), rel=0.45)
        # The mean of 40 is known to .5 %; a fit of free widths takes some for background.
        assert ours["photons"].mean() == pytest.approx(PHOTONS, rel=0.05)
        assert ours["bg"].mean() == pytest.approx(BACKGROUND_E, rel=0.1)
        assert ours["sx"].mean() == pytest.approx(SIGMA_PX, rel=0.06)
    # Noise alone is found less than once in four frames.
    assert len(rows) < (len(SPOTS_YX) + 0.25) * N_FRAMES
    assert localizer.notes() == []

    parts = [localizer.localize(frames[part], numbers[part]) for part in (slice(0, 1), slice(1, 23), slice(23, None))]
    np.testing.assert_array_equal(np.concatenate(parts), rows)
    assert len(localizer.localize(frames[:0], numbers[:0])) == 0
    assert len(localizer.localize(np.full((2, 40, 48), 100, np.uint16), numbers[:2])) == 0


@needs_picasso
@pytest.mark.slow
def test_the_answer_is_that_of_picassos_own_pipeline(plugin: Any, frames: np.ndarray) -> None:
    picasso = importlib.import_module("picasso.localize")
    camera = Camera(pixel_size_nm=108.0, offset_adu=100.0, electrons_per_adu=0.5)
    rows = plugin.PicassoMLE(camera, min_net_gradient=4000.0).localize(frames, np.arange(N_FRAMES))
    theirs = picasso.localize_frames(
        frames,
        None,
        {"Min. Net Gradient": 4000.0, "Box Size": 7},
        camera_info={"Baseline": 100.0, "Sensitivity": 0.5, "Gain": 1.0, "Pixelsize": 108.0},
        fitting_method="gaussmle",
        threaded=False,
    )
    assert len(rows) == len(theirs) > 0
    for name in rows.dtype.names:
        np.testing.assert_array_equal(np.sort(rows[name]), np.sort(theirs[name].to_numpy()), err_msg=name)

    # Read noise widens what is reported, whether it is one number or a map of the sensor.
    noisy = [
        plugin.PicassoMLE(
            Camera(pixel_size_nm=108.0, offset_adu=100.0, electrons_per_adu=0.5, read_noise_e=noise),
            min_net_gradient=4000.0,
        ).localize(frames, np.arange(N_FRAMES))
        for noise in (10.0, np.full((40, 48), 10.0, np.float32))
    ]
    np.testing.assert_array_equal(*noisy)
    assert noisy[0]["lpx"].mean() > 1.2 * rows["lpx"].mean()


@needs_picasso
@pytest.mark.parametrize(
    ("made", "error", "named"),
    [
        pytest.param(np.zeros((2, 40, 48, 3), np.uint16), SourceError, "grey 8- or 16-bit", id="colour"),
        pytest.param(np.zeros((2, 40, 48), np.float32), SourceError, "found float32", id="floats"),
        pytest.param(np.zeros((2, 8, 48), np.uint16), SourceError, "at least 9 x 9", id="smaller than the box"),
        pytest.param(np.zeros((3, 40, 48), np.uint16), SourceError, "a number for each frame", id="numbers missing"),
    ],
)
def test_frames_that_picasso_cannot_take_are_refused(
    plugin: Any, made: np.ndarray, error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match=named):
        plugin.PicassoLQ(CAMERA).localize(made, np.arange(2))


@needs_picasso
def test_a_map_of_another_sensor_is_refused(plugin: Any, frames: np.ndarray) -> None:
    camera = Camera(pixel_size_nm=108.0, offset_adu=np.full((40, 40), 100.0, np.float32))
    with pytest.raises(CalibrationError, match=r"offset_adu map of the frames' shape \(40, 48\), found \(40, 40\)"):
        plugin.PicassoMLE(camera).localize(frames, np.arange(N_FRAMES))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"psf_sigma_px": 130.0}, "psf_sigma_px between"),
        ({"threshold_sigma": 0.0}, "threshold_sigma above 0"),
        ({"min_net_gradient": -1.0}, "min_net_gradient above 0"),
    ],
)
def test_options_that_cannot_be_are_refused(plugin: Any, options: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        plugin.PicassoMLE(CAMERA, **options)


@pytest.mark.skipif(HAS_PICASSO, reason="Picasso is installed")
def test_picasso_is_asked_for_when_it_is_needed(plugin: Any) -> None:
    with pytest.raises(PluginError, match='pip install "picassosr'):
        plugin.PicassoMLE(CAMERA)


@pytest.mark.parametrize("box_px", [5, 7, 9])
def test_the_noise_of_a_net_gradient_is_known(plugin: Any, box_px: int) -> None:
    detection = importlib.import_module("dblink_live_picasso.detection")
    half = box_px // 2
    noise = np.random.default_rng(4).normal(0, 3.0, (4000, box_px + 2, box_px + 2))
    # As Picasso's manual puts it: the gradient at each pixel of the box, along the line to its middle, summed.
    along_y, along_x = (2 * np.gradient(noise, axis=axis)[:, 1:-1, 1:-1] for axis in (1, 2))
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    away = np.maximum(np.hypot(y, x), 1e-9)
    net = -(along_y * y / away + along_x * x / away).sum(axis=(1, 2))
    # A standard deviation of 4000 numbers is known to 1.1 %.
    assert net.std() == pytest.approx(3.0 * detection.net_gradient_of_noise(box_px), rel=0.045)
