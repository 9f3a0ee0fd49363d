"""One TIFF per image: a folder as Micro-Manager's "separate image files" makes it, or files that a pattern names.

Micro-Manager 2 names them ``img_channel000_position000_time000000000_z000.tif``, version 1.4
``img_000000000_Default_000.tif`` (time, channel, slice). Other names are taken in the order of the last number in them
that differs.
"""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import tifffile

from dblink_live.errors import SourceError
from dblink_live.sources.files import tiff_log
from dblink_live.sources.files.stack_format import StackOptions
from dblink_live.sources.files.tiff_metadata import TiffFacts, facts_of_micromanager, tiff_facts
from dblink_live.sources.files.tiff_pages import check_page, describe, refuse_codec
from dblink_live.types import FrameArray, Segment

_MM2 = re.compile(r"img_channel(?P<channel>\d+)_position(?P<position>\d+)_time(?P<time>\d+)_z(?P<z>\d+)", re.IGNORECASE)
_MM1 = re.compile(r"img_(?P<time>\d+)_(?P<channel>.*)_(?P<z>\d+)", re.IGNORECASE)
_NUMBER = re.compile(r"\d+")
_SUFFIXES = (".tif", ".tiff")


@dataclass(frozen=True)
class _Image:
    file: Path
    time: int
    channel: str = "0"
    position: str = "0"
    z: int = 0


def is_pattern(path: Path) -> bool:
    """Return whether ``path`` names no file and may be a pattern of several."""
    return not path.exists() and any(sign in str(path) for sign in "*?[")


class ImageFiles:
    """The frames of a folder, or of a pattern, of TIFF files of one image each.

    Parameters
    ----------
    path
        The folder, or a pattern such as ``cell_*.tif``.
    options
        Which channel and position are taken.

    Raises
    ------
    SourceError
        There are no such files, they hold several channels, slices or positions of which none is selected, two have the
        same number, or they are no grey images of 8 to 16 bits.
    """

    def __init__(self, path: Path, options: StackOptions) -> None:
        self._path = path
        files = _files_of(path)
        images, is_timed = _named(files, path)
        images, self._channel, self._position = _selected(images, path, options)
        _refuse_slices_and_twins(images, path)
        images.sort(key=lambda image: image.time)
        first = images[0].time
        # Micro-Manager counts time points from 0; what other programs count from is not known.
        times = [image.time - (0 if is_timed else first) for image in images]
        self._images = images
        self.numbers: tuple[int, ...] | None = tuple(times) if is_timed else None
        self.n_frames = times[-1] + 1 if is_timed else len(times)
        self.notes = _notes(times, is_timed)
        self.segment = self._describe()

    def frame(self, index: int) -> FrameArray:
        """Image ``index`` [H, W] in native byte order; raises `SourceError` where it cannot be read."""
        file = self._images[index].file
        try:
            with tiff_log.captured(), tifffile.TiffFile(file) as tif:
                n_pages = len(tif.pages)
                data = tif.pages.first.asarray() if n_pages == 1 else None
        except Exception as error:
            refuse_codec(error, file)
            # tifffile and its decoders raise anything from struct.error to zlib.error on damaged files.
            raise SourceError(f"image {file} cannot be read ({error}); copy it again, or remove it") from error
        if data is None:
            raise SourceError(
                f"expected one image per file in {self._path}, found the stack {file.name} of {n_pages} pages; give "
                f"tiff:{file}"
            )
        if data.shape != tuple(self.segment.shape) or data.dtype.newbyteorder("=") != np.dtype(self.segment.dtype):
            raise SourceError(
                f"expected {file} to be {tuple(self.segment.shape)} {self.segment.dtype} like the first image, found "
                f"{data.shape} {data.dtype}; move it elsewhere"
            )
        return cast(FrameArray, np.ascontiguousarray(data, dtype=self.segment.dtype))

    def close(self) -> None:
        """Nothing is kept open."""

    def _describe(self) -> Segment:
        file = self._images[0].file
        try:
            with tiff_log.captured(), tifffile.TiffFile(file) as tif:
                page = tif.pages.first
                check_page(page, file)
                facts = tiff_facts(tif, file)
        except (tifffile.TiffFileError, OSError, ValueError) as error:
            raise SourceError(f"expected a TIFF file at {file}, found something else: {error}") from error
        if facts == TiffFacts():
            facts = _of_metadata(file.parent / "metadata.txt") or facts
        segment = describe(page, facts)
        return replace(segment, channel=self._channel, position=self._position)


def _files_of(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES and file.is_file())
        if not files:
            inner = sorted(folder.name for folder in path.iterdir() if folder.is_dir())
            hint = f"; it holds the folders {', '.join(inner[:8])}: give one of them" if inner else ""
            raise SourceError(f"expected TIFF files in the folder {path}, found none{hint}")
        if (path / "NDTiff.index").is_file():
            raise SourceError(f"expected one TIFF per image in {path}, found an NDTiff dataset; give ndtiff:{path}")
        return files
    # Path.glob takes no absolute pattern.
    files = sorted(Path(name) for name in glob.glob(str(path)) if Path(name).is_file())  # noqa: PTH207
    if not files:
        raise SourceError(f"expected TIFF files that match {path}, found none; check the pattern")
    return files


