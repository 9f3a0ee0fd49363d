"""File sets of OME and Micro-Manager: which page of which file is which frame, and what is not there.

Micro-Manager (``MMStack``) keeps an index of each file's planes behind its header; the OME-XML lists the planes of all
files of a set. Both are believed: the index for the planes that a file really has, the XML for the files that exist.
Frames keep the number of their time point, so one that the camera lost leaves a gap.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from dblink_live.errors import SourceError
from dblink_live.sources.files.ome import OmeImage, OmeSet, Plane, parse_ome
from dblink_live.sources.files.stack_format import StackOptions

_MAX_SEARCHED = 500
"""Files of a folder that are looked into for one that was renamed."""
_NUMBERED = re.compile(r"(?P<stem>.*_MMStack.*?)(?:_\d+)?(?P<end>(?:\.ome)?\.tiff?)", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """Where a frame lies."""

    file: Path
    page: int


@dataclass(frozen=True)
class FramePlan:
    """Which frames there are."""

    places: tuple[Place, ...]
    numbers: tuple[int, ...]
    """Number of each frame: its time point, counted from 0."""
    n_frames: int
    """One past the last number: of those that are there, or of those that lie in absent files."""
    channel: str | None = None
    position: str | None = None
    notes: tuple[str, ...] = ()


@dataclass
class _Found:
    """Planes of one image by (channel, slice, time)."""

    places: dict[tuple[int, int, int], Place] = field(default_factory=dict)
    absent: dict[tuple[int, int, int], str] = field(default_factory=dict)
    """Planes in files that are not there, by the name of the file."""
    twice: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, key: tuple[int, int, int], place: Place) -> None:
        if key in self.places and self.places[key] != place:
            self.twice.append(key)
        self.places[key] = place


def plan_frames(tif: tifffile.TiffFile, path: Path, n_pages: int, options: StackOptions) -> FramePlan | None:
    """Return the frames of the set that ``path`` belongs to; None where it is no set of OME or Micro-Manager.

    Raises
    ------
    SourceError
        Frames lie in files that are not there; several channels, slices or positions are in it and none is selected; or
        a time point is there twice.
    """
    summary, rows = _micromanager(tif)
    ome = parse_ome(tif.ome_metadata, n_pages) if tif.ome_metadata else None
    if ome is not None and ome.master is not None:
        ome = _of_master(path.parent / ome.master, ome) or ome
    images = ome.images if ome is not None else ()
    if not rows and not any(image.planes for image in images):
        return None
    chosen, position = _choose_image(ome, images, rows, path, options)
    image = images[chosen] if chosen < len(images) else None
    found = _collect(tif, path, ome, image, rows, chosen if len(images) > 1 or options.position else None)
    if not found.places:
        return None
    names = _channel_names(image, summary)
    return _along_time(found, names, position, summary, image, path, options)


def _micromanager(tif: tifffile.TiffFile) -> tuple[Mapping[str, Any], list[tuple[int, int, int, int]]]:
    """The summary, and (channel, slice, time, position) of each page where Micro-Manager's index lists all pages."""
    if not tif.is_micromanager or tif.is_ndtiff:
        return {}, []
    metadata = tif.micromanager_metadata or {}
    summary = metadata.get("Summary")
    index = metadata.get("IndexMap")
    if index is None or not len(index):
        return summary if isinstance(summary, Mapping) else {}, []
    rows = [(int(row[0]), int(row[1]), int(row[2]), int(row[3])) for row in np.asarray(index)]
    return summary if isinstance(summary, Mapping) else {}, rows


def _of_master(path: Path, reference: OmeSet) -> OmeSet | None:
    """The XML of the file that ``reference`` refers to, as the referring file would hold it."""
    if not path.is_file():
        return None
    with tifffile.TiffFile(path) as tif:
        whole = parse_ome(tif.ome_metadata or "", 1)
    return None if whole is None else OmeSet(reference.uuid, whole.images)


def _choose_image(
    ome: OmeSet | None,
    images: tuple[OmeImage, ...],
    rows: list[tuple[int, int, int, int]],
    path: Path,
    options: StackOptions,
) -> tuple[int, str | None]:
    """Index and name of the position: the one asked for, else the only one that has planes in this file."""
    names = [image.name for image in images]
    if options.position is not None:
        for index, name in enumerate(names or [str(i) for i in sorted({row[3] for row in rows})]):
            if options.position in (name, str(index)):
                return index, name
        listed = ", ".join(f"{i} ({name})" for i, name in enumerate(names)) or "one"
        raise SourceError(f"expected the position {options.position!r} in {path}, found {listed}")
    if len(images) <= 1:
        positions = sorted({row[3] for row in rows})
        if len(positions) > 1:
            raise SourceError(
                f"expected one position in {path}, found {len(positions)}: {', '.join(map(str, positions))}; "
                "choose one with ?position=NUMBER"
            )
        return 0, None
    own = {row[3] for row in rows}
    if not own:
        own = {index for index, image in enumerate(images) if any(_is_own(plane, ome, path) for plane in image.planes)}
    if len(own) == 1:
        (index,) = own
        if index < len(images):
            return index, names[index]
    listed = ", ".join(f"{index} ({name})" for index, name in enumerate(names))
    raise SourceError(f"expected one position in {path}, found {len(images)}: {listed}; choose one with ?position=NAME")


