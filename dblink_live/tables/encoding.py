"""Text files in the encodings that programs and spreadsheets write, with any line ends."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from dblink_live.errors import SourceError

# The longer marks first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE_BYTES = 4096
_BLOCK_BYTES = 1 << 20
MAX_LINE = 1_000_000
"""Characters after which a line without an end is no row of a table."""


def encoding_of(path: Path) -> str:
    """Return the encoding of a text file: by its mark, by its zero bytes, else UTF-8 or the Windows page 1252."""
    with path.open("rb") as file:
        head = file.read(_SAMPLE_BYTES)
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    even, odd = head[0::2].count(0), head[1::2].count(0)
    # Latin text in UTF-16 is zero in every other byte; a binary footer is not.
    if odd > 0.4 * len(head) / 2 and even == 0:
        return "utf-16-le"
    if even > 0.4 * len(head) / 2 and odd == 0:
        return "utf-16-be"
    return "utf-8" if _is_utf8(path) else "cp1252"


def iter_lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield each line without its end, and its number from 1; ends are those of Unix, Windows, or old Macintoshes.

    Raises
    ------
    SourceError
        A line has no end, or the file cannot be read.
    """
    try:
        # Some bytes are unused in page 1252; whatever stands there is no number.
        with path.open(encoding=encoding, errors="replace", newline=None) as file:
            number = 0
            while line := file.readline(MAX_LINE):
                number += 1
                if len(line) == MAX_LINE:
                    raise SourceError(
                        f"expected lines of text in {path}, found one of more than {MAX_LINE} characters; "
                        "export the table again"
                    )
                yield number, line.removesuffix("\n")
    except (OSError, UnicodeError) as error:
        raise SourceError(f"expected a text file, but {path} cannot be read: {error}; copy it again") from error


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
