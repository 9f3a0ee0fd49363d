"""Whether a number can be the side of a camera pixel in the sample, and in which unit it was probably given."""

from __future__ import annotations

import math

from dblink_live.errors import CalibrationError

PLAUSIBLE_NM = (20.0, 1000.0)
"""From an oversampled sCMOS behind 300x to a binned EMCCD behind 16x. 1000 nm itself is what Micro-Manager's
demonstration configuration states: nobody has calibrated it."""
_MAX_SENSOR_PIXEL_NM = 30_000.0
_TO_NM = {"um": 1e3, "mm": 1e6, "m": 1e9}


class UnusualPixelSize(float):
    """A pixel size in nm outside `PLAUSIBLE_NM` that is meant; `check_pixel_size` lets it pass."""


def is_plausible(pixel_size_nm: float) -> bool:
    """Return whether a camera pixel can have this side in the sample, in nm."""
    return PLAUSIBLE_NM[0] <= pixel_size_nm < PLAUSIBLE_NM[1]


def check_pixel_size(pixel_size_nm: float, origin: str = "--pixel-size-nm", remedy: str | None = None) -> float:
    """Return ``pixel_size_nm``.

    Parameters
    ----------
    pixel_size_nm
        Side of a camera pixel in the sample plane.
    origin
        Where it is stated.
    remedy
        How the user says that it is meant; None where it was given as an option.

    Raises
    ------
    CalibrationError
        It is not above 0, or outside `PLAUSIBLE_NM` and no `UnusualPixelSize`. The message suggests the likely value.

    Examples
    --------
    >>> check_pixel_size(108.0)
    108.0
    >>> check_pixel_size(0.108)
    Traceback (most recent call last):
    ...
    dblink_live.errors.CalibrationError: expected a camera pixel of 20 to 1000 nm in --pixel-size-nm, found 0.108 ...
    >>> check_pixel_size(UnusualPixelSize(5.0))
    5.0
    """
    if not (math.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise CalibrationError(f"expected a camera pixel size above 0 nm, found {pixel_size_nm}; give --pixel-size-nm")
    if isinstance(pixel_size_nm, UnusualPixelSize) or is_plausible(pixel_size_nm):
        return float(pixel_size_nm)
    meant = remedy or f"--pixel-size-nm {pixel_size_nm:g}! (with the exclamation mark)"
    low, high = PLAUSIBLE_NM
    raise CalibrationError(
        f"expected a camera pixel of {low:g} to {high:g} nm in {origin}, found {pixel_size_nm:g} nm: is the pixel-size "
        f"calibration missing? {suggestion(pixel_size_nm)}, or {meant} if it is meant"
    )


def suggestion(pixel_size_nm: float) -> str:
    """Return what was probably meant by an implausible pixel size, as the end of a message.

    Examples
    --------
    >>> suggestion(0.108)
    '0.108 um are 108 nm: give --pixel-size-nm 108'
    >>> suggestion(6500)
    'a sensor pixel of 6.5 um is 65 nm behind 100x and 108 nm behind 60x: give --pixel-size-nm 65 or 108'
    >>> suggestion(108_000)
    '108000 nm are 108 um, probably 108 nm in the wrong unit: give --pixel-size-nm 108'
    """
    for unit, factor in _TO_NM.items():
        if is_plausible(pixel_size_nm * factor):
            nm = f"{pixel_size_nm * factor:.6g}"
            return f"{pixel_size_nm:g} {unit} are {nm} nm: give --pixel-size-nm {nm}"
    # A bare 6.5 is the sensor's pixel in micrometres, 6500 the same in nanometres.
    sensor_nm = pixel_size_nm * 1e3 if pixel_size_nm < PLAUSIBLE_NM[0] else pixel_size_nm
    if PLAUSIBLE_NM[1] < sensor_nm <= _MAX_SENSOR_PIXEL_NM:
        at_100, at_60 = f"{sensor_nm / 100:.3g}", f"{sensor_nm / 60:.3g}"
        return (
            f"a sensor pixel of {sensor_nm / 1e3:g} um is {at_100} nm behind 100x and {at_60} nm behind 60x: "
            f"give --pixel-size-nm {at_100} or {at_60}"
        )
    if is_plausible(pixel_size_nm / 1e3):
        nm = f"{pixel_size_nm / 1e3:.6g}"
        return f"{pixel_size_nm:g} nm are {nm} um, probably {nm} nm in the wrong unit: give --pixel-size-nm {nm}"
    return "give --pixel-size-nm in nanometres"
