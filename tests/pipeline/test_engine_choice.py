"""Which engine a live run with ``reconstruct.engine = "auto"`` takes, and stores."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dblink_live.config import run_config_from_plain
from dblink_live.device import computes_bfloat16
from dblink_live.pipeline.live_run import open_live_run
from dblink_live.store import open_run


def engine_of(folder: Path, fps: float, size: int, engine: str = "auto") -> str:
    """The engine that a run of the simulated camera stores."""
    config = run_config_from_plain({"reconstruct": {"engine": engine}, "live": {"region": "centre"}})
    source = f"sim:filaments?fps={fps}&size={size}&frames=20"
    with open_live_run(source, folder, config, publish=False) as session:
        session.run()
    return open_run(folder).info.config["reconstruct"]["engine"]


def test_what_float32_holds_is_computed_in_it(tmp_path: Path) -> None:
    assert engine_of(tmp_path / "a.run", fps=1, size=16) == "eager"


@pytest.mark.skipif(not computes_bfloat16(torch.device("cpu")), reason="the processor has no AVX-512 BF16")
def test_what_it_does_not_hold_is_computed_in_bfloat16(tmp_path: Path) -> None:
    assert engine_of(tmp_path / "a.run", fps=1000, size=256) == "bfloat16"


def test_an_engine_that_was_asked_for_is_kept(tmp_path: Path) -> None:
    assert engine_of(tmp_path / "a.run", fps=1000, size=64, engine="eager") == "eager"
