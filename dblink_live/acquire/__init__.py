"""The camera side: a process that pops frames, the ring it writes, and the ledger of what became of them."""

from dblink_live.acquire import region
from dblink_live.acquire.client import CameraProcess
from dblink_live.acquire.layout import RingShape
from dblink_live.acquire.ledger import Ledger, total_lost
from dblink_live.acquire.reopening import ReopeningCamera, launch_camera
from dblink_live.acquire.ring import RingCounters, RingEnd, RingError, RingWriter
from dblink_live.acquire.ring_reader import RingReader

__all__ = [
    "CameraProcess",
    "Ledger",
    "ReopeningCamera",
    "RingCounters",
    "RingEnd",
    "RingError",
    "RingReader",
    "RingShape",
    "RingWriter",
    "launch_camera",
    "region",
    "total_lost",
]
