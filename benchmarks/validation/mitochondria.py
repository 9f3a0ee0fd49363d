"""Experiment e: mitochondria in windows of 10 frames of 20 ms, 5 pictures per second, with the network trained on them.

The paper shows living mitochondria at 75 nm and 5 pictures per second, where nobody knows the truth; here it is known.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from benchmarks.validation.moving import HEADER, Moving, score
from benchmarks.validation.outcome import Outcome
from dblink_live.models import load_model

MITOCHONDRIA = Moving("mitochondria", speed=4.0, on_per_um2=0.12, seed=65)


def run(is_quick: bool, out: Path) -> Outcome:
    """Reconstruct mitochondria that move and change their outlines."""
    n_frames = 1000 if is_quick else 3000
    model = load_model(MITOCHONDRIA.kind)
    rows = score(MITOCHONDRIA, model, n_frames, out / "validation_mitochondria.png")
    return Outcome(HEADER, rows, (model,), {"frames": n_frames, **asdict(MITOCHONDRIA)})
