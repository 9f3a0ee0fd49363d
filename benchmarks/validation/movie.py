"""Movies of the experiments: the panels of a figure, moment by moment."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from dblink_live.report.mp4 import Mp4Encoder, can_make_movies


def write_movie(pictures: Iterable[Image.Image], path: Path, pictures_per_s: int) -> None:
    """Write ``pictures`` of one size as an MP4; without PyAV there is none, and a line says so."""
    if not can_make_movies():
        print(f"no {path.name}: PyAV is not installed; pip install dblink-live[report]", file=sys.stderr)
        return
    encoder: Mp4Encoder | None = None
    for picture in pictures:
        width, height = (side - side % 2 for side in picture.size)
        encoder = encoder or Mp4Encoder((width, height), pictures_per_s)
        encoder.add(np.asarray(picture.crop((0, 0, width, height))))
    if encoder is not None:
        path.write_bytes(encoder.finish())
