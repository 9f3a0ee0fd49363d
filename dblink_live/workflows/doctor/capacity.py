"""What frame sizes and rates this machine holds, by the measurement from which `run` forecasts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import psutil

from dblink_live.config import RunConfig
from dblink_live.types import Camera, Shape

if TYPE_CHECKING:
    import torch

    from dblink_live.models import Model
    from dblink_live.pipeline.overload.forecast import Costs

SIDES = (64, 128, 256, 512)
CUDA_SIDES = (*SIDES, 1024, 2048)
PIXEL_SIZE_NM = 160.0
"""As in the paper: four by four pixels of the 40 nm grid per camera pixel."""
FPS = 100.0
"""Rate for which the largest field is told."""
LARGE_FIELD = Shape(256, 256)
MAX_SIDE = 4096
STEP_PX = 8
"""Sides of the largest field are told in multiples of this."""
MEMORY_SHARE = 0.9
"""Share of the free memory that a live stream may take."""
_MEMORY_SHAPE = Shape(256, 256)
"""Bytes go with the area: they are counted for a map of this size, and scaled."""


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


@dataclass(frozen=True)
class LargestField:
    """The largest square field that is live as a whole at `FPS`, with the default settings of a live run."""

    side_px: int
    """Of the camera; 0 where not even the smallest field is held."""
    limited_by: Literal["localizer", "network", "cores", "memory"]
    memory_side_px: int
    """The largest field whose stream fits into the free memory of the device, at whatever rate."""
    region_px: int
    """Side of the live region of a field that is too large: 256 x 256 px at `FPS`."""

    def to_json_dict(self) -> dict[str, object]:
        """Values as `doctor --json` prints them."""
        return {
            "fps": FPS,
            "pixel_size_nm": PIXEL_SIZE_NM,
            "side_px": self.side_px,
            "limited_by": self.limited_by,
            "memory_side_px": self.memory_side_px,
            "region_px": self.region_px,
        }

    def line(self, device: str) -> str:
        """Return the field in words, for the user."""
        limits = {
            "localizer": "the localizer is the limit",
            "network": "the network is the limit",
            "cores": "the processor's cores are the limit",
            "memory": "the device's memory is the limit",
        }
        held = (
            f"{self.side_px} x {self.side_px} px are live as a whole" if self.side_px else "no field is live as a whole"
        )
        words = f"{device}: {held} at {FPS:g} frames/s of {PIXEL_SIZE_NM:g} nm pixels; {limits[self.limited_by]}"
        if not self.side_px and self.region_px:
            words += f"; of a larger field about {self.region_px} x {self.region_px} px are shown live"
        if self.limited_by != "memory":
            words += f"; free memory is enough for {self.memory_side_px} x {self.memory_side_px} px"
        return words


@dataclass(frozen=True)
class MeasuredMachine:
    """What was measured, for several fields."""

    fields: tuple[Capacity, ...]
    largest: LargestField


def measure_capacity(device: str) -> MeasuredMachine:
    """Measure once on ``device``, and derive the rate of each of `SIDES` with the default configuration of a live run.

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
        sides = CUDA_SIDES if model.device.type == "cuda" else SIDES
        costs = measure_costs(model, config, Camera(PIXEL_SIZE_NM), Shape(max(sides), max(sides)))
    finally:
        torch.set_num_threads(threads)
    fields = []
    for side in sides:
        shape = Shape(side, side)
        is_measured = costs.grid_pixels * side * side <= costs.network.points[-1][0]
        fields.append(
            Capacity(shape, costs.fps_held(shape), costs.localize_s(shape), costs.network_s(side * side), is_measured)
        )
    bytes_per_pixel = _stream_bytes_per_pixel(model, config) * costs.grid_pixels
    return MeasuredMachine(tuple(fields), largest_field(costs, bytes_per_pixel, _free_bytes(model.device)))


def largest_field(costs: Costs, bytes_per_pixel: float, bytes_free: float) -> LargestField:
    """Return the largest field that ``costs`` and memory allow.

    Parameters
    ----------
    costs
        As measured.
    bytes_per_pixel
        Memory of a live stream per camera pixel.
    bytes_free
        Of the device.

    Examples
    --------
    >>> from dblink_live.pipeline.overload.forecast import Costs, NetworkCost
    >>> costs = Costs(1e-7, NetworkCost(((1e4, 0.001), (1e6, 0.1))), window_frames=10, grid_pixels=16.0, n_cores=8)
    >>> largest_field(costs, 50_000.0, 8e9)
    LargestField(side_px=248, limited_by='network', memory_side_px=376, region_px=230)
    >>> largest_field(costs, 50_000.0, 2e9).limited_by
    'memory'
    """
    in_memory = _max_side(lambda side: side * side * bytes_per_pixel <= MEMORY_SHARE * bytes_free)
    in_time = _max_side(lambda side: costs.fps_held(Shape(side, side)) >= FPS)
    region_px = math.isqrt(int(costs.pixels_held(LARGE_FIELD, FPS)))
    if in_memory <= in_time:
        return LargestField(in_memory, "memory", in_memory, region_px)
    slowest = costs.slowest_stage(Shape(in_time + STEP_PX, in_time + STEP_PX))
    return LargestField(in_time, slowest, in_memory, region_px)


def _max_side(holds: Callable[[int], bool]) -> int:
    """The largest side up to `MAX_SIDE` that ``holds``; what holds for a side holds for all smaller ones."""
    low, high = 0, MAX_SIDE // STEP_PX
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle * STEP_PX) else (low, middle - 1)
    return low * STEP_PX


def _stream_bytes_per_pixel(model: Model, config: RunConfig) -> float:
    """Bytes of a live stream per pixel of the model's grid."""
    from dblink_live.models import measure_stream

    lookahead, hop = config.reconstruct.lookahead, config.reconstruct.hop
    n_bytes = measure_stream(model.network, lookahead, hop, _MEMORY_SHAPE)
    return n_bytes / (_MEMORY_SHAPE.height * _MEMORY_SHAPE.width)


def _free_bytes(device: torch.device) -> int:
    if device.type != "cuda":
        return int(psutil.virtual_memory().available)
    import torch

    # What PyTorch keeps for later use is free for a stream, too.
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
