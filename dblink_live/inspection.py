"""What a file or folder is, what it states, what is missing or odd in it, and the command that would use it.

The command line (``inspect``) and the start page show the same text.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from dblink_live.analysis.trust.sample import sample_of_positions
from dblink_live.camera.recording_facts import MIN_FRAMES, estimate_camera, middle_of
from dblink_live.errors import CalibrationError, DblinkError, SourceError
from dblink_live.interfaces import FrameSource
from dblink_live.pixel_sizes import is_plausible, suggestion
from dblink_live.sources import SourceSpec, open_source, parse_source
from dblink_live.sources.files.stack_format import format_of_path, format_of_scheme
from dblink_live.tables import LocalizationTable, format_of_content, read_localizations
from dblink_live.text.shell import quoted
from dblink_live.types import CameraRecipe, Frame, FrameArray, Gap, GapCause, Segment

N_FRAMES = 200
"""Frames of a recording that are looked at."""
DEFAULT_WINDOW_FRAMES = 10
MAX_SIDE = 256
"""Side of the middle of the field that is looked at, in pixels."""
_JOURNAL = "journal.sqlite"
_IDLE_S = 2.0
"""A dataset that has not grown for so long is taken as it is."""


@dataclass(frozen=True)
class Inspection:
    """What was found."""

    path: str
    kind: str
    """run, table, recording, or what else it is."""
    format: str
    facts: dict[str, Any] = field(default_factory=dict)
    """By what they are called, in the order in which they are shown."""
    odd: tuple[str, ...] = ()
    """What is missing or odd, a sentence each."""
    problem: str | None = None
    """Why it cannot be used as it is; None where it can."""
    command: str | None = None
    """What would use it."""

    def to_plain(self) -> dict[str, object]:
        """Return the figures as JSON holds them."""
        return {
            "path": self.path,
            "kind": self.kind,
            "format": self.format,
            **{name.replace(" ", "_"): value for name, value in self.facts.items()},
            "odd": list(self.odd),
            "problem": self.problem,
            "command": self.command,
        }

    def text(self) -> str:
        """Return what a person reads, one fact per line."""
        shown = {"what": f"{self.kind}, {self.format}" if self.format else self.kind, **self.facts}
        lines = [f"{name:<16} {_shown(value)}" for name, value in shown.items()]
        lines += [f"{'odd':<16} {sentence}" for sentence in self.odd]
        lines += [f"{'problem':<16} {self.problem}"] if self.problem else []
        lines += [f"{'use it by':<16} {self.command}"] if self.command else []
        return "\n".join(lines)


def inspect_path(text: str | Path) -> Inspection:
    """Return what lies at a path, or what a source such as ``tiff:stack.tif?channel=1`` names.

    Raises
    ------
    SourceError
        Nothing lies there.
    """
    text = str(text)
    path = Path(text)
    if (path / _JOURNAL).is_file():
        return Inspection(text, "run folder", "", command=f"dblink-live view {quoted(text)}")
    source = _source_of(path, text)
    if source is not None:
        return _inspect_recording(text, source)
    if not path.exists():
        raise SourceError(f"expected a file or folder, found nothing at {text}; check the path")
    if path.is_dir():
        inner = ", ".join(sorted(item.name for item in path.iterdir())[:8]) or "nothing"
        return Inspection(
            text, "folder", "", problem=f"expected a recording, a table or a run, found a folder of {inner}"
        )
    if path.suffix.lower() == ".cfg":
        return Inspection(
            text, "Micro-Manager configuration", "", command=f"dblink-live run --source {quoted(text)} --out cell.run"
        )
    return _inspect_table(path)


def _source_of(path: Path, text: str) -> str | None:
    """The source specification of a recording; None where it is none."""
    if not path.exists():
        return text if format_of_scheme(text.partition(":")[0]) is not None else None
    found = format_of_path(path)
    if found is None:
        return None
    # An empty list of options: a question mark in the path then begins none.
    return f"{found.scheme}:{text}{'?' if '?' in text else ''}"


def _inspect_recording(text: str, source: str) -> Inspection:
    found = format_of_scheme(source.partition(":")[0])
    name = found.name if found is not None else ""
    try:
        opened = open_source(_without_waiting(source), launch=_no_camera)
        try:
            segment = opened.open()
            frames, n_lost = _first_frames(opened)
            notes = tuple(getattr(opened, "notes", ()))
            n_frames = opened.n_frames_expected
        finally:
            opened.close()
    except DblinkError as error:
        return Inspection(text, "recording", name, problem=str(error))
    odd = list(notes)
    facts: dict[str, Any] = {
        "frames": n_frames if n_frames is not None else f"at least {len(frames)}",
        "height, width": [segment.shape.height, segment.shape.width],
        "pixels": segment.dtype,
        "bit depth": _bit_depth(segment, frames),
        "channel": segment.channel,
        "position": segment.position,
        "pixel size nm": segment.pixel_size_nm,
        "pixel size from": "the file" if segment.pixel_size_nm else "nowhere: give --pixel-size-nm",
        "exposure ms": segment.exposure_ms,
        "frame interval ms": segment.frame_interval_ms,
        "binning": segment.binning,
        "counts": [int(frames.min()), int(np.median(frames)), int(frames.max())] if len(frames) else None,
    }
    if segment.pixel_size_nm is not None and not is_plausible(segment.pixel_size_nm):
        odd.append(f"{segment.pixel_size_nm:g} nm is no camera pixel: {suggestion(segment.pixel_size_nm)}")
    if n_lost:
        odd.append(f"{n_lost} of the first {N_FRAMES} frames are missing")
    odd += _odd_counts(frames, segment)
    facts |= _estimated(frames)
    size = "" if segment.pixel_size_nm and is_plausible(segment.pixel_size_nm) else " --pixel-size-nm NM"
    run_name = f"{Path(text).stem}.run"
    return Inspection(
        text,
        "recording",
        name,
        {label: value for label, value in facts.items() if value is not None},
        tuple(odd),
        command=f"dblink-live run --source {quoted(source)} --out {quoted(run_name)}{size}",
    )


def _without_waiting(source: str) -> SourceSpec:
    """The source, which is taken for finished soon after it has stopped to grow."""
    spec = parse_source(source)
    found = format_of_scheme(spec.scheme)
    return replace(spec, idle_s=spec.idle_s or _IDLE_S) if found is not None and "idle_s" in found.options else spec


def read_excerpt(source: str, n_frames: int = N_FRAMES) -> tuple[FrameArray, Segment]:
    """Return the middle of the first frames [T, H, W] of a recording, and its segment.

    Raises
    ------
    SourceError
        It cannot be read.
    """
    with quiet_readers():
        opened = open_source(source, launch=_no_camera)
        try:
            segment = opened.open()
            return _first_frames(opened, n_frames)[0], segment
        finally:
            opened.close()


@contextmanager
def quiet_readers() -> Iterator[None]:
    """Keep what readers log of a recording from being said, where it is said elsewhere."""
    logger = logging.getLogger("dblink_live.sources")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _first_frames(source: FrameSource, n_frames: int = N_FRAMES) -> tuple[FrameArray, int]:
    """The middle of the first frames, and how many are missing between them."""
    found: list[FrameArray] = []
    n_lost = 0
    while len(found) < n_frames and not source.is_finished:
        events = source.read(min(64, n_frames - len(found)), timeout_s=1.0)
        if not events and not source.is_finished:
            break
        for event in events:
            if isinstance(event, Segment):
                return _stacked(found), n_lost
            if isinstance(event, Gap) and event.cause is GapCause.CAMERA:
                n_lost += event.count or 0
            if isinstance(event, Frame):
                found.append(middle_of(event.data, MAX_SIDE))
    return _stacked(found), n_lost


def _stacked(frames: list[FrameArray]) -> FrameArray:
    return cast(FrameArray, np.stack(frames) if frames else np.zeros((0, 1, 1), np.uint16))


def _bit_depth(segment: Segment, frames: FrameArray) -> str:
    stated = segment.bit_depth
    used = int(frames.max()).bit_length() if len(frames) else 0
    return f"{stated} as stated, {used} used" if stated else f"not stated, {used} used"


def _odd_counts(frames: FrameArray, segment: Segment) -> list[str]:
    if not len(frames):
        return ["no frame could be read within a second"]
    odd = []
    full = 2 ** (segment.bit_depth or 8 * np.dtype(segment.dtype).itemsize) - 1
    flat = frames.reshape(len(frames), -1)
    n_even = int((flat.max(axis=1) == flat.min(axis=1)).sum())
    n_saturated = int((flat.max(axis=1) >= full).sum())
    if n_even:
        odd.append(f"{n_even} of {len(frames)} frames have the same count in every pixel")
    if n_saturated:
        odd.append(f"{n_saturated} of {len(frames)} frames have saturated pixels")
    return odd


def _estimated(frames: FrameArray) -> dict[str, Any]:
    """A guess of offset and gain, or of the offset alone, marked as what it is."""
    if len(frames) >= MIN_FRAMES:
        try:
            return {"camera": f"{estimate_camera(frames).describe()} (without EM gain)"}
        except CalibrationError:
            pass
    if not len(frames):
        return {}
    return {"offset guess": f"below {int(np.percentile(frames, 1))} ADU, the darkest hundredth of all counts"}


def _inspect_table(path: Path) -> Inspection:
    command = f"dblink-live reconstruct {quoted(str(path))} --out {quoted(f'{path.stem}.ome.zarr')}"
    try:
        found = format_of_content(path)
    except DblinkError as error:
        return Inspection(str(path), "unknown file", "", problem=str(error))
    try:
        table = read_localizations(path, channel="all")
    except CalibrationError:
        # In pixels of unknown size: any plausible one shows the rest.
        try:
            table = read_localizations(path, 100.0, channel="all")
        except DblinkError as error:
            return Inspection(str(path), "localization table", found.name, problem=str(error))
        return _described(path, found.name, table, "nowhere: give --pixel-size-nm", f"{command} --pixel-size-nm NM")
    except DblinkError as error:
        return Inspection(str(path), "localization table", found.name, problem=str(error))
    origin = "the file" if table.is_pixel_size_known else "not needed: positions are in nm"
    return _described(path, found.name, table, origin, command)


def _described(path: Path, name: str, table: LocalizationTable, origin: str, command: str) -> Inspection:
    problem = _problem_of_reading(path, table)
    odd = [note for note in table.notes if "kept together" not in note]
    odd += [] if len(table) else ["there is no row"]
    if problem is not None and "--channel" in problem:
        command += " --channel VALUE"
    facts = {**_table_facts(table), "pixel size from": origin, **_window_advice(table)}
    kept = {label: value for label, value in facts.items() if value is not None}
    return Inspection(str(path), "localization table", name, kept, tuple(odd), problem, command)


def _problem_of_reading(path: Path, table: LocalizationTable) -> str | None:
    """Why the table cannot be read without a choice of channel, in words; None where it can."""
    try:
        read_localizations(path, table.pixel_size_nm if table.is_pixel_size_known else None)
    except SourceError as error:
        return str(error)
    except CalibrationError:
        pass
    return None


def _table_facts(table: LocalizationTable) -> dict[str, Any]:
    """Return what a table holds by label; None for what is unknown."""
    facts: dict[str, Any] = {"localizations": len(table)}
    if len(table):
        frames = table["frame"]
        nm = [(float(part(table[axis])) + 0.5) * table.pixel_size_nm for axis in "xy" for part in (np.min, np.max)]
        facts |= {
            "frames": [int(frames[0]), int(frames[-1])],
            "x um": [round(nm[0] / 1e3, 3), round(nm[1] / 1e3, 3)],
            "y um": [round(nm[2] / 1e3, 3), round(nm[3] / 1e3, 3)],
        }
    return facts | {
        "columns": list(table.known_columns()),
        "unused columns": list(table.unused) or None,
        "field": list(table.shape) if table.shape else None,
        "pixel size nm": table.pixel_size_nm if table.is_pixel_size_known else None,
    }


def _window_advice(table: LocalizationTable) -> dict[str, Any]:
    """How many frames per window suit, from the localizations alone."""
    y_nm, x_nm = ((np.asarray(table[axis], np.float64) + 0.5) * table.pixel_size_nm for axis in "yx")
    advice = sample_of_positions(np.asarray(table["frame"]), y_nm, x_nm, DEFAULT_WINDOW_FRAMES).advice
    return {} if advice is None else {"window": f"{advice.frames} frames advised: {advice.reason}"}


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(_shown(item) for item in value)
    return str(value)


def _no_camera(recipe: CameraRecipe) -> FrameSource:
    raise SourceError("expected a recording, found a camera")
