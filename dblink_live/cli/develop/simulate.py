"""``dblink-live simulate``: maps or camera frames of a specimen whose truth is known, to try everything else on."""

from __future__ import annotations

import argparse
from pathlib import Path

from dblink_live.cli.options import Verbs, add_json, add_verb, not_negative_int, positive_int
from dblink_live.cli.result import Outcome
from dblink_live.workflows.simulate import STRUCTURES, TRUTH_SUFFIX


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "simulate",
        run=run,
        help="simulate localization maps, or camera frames, of a specimen whose truth is known",
        example="dblink-live simulate filaments --out filaments.npz\n"
        "  dblink-live reconstruct filaments.npz --out filaments.ome.zarr\n"
        "  dblink-live evaluate --reconstruction filaments.ome.zarr --truth filaments.npz",
    )
    parser.add_argument("structure", choices=STRUCTURES, help="what is seen")
    parser.add_argument(
        "--out",
        metavar="F",
        type=Path,
        required=True,
        help="an .npz file with counts X and truth, both [T, H, W]; with --raw an OME-TIFF (.tif) of camera frames, "
        f"beside which the truth of every window lies as F{TRUTH_SUFFIX}",
    )
    parser.add_argument(
        "--frames", metavar="N", type=positive_int, default=2000, help="camera frames, ten a window (default 2000)"
    )
    parser.add_argument(
        "--seed", metavar="S", type=not_negative_int, default=0, help="same seed, same specimen and noise (default 0)"
    )
    parser.add_argument("--raw", action="store_true", help="camera frames instead of localization maps")
    parser.add_argument(
        "--preset",
        metavar="P",
        help='what differs from the released simulator of DBlink, for instance "3x speed"; a wrong one lists all',
    )
    parser.add_argument("--overwrite", action="store_true", help="replace F if it exists")
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    from dblink_live.workflows.simulate import simulate_to_file

    made = simulate_to_file(
        options.structure,
        options.out,
        frames=options.frames,
        seed=options.seed,
        raw=options.raw,
        preset=options.preset,
        overwrite=options.overwrite,
        progress=True,
    )
    figures = {
        "out": str(made.path),
        "truth": str(made.truth),
        "structure": options.structure,
        "preset": options.preset or "default",
        "seed": options.seed,
        "frames": options.frames,
        "windows": made.n_windows,
        "shape": list(made.shape),
        **made.facts,
    }
    if made.n_localizations is None:
        known = " ".join(f"--{key.replace('_', '-')} {value:g}" for key, value in made.facts.items())
        text = f"{options.frames} frames of {options.structure}: {made.path} ({known}); truth of every window: "
        return Outcome(text=f"{text}{made.truth}", figures=figures)
    n = made.n_localizations
    return Outcome(
        text=f"{n} localizations in {made.n_windows} windows of {options.structure}, with their truth: {made.path}",
        figures={**figures, "localizations": n},
    )
