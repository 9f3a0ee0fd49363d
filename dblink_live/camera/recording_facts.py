"""A camera's offset and gain, estimated from an ordinary recording: variance over time against mean of its background.

Where no molecule shines, the counts of a pixel differ from frame to frame by shot noise and read noise alone: their
variance grows with their mean along a line, whose slope is the gain and whose foot is the offset (photon transfer;
Janesick, "Photon Transfer", SPIE 2007). Variances are taken of differences of successive frames, so that a background
that drifts does not count, and pixels are left out for as long as a molecule is near. Behind an EM register the
variance is twice as large (Robbins & Hadwen, IEEE Trans. Electron Devices 50, 2003).

A background of one brightness gives no line: then nothing is estimated. An EM gain that nobody stated makes the camera
look like one without a register and of half the quantum efficiency: noise and precision are right, photons half.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dblink_live.errors import CalibrationError
from dblink_live.types import Camera, FrameArray

MIN_FRAMES = 20
MIN_PIXELS = 50
N_BINS = 12
_N_GROUPS = 16
"""Parts of the field, each of which is left out once: how the estimates then differ is their uncertainty."""
_BRIGHT_SIGMA = 2.5
_NEAR_PX = 3
_TYPICAL_READ_E = 1.5
"""Of a camera without an EM register. Read noise moves the foot of the line: by half of it the offset is in doubt."""
_CONTRADICTION = 1.5
MAX_GAIN_ERROR = 0.1
"""Relative standard error of the gain up to which an estimate is used in place of no calibration."""
MAX_OFFSET_ERROR = 0.25
"""Standard error of the offset, as a share of the background above it, up to which an estimate is used."""
_UNSEEN = 0.015
"""Relative doubt about the gain per ratio of counts near molecules to others: on simulated frames of both kinds of
camera, of which a tenth is background, the gain comes out 15 to 20 % low (`python -m benchmarks.camera_estimate`)."""
_MAX_SCATTER = 0.1
"""Relative scatter of the variances about the line, above which molecules make them: background alone gives 0.02."""


@dataclass(frozen=True)
class RecordingFacts:
    """What the frames say of the camera."""

    offset_adu: float
    offset_error_adu: float
    electrons_per_adu: float
    """Before any electron multiplication, as `Camera` has it."""
    electrons_per_adu_error: float
    em_gain: float
    """As it was given; the frames do not tell it."""
    slope: float
    """Variance per mean, in ADU."""
    background_adu: float
    """Median count of a pixel without molecules."""
    n_frames: int
    share_used: float
    """Share of all counts that lie far from molecules."""
    means: tuple[float, ...]
    """Of the bins of the background, in ADU."""
    variances: tuple[float, ...]

    @property
    def is_certain(self) -> bool:
        """Whether offset and gain are known well enough to be used."""
        return (
            self.electrons_per_adu_error <= MAX_GAIN_ERROR * self.electrons_per_adu
            and self.offset_error_adu <= MAX_OFFSET_ERROR * (self.background_adu - self.offset_adu)
        )

    def camera_from(self, camera: Camera) -> Camera:
        """Return an uncalibrated ``camera`` with the estimated gain, and offset where it has none, marked as such."""
        is_given = bool(np.any(np.asarray(camera.offset_adu) != 0))
        return replace(
            camera,
            electrons_per_adu=self.electrons_per_adu,
            electrons_per_adu_error=self.electrons_per_adu_error,
            offset_adu=camera.offset_adu if is_given else max(self.offset_adu, 0.0),
            offset_error_adu=None if is_given else self.offset_error_adu,
            is_calibrated=True,
        )

    def to_plain(self) -> dict[str, object]:
        """Return the figures as JSON holds them."""
        return {
            "offset_adu": self.offset_adu,
            "offset_error_adu": self.offset_error_adu,
            "electrons_per_adu": self.electrons_per_adu,
            "electrons_per_adu_error": self.electrons_per_adu_error,
            "em_gain": self.em_gain,
            "is_estimated": True,
            "frames": self.n_frames,
            "share_used": self.share_used,
        }

    def describe(self) -> str:
        """Return one sentence with the uncertainty, marked as an estimate."""
        behind = f" at an EM gain of {self.em_gain:g}" if self.em_gain > 1 else ""
        return (
            f"estimated from {self.n_frames} frames: offset {self.offset_adu:.4g} +- {self.offset_error_adu:.2g} ADU, "
            f"{self.electrons_per_adu:.3g} +- {self.electrons_per_adu_error:.1g} electrons/ADU{behind}"
        )


def estimate_camera(frames: FrameArray, em_gain: float = 1.0) -> RecordingFacts:
    """Estimate offset and gain.

    Parameters
    ----------
    frames
        Successive frames [T, H, W] of one setting; some hundreds are best.
    em_gain
        Electron-multiplying gain that they were taken at; 1 is none.

    Raises
    ------
    CalibrationError
        There are too few frames, molecules are everywhere, or the background is of one brightness.
    """
    if len(frames) < MIN_FRAMES:
        raise CalibrationError(
            f"expected {MIN_FRAMES} frames or more to estimate the camera from, found {len(frames)}; take more"
        )
    counts = frames.astype(np.float32)
    is_dark = _without_molecules(counts)
    pairs = is_dark[1:] & is_dark[:-1]
    share = float(pairs.mean())
    pixels = _pixels(counts, pairs)
    if len(pixels.mean) < MIN_PIXELS:
        raise CalibrationError(
            f"expected background without molecules to estimate the camera from, found it in {100 * share:.0f} % of "
            "the counts; take dark and light stacks for dblink-live calibrate"
        )
    mean, variance = pixels.mean, pixels.variance
    slope, foot, binned = _line(mean, variance, pixels.n_pairs)
    left_out = [
        _line(*(part[pixels.group != group] for part in (mean, variance, pixels.n_pairs)))[:2]
        for group in np.unique(pixels.group)
    ]
    # Jackknife over parts of the field.
    n_groups = len(left_out)
    spread = np.sqrt((n_groups - 1) * np.var(np.array(left_out), axis=0))
    # A camera stays what it is: where the frames tell otherwise later than before, molecules have told it.
    spread = np.maximum(spread, _change(counts, pairs))
    # A line that bends is no line of shot noise alone: its bend is doubt about the slope.
    bend, scatter = _misfit(slope, foot, *binned)
    spread[0] = max(spread[0], bend / 4)
    # Molecules that are not seen make pixels too variable, the more of them the less background there is.
    unseen = _UNSEEN * (1 / max(share, 1e-3) - 1)
    spread = np.hypot(spread, unseen * np.array([slope, float(np.median(mean)) - foot]))
    excess = 2.0 if em_gain > 1 else 1.0
    if not (slope > 0 and spread[0] < 0.5 * slope and scatter < _MAX_SCATTER and foot < mean.min()):
        raise CalibrationError(
            f"expected a background of different brightness to estimate the camera from, found variances of "
            f"{variance.min():.3g} to {variance.max():.3g} over means of {mean.min():.4g} to {mean.max():.4g} that "
            "lie on "
            "no line; take dark and light stacks for dblink-live calibrate"
        )
    gain = excess * em_gain / slope
    # Read noise of r electrons has a variance of (r / gain)^2, which lies (r / gain)^2 / slope before the foot.
    read_adu = 0.0 if em_gain > 1 else (_TYPICAL_READ_E / gain) ** 2 / slope
    return RecordingFacts(
        offset_adu=float(foot + read_adu),
        offset_error_adu=float(np.hypot(spread[1], read_adu / 2)),
        electrons_per_adu=float(gain),
        electrons_per_adu_error=float(gain * spread[0] / slope),
        em_gain=em_gain,
        slope=float(slope),
        background_adu=float(np.median(mean)),
        n_frames=len(frames),
        share_used=share,
        means=tuple(float(value) for value in binned[0]),
        variances=tuple(float(value) for value in binned[1]),
    )


def estimated_camera(frames: FrameArray, camera: Camera) -> tuple[Camera, str]:
    """Return an uncalibrated ``camera`` with what ``frames`` [T, H, W] say of it, and a sentence for the user.

    The camera comes back as it is where the frames do not tell, or not well enough.
    """
    try:
        facts = estimate_camera(frames, camera.em_gain)
    except CalibrationError as error:
        return camera, f"uncalibrated: photons and precisions are relative; no estimate from the frames: {error}"
    measure = "measure the camera with dblink-live calibrate"
    if not facts.is_certain:
        limits = (
            f"{100 * MAX_GAIN_ERROR:.0f} % of the gain, {100 * MAX_OFFSET_ERROR:.0f} % of the light on the background"
        )
        return camera, (
            f"uncalibrated: photons and precisions are relative; {facts.describe()} is too uncertain to be used "
            f"(limits: {limits}); {measure}"
        )
    return facts.camera_from(camera), (
        f"camera {facts.describe()}; these are used, since none were given: {measure} for exact photon numbers"
    )


def middle_of(frame: FrameArray, max_side: int) -> FrameArray:
    """Return a copy of the middle of a frame [H, W], at most ``max_side`` pixels a side."""
    starts = [max(0, (side - max_side) // 2) for side in frame.shape]
    middle: FrameArray = frame[starts[0] : starts[0] + max_side, starts[1] : starts[1] + max_side].copy()
    return middle


def contradictions(facts: RecordingFacts, camera: Camera) -> list[str]:
    """Return a sentence for each fact of a camera that the frames contradict by more than a factor of 1.5."""
    found = []
    given = float(np.mean(camera.electrons_per_adu))
    ratio = facts.electrons_per_adu / given
    doubt = 1 + 2 * facts.electrons_per_adu_error / facts.electrons_per_adu
    if max(ratio, 1 / ratio) > _CONTRADICTION * doubt:
        found.append(
            f"electrons_per_adu is given as {given:.4g}, and the frames speak of {facts.electrons_per_adu:.3g} +- "
            f"{facts.electrons_per_adu_error:.1g} at an EM gain of {camera.em_gain:g}: photon numbers are wrong by the "
            f"factor {max(ratio, 1 / ratio):.2g}, unless the EM gain is"
        )
    offset = float(np.mean(camera.offset_adu))
    above, expected = facts.background_adu - offset, facts.background_adu - facts.offset_adu
    doubt_adu = 2 * facts.offset_error_adu
    is_low = above > _CONTRADICTION * (expected + doubt_adu)
    is_high = above * _CONTRADICTION < expected - doubt_adu
    if expected > 0 and (is_low or is_high):
        found.append(
            f"offset_adu is given as {offset:.4g}, and the frames speak of {facts.offset_adu:.4g} +- "
            f"{facts.offset_error_adu:.2g}: of a background of {facts.background_adu:.4g} ADU, {above:.4g} instead of "
            f"{expected:.4g} count as light"
        )
    return found


@dataclass(frozen=True)
class _Pixels:
    """Background pixels, each with its statistics over time."""

    mean: npt.NDArray[np.float64]
    variance: npt.NDArray[np.float64]
    n_pairs: npt.NDArray[np.float64]
    """Successive frames without a molecule near."""
    group: npt.NDArray[np.int64]
    """Part of the field."""


def _pixels(counts: npt.NDArray[np.float32], pairs: npt.NDArray[np.bool_]) -> _Pixels:
    """Those that are background for long enough; ``pairs`` [T - 1, H, W] is where both of two frames are."""
    n = pairs.sum(axis=0)
    enough = n >= max(10, len(counts) // 10)
    n = np.maximum(n, 1)
    means = np.where(pairs, (counts[1:] + counts[:-1]) / 2, 0.0).sum(axis=0) / n
    variances = np.where(pairs, (counts[1:] - counts[:-1]) ** 2 / 2, 0.0).sum(axis=0) / n
    return _Pixels(means[enough], variances[enough], n[enough].astype(np.float64), _groups(enough.shape)[enough])


def _change(counts: npt.NDArray[np.float32], pairs: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """By how much slope and foot of the two halves in time lie from their mean; nothing where a half is too short."""
    half = len(counts) // 2
    if half < MIN_FRAMES:
        return np.zeros(2)
    found = []
    for part in (slice(half), slice(half, None)):
        pixels = _pixels(counts[part], pairs[part][: len(counts[part]) - 1])
        if len(pixels.mean) < MIN_PIXELS:
            return np.full(2, np.inf)
        found.append(_line(pixels.mean, pixels.variance, pixels.n_pairs)[:2])
    changed: npt.NDArray[np.float64] = np.abs(np.diff(np.array(found), axis=0)[0]) / 2
    return changed


def _without_molecules(counts: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Where, and when, no molecule is near: smoothed frames are nowhere much above their median over time."""
    smooth = ndimage.uniform_filter(counts, size=(1, 3, 3), mode="nearest")
    level = np.median(smooth, axis=0)
    above = smooth - level
    # From below the median, where no molecule reaches.
    sigma = 1.4826 * np.median(np.where(above < 0, -above, np.nan_to_num(np.abs(above))), axis=0)
    is_bright = above > _BRIGHT_SIGMA * np.maximum(sigma, 1e-3)
    # What is bright for good is no background either: beads, and molecules that do not blink.
    wide = ndimage.median_filter(level, size=9, mode="nearest")
    bump = level - wide
    spread = 1.4826 * np.median(np.abs(bump - np.median(bump)))
    is_bright |= bump > 4 * max(float(spread), 1e-3)
    near = np.ones((1, 2 * _NEAR_PX + 1, 2 * _NEAR_PX + 1), bool)
    is_grown = ndimage.binary_opening(is_bright, np.ones((1, 2, 2), bool))
    dark: npt.NDArray[np.bool_] = ~ndimage.binary_dilation(is_grown, near)
    return dark


