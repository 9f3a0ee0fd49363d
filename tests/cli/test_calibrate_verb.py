"""The verb ``calibrate``: stacks in, a configuration that `run` takes out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dblink_live.cli import main
from dblink_live.config import load_run_config

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
        pytest.param(["--dark", "dark.tif", "--out", "kept.toml"], "kept.toml exists", id="existing file"),
        pytest.param(["--dark", "dark.tif", "--light", "small.tif", "--out", "c.toml"], "small.tif", id="other shape"),
        pytest.param(["--dark", "bright.tif", "--light", "dim.tif", "--out", "c.toml"], "more light", id="swapped"),
        pytest.param(["--dark", "dark.tif", "--em-gain", "0.5", "--out", "c.toml"], "1 or more", id="EM gain below 1"),
        pytest.param(["--dark", "mm:core?config=demo", "--out", "c.toml"], "mm:core", id="camera"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(
    stacks: None, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    Path("kept.toml").write_text("precious")
    before = sorted(Path().iterdir())
    assert main(["calibrate", *arguments]) == 2
    printed = capsys.readouterr()
    assert named in printed.err.splitlines()[-1]
    assert "Traceback" not in printed.err
    assert sorted(Path().iterdir()) == before
    assert Path("kept.toml").read_text() == "precious"
