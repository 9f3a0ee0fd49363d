"""The wire format: what goes in comes out, and nothing that is malformed gets in."""

from __future__ import annotations

import contextlib
import pickle
import struct
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dblink_live.bus.images import MAX_EXTRA, MAX_HEADER_BYTES, MAX_SIDE, ImageMessage, decode_image, encode_image
from dblink_live.bus.messages import (
    MAX_CONTROL_BYTES,
    PROTOCOL_VERSION,
    TOPICS,
    EndMessage,
    HeartbeatMessage,
    ImageInfo,
    ImageRequest,
    Refusal,
    Snapshot,
    SnapshotRequest,
    StartMessage,
    StatusMessage,
    decode_control,
    encode_control,
)
from dblink_live.errors import WireError

DTYPES = ("uint8", "uint16", "float32")


def picture(image: np.ndarray[Any, Any] | None = None, **changes: Any) -> ImageMessage:
    facts: dict[str, Any] = {
        "topic": "live",
        "run_uuid": "run-1",
        "segment": 2,
        "number": 17,
        "image": np.arange(12, dtype=np.uint16).reshape(3, 4) if image is None else image,
        "t_host_ns": 123_456_789,
        "pitch_nm": 40.0,
        "origin_nm": (-20.0, 0.0),
        "extra": {"lookahead": 8.0},
        "sequence": 5,
    }
    return ImageMessage(**{**facts, **changes})


def header(**changes: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "protocol": PROTOCOL_VERSION,
        "topic": "live",
        "run": "r",
        "segment": 0,
        "number": 0,
        "sequence": 0,
        "shape": [2, 2],
        "dtype": "uint8",
        "t_host_ns": 0,
        "pitch_nm": 40.0,
        "origin_nm": [0.0, 0.0],
        "extra": {},
    }
    return {**facts, **changes}


def part_of(packed: bytes, pixels: bytes = b"\1\2\3\4") -> bytes:
    start = -(-(4 + len(packed)) // 64) * 64
    return (struct.pack("<I", len(packed)) + packed).ljust(start, b"\0") + pixels


def test_the_hand_made_part_is_sound() -> None:
    # Or else none of the malformed ones below would mean anything.
    assert decode_image(part_of(msgspec.msgpack.encode(header()))).image.tolist() == [[1, 2], [3, 4]]


@given(
    st.sampled_from(TOPICS),
    st.sampled_from(DTYPES),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 2**63 - 1),
    st.floats(0.01, 1e4),
    st.dictionaries(st.text(max_size=16), st.floats(allow_nan=False, allow_infinity=False), max_size=4),
)
def test_images_come_out_as_they_went_in(
    topic: Any, dtype: str, height: int, width: int, number: int, pitch_nm: float, extra: dict[str, float]
) -> None:
    image = np.random.default_rng(0).integers(0, 255, (height, width)).astype(dtype)
    sent = picture(image, topic=topic, number=number, pitch_nm=pitch_nm, extra=extra)
    got = decode_image(bytes(encode_image(sent)))
    assert got.image.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got.image, image)
    facts = ("topic", "run_uuid", "segment", "number", "t_host_ns", "pitch_nm", "origin_nm", "extra", "sequence")
    assert [getattr(got, name) for name in facts] == [getattr(sent, name) for name in facts]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda image: image[:, ::2], id="strided"),
        pytest.param(lambda image: image.T, id="transposed"),
        pytest.param(lambda image: image[::-1], id="flipped"),
        pytest.param(lambda image: image.astype(">u2"), id="big-endian"),
    ],
)
def test_any_memory_layout_is_sent_as_its_values(make: Callable[[Any], Any]) -> None:
    image = make(np.arange(300, dtype=np.uint16).reshape(15, 20))
    np.testing.assert_array_equal(decode_image(encode_image(picture(image))).image, image)


def test_the_image_may_be_reused_at_once() -> None:
    image = np.zeros((8, 8), np.uint16)
    part = encode_image(picture(image))
    image += 1
    assert decode_image(part).image.max() == 0


