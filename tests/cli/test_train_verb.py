"""`train` as it is typed: recipes, refusals in one line, statuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dblink_live.cli import main
from dblink_live.models import load_model

SETTINGS = """
name = "tiny"
steps = 2
batch = 1
crop_px = 16
clip_windows = 2
supervised_windows = 2
warmup_forward = 0
warmup_reverse = 0
pool_videos = 1
validation_videos = 1
threads = 1
device = "cpu"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(SETTINGS, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _calibrated_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "dblink_live.train.reconstruction.train_model.calibrate_threshold", lambda network, presets: 0.4
    )


def refused(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> str:
    capsys.readouterr()
    assert main(["train", *arguments]) == status
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


def test_it_trains_and_then_says_that_it_is_done(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tiny.safetensors"
    assert main(["train", "--config", str(config), "--out", str(out), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["sha256"] == load_model(out, "cpu").sha256
    assert "step 2, 100 %" in printed.err
    assert "finished" in refused(capsys, 2, "--config", str(config), "--out", str(out))


def test_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--list", "--json"]) == 0
    listed = set(json.loads(capsys.readouterr().out)["recipes"])
    assert listed == {"live", "deepstorm", "localizer", "paper", "mse_control"}
    assert main(["train", "--list"]) == 0
    assert "Saguy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "named"),
    [
        pytest.param("lerning_rate = 1.0", "'learning_rate'", id="unknown key"),
        pytest.param("video_windows = 1", "video_windows", id="clips longer than the videos"),
        pytest.param('start_from = "filaments"\nnetwork = "dblink"', "'light'", id="weights of another network"),
        pytest.param('start_from = "no.safetensors"', "no.safetensors", id="no weights to start from"),
        pytest.param("[specimens]\nspeed = [-1.0, 1.0]", "speed", id="negative speed"),
    ],
)
def test_what_cannot_train_is_refused_in_a_line(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str], line: str, named: str
) -> None:
    config.write_text(SETTINGS + line + "\n", encoding="utf-8")
    out = tmp_path / "tiny.safetensors"
    assert named in refused(capsys, 2, "--config", str(config), "--out", str(out))
    assert not out.exists()


def test_wrong_usage_is_refused_in_a_line(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--config F and --out" in refused(capsys, 2, "--config", "live")
    assert "paper" in refused(capsys, 2, "--config", "papier", "--out", str(tmp_path / "a.safetensors"))
    out = config / "tiny.safetensors"
    assert "cannot be written" in refused(capsys, 2, "--config", str(config), "--out", str(out))


def test_a_loss_that_is_no_number_is_a_failure_on_the_way(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(
        SETTINGS.replace("steps = 2", "steps = 99\nlearning_rate = 1e30\ngradient_norm = 0.0"), encoding="utf-8"
    )
    out = tmp_path / "tiny.safetensors"
    assert "at step" in refused(capsys, 1, "--config", str(config), "--out", str(out))
