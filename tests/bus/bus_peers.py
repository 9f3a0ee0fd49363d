"""What the other processes of the bus tests run."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any

import numpy as np

from dblink_live.bus import EndMessage, ImageMessage, Publisher, StartMessage, StatusMessage


def numbered(number: int, side: int = 256, topic: Any = "live") -> ImageMessage:
    """A picture that carries its number in every pixel."""
    image = np.full((side, side), number, np.float32)
    return ImageMessage(topic, "run", 0, number, image, 0, 40.0)


def publish_once_then_idle(address: str, out: Connection, stop: Event) -> None:
    """Say everything once, before anyone can have joined, and then only keep beating."""
    with Publisher(address) as publisher:
        publisher.start(StartMessage(run_uuid="run", source="test"))
        publisher.send_status(StatusMessage(frame=42))
        publisher.send_image(numbered(7))
        out.send(publisher.address)
        stop.wait()


def publish_burst_on_request(n_images: int, out: Connection, go: Event, stop: Event) -> None:
    """Send ``n_images`` numbered pictures as fast as they go, once asked to."""
    with Publisher() as publisher:
        out.send(publisher.address)
        go.wait()
        for number in range(n_images):
            publisher.send_image(numbered(number))
        out.send("sent")
        stop.wait()


def publish_and_leave(out: Connection, go: Event) -> None:
    """Send large pictures to someone who does not read, and come to an end."""
    publisher = Publisher()
    out.send(publisher.address)
    go.wait()
    for number in range(20):
        publisher.send_image(numbered(number, side=2048))
        publisher.send_status(StatusMessage(frame=number))
    publisher.end(EndMessage())
    publisher.close()


def watch_slowly(address: str, out: Connection, n_looks: int) -> None:
    """Look now and then, and tell which pictures were seen."""
    from dblink_live.bus import Subscriber

    with Subscriber(address) as subscriber:
        subscriber.wait_until_live(30.0)
        out.send("live")
        seen: list[int] = []
        while len(seen) < n_looks:
            message = subscriber.latest("live")
            if message is not None:
                seen.append(message.number)
                time.sleep(0.1)
            time.sleep(0.001)
        out.send(seen)
