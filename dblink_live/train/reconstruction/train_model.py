"""From settings to a checkpoint: build, train, calibrate, save."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import torch

from dblink_live.errors import ConfigError, ModelError
from dblink_live.files import remove
from dblink_live.models import (
    BidirectionalNetwork,
    Envelope,
    GatedConfig,
    GatedNetwork,
    build_network,
    load_model,
    resolve_device,
    save_checkpoint,
)
from dblink_live.simulate.varied import MAX_STEP_NM, WINDOW_FRAMES
from dblink_live.train.errors import TrainingStoppedError
from dblink_live.train.reconstruction.dataset import BODY_SPEED, draw_video, draw_video_of
from dblink_live.train.reconstruction.loop import TrainingProgress, train
from dblink_live.train.reconstruction.resume import load_state, save_pair, side_file
from dblink_live.train.reconstruction.settings import Specimens, TrainingSettings
from dblink_live.train.reconstruction.state import TrainingState, begin
from dblink_live.train.reconstruction.threshold import CALIBRATION_SEED, best_threshold_on, calibrate_threshold
from dblink_live.train.reconstruction.watch import watched
from dblink_live.train.reconstruction.workers import joined_workers, n_workers, own_device, rank

PITCH_NM = 40.0
UNCALIBRATED_THRESHOLD = 0.5
N_MASK_VIDEOS = 6
"""Of drawn structure, to calibrate on."""
ERROR_BRANCH = "head.error."
"""How the names of its weights begin."""
CALIBRATION_PRESETS = {
    "filaments": ("default", "half density", "3x speed", "8x speed"),
    "mitochondria": ("mitochondria",),
}


def train_to_checkpoint(
    settings: TrainingSettings,
    path: Path,
    on_progress: Callable[[TrainingProgress], None] = lambda _: None,
    *,
    overwrite: bool = False,
    on_notice: Callable[[str], None] = lambda _: None,
) -> str:
    """Train as ``settings`` say, saving to ``path`` on the way and at the end; return the checkpoint's sha256.

    A training that was interrupted, however it died, goes on from its last save: on the CPU with one process and a
    limit of steps, to the same weights bit for bit. What is saved on the way has an uncalibrated threshold; curves and
    previews lie beside it (`watch_folder`). A failure
    leaves what was saved last in place. Of several processes the first one saves and returns the hash, the others "".

    Parameters
    ----------
    overwrite
        Begin anew, whether or not there is a checkpoint or an unfinished training at ``path``.
    on_notice
        Is told in a sentence what the user may want to know.

    Raises
    ------
    ConfigError
        There is a finished checkpoint, an unfinished training with other settings, or no folder to write to.
    ModelError
        ``start_from`` or the device is missing, or what was saved is damaged.
    TrainingStoppedError
        The loss is not finite, or the checkpoint cannot be written.
    """
    is_resumed = side_file(path).exists() and not overwrite
    if path.exists() and not (is_resumed or overwrite):
        raise ConfigError(
            f"expected a new checkpoint, but {path} exists and its training is finished; "
            "give another --out, or --overwrite to train anew"
        )
    check_folder(path.parent)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    state = begin(_first_network(settings).to(own_device(resolve_device(settings.device))), settings)
    envelope = measure_envelope(settings.specimens, settings.seed)

    def save(progress: TrainingProgress) -> None:
        with _stopping_where_it_cannot_save(state):
            save_pair(
                path,
                state,
                settings,
                n_workers(),
                lambda: save_trained(state.average, settings, path, progress, UNCALIBRATED_THRESHOLD, envelope),
            )
            folder.refresh(state)
        on_progress(progress)

    with joined_workers():
        if is_resumed:
            load_state(path, state, settings, n_workers())
        if rank() > 0:
            train(state, settings, lambda _: None)
            return ""
        if is_resumed:
            on_notice(f"going on with {path} from step {state.step}")
        with watched(path, settings, on_notice) as folder:
            progress = train(state, settings, save)
    threshold = _calibrated(state.average, settings)
    with _stopping_where_it_cannot_save(state):
        sha256 = save_trained(state.average, settings, path, progress, threshold, envelope)
        remove(side_file(path))
    return sha256


def _calibrated(network: BidirectionalNetwork, settings: TrainingSettings) -> float:
    """The operating threshold, on presets, or on videos of drawn structure that training never sees."""
    if settings.errors_only:
        return load_model(settings.start_from, device="cpu").threshold
    if settings.specimens.structure != "mask":
        return calibrate_threshold(network, CALIBRATION_PRESETS[settings.specimens.structure])
    alone = msgspec.structs.replace(settings, specimens=msgspec.structs.replace(settings.specimens, other_share=0.0))
    rngs = [np.random.default_rng([CALIBRATION_SEED, number]) for number in range(N_MASK_VIDEOS)]
    return best_threshold_on(network, [[draw_video(alone, rng)] for rng in rngs])


def check_folder(folder: Path) -> None:
    """Make ``folder`` and try it with an empty file, before hours of work are put into it.

    Raises
    ------
    ConfigError
        It cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"expected a folder to write checkpoints to, but {folder} cannot be written: {error.strerror}; "
            "give another --out"
        ) from error


