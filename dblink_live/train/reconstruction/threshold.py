"""The operating threshold of a trained network, fixed on videos that neither training nor evaluation uses.

One threshold has to serve every sample and both ways of looking at it: live, with bounded lookahead, and afterwards.
So the mean of the F1 scores is maximized over all presets, whose structures fill different shares of their fields, for
the live pictures and the full pass alike.

Shapes: T windows, H, W pixels of the fine grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from dblink_live.analysis.metrics import f1_at_thresholds
from dblink_live.models import BidirectionalNetwork, StreamingEngine
from dblink_live.simulate.video import PRESETS, Video, simulate_video
from dblink_live.types import Shape

CALIBRATION_SEED = 700_000
"""First seed of the calibration videos; training draws from its own stream, `benchmarks.quality` from another."""
LIVE_LOOKAHEAD, LIVE_HOP = 8, 4
CANDIDATES = np.round(np.arange(0.1, 0.9, 0.01), 2)

Pictures = npt.NDArray[np.float32]


def calibrate_threshold(
    network: BidirectionalNetwork, presets: tuple[str, ...], videos_each: int = 2, n_windows: int = 120
) -> float:
    """Threshold with the best mean F1 at 1 px over ``presets``, each of ``videos_each`` videos of ``n_windows``."""
    groups = (
        [
            simulate_video(replace(PRESETS[preset], n_windows=n_windows), CALIBRATION_SEED + 100 * p + v)
            for v in range(videos_each)
        ]
        for p, preset in enumerate(presets)
    )
    return best_threshold_on(network, groups)


def best_threshold_on(network: BidirectionalNetwork, groups: Iterable[Sequence[Video]]) -> float:
    """Threshold with the best mean F1 at 1 px over ``groups`` of videos, live and in the full pass."""
    scores = np.zeros(len(CANDIDATES))
    for videos in groups:
        truth = np.concatenate([video.truth for video in videos])
        for pictures in (_full_pass, _live_pictures):
            predicted = np.concatenate([pictures(network, video.counts.astype(np.float32)) for video in videos])
            scores += f1_at_thresholds(predicted, truth, CANDIDATES)
    return float(CANDIDATES[int(np.argmax(scores))])


@torch.inference_mode()
def _full_pass(network: BidirectionalNetwork, counts: npt.NDArray[np.float32]) -> Pictures:
    """[T, H, W] probabilities, each window seen from all others."""
    device = next(network.parameters()).device
    logits = network(torch.from_numpy(counts)[None].to(device))
    probability: Pictures = network.probability(logits)[0].cpu().numpy()
    return probability


def _live_pictures(network: BidirectionalNetwork, counts: npt.NDArray[np.float32]) -> Pictures:
    """[T, H, W] probabilities as a live stream gives them."""
    engine = StreamingEngine(network, LIVE_LOOKAHEAD, LIVE_HOP)
    state = engine.start(Shape(*counts.shape[1:]))
    pictures, state = engine.push(torch.from_numpy(counts), torch.ones(len(counts)), state)
    return np.stack([picture.probability.cpu().numpy() for picture in [*pictures, *engine.flush(state)]])
