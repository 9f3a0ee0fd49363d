"""Messages between a run and its viewers beside pictures, and their strict validation.

Each is a tagged `msgspec.Struct` in MessagePack. Nothing is ever unpickled, types and sizes are checked before anything
is allocated, and whatever does not fit raises `WireError`.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec

from dblink_live.errors import WireError

PROTOCOL_VERSION = 2
MAX_CONTROL_BYTES = 2**19
MAX_REQUEST_BYTES = 16_384
"""Largest message that a publisher's sockets accept, subscriptions and the CURVE handshake included."""
Topic = Literal["camera", "sum", "live", "provisional", "error"]
TOPICS: tuple[Topic, ...] = get_args(Topic)
"""camera: the newest frame; sum: plain windowed sum; live: the reconstruction with its bounded lookahead;
provisional: the reconstruction of the newest window, which has seen no later one; error: the probability that ``live``
is wrong, where the network predicts it."""

RunState = Literal["running", "ending", "ended", "failed"]

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Text = Annotated[str, msgspec.Meta(max_length=4096)]
Key = Annotated[str, msgspec.Meta(max_length=64)]
_Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


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

    name: Key
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
    lost: Annotated[dict[Key, Count], msgspec.Meta(max_length=32)] = {}
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
    step: Key = "whole"
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

    publisher_id: Key = ""
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
    publisher_id: Key
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


_encoder = msgspec.msgpack.Encoder()
_control_decoder: msgspec.msgpack.Decoder[Control] = msgspec.msgpack.Decoder(Control)

DECODE_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)
"""Errors of a decoder of untrusted bytes besides its own: bad UTF-8, too deep a nesting, too large a number."""


def encode_control(message: Control) -> bytes:
    """Serialize a message that is not an image.

    Raises
    ------
    WireError
        A field has a value that a receiver would refuse.
    """
    try:
        packed = _encoder.encode(message)
    except (TypeError, *DECODE_ERRORS) as error:
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
    except DECODE_ERRORS as error:
        raise WireError(f"a message could not be read: {error}") from error
    if isinstance(message, Snapshot) and message.protocol != PROTOCOL_VERSION:
        raise WireError(
            f"expected wire protocol {PROTOCOL_VERSION}, found {message.protocol}; "
            "use the same dblink-live version for the run and the viewer"
        )
    return message
