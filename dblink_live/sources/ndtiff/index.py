"""The index of an NDTiff dataset, read while it is written: one entry an image, added once the image is in its file.

An entry is, in little-endian order (https://github.com/micro-manager/NDTiffStorage, format 3):

    u32 length | axes as JSON | u32 length | file name |
    u32 x 8: pixel offset, width, height, pixel type, pixel compression,
             metadata offset, metadata length, metadata compression

The Python writer lets the file grow, in blocks of its buffer, so that it may end anywhere in an entry. The Java writer
begins with 25 MB of zeros, fills them and cuts the file behind the last entry: there, an axes length of 0 means "not
written yet". Texts are UTF-8, or of the code page of the machine that wrote them (`names`).
"""

from __future__ import annotations

import json
import locale
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dblink_live.errors import SourceError
from dblink_live.sources.ndtiff.shared_file import SharedFile

INDEX_NAME = "NDTiff.index"

AxisValue = int | str

_PAGES = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "cp932", "cp936", "cp949", "cp950", "latin-1")
"""Code pages of Windows: western and central Europe, Cyrillic, Greek, Turkish, Baltic, Japanese, Chinese, Korean."""


_LENGTH = struct.Struct("<I")
_NUMBERS = struct.Struct("<8I")
_MAX_TEXT = 4096
"""Bytes of an entry's axes, and of its file name: far more than either needs."""
_CHUNK = 16384
"""Bytes read at once: more than the longest entry, and about 150 ordinary ones."""


class NotWholeError(SourceError):
    """Something is there only in part. It may become whole; after a while it is damage."""


@dataclass(frozen=True)
class IndexEntry:
    """Position of one image and its metadata in a data file."""

    axes: Mapping[str, AxisValue]
    file: str
    """Name of the data file, in the folder of the index."""
    pixel_offset: int
    width: int
    height: int
    pixel_type: int
    metadata_offset: int
    metadata_length: int
    n_bytes: int
    """Length of the entry itself."""
    raw_file: bytes = b""
    """The file's name as it stands in the index."""
    is_certain: bool = True
    """Whether names are what they were: in UTF-8, and with no character replaced by a question mark."""

    @property
    def stop(self) -> int:
        """One past the image's last byte in its file: both writers put the metadata behind the pixels."""
        return self.metadata_offset + self.metadata_length


def parse_entry(data: bytes, at: int = 0) -> IndexEntry | None:
    """The entry that begins at ``at``; None where it is not there yet, or only its beginning is.

    Raises
    ------
    NotWholeError
        All its bytes are there, but they are no entry: a part of them has not arrived yet, or the index is damaged.
    """
    raw_axes, at_name = _text(data, at, "axes")
    if raw_axes is None:
        return None
    raw_name, at_numbers = _text(data, at_name, "file name")
    if raw_name is None or len(data) < at_numbers + _NUMBERS.size:
        return None
    offset, width, height, pixel_type, _, metadata_offset, metadata_length, _ = _NUMBERS.unpack_from(data, at_numbers)
    # The metadata are never empty. Their length is the last number of an entry that is not always 0.
    if not (width and height and metadata_length and 0 < offset < metadata_offset):
        raise NotWholeError(
            f"expected where an image lies, found pixels of {height} x {width} at {offset} "
            f"and {metadata_length} bytes of metadata at {metadata_offset}"
        )
    name = next(_readings(raw_name))
    if _is_certain(raw_name) and ("/" in name or "\\" in name):  # of others the folder tells the name
        raise NotWholeError(f"expected the name of a file in the dataset's folder, found {name!r}")
    return IndexEntry(
        axes=_axes(raw_axes),
        file=name,
        pixel_offset=offset,
        width=width,
        height=height,
        pixel_type=pixel_type,
        metadata_offset=metadata_offset,
        metadata_length=metadata_length,
        n_bytes=at_numbers + _NUMBERS.size - at,
        raw_file=raw_name,
        is_certain=_is_certain(raw_axes) and _is_certain(raw_name),
    )


def _text(data: bytes, at: int, what: str) -> tuple[bytes | None, int]:
    """A text behind its length, and where it ends; None where it is not there yet."""
    if len(data) < at + _LENGTH.size:
        return None, at
    (length,) = _LENGTH.unpack_from(data, at)
    if length == 0 and what == "axes":
        return None, at
    if not 0 < length <= _MAX_TEXT:
        raise NotWholeError(f"expected the {what} of an image in 1 to {_MAX_TEXT} bytes, found a length of {length}")
    start, stop = at + _LENGTH.size, at + _LENGTH.size + length
    if len(data) < stop:
        return None, at
    text = data[start:stop]
    if b"\0" in text:
        raise NotWholeError(f"expected the {what} of an image, found bytes that are not written yet")
    return text, stop


def _axes(raw: bytes) -> dict[str, AxisValue]:
    for text in _readings(raw):
        try:
            axes = json.loads(text)
        except ValueError:
            continue  # in East Asian pages a letter's second byte may look like a backslash of JSON
        # JSON's true is an int to Python.
        if isinstance(axes, dict) and all(type(value) in (int, str) for value in axes.values()):
            return axes
    raise NotWholeError(f"expected the axes of an image, numbers or names, found {raw[:80]!r}")


def _is_certain(raw: bytes) -> bool:
    try:
        return "?" not in raw.decode("utf-8")
    except UnicodeDecodeError:
        return False


def code_pages() -> Iterator[str]:
    """Encodings that an index may have been written in, the likeliest first."""
    yield "utf-8"
    yield locale.getencoding()
    yield from _PAGES


def _readings(raw: bytes) -> Iterator[str]:
    """What a text of an index may say, the likeliest first; at least one."""
    for page in code_pages():
        try:
            yield raw.decode(page)
        except UnicodeDecodeError:
            continue


class IndexReader:
    """The entries of an index one after the other, as they come.

    Parameters
    ----------
    path
        The index. It must exist; it may be empty or all zeros.

    Raises
    ------
    OSError
        It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = SharedFile(path)
        self._path = path
        self._chunk = b""
        self._chunk_at = 0
        self._position = 0

    def peek(self) -> IndexEntry | None:
        """The next entry; None while it is not there.

        Raises
        ------
        NotWholeError
            What is there is not a whole entry (yet).
        """
        entry = self._parse_chunk()
        if entry is None:
            self._chunk, self._chunk_at = self._file.read(self._position, _CHUNK), self._position
            entry = self._parse_chunk()
        return entry

    def take(self, entry: IndexEntry) -> None:
        """Go on behind ``entry``, which `peek` gave."""
        self._position += entry.n_bytes

    def reread(self) -> None:
        """Forget what was read ahead: the next `peek` looks into the file."""
        self._chunk = b""

    def ends_here(self) -> bool:
        """Return whether the file ends behind the last entry taken: never so while the Java writer is at work."""
        return self._file.size() == self._position

    def has_more(self) -> bool:
        """Return whether anything but the zeros of a preallocated file lies behind the last entry taken."""
        at = self._position
        while chunk := self._file.read(at, _CHUNK):
            if chunk.count(0) < len(chunk):
                return True
            at += len(chunk)
        return False

    def quiet_s(self) -> float:
        """Seconds since it was last written to."""
        return self._file.quiet_s()

    def close(self) -> None:
        self._file.close()

    def _parse_chunk(self) -> IndexEntry | None:
        try:
            return parse_entry(self._chunk, self._position - self._chunk_at)
        except NotWholeError as error:
            self.reread()
            raise NotWholeError(f"{self._path} cannot be read at byte {self._position}: {error}") from error