def test_decoding_copies_nothing_and_cannot_be_written_to() -> None:
    part = encode_image(picture())
    image = decode_image(part).image
    assert np.shares_memory(image, np.frombuffer(part, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0] = 1


@pytest.mark.parametrize(
    ("message", "found"),
    [
        pytest.param(picture(np.zeros((2, 2))), "float64", id="float64"),
        pytest.param(picture(np.zeros((2, 2), object)), "object", id="object"),
        pytest.param(picture(np.zeros((2, 2), np.int16)), "int16", id="int16"),
        pytest.param(picture(np.zeros((2, 2, 3), np.uint8)), "3 axes", id="colour"),
        pytest.param(picture(np.zeros((0, 2), np.uint8)), "0 x 2", id="empty"),
        pytest.param(picture(np.zeros((1, MAX_SIDE + 1), np.uint8)), str(MAX_SIDE + 1), id="too wide"),
        pytest.param(picture(np.broadcast_to(np.float32(0), (10_000, 10_000))), "400000000", id="too many bytes"),
        pytest.param(picture(pitch_nm=0.0), "found 0.0", id="no pitch"),
        pytest.param(picture(pitch_nm=float("nan")), "found nan", id="pitch NaN"),
        pytest.param(picture(origin_nm=(float("inf"), 0.0)), "infinity", id="origin infinite"),
        pytest.param(picture(topic="elsewhere"), "elsewhere", id="unknown topic"),
        pytest.param(picture(number=-1), "number", id="negative number"),
        pytest.param(picture(extra={str(n): 0.0 for n in range(MAX_EXTRA + 1)}), "extra", id="too much extra"),
    ],
)
def test_the_sender_is_told_what_cannot_be_sent(message: ImageMessage, found: str) -> None:
    with pytest.raises(WireError, match=found):
        encode_image(message)


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\1\2\3", id="less than a length"),
        pytest.param(struct.pack("<I", 2**32 - 1), id="length beyond the part"),
        pytest.param(struct.pack("<I", MAX_HEADER_BYTES + 1) + bytes(MAX_HEADER_BYTES + 200), id="header too long"),
        pytest.param(struct.pack("<I", 0) + bytes(64), id="no header"),
        pytest.param(pickle.dumps(np.zeros(4)), id="pickle"),
        pytest.param(part_of(b"\xc1" * 20), id="not MessagePack"),
        pytest.param(part_of(b"\x91" * 5000), id="nested deeply"),
        pytest.param(part_of(msgspec.msgpack.encode([1, 2])), id="not a table"),
        pytest.param(part_of(msgspec.msgpack.encode(header()), pixels=b"\1\2\3"), id="pixels missing"),
        pytest.param(part_of(msgspec.msgpack.encode(header()), pixels=b"\1\2\3\4\5"), id="pixels too many"),
        pytest.param(part_of(msgspec.msgpack.encode(header()) + b"\0"), id="header and more"),
        *(
            pytest.param(part_of(msgspec.msgpack.encode(header(**changes))), id=str(changes))
            for changes in (
                {"protocol": PROTOCOL_VERSION + 1},
                {"topic": "elsewhere"},
                {"dtype": "object"},
                {"dtype": "float64"},
                {"dtype": ">u2"},
                {"shape": [2, 2, 1]},
                {"shape": [-2, -2]},
                {"shape": [0, 4]},
                {"shape": [2**62, 2**62]},
                {"shape": ["2", 2]},
                {"shape": [2.5, 2]},
                {"segment": -1},
                {"number": 2**64 - 1},
                {"number": True},
                {"pitch_nm": float("nan")},
                {"pitch_nm": -40.0},
                {"pitch_nm": "40"},
                {"origin_nm": [0.0, float("inf")]},
                {"extra": {"a": "text"}},
                {"extra": {"a": float("nan")}},
                {"extra": {"x" * 65: 0.0}},
                {"run": "x" * 65},
                {"run": b"\xff\xfe"},
                {"surprise": 1},
            )
        ),
        pytest.param(part_of(msgspec.msgpack.encode({"topic": "live"})), id="fields missing"),
    ],
)
def test_malformed_images_are_refused(part: bytes) -> None:
    with pytest.raises(WireError):
        decode_image(part)


