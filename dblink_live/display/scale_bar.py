"""The round length of a scale bar, for the viewer and for pictures on paper alike."""

from __future__ import annotations

import math


def scale_bar_nm(field_nm: float, share: float = 0.25) -> float:
    """The longest of 1, 2, 5 x 10^n nm that takes at most ``share`` of a field ``field_nm`` wide.

    Examples
    --------
    >>> scale_bar_nm(6912.0)
    1000.0
    >>> scale_bar_nm(900.0)
    200.0
    """
    most = field_nm * share
    decade: float = 10.0 ** math.floor(math.log10(most))
    return next(step * decade for step in (5.0, 2.0, 1.0) if step * decade <= most * (1 + 1e-9))


def length_label(length_nm: float) -> str:
    """A length in the unit that a reader expects.

    Examples
    --------
    >>> length_label(500.0), length_label(2000.0), length_label(1e6)
    ('500 nm', '2 µm', '1 mm')
    """
    for unit, scale in (("mm", 1e6), ("µm", 1e3)):
        if length_nm >= scale:
            return f"{length_nm / scale:g} {unit}"
    return f"{length_nm:g} nm"
