"""How much the pictures of a video agree with each other, and how much a picture changed when more was known.

`consistency` is the measure of the DBlink paper (Saguy et al., Nature Methods 2023): the mean cross-correlation between
every two pictures, after correction of rotation and drift. For a sample that does not change it would be 1; it is lower
by what flickers. A video that is always the same is consistent and may still be wrong.

`revision` compares two pictures of the same window: what was shown at once (provisional), what was committed with some
lookahead (bounded), and what the full pass says.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import affine_transform

from dblink_live.errors import AnalysisError, ConfigError
from dblink_live.types import FloatImage

FloatVector = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Pictures = npt.NDArray[np.generic]

MAX_PICTURES = 200
"""Every two of so many are 19,900 pairs; of longer videos, so many are taken at even distances."""
MIN_SHARE = 0.1
"""Share of the field that must lie inside all pictures after the correction of motion."""


def consistency(video: Pictures, inside: Mask | None = None) -> float:
    """Mean Pearson correlation between every two pictures of ``video`` [T, H, W].

    Parameters
    ----------
    inside
        [H, W], the pixels that count; None takes all. `undo_motion` gives the pixels that every picture shows.

    Raises
    ------
    ConfigError
        The array is no video, or ``inside`` of another shape.
    AnalysisError
        Fewer than two pictures have contrast, or a value is NaN.

    Examples
    --------
    >>> scene = np.random.default_rng(0).random((16, 16))
    >>> round(consistency(np.stack([scene, scene, 2 * scene + 1])), 6)
    1.0
    """
    values = _checked(video)
    if inside is not None and inside.shape != values.shape[1:]:
        raise ConfigError(f"expected a mask of the video's shape {values.shape[1:]}, found {inside.shape}")
    if len(values) > MAX_PICTURES:
        values = values[np.linspace(0, len(values) - 1, MAX_PICTURES).astype(int)]
    flat = (values[:, inside] if inside is not None else values.reshape(len(values), -1)).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1)
    # Rounding leaves a little of an even picture behind.
    shown = norm > 1e-9 * np.sqrt(max(flat.shape[1], 1))
    if np.count_nonzero(shown) < 2:
        raise AnalysisError(
            f"expected two pictures with contrast, found {np.count_nonzero(shown)} of {len(values)}: "
            "there is nothing to compare"
        )
    unit = flat[shown] / norm[shown, None]
    n = len(unit)
    # The sum over all pairs is the squared length of the sum, less every picture with itself.
    total = float((unit.sum(axis=0) ** 2).sum())
    return (total - n) / (n * (n - 1))


def undo_motion(
    video: Pictures,
    shift_px: npt.ArrayLike | None = None,
    angle_deg: npt.ArrayLike | None = None,
    centre_px: tuple[float, float] | None = None,
) -> tuple[FloatImage, Mask]:
    """Turn and move every picture back to where the first one was, and tell which pixels all of them show.

    A point p of the sample lies in picture t at ``centre + R(angle[t]) (p - centre) + shift[t]``.

    Parameters
    ----------
    video
        [T, H, W].
    shift_px
        [T, 2], (y, x): how far each picture has moved; None for not at all.
    angle_deg
        [T], how far each has turned, from x towards y (on a screen: clockwise); None for not at all.
    centre_px
        (y, x) of the pixel about which the sample turns; None takes the middle of the field.

    Raises
    ------
    ConfigError
        Shapes do not agree.
    AnalysisError
        A value is NaN, or less than a tenth of the field is left in all pictures.
    """
    values = _checked(video)
    n, height, width = values.shape
    shifts = np.zeros((n, 2)) if shift_px is None else np.asarray(shift_px, np.float64)
    angles = np.zeros(n) if angle_deg is None else np.asarray(angle_deg, np.float64)
    if shifts.shape != (n, 2) or angles.shape != (n,):
        raise ConfigError(
            f"expected a shift [{n}, 2] and an angle [{n}] for each picture, found {shifts.shape} and {angles.shape}"
        )
    if not (np.isfinite(shifts).all() and np.isfinite(angles).all()):
        raise AnalysisError("expected finite shifts and angles, found NaN or infinity")
    centre = np.array(((height - 1) / 2, (width - 1) / 2) if centre_px is None else centre_px)
    restored = np.empty(values.shape, np.float32)
    inside = np.ones((height, width), bool)
    points = np.indices((height, width)).reshape(2, -1)
    for picture, moved, shift, angle in zip(restored, values, shifts, np.radians(angles), strict=True):
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        offset = centre + shift - turn @ centre
        affine_transform(moved, turn, offset, output=picture, order=1)
        source = turn @ points + offset[:, None]
        limits = np.array([[height - 1], [width - 1]])
        inside &= ((source >= 0) & (source <= limits)).all(axis=0).reshape(height, width)
    if np.count_nonzero(inside) < MIN_SHARE * inside.size:
        raise AnalysisError(
            f"expected {MIN_SHARE:.0%} of the field or more to stay inside all pictures, found "
            f"{np.count_nonzero(inside) / inside.size:.1%}: the motion is too large for this field"
        )
    return restored, inside


def revision(before: Pictures, after: Pictures) -> FloatVector:
    """[T], how much of each picture [T, H, W] changed: sum of |after - before| over the sum of both.

    0 is no change and 1 nothing in common (the Bray-Curtis dissimilarity); NaN where both are empty. Values are
    probabilities, or anything else of 0 and more.

    Examples
    --------
    >>> before, after = np.zeros((2, 2, 2)), np.zeros((2, 2, 2))
    >>> before[0, 0, 0], after[0, 0, 0], after[0, 1, 1] = 1.0, 1.0, 1.0
    >>> revision(before, after).round(3).tolist()
    [0.333, nan]
    """
    one, other = _checked(before), _checked(after)
    if one.shape != other.shape:
        raise ConfigError(f"expected two videos of one shape, found {one.shape} and {other.shape}")
    if min(one.min(initial=0), other.min(initial=0)) < 0:
        raise AnalysisError("expected values of 0 and more, found negative ones")
    change = np.abs(one - other).sum(axis=(1, 2), dtype=np.float64)
    total = one.sum(axis=(1, 2), dtype=np.float64) + other.sum(axis=(1, 2), dtype=np.float64)
    share = np.full(len(total), np.nan)
    np.divide(change, total, out=share, where=total > 0)
    return share


def _checked(video: Pictures) -> FloatImage:
    values = np.asarray(video)
    if values.ndim != 3:
        raise ConfigError(f"expected a video [T, H, W], found an array of shape {values.shape}")
    pictures = values.astype(np.float32)
    if not np.isfinite(pictures).all():
        raise AnalysisError("expected finite values, found NaN or infinity; remove these pictures")
    return pictures
