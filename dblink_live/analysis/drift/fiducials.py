"""Drift and rotation from beads: markers that are seen in nearly every frame and move with the sample as a whole."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from dblink_live.analysis.drift.drift import Drift
from dblink_live.analysis.rendering import check_localizations
from dblink_live.errors import AnalysisError, ConfigError
from dblink_live.types import Localizations

FloatArray = npt.NDArray[np.float64]

RADIUS_NM = 200.0
PRESENCE = 0.8
SPREAD = 1 / 3
"""Of the radius, within which half of a bead's localizations lie. On dense structure, which too is seen in every frame,
they spread over all of it: half of them lie beyond half the radius."""
BLOCK_FRAMES = 20


@dataclass(frozen=True)
class FiducialTracks:
    """Where beads were, block by block."""

    frame: FloatArray
    """[K], middle of each block of frames."""
    position_nm: FloatArray
    """[K, N, 2], (y, x) of N beads from the outer corner of camera pixel (0, 0); NaN where one was not seen. One bead
    at least was seen in one block."""

    def drift(self) -> Drift:
        """Mean displacement of the beads since the first block, in frames; blocks without any bead are left out."""
        start, position = self._from_start()
        since = position - start
        is_seen = np.isfinite(since).any(axis=(1, 2))
        path = np.nanmean(since[is_seen], axis=1)
        return Drift(self.frame[is_seen], path[:, 0], path[:, 1])

    def rotation_deg(self) -> FloatArray:
        """[K] angle by which the beads have turned about their centre, from x towards y; NaN with fewer than two seen.

        The best rigid motion in the sense of least squares (Kabsch 1976; in the plane it is one arctangent).
        """
        start, position = self._from_start()
        angle = np.full(len(self.frame), np.nan)
        for k, now in enumerate(position):
            seen = np.isfinite(now).all(axis=1)
            if np.count_nonzero(seen) < 2:
                continue
            a, b = start[seen] - start[seen].mean(axis=0), now[seen] - now[seen].mean(axis=0)
            angle[k] = math.degrees(math.atan2((a[:, 1] * b[:, 0] - a[:, 0] * b[:, 1]).sum(), (a * b).sum()))
        return angle

    def _from_start(self) -> tuple[FloatArray, FloatArray]:
        """The first place [M, 2] and all places [K, M, 2] of the beads seen in the first block that shows any.

        Where a later bead was before is unknown.
        """
        is_seen = np.isfinite(self.position_nm[:, :, 0])
        first = int(is_seen.any(axis=1).argmax())
        position = self.position_nm[:, is_seen[first]]
        return position[first], position


def find_fiducials(
    localizations: Localizations,
    pixel_size_nm: float,
    *,
    radius_nm: float = RADIUS_NM,
    presence: float = PRESENCE,
    block_frames: int = BLOCK_FRAMES,
) -> FloatArray:
    """Beads at the beginning of a recording, [N, 2] (y, x) in nm, the one seen most often first; N may be 0.

    A bead is a place within whose ``radius_nm`` a localization lies in at least ``presence`` of the first
    ``block_frames`` frames, half of them in its middle, and that can be followed through as many of all blocks,
    wherever drift takes it.

    Raises
    ------
    AnalysisError, CalibrationError
        The table is empty or holds NaN; the pixel size is no length.
    """
    rows = check_localizations(localizations, pixel_size_nm)
    _check(radius_nm, block_frames)
    if not 0.0 < presence <= 1.0:
        raise ConfigError(f"expected a presence above 0 and up to 1, found {presence}")
    first = int(rows["frame"].min())
    begin = rows[rows["frame"] < first + block_frames]
    n_frames = min(block_frames, int(rows["frame"].max()) - first + 1)
    points = _positions_nm(begin, pixel_size_nm)
    near = KDTree(points).query_ball_point(points, radius_nm)
    n_seen = np.array([len(set(begin["frame"][index].tolist())) for index in near])
    found: list[FloatArray] = []
    for at in np.argsort(-n_seen, kind="stable"):
        if n_seen[at] < presence * n_frames:
            break
        centre = np.median(points[near[at]], axis=0)
        is_tight = np.median(np.linalg.norm(points[near[at]] - centre, axis=1)) <= SPREAD * radius_nm
        if is_tight and all(math.dist(points[at], other) > 2 * radius_nm for other in found):
            found.append(centre)
    if not found:
        return np.zeros((0, 2))
    candidates = np.array(found)
    tracks = track_fiducials(rows, pixel_size_nm, candidates, radius_nm=radius_nm, block_frames=block_frames)
    stays = np.isfinite(tracks.position_nm[:, :, 0]).mean(axis=0) >= presence
    return np.asarray(candidates[stays])


def track_fiducials(
    localizations: Localizations,
    pixel_size_nm: float,
    start_nm: npt.ArrayLike,
    *,
    radius_nm: float = RADIUS_NM,
    block_frames: int = BLOCK_FRAMES,
) -> FiducialTracks:
    """Follow beads from ``start_nm`` [N, 2], (y, x), through blocks of ``block_frames`` frames.

    A bead's place in a block is the median of what lies within ``radius_nm`` of its last one, so that single wrong
    localizations do no harm, and it may drift any distance as long as it is slower than the radius a block.

    Raises
    ------
    AnalysisError, CalibrationError
        The table is empty or holds NaN, or no bead is seen at all; the pixel size is no length.
    ConfigError
        There is no start, or a radius or block is no size.
    """
    rows = check_localizations(localizations, pixel_size_nm)
    _check(radius_nm, block_frames)
    last = np.array(start_nm, np.float64, ndmin=2)
    if last.shape[1:] != (2,) or not len(last) or not np.isfinite(last).all():
        raise ConfigError(f"expected one bead or more as (y, x) in nm, found an array of shape {last.shape}")
    first = int(rows["frame"].min())
    block_of = (rows["frame"] - first) // block_frames
    n_blocks = int(block_of.max()) + 1
    position = np.full((n_blocks, len(last), 2), np.nan)
    for block in range(n_blocks):
        points = _positions_nm(rows[block_of == block], pixel_size_nm)
        if not len(points):
            continue
        for bead, index in enumerate(KDTree(points).query_ball_point(last, radius_nm)):
            if index:
                last[bead] = np.median(points[index], axis=0)
                position[block, bead] = last[bead]
    if not np.isfinite(position).any():
        raise AnalysisError(f"expected localizations within {radius_nm:g} nm of the beads' places, found none")
    frame = first + (np.arange(n_blocks, dtype=np.float64) + 0.5) * block_frames - 0.5
    return FiducialTracks(frame, position)


def _positions_nm(rows: Localizations, pixel_size_nm: float) -> FloatArray:
    return np.asarray((np.stack([rows["y"], rows["x"]], axis=1).astype(np.float64) + 0.5) * pixel_size_nm)


def _check(radius_nm: float, block_frames: int) -> None:
    if not (math.isfinite(radius_nm) and radius_nm > 0):
        raise ConfigError(f"expected a radius above 0 nm, found {radius_nm}")
    if block_frames < 1:
        raise ConfigError(f"expected blocks of 1 frame or more, found {block_frames}")
