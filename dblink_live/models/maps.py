"""What counts must be before a network sees them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dblink_live.errors import ModelError


def check_counts(counts: npt.ArrayLike, ndim: int) -> npt.NDArray[np.float32]:
    """Counts as float32 [T, H, W] (``ndim`` 3) or [H, W] (``ndim`` 2).

    Raises
    ------
    ModelError
        Not numbers, of another number of axes, or with NaN, infinite or negative values.
    """
    array = np.asarray(counts)
    axes = "[T, H, W]" if ndim == 3 else "[H, W]"
    if array.ndim != ndim or array.dtype.kind not in "buif":
        raise ModelError(f"expected counts {axes} of a number type, found shape {array.shape} of {array.dtype}")
    values = array.astype(np.float32)
    # One pass finds both: NaN fails every comparison.
    if values.size and not (values.min() >= 0 and values.max() < np.inf):
        raise ModelError(
            f"expected counts that are finite and not negative, found {int(np.count_nonzero(~np.isfinite(values)))} "
            f"NaN or infinite and {int(np.count_nonzero(values < 0))} negative values in {axes}; "
            "counts of localizations are whole numbers from 0"
        )
    return values
