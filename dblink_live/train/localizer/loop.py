"""The training loop of the localizer networks: fresh examples at every step, none shown twice.

Step n draws its examples from the seed and n alone, so a run can be repeated.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from msgspec.structs import asdict
from torch import Tensor, nn

from dblink_live.errors import ConfigError
from dblink_live.localization.neural.deepstorm.checkpoint import DEEPSTORM_CHECKPOINTS
from dblink_live.localization.neural.deepstorm.network import DeepStormNetwork, of_one_frame
from dblink_live.localization.neural.dense.checkpoint import DENSE_CHECKPOINTS
from dblink_live.localization.neural.dense.network import DenseNetwork, Predictions
from dblink_live.train.errors import TrainingStoppedError
from dblink_live.train.localizer.data import Examples, make_examples
from dblink_live.train.localizer.deepstorm_loss import deepstorm_loss
from dblink_live.train.localizer.loss import localizer_loss
from dblink_live.train.localizer.settings import DeepStormSettings, LocalizerSettings, NetworkSettings
from dblink_live.train.reconstruction.loop import TrainingProgress, learning_rate_factor
from dblink_live.types import Shape

_WEIGHT_DECAY = 1e-4
_VALIDATION_BATCHES = 8
TRAINING, VALIDATION, CALIBRATION = 11, 12, 13
"""Streams of random numbers."""


AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


@dataclass
class LocalizerTraining(Generic[AnyNetwork]):
    """A run and where it stands."""

    network: AnyNetwork
    average: AnyNetwork
    """What is saved: a moving average of the weights."""
    loss_of: Callable[[AnyNetwork, Examples], Tensor]
    """Loss of the network on examples."""
    step: int = 0
    loss: float = math.nan
    """Exponential average over about 100 steps."""
    validation_loss: float = math.nan
    elapsed_s: float = 0.0


def begin_localizer(settings: LocalizerSettings) -> LocalizerTraining[DenseNetwork]:
    """Of the dense localizer: fresh weights from the seed, or those that ``start_from`` names.

    Raises
    ------
    ModelError
        ``start_from`` is missing or damaged.
    ConfigError
        It is of other sizes than the settings.
    """
    torch.manual_seed(settings.seed)
    network = (
        DENSE_CHECKPOINTS.load_trained(settings.start_from) if settings.start_from else DenseNetwork(settings.network)
    )
    if settings.network is not None and settings.network != network.config:
        raise ConfigError(
            f"expected the sizes of {settings.start_from} in network, {asdict(network.config)}, "
            f"found {asdict(settings.network)}; leave them out"
        )
    return _begun(network, _dense_loss)


def begin_deepstorm(settings: DeepStormSettings) -> LocalizerTraining[DeepStormNetwork]:
    """Of Deep-STORM: fresh weights from the seed, or those that ``start_from`` names.

    Raises
    ------
    ModelError
        ``start_from`` is missing or damaged.
    ConfigError
        It is of other sizes than the settings.
    """
    torch.manual_seed(settings.seed)
    network = (
        DEEPSTORM_CHECKPOINTS.load_trained(settings.start_from)
        if settings.start_from
        else DeepStormNetwork(settings.network)
    )
    if network.config != settings.network:
        raise ConfigError(
            f"expected the sizes of {settings.start_from} in network, {network.config.channels} and upsampling "
            f"{network.config.upsampling}, found {settings.network.channels} and {settings.network.upsampling}; "
            "state the same ones"
        )

    def loss_of(network: DeepStormNetwork, examples: Examples) -> Tensor:
        return deepstorm_loss(network(_laid_out(of_one_frame(examples.inputs))), examples, settings.sparsity)

    return _begun(network, loss_of)


def _begun(network: AnyNetwork, loss_of: Callable[[AnyNetwork, Examples], Tensor]) -> LocalizerTraining[AnyNetwork]:
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return LocalizerTraining(network, copy.deepcopy(network).eval(), loss_of)


def train_localizer(
    training: LocalizerTraining[AnyNetwork], settings: NetworkSettings, on_save: Callable[[TrainingProgress], None]
) -> TrainingProgress:
    """Train in place until steps or minutes are over; ``on_save`` is called on the way and at the end.

    Raises
    ------
    TrainingStoppedError
        The loss is not finite.
    """
    optimizer = torch.optim.AdamW(
        training.network.parameters(), settings.learning_rate, weight_decay=_WEIGHT_DECAY, fused=True
    )
    validation = [draw_examples(settings, VALIDATION, n) for n in range(_VALIDATION_BATCHES)]
    started = time.perf_counter() - training.elapsed_s
    done = 0.0
    while True:
        learning_rate = settings.learning_rate * learning_rate_factor(done)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        value = _take_step(training, draw_examples(settings, TRAINING, training.step), optimizer, settings)
        training.loss = value if math.isnan(training.loss) else 0.99 * training.loss + 0.01 * value
        training.elapsed_s = time.perf_counter() - started
        by_time = training.elapsed_s / (60 * settings.max_minutes) if settings.max_minutes else 0.0
        done = max(training.step / settings.steps, by_time)
        if training.step % settings.save_every_steps == 0 or done >= 1.0:
            training.validation_loss = _validate(training, validation)
            progress = TrainingProgress(
                training.step,
                training.loss,
                training.validation_loss,
                learning_rate,
                training.elapsed_s,
                min(done, 1.0),
            )
            on_save(progress)
            if done >= 1.0:
                return progress


def draw_examples(settings: NetworkSettings, stream: int, number: int) -> Examples:
    """A batch that follows from the seed, the stream of random numbers and its number there."""
    shape = Shape(settings.crop_px, settings.crop_px)
    return make_examples(settings.scenes, shape, settings.batch, np.random.default_rng([settings.seed, stream, number]))


def _take_step(
    training: LocalizerTraining[AnyNetwork],
    examples: Examples,
    optimizer: torch.optim.Optimizer,
    settings: NetworkSettings,
) -> float:
    network = training.network.train()
    loss = training.loss_of(network, examples)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingStoppedError(
            f"expected a finite loss, found NaN or infinity at step {training.step}; what was saved last stays: begin "
            "anew with a lower learning_rate"
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_norm or math.inf)
    optimizer.step()
    training.step += 1
    _update_average(training.average, network, min(settings.average_decay, training.step / (training.step + 10)))
    return value


def _dense_loss(network: DenseNetwork, examples: Examples) -> Tensor:
    return localizer_loss(Predictions.of(network(_laid_out(examples.inputs))), examples)


def _laid_out(inputs: Tensor) -> Tensor:
    return inputs.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def _validate(training: LocalizerTraining[AnyNetwork], batches: list[Examples]) -> float:
    return float(np.mean([float(training.loss_of(training.average, batch)) for batch in batches]))


@torch.no_grad()
def _update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Exponential moving average of the weights and of what the normalisations have measured, in place."""
    kept, new = ([*module.parameters(), *_measured(module)] for module in (average, network))
    torch._foreach_lerp_(kept, new, 1.0 - decay)


def _measured(network: nn.Module) -> list[Tensor]:
    """Means and variances of the normalisations, without their counts of steps."""
    return [buffer for buffer in network.buffers() if buffer.is_floating_point()]
