"""Training clips cut from a sliding pool of simulated videos, each a function of seed, worker and step alone.

Simulating a video costs more than a crop of it, so a pool of the newest ones is kept; each crop is cut at a random
place and time and turned by one of the eight symmetries of the square, which the physics shares. Nothing is remembered
from step to step but videos that can be simulated again, so a run that is taken up later sees the clips it would have
seen.

Shapes: B batch, T windows, H, W pixels of the fine grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dblink_live.errors import ConfigError
from dblink_live.maps.binning import count_per_window
from dblink_live.simulate.varied import VariedParameters, draw_bands_video, draw_lines_video, draw_mask_video
from dblink_live.simulate.video import Structure, Video, VideoParameters, simulate_video
from dblink_live.train.reconstruction.drawn_mask import read_drawn_mask
from dblink_live.train.reconstruction.settings import VIDEO_SIDE_PX, Specimens, TrainingSettings
from dblink_live.types import Shape

VIDEO_SHAPE = Shape(VIDEO_SIDE_PX, VIDEO_SIDE_PX)
OTHERS: dict[str, tuple[Structure, ...]] = {
    "filaments": ("mitochondria", "blobs"),
    "mitochondria": ("filaments", "blobs"),
}
BODY_SPEED = 0.35
"""Bodies of the released simulator move 25 times as fast as its filaments; at full speed they would leave the field."""
EMPTY_NOISE = 6.0
"""Fields without structure have up to this many times the noise of others."""
RELEASED_DENSITY = (0.4, 1.3)
RELEASED_SPEED = 10.0
RELEASED_BODY_SPEED = (0.4, 2.5)
"""Bodies of the released simulator are fast as they are."""
WARMUP_POWER = 3
"""Warm-ups are the longest one times a uniform number to this power: half of them are shorter than an eighth of it."""
MAX_BEADS = 4
BEAD_SCATTER_PX = (0.05, 1.0)
"""How exactly a fiducial bead is localized: 2 to 40 nm, drawn log-uniformly."""
_VIDEOS, _CROPS, _LENGTHS = 1, 2, 3
"""Second number of the seeds of training: what is drawn from them. `measure_envelope` has 4."""
_VALIDATION_VIDEOS, _VALIDATION_CROPS = 5, 6
"""The same of validation."""


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
    first_supervised: int
    """First window of the T that is decoded and scored."""
    seed: tuple[int, ...]
    """Of the random numbers that cut it: names the batch in a message."""


class ClipSampler:
    """The `Clip` of every step of one of ``n_workers`` processes."""

    def __init__(self, settings: TrainingSettings, worker: int = 0, n_workers: int = 1) -> None:
        self._settings = settings
        self._worker = worker
        self._n_workers = n_workers
        self._pool: dict[int, Video] = {}

    def sample(self, step: int) -> Clip:
        """The batch of ``step`` (0, 1, 2...); cheapest in their order, for then few videos are new."""
        settings = self._settings
        # Shared by all workers: a longer warm-up in one would keep the others waiting.
        lengths = np.random.default_rng([settings.seed, _LENGTHS, step])
        seed = (settings.seed, _CROPS, step, self._worker)
        rng = np.random.default_rng(seed)
        oldest = step // settings.steps_per_video
        self._pool = {number: video for number, video in self._pool.items() if number >= oldest}
        numbers = oldest + rng.integers(settings.pool_videos, size=settings.batch)
        return cut_clip([self._video(int(number)) for number in numbers], settings, seed, lengths, rng)

    def _video(self, number: int) -> Video:
        """Video ``number`` of this worker, simulated when it is first drawn."""
        if number not in self._pool:
            among_all = number * self._n_workers + self._worker
            if self._settings.training_videos:
                among_all %= self._settings.training_videos
            self._pool[number] = draw_video(
                self._settings, np.random.default_rng([self._settings.seed, _VIDEOS, among_all])
            )
        return self._pool[number]


def validation_clips(settings: TrainingSettings, worker: int = 0, n_workers: int = 1) -> list[Clip]:
    """The share of one of ``n_workers`` of the validation: batches of one clip each of ``validation_videos`` videos."""
    clips = []
    for first in range(worker * settings.batch, settings.validation_videos, n_workers * settings.batch):
        numbers = range(first, min(first + settings.batch, settings.validation_videos))
        seed = (settings.seed, _VALIDATION_CROPS, first)
        rng = np.random.default_rng(seed)
        clips.append(cut_clip([validation_video(settings, number) for number in numbers], settings, seed, rng, rng))
    return clips


def validation_video(settings: TrainingSettings, number: int) -> Video:
    """Video ``number`` of those that training never sees."""
    return draw_video(settings, np.random.default_rng([settings.seed, _VALIDATION_VIDEOS, number]))


def preview_videos(settings: TrainingSettings, n: int) -> list[Video]:
    """Validation videos to look at: only of the structure that is trained for, and in view where there are enough."""
    shown = msgspec.structs.replace(settings.specimens, other_share=0.0, empty_share=0.0)
    videos = [validation_video(msgspec.structs.replace(settings, specimens=shown), number) for number in range(2 * n)]
    return sorted(videos, key=lambda video: not video.truth[len(video.truth) // 2].any())[:n]


def draw_video(settings: TrainingSettings, rng: np.random.Generator) -> Video:
    """A video to train on, long enough for a clip with its longest warm-ups."""
    return draw_video_of(settings.specimens, settings.video_windows or settings.longest_clip, rng)


def draw_video_of(specimens: Specimens, n_windows: int, rng: np.random.Generator) -> Video:
    """A video of ``n_windows``, of whatever ``specimens`` let occur."""
    if specimens.structure == "mask":
        return _draw_mask_video(specimens, n_windows, rng)
    varied = rng.random()
    if varied < specimens.lines_share + specimens.bands_share:
        wanted = VariedParameters(
            shape=VIDEO_SHAPE, n_windows=n_windows, even_speed_share=specimens.bands_even_speed_share
        )
        if varied < specimens.lines_share:
            return draw_lines_video(wanted, rng)
        video = draw_bands_video(wanted, rng)
        return add_beads(video, rng) if rng.random() < specimens.bead_share else video
    if rng.random() < specimens.released_share:
        return simulate_video(draw_released_parameters(specimens, n_windows, rng), rng)
    video = simulate_video(draw_parameters(specimens, n_windows, rng), rng)
    if rng.random() < specimens.bunching_share:
        video = bunch(video, rng)
    return add_beads(video, rng) if rng.random() < specimens.bead_share else video


def _draw_mask_video(specimens: Specimens, n_windows: int, rng: np.random.Generator) -> Video:
    """A video of the user's drawing; some show filaments or blobs instead, so that it is not seen everywhere."""
    if rng.random() < specimens.other_share:
        others = msgspec.structs.replace(specimens, structure="filaments", mask="", other_share=0.5)
        return simulate_video(draw_parameters(others, n_windows, rng), rng)
    wanted = VariedParameters(
        shape=VIDEO_SHAPE,
        n_windows=n_windows,
        density=_positive(specimens.density),
        noise=_positive(specimens.noise),
        max_step_nm=specimens.mask_step_nm,
    )
    return draw_mask_video(read_drawn_mask(specimens.mask), wanted, rng)


