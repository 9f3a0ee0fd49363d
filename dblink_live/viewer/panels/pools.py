"""Coarser copies of large pictures, made once for all panels that show the same pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dblink_live.display.contrast import max_pool

_N_KEPT = 4
"""One per panel."""


class SharedPools:
    """Remembers the last few pools: the reconstruction and its trust picture have the same pixels."""

    def __init__(self) -> None:
        self._kept: list[tuple[npt.NDArray[Any], int, npt.NDArray[Any]]] = []

    def of(self, image: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
        """Return `max_pool` of ``image`` [H, W], without pixels that are not finite, which slow painting down."""
        for known, known_factor, pooled in self._kept:
            if known is image and known_factor == factor:
                return pooled
        pooled = max_pool(image, factor)
        # A block with a pixel that is not a number has such a maximum: the large picture need not be searched.
        if pooled.dtype.kind == "f" and not np.isfinite(pooled).all():
            pooled = max_pool(np.nan_to_num(image), factor)
        self._kept = [*self._kept[1 - _N_KEPT :], (image, factor, pooled)]
        return pooled
