"""Training clips cut from a rolling pool of simulated videos.

Simulating a video costs more than a crop of it, so a pool is kept and renewed slowly; each crop is cut at a random
place and time and turned by one of the eight symmetries of the square, which the physics shares.

Shapes: B batch, T windows, H, W pixels of the fine grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dblink_live.simulate.video import Structure, Video, VideoParameters, simulate_video
from dblink_live.train.settings import Specimens, TrainingSettings
from dblink_live.types import Shape

VIDEO_SHAPE = Shape(128, 128)
OTHERS: dict[str, tuple[Structure, ...]] = {
    "filaments": ("mitochondria", "blobs"),
    "mitochondria": ("filaments", "blobs"),
}
BODY_SPEED = 0.25
"""Bodies of the released simulator move 25 times as fast as its filaments; at full speed they would leave the field."""


@dataclass(frozen=True)
class Clip:
    """A batch of training clips with its own warm-up lengths."""

    counts: Tensor
    """[B, warmup_forward + T + warmup_reverse, H, W] float32."""
    present: Tensor
    """[B, ...] share of each window's frames that were seen."""
    structure: Tensor
    """[B, ...] float32 truth in {0, 1}."""
    warmup_forward: int
    warmup_reverse: int


class ClipSampler:
    """Draws `Clip` batches, seeded; each of several workers draws its own."""

    def __init__(self, settings: TrainingSettings, worker: int = 0) -> None:
        self._settings = settings
        self._rng = np.random.default_rng([settings.seed, worker])
        # Shared by all workers: who draws a longer warm-up would keep the others waiting.
        self._lengths = np.random.default_rng([settings.seed, 1_000_000])
        self._n_windows = settings.warmup_forward + settings.clip_windows + settings.warmup_reverse
        self._pool: list[Video] = []
        self._draws = 0

    def sample(self) -> Clip:
        """The next batch; grows or renews the pool as it goes."""
        settings = self._settings
        if len(self._pool) < settings.pool_videos:
            self._pool.append(self._new_video())
        elif self._draws % settings.steps_per_video == 0:
            self._pool[int(self._rng.integers(len(self._pool)))] = self._new_video()
        self._draws += 1
        warmup_forward = self._warmup(settings.warmup_forward, settings.cold_forward_share)
        warmup_reverse = self._warmup(settings.warmup_reverse, settings.cold_reverse_share)
        length = warmup_forward + settings.clip_windows + warmup_reverse
        crops = [
            self._crop(self._pool[int(self._rng.integers(len(self._pool)))], length) for _ in range(settings.batch)
        ]
        return Clip(
            counts=_stack([counts for counts, _, _ in crops]),
            present=_stack([present for _, present, _ in crops]),
            structure=_stack([structure for _, _, structure in crops]),
            warmup_forward=warmup_forward,
            warmup_reverse=warmup_reverse,
        )

    def _warmup(self, most: int, cold_share: float) -> int:
        cold = self._lengths.random() < cold_share
        return 0 if cold else int(self._lengths.integers(most + 1))

    def _new_video(self) -> Video:
        parameters = draw_parameters(self._settings.specimens, self._n_windows, self._rng)
        video = simulate_video(parameters, self._rng)
        if self._rng.random() < self._settings.specimens.bunching_share:
            video = bunch(video, self._rng)
        return video

    def _crop(
        self, video: Video, length: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        side = self._settings.crop_px
        height, width = video.counts.shape[1:]
        t = int(self._rng.integers(video.counts.shape[0] - length + 1))
        y = int(self._rng.integers(height - side + 1))
        x = int(self._rng.integers(width - side + 1))
        place = (slice(t, t + length), slice(y, y + side), slice(x, x + side))
        turns, flip = int(self._rng.integers(4)), bool(self._rng.integers(2))
        counts, structure = (_turned(array[place], turns, flip) for array in (video.counts, video.truth))
        return counts.astype(np.float32), video.present[place[0]].astype(np.float32), structure.astype(np.float32)


def draw_parameters(specimens: Specimens, n_windows: int, rng: np.random.Generator) -> VideoParameters:
    """Random parameters of one training video inside the envelope that ``specimens`` declares."""
    structure: Structure = specimens.structure
    if rng.random() < specimens.other_share:
        others = OTHERS[specimens.structure]
        structure = others[int(rng.integers(len(others)))]
    low, high = (math.log(max(value, 1e-3)) for value in specimens.density)
    slow, fast = specimens.speed
    # Squaring a uniform number puts half of the videos below a quarter of the fastest speed.
    speed = slow + (fast - slow) * rng.random() ** 2
    if structure in ("mitochondria", "blobs"):
        speed *= BODY_SPEED
    return VideoParameters(
        structure="empty" if rng.random() < specimens.empty_share else structure,
        shape=VIDEO_SHAPE,
        n_windows=n_windows,
        density=math.exp(rng.uniform(low, high)),
        speed=speed,
        noise=rng.uniform(*specimens.noise),
        jitter_px=int(rng.choice([0, 1, 2], p=[0.1, 0.8, 0.1])),
        individual_motion=rng.random() < specimens.individual_motion_share,
        reaches_beyond=rng.random() < specimens.reaches_beyond_share,
        missing_share=rng.uniform(0.0, 0.2) if rng.random() < specimens.missing_share else 0.0,
    )


def bunch(video: Video, rng: np.random.Generator) -> Video:
    """Multiply each localization by a geometric number: fluorophores that stay on for several frames of a window."""
    counts = video.counts.copy()
    where = np.nonzero(counts)
    counts[where] *= rng.geometric(rng.uniform(0.35, 0.9), size=where[0].size).clip(max=20).astype(counts.dtype)
    return video.with_counts(counts)


def _turned(array: npt.NDArray[np.generic], turns: int, flip: bool) -> npt.NDArray[np.generic]:
    turned = np.rot90(array, turns, axes=(1, 2))
    return turned[:, :, ::-1] if flip else turned


def _stack(arrays: list[npt.NDArray[np.float32]]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.stack(arrays)))
