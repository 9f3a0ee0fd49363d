"""What a localizer is worth in the end: the reconstruction from camera frames, against the density of molecules.

    python -m benchmarks.end_to_end [--densities 0.1 0.3 1 2] [--frames 300] [--specimens 3]
        [--localizers gaussian dense deepstorm auto] [--docs docs] [--json FILE]

Filaments as `sim:filaments` shows them (moving, 1200 photons per molecule, on 20 per pixel, an sCMOS camera), in a
field of 44 x 44 camera pixels of 120 nm, with more and more molecules on at a time. Each localizer finds them in the
same frames; what it found is binned into windows of 10 frames at 40 nm, and the network `filaments` reconstructs the
video with its full pass. F1 at 1 px against the truth, at the threshold stored in the checkpoint, mean over the
specimens. The row "truth" has the molecules' true places instead of found ones: what a perfect localizer would give.
Localizers are told the camera, and the width as well where they are another program's (`benchmarks.rivals`).
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.documents import find_page, measured_with, write_block
from benchmarks.report import Report, markdown_table
from benchmarks.rivals import RIVALS, localizers_by_name
from dblink_live.analysis.metrics import evaluate
from dblink_live.models import Model, load_model, reconstruct
from dblink_live.simulate import SCMOS, CameraSimulator, make_camera
from dblink_live.types import Localizations, Shape, empty_localizations
from dblink_live.windows import bin_localizations

SHAPE = Shape(44, 44)
CAMERA = replace(SCMOS, pixel_size_nm=120.0)
SCALE = 3
WINDOW_FRAMES = 10
FIRST_SEED = 70_000
TRUTH = "truth"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--densities", type=float, nargs="+", default=[0.1, 0.3, 1.0, 2.0], help="molecules on a um^2")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--specimens", type=int, default=3)
    parser.add_argument("--localizers", nargs="+", default=["gaussian", "dense", "deepstorm", "auto"])
    parser.add_argument("--docs", type=Path, default=None)
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    started = time.perf_counter()
    report = Report("end_to_end", {"frames": options.frames, "specimens": options.specimens})
    model = load_model("filaments")
    factories = localizers_by_name(options.localizers)
    scores: dict[str, list[float]] = {name: [] for name in (*factories, TRUTH)}
    for density in options.densities:
        found: dict[str, list[float]] = {name: [] for name in scores}
        for seed in range(FIRST_SEED, FIRST_SEED + options.specimens):
            simulator = make_camera("filaments", SHAPE, seed, camera=CAMERA, on_per_um2=density)
            frames = np.stack([simulator.frame(number) for number in range(options.frames)])
            sigma_px = simulator.optics.psf_sigma_nm / CAMERA.pixel_size_nm
            for name, factory in factories.items():
                localize = factory(CAMERA, psf_sigma_px=sigma_px if name in RIVALS else None)
                found[name].append(score(localize(frames), simulator, options.frames, model))
            found[TRUTH].append(score(true_molecules(simulator, options.frames), simulator, options.frames, model))
        for name, values in found.items():
            scores[name].append(float(np.mean(values)))
            print(f"{density:g}: {name} {' '.join(f'{value:.3f}' for value in values)}", file=sys.stderr)
    table = markdown_table(
        ["molecules on a um^2", *(f"{density:g}" for density in options.densities)],
        [[name, *values] for name, values in scores.items()],
    )
    print(table)
    if options.docs is not None:
        head = measured_with([model], time.perf_counter() - started)
        write_block(find_page(options.docs, "localizers"), "end to end", f"{head}\n\n{table}")
    report.add("densities_um2", options.densities)
    report.add("f1_1px", scores)
    report.finish(options.json)


def score(localizations: Localizations, simulator: CameraSimulator, n_frames: int, model: Model) -> float:
    """F1 at 1 px of the full pass over ``localizations``."""
    n_windows = n_frames // WINDOW_FRAMES
    maps = bin_localizations(localizations, SHAPE, CAMERA.pixel_size_nm, SCALE, WINDOW_FRAMES)
    counts = np.zeros((n_windows, *maps.shape[1:]), np.uint16)
    counts[: len(maps)] = maps[:n_windows]
    truth = np.stack([simulator.truth_at(window * WINDOW_FRAMES) for window in range(n_windows)])
    return evaluate(reconstruct(counts, model), truth, model.threshold).f1_1px


def true_molecules(simulator: CameraSimulator, n_frames: int) -> Localizations:
    """Where the molecules really are that are on in the frames."""
    places = [simulator.places_px(number) for number in range(n_frames)]
    rows = empty_localizations(sum(map(len, places)))
    rows["frame"] = np.repeat(np.arange(n_frames), [len(place) for place in places])
    rows["y"], rows["x"] = np.concatenate(places).T
    return rows


if __name__ == "__main__":
    main()
