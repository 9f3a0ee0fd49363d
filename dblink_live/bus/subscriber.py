"""The viewer's side of the bus: the newest picture of each topic and the run's status.

Nothing here waits: `Subscriber.poll` is called from a GUI's timer. A publisher that falls silent is asked for its
snapshot again and again, on a fresh REQ socket each time (a REQ socket whose answer never came cannot ask again), so a
viewer survives the restart of a run at the same address.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType, TracebackType
from typing import Self

import zmq

from dblink_live.bus.address import Address, ClientKeys, check_connecting
from dblink_live.bus.connection import Connection, Question
from dblink_live.bus.images import MAX_PART_BYTES, ImageMessage, decode_image
from dblink_live.bus.messages import (
    MAX_CONTROL_BYTES,
    TOPICS,
    Control,
    EndMessage,
    HeartbeatMessage,
    ImageRequest,
    Refusal,
    RegionRequest,
    Snapshot,
    SnapshotRequest,
    StartMessage,
    StatusMessage,
    Topic,
    decode_control,
    encode_control,
)
from dblink_live.errors import WireError
from dblink_live.latency import VIEWER_SILENCE_S

REQUEST_TIMEOUT_S = 1.0
_MAX_DRAIN = 1000
# Times the largest message this is what a publisher can make a viewer keep that does not look.
_STATUS_HWM = 100

_Socket = zmq.Socket[bytes]
_Request = SnapshotRequest | ImageRequest | RegionRequest


class Link(StrEnum):
    """State of the connection between this viewer and the run."""

    CONNECTING = "connecting"
    """Nobody has answered yet."""
    LIVE = "live"
    LOST = "lost"
    """It answered once, and has been silent for `VIEWER_SILENCE_S`."""
    ENDED = "ended"
    """The run said that it is over."""


class Subscriber:
    """Follows one run. All methods belong to one thread, and none of them waits, except `wait_until_live`.

    Parameters
    ----------
    address
        What `Publisher.address` says, for instance ``tcp://127.0.0.1:5556``.
    keys
        CURVE keys, for a publisher that has some; without them only loopback addresses are allowed.
    silence_s
        Without a word for this long the link counts as lost.
    request_timeout_s
        How long an answer is waited for before the question is put again.
    clock
        Monotonic seconds.

    Raises
    ------
    WireError
        The address cannot be read or is not allowed.
    """

    def __init__(
        self,
        address: str,
        *,
        keys: ClientKeys | None = None,
        silence_s: float = VIEWER_SILENCE_S,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._address = Address.parse(address)
        if self._address.port is None:
            raise WireError(f"expected an address with a port to connect to, found {address}")
        check_connecting(self._address, keys)
        self._silence_s = silence_s
        self._request_timeout_s = request_timeout_s
        self._clock = clock
        self._context: zmq.Context[_Socket] = zmq.Context()
        self._dialer = Connection(self._context, self._address, keys)
        self._question: Question | None = None
        self._refusal = ""
        self._region_refusal: str | None = None
        self._status_socket: _Socket | None = None
        self._image_sockets: dict[Topic, _Socket] = {}
        self._questions: deque[_Request] = deque()
        self._asked: _Request | None = None
        self._asked_s = 0.0
        self._heard_s: float | None = None
        self._snapshot: Snapshot | None = None
        self._start: StartMessage | None = None
        self._status: StatusMessage | None = None
        self._end: EndMessage | None = None
        self._fetched: dict[Topic, ImageMessage] = {}
        self._sequence: dict[Topic, int] = {}
        self._skipped: dict[Topic, int] = dict.fromkeys(TOPICS, 0)
        self._told_s: dict[type[Control], float] = {}
        self._is_gap_open = False
        self._n_malformed = 0

    @property
    def address(self) -> str:
        return str(self._address)

    @property
    def link(self) -> Link:
        if self._snapshot is None or self._heard_s is None:
            return Link.CONNECTING
        if self._end is not None:
            return Link.ENDED
        return Link.LOST if self._is_silent() else Link.LIVE

    @property
    def refusal(self) -> str:
        """Why the publisher turned this viewer away; empty when it did not."""
        return self._refusal

    @property
    def publisher_id(self) -> str:
        """Changes when the run's process is started again; empty while connecting."""
        return "" if self._snapshot is None else self._snapshot.publisher_id

    @property
    def start(self) -> StartMessage | None:
        """Identity of the run, once received."""
        return self._start

    @property
    def end(self) -> EndMessage | None:
        """End of the run, once received."""
        return self._end

    @property
    def skipped(self) -> Mapping[Topic, int]:
        """Pictures that were published while this viewer was connected and that it never fetched, by topic."""
        return MappingProxyType(dict(self._skipped))

    @property
    def n_malformed(self) -> int:
        """Messages that were thrown away because they could not be read."""
        return self._n_malformed

    def status(self) -> StatusMessage | None:
        """The newest status, or None before the first."""
        self.poll()
        return self._status

    def latest(self, topic: Topic) -> ImageMessage | None:
        """The newest picture of a topic, or None when nothing new has come since the last call."""
        self.poll()
        newest = self._fetched.pop(topic, None)
        socket = self._image_sockets.get(topic)
        if socket is not None:
            for part in _arrived(socket):
                image = self._read_image(part)
                if image is not None and image.topic == topic:
                    newest = image
        if newest is None:
            return None
        before = self._sequence.get(topic)
        if before is not None:
            if newest.sequence <= before:
                return None
            self._skipped[topic] += newest.sequence - before - 1
        self._sequence[topic] = newest.sequence
        return newest

    def poll(self) -> None:
        """Take in everything that has arrived, and ask again what was not answered."""
        if self._context.closed:
            raise WireError("the subscriber is closed")
        self._read_status()
        self._read_answer()
        now = self._clock()
        if self._asked is not None and now - self._asked_s > self._request_timeout_s:
            self._drop_question()
        if self._asked is None:
            if not self._questions and (self._snapshot is None or self._is_silent()):
                self._want(SnapshotRequest())
            if self._questions:
                self._ask(self._questions.popleft(), now)

    def ask_for_region(self, region: str) -> None:
        """Ask the run to reconstruct another part of the field live; `region_refusal` says what became of it.

        Parameters
        ----------
        region
            ``x,y,width,height`` in camera pixels, ``centre``, ``densest`` or ``auto``.
        """
        self._region_refusal = None
        self._questions = deque(question for question in self._questions if not isinstance(question, RegionRequest))
        self._want(RegionRequest(region))

    @property
    def region_refusal(self) -> str | None:
        """Why the last `ask_for_region` was refused: empty where it is followed, None while there is no answer."""
        return self._region_refusal

    def wait_until_live(self, timeout_s: float) -> bool:
        """Poll until the run has answered; False when it has not within ``timeout_s``."""
        limit_s = time.perf_counter() + timeout_s
        while True:
            self.poll()
            if self.link in (Link.LIVE, Link.ENDED):
                return True
            if time.perf_counter() > limit_s:
                return False
            time.sleep(0.01)

    def close(self) -> None:
        """Disconnect at once. Can be called twice."""
        if not self._context.closed:
            self._drop_question()
            self._context.destroy(linger=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_silent(self) -> bool:
        return self._heard_s is None or self._clock() - self._heard_s > self._silence_s

    def _want(self, request: _Request) -> None:
        # Once each: a publisher that keeps giving reasons to ask must not make the list grow.
        if request not in self._questions:
            self._questions.append(request)

    def _ask(self, request: _Request, now: float) -> None:
        if self._question is None:
            self._question = self._dialer.question()
        self._question.ask(encode_control(request))
        self._asked, self._asked_s = request, now

    def _drop_question(self) -> None:
        if self._question is not None:
            self._question.close()
        self._question = None
        self._asked = None
        self._questions.clear()

    def _read_answer(self) -> None:
        if self._question is None or self._asked is None:
            return
        news = self._question.news()
        self._refusal = self._refusal if news is None else news
        try:
            part = self._question.answer()
        except WireError:
            self._n_malformed += 1
            self._drop_question()
            return
        if part is None:
            return
        question, self._asked = self._asked, None
        self._heard_s = self._clock()
        if isinstance(question, SnapshotRequest):
            message = self._read_control(part)
            if isinstance(message, Snapshot):
                self._take_snapshot(message)
        elif isinstance(question, RegionRequest):
            reply = self._read_control(part)
            self._region_refusal = reply.message if isinstance(reply, Refusal) else ""
        elif part:
            image = self._read_image(part)
            if image is not None and image.topic == question.topic:
                self._fetched[question.topic] = image

    def _take_snapshot(self, snapshot: Snapshot) -> None:
        if self._snapshot is None or snapshot.publisher_id != self._snapshot.publisher_id:
            self._follow(snapshot)
        self._snapshot = snapshot
        # What has been heard since the question was asked is newer than the answer.
        if not self._was_told(StartMessage):
            self._start = snapshot.start
        if not self._was_told(StatusMessage):
            self._status = snapshot.status
        if not self._was_told(EndMessage):
            self._end = snapshot.end
        for topic, info in snapshot.latest.items():
            if info.sequence > self._sequence.get(topic, 0):
                self._want(ImageRequest(topic))

    def _follow(self, snapshot: Snapshot) -> None:
        """Connect to the sockets of a publisher that is new to us."""
        for old in (self._status_socket, *self._image_sockets.values()):
            if old is not None:
                old.close()
        self._status_socket = self._dialer.connect(
            zmq.SUB,
            snapshot.status_port,
            {zmq.SUBSCRIBE: b"", zmq.MAXMSGSIZE: MAX_CONTROL_BYTES, zmq.RCVHWM: _STATUS_HWM},
        )
        # CONFLATE has to be set before connecting, or it does nothing.
        options: dict[int, int | bytes] = {zmq.CONFLATE: 1, zmq.SUBSCRIBE: b"", zmq.MAXMSGSIZE: MAX_PART_BYTES}
        self._image_sockets = {
            topic: self._dialer.connect(zmq.SUB, port, options) for topic, port in snapshot.image_ports.items()
        }
        self._sequence.clear()
        self._fetched.clear()
        self._told_s.clear()
        self._is_gap_open = True

    def _was_told(self, kind: type[Control]) -> bool:
        return self._told_s.get(kind, -math.inf) >= self._asked_s

    def _read_status(self) -> None:
        if self._status_socket is None:
            return
        for part in _arrived(self._status_socket):
            message = self._read_control(part)
            if message is None:
                continue
            self._heard_s = self._clock()
            for kind in _told_by(message):
                self._told_s[kind] = self._heard_s
            if self._is_gap_open:
                # A subscription takes hold a moment after the snapshot: ask once more for what was said in between.
                self._is_gap_open = False
                self._want(SnapshotRequest())
            if isinstance(message, StartMessage):
                self._start, self._end = message, None
            elif isinstance(message, StatusMessage):
                self._status = message
            elif isinstance(message, EndMessage):
                self._end = message
                self._status = message.status or self._status
            elif isinstance(message, HeartbeatMessage) and message.publisher_id != self.publisher_id:
                # Another process took over the very same ports.
                self._want(SnapshotRequest())

    def _read_control(self, part: bytes) -> Control | None:
        try:
            return decode_control(part)
        except WireError:
            self._n_malformed += 1
            return None

    def _read_image(self, part: bytes) -> ImageMessage | None:
        try:
            return decode_image(part)
        except WireError:
            self._n_malformed += 1
            return None


def _told_by(message: Control) -> list[type[Control]]:
    """Parts of the state that a message changes: a start also clears the end, and an end may carry the last status."""
    if isinstance(message, StartMessage):
        return [StartMessage, EndMessage]
    if isinstance(message, EndMessage) and message.status is not None:
        return [EndMessage, StatusMessage]
    return [type(message)]


def _arrived(socket: _Socket) -> Iterator[bytes]:
    """Yield what has arrived one by one: a thousand pictures together would fill the memory."""
    with contextlib.suppress(zmq.Again):
        # Bounded, so that a flood of messages cannot hold the caller for ever.
        for _ in range(_MAX_DRAIN):
            yield socket.recv(zmq.NOBLOCK)
