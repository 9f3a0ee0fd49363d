"""Two processes that train one network together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dblink_live.models import load_model

SETTINGS = """
name = "shared"
steps = 3
batch = 1
crop_px = 32
clip_windows = 3
supervised_windows = 2
warmup_forward = 3
warmup_reverse = 2
pool_videos = 2
save_every_steps = 2
threads = 1
device = "cpu"
"""

# The threshold's calibration takes a minute and is tested elsewhere.
PROGRAM = """
import sys
from pathlib import Path
import torch
from dblink_live.train.reconstruction import train_model as checkpointed
from dblink_live.train import load_settings, train_to_checkpoint
from dblink_live.train.reconstruction.workers import rank
checkpointed.calibrate_threshold = lambda network, presets: 0.4
train = checkpointed.train
def remember(state, *arguments):
    progress = train(state, *arguments)
    weights = torch.cat([p.flatten() for p in state.network.parameters()])
    Path(sys.argv[2] + f".{rank()}").write_text(weights.double().sum().item().hex())
    return progress
checkpointed.train = remember
train_to_checkpoint(load_settings(Path(sys.argv[1]).read_bytes(), "test"), Path(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="torchrun needs a libuv build of torch on Windows")
def test_workers_stay_alike_and_one_of_them_saves(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(SETTINGS, encoding="utf-8")
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    checkpoint = tmp_path / "shared.safetensors"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(tmp_path / "program.py"), str(tmp_path / "settings.toml"), str(checkpoint)]
    subprocess.run(command, check=True, timeout=240, capture_output=True)
    assert load_model(checkpoint, device="cpu").training["steps"] == 3
    sums = [Path(f"{checkpoint}.{rank}").read_text(encoding="utf-8") for rank in (0, 1)]
    assert sums[0] == sums[1]
