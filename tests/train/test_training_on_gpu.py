"""Training on a CUDA device: both kinds of network, in both precisions, alone and as two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from dblink_live.models import load_model, reconstruct
from dblink_live.train import TrainingSettings, train_to_checkpoint
from dblink_live.train.reconstruction import train_model

pytestmark = pytest.mark.gpu
SMALL = TrainingSettings(
    steps=6, batch=2, crop_px=32, clip_windows=4, supervised_windows=3, warmup_forward=4, warmup_reverse=3,
    pool_videos=2, steps_per_video=2, save_every_steps=3, threads=1,
)  # fmt: skip


@pytest.mark.parametrize("architecture", ["light", "gated"])
@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
def test_a_network_that_was_trained_there_runs_on_the_cpu(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, bf16: bool
) -> None:
    if bf16 or architecture == "gated":  # it takes the longest, and is done once
        monkeypatch.setattr(train_model, "calibrate_threshold", lambda network, presets: 0.4)
    settings = msgspec.structs.replace(SMALL, device=device, network=architecture, bf16=bf16)
    path = tmp_path / "trained.safetensors"
    train_to_checkpoint(settings, path)
    model = load_model(str(path), device="cpu")
    pictures = reconstruct(np.ones((3, 16, 16), np.uint16), model)
    assert np.isfinite(pictures).all()
    assert all(torch.isfinite(parameter).all() for parameter in model.network.parameters())


@pytest.mark.parametrize("where", ["device", "cpu"])
def test_two_processes_train_together(device: str, tmp_path: Path, where: str) -> None:
    """Each has a card of its own; and on the CPU, although there is a card, no message is one for NCCL."""
    if where == "device" and device == "cuda" and torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices: NCCL takes one process per card")
    settings = msgspec.to_builtins(msgspec.structs.replace(SMALL, device=device if where == "device" else "cpu"))
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items() if not isinstance(value, dict)]
    (tmp_path / "small.toml").write_text("\n".join(lines), encoding="utf-8")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "dblink_live", "train", "--config", "small.toml", "--out", "two.safetensors"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert load_model(str(tmp_path / "two.safetensors"), device="cpu").training["steps"] == SMALL.steps
