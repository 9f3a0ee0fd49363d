"""From settings to a checkpoint of a localizer network: train, save."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch

from dblink_live.errors import ConfigError, ModelError
from dblink_live.localization.neural.deepstorm.checkpoint import DEEPSTORM_CHECKPOINTS, DeepStormFacts
from dblink_live.localization.neural.deepstorm.network import DeepStormNetwork
from dblink_live.localization.neural.dense.checkpoint import DENSE_CHECKPOINTS, DenseFacts
from dblink_live.localization.neural.weights import FORMAT_VERSION, Range
from dblink_live.train.errors import TrainingStoppedError
from dblink_live.train.localizer.deepstorm_measure import measure
from dblink_live.train.localizer.loop import (
    AnyNetwork,
    LocalizerTraining,
    begin_deepstorm,
    begin_localizer,
    train_localizer,
)
from dblink_live.train.localizer.settings import DeepStormSettings, LocalizerScenes, LocalizerSettings, NetworkSettings
from dblink_live.train.reconstruction.loop import TrainingProgress
from dblink_live.train.reconstruction.train_model import check_folder


def train_localizer_to_checkpoint(
    settings: LocalizerSettings | DeepStormSettings,
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
    if isinstance(settings, DeepStormSettings):
        deepstorm = begin_deepstorm(settings)
        return _train(
            deepstorm, settings, on_progress, lambda progress: _save_deepstorm(path, deepstorm, settings, progress)
        )
    dense = begin_localizer(settings)
    return _train(
        dense,
        settings,
        on_progress,
        lambda progress: DENSE_CHECKPOINTS.save(
            path, dense.average, DenseFacts(config=dense.average.config, **_stated(settings, progress))
        ),
    )


def _train(
    training: LocalizerTraining[AnyNetwork],
    settings: NetworkSettings,
    on_progress: Callable[[TrainingProgress], None],
    save: Callable[[TrainingProgress], str],
) -> str:
    """Train and ``save`` on the way; what that returned last is returned."""
    sha256 = ""

    def on_save(progress: TrainingProgress) -> None:
        nonlocal sha256
        try:
            sha256 = save(progress)
        except ModelError as error:
            raise TrainingStoppedError(f"cannot save step {progress.step}: {error}") from error
        on_progress(progress)

    train_localizer(training, settings, on_save)
    return sha256


def _save_deepstorm(
    path: Path,
    training: LocalizerTraining[DeepStormNetwork],
    settings: DeepStormSettings,
    progress: TrainingProgress,
) -> str:
    measured = measure(training.average, settings)
    stated = _stated(settings, progress)
    stated["training"]["jaccard_within_a_width"] = round(measured.jaccard, 4)
    stated["training"]["sparsity"] = settings.sparsity
    facts = DeepStormFacts(
        architecture=DeepStormNetwork.architecture,
        config=training.average.config,
        min_height=measured.min_height,
        precision=measured.precision,
        **stated,
    )
    return DEEPSTORM_CHECKPOINTS.save(path, training.average, facts)


def _stated(settings: NetworkSettings, progress: TrainingProgress) -> dict[str, Any]:
    """What any checkpoint says of itself."""
    return {
        "format_version": FORMAT_VERSION,
        "weights_sha256": "",
        "name": settings.name,
        "psf_sigma_px": settings.scenes.psf_sigma_px,
        "envelope": envelope_of(settings.scenes),
        "training": {
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
    }


def envelope_of(scenes: LocalizerScenes) -> dict[str, Range]:
    """The ranges of the settings, by their names."""
    ranges = ((field.name, getattr(scenes, field.name)) for field in msgspec.structs.fields(scenes))
    return {name: bounds for name, bounds in ranges if isinstance(bounds, tuple)}
