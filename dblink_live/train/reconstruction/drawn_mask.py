"""Structure that a user drew: a TIFF picture, or a stack of them, on the network's grid."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import tifffile

from dblink_live.errors import ConfigError

MIN_SIDE_PX = 32
MAX_SHARE = 0.6
"""Share of a drawing that is structure, at most: more is an inverted picture, most likely."""


@lru_cache(maxsize=4)
def read_drawn_mask(path: str) -> npt.NDArray[np.bool_]:
    """Drawings [N, H, W]: True where a pixel of the file is above half of its largest value.

    Raises
    ------
    ConfigError
        The file cannot be read, is no picture of one channel, is too small, holds no structure, or little else.
    """
    try:
        found = np.asarray(tifffile.imread(path))
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        raise ConfigError(f"cannot read the mask {path}: {error}; expected a TIFF picture") from error
    stack = found[None] if found.ndim == 2 else found
    if stack.ndim != 3 or min(stack.shape[1:]) < MIN_SIDE_PX:
        raise ConfigError(
            f"expected a mask [H, W] or [N, H, W] of at least {MIN_SIDE_PX} x {MIN_SIDE_PX} pixels of the fine grid, "
            f"found {list(found.shape)} in {path}; draw it as a gray or binary picture of one channel"
        )
    is_structure: npt.NDArray[np.bool_] = stack > 0.5 * float(stack.max())
    shares = is_structure.mean(axis=(1, 2))
    if not 0 < float(shares.min()) <= float(shares.max()) <= MAX_SHARE:
        raise ConfigError(
            f"expected structure on up to {MAX_SHARE:.0%} of each picture of {path}, found {shares.min():.1%} to "
            f"{shares.max():.1%}; draw structure bright on a dark background"
        )
    return is_structure
