"""Pages of a TIFF file: whether they are camera frames, and whether the chain of them is whole."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Literal

import numpy as np
import tifffile

from dblink_live.errors import SourceError
from dblink_live.sources.files.tiff_metadata import TiffFacts
from dblink_live.types import Segment, Shape


def check_page(page: tifffile.TiffPage, path: Path) -> None:
    """Raise `SourceError` where ``page`` is no grey image of 8 to 16 bits."""
    if page.samplesperpixel != 1 or page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        raise SourceError(
            f"expected grey camera frames in {path}, found colour ({page.samplesperpixel} samples per pixel); "
            "convert the stack to 8-bit or 16-bit grey"
        )
    if page.dtype is None or page.dtype.newbyteorder("=") not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        raise SourceError(
            f"expected camera counts of 8 or 16 bits (uint8, uint16) in {path}, found {page.dtype}; "
            "save the raw counts of the camera, not a processed picture"
        )


def refuse_codec(error: Exception, path: Path) -> None:
    """Raise `SourceError` where ``error`` is that of a compression whose decoder is not installed."""
    if "imagecodecs" in str(error):
        raise SourceError(
            f"expected a compression that is read without a further package in {path}, found one that is not: {error}; "
            "pip install imagecodecs, or save the stack without compression"
        ) from error


def describe(page: tifffile.TiffPage | tifffile.TiffFrame, facts: TiffFacts) -> Segment:
    """Return the segment of a stack whose pages are like ``page``."""
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


def count_whole_pages(tif: tifffile.TiffFile) -> tuple[int, bool]:
    """Return the pages whose description is whole, and whether the chain of pages breaks off after them."""
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
