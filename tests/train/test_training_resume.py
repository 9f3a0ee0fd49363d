"""A training is taken up after any death, and ends as if nothing had happened."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import safetensors.torch
import torch
from PIL import Image

from dblink_live.errors import ConfigError, ModelError
from dblink_live.models import Envelope, load_model
from dblink_live.train import TrainingProgress, TrainingSettings, TrainingStoppedError, train_to_checkpoint
from dblink_live.train.reconstruction.dataset import ClipSampler
from dblink_live.train.reconstruction.resume import side_file

SETTINGS = TrainingSettings(
    steps=5,
    batch=1,
    crop_px=16,
    clip_windows=3,
    supervised_windows=2,
    warmup_forward=2,
    warmup_reverse=2,
    pool_videos=2,
    steps_per_video=2,
    save_every_steps=2,
    epoch_steps=2,
    validation_videos=1,
    schedule="plateau",
    plateau_patience=0,
    threads=1,
    device="cpu",
)


class Killed(BaseException):
    """Stands in for the death of the process."""


@pytest.fixture(autouse=True)
def _quick_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes before and after the steps, and pictures, take longer than they and are tested elsewhere."""
    monkeypatch.setattr("dblink_live.train.reconstruction.watch.preview_videos", lambda settings, n: [])
    monkeypatch.setattr(
        "dblink_live.train.reconstruction.watch.draw_previews", lambda network, videos: Image.new("L", (8, 8))
    )
    monkeypatch.setattr(
        "dblink_live.train.reconstruction.train_model.measure_envelope", lambda specimens, seed: Envelope()
    )
    monkeypatch.setattr(
        "dblink_live.train.reconstruction.train_model.calibrate_threshold", lambda network, presets: 0.4
    )


def dying_at(step: int) -> Callable[[TrainingProgress], None]:
    """Dies right after ``step`` was saved."""

    def on_progress(progress: TrainingProgress) -> None:
        if progress.step == step:
            raise Killed

    return on_progress


def begun(path: Path, until: int = 2) -> None:
    """Leave at ``path`` a training that died after its save at step ``until``."""
    with pytest.raises(Killed):
        train_to_checkpoint(SETTINGS, path, dying_at(until))


class FullDisk:
    """Stands in for the module ``os`` of one other module."""

    getpid = staticmethod(os.getpid)

    def fsync(self, descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_clip_is_the_same_whether_or_not_the_steps_before_it_were_seen() -> None:
    sampler = ClipSampler(SETTINGS)
    in_order = [sampler.sample(step) for step in range(6)][-1]
    at_once = ClipSampler(SETTINGS).sample(5)
    assert torch.equal(in_order.counts, at_once.counts)
    assert torch.equal(in_order.structure, at_once.structure)
    assert in_order.first_supervised == at_once.first_supervised


def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(tmp_path: Path) -> None:
    whole, resumed = tmp_path / "whole.safetensors", tmp_path / "resumed.safetensors"
    train_to_checkpoint(SETTINGS, whole)
    steps: list[int] = []
    notices: list[str] = []
    for until in (2, 4):
        begun(resumed, until)
    train_to_checkpoint(SETTINGS, resumed, lambda progress: steps.append(progress.step), on_notice=notices.append)
    assert steps == [5]
    assert "from step 4" in notices[0]
    expected, found = (safetensors.torch.load_file(path) for path in (whole, resumed))
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert not side_file(resumed).exists()


def test_a_training_that_died_before_its_calibration_only_calibrates(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    begun(path, until=5)
    train_to_checkpoint(SETTINGS, path, dying_at(5))
    assert load_model(path, device="cpu").threshold == 0.4


def test_a_finished_training_is_not_repeated_unasked(tmp_path: Path) -> None:
    path = tmp_path / "done.safetensors"
    train_to_checkpoint(SETTINGS, path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="finished"):
        train_to_checkpoint(SETTINGS, path)
    assert path.read_bytes() == before
    train_to_checkpoint(msgspec.structs.replace(SETTINGS, steps=2), path, overwrite=True)
    assert load_model(path, device="cpu").training["steps"] == 2


def test_changed_settings_are_named_but_another_place_to_run_is_none(tmp_path: Path) -> None:
    path = tmp_path / "begun.safetensors"
    begun(path)
    other = msgspec.structs.replace(
        SETTINGS, learning_rate=1e-4, specimens=msgspec.structs.replace(SETTINGS.specimens, speed=(0.0, 3.0))
    )
    with pytest.raises(
        ConfigError, match=r"specimens.speed = \[0.0, 3.0\] instead of .*learning_rate = 0.0001"
    ) as found:
        train_to_checkpoint(other, path)
    assert "batch" not in str(found.value)
    train_to_checkpoint(msgspec.structs.replace(SETTINGS, save_every_steps=3, device="auto"), path)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: data[:-40], id="truncated"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: safetensors.torch.save(safetensors.torch.load(data)), id="without its metadata"),
    ],
)
def test_a_damaged_state_is_refused(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "begun.safetensors"
    begun(path)
    side_file(path).write_bytes(spoil(side_file(path).read_bytes()))
    with pytest.raises(ModelError, match="begin anew"):
        train_to_checkpoint(SETTINGS, path)


@pytest.mark.parametrize("place", ["dblink_live.train.reconstruction.resume.os", "dblink_live.files.os"])
def test_a_full_disk_stops_with_the_old_pair_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    path = tmp_path / "begun.safetensors"
    begun(path)
    before = {file.name: file.read_bytes() for file in tmp_path.glob("*.safetensors*")}
    with monkeypatch.context() as patch, pytest.raises(TrainingStoppedError, match=r"step 4: .*No space left"):
        patch.setattr(place, FullDisk())
        train_to_checkpoint(SETTINGS, path)
    assert {file.name: file.read_bytes() for file in tmp_path.glob("*.safetensors*")} == before
    assert not list(tmp_path.glob("*.unfinished"))
    train_to_checkpoint(SETTINGS, path)


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot be written"):
        train_to_checkpoint(SETTINGS, tmp_path / "file" / "model.safetensors")
