"""Publisher and subscriber, in processes of their own where it matters."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pytest
import zmq
from bus_peers import (
    numbered,
    publish_and_leave,
    publish_burst_on_request,
    publish_once_then_idle,
    watch_slowly,
)

from dblink_live.bus import (
    Address,
    ClientKeys,
    EndMessage,
    HeartbeatMessage,
    ImageMessage,
    Link,
    Publisher,
    ServerKeys,
    StartMessage,
    StatusMessage,
    Subscriber,
    new_key_pair,
)
from dblink_live.bus.messages import (
    PROTOCOL_VERSION,
    Refusal,
    Snapshot,
    SnapshotRequest,
    decode_control,
    encode_control,
)
from dblink_live.errors import WireError

spawn = multiprocessing.get_context("spawn")
PATIENCE_S = 60.0  # only ever waited out by a failing test


def until(condition: Callable[[], Any]) -> Any:
    """Poll until ``condition`` gives something; fail after a long while."""
    limit_s = time.perf_counter() + PATIENCE_S
    while not (found := condition()):
        assert time.perf_counter() < limit_s, "waited in vain"
        time.sleep(0.005)
    return found


@contextmanager
def process(target: Callable[..., None], *arguments: Any) -> Iterator[tuple[Any, Connection]]:
    here, there = spawn.Pipe()
    child = spawn.Process(target=target, args=[there if value is Connection else value for value in arguments])
    child.start()
    there.close()
    try:
        yield child, here
    finally:
        if child.is_alive():
            child.kill()
        child.join()
        child.close()
        here.close()


class Clock:
    """Real time, which a test can move on."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.perf_counter() + self.ahead_s


def test_who_joins_late_gets_what_was_said_before() -> None:
    stop = spawn.Event()
    with process(publish_once_then_idle, "tcp://127.0.0.1:*", Connection, stop) as (_, pipe):
        with Subscriber(pipe.recv()) as subscriber:
            assert subscriber.wait_until_live(PATIENCE_S)
            assert subscriber.start == StartMessage(run_uuid="run", source="test")
            assert subscriber.status() == StatusMessage(frame=42)
            message = until(lambda: subscriber.latest("live"))
            assert message.number == 7
            assert message.image[0, 0] == 7.0
            assert subscriber.latest("live") is None  # each picture is given once
            assert subscriber.latest("camera") is None
        stop.set()


def test_newest_wins_and_what_was_skipped_is_counted() -> None:
    n_images = 300
    go, stop = spawn.Event(), spawn.Event()
    with process(publish_burst_on_request, n_images, Connection, go, stop) as (_, pipe):
        with Subscriber(pipe.recv()) as subscriber:
            assert subscriber.wait_until_live(PATIENCE_S)
            time.sleep(0.3)  # until the image sockets are connected too
            go.set()
            seen = []
            until(lambda: seen.append(m.number) if (m := subscriber.latest("live")) else seen)
            assert pipe.recv() == "sent"  # not looking meanwhile
            while seen[-1] != n_images - 1:
                message = until(lambda: subscriber.latest("live"))
                seen.append(message.number)
            assert seen == sorted(set(seen))
            # The socket keeps one picture, not a queue of three hundred.
            assert len(seen) < 50
            assert subscriber.skipped["live"] == n_images - 1 - seen[0] - (len(seen) - 1)
        stop.set()


def test_a_slow_viewer_in_its_own_process_sees_pictures_as_new_as_its_pauses() -> None:
    with Publisher() as publisher, process(watch_slowly, publisher.address, Connection, 6) as (_, pipe):
        assert pipe.recv() == "live"
        sent = 0
        while not pipe.poll():
            publisher.send_image(numbered(sent, side=64))
            sent += 1
            time.sleep(0.002)
        seen = pipe.recv()
        assert seen == sorted(set(seen))
        # A queue would give 0, 1, 2, 3...: it pauses for 100 ms between looks while a picture comes every 2 ms or so.
        assert seen[-1] - seen[0] > 2 * len(seen)
        assert publisher.sent["live"] == sent


