"""What this machine will hold, measured for about a second with the run's own settings before the camera starts.

Two costs decide: the localizer's per frame, which grows with the camera's field, and the network's per window, which
grows with the live region. Both are timed on small fields and scaled by the number of pixels. Stages run side by side,
so each must keep up by itself, and all of them together must fit on the processor's cores.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from dblink_live.config import RunConfig
from dblink_live.interfaces import Localizer
from dblink_live.models import Model, StreamingEngine
from dblink_live.models.streaming import Picture
from dblink_live.pipeline.network_runner import NetworkRunner
from dblink_live.pipeline.overload.live_region import Box, RegionRequest, centre
from dblink_live.registry import get_localizer_factory
from dblink_live.types import Camera, FrameArray, Grid, Shape

MIN_S = 0.2
"""Each of the two is timed for at least so long..."""
MAX_S = 1.0
"""...and on no larger field than one that takes about so long."""
NETWORK_SIDES = (48, 128, 256, 512)
"""Camera fields on which the network is timed, one after the other as long as there is time: the overhead of a call
counts on the small ones."""
LOCALIZER_SHAPE = Shape(128, 128)
N_FRAMES = 16
SPOTS_PER_UM2 = 0.1
PHOTONS, BACKGROUND, SIGMA_PX = 800.0, 20.0, 0.9
STORE_S_PER_PIXEL = 2.5e-8
"""Binning, storing and publishing a window, per pixel of the fine grid (`benchmarks.line`)."""
SlowestStage = Literal["localizer", "network", "cores"]
LOAD = 0.85
"""Share of the time that a live region is chosen for: the rest is for what else the machine does."""


@dataclass(frozen=True)
class NetworkCost:
    """Seconds per window of the network, by the number of grid pixels, with all that belongs to a picture."""

    points: tuple[tuple[float, float], ...]
    """(grid pixels, seconds), by rising size."""

    def __call__(self, n_pixels: float) -> float:
        """The cost of a region of ``n_pixels``: between the points on a straight line, above them in proportion."""
        pixels, seconds = (np.array(values) for values in zip(*self.points, strict=True))
        if n_pixels >= pixels[-1]:
            return float(seconds[-1] * n_pixels / pixels[-1])
        return float(np.interp(n_pixels, pixels, seconds))

    def pixels_within(self, seconds: float, most: float) -> float:
        """The largest region, up to ``most`` pixels, that costs no more than ``seconds``."""
        low, high = 0.0, most
        if self(high) <= seconds:
            return high
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if self(middle) <= seconds else (low, middle)
        return low


@dataclass(frozen=True)
class Costs:
    """What the stages of a run cost on this machine."""

    localize_s_per_pixel: float
    """Per camera pixel and frame."""
    network: NetworkCost
    window_frames: int
    grid_pixels: float
    """Per camera pixel."""
    n_cores: int
    """Cores that this process may use."""

    def localize_s(self, shape: Shape) -> float:
        """Seconds per frame of a field."""
        return self.localize_s_per_pixel * shape.height * shape.width

    def network_s(self, n_camera_pixels: float) -> float:
        """Seconds per window of a live region."""
        return self.network(self.grid_pixels * n_camera_pixels)

    def store_s(self, shape: Shape) -> float:
        """Seconds per window of a field for binning, storing and publishing."""
        return STORE_S_PER_PIXEL * self.grid_pixels * shape.height * shape.width

    def fps_held(self, shape: Shape, n_live: float | None = None) -> float:
        """Frames per second that are held on a field, with a live region of ``n_live`` camera pixels (all of it)."""
        return 1 / max(self._loads(shape, shape.height * shape.width if n_live is None else n_live).values())

    def slowest_stage(self, shape: Shape) -> SlowestStage:
        """Return what limits `fps_held` of a field that is live as a whole; "cores" means all stages together."""
        loads = self._loads(shape, shape.height * shape.width)
        return max(loads, key=lambda name: loads[name])

    def _loads(self, shape: Shape, n_live: float) -> dict[SlowestStage, float]:
        """Seconds per frame of the stages that must keep up, and of all of them on the cores there are."""
        localize, network = self.localize_s(shape), self.network_s(n_live) / self.window_frames
        store = self.store_s(shape) / self.window_frames
        return {"localizer": localize, "network": network, "cores": (localize + network + store) / self.n_cores}

    def pixels_held(self, shape: Shape, fps: float) -> float:
        """Camera pixels of the largest live region that is held on a field at ``fps``."""
        windows_per_s = fps / self.window_frames
        # A localizer that cannot keep up skips frames; the network then has what is left of the cores.
        localize = min(1.0, self.localize_s(shape) * fps)
        left = LOAD * self.n_cores - localize - self.store_s(shape) * windows_per_s
        seconds = min(LOAD, max(left, 0.1)) / windows_per_s
        field = shape.height * shape.width
        return self.network.pixels_within(seconds, self.grid_pixels * field) / self.grid_pixels


@dataclass(frozen=True)
class Forecast:
    """What is to be expected of a run."""

    shape: Shape
    """Of the camera's field."""
    fps: float
    """At which frames will come."""
    fps_held: float
    """At which all of the field would be held live."""
    n_pixels_held: float
    """Camera pixels of the largest live region that is held at ``fps``."""
    fps_localized: float
    """At which the localizer keeps up with the field."""
    region: Box
    """The live region that the run begins with."""

    @property
    def load(self) -> float:
        """How many times as much is needed as the machine holds."""
        return self.fps / self.fps_held

    def line(self) -> str:
        """Return what is to be expected, for the user."""
        field = f"{self.shape.width} x {self.shape.height} at {self.fps:g} fps"
        if self.region == Box.whole(self.shape):
            if self.load <= 1:
                return f"{field}: this machine holds {self.fps_held:.0f} fps"
            shown = "; the whole field stays live as asked for, with fewer pictures"
        else:
            where = "the centre" if self.region == centre(self.shape, self.region.n_pixels) else "the part"
            size = f"{self.region.width} x {self.region.height}"
            shown = f"; showing {where} {size} live, the rest after the run with `refine`"
            if self.load <= 1:
                return f"{field}: this machine holds {self.fps_held:.0f} fps{shown}"
        line = f"{field} needs {_times(self.load)} what this machine holds{shown}"
        if self.fps_localized < self.fps:
            line += f"; about {1 - self.fps_localized / self.fps:.0%} of the frames will not be localized live"
        return line