def test_every_truncation_is_refused() -> None:
    whole = bytes(encode_image(picture()))
    for length in range(len(whole)):
        with pytest.raises(WireError):
            decode_image(whole[:length])


@given(st.binary(max_size=600))
def test_random_bytes_never_crash(noise: bytes) -> None:
    for decode in (decode_image, decode_control):
        with contextlib.suppress(WireError):
            decode(noise)


@settings(max_examples=300)
@given(st.data())
def test_a_flipped_byte_is_refused_or_harmless(data: st.DataObject) -> None:
    part = encode_image(picture())
    part[data.draw(st.integers(0, len(part) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        got = decode_image(part)
    except WireError:
        return
    assert got.image.dtype.name in DTYPES
    assert got.image.nbytes <= len(part)


CONTROL_MESSAGES = [
    StartMessage(run_uuid="r", source="mm:core", camera_shape=(64, 48), grid_shape=(173, 130), calibrated=False),
    StatusMessage(frame=3, lost={"ring": 2}, unknown_loss=True, latency_p50_s=0.5, envelope_density=(0.1, 0.4)),
    StatusMessage(),
    EndMessage(state="failed", message="disk full", status=StatusMessage(frame=9, state="failed")),
    HeartbeatMessage(publisher_id="p", count=7),
    SnapshotRequest(),
    ImageRequest(topic="sum"),
    Snapshot(
        protocol=PROTOCOL_VERSION,
        publisher_id="p",
        status_port=5000,
        image_ports={"live": 5001},
        start=StartMessage(),
        latest={"live": ImageInfo(segment=0, number=4, sequence=9, t_host_ns=1)},
    ),
    Refusal("no"),
]


@pytest.mark.parametrize("message", CONTROL_MESSAGES, ids=lambda message: type(message).__name__)
def test_control_messages_come_out_as_they_went_in(message: Any) -> None:
    assert decode_control(encode_control(message)) == message


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xc1", id="not MessagePack"),
        pytest.param(pickle.dumps({"type": "status"}), id="pickle"),
        pytest.param(b"\x81\xa1a" * 3000, id="nested deeply"),
        pytest.param(b"\x82\xa4type\xa6status\xa7message\xa2\xff\xfe", id="bad UTF-8"),
        pytest.param(encode_control(StatusMessage()) + b"\0", id="and more"),
        pytest.param(bytes(MAX_CONTROL_BYTES + 1), id="too long"),
        *(
            pytest.param(msgspec.msgpack.encode(message), id=str(message)[:60])
            for message in (
                {"frame": 3},
                {"type": "rm -rf"},
                {"type": "status", "frame": -1},
                {"type": "status", "frame": "3"},
                {"type": "status", "frame": 2**64 - 1},
                {"type": "status", "surprise": 1},
                {"type": "status", "state": "dancing"},
                {"type": "status", "message": "x" * 5000},
                {"type": "status", "lost": {"ring": -1}},
                {"type": "image?", "topic": "elsewhere"},
                {
                    "type": "snapshot",
                    "protocol": PROTOCOL_VERSION,
                    "publisher_id": "p",
                    "status_port": 0,
                    "image_ports": {},
                },
                {"type": "snapshot", "protocol": 99, "publisher_id": "p", "status_port": 1, "image_ports": {}},
            )
        ),
    ],
)
def test_malformed_control_messages_are_refused(part: bytes) -> None:
    with pytest.raises(WireError):
        decode_control(part)


def test_the_sender_is_told_which_status_cannot_be_sent() -> None:
    with pytest.raises(WireError, match="frame"):
        encode_control(StatusMessage(frame=-5))


def test_another_protocol_says_what_to_do() -> None:
    other = Snapshot(protocol=PROTOCOL_VERSION + 1, publisher_id="p", status_port=1, image_ports={})
    with pytest.raises(WireError, match="same dblink-live version"):
        decode_control(msgspec.msgpack.encode(other))