def test_a_viewer_outlives_the_run_and_follows_the_next_one() -> None:
    clock = Clock()
    # Never set: setting an event waits for those who wait for it, and one of them has been killed.
    stop = spawn.Event()
    with contextlib.ExitStack() as stack:
        with process(publish_once_then_idle, "tcp://127.0.0.1:*", Connection, stop) as (child, pipe):
            address = pipe.recv()
            subscriber = stack.enter_context(Subscriber(address, clock=clock))
            until(lambda: subscriber.latest("live"))
            first = subscriber.publisher_id
            child.kill()
            child.join()
        assert subscriber.link is Link.LIVE  # not yet silent for three seconds
        clock.ahead_s = 3.5
        subscriber.poll()
        assert subscriber.link is Link.LOST
        assert subscriber.status() == StatusMessage(frame=42)  # what was known stays
        with process(publish_once_then_idle, address, Connection, stop) as (_, pipe):
            assert pipe.recv() == address
            until(lambda: subscriber.poll() or subscriber.publisher_id != first)
            assert subscriber.link is Link.LIVE
            assert until(lambda: subscriber.latest("live")).number == 7


def test_a_publisher_leaves_though_a_viewer_never_reads() -> None:
    go = spawn.Event()
    with process(publish_and_leave, Connection, go) as (child, pipe), Subscriber(pipe.recv()) as subscriber:
        assert subscriber.wait_until_live(PATIENCE_S)
        go.set()
        child.join(PATIENCE_S)
        assert child.exitcode == 0


def test_the_end_arrives_though_the_publisher_closes_right_behind() -> None:
    with Publisher() as publisher, Subscriber(publisher.address) as subscriber:
        assert subscriber.wait_until_live(PATIENCE_S)
        publisher.send_status(StatusMessage(frame=1))
        until(lambda: subscriber.status())
        publisher.end(EndMessage(state="failed", message="disk full", status=StatusMessage(frame=2, state="failed")))
        publisher.close()
        until(lambda: subscriber.poll() or subscriber.end)
        assert subscriber.link is Link.ENDED
        assert subscriber.end is not None
        assert subscriber.end.message == "disk full"
        assert subscriber.status() == StatusMessage(frame=2, state="failed")


def test_an_answer_from_before_the_end_changes_nothing_after_it() -> None:
    with Publisher() as publisher, Subscriber(publisher.address) as subscriber:
        assert subscriber.wait_until_live(PATIENCE_S)
        time.sleep(0.3)  # a subscription takes hold a moment later
        publisher.send_status(StatusMessage(frame=1))
        # The first status makes the subscriber ask once more; answer and end wait for it to be polled again.
        until(lambda: subscriber.status())
        time.sleep(0.2)
        publisher.end(EndMessage(message="done", status=StatusMessage(frame=2, state="ended")))
        time.sleep(0.2)
        until(lambda: subscriber.poll() or subscriber.end)
        for _ in range(20):
            subscriber.poll()
            assert subscriber.status() == StatusMessage(frame=2, state="ended")
            time.sleep(0.005)


def test_joining_after_the_end_shows_the_end() -> None:
    with Publisher() as publisher:
        publisher.end(EndMessage(message="done"))
        with Subscriber(publisher.address) as subscriber:
            assert subscriber.wait_until_live(PATIENCE_S)
            assert subscriber.link is Link.ENDED


def test_status_and_pictures_of_several_topics_do_not_push_each_other_out() -> None:
    with Publisher() as publisher, Subscriber(publisher.address) as subscriber:
        assert subscriber.wait_until_live(PATIENCE_S)
        for topic in ("camera", "sum", "live", "provisional"):
            publisher.send_image(numbered(3, side=16, topic=topic))
        publisher.send_status(StatusMessage(frame=8))
        # Either the sockets are connected already, or the late joiner's question brings them.
        missing = {"camera", "sum", "live", "provisional"}

        def all_came() -> bool:
            for topic in list(missing):
                if subscriber.latest(topic):
                    missing.discard(topic)
                else:
                    publisher.send_image(numbered(4, side=16, topic=topic))
            return not missing

        until(all_came)
        until(lambda: subscriber.status())


def test_a_sent_picture_is_not_changed_by_reusing_its_buffer() -> None:
    with Publisher() as publisher, Subscriber(publisher.address) as subscriber:
        assert subscriber.wait_until_live(PATIENCE_S)
        image = np.zeros((512, 512), np.uint16)
        checked = 0
        for number in range(1, 200):
            image[...] = number
            publisher.send_image(ImageMessage("camera", "run", 0, number, image, 0, 100.0))
            image[...] = 65535
            message = subscriber.latest("camera")
            if message is not None:
                assert np.unique(message.image).tolist() == [message.number]
                checked += 1
        while checked == 0:
            message = until(lambda: subscriber.latest("camera"))
            assert np.unique(message.image).tolist() == [message.number]
            checked += 1


@pytest.mark.parametrize(
    "address", ["tcp://*:*", "tcp://0.0.0.0:5599", "tcp://192.168.1.5:*", "tcp://[::]:*", "tcp://microscope:5599"]
)
def test_pictures_do_not_leave_the_machine_without_keys(address: str) -> None:
    with pytest.raises(WireError, match="loopback"):
        Publisher(address)


