"""What malformed messages are sent to: the decoder, the snapshot server, the subscriber, each until its time is up.

A target ends by itself, or with an exception: that is a crash. Anything but `WireError` is one, and so is a service
that no longer answers an honest question.
"""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import zmq

from benchmarks.fuzz_inputs import IMAGES, NEWS, REQUESTS, Mutator
from dblink_live.bus import ImageMessage, Link, Publisher, StartMessage, Subscriber
from dblink_live.bus.images import decode_image
from dblink_live.bus.messages import (
    MAX_REQUEST_BYTES,
    PROTOCOL_VERSION,
    Snapshot,
    SnapshotRequest,
    decode_control,
    encode_control,
)
from dblink_live.errors import WireError

PATIENCE_S = 30.0
_GREETING = b"\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL" + bytes(48)
_BATCH = 25
_LEAVE_MS = 200
"""A peer waits no longer for a port that takes nothing."""

Target = Callable[[int, float], Iterator[int]]
"""Called with a seed and seconds; yields how many inputs it has tried since it yielded last."""
Socket = zmq.Socket[bytes]


class HangError(Exception):
    """An honest question was not answered any more."""


def fuzz_decoder(seed: int, seconds: float) -> Iterator[int]:
    """Every malformed message through both decoders."""
    mutator = Mutator(seed)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for _ in range(_BATCH):
            part = mutator.mutate()
            for decode in (decode_image, decode_control):
                with contextlib.suppress(WireError):
                    decode(part)
        yield _BATCH


def fuzz_server(seed: int, seconds: float) -> Iterator[int]:
    """A publisher whose every port gets malformed requests, floods, peers that do not read, and plain bytes."""
    mutator, dice = Mutator(seed), random.Random(seed)
    end = time.perf_counter() + seconds
    picture = decode_image(IMAGES[-1])
    context: zmq.Context[Socket] = zmq.Context()
    with Publisher() as publisher:
        publisher.start(StartMessage("run"))
        attacks: tuple[Callable[[int], int], ...] = (
            lambda port: _send_requests(context, port, mutator, delimiter=True),
            lambda port: _send_requests(context, port, mutator, delimiter=False),
            lambda port: _send_many_parts(context, port, mutator),
            lambda port: _subscribe(context, port, mutator),
            lambda port: _send_bytes(port, mutator),
        )
        while time.perf_counter() < end:
            publisher.send_image(ImageMessage("live", "run", 0, 1, picture.image, 0, 40.0))
            snapshot = _ask(context, publisher.address)
            ports = (int(publisher.address.rpartition(":")[2]), snapshot.status_port, *snapshot.image_ports.values())
            # Most of it to the port that answers.
            yield dice.choice(attacks)(dice.choice((ports[0], *ports)))
    context.destroy(linger=0)


def fuzz_subscriber(seed: int, seconds: float) -> Iterator[int]:
    """A subscriber whose publisher lies: answers, status and pictures are malformed, and now and then honest."""
    mutator = Mutator(seed)
    end = time.perf_counter() + seconds
    context: zmq.Context[Socket] = zmq.Context()
    liar = _Liar(context, mutator)
    try:
        while time.perf_counter() < end:
            with Subscriber(liar.address) as subscriber:
                _until(lambda: liar.tell_truth(subscriber), "an honest publisher is not followed")
                told = 0
                for _ in range(200):
                    told += liar.lie(subscriber)
                # Whatever it was told, it listens to the truth.
                _until(lambda: liar.tell_truth(subscriber), "the truth is not heard after lies")
            yield told
    finally:
        context.destroy(linger=0)


TARGETS: dict[str, Target] = {"decoder": fuzz_decoder, "server": fuzz_server, "subscriber": fuzz_subscriber}


