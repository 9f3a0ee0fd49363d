"""Fourier ring correlation: down to which size two independent pictures of one thing agree.

Two halves of the data are transformed, and their spectra correlated on rings of equal spatial frequency
(Saxton & Baumeister 1982). Where the correlation falls below a threshold, detail is noise; the inverse of that
frequency is the resolution (Nieuwenhuizen et al., Nature Methods 10, 557, 2013; Banterle et al., J. Struct. Biol. 183,
363, 2013). Two thresholds are offered: the fixed 1/7 of both papers, and the half-bit curve of van Heel & Schatz (J.
Struct. Biol. 151, 250, 2005), which is stricter for rings with few pixels.

What it does *not* measure. The halves must be independent. A molecule that is seen in both, because it stays on across
the border of two blocks or comes back later, correlates with itself, and the resolution comes out too good; nothing is
subtracted for that here. Two reconstructions by the same network share its prior: wherever both draw the same smooth
line, right or wrong, they agree. Their resolution is no measurement of the sample unless that of the raw localizations
stands beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft2
from scipy.signal import savgol_filter
from scipy.signal.windows import tukey

from dblink_live.analysis.rendering import check_localizations, grid_around, render
from dblink_live.errors import AnalysisError, ConfigError
from dblink_live.types import Grid, Localizations

Threshold = Literal["1/7", "half-bit"]
FloatVector = npt.NDArray[np.float64]
Picture = npt.NDArray[np.generic]

N_BLOCKS = 50
"""Blocks of frames that go to the halves in turn: long against most on-times, short against drift."""
PITCH_NM = 10.0
FINEST_PITCH_NM = 1.25
MAX_SIDE = 4096
TAPER = 0.25
"""Share of each side over which pictures fade to zero: their borders do not meet, and would appear on every ring."""
SMOOTHED_SHARE = 0.07
"""Length of the smoothing window over the number of rings: one noisy ring must not decide."""
MIN_RINGS = 3
MIN_SIDE = 16


class FinerThanPixelsError(AnalysisError):
    """The resolution is finer than two pixels, by an unknown amount."""


@dataclass(frozen=True)
class FrcCurve:
    """Correlation of two pictures, ring by ring, from frequency 0 up to that of two pixels."""

    frequency_per_nm: FloatVector
    """[R], cycles per nanometre."""
    correlation: FloatVector
    """[R], in [-1, 1], as measured; 0 on rings where a picture holds nothing."""
    n_pixels: npt.NDArray[np.int64]
    """[R], pixels of a ring."""
    pitch_nm: float
    """Side of a pixel of the two pictures."""

    @property
    def smoothed(self) -> FloatVector:
        """[R], the curve whose crossing is looked for (Savitzky-Golay, parabolas over 7 % of the rings)."""
        return np.asarray(savgol_filter(self.correlation, self._smoothing_length, polyorder=2), np.float64)

    def threshold(self, kind: Threshold = "1/7") -> FloatVector:
        """[R], the correlation required of each ring."""
        if kind not in get_args(Threshold):
            raise ConfigError(f"expected a threshold among {', '.join(get_args(Threshold))}, found {kind!r}")
        if kind == "1/7":
            return np.full(len(self.correlation), 1 / 7)
        root = np.sqrt(np.maximum(self.n_pixels, 1))
        return np.asarray((0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root), np.float64)

    def resolution_nm(self, kind: Threshold = "1/7") -> float:
        """Inverse of the frequency at which the curve first falls below the threshold.

        Smoothing tells which of the crossings of a noisy curve is the one, and the curve itself where it lies: at the
        steep end of a spectrum, the smoothed one falls too late.

        Raises
        ------
        AnalysisError
            The curve lies below the threshold from one of its first rings on, which a few pixels decide by chance.
        FinerThanPixelsError
            It lies above the threshold up to two pixels.
        """
        threshold = self.threshold(kind)
        about = _crossings((self.smoothed - threshold)[1:])
        if not len(about):
            raise FinerThanPixelsError(
                f"expected the correlation to fall below {kind} before {2 * self.pitch_nm:.3g} nm, the size of two "
                "pixels, but it does not: the resolution is finer than these pixels can tell"
            )
        if about[0] < MIN_RINGS:
            raise AnalysisError(
                f"expected two pictures of the same structure, but they correlate by less than {kind} at every size "
                f"below 1/{MIN_RINGS} of the field; take more localizations"
            )
        crossings = _crossings((self.correlation - threshold)[1:])
        nearest = crossings[np.abs(crossings - about[0]).argmin()] if len(crossings) else about[0]
        at = nearest if abs(nearest - about[0]) <= self._smoothing_length / 2 else about[0]
        return float(1.0 / np.interp(at + 1, np.arange(len(self.frequency_per_nm)), self.frequency_per_nm))

    @property
    def _smoothing_length(self) -> int:
        return max(5, int(SMOOTHED_SHARE * len(self.correlation)) | 1)


@dataclass(frozen=True)
class RollingFrc:
    """Resolution over time."""

    frame: npt.NDArray[np.int64]
    """[K], first frame of each stretch."""
    span_frames: int
    resolution_nm: FloatVector
    """[K], NaN where a stretch holds too little to tell."""


def fourier_ring_correlation(first: Picture, second: Picture, pitch_nm: float) -> FrcCurve:
    """Correlate two pictures [H, W], or two videos [T, H, W] whose spectra are added over t, ring by ring.

    Parameters
    ----------
    first, second
        Independent pictures of the same thing on the same grid: two halves of the data, or a reconstruction and a
        reference. Of videos, ``n_pixels`` counts the pixels of one picture: neighbours in time are not independent.
    pitch_nm
        Side of a pixel.

    Raises
    ------
    ConfigError
        Shapes differ, or the pitch is no length.
    AnalysisError
        A picture is smaller than 16 x 16 pixels, holds NaN, or has no contrast.

    Examples
    --------
    >>> scene = np.random.default_rng(0).normal(size=(64, 64))
    >>> curve = fourier_ring_correlation(scene, scene, 20.0)
    >>> float(curve.correlation.min().round(3)), len(curve.frequency_per_nm)
    (1.0, 33)
    """
    if not (math.isfinite(pitch_nm) and pitch_nm > 0):
        raise ConfigError(f"expected a pitch above 0 nm, found {pitch_nm}")
    pair = [np.asarray(picture) for picture in (first, second)]
    videos = [picture[None] if picture.ndim == 2 else picture for picture in pair]
    if videos[0].ndim != 3 or videos[0].shape != videos[1].shape:
        raise ConfigError(
            f"expected two pictures [H, W] or videos [T, H, W] of one shape, found {pair[0].shape} and {pair[1].shape}"
        )
    _, height, width = videos[0].shape
    if min(height, width) < MIN_SIDE:
        raise AnalysisError(f"expected pictures of {MIN_SIDE} x {MIN_SIDE} pixels or more, found {height} x {width}")
    side = min(height, width)
    ring, weight = _rings(height, width, side)
    n_rings = side // 2 + 1
    sums = np.zeros((3, n_rings + 1))
    window = np.outer(tukey(height, TAPER), tukey(width, TAPER)).astype(np.float32)
    for one, other in zip(*videos, strict=True):
        a, b = (rfft2(_without_mean(picture) * window) for picture in (one, other))
        for total, (p, q) in zip(sums, ((a, b), (a, a), (b, b)), strict=True):
            product = (p.real * q.real + p.imag * q.imag) * weight
            total += np.bincount(ring, product.ravel(), minlength=n_rings + 1)
    if not (sums[1].any() and sums[2].any()):
        raise AnalysisError("expected pictures with contrast, found one that is the same everywhere")
    norm = np.sqrt(sums[1] * sums[2])
    correlation = np.divide(sums[0], norm, out=np.zeros_like(norm), where=norm > 0)
    # The mean was taken away: ring 0 holds what the taper left of it.
    correlation[0] = 1.0
    n_pixels = np.bincount(ring, np.tile(weight, height), minlength=n_rings + 1).astype(np.int64)
    frequency = np.arange(n_rings) / (side * pitch_nm)
    return FrcCurve(frequency, correlation[:n_rings], n_pixels[:n_rings], pitch_nm)


def split_blocks(
    localizations: Localizations, block_frames: int, first_frame: int = 0
) -> tuple[Localizations, Localizations]:
    """Two halves of a table: even blocks of ``block_frames`` frames, counted from ``first_frame``, and odd ones."""
    if block_frames < 1:
        raise ConfigError(f"expected blocks of 1 frame or more, found {block_frames}")
    rows = np.asarray(localizations)
    is_odd = (rows["frame"] - first_frame) // block_frames % 2 == 1
    return rows[~is_odd], rows[is_odd]


def frc_of_localizations(
    localizations: Localizations,
    pixel_size_nm: float,
    *,
    block_frames: int | None = None,
    pitch_nm: float = PITCH_NM,
    grid: Grid | None = None,
) -> FrcCurve:
    """Correlation of two halves of a table, drawn from alternating blocks of frames.

    Parameters
    ----------
    localizations
        Rows with frame, x and y, in camera pixels.
    pixel_size_nm
        Side of a camera pixel.
    block_frames
        Frames a block; None cuts the recording into 50. Blocks much shorter than the time for which a molecule stays on
        put it into both halves.
    pitch_nm
        Of the pictures. It is halved down to 1.25 nm while the curve does not reach the threshold 1/7, and grows where
        the field would take more than 4096 pixels a side.
    grid
        The field and its pitch, which then stands; None takes a box around all rows.

    Raises
    ------
    AnalysisError
        The table is empty, holds NaN, or all its rows lie in one block.
    CalibrationError
        The pixel size is no length.
    """
    rows = check_localizations(localizations, pixel_size_nm)
    first = int(rows["frame"].min())
    n_frames = int(rows["frame"].max()) - first + 1
    halves = split_blocks(rows, block_frames or max(1, n_frames // N_BLOCKS), first)
    if not all(map(len, halves)):
        raise AnalysisError(f"expected localizations in two blocks of frames, found all {len(rows)} in one")
    while True:
        field = grid or grid_around(rows, pixel_size_nm, pitch_nm, MAX_SIDE)
        even, odd = (render(half, pixel_size_nm, field) for half in halves)
        curve = fourier_ring_correlation(even, odd, field.pitch_nm)
        is_final = grid is not None or field.pitch_nm > pitch_nm or pitch_nm / 2 < FINEST_PITCH_NM
        if is_final or max(field.shape) * 2 > MAX_SIDE or (curve.smoothed < 1 / 7)[1:].any():
            return curve
        pitch_nm /= 2


def rolling_frc(
    localizations: Localizations,
    pixel_size_nm: float,
    span_frames: int,
    step_frames: int | None = None,
    *,
    block_frames: int | None = None,
    kind: Threshold = "1/7",
) -> RollingFrc:
    """Resolution of stretches of ``span_frames`` frames, one every ``step_frames`` (None: half a stretch).

    Raises
    ------
    AnalysisError, CalibrationError
        As `frc_of_localizations`, of the whole table. A stretch that is too poor is NaN.
    """
    if span_frames < 2:
        raise ConfigError(f"expected a span of 2 frames or more, found {span_frames}")
    step = span_frames // 2 if step_frames is None else step_frames
    if step < 1:
        raise ConfigError(f"expected a step of 1 frame or more, found {step}")
    rows = check_localizations(localizations, pixel_size_nm)
    frames = rows["frame"]
    starts = np.arange(frames.min(), max(frames.max() - span_frames + 2, frames.min() + 1), step)
    resolution = np.full(len(starts), np.nan)
    for k, start in enumerate(starts):
        stretch = rows[(frames >= start) & (frames < start + span_frames)]
        try:
            curve = frc_of_localizations(stretch, pixel_size_nm, block_frames=block_frames)
            resolution[k] = curve.resolution_nm(kind)
        except AnalysisError:
            continue
    return RollingFrc(starts.astype(np.int64), span_frames, resolution)


def frc_by_region(
    first: Picture, second: Picture, pitch_nm: float, region_px: int, kind: Threshold = "1/7"
) -> npt.NDArray[np.float64]:
    """Resolution in nm of each square of ``region_px`` pixels, [rows, columns]; NaN where it cannot be told.

    ``first`` and ``second`` are as in `fourier_ring_correlation`. Squares that the border cuts are left out.
    """
    if region_px < MIN_SIDE:
        raise ConfigError(f"expected regions of {MIN_SIDE} pixels or more, found {region_px}")
    one, other = np.asarray(first), np.asarray(second)
    n_rows, n_cols = (side // region_px for side in one.shape[-2:])
    resolution = np.full((n_rows, n_cols), np.nan)
    for row, col in np.ndindex(n_rows, n_cols):
        square = (..., slice(row * region_px, (row + 1) * region_px), slice(col * region_px, (col + 1) * region_px))
        try:
            resolution[row, col] = fourier_ring_correlation(one[square], other[square], pitch_nm).resolution_nm(kind)
        except AnalysisError:
            continue
    return resolution


def _crossings(excess: FloatVector) -> FloatVector:
    """Indices, between two points, at which a curve falls below 0; 0 first where it begins there."""
    falls = np.flatnonzero((excess[:-1] >= 0) & (excess[1:] < 0))
    between = falls + excess[falls] / (excess[falls] - excess[falls + 1])
    return np.concatenate([[0.0], between]) if excess[0] < 0 else between


def _rings(height: int, width: int, side: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Rings, and how often each pixel of the half plane counts: one beside its middle stands for its mirror image too.

    Returns the index [H * (W // 2 + 1)] of each pixel's ring, one pixel of the shorter side wide, of which those
    beyond share the last, and weights [W // 2 + 1] of the columns.
    """
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)) * side
    weight = np.full(radius.shape[1], 2.0, np.float32)
    weight[0] = 1.0
    if width % 2 == 0:
        weight[-1] = 1.0
    return np.minimum(np.rint(radius), side // 2 + 1).astype(np.int64).ravel(), weight


def _without_mean(picture: Picture) -> npt.NDArray[np.float32]:
    values = np.asarray(picture, np.float32)
    if not np.isfinite(values).all():
        raise AnalysisError("expected finite values, found NaN or infinity in a picture; remove it")
    return np.asarray(values - values.mean())
