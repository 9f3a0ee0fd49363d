"""What the entries of an NDTiff dataset that are there say of its axes, before its first frame is taken."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dblink_live.errors import SourceError
from dblink_live.sources.ndtiff.index import AxisValue, IndexEntry
from dblink_live.sources.ndtiff.metadata import Metadata

TIME = "time"
_CHOSEN_AXES = ("channel", "position")
_MAX_ENTRIES = 20_000
_CAMERA_KEYS = ("Camera", "CameraName", "cameraName", "Core-Camera")


@dataclass(frozen=True)
class Survey:
    """What was found."""

    frame_axis: str
    """The axis along which frames follow each other: time, or the only other one that has several values."""
    is_settled: bool
    """Whether several images were there to tell that axis by."""
    twins: tuple[IndexEntry, IndexEntry] | None
    """Two images at the same axes, as two cameras are saved; a pair that is adjacent where there is one."""
    are_adjacent: bool
    """Whether the two follow each other; otherwise time may have started anew."""
    left_out: tuple[str, ...]
    """Axes beside it with several values, of which the first one is taken, in words."""


def survey_entries(entries: Iterable[IndexEntry], folder: Path) -> Survey:
    """Look through the entries of a dataset.

    Raises
    ------
    SourceError
        All images have one time, and several other axes have several values: which of them counts frames is unclear.
    """
    looked_at = list(itertools.islice(entries, _MAX_ENTRIES))
    values: dict[str, dict[AxisValue, None]] = {}
    for entry in looked_at:
        for axis, value in entry.axes.items():
            values.setdefault(axis, {})[value] = None
    n_seen, twins, are_adjacent = _find_twins(looked_at)
    long = {axis: found for axis, found in values.items() if axis not in (*_CHOSEN_AXES, TIME) and len(found) > 1}
    if len(values.get(TIME, ())) > 1 or not long or (TIME not in values and set(long) <= {"z"}):
        left_out = tuple(_left_out(axis, found) for axis, found in long.items())
        return Survey(TIME, n_seen > 1, twins, are_adjacent, left_out)
    axis = _only_axis(long, folder)
    return Survey(axis, True, twins, are_adjacent, ())


def _find_twins(entries: list[IndexEntry]) -> tuple[int, tuple[IndexEntry, IndexEntry] | None, bool]:
    """Return the number of different axes, two entries at the same ones, and whether those two are adjacent."""
    seen: dict[tuple[tuple[str, AxisValue], ...], IndexEntry] = {}
    twins: tuple[IndexEntry, IndexEntry] | None = None
    are_adjacent, last = False, None
    for entry in entries:
        key = tuple(sorted(entry.axes.items()))
        is_adjacent = key == last
        if key and key in seen and (twins is None or (is_adjacent and not are_adjacent)):
            twins, are_adjacent = (seen[key], entry), is_adjacent
        seen[key], last = entry, key
    return len(seen), twins, are_adjacent


def _only_axis(long: dict[str, dict[AxisValue, None]], folder: Path) -> str:
    """Return the only axis with several values. Raise SourceError if there are others, or if it holds names."""
    listed = ", ".join(f"{axis} ({len(found)} values)" for axis, found in long.items())
    if len(long) > 1:
        raise SourceError(
            f"expected frames along time in {folder}, found one time and the axes {listed}; save the frames along time"
        )
    ((axis, found),) = long.items()
    if not all(isinstance(value, int) for value in found):
        raise SourceError(
            f"expected frames along time in {folder}, found one time and names along {axis}: "
            f"{', '.join(map(str, list(found)[:4]))}; save the frames along time"
        )
    return axis


def camera_of(metadata: Metadata) -> str | None:
    """Return the name of the camera that took an image; None where its metadata do not state it."""
    return next((str(metadata[key]) for key in _CAMERA_KEYS if metadata.get(key)), None)


def _left_out(axis: str, found: dict[AxisValue, None]) -> str:
    return f"images have {len(found)} values along {axis}: only those of {axis}={next(iter(found))} are taken"
