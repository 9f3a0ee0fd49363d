"""Detection of `dblink_live.localization.gaussian.detect` for a CPU: frame by frame, compiled.

The same filter, background, noise and comparisons as in `detect_batched`. Sums are made row by
row, in memory that stays in the cache.

Shapes: N frames, H, W camera pixels, h, w coarse ones, R reach of a filter, K spots.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dblink_live.localization.gaussian.band_pass import (
    BACKGROUND_SIGMA_PX,
    MAD_TO_SIGMA,
    MIN_BACKGROUND_E,
    MIN_SCALE,
    POOL_PX,
    BandPass,
    gaussian_weights,
    scale_step,
)
from dblink_live.localization.gaussian.compiled import compiled
from dblink_live.localization.photoelectrons import PhotonFrames

Image = npt.NDArray[np.float32]
Line = npt.NDArray[np.float32]

_COARSE = gaussian_weights(BACKGROUND_SIGMA_PX / POOL_PX)
"""Smoothing of the coarse background."""


def detect_compiled(frames: PhotonFrames, band_pass: BandPass, threshold_sigma: float) -> Tensor:
    """[K, 3] frame, row and column of the spots of ``frames``."""
    noise = band_pass.read_variance.numpy()
    min_noise = float(band_pass.min_read_variance)
    inner, outer, coarse = (np.array(weights, np.float32) for weights in (band_pass.inner, band_pass.outer, _COARSE))
    found = []
    for number, signal in enumerate(frames.signal.contiguous().numpy()):
        response = np.empty_like(signal)
        _band_pass(signal, inner, outer, response)
        background = _coarse_background(signal, coarse)
        threshold = threshold_sigma
        if not frames.is_calibrated:
            heights = _heights(response, background, noise, band_pass.norm_squared, scale_step(*signal.shape))
            middle = (len(heights) - 1) // 2
            threshold *= max(MAD_TO_SIGMA * float(np.partition(heights, middle)[middle]), MIN_SCALE)
        places = _peaks(response, background, noise, min_noise, band_pass.norm_squared, threshold)
        found.append(np.insert(places, 0, number, axis=1))
    return torch.from_numpy(np.concatenate(found)) if found else torch.zeros(0, 3, dtype=torch.long)


@compiled
def _add_scaled(line: Line, first: Line, second: Line, weight: np.float32) -> None:
    for x in range(len(line)):
        line[x] += weight * (first[x] + second[x])


@compiled
def _blur_row(frame: Image, row: int, weights: Line, padded: Line, blurred: Line) -> None:
    """One row [W] of the frame convolved with a separable kernel; ``padded`` [W + 2 R] is room to work in."""
    height, width = frame.shape
    reach = len(weights) // 2
    along_y = padded[reach : reach + width]
    own = frame[row]
    for x in range(width):
        along_y[x] = weights[reach] * own[x]
    for k in range(1, reach + 1):
        _add_scaled(along_y, frame[max(row - k, 0)], frame[min(row + k, height - 1)], weights[reach + k])
    # The border pixel is repeated outside.
    for k in range(reach):
        padded[k] = along_y[0]
        padded[reach + width + k] = along_y[width - 1]
    for x in range(width):
        blurred[x] = weights[reach] * along_y[x]
    for k in range(1, reach + 1):
        left, right = padded[reach - k : reach - k + width], padded[reach + k : reach + k + width]
        _add_scaled(blurred, left, right, weights[reach + k])


@compiled
def _band_pass(frame: Image, inner: Line, outer: Line, response: Image) -> None:
    """Write the filtered frame into ``response`` [H, W]."""
    height, width = frame.shape
    inner_room = np.empty(width + 2 * (len(inner) // 2), np.float32)
    outer_room = np.empty(width + 2 * (len(outer) // 2), np.float32)
    widely = np.empty(width, np.float32)
    for row in range(height):
        blurred = response[row]
        _blur_row(frame, row, inner, inner_room, blurred)
        _blur_row(frame, row, outer, outer_room, widely)
        for x in range(width):
            blurred[x] -= widely[x]


@compiled
def _coarse_background(frame: Image, weights: Line) -> Image:
    """Local background on pixels of `POOL_PX` a side [h, w]; those at the border may be smaller."""
    height, width = frame.shape
    shape = (height + POOL_PX - 1) // POOL_PX, (width + POOL_PX - 1) // POOL_PX
    means = np.empty(shape, np.float32)
    column_sums = np.empty(width, np.float32)
    for row in range(shape[0]):
        first, last = row * POOL_PX, min((row + 1) * POOL_PX, height)
        for x in range(width):
            column_sums[x] = 0.0
        for y in range(first, last):
            line = frame[y]
            for x in range(width):
                column_sums[x] += line[x]
        for col in range(shape[1]):
            left, right = col * POOL_PX, min((col + 1) * POOL_PX, width)
            block_sum = np.float32(0.0)
            for x in range(left, right):
                block_sum += column_sums[x]
            means[row, col] = block_sum / ((last - first) * (right - left))
    background = np.empty(shape, np.float32)
    room = np.empty(shape[1] + 2 * (len(weights) // 2), np.float32)
    for row in range(shape[0]):
        line = background[row]
        _blur_row(means, row, weights, room, line)
        for col in range(shape[1]):
            line[col] = max(line[col], np.float32(MIN_BACKGROUND_E))
    return background


@compiled
def _between(place: int, n: int) -> tuple[int, int, float]:
    """The two coarse pixels, of ``n``, that a pixel lies between, and the share of the second."""
    coarse = min(max((place + 0.5) / POOL_PX - 0.5, 0.0), n - 1.0)
    first = int(coarse)
    return first, min(first + 1, n - 1), coarse - first


@compiled
def _variance_at(background: Image, noise: Image, norm_squared: float, row: int, col: int) -> float:
    """Variance of the filtered frame at a pixel: of its photons, and of the sensor's ``noise`` [H, W]."""
    top, bottom, below = _between(row, background.shape[0])
    left, right, beside = _between(col, background.shape[1])
    above = background[top, left] * (1.0 - beside) + background[top, right] * beside
    under = background[bottom, left] * (1.0 - beside) + background[bottom, right] * beside
    level = above * (1.0 - below) + under * below
    variance: float = norm_squared * level + noise[row, col]
    return variance