def _misfit(
    slope: float, foot: float, means: npt.NDArray[np.float64], variances: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """Difference of the slopes of the darker and the brighter half, and relative scatter about the line."""
    half = len(means) // 2
    if half < 2:
        return np.inf, np.inf
    low, high = (np.polyfit(means[part], variances[part], 1)[0] for part in (slice(half), slice(half, None)))
    scatter = float(np.std((variances - slope * (means - foot)) / variances))
    return float(abs(high - low)), scatter


def _groups(shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Parts of the field, about `_N_GROUPS` tiles."""
    side = int(np.sqrt(_N_GROUPS))
    rows, cols = np.indices(shape)
    tiles: npt.NDArray[np.int64] = (rows * side // shape[0]) * side + cols * side // shape[1]
    return tiles


def _line(
    mean: npt.NDArray[np.float64], variance: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]
) -> tuple[float, float, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """Slope, foot (the mean at which the variance is 0), and the bins that the line was laid through."""
    edges = np.quantile(mean, np.linspace(0, 1, N_BINS + 1))
    place = np.clip(np.searchsorted(edges, mean, side="right") - 1, 0, N_BINS - 1)
    bins = []
    for index in range(N_BINS):
        own = place == index
        if own.sum() < 3:
            continue
        # The median pixel: one with an undetected molecule in it is too variable. It is lower than the mean for few
        # pairs, by the median of a chi square.
        n_pairs = float(np.median(weight[own]))
        bias = (1 - 2 / (9 * max(n_pairs * 2 / 3, 2.0))) ** 3
        centre = float(np.median(mean[own]))
        middle = float(np.median(variance[own])) / bias
        bins.append((centre, middle, float(own.sum()) * n_pairs / max(middle, 1e-9) ** 2))
    x, y, w = (np.array(column) for column in zip(*bins, strict=True)) if len(bins) > 1 else (np.zeros(2),) * 3
    total = w.sum()
    if total <= 0:
        return 0.0, 0.0, (x, y)
    x0, y0 = (w * x).sum() / total, (w * y).sum() / total
    sxx = (w * (x - x0) ** 2).sum()
    slope = float((w * (x - x0) * (y - y0)).sum() / sxx) if sxx > 0 else 0.0
    foot = float(x0 - y0 / slope) if slope else 0.0
    return slope, foot, (x, y)
