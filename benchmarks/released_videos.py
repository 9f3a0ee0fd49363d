"""Videos drawn by the authors' own simulator, unmodified: for validation, never for training.

A folder of files ``KIND_SEED.npz``, each with ``X``, localization counts, and ``Y``, structure in gray values, uint8
[T, H, W], on a grid of 40 nm and 10 frames per window. That code moves filaments by interpolation, and draws emitters
from every pixel above 15 of 255: these pixels are the truth here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dblink_live.simulate.video import Video

STRUCTURE_ABOVE = 15
DENSE_FROM = 0.08
"""Share of the field that is structure from which a field counts as dense."""
MIN_SHARE = 1e-3
"""Videos with less structure than this show nothing that could be found."""
KINDS = {
    "default": "default",
    "half density": "half",
    "3x speed": "speed3",
    "8x speed": "speed8",
    "mitochondria": "mitochondria",
}
"""How the files of a preset's condition begin."""


def read_released(folder: Path, preset: str, n_windows: int | None = None) -> list[Video]:
    """The videos of the condition of ``preset`` that show structure, in the order of their seeds.

    Raises
    ------
    FileNotFoundError
        The folder has none.
    """
    paths = sorted(folder.glob(f"{KINDS[preset]}_*.npz"))
    if not paths:
        raise FileNotFoundError(f"expected files {KINDS[preset]}_*.npz in {folder}, found none")
    videos = []
    for path in paths:
        with np.load(path) as stored:
            counts, truth = stored["X"][:n_windows], stored["Y"][:n_windows] > STRUCTURE_ABOVE
        if truth.mean() >= MIN_SHARE:
            videos.append(Video(counts.astype(np.uint16), truth, np.ones(len(counts), np.float32)))
    return videos


def is_dense(video: Video) -> bool:
    """Whether structure fills so much of the field that filaments form tangles."""
    return bool(video.truth.mean() >= DENSE_FROM)
