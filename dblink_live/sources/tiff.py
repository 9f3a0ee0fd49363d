"""TIFF stacks: plain, ImageJ, OME and Micro-Manager ones, either byte order, one page a frame.

tifffile finds the pages; this module insists that they are a stack of grey camera frames, and notices where one breaks
off. (A TIFF is a chain of pages. tifffile ends a broken chain without an error, so its last link is checked here.)
"""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import Literal, cast

import numpy as np
import tifffile

from dblink_live.errors import SourceError
from dblink_live.sources.tiff_facts import tiff_facts
from dblink_live.types import FrameArray, Segment, Shape

# What tifffile logs about damaged files is raised here as an error; without a handler it would also go to the terminal.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

Page = tifffile.TiffPage | tifffile.TiffFrame


class TiffStack:
    """The frames of a TIFF file.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    SourceError
        No such file, not a TIFF, or its pages are not grey frames of 8 to 16 bits along one axis.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tif = _open_tiff(path)
        try:
            self._pages: list[Page | None] = []
            self._contiguous_at: int | None = None
            self._is_broken = False
            self._find_frames()
            self.segment = self._describe()
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
            # tifffile and its decoders raise anything from struct.error to zlib.error on damaged pages.
            rescue = f", or replay the {index} frames before it with frames={index}" if index else ""
            raise SourceError(
                f"page {index + 1} of {self._n_expected} in {self._path} cannot be read ({error}); "
                f"the file is damaged or was not copied whole: copy it again{rescue}"
            ) from error
        if data.shape != tuple(self.segment.shape) or data.dtype.newbyteorder("=") != np.dtype(self.segment.dtype):
            raise SourceError(
                f"expected page {index + 1} of {self._path} to be {tuple(self.segment.shape)} {self.segment.dtype} "
                f"like the first, found {data.shape} {data.dtype}; split the file"
            )
        return cast(FrameArray, np.ascontiguousarray(data, dtype=self.segment.dtype))

    def close(self) -> None:
        self._tif.close()

    def _find_frames(self) -> None:
        """Decide which pages are the frames, and how many there should be."""
        tif = self._tif
        try:
            n_pages = len(tif.pages)
            series = tif.series
        except Exception as error:
            raise SourceError(
                f"expected a TIFF stack at {self._path}, found one that cannot be read: {error}"
            ) from error
        if not n_pages or not series:
            raise SourceError(f"expected a TIFF stack, found no page in {self._path}; the file is damaged or empty")
        if len(series) > 1:
            shapes = ", ".join(str(one.shape) for one in series[:4])
            raise SourceError(
                f"expected one stack in {self._path}, found {len(series)} series ({shapes}); "
                "export one position or channel"
            )
        stack = series[0]
        self._refuse_what_is_no_stack(stack)
        n_declared = int(np.prod(stack.shape[:-2], dtype=np.int64))
        self._is_broken = _chain_is_broken(tif)
        if n_declared > n_pages and stack.dataoffset is not None:
            # ImageJ above 4 GB, and some writers always: one page that all the frames follow without a gap.
            self._contiguous_at = int(stack.dataoffset)
            self.n_frames = n_declared
        else:
            # A series may go on in further files of an OME set; pages may be missing from it.
            found = list(stack.pages) if len(stack.pages) > n_pages else [tif.pages[i] for i in range(n_pages)]
            self._pages = cast("list[Page | None]", found)
            # One more than there are: the page at which a broken chain breaks off, which then reports itself.
            self.n_frames = len(found) + (1 if self._is_broken else 0)
        declared = max(n_declared, int((tif.imagej_metadata or {}).get("images", 0)))
        self._n_expected = f"{declared}" if declared >= self.n_frames else f"at least {self.n_frames}"

    def _refuse_what_is_no_stack(self, stack: tifffile.TiffPageSeries) -> None:
        page = stack.keyframe
        if page.samplesperpixel != 1 or "S" in stack.axes or page.photometric == tifffile.PHOTOMETRIC.PALETTE:
            raise SourceError(
                f"expected grey camera frames in {self._path}, found colour ({page.samplesperpixel} samples a pixel); "
                "convert the stack to 8-bit or 16-bit grey"
            )
        if page.dtype is None or page.dtype.newbyteorder("=") not in (np.dtype(np.uint8), np.dtype(np.uint16)):
            raise SourceError(
                f"expected camera counts of 8 or 16 bits (uint8, uint16) in {self._path}, found {page.dtype}; "
                "save the raw counts of the camera, not a processed picture"
            )
        extra = [(axis, n) for axis, n in zip(stack.axes, stack.shape, strict=True) if axis not in "YX" and n > 1]
        # A single channel axis is how some writers label any stack; of two to four it does mean colours.
        if len(extra) > 1 or (extra and extra[0][0] == "C" and extra[0][1] <= 4):
            axes = ", ".join(f"{axis}={n}" for axis, n in extra)
            raise SourceError(
                f"expected a stack along time alone in {self._path}, found the axes {axes}; "
                "export one channel and position"
            )

    def _describe(self) -> Segment:
        page = self._tif.pages[0]
        facts = tiff_facts(self._tif, self._path)
        dtype: Literal["uint8", "uint16"] = "uint8" if page.dtype == np.uint8 else "uint16"
        return Segment(
            index=0,
            shape=Shape(int(page.shape[-2]), int(page.shape[-1])),
            dtype=dtype,
            exposure_ms=facts.exposure_ms,
            frame_interval_ms=facts.frame_interval_ms,
            pixel_size_nm=facts.pixel_size_nm,
            binning=facts.binning,
            bit_depth=facts.bit_depth,
        )

    def _read(self, index: int) -> FrameArray:
        if self._contiguous_at is None:
            if index >= len(self._pages):
                raise SourceError("the file breaks off before it")
            page = self._pages[index]
            if page is None:
                raise SourceError("it is missing from the file set")
            return cast(FrameArray, page.asarray())
        shape = self.segment.shape
        dtype = np.dtype(self.segment.dtype).newbyteorder(self._tif.byteorder)
        n_bytes = shape.height * shape.width * dtype.itemsize
        handle = self._tif.filehandle
        handle.seek(self._contiguous_at + index * n_bytes)
        content = handle.read(n_bytes)
        if len(content) < n_bytes:
            raise SourceError(f"expected {n_bytes} bytes, found {len(content)}")
        return cast(FrameArray, np.frombuffer(content, dtype).reshape(shape))


def _open_tiff(path: Path) -> tifffile.TiffFile:
    if not path.exists():
        raise SourceError(f"expected a TIFF stack, found nothing at {path}; check the path")
    if path.is_dir():
        raise SourceError(f"expected a TIFF file, found the folder {path}; give the file in it")
    try:
        return tifffile.TiffFile(path)
    except (tifffile.TiffFileError, OSError, struct.error) as error:
        raise SourceError(f"expected a TIFF file at {path}, found something else: {error}") from error


def _chain_is_broken(tif: tifffile.TiffFile) -> bool:
    """Whether the last page that could be found points to another one."""
    layout = tif.tiff
    handle = tif.filehandle
    try:
        offset = tif.pages[-1].offset
        handle.seek(offset)
        (n_tags,) = struct.unpack(layout.tagnoformat, handle.read(layout.tagnosize))
        handle.seek(offset + layout.tagnosize + n_tags * layout.tagsize)
        (following,) = struct.unpack(layout.offsetformat, handle.read(layout.offsetsize))
    except struct.error:
        return True
    return bool(following)
