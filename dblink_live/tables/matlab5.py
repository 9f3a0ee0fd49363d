"""Variables of MATLAB files of versions 5 to 7. SciPy's compiled reader crashes the program on sizes that are wrong.

Format: MathWorks, "MAT-File Format" (2023), chapter 1: a header of 128 bytes, then elements, each of a type, a size and
as many bytes; a matrix holds flags, dimensions, a name, and its content or further matrices. Only what tables need is
read: structs, cells, real numbers and text. Of anything else a file may hold, the value is None.
"""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from dblink_live.errors import SourceError

_HEADER_BYTES = 128
_MATRIX, _COMPRESSED, _INT8, _INT32, _UINT32 = 14, 15, 1, 5, 6
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""How numbers of each type are stored; whole ones are stored as small as they go."""
_TEXTS = {2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMERIC = range(6, 16)
_COMPLEX = 0x0800
_MAX_DEPTH = 20
_MAX_BYTES = 1 << 32


def read_variable(path: Path, name: str) -> Any:
    """Return the variable ``name``: a dict of a struct, a list of several, an array, or text; None where there is none.

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
        at, found = _HEADER_BYTES, None
        while at < len(content):
            kind, body, at = _element(content, at, order)
            if kind == _COMPRESSED:
                kind, body, _ = _element(_inflated(body), 0, order)
            if kind != _MATRIX:
                raise ValueError(f"an element of type {kind}")
            theirs, value = _read_matrix(body, order, 0)
            found = value if theirs == name else found
        return found
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


def _read_matrix(data: bytes, order: str, depth: int) -> tuple[str, Any]:
    """Name and value of a matrix."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"structs in structs, {depth} deep")
    if not data:
        return "", np.zeros((0, 0))
    kind, flags, at = _element(data, 0, order)
    if kind != _UINT32 or len(flags) != 8:
        raise ValueError("no array flags")
    (word,) = struct.unpack_from(f"{order}I", flags)
    mx_class, is_complex = word & 0xFF, bool(word & _COMPLEX)
    kind, sides, at = _element(data, at, order)
    if kind != _INT32 or len(sides) < 8 or len(sides) % 4:
        raise ValueError("no dimensions")
    shape = struct.unpack(f"{order}{len(sides) // 4}i", sides)
    if min(shape) < 0 or math.prod(shape) > _MAX_BYTES:
        raise ValueError(f"dimensions {shape}")
    kind, letters, at = _element(data, at, order)
    if kind != _INT8:
        raise ValueError("no name")
    name = letters.decode("latin-1").rstrip("\0")
    if mx_class == _STRUCT:
        return name, _read_struct(data, at, order, depth, math.prod(shape))
    if mx_class == _CELL:
        return name, _read_matrices(data, at, order, depth, math.prod(shape))[0]
    if mx_class == _CHAR:
        kind, body, _ = _element(data, at, order)
        return name, body.decode(_TEXTS.get(kind, "latin-1"), errors="replace")
    if mx_class not in _NUMERIC or is_complex:
        return name, None
    kind, body, _ = _element(data, at, order)
    if kind not in _NUMBERS:
        raise ValueError(f"numbers of type {kind}")
    values = np.frombuffer(body, np.dtype(f"{order}{_NUMBERS[kind]}"))
    if len(values) != math.prod(shape):
        raise ValueError(f"{len(values)} numbers in a matrix of {shape}")
    return name, values.astype(values.dtype.newbyteorder("=")).reshape(shape, order="F")


def _read_struct(data: bytes, at: int, order: str, depth: int, n_items: int) -> Any:
    """One struct as a dict; several as a list of them."""
    kind, length, at = _element(data, at, order)
    (n_letters,) = struct.unpack(f"{order}i", length) if kind == _INT32 and len(length) == 4 else (0,)
    kind, letters, at = _element(data, at, order)
    if kind != _INT8 or n_letters < 1 or len(letters) % n_letters:
        raise ValueError("no names of fields")
    names = [
        letters[start : start + n_letters].split(b"\0")[0].decode("latin-1")
        for start in range(0, len(letters), n_letters)
    ]
    structs = []
    for _ in range(n_items if names else 0):
        values, at = _read_matrices(data, at, order, depth, len(names))
        structs.append(dict(zip(names, values, strict=True)))
    return structs[0] if len(structs) == 1 else structs


def _read_matrices(data: bytes, at: int, order: str, depth: int, count: int) -> tuple[list[Any], int]:
    """The values of ``count`` matrices from ``at`` on, and where the next one begins."""
    values = []
    for _ in range(count):
        kind, body, at = _element(data, at, order)
        if kind != _MATRIX:
            raise ValueError(f"an element of type {kind} within a struct or cell")
        values.append(_read_matrix(body, order, depth + 1)[1])
    return values, at
