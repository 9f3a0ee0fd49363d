"""Networks, their checkpoints, and the streaming engine that runs them."""

from dblink_live.models.dblink import DblinkConfig, DblinkNetwork
from dblink_live.models.light import LightConfig, LightNetwork
from dblink_live.models.network import BidirectionalNetwork, DirectionState

__all__ = [
    "BidirectionalNetwork",
    "DblinkConfig",
    "DblinkNetwork",
    "DirectionState",
    "LightConfig",
    "LightNetwork",
]
