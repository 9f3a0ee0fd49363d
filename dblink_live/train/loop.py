"""The training loop: truncated in time, warm on both sides, bounded by steps or by wall-clock minutes.

One step runs the forward direction over up to ``warmup_forward`` windows without gradient, carries its state into
the clip, and
runs the clip with gradient; the reverse direction does the same from the other end. The network thus learns from
carried states of every age, as it meets them live, while the gradient's span stays short.

Shapes: B batch, T windows, H, W pixels of the fine grid.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dblink_live.errors import ModelError
from dblink_live.models.network import BidirectionalNetwork
from dblink_live.train.dataset import Clip, ClipSampler
from dblink_live.train.losses import LossWeights, reconstruction_loss
from dblink_live.train.settings import TrainingSettings
from dblink_live.train.workers import average_gradients, largest, rank, share_weights

LOSSES = {
    "live": LossWeights(),
    # The paper's terms for pictures scaled to [0, 1]; see network.md of the design.
    "paper": LossWeights(bce=0.0, dice=0.0, mse=1.0, temporal=0.64, total_variation=1e-3),
}


@dataclass(frozen=True)
class TrainingProgress:
    """What a progress bar or a log line shows."""

    step: int
    loss: float
    """Exponential average over about 100 steps."""
    learning_rate: float
    elapsed_s: float
    fraction_done: float


def train(
    network: BidirectionalNetwork,
    settings: TrainingSettings,
    on_progress: Callable[[TrainingProgress, nn.Module], None],
) -> tuple[BidirectionalNetwork, TrainingProgress]:
    """Train ``network`` in place and return the moving average of its weights, which scores better than the last
    step's.

    ``on_progress`` is called every ``save_every_steps`` steps and at the end, with the averaged network: it saves.

    Raises
    ------
    ModelError
        The loss is not finite; what was saved before stays, and the message says at which step.
    """
    device = next(network.parameters()).device
    torch.manual_seed(settings.seed)
    sampler = ClipSampler(settings, worker=rank())
    share_weights(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    average = copy.deepcopy(network).eval()
    average.requires_grad_(False)
    weights = LOSSES[settings.loss]
    generator = torch.Generator().manual_seed(settings.seed)
    started = time.perf_counter()
    smooth_loss = math.nan
    step, done = 0, 0.0
    while done < 1.0:
        rate = settings.learning_rate * learning_rate_factor(done)
        for group in optimizer.param_groups:
            group["lr"] = rate
        network.train()
        loss = clip_loss(network, sampler.sample(), settings, weights, generator, device)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ModelError(
                f"the loss became {value} at step {step}; the last saved checkpoint stays. Lower learning_rate"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        average_gradients(network)
        if settings.gradient_norm:
            nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_norm)
        optimizer.step()
        step += 1
        # A short memory at the start, else the average would drag the random initial weights along.
        update_average(average, network, min(settings.average_decay, step / (step + 10)))
        smooth_loss = value if math.isnan(smooth_loss) else 0.99 * smooth_loss + 0.01 * value
        elapsed = time.perf_counter() - started
        done = largest(fraction_done(step, elapsed, settings))
        progress = TrainingProgress(step, smooth_loss, rate, elapsed, min(done, 1.0))
        if step % settings.save_every_steps == 0 or done >= 1.0:
            on_progress(progress, average)
    return average, progress


def clip_loss(
    network: BidirectionalNetwork,
    clip: Clip,
    settings: TrainingSettings,
    weights: LossWeights,
    generator: torch.Generator,
    device: torch.device,
) -> Tensor:
    """Loss of one batch; gradients reach ``clip_windows`` windows in each direction."""
    counts, present = clip.counts.to(device), clip.present.to(device)
    total = counts.shape[1]
    begin, end = clip.warmup_forward, total - clip.warmup_reverse
    batch, _, height, width = counts.shape

    state = network.initial_state(batch, height, width, device)
    if begin:
        with torch.no_grad():
            _, state = network.scan("forward", counts[:, :begin], present[:, :begin], state)
    forward_features, _ = network.scan("forward", counts[:, begin:end], present[:, begin:end], state.detach())

    state = network.initial_state(batch, height, width, device)
    if total > end:
        with torch.no_grad():
            _, state = network.scan("reverse", counts[:, end:], present[:, end:], state)
    reverse_features, _ = network.scan("reverse", counts[:, begin:end], present[:, begin:end], state.detach())

    n = settings.supervised_windows
    first = int(torch.randint(end - begin - n + 1, (1,), generator=generator))
    chosen = slice(first, first + n)
    logits = network.decode(forward_features[:, chosen].flatten(0, 1), reverse_features[:, chosen].flatten(0, 1))
    logits = logits.reshape(batch, n, height, width)
    structure = clip.structure[:, begin:end][:, chosen].to(device)
    return reconstruction_loss(logits, network.probability(logits), structure, weights)


def learning_rate_factor(fraction: float, warmup: float = 0.02) -> float:
    """Linear warm-up, then a cosine from 1 to 0.01 (Loshchilov & Hutter 2017) over the fraction of training done."""
    if fraction < warmup:
        return 0.05 + 0.95 * fraction / warmup
    phase = (fraction - warmup) / (1.0 - warmup)
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(phase, 1.0)))


def fraction_done(step: int, elapsed_s: float, settings: TrainingSettings) -> float:
    """Share of the run that is over, by whichever limit is nearer."""
    by_time = elapsed_s / (60 * settings.max_minutes) if settings.max_minutes else 0.0
    return max(step / settings.steps, by_time)


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Exponential moving average of weights, in place."""
    for mean, new in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(new, 1.0 - decay)
    for kept, found in zip(average.buffers(), network.buffers(), strict=True):
        kept.copy_(found)
