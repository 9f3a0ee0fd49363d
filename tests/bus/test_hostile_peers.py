"""Peers that break the protocol: the publisher goes on answering, the subscriber goes on listening, memory stays."""

from __future__ import annotations

import contextlib
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import psutil
import pytest
import zmq
from bus_peers import numbered
from hypothesis import given, settings
from hypothesis import strategies as st

from dblink_live.bus import HeartbeatMessage, Link, Publisher, StatusMessage, Subscriber
from dblink_live.bus.images import decode_image
from dblink_live.bus.messages import (
    MAX_CONTROL_BYTES,
    MAX_REQUEST_BYTES,
    PROTOCOL_VERSION,
    EndMessage,
    ImageInfo,
    ImageRequest,
    Snapshot,
    SnapshotRequest,
    StartMessage,
    decode_control,
    encode_control,
)
from dblink_live.errors import WireError

PATIENCE_S = 60.0  # only ever waited out by a failing test
Socket = zmq.Socket[bytes]


def until(condition: Callable[[], Any]) -> Any:
    limit_s = time.perf_counter() + PATIENCE_S
    while not (found := condition()):
        assert time.perf_counter() < limit_s, "waited in vain"
        time.sleep(0.002)
    return found


@pytest.fixture
def context() -> Iterator[zmq.Context[Socket]]:
    made: zmq.Context[Socket] = zmq.Context()
    yield made
    made.destroy(linger=0)


def is_answered(context: zmq.Context[Socket], publisher: Publisher) -> bool:
    """Whether an honest question gets its answer."""
    with context.socket(zmq.REQ) as asker:
        asker.linger = 0
        asker.connect(publisher.address)
        asker.send(encode_control(SnapshotRequest()))
        assert asker.poll(1000 * PATIENCE_S)
        return isinstance(decode_control(asker.recv()), Snapshot)


REQUEST = encode_control(SnapshotRequest())


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([[b"", REQUEST], [b"", REQUEST]] * 20, id="several requests, no answer read"),
        pytest.param([[REQUEST], [b"x"]] * 20, id="no delimiter"),
        pytest.param([[b"", REQUEST, REQUEST], [b""] * 5000, [b"", b""]], id="many parts"),
        pytest.param([[b"", b"x" * 50_000]], id="longer than a request can be"),
        pytest.param([[b"", b"\xdf\xff\xff\xff\xff"], [b"", b"\x91" * 10_000]], id="bombs"),
    ],
)
def test_the_snapshot_server_answers_after(messages: list[list[bytes]], context: zmq.Context[Socket]) -> None:
    with Publisher() as publisher:
        for _ in range(8):
            with context.socket(zmq.DEALER) as peer:
                peer.linger = 20  # gone before it could read an answer
                peer.connect(publisher.address)
                for message in messages:
                    peer.send_multipart(message)
            assert is_answered(context, publisher)


def test_a_peer_that_is_no_peer_does_no_harm(context: zmq.Context[Socket]) -> None:
    with Publisher() as publisher:
        port = int(publisher.address.rpartition(":")[2])
        for noise in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 5000, b"\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL" + bytes(500)):
            with socket.create_connection(("127.0.0.1", port)) as peer, contextlib.suppress(OSError):
                peer.sendall(noise)
            assert is_answered(context, publisher)


def test_pictures_do_not_pile_up_for_who_asks_and_never_reads(context: zmq.Context[Socket]) -> None:
    with Publisher() as publisher, context.socket(zmq.DEALER) as peer:
        publisher.send_image(numbered(1, side=1024))  # 4 MB
        peer.linger = 0
        peer.rcvhwm = 1
        peer.connect(publisher.address)
        for _ in range(100):
            peer.send_multipart([b"", encode_control(ImageRequest("live"))])
        assert is_answered(context, publisher)
        before = psutil.Process().memory_info().rss
        for _ in range(100):
            peer.send_multipart([b"", encode_control(ImageRequest("live"))])
        for _ in range(20):
            assert is_answered(context, publisher)
        # 100 answers are 400 MB; a few of them lie in the sockets of both sides, which here are one process.
        assert psutil.Process().memory_info().rss - before < 100e6


def test_whoever_sends_more_than_allowed_is_cut_off(context: zmq.Context[Socket]) -> None:
    with Publisher() as publisher:
        with context.socket(zmq.SUB) as peer:
            peer.linger = 0
            monitor = peer.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            peer.set(zmq.SUBSCRIBE, bytes(2 * MAX_REQUEST_BYTES))
            peer.connect(f"tcp://127.0.0.1:{_snapshot(context, publisher).status_port}")
            assert monitor.poll(1000 * PATIENCE_S)
            peer.disable_monitor()
            monitor.close(linger=0)
        assert is_answered(context, publisher)


