"""Training losses for logits [B, T, H, W] against structure [B, T, H, W] in {0, 1}.

The live recipe is weighted binary cross-entropy plus soft Dice plus two terms on the probability: the mean absolute
difference between its change from window to window and that of the structure, and the total variation. The paper's
recipe (Saguy et al., 2023) is the mean square error with two smoothness terms: ``MSE + 0.64 mean|dt| + 1e-3 TV`` when
pictures are scaled to [0, 1]. The control of both is the mean square error alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


@dataclass(frozen=True)
class LossWeights:
    """Relative weights of the terms; a weight of 0 leaves the term out."""

    bce: float = 1.0
    bce_positive: float = 2.0
    """Weight of a structure pixel against a background pixel inside the cross-entropy."""
    dice: float = 0.2
    mse: float = 0.0
    temporal: float = 0.0
    """Of the mean absolute change from window to window, which the paper's loss wants small."""
    motion: float = 0.1
    """Of the mean absolute difference between that change and the structure's own: what moves may."""
    total_variation: float = 2e-3


LOSSES: Mapping[str, LossWeights] = MappingProxyType(
    {
        "live": LossWeights(),
        "paper": LossWeights(bce=0.0, dice=0.0, mse=1.0, temporal=0.64, motion=0.0, total_variation=1e-3),
        "mse": LossWeights(bce=0.0, dice=0.0, mse=1.0, motion=0.0, total_variation=0.0),
    }
)


def reconstruction_loss(logits: Tensor, probability: Tensor, structure: Tensor, weights: LossWeights) -> Tensor:
    """Weighted sum of the terms (scalar). ``T`` windows must be consecutive for the temporal term to mean anything."""
    loss = probability.new_zeros(())
    if weights.bce:
        positive = torch.as_tensor(weights.bce_positive, device=logits.device)
        loss = loss + weights.bce * F.binary_cross_entropy_with_logits(logits, structure, pos_weight=positive)
    if weights.mse:
        loss = loss + weights.mse * F.mse_loss(probability, structure)
    if weights.dice:
        loss = loss + weights.dice * soft_dice(probability, structure)
    if probability.shape[1] > 1:
        change = probability[:, 1:] - probability[:, :-1]
        if weights.temporal:
            loss = loss + weights.temporal * change.abs().mean()
        if weights.motion:
            loss = loss + weights.motion * (change - (structure[:, 1:] - structure[:, :-1])).abs().mean()
    if weights.total_variation:
        loss = loss + weights.total_variation * total_variation(probability)
    return loss


def error_loss(error_logits: Tensor, probability: Tensor, structure: Tensor, threshold: float) -> Tensor:
    """Cross-entropy (scalar) of the predicted errors [B, T, H, W] of pictures that are cut at ``threshold``.

    Unweighted, so that the prediction is a probability.
    """
    wrong = wrong_pixels(probability.detach() > threshold, structure > 0.5)
    return F.binary_cross_entropy_with_logits(error_logits, wrong.to(error_logits.dtype))


def wrong_pixels(drawn: Tensor, structure: Tensor) -> Tensor:
    """Return where a picture is wrong by more than one pixel, bool [B, T, H, W].

    Drawn where no structure lies within a pixel (chessboard distance), or structure with nothing drawn within one.
    """
    return (drawn & ~_widened(structure)) | (structure & ~_widened(drawn))


def _widened(mask: Tensor) -> Tensor:
    return F.max_pool2d(mask.float(), kernel_size=3, stride=1, padding=1) > 0.5


def soft_dice(probability: Tensor, structure: Tensor, smooth: float = 1.0) -> Tensor:
    """Return 1 - the soft Dice overlap (Milletari et al. 2016), over each video and then averaged.

    Empty videos count as well.
    """
    axes = (1, 2, 3)
    overlap = (probability * structure).sum(axes)
    total = probability.square().sum(axes) + structure.sum(axes)
    return 1.0 - ((2 * overlap + smooth) / (total + smooth)).mean()


def total_variation(probability: Tensor) -> Tensor:
    """Mean absolute difference between neighbours in y plus that in x."""
    dy = (probability[..., 1:, :] - probability[..., :-1, :]).abs().mean()
    dx = (probability[..., :, 1:] - probability[..., :, :-1]).abs().mean()
    return dy + dx
