"""The likelihood of molecules under what the network predicts: how many there are, and where and how bright.

As in DECODE (Speiser et al., Nature Methods 18, 1082, 2021). The number of molecules is a sum of independent pixels,
near enough a Gaussian of mean ``sum p`` and variance ``sum p (1 - p)``. Each molecule is drawn from a mixture: pixel k,
with weight ``p_k / sum p``, says it lies there, a Gaussian about the place and brightness that it predicts. Only the
nine pixels about a molecule take part in its mixture: others would be no more than a cost.

Shapes: B examples, H, W pixels, E molecules, 9 neighbours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dblink_live.localization.neural.dense.network import Predictions
from dblink_live.train.localizer.data import Examples

_LEAST_VARIANCE = 0.1
"""Of the number of molecules: a network that is sure of it must not be punished without bound."""


def localizer_loss(predicted: Predictions, examples: Examples) -> Tensor:
    """Negative log-likelihood a molecule; lower is better, and it can fall below 0."""
    counts = examples.counts
    probability = torch.sigmoid(predicted.logit)
    expected = probability.flatten(1).sum(dim=1)
    variance = (probability * (1 - probability)).flatten(1).sum(dim=1) + _LEAST_VARIANCE
    count_loss = 0.5 * ((expected - counts).square() / variance + variance.log())
    place_loss = (counts * expected.clamp_min(1e-6).log()).sum() - _log_mixture(predicted, examples).sum()
    return (count_loss.sum() + place_loss) / counts.sum().clamp_min(1.0)


def _log_mixture(predicted: Predictions, examples: Examples) -> Tensor:
    """[E] logarithm of the sum over neighbours of p times the Gaussian."""
    height, width = predicted.logit.shape[1:]
    step = torch.arange(-1, 2)
    rows = examples.y.round().long()[:, None] + step.repeat_interleave(3)
    cols = examples.x.round().long()[:, None] + step.repeat(3)
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    index = (examples.example[:, None] * height + rows.clamp(0, height - 1)) * width + cols.clamp(0, width - 1)

    def near(values: Tensor) -> Tensor:
        return values.flatten()[index]

    exponent = F.logsigmoid(near(predicted.logit))
    for mean, sigma, truth in (
        (near(predicted.x) + cols, near(predicted.x_sigma), examples.x),
        (near(predicted.y) + rows, near(predicted.y_sigma), examples.y),
        (near(predicted.log_units), near(predicted.log_units_sigma), examples.log_units),
    ):
        exponent = exponent - 0.5 * ((truth[:, None] - mean) / sigma).square() - sigma.log()
    exponent = exponent.masked_fill(~inside, -math.inf) - 1.5 * math.log(2 * math.pi)
    return torch.logsumexp(exponent, dim=1)
