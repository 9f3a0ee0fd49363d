"""Experiment a: random moving filaments, each on its own way. The paper: fidelity 90 %, false positives 1.3 %."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from benchmarks.validation.moving import HEADER, Moving, score
from benchmarks.validation.outcome import Outcome
from dblink_live.models import load_model

FILAMENTS = Moving("filaments", speed=8.0, on_per_um2=0.1, seed=61)


def run(is_quick: bool, out: Path) -> Outcome:
    """Reconstruct a field of moving filaments and score it against where they were."""
    n_frames = 1000 if is_quick else 3000
    model = load_model(FILAMENTS.kind)
    rows = score(FILAMENTS, model, n_frames, out / "validation_filaments.png")
    paper = ("the paper, random filaments of its own simulator", "90 %", "1.3 %", "-", "-")
    return Outcome(HEADER, [paper, *rows], (model,), {"frames": n_frames, **asdict(FILAMENTS)})