def forecast(costs: Costs, shape: Shape, fps: float, request: RegionRequest) -> Forecast:
    """Return what is to be expected of a field at a rate.

    Examples
    --------
    >>> costs = Costs(1e-7, NetworkCost(((1e4, 0.01), (1e5, 0.1))), window_frames=10, grid_pixels=16.0, n_cores=2)
    >>> forecast(costs, Shape(256, 256), 100.0, RegionRequest("auto")).line()
    '256 x 256 at 100 fps needs 10 times what this machine holds; showing the centre 64 x 64 live, the rest after the
    run with `refine`'
    """
    n_pixels = costs.pixels_held(shape, fps)
    return Forecast(
        shape=shape,
        fps=fps,
        fps_held=costs.fps_held(shape),
        n_pixels_held=n_pixels,
        fps_localized=1 / costs.localize_s(shape),
        region=request.resolve(shape, n_pixels),
    )


def measure_costs(model: Model, config: RunConfig, camera: Camera, shape: Shape) -> Costs:
    """Time localizer and network on this machine, for about a second.

    Parameters
    ----------
    model
        The network, on the device that is to be used.
    config
        Localizer, lookahead, hop and window of the run.
    camera
        Its pixel size sets the pitch; its gain and offset what the frames look like.
    shape
        Of the field: nothing larger is measured.

    Raises
    ------
    ConfigError
        The localizer is unknown, or does not take its settings.
    """
    # Sensor maps have the field's shape; their means make the same work.
    camera = replace(
        camera,
        offset_adu=float(np.mean(camera.offset_adu)),
        electrons_per_adu=float(np.mean(camera.electrons_per_adu)),
        read_noise_e=float(np.mean(camera.read_noise_e)),
    )
    runner = NetworkRunner(model, config.reconstruct.engine)
    n_windows = config.reconstruct.lookahead + 2 * config.reconstruct.hop
    points: list[tuple[float, float]] = []
    for side in NETWORK_SIDES:
        part = Shape(min(side, shape.height), min(side, shape.width))
        height, width = Grid.covering(part, camera.pixel_size_nm, model.pixel_size_nm).shape
        grown = height * width / points[-1][0] if points else 0.0
        if points and (grown <= 1 or points[-1][1] * grown * n_windows > MAX_S):
            break
        points.append(_network_point(runner, model.pixel_size_nm, config, camera, part))
    field = Shape(min(LOCALIZER_SHAPE.height, shape.height), min(LOCALIZER_SHAPE.width, shape.width))
    options = {**config.localizer.to_options()}
    options["psf_sigma_px"] = options["psf_sigma_px"] or SIGMA_PX
    localizer = get_localizer_factory(config.localizer.name)(camera, **options)
    return Costs(
        localize_s_per_pixel=_localize_s(localizer, camera, field) / (field.height * field.width),
        network=NetworkCost(tuple(points)),
        window_frames=config.windows.frames,
        grid_pixels=(camera.pixel_size_nm / model.pixel_size_nm) ** 2,
        n_cores=n_cores(),
    )


