"""What counts must be before a network sees them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dblink_live.errors import ModelError
from dblink_live.maps.count_maps import CountMaps, is_same_pitch
from dblink_live.models.checkpoint import Model


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


def check_pitch(pitch_nm: float, model: Model) -> None:
    """Raise `ModelError` where maps on a grid of ``pitch_nm`` are not on the grid that ``model`` was trained on."""
    if not is_same_pitch(pitch_nm, model.pixel_size_nm):
        raise ModelError(
            f"expected maps on a grid of {model.pixel_size_nm:g} nm, which model {model.name!r} was trained on, found "
            f"{pitch_nm:g} nm; bin the localizations on a grid of {model.pixel_size_nm:g} nm, or take another model"
        )


def check_maps(maps: object, model: Model) -> None:
    """Raise `ModelError` where ``maps`` state another pitch than that of ``model``, or lost theirs; others pass."""
    if not isinstance(maps, CountMaps):
        return
    if maps.pitch_nm is None:
        raise ModelError(
            f"expected maps on a grid of {model.pixel_size_nm:g} nm, found maps whose pixels were changed, of unknown "
            "pitch; state it: CountMaps(maps, pitch_nm=...)"
        )
    check_pitch(maps.pitch_nm, model)
