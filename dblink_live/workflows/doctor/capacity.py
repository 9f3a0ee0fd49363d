"""What frame sizes and rates this machine holds, by the measurement from which `run` forecasts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dblink_live.config import RunConfig
from dblink_live.types import Camera, Shape

SIDES = (64, 128, 256, 512)
PIXEL_SIZE_NM = 160.0
"""As in the paper: four by four pixels of the 40 nm grid per camera pixel."""


@dataclass(frozen=True)
class Capacity:
    """What this machine holds of one field with the default settings of a live run."""

    shape: Shape
    fps: float
    """With all of the field live."""
    localize_s_per_frame: float
    network_s_per_window: float
    is_measured: bool
    """False where the network was timed on a smaller field."""

    def to_json_dict(self) -> dict[str, object]:
        """Values as `doctor --json` prints them."""
        return {
            "shape": list(self.shape),
            "fps": round(self.fps, 1),
            "localize_ms_per_frame": round(1000 * self.localize_s_per_frame, 3),
            "network_ms_per_window": round(1000 * self.network_s_per_window, 2),
            "is_measured": self.is_measured,
        }


def measure_capacity(device: str) -> Iterator[Capacity]:
    """Measure once, and say what follows for each of `SIDES`, with the default configuration of a live run.

    Raises
    ------
    ModelError
        The default model is not shipped with this installation.
    """
    import torch

    from dblink_live.models import load_model
    from dblink_live.pipeline.overload.forecast import measure_costs

    config = RunConfig()
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, config.reconstruct.threads))
    try:
        model = load_model(config.reconstruct.model, device=device)
        costs = measure_costs(model, config, Camera(PIXEL_SIZE_NM), Shape(max(SIDES), max(SIDES)))
    finally:
        torch.set_num_threads(threads)
    for side in SIDES:
        shape = Shape(side, side)
        is_measured = costs.grid_pixels * side * side <= costs.network.points[-1][0]
        yield Capacity(shape, costs.fps_held(shape), costs.localize_s(shape), costs.network_s(side * side), is_measured)