def _named(files: list[Path], path: Path) -> tuple[list[_Image], bool]:
    """Images by their names, and whether the names state time points."""
    found = [(_MM2.fullmatch(file.stem) or _MM1.fullmatch(file.stem)) for file in files]
    if all(found):
        images = []
        for file, match in zip(files, found, strict=True):
            stated = match.groupdict() if match is not None else {}
            channel = stated["channel"]
            images.append(
                _Image(
                    file,
                    int(stated["time"]),
                    str(int(channel)) if channel.isdigit() else channel,
                    str(int(stated.get("position") or 0)),
                    int(stated["z"]),
                )
            )
        return images, True
    if any(found):
        strange = next(file.name for file, match in zip(files, found, strict=True) if not match)
        raise SourceError(
            f"expected one TIFF per image in {path}, found {strange} among files that Micro-Manager named; move it "
            "elsewhere, or give a pattern"
        )
    multiple = [file.name for file in files if "_MMStack" in file.name or "_NDTiffStack" in file.name]
    if multiple:
        raise SourceError(
            f"expected one TIFF per image in {path}, found the stack {multiple[0]}; give tiff:{path / multiple[0]}"
        )
    return _numbered(files, path), False


def _numbered(files: list[Path], path: Path) -> list[_Image]:
    if len(files) == 1:
        return [_Image(files[0], 0)]
    numbers = [[int(number) for number in _NUMBER.findall(file.stem)] for file in files]
    if len({_NUMBER.sub("#", file.stem) for file in files}) > 1 or not numbers[0]:
        names = ", ".join(file.name for file in files[:4])
        raise SourceError(
            f"expected one TIFF per image in {path}, named alike but for a number, found {names}; give a pattern such "
            "as tiff:FOLDER/name_*.tif"
        )
    differing = [column for column in range(len(numbers[0])) if len({row[column] for row in numbers}) > 1]
    if len(differing) > 1:
        names = ", ".join(file.name for file in files[:3])
        raise SourceError(
            f"expected names in {path} that differ in one number, the frame, found {len(differing)} that differ: "
            f"{names}; give a pattern that fixes the others"
        )
    column = differing[0] if differing else 0
    return [_Image(file, row[column]) for file, row in zip(files, numbers, strict=True)]


def _selected(images: list[_Image], path: Path, options: StackOptions) -> tuple[list[_Image], str | None, str | None]:
    labels: dict[str, str | None] = {}
    for axis in ("channel", "position"):
        values = sorted({str(getattr(image, axis)) for image in images})
        wanted = getattr(options, axis)
        if wanted is None:
            if len(values) > 1:
                raise SourceError(
                    f"expected one {axis} in {path}, found {len(values)}: {', '.join(values)}; choose one with "
                    f"?{axis}={values[0]}"
                )
            labels[axis] = values[0] if values[0] != "0" else None
            continue
        if wanted not in values:
            raise SourceError(f"expected the {axis} {wanted!r} in {path}, found {', '.join(values)}")
        images = [image for image in images if str(getattr(image, axis)) == wanted]
        labels[axis] = wanted
    return images, labels["channel"], labels["position"]


def _refuse_slices_and_twins(images: list[_Image], path: Path) -> None:
    slices = {image.z for image in images}
    if len(slices) > 1:
        raise SourceError(
            f"expected a stack along time alone in {path}, found {len(slices)} slices (z); give a pattern that fixes "
            "one"
        )
    times = [image.time for image in images]
    if len(set(times)) < len(times):
        twice = next(time for time in times if times.count(time) > 1)
        names = ", ".join(image.file.name for image in images if image.time == twice)
        raise SourceError(f"expected one image per time point in {path}, found {names}; give a pattern")


def _notes(times: list[int], is_timed: bool) -> tuple[str, ...]:
    n_absent = times[-1] + 1 - len(times)
    if not n_absent:
        return ()
    what = (
        "counted as lost by the camera" if is_timed else "the images that are there are taken as following each other"
    )
    return (f"{n_absent} numbers between the files are not there: {what}",)


def _of_metadata(file: Path) -> TiffFacts | None:
    """Micro-Manager's metadata.txt, which lies beside the images: one JSON object with one entry per image."""
    try:
        content = json.loads(file.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, Mapping):
        return None
    summary = content.get("Summary")
    images = [value for key, value in content.items() if key != "Summary" and isinstance(value, Mapping)]
    merged = {**(summary if isinstance(summary, Mapping) else {}), **(images[0] if images else {})}
    return facts_of_micromanager(merged)
