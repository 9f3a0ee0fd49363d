"""Networks, their checkpoints, and the streaming engine that runs them."""

from dblink_live.device import resolve_device
from dblink_live.models.checkpoint import (
    Envelope,
    Model,
    build_network,
    list_models,
    list_untrained,
    load_model,
    save_checkpoint,
)
from dblink_live.models.dblink import DblinkConfig, DblinkNetwork
from dblink_live.models.gated import GatedConfig, GatedNetwork
from dblink_live.models.light import LightConfig, LightNetwork
from dblink_live.models.memory import (
    CheckpointPlan,
    PassMemory,
    measure_pass,
    measure_stream,
    min_plan,
    plan_checkpoints,
)
from dblink_live.models.network import BidirectionalNetwork, Decoded, DirectionState, Encoded
from dblink_live.models.offline import bounded_pass, full_pass, iter_reconstruct, reconstruct
from dblink_live.models.reconstructor import StreamingReconstructor
from dblink_live.models.released import import_released_weights
from dblink_live.models.streaming import Picture, StreamingEngine, StreamState

__all__ = [
    "BidirectionalNetwork",
    "CheckpointPlan",
    "DblinkConfig",
    "DblinkNetwork",
    "Decoded",
    "DirectionState",
    "Encoded",
    "Envelope",
    "GatedConfig",
    "GatedNetwork",
    "LightConfig",
    "LightNetwork",
    "Model",
    "PassMemory",
    "Picture",
    "StreamState",
    "StreamingEngine",
    "StreamingReconstructor",
    "bounded_pass",
    "build_network",
    "full_pass",
    "import_released_weights",
    "iter_reconstruct",
    "list_models",
    "list_untrained",
    "load_model",
    "measure_pass",
    "measure_stream",
    "min_plan",
    "plan_checkpoints",
    "reconstruct",
    "resolve_device",
    "save_checkpoint",
]
