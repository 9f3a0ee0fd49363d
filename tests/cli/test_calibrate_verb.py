"""The verb ``calibrate``: stacks in, a configuration that `run` takes out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from dblink_live.camera.sensor_maps import SensorMaps
from dblink_live.cli import main
from dblink_live.config import load_run_config
from dblink_live.store import open_run
from dblink_live.types import FloatImage

OFFSET, GAIN = 100.0, 0.5


@pytest.fixture
def stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    for name, electrons in (("dark", 0), ("dim", 50), ("bright", 500)):
        counts = rng.poisson(electrons, (21, 32, 40)) / GAIN + rng.normal(OFFSET, 3, (21, 32, 40))
        tifffile.imwrite(tmp_path / f"{name}.tif", np.rint(counts).astype(np.uint16), photometric="minisblack")
    tifffile.imwrite(tmp_path / "small.tif", np.full((5, 8, 8), 300, np.uint16), photometric="minisblack")
    monkeypatch.chdir(tmp_path)


def test_run_takes_what_was_measured(stacks: None, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["calibrate", "--dark", "dark.tif", "--light", "dim.tif", "--light", "bright.tif", "--out", "camera.toml"]
    assert main([*command, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["dark_frames"], figures["light_frames"]) == (21, [21, 21])
    camera = load_run_config("camera.toml", ["camera.pixel_size_nm=108"]).camera
    # 10 differences of 1280 pixels: a variance to 1.3 %, the gain from two of them to 0.9 %.
    assert camera.electrons_per_adu == pytest.approx(GAIN, rel=0.04)
    assert camera.offset_adu == pytest.approx(OFFSET, abs=0.1)
    assert camera.read_noise_e == pytest.approx(3 * GAIN, rel=0.06)
    assert camera.electrons_per_adu == pytest.approx(figures["electrons_per_adu"], rel=1e-5)
    assert camera.em_gain == 1.0


def test_darkness_alone_gives_no_gain(stacks: None) -> None:
    assert main(["calibrate", "--dark", "dark.tif", "--out", "camera.toml"]) == 0
    camera = load_run_config("camera.toml").camera
    assert camera.offset_adu == pytest.approx(OFFSET, abs=0.1)
    assert camera.electrons_per_adu is None


def test_an_em_gain_is_handed_on(stacks: None) -> None:
    command = ["calibrate", "--dark", "dark.tif", "--light", "bright.tif", "--out", "camera.toml"]
    assert main([*command, "--em-gain", "100"]) == 0
    camera = load_run_config("camera.toml").camera
    assert camera.em_gain == 100
    # Without a register in the simulated camera the slope is 1 / GAIN, and 2 * 100 stand above it.
    assert camera.electrons_per_adu == pytest.approx(200 * GAIN, rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param(["--dark", "none.tif", "--out", "c.toml"], "none.tif", id="missing stack"),
        pytest.param(["--dark", "dark.tif", "--out", "c.json"], ".toml", id="unknown kind of file"),
        pytest.param(["--dark", "dark.tif", "--out", "none/c.toml"], "none", id="missing folder"),
        pytest.param(["--dark", "dark.tif", "--out", "kept.toml"], "kept.toml already exists", id="existing file"),
        pytest.param(["--dark", "dark.tif", "--light", "small.tif", "--out", "c.toml"], "small.tif", id="other shape"),
        pytest.param(["--dark", "bright.tif", "--light", "dim.tif", "--out", "c.toml"], "more light", id="swapped"),
        pytest.param(["--dark", "dark.tif", "--em-gain", "0.5", "--out", "c.toml"], "1 or more", id="EM gain below 1"),
        pytest.param(["--dark", "mm:core?config=demo", "--out", "c.toml"], "mm:core", id="camera"),
        pytest.param(["--dark", "dark.tif", "--roi", "1,2,3", "--out", "c.toml"], "x,y,width,height", id="region"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(
    stacks: None, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    Path("kept.toml").write_text("precious", encoding="utf-8")
    before = sorted(Path().iterdir())
    assert main(["calibrate", *arguments]) == 2
    printed = capsys.readouterr()
    assert named in printed.err.splitlines()[-1]
    assert "Traceback" not in printed.err
    assert sorted(Path().iterdir()) == before
    assert Path("kept.toml").read_text(encoding="utf-8") == "precious"


@pytest.fixture
def uneven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[FloatImage, FloatImage]:
    """Stacks of a chip with pixels of their own, and a stack of molecules on it; its offsets and noises in ADU."""
    rng = np.random.default_rng(6)
    offset = rng.normal(OFFSET, 6, (32, 40)).astype(np.float32)
    noise = np.where(rng.random((32, 40)) < 0.02, 30.0, 3.0).astype(np.float32)

    def take(electrons: npt.ArrayLike, n_frames: int) -> npt.NDArray[np.uint16]:
        counts = rng.poisson(electrons, (n_frames, 32, 40)) / GAIN + rng.normal(offset, noise, (n_frames, 32, 40))
        return np.rint(counts).clip(0).astype(np.uint16)

    y, x = np.mgrid[:32, :40]
    spots = sum(
        600 / (2 * np.pi) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 2) for cy in (7, 16, 25) for cx in (6, 15, 24, 33)
    )
    for name, electrons, n_frames in (("dark", 0, 300), ("light", 800, 60), ("cell", 2 + spots, 20), ("empty", 2, 60)):
        tifffile.imwrite(tmp_path / f"{name}.tif", take(electrons, n_frames), photometric="minisblack")
    monkeypatch.chdir(tmp_path)
    return offset, noise


def test_maps_are_written_and_localize_uses_them(
    uneven: tuple[FloatImage, FloatImage], capsys: pytest.CaptureFixture[str]
) -> None:
    offset, noise = uneven
    calibrate = ["calibrate", "--dark", "dark.tif", "--light", "light.tif"]
    assert main([*calibrate, "--out", "camera.toml", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["maps"] == "camera.maps.npz"
    assert figures["pixels_own"]["offset"] > 0.9
    camera = load_run_config("camera.toml").camera
    maps = SensorMaps.load(Path(str(camera.maps)), camera.maps_sha256)
    # 300 frames know the offset of a quiet pixel to 0.17 ADU and of a noisy one to 1.7.
    assert np.abs(maps.offset_adu - offset)[noise < 10].max() < 1.0
    assert np.median(maps.noise_adu[noise > 10]) > 7 * np.median(maps.noise_adu[noise < 10])
    assert main([*calibrate, "--out", "flat.toml", "--no-maps"]) == 0
    assert load_run_config("flat.toml").camera.maps is None

    found = {}
    for stack in ("cell", "empty"):
        for config in ("camera", "flat"):
            table = f"{stack}_{config}.csv"
            command = ["localize", f"{stack}.tif", "--out", table, "--config", f"{config}.toml"]
            assert main([*command, "--pixel-size-nm", "100", "--psf-sigma-px", "1"]) == 0
            found[stack, config] = len(Path(table).read_text(encoding="utf-8").splitlines()) - 1
    # 12 molecules in 20 frames. Of pixels that flicker or sit high, one number makes molecules; maps do not.
    assert found["cell", "camera"] == pytest.approx(240, rel=0.1)
    assert found["empty", "flat"] > 25
    assert found["empty", "camera"] < found["empty", "flat"] / 10


def test_run_counts_photons_with_the_maps(uneven: tuple[FloatImage, FloatImage]) -> None:
    calibrate = ["calibrate", "--dark", "dark.tif", "--light", "light.tif", "--out", "camera.toml"]
    assert main(calibrate) == 0
    run = ["run", "--source", "tiff:cell.tif", "--out", "a.run", "--config", "camera.toml", "--no-view"]
    assert main([*run, "--set", "camera.pixel_size_nm=100", "--set", "localizer.psf_sigma_px=1"]) == 0
    with open_run("a.run") as opened:
        photons = opened.localizations()["photons"]
        assert opened.segments[0].camera["offset_adu"].startswith("map (32, 40)")
    # To the 1.4 % of 600 electrons over 12 noisy pixels or so; single fits scatter by 8 %.
    assert np.median(photons) == pytest.approx(600, rel=0.05)
