"""From settings to a checkpoint: build, train, calibrate, save."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dblink_live.models import (
    BidirectionalNetwork,
    Envelope,
    build_network,
    load_model,
    resolve_device,
    save_checkpoint,
)
from dblink_live.simulate.video import simulate_video
from dblink_live.train.calibrate import calibrate_threshold
from dblink_live.train.dataset import BODY_SPEED, draw_parameters
from dblink_live.train.loop import TrainingProgress, train
from dblink_live.train.settings import Specimens, TrainingSettings
from dblink_live.train.workers import joined_workers, rank

PITCH_NM = 40.0
UNCALIBRATED_THRESHOLD = 0.5
CALIBRATION_PRESETS = {
    "filaments": ("default", "half density", "3x speed", "8x speed"),
    "mitochondria": ("mitochondria",),
}


def train_to_checkpoint(
    settings: TrainingSettings, path: Path, on_progress: Callable[[TrainingProgress], None] = lambda _: None
) -> str:
    """Train as ``settings`` say, saving to ``path`` on the way and at the end; return the checkpoint's sha256.

    What is saved on the way has an uncalibrated threshold. A failure leaves the last saved checkpoint in place.

    Raises
    ------
    ModelError
        The loss is not finite, the device is missing, or the checkpoint cannot be written.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    network = build_network(settings.network)
    if settings.start_from:
        network.load_state_dict(load_model(settings.start_from, device="cpu").network.state_dict())
    network = network.to(resolve_device(settings.device))
    envelope = measure_envelope(settings.specimens, settings.seed)

    def save_and_tell(progress: TrainingProgress, average: nn.Module) -> None:
        if rank() > 0:
            return
        if isinstance(average, BidirectionalNetwork):
            save_trained(average, settings, path, progress, UNCALIBRATED_THRESHOLD, envelope)
        on_progress(progress)

    with joined_workers():
        average, progress = train(network, settings, save_and_tell)
        if rank() > 0:
            return ""
    threshold = calibrate_threshold(average, CALIBRATION_PRESETS[settings.specimens.structure])
    return save_trained(average, settings, path, progress, threshold, envelope)


def save_trained(
    network: BidirectionalNetwork,
    settings: TrainingSettings,
    path: Path,
    progress: TrainingProgress,
    threshold: float,
    envelope: Envelope,
) -> str:
    """Write a checkpoint with the facts of its training; return its sha256."""
    return save_checkpoint(
        path,
        network,
        name=settings.name,
        pixel_size_nm=PITCH_NM,
        threshold=threshold,
        envelope=envelope,
        training={
            "structure": settings.specimens.structure,
            "seed": settings.seed,
            "started_from": Path(settings.start_from).name or "fresh weights",
            "steps": progress.step,
            "minutes": round(progress.elapsed_s / 60, 1),
            "batch": settings.batch,
            "crop_px": settings.crop_px,
            "clip_windows": settings.clip_windows,
            "loss": settings.loss,
            "torch": str(torch.__version__),
        },
    )


def measure_envelope(specimens: Specimens, seed: int, n_videos: int = 60) -> Envelope:
    """What the network sees, measured on ``n_videos`` drawn as training draws them."""
    rng = np.random.default_rng([seed, 4])
    densities = []
    for _ in range(n_videos):
        parameters = draw_parameters(specimens, n_windows=4, rng=rng)
        video = simulate_video(parameters, rng)
        area_um2 = video.counts[0].size * (parameters.pitch_nm * 1e-3) ** 2
        frames = parameters.window_frames * float(video.present.sum())
        if frames:
            densities.append(float(video.counts.sum()) / (area_um2 * frames))
    # An emitter every so often, and 2 noise localizations a frame on 26 um^2, in the released simulator's units.
    noise_per_um2 = 2.0 / (128 * 0.04) ** 2
    nm_per_window = 0.002 * PITCH_NM * 10 if specimens.structure == "filaments" else 0.05 * PITCH_NM * 10 * BODY_SPEED
    return Envelope(
        density=(round(float(np.quantile(densities, 0.02)), 4), round(float(np.quantile(densities, 0.98)), 4)),
        speed=(specimens.speed[0] * nm_per_window, specimens.speed[1] * nm_per_window),
        noise=(round(specimens.noise[0] * noise_per_um2, 4), round(specimens.noise[1] * noise_per_um2, 4)),
        # A uniform jitter of 0 to 2 pixels either way and the rounding to a pixel.
        precision=(round(PITCH_NM / 12**0.5, 1), round(PITCH_NM * (25 / 12) ** 0.5, 1)),
        pitch=(PITCH_NM, PITCH_NM),
    )
