"""TIFF stacks: plain, ImageJ, OME and Micro-Manager ones, either byte order, one page a frame.

tifffile finds the pages; this module insists that they are a stack of grey camera frames, and notices where one breaks
off. (A TIFF is a chain of pages, and tifffile ends a broken chain without an error, so the links are followed here.)
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import tifffile

from dblink_live.errors import DblinkError, SourceError
from dblink_live.sources.files import tiff_log
from dblink_live.sources.files.stack_format import EVERYTHING, StackFormat, StackOptions
from dblink_live.sources.files.tiff_blocks import (
    Place,
    find_blocks,
    join_blocks,
    lists_only_its_first_page,
    page_at,
    unlisted_bytes,
)
from dblink_live.sources.files.tiff_images import ImageFiles, is_pattern
from dblink_live.sources.files.tiff_metadata import tiff_facts
from dblink_live.sources.files.tiff_pages import check_page, count_whole_pages, describe, refuse_codec
from dblink_live.sources.files.tiff_set import FramePlan, plan_frames
from dblink_live.sources.replay import Stack
from dblink_live.types import FrameArray, Segment

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NOT_WHOLE = "the file is damaged or was not copied whole: copy it again"
_MAX_OPEN = 8
"""Files of a set that are kept open."""
_SIGNED_OFFSET = -32768.0
"""ImageJ stores signed counts this much higher, and says so in its calibration."""


def open_tiff(path: Path, options: StackOptions = EVERYTHING) -> Stack:
    """Open a file, a folder or a pattern of files.

    Raises
    ------
    SourceError
        There is nothing, or no stack of grey frames of 8 to 16 bits along time alone; or frames lie in absent files.
    """
    if path.is_dir() or is_pattern(path):
        return ImageFiles(path, options)
    with tiff_log.captured() as messages:
        tif = _open_tiff(path)
        try:
            n_pages, is_broken = count_whole_pages(tif)
            plan = None if is_broken or not n_pages else plan_frames(tif, path, n_pages, options)
            if plan is not None:
                return TiffSet(tif, path, plan)
            if options.position is not None:
                raise SourceError(f"expected no position for {path}, which states none; leave ?position= out")
            stack = TiffStack(path, options.channel)
            stack.notes = (*stack.notes, *tiff_log.summary(messages))
            tif.close()
            return stack
        except DblinkError:
            tif.close()
            raise
        except Exception as error:
            tif.close()
            # tifffile raises anything from TypeError to struct.error on damaged descriptions.
            raise SourceError(f"the description of {path} cannot be read ({error!r}); {_NOT_WHOLE}") from error


class TiffSet:
    """The frames of a file set of OME or Micro-Manager.

    Parameters
    ----------
    tif
        The file that was named, open; it is closed with the rest.
    path
        Its path.
    plan
        Where the frames are.

    Raises
    ------
    SourceError
        The pages are not grey frames of 8 to 16 bits.
    """

    def __init__(self, tif: tifffile.TiffFile, path: Path, plan: FramePlan) -> None:
        self._places = plan.places
        self._open = {path: tif}
        self.numbers: tuple[int, ...] | None = plan.numbers
        self.n_frames, self.notes = plan.n_frames, plan.notes
        check_page(tif.pages.first, path)
        segment = describe(tif.pages.first, tiff_facts(tif, path))
        self.segment: Segment = replace(segment, channel=plan.channel, position=plan.position)

    def frame(self, index: int) -> FrameArray:
        """Frame ``index`` of those that are there [H, W] in native byte order.

        Raises
        ------
        SourceError
            The page is missing, cut off, damaged or of another shape; the message names it, counted from 1.
        """
        place = self._places[index]
        try:
            data = self._file(place.file).pages[place.page].asarray()
        except Exception as error:
            refuse_codec(error, place.file)
            # tifffile and its decoders raise anything from struct.error to zlib.error on damaged pages.
            raise SourceError(
                f"page {place.page + 1} of {place.file} cannot be read ({error}); {_NOT_WHOLE}"
            ) from error
        return _checked(data, self.segment, place.page, place.file)

    def close(self) -> None:
        """Close every file."""
        for tif in self._open.values():
            tif.close()
        self._open.clear()

    def _file(self, path: Path) -> tifffile.TiffFile:
        if path not in self._open:
            if len(self._open) >= _MAX_OPEN:
                self._open.pop(next(iter(self._open))).close()
            with tiff_log.captured():
                self._open[path] = tifffile.TiffFile(path)
        return self._open[path]


class TiffStack:
    """The frames of a TIFF file that belongs to no set.

    Parameters
    ----------
    path
        The file.
    channel
        Number of the channel that is taken, counted from 0, of a stack along time and channels.

    Raises
    ------
    SourceError
        No such file, not a TIFF, or its pages are not grey frames of 8 to 16 bits along one axis; or it has no such
        channel.
    """

    def __init__(self, path: Path, channel: str | None = None) -> None:
        self._path = path
        self._channel = channel
        self.notes: tuple[str, ...] = ()
        self._tif = _open_tiff(path)
        try:
            self._places: Sequence[Place] = []
            self._find_frames()
            self.numbers: tuple[int, ...] | None = None
            self.segment = describe(self._tif.pages.first, tiff_facts(self._tif, path))
            if channel is not None:
                self.segment = replace(self.segment, channel=channel)
            if self._tif.pages.first.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
                self.notes += ("its counts are stated to be inverted (0 is white): they are taken as they are stored",)
            self._offset = self._signed_offset()
            self._note_unlisted_bytes()
        except BaseException:
            self._tif.close()
            raise

    def frame(self, index: int) -> FrameArray:
        """Frame ``index`` [H, W] in native byte order.

        Raises
        ------
        SourceError
            The page is missing, cut off, damaged or of another shape; the message names it, counted from 1.
        """
        try:
            data = self._read(index)
        except Exception as error:
            refuse_codec(error, self._path)
            # tifffile and its decoders raise anything from struct.error to zlib.error on damaged pages.
            rescue = f", or replay the {index} frames before it with frames={index}" if index else ""
            raise SourceError(
                f"page {index + 1} of {self._n_expected} in {self._path} cannot be read ({error}); {_NOT_WHOLE}{rescue}"
            ) from error
        frame = _checked(data, self.segment, index, self._path)
        if not self._offset:
            return frame
        if int(frame.min()) < self._offset:
            raise SourceError(
                f"expected counts of 0 or more on page {index + 1} of {self._path}, found "
                f"{int(frame.min()) - self._offset} by ImageJ's calibration of signed 16 bits; save the raw counts"
            )
        return cast(FrameArray, frame - np.uint16(self._offset))

    def close(self) -> None:
        self._tif.close()

    def _find_frames(self) -> None:
        """Decide which pages are the frames, and how many there should be."""
        tif = self._tif
        n_pages, is_broken = count_whole_pages(tif)
        if not n_pages:
            raise SourceError(f"page 1 of {self._path} cannot be read (its description is cut off); {_NOT_WHOLE}")
        check_page(tif.pages.first, self._path)
        blocks = find_blocks(tif, n_pages)
        if len(blocks) > 1:
            self._places, note = join_blocks(blocks, tif, self._path, n_pages)
            self.notes = (note,)
            self.n_frames = len(self._places) + (is_broken and self._places[-1] is not None)
            self._n_expected = f"at least {self.n_frames}" if is_broken else f"{self.n_frames}"
            return
        try:
            series = tif.series
        except Exception:
            # A damaged page table. The pages before the damage are still there one by one.
            series = []
        if len(series) > 1:
            listed = ", ".join(str(one.shape) for one in series[:4])
            raise SourceError(
                f"expected one stack in {self._path}, found {len(series)} series ({listed}); export one position or "
                "channel"
            )
        first = tif.pages[0]
        n_declared = int((tif.imagej_metadata or {}).get("images", 0))
        pages: list[Place] = [page_at(tif, index) for index in range(n_pages)]
        dataoffset = None
        if series:
            stack = series[0]
            self._refuse_what_is_no_stack(stack)
            self._note_axis(stack)
            n_declared = max(n_declared, int(np.prod(stack.shape[:-2], dtype=np.int64)))
            dataoffset = stack.dataoffset
            if lists_only_its_first_page(tif) and n_pages > 1:
                raise SourceError(
                    f"expected one stack in {self._path}, found {n_declared} frames behind its first page and "
                    f"{n_pages - 1} pages that are described otherwise; export one stack"
                )
            if len(stack.pages) > n_pages and not is_broken:
                # An OME set goes on in further files; pages may be missing from it.
                pages = list(stack.pages)
        if dataoffset is None and n_pages == 1 and first.is_contiguous and first.compression == 1:
            dataoffset = first.dataoffsets[0]
        if n_declared > len(pages) and dataoffset is not None:
            # ImageJ above 4 GB, and some writers always: one page that all the frames follow without a gap.
            n_bytes = int(np.prod(first.shape[-2:])) * np.dtype(first.dtype).itemsize
            self._places = range(int(dataoffset), int(dataoffset) + n_declared * n_bytes, n_bytes)
            self.n_frames = n_declared
            if is_broken:
                self.notes += (
                    f"the list of pages breaks off after page {n_pages}: the {n_declared} frames that its description "
                    "states are read, and any behind them are lost",
                )
        else:
            self._places = pages
            # One more than there are: the page at which a broken chain breaks off, which then reports itself.
            self.n_frames = max(n_declared, len(pages) + is_broken)
        known = max(n_declared, len(pages)) if n_declared > len(pages) or not is_broken else None
        if self._channel is not None:
            self._take_channel(series[0] if series else None, self._channel)
            known = self.n_frames
        self._n_expected = f"{known}" if known is not None else f"at least {self.n_frames}"

    def _note_unlisted_bytes(self) -> None:
        """Say so where as much as a frame lies behind everything that is listed: the list of pages may break off."""
        shape = self.segment.shape
        n_bytes = shape.height * shape.width * np.dtype(self.segment.dtype).itemsize
        left = unlisted_bytes(self._tif, self._places, n_bytes)
        if left >= n_bytes:
            self.notes = (
                *self.notes,
                f"{left} bytes at the end belong to no page, as much as {left // n_bytes} frames: is the file whole?",
            )

    def _signed_offset(self) -> int:
        """What ImageJ's calibration says is to be taken off the stored counts."""
        header = self._tif.imagej_metadata or {}
        c0, c1 = header.get("c0"), header.get("c1", 1.0)
        if c0 is None or self.segment.dtype != "uint16":
            return 0
        if float(c0) == _SIGNED_OFFSET and float(c1) == 1.0:
            self.notes = (*self.notes, "signed 16 bits by ImageJ's calibration: 32768 is taken off every count")
            return int(-_SIGNED_OFFSET)
        self.notes = (*self.notes, f"ImageJ's calibration {float(c0):g} + {float(c1):g} x count is not applied")
        return 0

    def _take_channel(self, stack: tifffile.TiffPageSeries | None, channel: str) -> None:
        """Keep the frames of one channel of a stack along channels and one more axis."""
        axes, shape = (stack.axes[:-2], stack.shape[:-2]) if stack is not None else ("", ())
        n = shape[axes.index("C")] if "C" in axes else 1
        if n == 1:
            raise SourceError(f"expected no channel for {self._path}, which states none; leave ?channel= out")
        if channel not in {str(index) for index in range(n)}:
            raise SourceError(f"expected a channel from 0 to {n - 1} in {self._path}, found {channel!r}")
        total = int(np.prod(shape, dtype=np.int64))
        chosen = np.take(np.arange(total).reshape(shape), int(channel), axis=axes.index("C")).ravel()
        n_there = len(self._places)
        self._places = [self._places[index] if index < n_there else None for index in chosen.tolist()]
        self.n_frames = len(self._places)

    def _note_axis(self, stack: tifffile.TiffPageSeries) -> None:
        long = [axis for axis, n in zip(stack.axes, stack.shape, strict=True) if axis in "ZC" and n > 1]
        if long and self._channel is None:
            name = {"Z": "z", "C": "the channel axis"}[long[0]]
            self.notes += (f"frames are taken along {name}: no other axis has more than one",)

    def _refuse_what_is_no_stack(self, stack: tifffile.TiffPageSeries) -> None:
        extra = [(axis, n) for axis, n in zip(stack.axes, stack.shape, strict=True) if axis not in "YX" and n > 1]
        if self._channel is not None:
            extra = [(axis, n) for axis, n in extra if axis != "C"]
        # A single channel axis is how some writers label any stack; of two to four it does mean colours.
        if len(extra) > 1 or (extra and extra[0][0] == "C" and extra[0][1] <= 4):
            axes = ", ".join(f"{axis}={n}" for axis, n in extra)
            raise SourceError(
                f"expected a stack along time alone in {self._path}, found the axes {axes}; "
                + ("choose one with ?channel=NUMBER" if "C" in stack.axes else "export one slice and position")
            )

    def _read(self, index: int) -> FrameArray:
        if index >= len(self._places):
            raise SourceError("the file breaks off before it")
        place = self._places[index]
        if place is None:
            raise SourceError("it is missing from the file")
        if isinstance(place, Exception):
            raise SourceError(f"its description is damaged: {place}") from place
        if not isinstance(place, int):
            return cast(FrameArray, place.asarray())
        shape = self.segment.shape
        dtype = np.dtype(self.segment.dtype).newbyteorder(self._tif.byteorder)
        n_bytes = shape.height * shape.width * dtype.itemsize
        handle = self._tif.filehandle
        handle.seek(place)
        content = handle.read(n_bytes)
        if len(content) < n_bytes:
            raise SourceError(f"expected {n_bytes} bytes, found {len(content)}")
        return cast(FrameArray, np.frombuffer(content, dtype).reshape(shape))


