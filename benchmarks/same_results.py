"""Two revisions of the program on the same seeded input: are maps, pictures and localizations the same, bit for bit?

    git worktree add ../before REVISION
    python -m benchmarks.same_results --before ../before

Each revision replays a simulated stack, runs a simulated camera and the demo, and refines the runs, all with the
weights of the earlier revision, so that only the code differs. Then this revision opens and verifies the run folders
that the earlier one made. A run in which a live camera lost frames cannot be compared; the table says so.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dblink_live.store import open_run

REPOSITORY = Path(__file__).resolve().parents[1]
FRAMES = 400
SETTINGS = ["--set", "reconstruct.lookahead=8", "--set", "reconstruct.hop=4", "--no-view"]


@dataclass(frozen=True)
class Revision:
    """A checkout that can run the command line."""

    root: Path

    def run(self, *arguments: str) -> str:
        """Run ``dblink-live`` of this checkout and return its standard output; a failure ends the benchmark."""
        environment = {**os.environ, "PYTHONPATH": str(self.root), "QT_QPA_PLATFORM": "offscreen"}
        done = subprocess.run(
            [sys.executable, "-m", "dblink_live", *arguments], env=environment, cwd=self.root, capture_output=True
        )
        if done.returncode != 0:
            sys.exit(f"{self.root}: dblink-live {' '.join(arguments)} failed:\n{done.stderr.decode()}")
        return done.stdout.decode()


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of each series and of the localizations of a run, by name."""
    run = open_run(folder)
    found: dict[str, str] = {}
    for name in ("counts", "live", "full"):
        series = getattr(run, name)
        if series is not None and len(series):
            found[name] = hashlib.sha256(np.ascontiguousarray(series[:]).tobytes()).hexdigest()[:16]
    found["localizations"] = hashlib.sha256(run.localizations().tobytes()).hexdigest()[:16]
    return found


def make_runs(revision: Revision, stack: Path, weights: Path, folder: Path) -> dict[str, Path]:
    """Run each kind of run with ``revision``, refined, and return the folders by kind."""
    model = ["--set", f"reconstruct.model={weights}"]
    runs = {kind: folder / f"{kind}.run" for kind in ("replay", "camera", "demo")}
    camera = ["--set", "camera.pixel_size_nm=160"]
    revision.run("run", "--source", f"tiff:{stack}", "--out", str(runs["replay"]), *camera, *model, *SETTINGS)
    simulated = f"sim:filaments?frames={FRAMES}&fps=12&seed=3"
    revision.run("run", "--source", simulated, "--out", str(runs["camera"]), *model, *SETTINGS)
    revision.run("demo", "--headless", "--frames", str(FRAMES), "--out", str(runs["demo"]))
    for path in runs.values():
        revision.run("refine", str(path), "--model", str(weights), "--device", "cpu")
    return runs


def lost_frames(folder: Path) -> int:
    """Return how many frames per run lost, all causes and segments together."""
    ledgers = open_run(folder).ledger.values()
    return sum(count or 0 for ledger in ledgers for count in ledger["lost"].values())


def main() -> int:
    """Print one row per run and product; exit status 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, metavar="CHECKOUT", help="the earlier revision")
    options = parser.parse_args()
    before, after = Revision(options.before.resolve()), Revision(REPOSITORY)
    weights = before.root / "dblink_live" / "models" / "zoo" / "filaments.safetensors"
    differences = 0
    with tempfile.TemporaryDirectory() as temporary:
        folders = {name: Path(temporary) / name for name in ("before", "after")}
        for folder in folders.values():
            folder.mkdir()
        stack = Path(temporary) / "stack.tif"
        before.run("simulate", "filaments", "--raw", "--frames", str(FRAMES), "--seed", "7", "--out", str(stack))
        old = make_runs(before, stack, weights, folders["before"])
        new = make_runs(after, stack, weights, folders["after"])
        for kind in old:
            lost = lost_frames(old[kind]), lost_frames(new[kind])
            if any(lost):
                print(f"{kind:<8} not comparable: {lost[0]} and {lost[1]} frames lost by a busy machine")
                continue
            first, second = digests(old[kind]), digests(new[kind])
            for product, digest in first.items():
                is_same = second.get(product) == digest
                differences += not is_same
                verdict = "the same" if is_same else f"DIFFERS ({second.get(product)})"
                print(f"{kind:<8} {product:<14} {digest}  {verdict}")
            report = json.loads(after.run("verify", str(old[kind]), "--json"))
            print(f"{kind:<8} the run folder of the earlier revision verifies: {report['ok']}")
            differences += not report["ok"]
    return int(differences > 0)


if __name__ == "__main__":
    sys.exit(main())