def _positive(limits: tuple[float, float]) -> tuple[float, float]:
    """Limits that numbers can be drawn from log-uniformly."""
    low, high = (max(value, 1e-3) for value in limits)
    return low, high


def cut_clip(
    videos: list[Video],
    settings: TrainingSettings,
    seed: tuple[int, ...],
    lengths: np.random.Generator,
    rng: np.random.Generator,
) -> Clip:
    """One crop of each of ``videos``; their common lengths come from ``lengths``, all else from ``rng``."""
    warmup_forward, warmup_reverse = _draw_warmups(settings, lengths)
    length = warmup_forward + settings.clip_windows + warmup_reverse
    crops = [_crop(video, length, settings.crop_px, rng) for video in videos]
    return Clip(
        counts=_stack([counts for counts, _, _ in crops]),
        present=_stack([present for _, present, _ in crops]),
        structure=_stack([structure for _, _, structure in crops]),
        warmup_forward=warmup_forward,
        warmup_reverse=warmup_reverse,
        first_supervised=_draw_first_supervised(settings, warmup_reverse, rng),
        seed=seed,
    )


def _draw_first_supervised(settings: TrainingSettings, warmup_reverse: int, rng: np.random.Generator) -> int:
    last = settings.clip_windows - settings.supervised_windows
    # Windows at the clip's very end, with little or no lookahead, would else be scored in few steps.
    if not warmup_reverse and rng.random() < settings.newest_windows_share:
        return last
    return int(rng.integers(last + 1))


def draw_parameters(specimens: Specimens, n_windows: int, rng: np.random.Generator) -> VideoParameters:
    """Random parameters of one training video inside the envelope that ``specimens`` declares."""
    structure: Structure = _simulated(specimens)
    if rng.random() < specimens.other_share:
        others = OTHERS[structure]
        structure = others[int(rng.integers(len(others)))]
    is_empty = rng.random() < specimens.empty_share
    low, high = (math.log(max(value, 1e-3)) for value in specimens.density)
    slow, fast = specimens.speed
    other_jitter = specimens.other_jitter_share
    # Squaring a uniform number puts half of the videos below a quarter of the fastest speed.
    speed = slow + (fast - slow) * rng.random() ** 2
    if structure in ("mitochondria", "blobs"):
        speed *= BODY_SPEED
    return VideoParameters(
        structure="empty" if is_empty else structure,
        shape=VIDEO_SHAPE,
        n_windows=n_windows,
        density=math.exp(rng.uniform(low, high)),
        speed=speed,
        # Where nothing else is, noise of any strength is to be told from sparsely labelled structure.
        noise=rng.uniform(*specimens.noise) * (rng.uniform(1.0, EMPTY_NOISE) if is_empty else 1.0),
        jitter_px=int(rng.choice([0, 1, 2], p=[other_jitter / 2, 1 - other_jitter, other_jitter / 2])),
        individual_motion=rng.random() < specimens.individual_motion_share,
        reaches_beyond=rng.random() < specimens.reaches_beyond_share,
        missing_share=rng.uniform(0.0, 0.2) if rng.random() < specimens.missing_share else 0.0,
    )


