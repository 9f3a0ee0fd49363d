"""The camera side: a process that pops frames, the ring it writes, and the ledger of what became of them."""

from dblink_live.ledger import Ledger, total_lost
from dblink_live.sources.camera_process import shared_memory
from dblink_live.sources.camera_process.client import CameraProcess
from dblink_live.sources.camera_process.reconnecting import ReconnectingCamera, launch_camera
from dblink_live.sources.camera_process.ring import RingCounters, RingEnd, RingError, RingWriter
from dblink_live.sources.camera_process.ring_layout import RingShape
from dblink_live.sources.camera_process.ring_reader import RingReader

__all__ = [
    "CameraProcess",
    "Ledger",
    "ReconnectingCamera",
    "RingCounters",
    "RingEnd",
    "RingError",
    "RingReader",
    "RingShape",
    "RingWriter",
    "launch_camera",
    "shared_memory",
    "total_lost",
]
