"""The images of an NDTiff dataset: read from data files that are still being written, and only once they are whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from dblink_live.errors import SourceError
from dblink_live.sources.ndtiff.index import IndexEntry, NotWholeError
from dblink_live.sources.ndtiff.metadata import Metadata
from dblink_live.sources.ndtiff.shared_file import SharedFile
from dblink_live.types import FrameArray

_HEADER_BYTES = 28
_SUMMARY_MARK = 2355492
_BITS = {0: 8, 1: 16, 3: 10, 4: 12, 5: 14, 6: 11}
"""Bits a pixel of the grey pixel types."""
_RGB = 2


@dataclass(frozen=True)
class NdtiffImage:
    """One image and what was written with it."""

    data: FrameArray
    """[H, W], uint8 or uint16."""
    metadata: Metadata
    stored_bits: int
    """Bits a pixel, as the index says."""


class NdtiffImages:
    """The data files of a dataset, one of them open at a time.

    Parameters
    ----------
    folder
        The dataset.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = ""
        self._file: SharedFile | None = None

    def read(self, entry: IndexEntry) -> NdtiffImage:
        """The image that an entry of the index names.

        Both writers put pixels and metadata into the file in this order, then the entry into the index. So metadata
        that are whole are the mark of an image that is.

        Raises
        ------
        NotWholeError
            The image is not whole in its file yet.
        SourceError
            Not a grey image of 8 to 16 bits.
        """
        bits = _grey_bits(entry)
        file = self._open(entry.file)
        metadata = self.metadata(entry)
        dtype: Literal["<u1", "<u2"] = "<u1" if bits == 8 else "<u2"
        data = np.empty((entry.height, entry.width), dtype)
        n_read = file.read_into(entry.pixel_offset, data.data.cast("B"))
        if n_read < data.nbytes:
            raise NotWholeError(
                f"expected {data.nbytes} bytes of pixels in {self._folder / entry.file}, found {n_read}"
            )
        return NdtiffImage(data, metadata, bits)

    def metadata(self, entry: IndexEntry) -> Metadata:
        """The metadata of the image that an entry of the index names.

        Raises
        ------
        NotWholeError
            They are not whole in their file yet.
        """
        file = self._open(entry.file)
        metadata = _json_object(file.read(entry.metadata_offset, entry.metadata_length))
        if metadata is None:
            raise NotWholeError(
                f"expected {entry.metadata_length} bytes of metadata at {entry.metadata_offset} of "
                f"{self._folder / entry.file}, found a file of {file.size()} bytes in which they are not whole"
            )
        return metadata

    def summary(self, entry: IndexEntry) -> Metadata:
        """The dataset's summary, from the header of the file that ``entry`` names.

        Raises
        ------
        NotWholeError
            The header is not whole yet, or the file is no NDTiff file.
        """
        file = self._open(entry.file)
        header = file.read(0, _HEADER_BYTES)
        mark, length = int.from_bytes(header[20:24], "little"), int.from_bytes(header[24:28], "little")
        if header[:4] != b"II*\0" or mark != _SUMMARY_MARK:
            raise NotWholeError(f"expected the header of an NDTiff file in {self._folder / entry.file}, found none")
        # What the index says bounds the read of a damaged length.
        summary = _json_object(file.read(_HEADER_BYTES, min(length, entry.pixel_offset)))
        if summary is None:
            raise NotWholeError(f"expected the summary of the dataset in {self._folder / entry.file}, found it cut")
        return summary

    def ends_behind(self, entry: IndexEntry) -> bool:
        """Return whether the file of ``entry`` was cut behind it: both writers do so when they close a file."""
        try:
            # A padding byte may follow, for the next image starts at an even offset.
            return entry.stop <= self._open(entry.file).size() <= entry.stop + 1
        except NotWholeError:
            return False

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, name: str) -> SharedFile:
        if self._file is not None and name == self._name:
            return self._file
        self.close()
        try:
            self._file = SharedFile(self._folder / name)
        except OSError as error:
            raise NotWholeError(f"expected the data file {self._folder / name}, found: {error}") from error
        self._name = name
        return self._file


def _grey_bits(entry: IndexEntry) -> int:
    """Bits a pixel of the image, refused unless grey and of 8 to 16 bits."""
    if entry.pixel_type == _RGB:
        raise SourceError(
            f"expected grey camera images in {entry.file}, found colour (RGB); set the camera to a grey pixel type"
        )
    bits = _BITS.get(entry.pixel_type)
    n_bytes = entry.metadata_offset - entry.pixel_offset
    n_pixels = entry.width * entry.height
    if bits is None or n_bytes == 4 * n_pixels:
        found = "32 bits" if n_bytes == 4 * n_pixels else f"pixel type {entry.pixel_type}"
        raise SourceError(
            f"expected camera counts of 8 to 16 bits in {entry.file}, found {found}; save the raw counts of the camera"
        )
    n_expected = n_pixels * (1 if bits == 8 else 2)
    if n_bytes != n_expected:
        raise NotWholeError(
            f"expected {n_expected} bytes for {entry.height} x {entry.width} pixels of {bits} bits, found {n_bytes}"
        )
    return bits


def _json_object(content: bytes) -> Metadata | None:
    try:
        value = json.loads(content)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
