"""Sources of camera frames: a Micro-Manager core that we own, a simulated camera, or a recorded stack."""

from dblink_live.sources.open import CameraLauncher, open_source
from dblink_live.sources.simulated import default_camera, simulator_of
from dblink_live.sources.spec import SourceSpec, parse_source

__all__ = ["CameraLauncher", "SourceSpec", "default_camera", "open_source", "parse_source", "simulator_of"]