def n_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _network_point(
    runner: NetworkRunner, pitch_nm: float, config: RunConfig, camera: Camera, shape: Shape
) -> tuple[float, float]:
    """(grid pixels, seconds per window) over whole hops: a push that makes pictures costs far more than the others."""
    lookahead, hop = config.reconstruct.lookahead, config.reconstruct.hop
    grid = Grid.covering(shape, camera.pixel_size_nm, pitch_nm)
    # As the live loop does it: a CUDA device decodes the pictures of a hop together.
    n_together = hop if runner.device.type == "cuda" else 1
    engine = StreamingEngine(runner.network, lookahead, hop, n_together=n_together)
    counts = np.random.default_rng(0).poisson(0.01, grid.shape).astype(np.uint16)
    state, present = engine.start(grid.shape), torch.ones(1)
    made: list[Picture] = []
    n_windows, started = 0, 0.0
    with runner.computing():
        while not made:  # filling the lookahead
            made, state = engine.push(runner.upload(counts), present, state)
        runner.download(made)
        started = time.perf_counter()
        while n_windows == 0 or time.perf_counter() - started < MIN_S:
            for _ in range(hop):
                made, state = engine.push(runner.upload(counts), present, state)
                runner.download(made)
            n_windows += hop
    return float(grid.shape.height * grid.shape.width), (time.perf_counter() - started) / n_windows


def _localize_s(localizer: Localizer, camera: Camera, shape: Shape) -> float:
    """Seconds per frame, of batches as the live loop hands them over."""
    frames, numbers = _frames(camera, shape), np.arange(N_FRAMES, dtype=np.int64)
    localizer.localize(frames, numbers)  # the first call compiles and allocates
    n_done, started = 0, time.perf_counter()
    while n_done == 0 or time.perf_counter() - started < MIN_S:
        localizer.localize(frames, numbers)
        n_done += N_FRAMES
    return (time.perf_counter() - started) / n_done


def _frames(camera: Camera, shape: Shape) -> FrameArray:
    """Frames [N, H, W] of Gaussian spots in Poisson noise, in the camera's counts."""
    rng = np.random.default_rng(0)
    n_spots = max(1, round(SPOTS_PER_UM2 * shape.height * shape.width * (camera.pixel_size_nm / 1000) ** 2))
    rows, cols = np.arange(shape.height), np.arange(shape.width)
    frames = np.empty((N_FRAMES, *shape), np.uint16)
    for frame in frames:
        y, x = (rng.uniform(0, side - 1, (n_spots, 1)) for side in shape)
        # A Gaussian separates: [spots, H] and [spots, W] instead of [spots, H, W].
        column = np.exp(-((rows - y) ** 2) / (2 * SIGMA_PX**2))
        row = np.exp(-((cols - x) ** 2) / (2 * SIGMA_PX**2))
        electrons = rng.poisson(BACKGROUND + PHOTONS / (2 * math.pi * SIGMA_PX**2) * column.T @ row)
        counts = electrons * camera.em_gain / camera.electrons_per_adu + camera.offset_adu
        frame[:] = np.clip(counts, 0, 2**camera.bit_depth - 1)
    return frames


def _times(load: float) -> str:
    return f"{load:.1f} times" if load < 10 else f"{load:.0f} times"
