"""What frame size and rate the localizer and the network hold together here, by a short real measurement."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dblink_live.config import RunConfig
from dblink_live.types import Camera, FrameArray, Grid, LocalizationMap, Shape

if TYPE_CHECKING:
    from dblink_live.models import Model

SIDES = (64, 128, 256)
PIXEL_SIZE_NM = 160.0
"""As in the paper: four by four pixels of the 40 nm grid to a camera pixel."""
SPOTS_PER_UM2 = 0.3
PHOTONS = 800.0
BACKGROUND = 20.0
SIGMA_PX = 0.9
N_FRAMES = 32
MIN_S = 0.5
MAX_PREDICTED_S = 20.0
"""A size that would take longer is estimated from the one below, by its number of pixels."""


@dataclass(frozen=True)
class Capacity:
    """What one thread of this machine holds with the default settings of a live run."""

    shape: Shape
    fps: float
    localize_s_per_frame: float
    network_s_per_window: float
    is_measured: bool

    def to_json_dict(self) -> dict[str, object]:
        return {
            "shape": list(self.shape),
            "fps": round(self.fps, 1),
            "localize_ms_per_frame": round(1000 * self.localize_s_per_frame, 3),
            "network_ms_per_window": round(1000 * self.network_s_per_window, 2),
            "is_measured": self.is_measured,
        }


def measure_capacity(device: str) -> Iterator[Capacity]:
    """Measure each of `SIDES` with the default configuration of a live run, smallest first.

    Raises
    ------
    ModelError
        The default model is not shipped with this installation.
    """
    import torch

    from dblink_live.models import load_model

    config = RunConfig()
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, config.reconstruct.threads))
    try:
        model = load_model(config.reconstruct.model, device=device)
        predicted_s = 0.0
        last: Capacity | None = None
        for side in SIDES:
            shape = Shape(side, side)
            started = time.perf_counter()
            if last is None or predicted_s <= MAX_PREDICTED_S:
                last = _capacity(shape, _localizer_s(shape), _network_s(shape, model, config), config, True)
            else:
                grown = shape.height * shape.width / (last.shape.height * last.shape.width)
                times = (grown * last.localize_s_per_frame, grown * last.network_s_per_window)
                last = _capacity(shape, *times, config, False)
            predicted_s = 4 * (time.perf_counter() - started)
            yield last
    finally:
        torch.set_num_threads(threads)


def _capacity(shape: Shape, localize_s: float, network_s: float, config: RunConfig, is_measured: bool) -> Capacity:
    a_frame_s = localize_s + network_s / config.windows.frames
    return Capacity(shape, 1 / a_frame_s, localize_s, network_s, is_measured)


def _localizer_s(shape: Shape) -> float:
    """Seconds per frame, of batches as the live line hands them over."""
    from dblink_live.registry import get_localizer_factory

    factory = get_localizer_factory(RunConfig().localizer.name)
    localizer = factory(Camera(pixel_size_nm=PIXEL_SIZE_NM), psf_sigma_px=SIGMA_PX)
    frames = _frames(shape)
    numbers = np.arange(len(frames), dtype=np.int64)
    localizer.localize(frames, numbers)  # the first call compiles and allocates
    n_done = 0
    started = time.perf_counter()
    while (seconds := time.perf_counter() - started) < MIN_S or n_done == 0:
        localizer.localize(frames, numbers)
        n_done += len(frames)
    return seconds / n_done


def _network_s(shape: Shape, model: Model, config: RunConfig) -> float:
    """Seconds per window, over whole hops: a push that emits pictures costs far more than the others."""
    from dblink_live.models import StreamingReconstructor

    lookahead, hop = config.reconstruct.lookahead, config.reconstruct.hop
    stream = StreamingReconstructor(model, lookahead=lookahead, hop=hop)
    grid = Grid.covering(shape, PIXEL_SIZE_NM, model.pixel_size_nm)
    counts = np.random.default_rng(0).poisson(0.01, grid.shape).astype(np.uint16)
    index = 0

    def push() -> int:
        nonlocal index
        frames = config.windows.frames
        n = len(stream.push(LocalizationMap(0, index, index * frames, (index + 1) * frames, counts, grid)))
        index += 1
        return n

    while push() == 0:
        pass  # filling the lookahead
    n_windows = 0
    started = time.perf_counter()
    while n_windows == 0 or time.perf_counter() - started < MIN_S:
        for _ in range(hop):
            push()
        n_windows += hop
    return (time.perf_counter() - started) / n_windows


def _frames(shape: Shape) -> FrameArray:
    """Frames [N, H, W] of Gaussian spots in Poisson noise, one electron a count."""
    rng = np.random.default_rng(0)
    n_spots = max(1, round(SPOTS_PER_UM2 * shape.height * shape.width * (PIXEL_SIZE_NM / 1000) ** 2))
    rows, cols = np.arange(shape.height), np.arange(shape.width)
    frames = np.empty((N_FRAMES, *shape), np.uint16)
    for frame in frames:
        y, x = (rng.uniform(0, side - 1, (n_spots, 1)) for side in shape)
        # A Gaussian separates: [spots, H] and [spots, W] instead of [spots, H, W].
        column = np.exp(-((rows - y) ** 2) / (2 * SIGMA_PX**2))
        row = np.exp(-((cols - x) ** 2) / (2 * SIGMA_PX**2))
        frame[:] = rng.poisson(BACKGROUND + PHOTONS / (2 * np.pi * SIGMA_PX**2) * column.T @ row)
    return frames
