"""From predictions per pixel to a list of molecules.

A molecule near the border of two pixels is claimed by both, each with a part of the probability. So neighbours that
point to the same place are taken together: the pixel of the highest probability among them stands for all, the
probabilities add up, and the place is their mean weighted by probability. Neighbours that point to different places
stay apart, so that two molecules in adjacent pixels are two.

Shapes: N frames, H, W camera pixels, K candidates, 9 per pixel and its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dblink_live.localization.neural.dense.network import Predictions

SAME_PLACE_PX = 0.6
"""Neighbours whose places lie nearer to each other than this claim the same molecule."""
_LEAST_CLAIM = 0.05
"""A pixel of lower probability claims nothing by itself; of nine such ones, none could become a molecule."""
_CENTRE = 4


@dataclass(frozen=True)
class Molecules:
    """[K], sorted by frame, row and column."""

    frame: Tensor
    """Index into the batch."""
    row: Tensor
    """Of the pixel that stands for the molecule."""
    col: Tensor
    probability: Tensor
    x: Tensor
    """Camera pixels, centre of pixel 0 at 0.0."""
    y: Tensor
    x_sigma: Tensor
    """Standard deviation of ``x`` in pixels."""
    y_sigma: Tensor
    units: Tensor
    """Photons in units of the background's noise."""


def recover(predicted: Predictions, min_probability: float) -> Molecules:
    """Molecules that are there with ``min_probability`` or more."""
    probability = F.pad(torch.sigmoid(predicted.logit), (1, 1, 1, 1))
    frame, row, col = (probability[:, 1:-1, 1:-1] > _LEAST_CLAIM).nonzero().unbind(1)
    step = torch.arange(3, device=row.device)
    # [K, 9] in the padded frames, whose pixel (1, 1) is pixel (0, 0).
    rows = row[:, None] + step.repeat_interleave(3)
    cols = col[:, None] + step.repeat(3)
    frames = frame[:, None]
    claim = probability[frames, rows, cols]
    height, width = predicted.logit.shape[1:]
    inner = (frames, (rows - 1).clamp(0, height - 1), (cols - 1).clamp(0, width - 1))
    x = predicted.x[inner] + (cols - 1)
    y = predicted.y[inner] + (rows - 1)
    centre = slice(_CENTRE, _CENTRE + 1)
    apart_squared = (x - x[:, centre]).square() + (y - y[:, centre]).square()
    claim = claim * (apart_squared < SAME_PLACE_PX**2)
    # Of equal claims, the last one stands for the molecule.
    stands = (claim[:, :_CENTRE] <= claim[:, centre]).all(1) & (claim[:, _CENTRE + 1 :] < claim[:, centre]).all(1)
    total = _row_sums(claim)
    chosen = (stands & (total >= min_probability)).nonzero().squeeze(1)
    weight = (claim / total[:, None])[chosen]
    place = (frame[chosen], row[chosen], col[chosen])
    return Molecules(
        frame=frame[chosen],
        row=row[chosen],
        col=col[chosen],
        probability=total[chosen].clamp_max(1.0),
        x=_row_sums(weight * x[chosen]),
        y=_row_sums(weight * y[chosen]),
        x_sigma=predicted.x_sigma[place],
        y_sigma=predicted.y_sigma[place],
        units=predicted.log_units.exp()[place],
    )


def _row_sums(values: Tensor) -> Tensor:
    """Sums over the columns of [K, 9], from left to right.

    `torch.sum` goes about it differently with the number of rows, and so rounds with the size of a batch.
    """
    total = torch.zeros_like(values[:, 0])
    for column in values.unbind(1):
        total = total + column
    return total