def _is_own(plane: Plane, ome: OmeSet | None, path: Path) -> bool:
    """Whether a plane lies in the file ``path``, whatever the file was called when it was written."""
    if plane.uuid is not None and ome is not None and ome.uuid is not None:
        return plane.uuid == ome.uuid
    return plane.file is None or plane.file == path.name


def _collect(
    tif: tifffile.TiffFile,
    path: Path,
    ome: OmeSet | None,
    image: OmeImage | None,
    rows: list[tuple[int, int, int, int]],
    position: int | None,
) -> _Found:
    found = _Found()
    own_rows = _rows_at(rows, position)
    listed = image.planes if image is not None else ()
    for page, key in own_rows:
        found.add(key, Place(path, page))
    others: dict[tuple[str | None, str | None], list[Plane]] = {}
    for plane in listed:
        if not _is_own(plane, ome, path):
            others.setdefault((plane.file, plane.uuid), []).append(plane)
        elif not own_rows:
            found.add((plane.channel, plane.z, plane.time), Place(path, plane.page))
    searched: dict[str, Path] | None = None
    for (name, uuid), planes in others.items():
        file = path.parent / name if name else None
        if file is None or not file.is_file():
            searched = _by_uuid(path) if searched is None else searched
            file = searched.get(uuid or "")
        if file is None:
            found.absent |= {(plane.channel, plane.z, plane.time): name or f"file {uuid}" for plane in planes}
            continue
        theirs = _rows_at(_rows_of(file), position)
        if theirs:
            for page, key in theirs:
                found.add(key, Place(file, page))
        else:
            for plane in planes:
                found.add((plane.channel, plane.z, plane.time), Place(file, plane.page))
    if not listed:
        for file in _numbered_siblings(path):
            for page, key in _rows_at(_rows_of(file), position):
                found.add(key, Place(file, page))
    return found


def _rows_at(rows: list[tuple[int, int, int, int]], position: int | None) -> list[tuple[int, tuple[int, int, int]]]:
    """Page and (channel, slice, time) of the planes at a position."""
    return [(page, row[:3]) for page, row in enumerate(rows) if position is None or row[3] == position]


def _rows_of(file: Path) -> list[tuple[int, int, int, int]]:
    try:
        with tifffile.TiffFile(file) as tif:
            return _micromanager(tif)[1]
    except (tifffile.TiffFileError, OSError, ValueError):
        return []


def _by_uuid(path: Path) -> dict[str, Path]:
    """Other files of the folder by their own identity: names change when files are copied."""
    found: dict[str, Path] = {}
    for file in sorted(path.parent.iterdir())[:_MAX_SEARCHED]:
        if file.suffix.lower() not in (".tif", ".tiff") or file == path:
            continue
        try:
            with tifffile.TiffFile(file) as tif:
                ome = parse_ome(tif.ome_metadata or "", 1)
        except (tifffile.TiffFileError, OSError, ValueError, SourceError):
            continue
        if ome is not None and ome.uuid is not None:
            found[ome.uuid] = file
    return found


def _numbered_siblings(path: Path) -> list[Path]:
    """The other files of a set without OME-XML: the same name with another number behind it."""
    own = _NUMBERED.fullmatch(path.name)
    if own is None:
        return []
    siblings = []
    for file in sorted(path.parent.iterdir()):
        theirs = _NUMBERED.fullmatch(file.name)
        if theirs is not None and file != path and theirs["stem"] == own["stem"]:
            siblings.append(file)
    return siblings


def _channel_names(image: OmeImage | None, summary: Mapping[str, Any]) -> tuple[str, ...]:
    named = summary.get("ChNames")
    if isinstance(named, list) and named:
        return tuple(str(name) for name in named)
    return image.channels if image is not None else ()


