"""The lossy wire between a run and its viewers: pictures and status out, nothing back that could hold the run up."""

from dblink_live.bus.address import Address, ClientKeys, ServerKeys, new_key_pair
from dblink_live.bus.publisher import Publisher
from dblink_live.bus.subscriber import Link, Subscriber
from dblink_live.bus.wire import (
    TOPICS,
    EndMessage,
    HeartbeatMessage,
    ImageMessage,
    StartMessage,
    StatusMessage,
    Topic,
)

__all__ = [
    "TOPICS",
    "Address",
    "ClientKeys",
    "EndMessage",
    "HeartbeatMessage",
    "ImageMessage",
    "Link",
    "Publisher",
    "ServerKeys",
    "StartMessage",
    "StatusMessage",
    "Subscriber",
    "Topic",
    "new_key_pair",
]
