"""Offset, gain and read noise of a camera, measured from stacks of a scene that stands still.

Photon transfer (Janesick, "Photon Transfer", SPIE 2007): of a scene that does not change, the variance from frame to
frame grows with the mean, and the slope of that line is the gain. The difference of two frames in turn, never used
twice, holds that variance alone: the fixed pattern of sensor and lamp cancels, and with the mean of the difference
goes what the whole field brightened between the two. The spread of such a variance is known (chi-squared), so the
gain comes with its uncertainty.

Behind an electron-multiplying register the slope is F G / g for excess noise factor F, multiplication G and conversion
gain g (Robbins & Hadwen 2003): G is told, g is found.

Shapes: H, W camera pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dblink_live.errors import CalibrationError
from dblink_live.types import Camera, FrameArray

CLIPPED_FRACTION = 0.01
"""Pixels at the lowest or the highest count above which a stack is cut off there, and its variance too small."""
MAX_RESIDUAL, MAX_SIGMAS = 0.1, 5.0
"""A stack off the line by more than both, relative and in units of its own error, speaks against a line."""
MAD_TO_SIGMA = 1.4826


class StackStatistics:
    """Mean and frame-to-frame variance of a stack that arrives frame by frame; memory of a few frames.

    Parameters
    ----------
    name
        What the stack is called in messages.

    Examples
    --------
    >>> statistics = StackStatistics("dark.tif")
    >>> for counts in (100, 102):
    ...     statistics.add(np.array([[counts, 100], [100, 100]], np.uint16))
    >>> statistics.n_frames, float(statistics.mean)
    (2, 100.25)
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.n_frames = 0
        self._sum: npt.NDArray[np.float64] | None = None
        self._unpaired: npt.NDArray[np.float64] | None = None
        self._squares: npt.NDArray[np.float64] | None = None
        self._variances: list[float] = []
        self._highest = -1
        self._n_highest = 0
        self._n_zero = 0

    def add(self, frame: FrameArray) -> None:
        """Take the next frame [H, W].

        Raises
        ------
        CalibrationError
            It has another shape than those before.
        """
        counts = frame.astype(np.float64)
        if self._sum is None:
            self._sum = np.zeros_like(counts)
        if counts.shape != self._sum.shape:
            raise CalibrationError(
                f"expected frames of {self._sum.shape} in {self.name}, found {counts.shape}; give one region a stack"
            )
        self._sum += counts
        self.n_frames += 1
        self._n_zero += int(np.count_nonzero(frame == 0))
        self._count_highest(frame)
        if self._unpaired is None:
            self._unpaired = counts
        else:
            difference = counts - self._unpaired
            difference -= difference.mean()
            squares = difference**2 / 2
            self._variances.append(float(squares.sum()) / max(squares.size - 1, 1))
            self._squares = squares if self._squares is None else self._squares + squares
            self._unpaired = None

    def _count_highest(self, frame: FrameArray) -> None:
        highest = int(frame.max())
        if highest > self._highest:
            self._highest, self._n_highest = highest, 0
        if highest == self._highest:
            self._n_highest += int(np.count_nonzero(frame == highest))

    @property
    def mean_map(self) -> npt.NDArray[np.float64]:
        """[H, W] mean counts of every pixel."""
        if self._sum is None:
            raise CalibrationError(f"expected frames in {self.name}, found none")
        mean: npt.NDArray[np.float64] = self._sum / self.n_frames
        return mean

    @property
    def mean(self) -> float:
        """Mean counts of all pixels."""
        return float(self.mean_map.mean())

    @property
    def n_pairs(self) -> int:
        """Differences of frames in turn: the degrees of freedom of each pixel's variance."""
        return len(self._variances)

    @property
    def variance_map(self) -> npt.NDArray[np.float64]:
        """[H, W] variance of every pixel from frame to frame in ADU^2, known to sqrt(2 / `n_pairs`)."""
        if self._squares is None:
            raise CalibrationError(f"expected 2 frames or more in {self.name}, found {self.n_frames}")
        # The mean of a difference over H W pixels takes 1 / (H W) of each pixel's variance with it.
        n_pixels = self._squares.size
        variance: npt.NDArray[np.float64] = self._squares / self.n_pairs * (n_pixels / max(n_pixels - 1, 1))
        return variance

    @property
    def variance(self) -> float:
        """Variance of a pixel from frame to frame in ADU^2, averaged over pixels."""
        if not self._variances:
            raise CalibrationError(f"expected 2 frames or more in {self.name}, found {self.n_frames}")
        return float(np.mean(self._variances))

    @property
    def variance_error(self) -> float:
        """Standard deviation of `variance`, in ADU^2."""
        n_free = len(self._variances) * (self.mean_map.size - 1)
        return self.variance * math.sqrt(2 / n_free)

    @property
    def zero_fraction(self) -> float:
        """Share of all counts that are 0."""
        return self._n_zero / (self.n_frames * self.mean_map.size)

    @property
    def highest_fraction(self) -> float:
        """Share of all counts that are the stack's highest."""
        return self._n_highest / (self.n_frames * self.mean_map.size)