def _snapshot(context: zmq.Context[Socket], publisher: Publisher) -> Snapshot:
    with context.socket(zmq.REQ) as asker:
        asker.linger = 0
        asker.connect(publisher.address)
        asker.send(REQUEST)
        found = decode_control(asker.recv())
    assert isinstance(found, Snapshot)
    return found


def test_the_longest_snapshot_that_fields_allow_can_be_sent() -> None:
    text, key = "\N{CJK UNIFIED IDEOGRAPH-4E00}" * 4096, "k" * 62
    status = StatusMessage(lost={f"{n:02}{key}": 2**63 - 1 for n in range(32)}, device=text, model=text, message=text)
    start = StartMessage(text, text, text, text, text, text)
    infos = {topic: ImageInfo(2**63 - 1, 2**63 - 1, 2**63 - 1, 2**63 - 1) for topic in ("camera", "sum", "live")}
    end = EndMessage(text, "ended", text, status)
    snapshot = Snapshot(PROTOCOL_VERSION, "p", 65535, {"live": 65535}, start, status, end, infos)
    assert len(encode_control(snapshot)) < MAX_CONTROL_BYTES
    with pytest.raises(WireError, match="lost"):
        encode_control(StatusMessage(lost={str(n): 1 for n in range(33)}))


class Liar:
    """A publisher by hand."""

    def __init__(self, context: zmq.Context[Socket]) -> None:
        self._reply, self.status = context.socket(zmq.ROUTER), context.socket(zmq.PUB)
        port, status_port = (made.bind_to_random_port("tcp://127.0.0.1") for made in (self._reply, self.status))
        self.address = f"tcp://127.0.0.1:{port}"
        self.snapshot = encode_control(Snapshot(PROTOCOL_VERSION, "liar", status_port, {}))
        self.n_asked = 0

    def answer(self, *parts: bytes) -> None:
        """Answer a question, if there is one."""
        while self._reply.poll(0):
            self.n_asked += 1
            self._reply.send_multipart([*self._reply.recv_multipart()[:2], *parts])

    def close(self) -> None:
        self._reply.close()
        self.status.close()


@pytest.fixture
def liar(context: zmq.Context[Socket]) -> Iterator[Liar]:
    made = Liar(context)
    yield made
    made.close()


def test_an_answer_of_several_parts_is_thrown_away(liar: Liar) -> None:
    with Subscriber(liar.address) as subscriber:
        until(lambda: subscriber.poll() or liar.answer(liar.snapshot, b"more") or subscriber.n_malformed)
        assert subscriber.link is Link.CONNECTING
        until(lambda: subscriber.poll() or liar.answer(liar.snapshot) or subscriber.link is Link.LIVE)


def test_a_flood_of_reasons_to_ask_is_one_question(liar: Liar) -> None:
    with Subscriber(liar.address) as subscriber:
        until(lambda: subscriber.poll() or liar.answer(liar.snapshot) or subscriber.link is Link.LIVE)
        liar.n_asked = 0
        beat = encode_control(HeartbeatMessage("another"))
        flood_s = time.perf_counter() + 1.0
        n_sent = 0
        while time.perf_counter() < flood_s:
            for _ in range(50):
                liar.status.send(beat)
                n_sent += 1
            subscriber.poll()
        assert n_sent > 100
        tracemalloc.start()
        for _ in range(20):
            subscriber.poll()
            liar.answer(liar.snapshot)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert size < 2**20
        assert liar.n_asked < 30


BOMBS = st.sampled_from(
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\1",
        b"\x91" * 3000,
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=80) | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KINDS = st.sampled_from(["start", "status", "end", "heartbeat", "snapshot?", "image?", "snapshot", "refused", "rm"])
FIELDS = st.sampled_from(["lost", "frame", "status", "image_ports", "latest", "start", "topic", "protocol", "message"])


@settings(max_examples=50)  # tracemalloc makes each slow
@given(kind=KINDS, fields=st.dictionaries(FIELDS, VALUES, max_size=5), bomb=st.none() | BOMBS, cut=st.integers(0, 20))
def test_whatever_fields_hold_a_message_is_read_or_refused(
    kind: str, fields: dict[str, Any], bomb: bytes | None, cut: int
) -> None:
    packed = msgspec.msgpack.encode({"type": kind, **fields})
    packed = packed[: max(0, len(packed) - cut)] + (bomb or b"")
    tracemalloc.start()
    try:
        for decode in (decode_control, decode_image):
            with contextlib.suppress(WireError):
                decode(packed)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A map of four thousand million entries that ends after five bytes must not be made room for.
    assert peak < 8 * 2**20
