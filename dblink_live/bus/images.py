"""Pictures on their way to a viewer, and their strict validation.

An image is one ZeroMQ part, because CONFLATE keeps only the last part of a message:

    u32 header length | MessagePack header | zeros up to a multiple of 64 | pixels, row by row

with all numbers little-endian. Types and sizes are checked before anything is allocated, and whatever does not fit
raises `WireError`.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from dblink_live.bus.messages import DECODE_ERRORS, PROTOCOL_VERSION, Count, Key, Topic
from dblink_live.errors import WireError

MAX_SIDE = 16_384
"""Largest height or width of an image on the wire, in pixels."""
MAX_IMAGE_BYTES = 256 * 2**20
MAX_HEADER_BYTES = 16_384
MAX_EXTRA = 32
"""Largest number of entries in `ImageMessage.extra`."""
MAX_PITCH_NM = 1e6
MAX_PART_BYTES = MAX_IMAGE_BYTES + MAX_HEADER_BYTES + 128
"""Largest message that a socket accepts (ZMQ_MAXMSGSIZE)."""

_ALIGN = 64
_LENGTH = struct.Struct("<I")
_DTYPES: dict[str, np.dtype[Any]] = {"uint8": np.dtype("u1"), "uint16": np.dtype("<u2"), "float32": np.dtype("<f4")}


@dataclass(frozen=True)
class ImageMessage:
    """One picture on its way to a viewer.

    Parameters
    ----------
    topic
        Which of the `TOPICS` it belongs to.
    run_uuid
        The run that it comes from.
    segment
        Index of the segment.
    number
        Camera frame number (topic camera) or window index (all others).
    image
        [H, W] of uint8, uint16 or float32. After `decode_image` it is a read-only view of the received bytes.
    t_host_ns
        `time.perf_counter_ns()` of the run's host when the last frame in it was taken.
    pitch_nm
        Side of one of its pixels in the sample plane.
    origin_nm
        (y, x) of the outer corner of its pixel (0, 0), as in `dblink_live.types.Grid`.
    extra
        A few more numbers by name, for display.
    sequence
        Running number of the topic, given by the publisher; holes tell a viewer how many pictures it did not show.
    """

    topic: Topic
    run_uuid: str
    segment: int
    number: int
    image: npt.NDArray[Any]
    t_host_ns: int
    pitch_nm: float
    origin_nm: tuple[float, float] = (0.0, 0.0)
    extra: dict[str, float] = field(default_factory=dict)
    sequence: int = 0


class _ImageHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The header of an image part."""

    protocol: int
    topic: Topic
    run: Annotated[str, msgspec.Meta(max_length=64)]
    segment: Count
    number: Count
    sequence: Count
    shape: tuple[int, int]
    dtype: Literal["uint8", "uint16", "float32"]
    t_host_ns: Count
    pitch_nm: float
    origin_nm: tuple[float, float]
    extra: Annotated[dict[Key, float], msgspec.Meta(max_length=MAX_EXTRA)]


_encoder = msgspec.msgpack.Encoder()
_header_decoder = msgspec.msgpack.Decoder(_ImageHeader)


def encode_image(message: ImageMessage) -> bytearray:
    """Serialize one picture into a fresh buffer, so that the caller may reuse the image at once.

    Raises
    ------
    WireError
        The image has another dtype or number of axes, or is larger than the caps allow.
    """
    image = message.image
    name = image.dtype.name
    if name not in _DTYPES:
        raise WireError(f"expected an image of {', '.join(_DTYPES)}, found {name}; convert it before publishing")
    if image.ndim != 2:
        raise WireError(f"expected an image [height, width], found {image.ndim} axes")
    height, width = image.shape
    header = _ImageHeader(
        protocol=PROTOCOL_VERSION,
        topic=message.topic,
        run=message.run_uuid,
        segment=message.segment,
        number=message.number,
        sequence=message.sequence,
        shape=(height, width),
        dtype=name,  # type: ignore[arg-type]  # checked against the table above
        t_host_ns=message.t_host_ns,
        pitch_nm=float(message.pitch_nm),
        origin_nm=(float(message.origin_nm[0]), float(message.origin_nm[1])),
        extra={key: float(value) for key, value in message.extra.items()},
    )
    _check_header(header)
    packed = _encoder.encode(header)
    # The sender goes through the same door as the receiver: a mistake shows where it is made.
    _decode_header(packed)
    start = _pixels_start(len(packed))
    part = bytearray(start + image.nbytes)
    _LENGTH.pack_into(part, 0, len(packed))
    part[_LENGTH.size : _LENGTH.size + len(packed)] = packed
    np.frombuffer(part, _DTYPES[name], offset=start).reshape(height, width)[...] = image
    return part


def decode_image(part: bytes | bytearray | memoryview) -> ImageMessage:
    """Read one image part; its pixels are a read-only view of ``part``.

    Raises
    ------
    WireError
        Anything about it is not as `encode_image` writes it.
    """
    view = memoryview(part).cast("B").toreadonly()
    if len(view) < _LENGTH.size:
        raise WireError(f"expected an image part of at least {_LENGTH.size} bytes, found {len(view)}")
    (length,) = _LENGTH.unpack_from(view)
    if length > MAX_HEADER_BYTES or _LENGTH.size + length > len(view):
        raise WireError(f"expected an image header within {len(view)} bytes, found a length of {length}")
    header = _decode_header(view[_LENGTH.size : _LENGTH.size + length])
    height, width = header.shape
    dtype = _DTYPES[header.dtype]
    start = _pixels_start(length)
    expected = start + height * width * dtype.itemsize
    if len(view) != expected:
        raise WireError(f"expected {expected} bytes for {height} x {width} {header.dtype}, found {len(view)}")
    image = np.frombuffer(view, dtype, offset=start).reshape(height, width)
    return ImageMessage(
        topic=header.topic,
        run_uuid=header.run,
        segment=header.segment,
        number=header.number,
        image=image,
        t_host_ns=header.t_host_ns,
        pitch_nm=header.pitch_nm,
        origin_nm=header.origin_nm,
        extra=header.extra,
        sequence=header.sequence,
    )


def _pixels_start(header_length: int) -> int:
    return -(-(_LENGTH.size + header_length) // _ALIGN) * _ALIGN


def _decode_header(packed: bytes | memoryview) -> _ImageHeader:
    try:
        header = _header_decoder.decode(packed)
    except DECODE_ERRORS as error:
        raise WireError(f"an image header could not be read: {error}") from error
    _check_header(header)
    return header


def _check_header(header: _ImageHeader) -> None:
    if header.protocol != PROTOCOL_VERSION:
        raise WireError(
            f"expected wire protocol {PROTOCOL_VERSION}, found {header.protocol}; use the same version on both sides"
        )
    height, width = header.shape
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise WireError(f"expected an image of 1 to {MAX_SIDE} pixels a side, found {height} x {width}")
    size = height * width * _DTYPES[header.dtype].itemsize
    if size > MAX_IMAGE_BYTES:
        raise WireError(f"expected an image of at most {MAX_IMAGE_BYTES} bytes, found {size}; publish a smaller region")
    if not (math.isfinite(header.pitch_nm) and 0 < header.pitch_nm <= MAX_PITCH_NM):
        raise WireError(f"expected a pixel pitch above 0 nm, found {header.pitch_nm}")
    if not all(math.isfinite(value) for value in (*header.origin_nm, *header.extra.values())):
        raise WireError("expected finite numbers in an image header, found NaN or infinity")