def _simulated(specimens: Specimens) -> Literal["filaments", "mitochondria"]:
    """The structure, of those that `VideoParameters` knows."""
    if specimens.structure == "mask":
        raise ConfigError("expected a simulated structure, found one that is drawn; see draw_video_of")
    return specimens.structure


def draw_released_parameters(specimens: Specimens, n_windows: int, rng: np.random.Generator) -> VideoParameters:
    """Random density and speed of a video that is otherwise as the released simulator draws it."""
    low, high = np.log(RELEASED_DENSITY)
    if specimens.structure == "mitochondria":
        speed = rng.uniform(*RELEASED_BODY_SPEED)
    else:
        speed = RELEASED_SPEED * rng.random() ** specimens.released_speed_power
    return VideoParameters(
        structure=_simulated(specimens),
        shape=VIDEO_SHAPE,
        n_windows=n_windows,
        density=math.exp(rng.uniform(low, high)),
        speed=speed,
    )


def bunch(video: Video, rng: np.random.Generator) -> Video:
    """Multiply each localization by a geometric number: fluorophores that stay on for several frames of a window."""
    counts = video.counts.copy()
    where = np.nonzero(counts)
    counts[where] *= rng.geometric(rng.uniform(0.35, 0.9), size=where[0].size).clip(max=20).astype(counts.dtype)
    return video.with_counts(counts)


def add_beads(video: Video, rng: np.random.Generator) -> Video:
    """Put a few fiducial beads into the field: localized in nearly every frame at one place, and no structure.

    They lie on the coverslip, so that all of them move with the stage, and hardly.
    """
    counts = video.counts.copy()
    n_windows, *sides = counts.shape
    n_beads = int(rng.integers(1, MAX_BEADS + 1))
    low, high = np.log(BEAD_SCATTER_PX)
    scatter = np.exp(rng.uniform(low, high, size=n_beads))
    per_window = rng.integers(5, 11, size=n_beads)
    start = rng.uniform(0.0, sides, size=(n_beads, 2))
    drift = rng.uniform(-0.02, 0.02, size=2)
    for bead in range(n_beads):
        t = np.repeat(np.arange(n_windows), per_window[bead])
        places = start[bead] + drift * t[:, None] + rng.normal(0.0, scatter[bead], size=(t.size, 2))
        y, x = np.floor(places).astype(np.int64).T
        seen = rng.random(t.size) < video.present[t]
        counts += count_per_window(t[seen], y[seen], x[seen], n_windows, Shape(*sides))
    return video.with_counts(counts)


def _draw_warmups(settings: TrainingSettings, rng: np.random.Generator) -> tuple[int, int]:
    """Windows before and after a clip."""
    # Where the share is 0, no number is drawn for it: seeds of earlier settings still give the same clips.
    if settings.full_pass_share and rng.random() < settings.full_pass_share:
        before, after = rng.integers([settings.warmup_forward + 1, settings.warmup_reverse + 1])
        return int(before), int(after)
    before = _draw_warmup(settings.warmup_forward, settings.cold_forward_share, rng)
    return before, _draw_warmup(settings.warmup_reverse, settings.cold_reverse_share, rng)


def _draw_warmup(most: int, cold_share: float, rng: np.random.Generator) -> int:
    is_cold = rng.random() < cold_share
    return 0 if is_cold else int((most + 1) * rng.random() ** WARMUP_POWER)


def _crop(
    video: Video, length: int, side: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Counts, shares seen and structure of ``length`` windows of a square of ``side`` pixels."""
    t, y, x = (
        int(rng.integers(have - want + 1)) for have, want in zip(video.counts.shape, (length, side, side), strict=True)
    )
    place = (slice(t, t + length), slice(y, y + side), slice(x, x + side))
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))
    counts, structure = (_turned(array[place], turns, flip) for array in (video.counts, video.truth))
    return counts.astype(np.float32), video.present[place[0]].astype(np.float32), structure.astype(np.float32)


def _turned(array: npt.NDArray[np.generic], turns: int, flip: bool) -> npt.NDArray[np.generic]:
    turned = np.rot90(array, turns, axes=(1, 2))
    return turned[:, :, ::-1] if flip else turned


def _stack(arrays: list[npt.NDArray[np.float32]]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.stack(arrays)))
