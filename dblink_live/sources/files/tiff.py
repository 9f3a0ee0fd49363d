"""TIFF stacks: plain, ImageJ, OME and Micro-Manager ones, either byte order, one page a frame.

tifffile finds the pages; this module insists that they are a stack of grey camera frames, and notices where one breaks
off. (A TIFF is a chain of pages, and tifffile ends a broken chain without an error, so the links are followed here.)
"""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import Literal, cast

import numpy as np
import tifffile

from dblink_live.errors import SourceError
from dblink_live.sources.files.tiff_metadata import tiff_facts
from dblink_live.types import FrameArray, Segment, Shape

# What tifffile logs about damaged files is raised here as an error; without a handler it would also go to the terminal.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NOT_WHOLE = "the file is damaged or was not copied whole: copy it again"

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
                f"page {index + 1} of {self._n_expected} in {self._path} cannot be read ({error}); {_NOT_WHOLE}{rescue}"
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
        n_pages, is_broken = _count_whole_pages(tif)
        if not n_pages:
            raise SourceError(f"page 1 of {self._path} cannot be read (its description is cut off); {_NOT_WHOLE}")
        try:
            series = tif.series
        except Exception:
            # A damaged page table. The pages before the damage are still there one by one.
            series = []
        if len(series) > 1:
            shapes = ", ".join(str(one.shape) for one in series[:4])
            raise SourceError(
                f"expected one stack in {self._path}, found {len(series)} series ({shapes}); "
                "export one position or channel"
            )
        first = tif.pages[0]
        self._refuse_what_is_no_frame(tif.pages.first)
        n_declared = int((tif.imagej_metadata or {}).get("images", 0))
        pages: list[Page | None] = [tif.pages[index] for index in range(n_pages)]
        dataoffset = None
        if series:
            stack = series[0]
            self._refuse_what_is_no_stack(stack)
            n_declared = max(n_declared, int(np.prod(stack.shape[:-2], dtype=np.int64)))
            dataoffset = stack.dataoffset
            if len(stack.pages) > n_pages and not is_broken:
                # An OME set goes on in further files; pages may be missing from it.
                pages = list(stack.pages)
        if dataoffset is None and n_pages == 1 and first.is_contiguous and first.compression == 1:
            dataoffset = first.dataoffsets[0]
        if n_declared > len(pages) and dataoffset is not None:
            # ImageJ above 4 GB, and some writers always: one page that all the frames follow without a gap.
            self._contiguous_at = int(dataoffset)
            self.n_frames = n_declared
        else:
            self._pages = pages
            # One more than there are: the page at which a broken chain breaks off, which then reports itself.
            self.n_frames = max(n_declared, len(pages) + is_broken)
        known = max(n_declared, len(pages)) if n_declared > len(pages) or not is_broken else None
        self._n_expected = f"{known}" if known is not None else f"at least {self.n_frames}"

    def _refuse_what_is_no_frame(self, page: tifffile.TiffPage) -> None:
        if page.samplesperpixel != 1 or page.photometric == tifffile.PHOTOMETRIC.PALETTE:
            raise SourceError(
                f"expected grey camera frames in {self._path}, found colour ({page.samplesperpixel} samples a pixel); "
                "convert the stack to 8-bit or 16-bit grey"
            )
        if page.dtype is None or page.dtype.newbyteorder("=") not in (np.dtype(np.uint8), np.dtype(np.uint16)):
            raise SourceError(
                f"expected camera counts of 8 or 16 bits (uint8, uint16) in {self._path}, found {page.dtype}; "
                "save the raw counts of the camera, not a processed picture"
            )

    def _refuse_what_is_no_stack(self, stack: tifffile.TiffPageSeries) -> None:
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
        with path.open("rb") as file:
            is_tiff = file.read(4) in _MAGIC
        if is_tiff:
            raise SourceError(f"page 1 of {path} cannot be read ({error}); {_NOT_WHOLE}") from error
        raise SourceError(f"expected a TIFF file at {path}, found something else: {error}") from error


def _count_whole_pages(tif: tifffile.TiffFile) -> tuple[int, bool]:
    """Pages whose description is whole, and whether the chain of pages breaks off after them."""
    layout, handle = tif.tiff, tif.filehandle

    def number(at: int, n_bytes: int, code: str) -> int | None:
        handle.seek(at)
        content = handle.read(n_bytes)
        return int(struct.unpack(code, content)[0]) if len(content) == n_bytes else None

    # The first link is the last field of the file's header.
    offset = number(layout.offsetsize, layout.offsetsize, layout.offsetformat)
    seen: set[int] = set()
    while offset:
        n_tags = number(offset, layout.tagnosize, layout.tagnoformat)
        if n_tags is None or offset in seen:
            return len(seen), True
        following = number(offset + layout.tagnosize + n_tags * layout.tagsize, layout.offsetsize, layout.offsetformat)
        if following is None:
            return len(seen), True
        seen.add(offset)
        offset = following
    return len(seen), offset is None
