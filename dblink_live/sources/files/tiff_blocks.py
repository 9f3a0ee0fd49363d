"""Stacks that were appended to one TIFF file, as ``tifffile.imwrite(..., append=True)`` and loops of scripts do it.

tifffile describes each stack, or single image, in JSON on its first page: its shape, whether only that page is listed
(``truncated``), and what else the writer stated. The pages alone do not tell where one stack ends.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from dblink_live.errors import SourceError

_MAX_COLOURS = 4
_TEXT_TAGS = (270, 50838, 50839, 51123)
"""Descriptions: of any TIFF, of ImageJ and of Micro-Manager. They may lie behind the frames."""

Place = tifffile.TiffPage | tifffile.TiffFrame | int | Exception | None
"""Where a frame lies: its page, or its first byte; None where it is missing, and an error where it cannot be read."""


@dataclass(frozen=True)
class Block:
    """One stack or image of several in a file."""

    page: int
    """Number of its first page, from 0."""
    shape: tuple[int, ...]
    """As it was written; the last two are height and width."""
    dtype: str
    is_truncated: bool
    """Whether its frames follow each other behind one page."""
    stated: Mapping[str, Any]
    """What the writer stated beside the shape."""

    @property
    def n_frames(self) -> int:
        """Images in it."""
        return int(np.prod(self.shape[:-2], dtype=np.int64))

    @property
    def is_stack(self) -> bool:
        """Whether its images follow each other along one axis, which is not one of two to four colours."""
        axes = str(self.stated.get("axes", ""))
        sides = self.shape[:-2]
        names = axes[: len(sides)] if len(axes) == len(self.shape) else "Q" * len(sides)
        extra = [(name, n) for name, n in zip(names, sides, strict=True) if n > 1]
        return len(extra) <= 1 and not any(name == "C" and n <= _MAX_COLOURS for name, n in extra)

    @property
    def n_pages(self) -> int:
        """Pages that it takes in the file."""
        return 1 if self.is_truncated else self.n_frames


def page_at(tif: tifffile.TiffFile, index: int) -> Place:
    """Return a page, or why it cannot be read."""
    try:
        return tif.pages[index]
    except Exception as error:
        # tifffile raises anything from KeyError to RuntimeError on damaged descriptions.
        return error


def unlisted_bytes(tif: tifffile.TiffFile, places: Sequence[Place], frame_bytes: int) -> int:
    """Return how many bytes lie behind everything that the pages list, where frames are not compressed."""
    end = 0
    for place in places:
        if isinstance(place, int):
            end = max(end, place + frame_bytes)
        elif isinstance(place, (tifffile.TiffPage, tifffile.TiffFrame)):
            if place.compression != 1:
                return 0
            parts = zip(place.dataoffsets, place.databytecounts, strict=True)
            end = max(end, place.offset, *(at + min(n, frame_bytes) for at, n in parts))
    for tag in tif.pages.first.tags:
        if tag.code in _TEXT_TAGS:
            end = max(end, tag.valueoffset + tag.valuebytecount)
    return max(0, int(tif.filehandle.size) - end)


def find_blocks(tif: tifffile.TiffFile, n_pages: int) -> list[Block]:
    """Return the stacks and images in a file that tifffile has described; empty for another file."""
    blocks: list[Block] = []
    page = 0
    while page < n_pages:
        block = _block_at(tif, page)
        if block is None:
            return []
        blocks.append(block)
        page += max(1, block.n_pages)
    return blocks


def join_blocks(blocks: list[Block], tif: tifffile.TiffFile, path: Path, n_pages: int) -> tuple[list[Place], str]:
    """Return the frames of all blocks in their order, and a sentence that says so.

    Raises
    ------
    SourceError
        The blocks differ in size, type or what is stated of them, or one is no stack along a single axis.
    """
    sizes = Counter(block.n_frames for block in blocks)
    kinds = {(block.shape[-2:], block.dtype, str(sorted(block.stated.items()))) for block in blocks}
    if len(kinds) > 1 or not all(block.is_stack for block in blocks):
        listed = ", ".join(f"{block.shape} {block.dtype} {dict(block.stated) or ''}".strip() for block in blocks[:4])
        raise SourceError(
            f"expected one stack in {path}, or stacks of the same kind that follow each other, found "
            f"{len(blocks)} ({listed}); export one position or channel"
        )
    places: list[Place] = []
    for block in blocks:
        if block.is_truncated:
            first = tif.pages[block.page]
            n_bytes = int(np.prod(block.shape[-2:])) * np.dtype(block.dtype).itemsize
            places += [int(first.dataoffsets[0]) + index * n_bytes for index in range(block.n_frames)]
        else:
            there = range(block.page, min(block.page + block.n_frames, n_pages))
            places += [*(page_at(tif, page) for page in there), *[None] * (block.n_frames - len(there))]
    if set(sizes) == {1}:
        return places, f"{len(blocks)} images that were appended one by one are taken as frames"
    listed = ", ".join(str(block.n_frames) for block in blocks[:8]) + (", ..." if len(blocks) > 8 else "")
    return places, f"{len(blocks)} stacks that were appended ({listed} frames) are taken as one recording"


def lists_only_its_first_page(tif: tifffile.TiffFile) -> bool:
    """Return whether the first stack is described as one whose frames follow each other behind a single page."""
    return bool(_described(tif.pages.first.description).get("truncated", False))


def _block_at(tif: tifffile.TiffFile, page: int) -> Block | None:
    first = page_at(tif, page)
    if not isinstance(first, tifffile.TiffPage) or first.dtype is None:
        return None
    stated = _described(first.description)
    shape = stated.pop("shape", None)
    if not isinstance(shape, list) or not all(isinstance(side, int) and side > 0 for side in shape):
        return None
    while len(shape) > 2 and shape[-1] == 1 and tuple(shape[-2:]) != tuple(first.shape[-2:]):
        shape = shape[:-1]
    if tuple(shape[-2:]) != tuple(first.shape[-2:]):
        return None
    is_truncated = bool(stated.pop("truncated", False))
    return Block(page, tuple(shape), str(first.dtype), is_truncated, stated)


def _described(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
