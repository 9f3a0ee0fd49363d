"""Kills a process of a live run at random moments, takes the run up again, and looks at what is left.

    python -m benchmarks.kills [--times 10] [--resume] [--victims main,acquire] [--seed S] [--json FILE]

Each time a simulated camera behind a real Micro-Manager core runs at 100 frames per second, a subscriber keeps the
checksum of every picture that it is shown, and one process is killed (SIGKILL; TerminateProcess on Windows): the main
one, which localizes, reconstructs and commits; the camera's; the viewer; or the recorder of camera frames. Then
`verify` is asked, every committed window is read, every committed picture that was shown is compared bit by bit, the
OME-Zarr is validated by yaozarrs, and no process of the camera may be left.

With ``--resume`` camera frames are recorded in each run, the run is then taken up by `dblink-live resume`, and looked
at again: what was committed must be what it was, the ledger must balance, and all frames that were asked for must
have come. A run whose viewer or recorder is killed must go on to its end by itself. Two more can then be killed: the
process that resumes, and the one that refines (`benchmarks.kills_afterwards`). A reader follows the edge of what is
committed through all of it. A run with a problem is kept, and where is said.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.killing import VICTIMS, KillFinding, VictimGoneError, kill_a_run, kill_and_resume
from benchmarks.kills_afterwards import AFTERWARDS
from benchmarks.report import Report, markdown_table

FPS = 100
N_FRAMES = 300


def kill_one(folder: Path, victim: str, chance: random.Random, resume: bool) -> KillFinding:
    """One kill, at a moment of ``chance``'s choice."""
    if victim in AFTERWARDS:
        return AFTERWARDS[victim](folder, chance, N_FRAMES, FPS)
    delay_s = chance.uniform(0.0, N_FRAMES / FPS)
    if resume:
        return kill_and_resume(folder, victim, delay_s, N_FRAMES, FPS)
    return kill_a_run(folder, delay_s, N_FRAMES, victim=victim, fps=FPS, at_once=True)


def main() -> int:
    known = (*VICTIMS, *AFTERWARDS)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10, help="kills, over all victims together")
    parser.add_argument("--resume", action="store_true", help="take each run up again")
    parser.add_argument("--victims", default=",".join(VICTIMS), help=f"whom to kill, in turn, of {', '.join(known)}")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    victims = list(known) if options.victims == "all" else options.victims.split(",")
    if not set(victims) <= set(known):
        parser.error(f"expected victims among {', '.join(known)}, or all, found {options.victims}")
    chance = random.Random(options.seed)
    findings = []
    for n in range(options.times):
        victim = victims[n % len(victims)]
        finding = None
        while finding is None:
            with tempfile.TemporaryDirectory() as scratch:
                try:
                    finding = kill_one(Path(scratch) / "killed.run", victim, chance, options.resume)
                except VictimGoneError as error:
                    print(f"{error}; drawn again", file=sys.stderr, flush=True)
                if finding is not None and finding.problems:
                    kept = tempfile.mkdtemp(prefix=f"kill-{options.seed}-{n + 1}-")
                    shutil.copytree(scratch, kept, dirs_exist_ok=True)
                    print(f"the run is kept in {kept}", file=sys.stderr, flush=True)
        findings.append(finding)
        verdict = "whole" if not finding.problems else "; ".join(finding.problems)
        print(f"{n + 1}/{options.times}: {victim} {finding.end}: {verdict}", file=sys.stderr, flush=True)
    print(markdown_table(*_table(findings, victims)))
    report = Report("kills", {"times": options.times, "seed": options.seed, "resume": options.resume})
    report.add("rows", [vars(finding) for finding in findings])
    report.finish(options.json)
    return int(any(finding.problems for finding in findings))


def _table(findings: list[KillFinding], victims: list[str]) -> tuple[list[str], list[list[object]]]:
    header = [
        "killed",
        "kills",
        "resumed",
        "went on",
        "with problems",
        "windows committed",
        "compared with what was shown",
    ]
    rows: list[list[object]] = []
    for victim in [*victims, "all"]:
        own = [finding for finding in findings if victim in (finding.victim, "all")]
        counted: list[object] = [
            sum(finding.end == end for finding in own) for end in ("resumed", "went on to its end")
        ]
        n_windows = sum(finding.n_counts + finding.n_live for finding in own)
        n_compared = sum(finding.n_compared + finding.n_at_edge for finding in own)
        rows.append([victim, len(own), *counted, sum(bool(f.problems) for f in own), n_windows, n_compared])
    return header, rows


if __name__ == "__main__":
    sys.exit(main())