@dataclass(frozen=True)
class DarkFacts:
    """Facts measured from a dark stack."""

    offset_adu: float
    """Median over pixels of the mean count."""
    offset_spread_adu: float
    """Robust standard deviation of the pixels' mean counts: how much one number for all of them leaves out."""
    noise_adu: float
    """Root mean square of the pixels' noise."""


@dataclass(frozen=True)
class GainFacts:
    """Facts measured from dark and light stacks together."""

    electrons_per_adu: float
    """Conversion gain before electron multiplication."""
    electrons_per_adu_error: float
    """Its standard deviation; with several light stacks it holds their scatter about the line too."""
    read_noise_e: float
    """Root mean square over pixels, before the EM gain is divided out."""


def measure_dark(dark: StackStatistics) -> DarkFacts:
    """Offset and noise of a stack that was taken with the shutter closed.

    Raises
    ------
    CalibrationError
        There are fewer than two frames, or the counts are cut off at zero.
    """
    noise = math.sqrt(dark.variance)
    if dark.zero_fraction > CLIPPED_FRACTION:
        raise CalibrationError(
            f"expected an offset above the noise in {dark.name}, found {dark.zero_fraction:.0%} of the counts at 0, "
            "where the noise is cut off; raise the camera's offset"
        )
    offset = float(np.median(dark.mean_map))
    spread = MAD_TO_SIGMA * float(np.median(np.abs(dark.mean_map - offset)))
    return DarkFacts(offset_adu=offset, offset_spread_adu=spread, noise_adu=noise)


def measure_gain(dark: StackStatistics, lights: Sequence[StackStatistics], em_gain: float = 1.0) -> GainFacts:
    """Gain of the camera by photon transfer.

    Parameters
    ----------
    dark
        Taken with the shutter closed, all settings as in ``lights``.
    lights
        Each taken of one steady scene; several, of different brightness, show whether the camera is linear.
    em_gain
        Electron-multiplying gain that all of them were taken at; 1 where there is none.

    Raises
    ------
    CalibrationError
        There is no light stack, one is of another shape, too short, cut off at the top or not brighter than the dark
        one, or the variance does not grow in a line.
    """
    if not lights:
        raise CalibrationError("expected a light stack or more to measure the gain from, found none")
    if not (math.isfinite(em_gain) and em_gain >= 1):
        raise CalibrationError(f"expected an EM gain of 1 or more, found {em_gain}")
    points = [_point(dark, light) for light in lights]
    signal, variance, error = (np.array(column) for column in zip(*points, strict=True))
    weight = 1 / error**2
    information = float(np.sum(weight * signal**2))
    slope = float(np.sum(weight * signal * variance)) / information
    residual = variance - slope * signal
    _require_line(lights, residual / (slope * signal), residual / error)

    chi_squared = float(np.sum((residual / error) ** 2)) / max(len(lights) - 1, 1)
    relative_error = math.sqrt(max(chi_squared, 1.0) / information) / slope
    excess = Camera(pixel_size_nm=1.0, em_gain=em_gain).excess_noise_factor
    gain = excess * em_gain / slope
    return GainFacts(
        electrons_per_adu=gain,
        electrons_per_adu_error=gain * relative_error,
        read_noise_e=gain * math.sqrt(dark.variance),
    )


def _point(dark: StackStatistics, light: StackStatistics) -> tuple[float, float, float]:
    """Signal in ADU, variance in ADU^2 and the latter's error, all without those of darkness."""
    if light.mean_map.shape != dark.mean_map.shape:
        raise CalibrationError(
            f"expected {light.name} of the region of {dark.name}, {dark.mean_map.shape}, found {light.mean_map.shape}"
        )
    variance = light.variance - dark.variance
    error = math.hypot(light.variance_error, dark.variance_error)
    if light.highest_fraction > CLIPPED_FRACTION:
        raise CalibrationError(
            f"expected {light.name} below saturation, found {light.highest_fraction:.0%} of its counts at one highest "
            "value; take it with less light"
        )
    signal = light.mean - dark.mean
    if signal <= 0 or variance <= MAX_SIGMAS * error:
        raise CalibrationError(
            f"expected {light.name} to be brighter and noisier than {dark.name}, found {signal:.3g} ADU and "
            f"{variance:.3g} ADU^2 more; take it with more light, or take more frames"
        )
    return signal, variance, error


def _require_line(
    lights: Sequence[StackStatistics], relative: npt.NDArray[np.float64], sigmas: npt.NDArray[np.float64]
) -> None:
    worst = int(np.argmax(np.where(np.abs(sigmas) > MAX_SIGMAS, np.abs(relative), 0.0)))
    if abs(relative[worst]) > MAX_RESIDUAL and abs(sigmas[worst]) > MAX_SIGMAS:
        raise CalibrationError(
            f"expected a variance in proportion to the signal, found that of {lights[worst].name} off the line by "
            f"{relative[worst]:+.0%}; give stacks of one setting, of a steady lamp and a still scene, below saturation"
        )