def _open_tiff(path: Path) -> tifffile.TiffFile:
    if not path.exists():
        raise SourceError(f"expected a TIFF stack, found nothing at {path}; check the path")
    if path.is_dir():
        raise SourceError(f"expected a TIFF file, found the folder {path}; give tiff:{path}, or the file in it")
    try:
        return tifffile.TiffFile(path)
    except (tifffile.TiffFileError, OSError, struct.error) as error:
        with path.open("rb") as file:
            is_tiff = file.read(4) in _MAGIC
        if is_tiff:
            raise SourceError(f"page 1 of {path} cannot be read ({error}); {_NOT_WHOLE}") from error
        raise SourceError(f"expected a TIFF file at {path}, found something else: {error}") from error
    except Exception as error:
        # Its first page is read at once, and raises anything where it is damaged.
        raise SourceError(f"page 1 of {path} cannot be read ({error!r}); {_NOT_WHOLE}") from error


def _checked(data: Any, segment: Segment, page: int, path: Path) -> FrameArray:
    if data.shape != tuple(segment.shape) or data.dtype.newbyteorder("=") != np.dtype(segment.dtype):
        raise SourceError(
            f"expected page {page + 1} of {path} to be {tuple(segment.shape)} {segment.dtype} "
            f"like the first, found {data.shape} {data.dtype}; split the file"
        )
    return cast(FrameArray, np.ascontiguousarray(data, dtype=segment.dtype))


FORMAT = StackFormat(
    scheme="tiff",
    name="TIFF",
    suffixes=(".tif", ".tiff"),
    open=open_tiff,
    contents=("*.tif", "*.tiff"),
    options=("channel", "position", "partial"),
    versions="classic and BigTIFF, either byte order, not compressed or by deflate, LZMA or "
    "PackBits, others (LZW, JPEG...) with the package `imagecodecs`; plain, appended page by page or "
    "stack by stack, ImageJ (above 4 GB and signed 16 bits, too), OME-TIFF of 2016-06, Micro-Manager's MMStack in one "
    "file or several, and one TIFF per image: a folder or a pattern",
    refused="colour; floating point and 32 bits; appended stacks that differ in size, type or description; several "
    "channels or positions of which none is selected; several slices; a time point that is there twice; frames in "
    "absent files (`partial=true` counts them as lost)",
    example="stack.tif",
)
