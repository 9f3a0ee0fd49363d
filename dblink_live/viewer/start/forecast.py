"""How much disk a run will take, and whether this machine will hold it, before it starts."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dblink_live.store.forecast import forecast_bytes, forecast_raw_bytes
from dblink_live.types import Grid, Shape


@dataclass(frozen=True)
class DiskForecast:
    """What a run takes in an hour, and what there is."""

    bytes_per_hour: int
    bytes_free: int

    @property
    def hours(self) -> float:
        """Hours until the disk is full."""
        return self.bytes_free / max(self.bytes_per_hour, 1)

    @property
    def text(self) -> str:
        """The forecast in a line."""
        hours = f"{self.hours:.1f} h" if self.hours < 100 else "more than 100 h"
        return f"about {_size(self.bytes_per_hour)} per hour; {_size(self.bytes_free)} are free: {hours}"


def forecast_disk(
    folder: Path, shape: Shape, fps: float, *, pixel_size_nm: float, pitch_nm: float, window_frames: int, record: bool
) -> DiskForecast | None:
    """Return what an hour of a run takes; None where the disk cannot be asked.

    Parameters
    ----------
    folder
        The run folder to make.
    shape
        Of the camera's field, in pixels.
    fps
        Camera frames per second.
    pixel_size_nm, pitch_nm
        Sides of a camera pixel and of a pixel of the pictures.
    window_frames
        Frames per window.
    record
        Whether camera frames are kept, too.
    """
    existing = next((parent for parent in [folder, *folder.absolute().parents] if parent.exists()), None)
    if existing is None:
        return None
    try:
        free = shutil.disk_usage(existing).free
    except OSError:
        return None
    n_frames = round(fps * 3600)
    n_bytes = forecast_bytes(Grid.covering(shape, pixel_size_nm, pitch_nm), math.ceil(n_frames / window_frames))
    if record:
        n_bytes += forecast_raw_bytes(shape, "uint16", n_frames)
    return DiskForecast(n_bytes, free)


def rate_held(holds: Sequence[Any], shape: Shape) -> float | None:
    """Return the frames per second that this machine holds at ``shape``, from what ``doctor`` measured.

    The cost of a frame goes with its area; the nearest measured shape decides. None where nothing was measured.

    Examples
    --------
    >>> rate_held([{"shape": [128, 128], "fps": 100.0}, {"shape": [256, 256], "fps": 26.0}], Shape(512, 512))
    6.5
    """
    measured = [
        (float(row["shape"][0]) * float(row["shape"][1]), float(row["fps"]))
        for row in holds
        if isinstance(row, dict) and len(row.get("shape", ())) == 2 and row.get("fps")
    ]
    if not measured:
        return None
    area = shape.height * shape.width
    nearest, fps = min(measured, key=lambda pair: abs(math.log(pair[0] / area)))
    return fps * nearest / area


def machine_text(holds: Sequence[Any], shape: Shape, fps: float) -> str:
    """Return what this machine will make of a camera, in a line."""
    held = rate_held(holds, shape)
    if held is None:
        return "not measured on this machine yet"
    field = f"{shape.width} x {shape.height} pixels"
    if held >= fps:
        return f"this machine holds {field} at {held:.0f} frames per second: {fps:g} are no problem"
    return (
        f"{field} at {fps:g} frames per second need {fps / held:.1f} times what this machine holds ({held:.1f}): "
        "pictures will come late or be left out; choose a smaller field or a lower rate, and refine afterwards"
    )


def _size(n_bytes: int) -> str:
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.3g} {unit}"
    return f"{n_bytes / 1e3:.0f} kB"
