"""The lossy wire between a run and its viewers: pictures and status out, nothing back that could hold the run up."""

from dblink_live.bus.address import Address, ClientKeys, ServerKeys, new_key_pair
from dblink_live.bus.authenticator import Refusals
from dblink_live.bus.images import ImageMessage
from dblink_live.bus.keyfiles import HAS_OWNER_ONLY_MODE, read_client_keys, read_server_keys, write_new_keys
from dblink_live.bus.messages import TOPICS, EndMessage, HeartbeatMessage, StartMessage, StatusMessage, Topic
from dblink_live.bus.publisher import Publisher
from dblink_live.bus.subscriber import Link, Subscriber

__all__ = [
    "HAS_OWNER_ONLY_MODE",
    "TOPICS",
    "Address",
    "ClientKeys",
    "EndMessage",
    "HeartbeatMessage",
    "ImageMessage",
    "Link",
    "Publisher",
    "Refusals",
    "ServerKeys",
    "StartMessage",
    "StatusMessage",
    "Subscriber",
    "Topic",
    "new_key_pair",
    "read_client_keys",
    "read_server_keys",
    "write_new_keys",
]
