"""The operating threshold of a trained network, fixed on videos that neither training nor evaluation uses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from dblink_live.analysis.metrics import best_threshold
from dblink_live.models.network import BidirectionalNetwork
from dblink_live.simulate.video import PRESETS, simulate_video

CALIBRATION_SEED = 700_000
"""First seed of the calibration videos; training draws from its own stream, `benchmarks.quality` from another."""


def calibrate_threshold(
    network: BidirectionalNetwork, presets: tuple[str, ...], videos_each: int = 2, n_windows: int = 120
) -> float:
    """Threshold with the best F1 at 1 px over ``videos_each`` videos of each of ``presets``, full bidirectional
    pass."""
    device = next(network.parameters()).device
    probability, truth = [], []
    for p, preset in enumerate(presets):
        for v in range(videos_each):
            video = simulate_video(replace(PRESETS[preset], n_windows=n_windows), CALIBRATION_SEED + 100 * p + v)
            counts = torch.from_numpy(video.counts.astype(np.float32))[None].to(device)
            with torch.inference_mode():
                logits = network(counts)
                probability.append(network.probability(logits)[0].cpu().numpy())
            truth.append(video.truth)
    threshold, _ = best_threshold(np.concatenate(probability), np.concatenate(truth))
    return round(threshold, 3)
