"""The loss of Deep-STORM: the squared error of the heat map, and the price of drawing at all.

Nehme et al., Optica 5, 458 (2018): the image of the molecules is smoothed to a heat map before it is compared with that
of the truth, or else a molecule drawn one fine pixel beside its place would cost as much as one that is not there; the
mean absolute value of the image itself makes it sparse. The truth there is drawn at the nearest fine pixel; here it is
drawn at its place, so that places between the fine pixels can be learned.

Shapes: B examples, h, w fine pixels, E molecules, 9 x 9 fine pixels about one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dblink_live.localization.neural.deepstorm.network import SPIKE, smoothed
from dblink_live.train.localizer.data import Examples

_REACH = 4
"""Fine pixels, which are standard deviations: 3e-4 of a molecule lies beyond."""


def deepstorm_loss(image: Tensor, examples: Examples, sparsity: float) -> Tensor:
    """Loss of the network's ``image`` [B, h, w]; ``sparsity`` weighs its absolute value."""
    upsampling = image.shape[1] // examples.inputs.shape[2]
    truth = heat_map(examples, upsampling)
    return (smoothed(image) - truth).square().mean() + sparsity * image.abs().mean()


def heat_map(examples: Examples, upsampling: int) -> Tensor:
    """The truth [B, h, w]: each molecule a Gaussian of one fine pixel that adds up to `SPIKE`."""
    n, _, height, width = examples.inputs.shape
    row, col = ((place + 0.5) * upsampling - 0.5 for place in (examples.y, examples.x))
    rows, along_y = _gaussian(row)
    cols, along_x = _gaussian(col)
    # With a border for what reaches beyond.
    h, w = height * upsampling + 2 * _REACH, width * upsampling + 2 * _REACH
    index = (examples.example[:, None, None] * h + rows[:, :, None] + _REACH) * w + cols[:, None, :] + _REACH
    drawn = torch.zeros(n * h * w)
    drawn.index_add_(0, index.flatten(), (SPIKE * along_y[:, :, None] * along_x[:, None, :]).flatten())
    return drawn.view(n, h, w)[:, _REACH:-_REACH, _REACH:-_REACH]


def _gaussian(place: Tensor) -> tuple[Tensor, Tensor]:
    """Fine pixels about each place [E, 9], and the Gaussian there."""
    pixel = place.round().long()[:, None] + torch.arange(-_REACH, _REACH + 1)
    return pixel, torch.exp(-0.5 * (pixel - place[:, None]).square()) / math.sqrt(2 * math.pi)
