"""Malformed messages: valid ones that were changed, by the byte and by the field, and bombs."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from dblink_live.bus.images import ImageMessage, encode_image
from dblink_live.bus.messages import (
    PROTOCOL_VERSION,
    EndMessage,
    HeartbeatMessage,
    ImageInfo,
    ImageRequest,
    Refusal,
    Snapshot,
    SnapshotRequest,
    StartMessage,
    StatusMessage,
    encode_control,
)

IMAGES: tuple[bytes, ...] = tuple(
    bytes(
        encode_image(
            ImageMessage("live", "run", 1, 2, np.ones(shape, dtype), 3, 40.0, (1.0, -2.0), {"lookahead": 8.0}, 4)
        )
    )
    for dtype in (np.uint8, np.uint16, np.float32)
    for shape in ((1, 1), (3, 5), (40, 40))
)
REQUESTS: tuple[bytes, ...] = (encode_control(SnapshotRequest()), encode_control(ImageRequest("live")))
NEWS: tuple[bytes, ...] = tuple(
    encode_control(message)
    for message in (
        StartMessage("run", source="mm:core", camera_shape=(64, 48), grid_shape=(173, 130)),
        StatusMessage(frame=3, lost={"ring": 2}, latency_p50_s=0.5, envelope_density=(0.1, 0.4)),
        EndMessage(state="failed", message="disk full", status=StatusMessage(frame=9, state="failed")),
        HeartbeatMessage("p", 7),
        Refusal("no"),
        Snapshot(
            PROTOCOL_VERSION, "p", 5000, {"live": 5001}, start=StartMessage(), latest={"live": ImageInfo(0, 4, 9, 1)}
        ),
    )
)
VALID = (*IMAGES, *REQUESTS, *NEWS)

_NASTY: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 255, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)),
    *(0.0, -0.0, 1e308, float("nan"), float("inf"), "", "x" * 5000, "\0", "../..", "live", "\ud7ff", b"", b"\xff" * 70),
    *([], [0] * 1000, [[[[]]]], {}, {"a": 1}, {str(n): n for n in range(100)}, [2**62, 2**62], [-2, -2], [1.5, 2]),
    *("uint8", "object", "float64", ">u2", "|O", msgspec.msgpack.Ext(1, b"x"), msgspec.msgpack.Ext(-1, b"\xff" * 12)),
)
_BOMBS: tuple[bytes, ...] = (
    *(
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\1",
    ),
    *(b"\x91" * 4000, b"\x81\xa1a" * 4000, b"\xdc\xff\xff" * 1000, b"\xde\xff\xff\xa1a" * 500, b"\xc1" * 100),
    b"\x82\xa4type\xa8snapshot\xaeimage_ports\xdf\xff\xff\xff\xff",
    b"\x82\xa4type\xa6status\xa4lost\xdf\x7f\xff\xff\xff",
)


class Mutator:
    """Makes malformed messages, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._by_the_byte: tuple[Callable[[bytearray], None], ...] = (
            self._flip,
            self._cut,
            self._insert,
            self._repeat,
            self._lengthen,
            self._lie_about_the_header,
        )

    def choose(self, messages: tuple[bytes, ...]) -> bytes:
        """One message, unchanged."""
        return self._random.choice(messages)

    def mutate(self, messages: tuple[bytes, ...] = VALID) -> bytes:
        """One of ``messages``, changed."""
        kind = self._random.random()
        message = self.choose(messages)
        if kind < 0.05:
            return self._random.choice(_BOMBS)
        if kind < 0.1:
            return self._random.randbytes(self._random.randrange(200))
        if kind < 0.5:
            message = self._change_a_field(message)
        if kind > 0.4:
            changed = bytearray(message)
            for _ in range(self._random.choice((1, 1, 1, 2, 5))):
                self._random.choice(self._by_the_byte)(changed)
            message = bytes(changed)
        return message

    def _flip(self, part: bytearray) -> None:
        if part:
            part[self._place(part)] ^= 1 << self._random.randrange(8)

    def _cut(self, part: bytearray) -> None:
        start = self._place(part)
        del part[start : start + self._random.choice((1, 4, 64, len(part)))]

    def _insert(self, part: bytearray) -> None:
        place = self._place(part)
        part[place:place] = self._random.choice((b"\0", b"\xff" * 4, *_BOMBS))

    def _repeat(self, part: bytearray) -> None:
        start = self._place(part)
        part[start:start] = part[start : start + 40]

    def _lengthen(self, part: bytearray) -> None:
        part += bytes(self._random.choice((1, 64, 70_000)))

    def _lie_about_the_header(self, part: bytearray) -> None:
        part[:4] = struct.pack("<I", self._random.choice((0, 1, len(part), 16_384, 16_385, 2**31, 2**32 - 1)))

    def _place(self, part: bytearray) -> int:
        # The beginning says what the rest is; most of a picture is pixels.
        return self._random.randrange(max(1, min(len(part), self._random.choice((8, 250, len(part))))))

    def _change_a_field(self, message: bytes) -> bytes:
        if message not in IMAGES:
            return self._repacked(message)
        (length,) = struct.unpack_from("<I", message)
        header = self._repacked(message[4 : 4 + length])
        start = -(-(4 + len(header)) // 64) * 64
        pixels = message[-(-(4 + length) // 64) * 64 :]
        return (struct.pack("<I", len(header)) + header).ljust(start, b"\0") + pixels

    def _repacked(self, packed: bytes) -> bytes:
        fields: Any = msgspec.msgpack.decode(packed)
        target = fields
        # Down into the message, now and then.
        while inner := [value for value in target.values() if isinstance(value, dict) and value]:
            if self._random.random() < 0.5:
                break
            target = self._random.choice(inner)
        key = self._random.choice([*target, "surprise"])
        if self._random.random() < 0.1:
            target.pop(key, None)
        else:
            target[key] = self._random.choice(_NASTY)
        return msgspec.msgpack.encode(fields)