@pytest.mark.parametrize(
    "address",
    ["", "5599", "127.0.0.1:5599", "ipc:///tmp/x", "tcp://127.0.0.1", "tcp://127.0.0.1:0", "tcp://1.2.3.4:99999"],
)
def test_other_addresses_are_refused_with_an_example(address: str) -> None:
    for make in (Publisher, Subscriber):
        with pytest.raises(WireError, match="expected a"):
            make(address)


def test_a_taken_port_is_named() -> None:
    with Publisher() as publisher, pytest.raises(WireError, match="choose another port"):
        Publisher(publisher.address)


def test_only_known_clients_get_in_where_there_are_keys() -> None:
    server, friend, stranger = new_key_pair(), new_key_pair(), new_key_pair()
    keys = ServerKeys(*server, allowed_clients=frozenset([friend[0]]))
    with Publisher(keys=keys) as publisher:
        publisher.start(StartMessage(run_uuid="secret"))
        with Subscriber(publisher.address, keys=ClientKeys(*friend, server_public=server[0])) as subscriber:
            assert subscriber.wait_until_live(PATIENCE_S)
            publisher.send_status(StatusMessage(frame=5))
        for keys_of_other in (None, ClientKeys(*stranger, server_public=server[0])):
            with Subscriber(publisher.address, keys=keys_of_other) as subscriber:
                assert not subscriber.wait_until_live(0.5)
                assert subscriber.start is None


@pytest.fixture
def raw_context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield context
    context.destroy(linger=0)


def test_nonsense_is_answered_and_the_service_goes_on(raw_context: zmq.Context[zmq.Socket[bytes]]) -> None:
    with Publisher() as publisher:
        for nonsense in (b"", b"\xc1garbage", b"x" * 5000, encode_control(HeartbeatMessage())):
            asker = raw_context.socket(zmq.REQ)
            asker.setsockopt(zmq.RCVTIMEO, int(1000 * PATIENCE_S))
            asker.connect(publisher.address)
            asker.send(nonsense)
            assert isinstance(decode_control(asker.recv()), Refusal)
            asker.send(encode_control(SnapshotRequest()))
            assert isinstance(decode_control(asker.recv()), Snapshot)
            asker.close()


def test_nonsense_from_a_publisher_is_counted_and_survived(raw_context: zmq.Context[zmq.Socket[bytes]]) -> None:
    reply, status, images = (raw_context.socket(kind) for kind in (zmq.REP, zmq.PUB, zmq.PUB))
    ports = [socket.bind_to_random_port("tcp://127.0.0.1") for socket in (reply, status, images)]
    with reply, status, images, Subscriber(f"tcp://127.0.0.1:{ports[0]}") as subscriber:

        def answer(part: bytes) -> None:
            until(lambda: subscriber.poll() or reply.poll(0))
            reply.recv()
            reply.send(part)

        answer(b"\xc1 no snapshot")
        until(lambda: subscriber.poll() or subscriber.n_malformed)
        assert subscriber.link is Link.CONNECTING
        answer(encode_control(Snapshot(PROTOCOL_VERSION, "p", ports[1], {"live": ports[2]})))
        until(lambda: subscriber.poll() or subscriber.link is Link.LIVE)

        def nonsense_is_counted() -> bool:
            status.send(b"\xc1")
            images.send(b"\xff" * 100)
            assert subscriber.latest("live") is None
            return subscriber.n_malformed > 10

        until(nonsense_is_counted)
        status.send(encode_control(StatusMessage(frame=6)))
        until(lambda: subscriber.status())
        assert subscriber.link is Link.LIVE


def test_closing_twice_and_sending_afterwards_do_no_harm() -> None:
    publisher = Publisher()
    publisher.close()
    publisher.close()
    publisher.send_image(numbered(1, side=8))
    publisher.send_status(StatusMessage())
    assert publisher.sent["live"] == 0
    subscriber = Subscriber(publisher.address)
    subscriber.close()
    subscriber.close()
    with pytest.raises(WireError, match="closed"):
        subscriber.poll()


def test_addresses_read_and_write_the_same() -> None:
    for text in ("tcp://127.0.0.1:5556", "tcp://[::1]:5556", "tcp://*:*", "tcp://microscope.lab:80"):
        assert str(Address.parse(text)) == text
    assert Address.parse("tcp://[::1]:1").is_loopback
    assert Address.parse("tcp://127.9.9.9:1").is_loopback
