"""The trust panel: what of a picture rests on molecules, and which molecules the picture leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dblink_live.analysis.trust.support import MIN_LOCALIZATIONS
from dblink_live.viewer.panels.picture import TINT_ERROR, TINT_UNSUPPORTED, Picture

WRONG_ABOVE = 0.5
"""Of the network's own error map: a drawn pixel is more likely wrong than right."""


@dataclass(frozen=True)
class TrustShares:
    """Figures of one trust picture; None where there is nothing to divide by, or no data."""

    unsupported: float | None = None
    """Share of the drawn pixels with fewer than two molecules near them."""
    left_out: float | None = None
    """Share of the window's molecules farther than one pixel from everything drawn."""
    wrong: float | None = None
    """Share of the drawn pixels that the network expects to be wrong."""


def trust_picture(
    reconstruction: Picture,
    counts: Picture | None,
    molecules_nm: npt.NDArray[np.float64] | None,
    threshold: float,
    error: Picture | None = None,
) -> tuple[Picture, TrustShares]:
    """Return the trust picture of a reconstruction, and its figures.

    Parameters
    ----------
    reconstruction
        [H, W], probability of structure.
    counts
        Localizations of the windows about this one, on the same lattice; it may reach beyond the reconstruction, of
        which only a live region is made. None where they are not known.
    molecules_nm
        [N, 2], (y, x) of the molecules of this window; None where they are not known.
    threshold
        A pixel above it is drawn.
    error
        The network's own probability that a drawn pixel is wrong, in [0, 1]; None without one.
    """
    drawn = np.asarray(reconstruction.image) > threshold
    n_drawn = int(np.count_nonzero(drawn))
    tint: npt.NDArray[np.uint8] | None = None
    wrong_share = unsupported_share = left_out_share = None
    of_error, of_counts = _aligned(error, reconstruction), _aligned(counts, reconstruction)
    if of_error is not None:
        is_wrong = drawn & (of_error > WRONG_ABOVE)
        tint = is_wrong.view(np.uint8) * np.uint8(TINT_ERROR)
        wrong_share = _share(int(np.count_nonzero(is_wrong)), n_drawn)
    if of_counts is not None:
        bare = drawn & (_near(of_counts) < MIN_LOCALIZATIONS)
        if tint is None:
            tint = bare.view(np.uint8) * np.uint8(TINT_UNSUPPORTED)
        else:
            np.copyto(tint, TINT_UNSUPPORTED, where=bare)
        unsupported_share = _share(int(np.count_nonzero(bare)), n_drawn)
    marks = None
    if molecules_nm is not None:
        inside, is_out = _left_out(molecules_nm, drawn, reconstruction)
        marks = molecules_nm[is_out]
        left_out_share = _share(len(marks), int(np.count_nonzero(inside)))
    picture = replace(reconstruction, tint=tint, marks_nm=marks)
    return picture, TrustShares(unsupported_share, left_out_share, wrong_share)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _near(counts: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Localizations in the 3 x 3 neighbourhood, at most `MIN_LOCALIZATIONS` per pixel: fast, with the same decision.

    The highest sum is 9 x `MIN_LOCALIZATIONS`, which bytes hold.
    """
    few = (counts >= 1).view(np.uint8)
    for least in range(2, MIN_LOCALIZATIONS + 1):
        few += (counts >= least).view(np.uint8)
    rows = _sums_of_three(few)
    # Neighbours in one long line, which is several times faster, but wrong at both ends of each row.
    near = _sums_of_three(rows.reshape(-1)).reshape(rows.shape)
    width = counts.shape[1]
    for end, inner in ((0, min(1, width - 1)), (width - 1, max(0, width - 2))):
        near[:, end] = rows[:, end] + (rows[:, inner] if inner != end else 0)
    return near


def _sums_of_three(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Each value with its neighbours along the first axis."""
    sums = np.empty_like(values)
    sums[:1] = values[:1]
    np.add(values[1:], values[:-1], out=sums[1:])
    sums[:-1] += values[1:]
    return sums


def _left_out(
    molecules_nm: npt.NDArray[np.float64], drawn: npt.NDArray[np.bool_], picture: Picture
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which molecules lie in the picture, and which of those have nothing drawn within one pixel."""
    height, width = drawn.shape
    rows = np.floor((molecules_nm[:, 0] - picture.origin_nm[0]) / picture.pitch_nm).astype(np.int64)
    cols = np.floor((molecules_nm[:, 1] - picture.origin_nm[1]) / picture.pitch_nm).astype(np.int64)
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    near = np.zeros(len(molecules_nm), np.bool_)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            row, col = np.clip(rows + down, 0, height - 1), np.clip(cols + right, 0, width - 1)
            near |= drawn[row, col]
    return inside, inside & ~near


def _aligned(other: Picture | None, picture: Picture) -> npt.NDArray[Any] | None:
    """The pixels of ``other`` under those of ``picture``; None where it does not cover them on the same lattice."""
    if other is None or abs(other.pitch_nm - picture.pitch_nm) > 1e-6 * picture.pitch_nm:
        return None
    first = [(picture.origin_nm[axis] - other.origin_nm[axis]) / picture.pitch_nm for axis in (0, 1)]
    row, col = (round(value) for value in first)
    height, width = picture.image.shape
    if min(row, col) < 0 or max(abs(first[0] - row), abs(first[1] - col)) > 0.01:
        return None
    part: npt.NDArray[Any] = other.image[row : row + height, col : col + width]
    return part if part.shape == picture.image.shape else None


def mean_shares(shares: Sequence[TrustShares]) -> TrustShares:
    """Return the mean of each figure over the pictures where it is known.

    Examples
    --------
    >>> mean_shares([TrustShares(left_out=0.2), TrustShares(left_out=0.4, wrong=0.1), TrustShares()]).wrong
    0.1
    """

    def mean(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    return TrustShares(
        mean([share.unsupported for share in shares]),
        mean([share.left_out for share in shares]),
        mean([share.wrong for share in shares]),
    )