@compiled
def _heights(response: Image, background: Image, noise: Image, norm_squared: float, step: int) -> Line:
    """Return the deviation of every ``step``-th pixel of every ``step``-th row in units of its photon noise."""
    height, width = response.shape
    n_rows, n_cols = (height + step - 1) // step, (width + step - 1) // step
    heights = np.empty(n_rows * n_cols, np.float32)
    for i in range(n_rows):
        for j in range(n_cols):
            variance = _variance_at(background, noise, norm_squared, i * step, j * step)
            heights[i * n_cols + j] = abs(response[i * step, j * step]) / math.sqrt(variance)
    return heights


@compiled
def _peaks(
    response: Image, background: Image, noise: Image, min_noise: float, norm_squared: float, threshold: float
) -> npt.NDArray[np.int64]:
    """[K, 2] row and column of what exceeds the noise and all neighbours; of equals the last one in reading order."""
    height, width = response.shape
    places = []
    # No pixel can have a lower threshold than this; where it matters it is computed.
    min_background = background[0, 0]
    for value in background.flat:
        min_background = min(min_background, value)
    lowest = threshold * math.sqrt(norm_squared * min_background + min_noise) * (1.0 - 1e-5)
    for row in range(height):
        for col in range(width):
            here = response[row, col]
            if (
                here > lowest
                and _is_highest(response, row, col)
                and here > threshold * math.sqrt(_variance_at(background, noise, norm_squared, row, col))
            ):
                places.append((row, col))
    found = np.empty((len(places), 2), np.int64)
    for i in range(len(places)):
        found[i, 0], found[i, 1] = places[i]
    return found


@compiled
def _is_highest(response: Image, row: int, col: int) -> bool:
    """Whether no neighbour is higher, and none that comes later as high."""
    here = response[row, col]
    for y in range(max(row - 1, 0), min(row + 2, response.shape[0])):
        for x in range(max(col - 1, 0), min(col + 2, response.shape[1])):
            comes_later = y > row or (y == row and x > col)
            if response[y, x] > here or (comes_later and response[y, x] == here):
                return False
    return True