def _first_network(settings: TrainingSettings) -> BidirectionalNetwork:
    """The network before its first step: fresh, or with the sizes and weights of ``start_from``."""
    torch.manual_seed(settings.seed)
    if not settings.start_from:
        if settings.network in ("", GatedNetwork.architecture):
            return GatedNetwork(GatedConfig(error=settings.error_channels))
        return build_network(settings.network)
    model = load_model(settings.start_from, device="cpu")
    if settings.network not in ("", model.architecture):
        raise ConfigError(
            f"expected start_from to be a {settings.network!r} network, found {model.architecture!r} in "
            f"{settings.start_from}; set network to it, or start from another"
        )
    config = model.network.config
    if settings.errors_only and not isinstance(config, GatedConfig):
        raise ConfigError(f"expected start_from to be a 'gated' network with errors_only, found {model.architecture!r}")
    if isinstance(config, GatedConfig) and (settings.errors_only or not config.error):
        config = msgspec.structs.replace(config, error=settings.error_channels)
    network = build_network(model.architecture, msgspec.json.encode(config))
    # A branch that predicts errors begins with fresh weights where start_from has none, or one of another size.
    stored = model.network.state_dict()
    fresh = {
        name: value
        for name, value in network.state_dict().items()
        if name.startswith(ERROR_BRANCH) and (name not in stored or stored[name].shape != value.shape)
    }
    network.load_state_dict(stored | fresh)
    if settings.errors_only:
        for name, weights in network.named_parameters():
            weights.requires_grad_(name.startswith(ERROR_BRANCH))
    return network


@contextmanager
def _stopping_where_it_cannot_save(state: TrainingState) -> Iterator[None]:
    if not all(bool(weight.isfinite().all()) for weight in state.average.state_dict().values()):
        raise TrainingStoppedError(
            f"expected finite weights, found NaN or infinity after step {state.step}; what was saved last stays: begin "
            "anew with it as start_from and a lower learning_rate"
        )
    try:
        yield
    except (ModelError, OSError) as error:
        raise TrainingStoppedError(
            f"cannot save step {state.step}: {error}. What was saved last is whole: make room, and the same command "
            "goes on from there"
        ) from error


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
            "validation_loss": None if math.isnan(progress.validation_loss) else round(progress.validation_loss, 5),
            "torch": str(torch.__version__),
        },
    )


def measure_envelope(specimens: Specimens, seed: int, n_videos: int = 60) -> Envelope:
    """Return what the network sees, measured on ``n_videos`` drawn as training draws them."""
    rng = np.random.default_rng([seed, 4])
    densities = []
    for _ in range(n_videos):
        video = draw_video_of(specimens, 4, rng)
        area_um2 = video.counts[0].size * (PITCH_NM * 1e-3) ** 2
        frames = WINDOW_FRAMES * float(video.present.sum())
        if frames:
            densities.append(float(video.counts.sum()) / (area_um2 * frames))
    # An emitter every so often, and 2 noise localizations per frame on 26 um^2, in the released simulator's units.
    noise_per_um2 = 2.0 / (128 * 0.04) ** 2
    nm_per_window = 0.002 * PITCH_NM * 10 if specimens.structure == "filaments" else 0.05 * PITCH_NM * 10 * BODY_SPEED
    fastest = specimens.mask_step_nm if specimens.structure == "mask" else specimens.speed[1] * nm_per_window
    if specimens.bands_share and specimens.structure == "filaments":
        fastest = max(fastest, MAX_STEP_NM)
    # A uniform jitter of whole pixels either way, and the rounding to a pixel.
    jitters_px = (0, 2) if specimens.other_jitter_share else (1, 1)
    best, worst = (round(PITCH_NM * (2 * jitter + 1) / 12**0.5, 1) for jitter in jitters_px)
    return Envelope(
        density=(round(float(np.quantile(densities, 0.02)), 4), round(float(np.quantile(densities, 0.98)), 4)),
        speed=(round(specimens.speed[0] * nm_per_window, 4), round(fastest, 4)),
        noise=(round(specimens.noise[0] * noise_per_um2, 4), round(specimens.noise[1] * noise_per_um2, 4)),
        precision=(best, worst),
        pitch=(PITCH_NM, PITCH_NM),
    )
