"""Offset and gain estimated from ordinary frames: against simulated cameras of known truth, and on real stacks.

    python -m benchmarks.camera_estimate [--data ../shared/data] [--docs docs]

Each simulated recording has an uneven background of 15 to 60 electrons and blinking molecules; each is drawn anew from
`SEEDS` seeds. `used` counts the estimates that a run would take over; `right` those of them whose gain lies within
20 % of the truth and whose offset within a quarter of the background above it; `within 3 sigma` all that lie within
three of the standard errors that are told.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import tifffile

from benchmarks.documents import find_page, write_block
from benchmarks.report import markdown_table
from dblink_live.camera.recording_facts import RecordingFacts, estimate_camera
from dblink_live.errors import CalibrationError
from dblink_live.types import Camera, FrameArray

SEEDS = 6
CAMERAS = {
    "sCMOS": Camera(108.0, offset_adu=100.0, electrons_per_adu=0.46, read_noise_e=1.6),
    "EMCCD, gain 300": Camera(160.0, offset_adu=200.0, electrons_per_adu=5.0, em_gain=300.0, read_noise_e=50.0),
}
STACKS = (
    "raw_3b_podosome/test_data.tif",
    "raw_dnapaint_micromanager/3C_30px_100f.tif",
    "raw_microtubules/microtubules.tif",
)
N_FRAMES = 200


def record(camera: Camera, seed: int, n_frames: int, side: int, per_frame: float) -> FrameArray:
    """Frames [T, H, W] of blinking molecules over an uneven background, drawn as the camera's physics says."""
    rng = np.random.default_rng(seed)
    rows, cols = np.indices((side, side))
    bump = np.exp(-((rows - side / 2) ** 2 + (cols - side / 2) ** 2) / (2 * (side / 3) ** 2))
    frames = np.empty((n_frames, side, side), np.uint16)
    for frame in frames:
        electrons = 15.0 + 45.0 * bump
        for _ in range(rng.poisson(per_frame)):
            y, x = rng.uniform(0, side, 2)
            spot = np.exp(-((rows - y) ** 2 + (cols - x) ** 2) / (2 * 1.2**2)) / (2 * np.pi * 1.2**2)
            electrons = electrons + rng.exponential(800.0) * spot
        counted = rng.poisson(electrons).astype(float)
        if camera.em_gain > 1:
            counted = np.where(counted > 0, rng.gamma(np.maximum(counted, 1), camera.em_gain), 0.0)
        counted += rng.normal(0.0, float(np.mean(camera.read_noise_e)), counted.shape)
        frame[:] = np.clip(np.round(counted / camera.electrons_per_adu + camera.offset_adu), 0, 65535)
    return frames


def simulated() -> list[list[object]]:
    """Return a row per camera, size and density."""
    rows: list[list[object]] = []
    for name, camera in CAMERAS.items():
        for side, n_frames, per_frame in (
            (64, 200, 4.0),
            (64, 200, 16.0),
            (64, 200, 64.0),
            (32, 200, 1.0),
            (64, 40, 4.0),
        ):
            found = [_facts(record(camera, seed, n_frames, side, per_frame), camera.em_gain) for seed in range(SEEDS)]
            given = [facts for facts in found if facts is not None]
            used = [facts for facts in given if facts.is_certain]
            right = [facts for facts in used if _is_right(facts, camera)]
            within = [facts for facts in given if _is_within(facts, camera)]
            gain = np.median([facts.electrons_per_adu for facts in given]) if given else np.nan
            offset = np.median([facts.offset_adu for facts in given]) if given else np.nan
            rows.append(
                [
                    f"{name}: {camera.electrons_per_adu} e/ADU, {camera.offset_adu:g} ADU",
                    f"{side} x {side} px, {n_frames} frames",
                    f"{per_frame:g}",
                    f"{gain:.3g}",
                    f"{offset:.4g}",
                    f"{len(given)} of {SEEDS}",
                    f"{len(within)} of {len(given)}",
                    len(used),
                    len(right),
                ]
            )
    return rows


def real(data: Path) -> list[list[object]]:
    """Return a row per real stack."""
    rows: list[list[object]] = []
    for name in STACKS:
        facts = _facts(tifffile.imread(data / name)[:N_FRAMES], 1.0)
        said = "none: its frames lie on no line" if facts is None else facts.describe()
        rows.append([f"`{name}`", said, "yes" if facts is not None and facts.is_certain else "no"])
    return rows


def _facts(frames: FrameArray, em_gain: float) -> RecordingFacts | None:
    try:
        return estimate_camera(frames, em_gain)
    except CalibrationError:
        return None


def _is_right(facts: RecordingFacts, camera: Camera) -> bool:
    light = facts.background_adu - float(np.mean(camera.offset_adu))
    is_gain = abs(facts.electrons_per_adu / float(np.mean(camera.electrons_per_adu)) - 1) < 0.2
    return is_gain and abs(facts.offset_adu - float(np.mean(camera.offset_adu))) < 0.25 * light


def _is_within(facts: RecordingFacts, camera: Camera) -> bool:
    gain = abs(facts.electrons_per_adu - float(np.mean(camera.electrons_per_adu))) / facts.electrons_per_adu_error
    offset = abs(facts.offset_adu - float(np.mean(camera.offset_adu))) / facts.offset_error_adu
    return max(gain, offset) < 3


def main() -> None:
    """Measure, print, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--docs", type=Path, help="folder of the documentation, whose page cameras is written")
    options = parser.parse_args()
    header = [
        "camera",
        "recording",
        "molecules per frame",
        "e/ADU",
        "offset",
        "estimated",
        "within 3 sigma",
        "used",
        "right",
    ]
    table = markdown_table(header, simulated())
    table += "\n\n" + markdown_table(["real stack, its first 200 frames", "estimate", "used"], real(options.data))
    print(table)
    if options.docs is not None:
        write_block(find_page(options.docs, "cameras"), "estimate", table)


if __name__ == "__main__":
    main()
