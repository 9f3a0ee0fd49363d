"""The squares of pixels around detected spots: where they lie, and what they hold.

Shapes: N frames, H, W camera pixels, K spots, R of them chosen, S side of a square.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dblink_live.localization.gaussian.detect import Spots
from dblink_live.localization.photoelectrons import PhotonFrames

REGION_PX = 7
"""Least side of the square that is fitted around a spot."""
REGION_SIGMAS = 2.0
"""The square reaches so far to each side of a wide spot: less than 4 % of the precision is then lost outside."""


@dataclass(frozen=True)
class Regions:
    """Squares of S x S pixels around K spots, moved inwards at the border of their frame."""

    spots: Spots
    left: Tensor
    """[K] first column."""
    top: Tensor
    """[K] first row."""
    side: int
    n_rows: int
    """Of a frame."""
    n_cols: int
    signal: Tensor
    """[N * H * W] of the frames."""
    read_variance: Tensor
    """[H * W] of the sensor."""

    @classmethod
    def around(cls, spots: Spots, photons: PhotonFrames, sigma_px: float) -> Regions:
        """Those in which spots of that width are fitted."""
        n_rows, n_cols = photons.read_variance.shape
        side = min(region_side(sigma_px), n_rows, n_cols)
        return cls(
            spots=spots,
            left=(spots.col - side // 2).clamp(0, n_cols - side),
            top=(spots.row - side // 2).clamp(0, n_rows - side),
            side=side,
            n_rows=n_rows,
            n_cols=n_cols,
            signal=photons.signal.flatten(),
            read_variance=photons.read_variance.flatten(),
        )

    def __len__(self) -> int:
        return len(self.left)

    def everything(self) -> Tensor:
        """[K] indices of all of them."""
        return torch.arange(len(self), device=self.left.device)

    def places(self, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[R] each: frame, first column and first row."""
        return self.spots.frame[chosen], self.left[chosen], self.top[chosen]

    def starts(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """[R] each: x and y of the spot in its square, pixels."""
        column = self.spots.col[chosen] - self.left[chosen]
        return column.float(), (self.spots.row[chosen] - self.top[chosen]).float()

    def heights(self, chosen: Tensor) -> Tensor:
        """[R] photons in the pixel of the spot."""
        return self.signal[self._in_batch(chosen, self.spots.row[chosen] * self.n_cols + self.spots.col[chosen])]

    def pixels(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """[S, S, R] each: signal and read variance."""
        reach = torch.arange(self.side, device=self.left.device)
        within = (reach[:, None] * self.n_cols + reach)[:, :, None]
        on_sensor = within + (self.top * self.n_cols + self.left)[chosen]
        return self.signal[self._in_batch(chosen, on_sensor)], self.read_variance[on_sensor]

    def _in_batch(self, chosen: Tensor, on_sensor: Tensor) -> Tensor:
        """Index into `signal` of pixels of the chosen spots' frames."""
        return on_sensor + self.spots.frame[chosen] * len(self.read_variance)


def region_side(sigma_px: float) -> int:
    """Side in pixels of the square in which a spot of that width is fitted.

    Examples
    --------
    >>> region_side(1.0), region_side(2.4)
    (7, 11)
    """
    return max(REGION_PX, 2 * round(REGION_SIGMAS * sigma_px) + 1)