@dataclass
class _Liar:
    """A publisher by hand."""

    context: zmq.Context[Socket]
    mutator: Mutator

    def __post_init__(self) -> None:
        self._reply, self._status, self._images = (self.context.socket(kind) for kind in (zmq.REP, zmq.PUB, zmq.PUB))
        ports = [bound.bind_to_random_port("tcp://127.0.0.1") for bound in (self._reply, self._status, self._images)]
        self.address = f"tcp://127.0.0.1:{ports[0]}"
        self._ports = ports
        self._number = 0
        self._snapshot = encode_control(Snapshot(PROTOCOL_VERSION, "honest", ports[1], {"live": ports[2]}))

    def tell_truth(self, subscriber: Subscriber) -> bool:
        """Answer honestly; whether the subscriber is live and has seen a picture."""
        subscriber.poll()
        if self._reply.poll(1):
            self._reply.recv()
            self._reply.send(self._snapshot)
        # A run that began is one that has not ended, whatever was said about it.
        for told in NEWS[:2]:
            self._status.send(told)
        self._images.send(IMAGES[-1])
        return subscriber.link is Link.LIVE and subscriber.status() is not None

    def lie(self, subscriber: Subscriber) -> int:
        """Send something malformed by each way there is; how many."""
        n_told = 2
        if self._reply.poll(0):
            self._reply.recv()
            parts = [self._lied(), *([b"more"] if self.mutator.mutate()[:1] < b"\x20" else [])]
            self._reply.send_multipart(parts)
            n_told += 1
        self._status.send(self.mutator.mutate(NEWS))
        self._images.send(self.mutator.mutate(IMAGES))
        subscriber.poll()
        subscriber.latest("live")
        return n_told

    def _lied(self) -> bytes:
        """A malformed answer, but none that sends the subscriber to ports of others on this machine."""
        part = self.mutator.mutate((self._snapshot, *IMAGES))
        with contextlib.suppress(WireError):
            message = decode_control(part)
            if isinstance(message, Snapshot) and {message.status_port, *message.image_ports.values()} - {*self._ports}:
                return b""
        return part


def _until(condition: Callable[[], bool], failure: str) -> None:
    limit_s = time.perf_counter() + PATIENCE_S
    while not condition():
        if time.perf_counter() > limit_s:
            raise HangError(failure)


def _ask(context: zmq.Context[Socket], address: str) -> Snapshot:
    """An honest question."""
    with context.socket(zmq.REQ) as asker:
        asker.linger = 0
        asker.connect(address)
        asker.send(encode_control(SnapshotRequest()))
        if not asker.poll(1000 * PATIENCE_S):
            raise HangError("the snapshot server no longer answers")
        answer = decode_control(asker.recv())
    if not isinstance(answer, Snapshot):
        raise HangError(f"the snapshot server answers {answer}")
    return answer


@contextlib.contextmanager
def _peer(context: zmq.Context[Socket], kind: int, port: int) -> Iterator[Socket]:
    with context.socket(kind) as peer:
        # Time to leave, for what was said; none of the answers are read.
        peer.linger = 20
        # A port that does not take what is said to it, or has closed the connection, is left alone.
        peer.sndtimeo = _LEAVE_MS
        peer.connect(f"tcp://127.0.0.1:{port}")
        yield peer


def _tell(peer: Socket, messages: Iterable[list[bytes]]) -> int:
    """Send ``messages`` until one is not taken; how many were."""
    n_told = 0
    with contextlib.suppress(zmq.Again):
        for parts in messages:
            peer.send_multipart(parts)
            n_told += 1
    return n_told


def _send_requests(context: zmq.Context[Socket], port: int, mutator: Mutator, *, delimiter: bool) -> int:
    """Many requests without a look at an answer; without the empty part before them they are none."""
    requests = (
        mutator.choose(REQUESTS) if number % 2 else mutator.mutate((*REQUESTS, *NEWS)) for number in range(_BATCH)
    )
    with _peer(context, zmq.DEALER, port) as peer:
        return _tell(peer, ([b"", request] if delimiter else [request] for request in requests))


def _send_many_parts(context: zmq.Context[Socket], port: int, mutator: Mutator) -> int:
    with _peer(context, zmq.DEALER, port) as peer:
        return _tell(peer, ([b"", *(mutator.mutate(REQUESTS) for _ in range(_BATCH))], [b""] * 1000))


def _subscribe(context: zmq.Context[Socket], port: int, mutator: Mutator) -> int:
    with _peer(context, zmq.XSUB, port) as peer:
        return _tell(peer, ([b"\1" + mutator.mutate()[: MAX_REQUEST_BYTES * 2]] for _ in range(_BATCH)))


def _send_bytes(port: int, mutator: Mutator) -> int:
    """What is not even ZeroMQ, and what begins like it."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as peer:
        peer.sendall(mutator.choose((b"", _GREETING, _GREETING[:12])))
        peer.sendall(mutator.mutate())
    return 2
