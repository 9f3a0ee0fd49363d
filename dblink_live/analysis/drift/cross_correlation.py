"""Drift of a localization table by redundant cross-correlation.

After Wang, Schnitzbauer, Hu, Li, Cheng, Huang & Huang, Optics Express 22, 15982 (2014). The recording is cut into
segments, a picture is made of each, and *every* pair is cross-correlated. The shifts between neighbours alone would
fix the path; all the others are redundant, so that errors average out and a pair that went wrong can be told by its
contradiction to the rest, and is left out.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from dblink_live.analysis.drift.drift import Drift, to_drift
from dblink_live.analysis.drift.image_shift import Reference
from dblink_live.analysis.rendering import check_localizations, grid_around, render
from dblink_live.errors import AnalysisError, ConfigError
from dblink_live.types import Localizations

N_SEGMENTS = 20
PITCH_NM = 20.0
MAX_SIDE = 1024
MAX_SHIFT_NM = 1000.0
MAX_ERROR_NM = 30.0
"""A pair that contradicts the others by more is left out; Wang et al. take 0.2 camera pixels."""
MIN_AGREEING = 0.5
"""Share of the pairs that must agree: where most of them contradict each other, the path is what chance left over."""


def redundant_cross_correlation(
    localizations: Localizations,
    pixel_size_nm: float,
    segment_frames: int | None = None,
    *,
    pitch_nm: float = PITCH_NM,
    max_shift_nm: float = MAX_SHIFT_NM,
    max_error_nm: float = MAX_ERROR_NM,
) -> Drift:
    """Drift in frames, one point per segment, against the first segment.

    Parameters
    ----------
    localizations
        Rows with frame, x and y, in camera pixels.
    pixel_size_nm
        Side of a camera pixel.
    segment_frames
        Frames per segment; None cuts the recording into 20. Too few localizations per segment give wrong peaks,
        too many frames a blurred one.
    pitch_nm
        Of the pictures; it grows where the field would take more than 1024 pixels a side.
    max_shift_nm
        Larger shifts between two segments are not looked for.
    max_error_nm
        Pairs that contradict the rest by more are left out, the worst first, as long as the path stays determined.

    Raises
    ------
    AnalysisError
        The table is empty or holds NaN, fewer than two segments hold localizations, or most pairs contradict the rest.
    CalibrationError
        The pixel size is no length.
    """
    rows = check_localizations(localizations, pixel_size_nm)
    first, last = int(rows["frame"].min()), int(rows["frame"].max())
    length = segment_frames or max(1, -(-(last - first + 1) // N_SEGMENTS))
    if length < 1:
        raise ConfigError(f"expected segments of 1 frame or more, found {segment_frames}")
    segment_of = (rows["frame"] - first) // length
    grid = grid_around(rows, pixel_size_nm, pitch_nm, MAX_SIDE)
    # One localization alone makes a picture: `Reference` takes away its mean and keeps the rest.
    segments = np.unique(segment_of)
    if len(segments) < 2:
        raise AnalysisError(f"expected localizations in two segments of {length} frames, found all in one")
    margin_px = int(np.ceil(max_shift_nm / grid.pitch_nm))
    pictures = [
        Reference(np.pad(render(rows[segment_of == k], pixel_size_nm, grid), 1), max(1, margin_px)) for k in segments
    ]
    pairs = list(itertools.combinations(range(len(segments)), 2))
    shifts = np.array([pictures[i].shift_of_spectrum(*pictures[j].spectrum)[:2] for i, j in pairs]) * grid.pitch_nm
    y_nm, x_nm = _path(pairs, shifts, len(segments), max_error_nm).T
    # The last segment may be shorter than the others.
    middle = [float(rows["frame"][segment_of == k].mean()) for k in segments]
    return to_drift(list(zip(middle, y_nm.tolist(), x_nm.tolist(), strict=True)))


def _path(
    pairs: list[tuple[int, int]], shifts: npt.NDArray[np.float64], n_segments: int, max_error_nm: float
) -> npt.NDArray[np.float64]:
    """Positions [n_segments, 2] that agree best with the ``shifts`` [P, 2] of ``pairs``; the first is at 0."""
    design = np.zeros((len(pairs), n_segments))
    for row, (i, j) in zip(design, pairs, strict=True):
        row[i], row[j] = -1.0, 1.0
    design = design[:, 1:]  # the first position is 0
    used = np.ones(len(pairs), bool)
    while True:
        path = np.linalg.lstsq(design[used], shifts[used], rcond=None)[0]
        error = np.where(used, np.hypot(*(design @ path - shifts).T), 0.0)
        worst = int(error.argmax())
        if error[worst] <= max_error_nm:
            break
        used[worst] = False
        if np.linalg.matrix_rank(design[used]) < n_segments - 1:
            used[worst] = True
            break
    path = np.linalg.lstsq(design[used], shifts[used], rcond=None)[0]
    agree = np.hypot(*(design @ path - shifts).T) <= max_error_nm
    if agree.mean() < MIN_AGREEING:
        raise AnalysisError(
            f"expected the shifts between {n_segments} segments to agree within {max_error_nm:g} nm, found that "
            f"{agree.mean():.0%} of them do: take longer segments, for these hold too little"
        )
    return np.concatenate([np.zeros((1, 2)), path])
