"""Whether a MATLAB file of versions 5 to 7 is whole: SciPy's compiled reader crashes on sizes that are wrong.

Format: MathWorks, "MAT-File Format" (2023), chapter 1: a header of 128 bytes, then elements, each of a type, a size and
as many bytes; a matrix holds flags, dimensions, a name, and its content or further matrices.
"""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path

from dblink_live.errors import SourceError

_HEADER_BYTES = 128
_MATRIX, _COMPRESSED, _INT8, _INT32, _UINT32 = 14, 15, 1, 5, 6
_ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
"""Of each numeric type and of text."""
_CELL, _STRUCT, _CHAR = 1, 2, 4
_OTHER = (3, 5, 16, 17)
"""Objects, sparse matrices and functions, which whole files hold at times and which no column is."""
_NUMERIC = range(6, 16)
_COMPLEX = 0x0800
_MAX_DEPTH = 20
_MAX_BYTES = 1 << 32


def check_whole(path: Path) -> None:
    """Check every element of a MATLAB file against the sizes that it states.

    Raises
    ------
    SourceError
        An element reaches beyond what holds it, or is of a kind that there is none of.
    """
    content = path.read_bytes()
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    try:
        if order is None:
            raise ValueError("no byte order")
        at = _HEADER_BYTES
        while at < len(content):
            kind, body, at = _element(content, at, order)
            if kind == _COMPRESSED:
                body = _inflated(body)
                kind, body, _ = _element(body, 0, order)
            if kind != _MATRIX:
                raise ValueError(f"an element of type {kind}")
            _check_matrix(body, order, 0)
    except (ValueError, struct.error, zlib.error) as error:
        raise SourceError(f"expected a whole MATLAB file, but {path} is damaged: {error}; copy it again") from error


def _element(data: bytes, at: int, order: str) -> tuple[int, bytes, int]:
    """Type and bytes of the element at ``at``, and where the next one begins."""
    (first,) = struct.unpack_from(f"{order}I", data, at)
    kind, size = first & 0xFFFF, first >> 16
    if size:  # a small one holds its size and up to four bytes in its tag
        if size > 4:
            raise ValueError(f"a small element of {size} bytes")
        return kind, data[at + 4 : at + 4 + size], at + 8
    (size,) = struct.unpack_from(f"{order}I", data, at + 4)
    start, stop = at + 8, at + 8 + size
    if stop > len(data):
        raise ValueError(f"an element of {size} bytes where {len(data) - start} are left")
    return kind, data[start:stop], stop if kind == _COMPRESSED else stop + -stop % 8


def _inflated(body: bytes) -> bytes:
    inflater = zlib.decompressobj()
    whole = inflater.decompress(body, _MAX_BYTES)
    if not inflater.eof:
        raise ValueError("a compressed element that is cut off")
    return whole


def _check_matrix(data: bytes, order: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError(f"structs in structs, {depth} deep")
    if not data:
        return
    kind, flags, at = _element(data, 0, order)
    if kind != _UINT32 or len(flags) != 8:
        raise ValueError("no array flags")
    (word,) = struct.unpack_from(f"{order}I", flags)
    mx_class = word & 0xFF
    kind, sides, at = _element(data, at, order)
    if kind != _INT32 or len(sides) < 8 or len(sides) % 4:
        raise ValueError("no dimensions")
    shape = struct.unpack(f"{order}{len(sides) // 4}i", sides)
    n_items = math.prod(shape)
    if min(shape) < 0 or n_items > _MAX_BYTES:
        raise ValueError(f"dimensions {shape}")
    kind, _, at = _element(data, at, order)
    if kind != _INT8:
        raise ValueError("no name")
    if mx_class == _STRUCT:
        kind, length, at = _element(data, at, order)
        (n_letters,) = struct.unpack(f"{order}i", length) if kind == _INT32 and len(length) == 4 else (0,)
        kind, names, at = _element(data, at, order)
        if kind != _INT8 or n_letters < 1 or len(names) % n_letters:
            raise ValueError("no names of fields")
        n_items *= len(names) // n_letters
    elif mx_class != _CELL:
        _check_numbers(data, at, order, mx_class, n_items, is_complex=bool(word & _COMPLEX))
        return
    for _ in range(n_items):
        kind, body, at = _element(data, at, order)
        if kind != _MATRIX:
            raise ValueError(f"an element of type {kind} within a struct or cell")
        _check_matrix(body, order, depth + 1)


def _check_numbers(data: bytes, at: int, order: str, mx_class: int, n_items: int, is_complex: bool) -> None:
    if mx_class in _OTHER or is_complex:
        return
    if mx_class not in (_CHAR, *_NUMERIC):
        raise ValueError(f"a matrix of class {mx_class}")
    kind, body, _ = _element(data, at, order)
    size = _ITEM_BYTES.get(kind)
    if size is None or (mx_class in _NUMERIC and len(body) != n_items * size):
        raise ValueError(f"{len(body)} bytes of type {kind} for {n_items} numbers")
    if mx_class == _CHAR and len(body) > 4 * max(n_items, 1):
        raise ValueError(f"{len(body)} bytes for {n_items} letters")
