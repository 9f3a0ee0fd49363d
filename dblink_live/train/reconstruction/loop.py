"""The training loop: truncated in time, warm on both sides, bounded by steps or by wall-clock minutes.

One step runs the forward direction over up to ``warmup_forward`` windows without gradient, carries its state into the
clip, and runs the clip with gradient; the reverse direction does the same from the other end. The network thus learns
from carried states of every age, as it meets them live, while the gradient's span stays short.

Shapes: B batch, T windows, H, W pixels of the fine grid.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dblink_live.device import computes_bfloat16
from dblink_live.models.network import BidirectionalNetwork, crop
from dblink_live.train.errors import TrainingStoppedError
from dblink_live.train.reconstruction.curve import RECORD_EVERY_STEPS, CurvePoint
from dblink_live.train.reconstruction.dataset import Clip, ClipSampler, validation_clips
from dblink_live.train.reconstruction.losses import LOSSES, error_loss, reconstruction_loss
from dblink_live.train.reconstruction.settings import TrainingSettings
from dblink_live.train.reconstruction.state import TrainingState
from dblink_live.train.reconstruction.workers import average_gradients, largest, n_workers, rank, share_weights, total


@dataclass(frozen=True)
class TrainingProgress:
    """What a progress bar or a log line shows."""

    step: int
    loss: float
    """Exponential average over about 100 steps."""
    validation_loss: float
    """Of the averaged network, NaN before it was measured first."""
    learning_rate: float
    elapsed_s: float
    fraction_done: float


def train(
    state: TrainingState, settings: TrainingSettings, on_save: Callable[[TrainingProgress], None]
) -> TrainingProgress:
    """Train ``state`` in place, from the step that it stands at to the end of the run.

    ``on_save`` is called every ``save_every_steps`` steps and at the end: it saves.

    Raises
    ------
    TrainingStoppedError
        The loss or its gradient is not finite; the message says at which step and on which clips.
    """
    device = next(state.network.parameters()).device
    sampler = ClipSampler(settings, rank(), n_workers())
    unseen = validation_clips(settings, rank(), n_workers())
    share_weights(state.network)
    started = time.perf_counter() - state.elapsed_s
    done = largest(fraction_done(state, settings))
    while done < 1.0:
        if settings.schedule == "cosine":
            state.learning_rate = settings.learning_rate * learning_rate_factor(done)
        value = take_step(state, sampler.sample(state.step), settings, device)
        state.loss = value if math.isnan(state.loss) else 0.99 * state.loss + 0.01 * value
        state.elapsed_s = time.perf_counter() - started
        done = largest(fraction_done(state, settings))
        is_validated = state.step % settings.epoch_steps == 0 or done >= 1.0
        if is_validated:
            state.validation_loss = validate(state.average, unseen, settings, device)
        if is_validated or state.step % RECORD_EVERY_STEPS == 0:
            state.curve.append(_curve_point(state, is_validated))
        if is_validated and settings.schedule == "plateau":
            state.plateau.step(state.validation_loss)
        if state.step % settings.save_every_steps == 0 or done >= 1.0:
            on_save(progress_of(state, done))
    return progress_of(state, done)


def _curve_point(state: TrainingState, is_validated: bool) -> CurvePoint:
    validation = state.validation_loss if is_validated else math.nan
    return CurvePoint(state.step, state.loss, validation, state.learning_rate, state.elapsed_s)


def progress_of(state: TrainingState, done: float) -> TrainingProgress:
    """Return what there is to tell of ``state``, at a fraction ``done`` of the run."""
    return TrainingProgress(
        state.step, state.loss, state.validation_loss, state.learning_rate, state.elapsed_s, min(done, 1.0)
    )


def take_step(state: TrainingState, clip: Clip, settings: TrainingSettings, device: torch.device) -> float:
    """One step of the optimizer and of the average; returns the loss of ``clip``."""
    network = state.network.train()
    loss = clip_loss(network, clip, settings, device)
    value = float(loss.detach())
    # All workers learn of it and stop: those that went on would wait for gradients that never come.
    culprit = largest(0.0 if math.isfinite(value) else 1.0 + rank())
    if culprit:
        raise _not_finite("loss", state.step, clip, worker=int(culprit) - 1)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    average_gradients(network)
    norm = nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_norm or math.inf)
    if not math.isfinite(float(norm)):
        raise _not_finite("gradient", state.step, clip, worker=rank())
    state.optimizer.step()
    state.step += 1
    # A short memory at the start, else the average would drag the random initial weights along.
    update_average(state.average, network, min(settings.average_decay, state.step / (state.step + 10)))
    return value


def _not_finite(what: str, step: int, clip: Clip, worker: int) -> TrainingStoppedError:
    seed = [*clip.seed[:-1], worker]
    return TrainingStoppedError(
        f"expected a finite {what}, found NaN or infinity at step {step}, on the clips of seed {seed}; what was saved "
        "last stays: begin anew with it as start_from and a lower learning_rate"
    )


@torch.no_grad()
def validate(
    network: BidirectionalNetwork, clips: list[Clip], settings: TrainingSettings, device: torch.device
) -> float:
    """Mean loss over the ``clips`` of all workers, each clip's videos counted alike."""
    summed = sum(len(clip.counts) * float(clip_loss(network, clip, settings, device)) for clip in clips)
    return total(summed) / total(float(sum(len(clip.counts) for clip in clips)))


