"""Messages between a run and its viewers, and their strict validation.

An image is one ZeroMQ part, because CONFLATE keeps only the last part of a message:

    u32 header length | MessagePack header | zeros up to a multiple of 64 | pixels, row by row

with all numbers little-endian. Everything else is a tagged `msgspec.Struct` in MessagePack. Nothing is ever unpickled,
types and sizes are checked before anything is allocated, and whatever does not fit raises `WireError`.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

import msgspec
import numpy as np
import numpy.typing as npt

from dblink_live.errors import WireError

PROTOCOL_VERSION = 2
MAX_SIDE = 16_384
"""Largest height or width of an image on the wire, in pixels."""
MAX_IMAGE_BYTES = 256 * 2**20
MAX_HEADER_BYTES = 16_384
MAX_CONTROL_BYTES = 2**19
MAX_REQUEST_BYTES = 16_384
"""Largest message that a publisher's sockets accept, subscriptions and the CURVE handshake included."""
MAX_EXTRA = 32
"""Largest number of entries in `ImageMessage.extra`."""
MAX_PITCH_NM = 1e6
MAX_PART_BYTES = MAX_IMAGE_BYTES + MAX_HEADER_BYTES + 128
"""Largest message that a socket accepts (ZMQ_MAXMSGSIZE)."""

_ALIGN = 64
_LENGTH = struct.Struct("<I")

Topic = Literal["camera", "sum", "live", "provisional", "error"]
TOPICS: tuple[Topic, ...] = get_args(Topic)
"""camera: the newest frame; sum: plain windowed sum; live: the reconstruction with its bounded lookahead;
provisional: the reconstruction of the newest window, which has seen no later one; error: the probability that ``live``
is wrong, where the network predicts it."""

RunState = Literal["running", "ending", "ended", "failed"]

_DTYPES: dict[str, np.dtype[Any]] = {"uint8": np.dtype("u1"), "uint16": np.dtype("<u2"), "float32": np.dtype("<f4")}

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Text = Annotated[str, msgspec.Meta(max_length=4096)]
_Key = Annotated[str, msgspec.Meta(max_length=64)]
_Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


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


class StartMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="start"):
    """Identity of a run: sent once at its beginning, and to every late joiner."""

    run_uuid: _Text = ""
    created_utc: _Text = ""
    source: _Text = ""
    model: _Text = ""
    device: _Text = ""
    run_folder: _Text = ""
    """Path of the run folder, for viewers on the same machine; empty when unknown."""
    camera_shape: tuple[Count, Count] | None = None
    """(height, width) in camera pixels."""
    pixel_size_nm: float | None = None
    grid_shape: tuple[Count, Count] | None = None
    pitch_nm: float | None = None
    window_frames: Count = 0
    """Camera frames per window."""
    lookahead: Count = 0
    hop: Count = 0
    fps_asked: float | None = None
    calibrated: bool = True


class StageMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one stage of the run is doing."""

    name: _Key
    rate_hz: float = 0.0
    """Frames, windows or pictures per second, lately."""
    depth: Count = 0
    """Items that wait for it."""
    capacity: Count = 0
    delay_s: float | None = None
    """Age of the newest data when the stage was done with it."""


class StatusMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="status"):
    """State of the run. Every field has a default: None means unknown, never zero."""

    frame: Count = 0
    """Number of the newest camera frame."""
    frames_seen: Count = 0
    frames_committed: Count = 0
    lost: Annotated[dict[_Key, Count], msgspec.Meta(max_length=32)] = {}
    """Frames lost, by `GapCause` value."""
    unknown_loss: bool = False
    """An unknown number of frames was lost."""
    fps_asked: float | None = None
    fps_held: float | None = None
    latency_p50_s: float | None = None
    """Median seconds from a window's last frame to its picture."""
    latency_p99_s: float | None = None
    windows_counts: Count = 0
    """Localization maps committed."""
    windows_live: Count = 0
    """Reconstructions committed."""
    queue_depth: Count = 0
    """Frames waiting to be localized."""
    calibrated: bool = True
    estimated: bool = False
    """The gain of the camera was estimated from the frames."""
    device: _Text = ""
    model: _Text = ""
    lookahead: Count = 0
    hop: Count = 0
    state: RunState = "running"
    message: _Text = ""
    density_per_um2_frame: float | None = None
    """Localizations a square micrometre and frame, now."""
    envelope_density: tuple[float, float] | None = None
    """Lowest and highest such density that the model was trained on."""
    envelope_speed: tuple[float, float] | None = None
    """Slowest and fastest motion, in nm per window, that it was trained on."""
    envelope_precision: tuple[float, float] | None = None
    """Best and worst localization precision, in nm, that it was trained on."""
    speed_nm_per_window: float | None = None
    """Motion of the structure, from the localizations alone."""
    molecules_per_um2_window: float | None = None
    """Localizations per square micrometre and window where the structure is."""
    precision_nm: float | None = None
    """Median localization precision."""
    window_frames: Count | None = None
    """Camera frames per window."""
    drift_nm: tuple[float, float] | None = None
    """(y, x) by which the newest picture lies off an early one of its segment; on a living sample it absorbs motion."""
    preview: bool = False
    """Frames are looked at in passing while another program acquires them: some are missed by nature."""
    latency_budget_s: float | None = None
    """How old a picture may be that is shown; None where none can be too late."""
    step: _Key = "whole"
    """What is given up now to stay within the budget: a value of `dblink_live.latency.Step`."""
    live_region: tuple[Count, Count, Count, Count] | None = None
    """x, y, width, height in camera pixels of the part of the field whose pictures are made now."""
    live_region_is_whole: bool = True
    """Whether that is all of the field."""
    stages: Annotated[list[StageMessage], msgspec.Meta(max_length=16)] = []
    """Localize, bin, reconstruct, store and publish."""


class EndMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="end"):
    """The run is over; nothing follows."""

    run_uuid: _Text = ""
    state: Literal["ended", "failed"] = "ended"
    message: _Text = ""
    status: StatusMessage | None = None
    """The final one."""


class HeartbeatMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="heartbeat"):
    """The run's process is alive: once a second, whatever its pipeline is doing."""

    publisher_id: _Key = ""
    count: Count = 0


class SnapshotRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="snapshot?"):
    """Asks for a `Snapshot`."""


class ImageRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="image?"):
    """Asks for the newest image of a topic; the answer is an image part, or an empty one when there is none yet."""

    topic: Topic


class RegionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="region?"):
    """Asks for another live region; the answer is a `Done` or a `Refusal`."""

    region: Annotated[str, msgspec.Meta(max_length=64)]
    """``x,y,width,height`` in camera pixels, ``centre``, ``densest`` or ``auto``."""


class Done(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="done"):
    """The answer to a request that is followed."""


class ImageInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Header of the newest image of a topic, without its pixels."""

    segment: Count
    number: Count
    sequence: Count
    t_host_ns: Count


class Snapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="snapshot"):
    """Everything that a late joiner has missed."""

    protocol: int
    publisher_id: _Key
    """Changes when the run's process is started again."""
    status_port: _Port
    image_ports: dict[Topic, _Port]
    start: StartMessage | None = None
    status: StatusMessage | None = None
    end: EndMessage | None = None
    latest: dict[Topic, ImageInfo] = {}


class Refusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="refused"):
    """The answer to a request that could not be read, or is not followed."""

    message: _Text


Control = (
    StartMessage
    | StatusMessage
    | EndMessage
    | HeartbeatMessage
    | SnapshotRequest
    | ImageRequest
    | RegionRequest
    | Snapshot
    | Refusal
    | Done
)


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
    extra: Annotated[dict[_Key, float], msgspec.Meta(max_length=MAX_EXTRA)]


_encoder = msgspec.msgpack.Encoder()
_control_decoder: msgspec.msgpack.Decoder[Control] = msgspec.msgpack.Decoder(Control)
_header_decoder = msgspec.msgpack.Decoder(_ImageHeader)

# What a decoder of untrusted bytes can raise besides its own errors: bad UTF-8, too deep a nesting, too large a number.
_DECODE_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)


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


def encode_control(message: Control) -> bytes:
    """Serialize a message that is not an image.

    Raises
    ------
    WireError
        A field has a value that a receiver would refuse.
    """
    try:
        packed = _encoder.encode(message)
    except (TypeError, *_DECODE_ERRORS) as error:
        raise WireError(f"cannot send {type(message).__name__}: {error}") from error
    decode_control(packed)
    return packed


def decode_control(part: bytes | bytearray | memoryview) -> Control:
    """Read a message that is not an image.

    Raises
    ------
    WireError
        It is too long, not MessagePack, of an unknown kind, or a field is missing, unknown, mistyped or out of range.

    Examples
    --------
    >>> decode_control(encode_control(HeartbeatMessage(publisher_id="a", count=3)))
    HeartbeatMessage(publisher_id='a', count=3)
    """
    if len(part) > MAX_CONTROL_BYTES:
        raise WireError(f"expected a message of at most {MAX_CONTROL_BYTES} bytes, found {len(part)}")
    try:
        message = _control_decoder.decode(part)
    except _DECODE_ERRORS as error:
        raise WireError(f"a message could not be read: {error}") from error
    if isinstance(message, Snapshot) and message.protocol != PROTOCOL_VERSION:
        raise WireError(
            f"expected wire protocol {PROTOCOL_VERSION}, found {message.protocol}; "
            "use the same dblink-live version for the run and the viewer"
        )
    return message


def _pixels_start(header_length: int) -> int:
    return -(-(_LENGTH.size + header_length) // _ALIGN) * _ALIGN


def _decode_header(packed: bytes | memoryview) -> _ImageHeader:
    try:
        header = _header_decoder.decode(packed)
    except _DECODE_ERRORS as error:
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
