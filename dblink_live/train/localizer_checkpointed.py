"""From settings to a checkpoint of the dense localizer: train, save."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch

from dblink_live.errors import ConfigError, ModelError
from dblink_live.localization.dense.checkpoint import FORMAT_VERSION, LocalizerFacts, Range, save_localizer
from dblink_live.localization.dense.network import DenseConfig
from dblink_live.train.checkpointed import check_folder
from dblink_live.train.localizer_loop import begin_localizer, train_localizer
from dblink_live.train.localizer_settings import LocalizerScenes, LocalizerSettings
from dblink_live.train.loop import TrainingProgress
from dblink_live.train.stopped import TrainingStoppedError


def train_localizer_to_checkpoint(
    settings: LocalizerSettings,
    path: Path,
    on_progress: Callable[[TrainingProgress], None] = lambda _: None,
    *,
    overwrite: bool = False,
) -> str:
    """Train as ``settings`` say, saving to ``path`` on the way and at the end; return the checkpoint's sha256.

    An interrupted training leaves what was saved last: a whole checkpoint, which ``start_from`` takes up.

    Raises
    ------
    ConfigError
        There is a checkpoint at ``path``, or no folder to write to.
    ModelError
        ``start_from`` is missing or damaged.
    TrainingStoppedError
        The loss is not finite, or the checkpoint cannot be written.
    """
    if path.exists() and not overwrite:
        raise ConfigError(
            f"expected a new checkpoint, but {path} exists; give another --out, or --overwrite to train anew "
            "(start_from in the settings goes on from its weights)"
        )
    check_folder(path.parent)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    training = begin_localizer(settings)

    sha256 = ""

    def save(progress: TrainingProgress) -> None:
        nonlocal sha256
        try:
            sha256 = save_localizer(path, training.average, facts_of(settings, progress))
        except ModelError as error:
            raise TrainingStoppedError(f"cannot save step {progress.step}: {error}") from error
        on_progress(progress)

    train_localizer(training, settings, save)
    return sha256


def facts_of(settings: LocalizerSettings, progress: TrainingProgress) -> LocalizerFacts:
    """What a checkpoint says of itself."""
    return LocalizerFacts(
        format_version=FORMAT_VERSION,
        weights_sha256="",
        name=settings.name,
        config=DenseConfig(),
        psf_sigma_px=settings.scenes.psf_sigma_px,
        envelope=envelope_of(settings.scenes),
        training={
            "seed": settings.seed,
            "started_from": Path(settings.start_from).name or "fresh weights",
            "steps": progress.step,
            "minutes": round(progress.elapsed_s / 60, 1),
            "batch": settings.batch,
            "crop_px": settings.crop_px,
            "learning_rate": settings.learning_rate,
            "validation_loss": None if math.isnan(progress.validation_loss) else round(progress.validation_loss, 5),
            "torch": str(torch.__version__),
        },
    )


def envelope_of(scenes: LocalizerScenes) -> dict[str, Range]:
    """The ranges of the settings, by their names."""
    ranges = ((field.name, getattr(scenes, field.name)) for field in msgspec.structs.fields(scenes))
    return {name: bounds for name, bounds in ranges if isinstance(bounds, tuple)}