def _along_time(
    found: _Found,
    names: tuple[str, ...],
    position: str | None,
    summary: Mapping[str, Any],
    image: OmeImage | None,
    path: Path,
    options: StackOptions,
) -> FramePlan:
    """The frames of one channel along the one axis that is left."""
    keys = {**dict.fromkeys(found.places), **dict.fromkeys(found.absent)}
    channels = sorted({key[0] for key in keys})
    n_times = len({key[2] for key in keys})
    notes: list[str] = []
    frame_axis = 2
    channel = channels[0]
    if options.channel is not None:
        channel = _channel_index(options.channel, channels, names, path)
        keys = {key: None for key in keys if key[0] == channel}
    elif len(channels) > 4 and n_times == 1 and len({key[1] for key in keys}) == 1:
        # A single long channel axis is how some writers label any stack.
        frame_axis = 0
        notes.append(f"{len(channels)} frames along the channel axis")
    elif len(channels) > 1:
        listed = ", ".join(_name_of(index, names) for index in channels)
        raise SourceError(
            f"expected a stack along time alone in {path}, found the channels {listed}; choose one with ?channel=NAME"
        )
    slices = {key[1] for key in keys}
    if len(slices) > 1:
        if n_times > 1 or frame_axis == 0:
            raise SourceError(
                f"expected a stack along time alone in {path}, found the axes z={len(slices)}, t={n_times}; "
                "export one slice"
            )
        frame_axis = 1
        notes.append(f"{len(slices)} frames along z: there is one time point")
    _refuse_twice(found, keys, path)
    absent = {key[frame_axis]: found.absent[key] for key in keys if key in found.absent and key not in found.places}
    there = sorted((key[frame_axis], found.places[key]) for key in keys if key in found.places)
    _refuse_absent(absent, there, path, options)
    numbers = tuple(number for number, _ in there)
    n_frames = max(numbers[-1] + 1, max(absent, default=-1) + 1)
    notes += _notes(numbers, absent, frame_axis, summary, image, path)
    label = _name_of(channel, names) if frame_axis != 0 and names and len(channels) > 1 else None
    return FramePlan(tuple(place for _, place in there), numbers, n_frames, label, position, tuple(notes))


def _channel_index(wanted: str, channels: list[int], names: tuple[str, ...], path: Path) -> int:
    for index in channels:
        if wanted in (str(index), _name_of(index, names)):
            return index
    listed = ", ".join(_name_of(index, names) for index in channels)
    raise SourceError(f"expected the channel {wanted!r} in {path}, found {listed}")


def _name_of(index: int, names: tuple[str, ...]) -> str:
    return names[index] if index < len(names) and names[index] else str(index)


def _refuse_twice(found: _Found, keys: Mapping[tuple[int, int, int], None], path: Path) -> None:
    twice = [key for key in found.twice if key in keys]
    if twice:
        raise SourceError(
            f"expected one image per time point in {path}, found time point {twice[0][2]} (from 0) {len(twice) + 1} "
            "times or more, as two cameras or acquisitions at the same axes are saved; export one of them"
        )


def _refuse_absent(
    absent: Mapping[int, str], there: list[tuple[int, Place]], path: Path, options: StackOptions
) -> None:
    limit = options.n_frames if options.n_frames is not None else 1 << 62
    wanted = {number: name for number, name in absent.items() if number < limit}
    if not wanted or options.partial:
        return
    total = len(there) + len(absent)
    parts = [f"{n} of {total} frames lie in {name}, which is not there" for name, n in Counter(wanted.values()).items()]
    n_before = sum(number < min(wanted) for number, _ in there)
    rescue = f"take the {n_before} frames before them with tiff:{path}?frames={n_before}, or " if n_before else ""
    raise SourceError(
        f"expected every file of the set of {path}: {'; '.join(parts)}; copy it beside, or {rescue}count them as lost "
        f"with ?partial=true"
    )


def _notes(
    numbers: tuple[int, ...],
    absent: Mapping[int, str],
    frame_axis: int,
    summary: Mapping[str, Any],
    image: OmeImage | None,
    path: Path,
) -> list[str]:
    notes = []
    n_lost = numbers[-1] + 1 - len(numbers) - sum(number <= numbers[-1] for number in absent)
    if n_lost:
        notes.append(f"{n_lost} of {numbers[-1] + 1} time points were never written: counted as lost by the camera")
    if absent:
        notes.append(f"{len(absent)} frames lie in {', '.join(sorted(set(absent.values())))}, which is not there")
    frames = summary.get("Frames")
    planned = max(frames if isinstance(frames, int) else 0, image.sizes[2] if image is not None else 0)
    last = max(numbers[-1], max(absent, default=0)) + 1
    if frame_axis == 2 and planned > last:
        further = "" if image is not None and image.planes else ", or a further file of the set is not there"
        notes.append(f"{last} of {planned} planned frames are there: the acquisition was stopped early{further}")
    return notes