def clip_loss(network: BidirectionalNetwork, clip: Clip, settings: TrainingSettings, device: torch.device) -> Tensor:
    """Loss of one batch; gradients reach ``clip_windows`` windows in each direction."""
    counts, present = clip.counts.to(device), clip.present.to(device)
    begin, end = clip.warmup_forward, counts.shape[1] - clip.warmup_reverse
    batch, _, height, width = counts.shape
    n = settings.supervised_windows
    chosen = slice(clip.first_supervised, clip.first_supervised + n)

    # A context of its own: within one, autocast would reuse weights that it cast here, where they have no gradient.
    with torch.no_grad(), mixed_precision(settings, device):
        earlier = later = network.initial_state(batch, height, width, device)
        if begin:
            before = network.encode(counts[:, :begin], present[:, :begin])
            _, earlier = network.scan("forward", [before.forward], earlier, 0)
        if clip.warmup_reverse:
            after = network.encode(counts[:, end:], present[:, end:])
            _, later = network.scan("reverse", [after.reverse], later, 0)
    with mixed_precision(settings, device):
        encoded = network.encode(counts[:, begin:end], present[:, begin:end])
        forward_features, _ = network.scan("forward", [encoded.forward], earlier)
        reverse_features, _ = network.scan("reverse", [encoded.reverse], later)
        decoded = network.decode(forward_features[:, chosen].flatten(0, 1), reverse_features[:, chosen].flatten(0, 1))

    def clips(pictures: Tensor) -> Tensor:
        return torch.unflatten(crop(pictures, height, width), 0, (batch, n)).float()

    logits = clips(decoded.logits)
    structure = clip.structure[:, begin:end][:, chosen].to(device)
    probability = network.probability(logits)
    loss = logits.new_zeros(())
    if not settings.errors_only:
        loss = reconstruction_loss(logits, probability, structure, LOSSES[settings.loss])
    if decoded.error_logits is not None:
        loss = loss + error_loss(clips(decoded.error_logits), probability, structure, settings.error_threshold)
    return loss


def mixed_precision(settings: TrainingSettings, device: torch.device) -> torch.autocast:
    """Convolutions in bfloat16 where the settings want it and the device computes in it; float32 everywhere else."""
    return torch.autocast(device.type, torch.bfloat16, enabled=settings.bf16 and computes_bfloat16(device))


def learning_rate_factor(fraction: float, warmup: float = 0.02) -> float:
    """Linear warm-up, then a cosine from 1 to 0.01 (Loshchilov & Hutter 2017) over the fraction of training done."""
    if fraction < warmup:
        return 0.05 + 0.95 * fraction / warmup
    phase = (fraction - warmup) / (1.0 - warmup)
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(phase, 1.0)))


def fraction_done(state: TrainingState, settings: TrainingSettings) -> float:
    """Share of the run that is over, by whichever limit is nearer."""
    by_time = state.elapsed_s / (60 * settings.max_minutes) if settings.max_minutes else 0.0
    return max(state.step / settings.steps, by_time)


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Exponential moving average of weights, in place."""
    for mean, new in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(new, 1.0 - decay)
    for kept, found in zip(average.buffers(), network.buffers(), strict=True):
        kept.copy_(found)
