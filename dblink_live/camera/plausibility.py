"""Whether a camera's pixel size can be one of localization microscopy: one check for cameras, stacks and tables."""

from __future__ import annotations

from dblink_live.errors import CalibrationError

MIN_PIXEL_SIZE_NM = 20.0
MAX_PIXEL_SIZE_NM = 1000.0
"""Micro-Manager's demonstration configuration states 1000 nm, which stands for "nobody has calibrated this"."""


def check_pixel_size(
    pixel_size_nm: float, *, is_confirmed: bool = False, remedy: str = "--set camera.unusual_pixel_size=true"
) -> None:
    """Refuse a pixel size that points to a missing or mistyped calibration.

    Parameters
    ----------
    pixel_size_nm
        Side of a camera pixel in the sample plane.
    is_confirmed
        True where the user has said that the pixel size is meant, whatever it is.
    remedy
        How the user says so, in the words of the caller.

    Raises
    ------
    CalibrationError
        The pixel size does not lie between `MIN_PIXEL_SIZE_NM` and `MAX_PIXEL_SIZE_NM`, and is not confirmed.

    Examples
    --------
    >>> check_pixel_size(108.0)
    >>> check_pixel_size(1000.0, is_confirmed=True)
    """
    if is_confirmed or MIN_PIXEL_SIZE_NM <= pixel_size_nm < MAX_PIXEL_SIZE_NM:
        return
    raise CalibrationError(
        f"{pixel_size_nm:g} nm pixels: is the pixel-size calibration missing? Expected {MIN_PIXEL_SIZE_NM:g} to "
        f"{MAX_PIXEL_SIZE_NM:g} nm in the sample plane; give the true size with camera.pixel_size_nm, or confirm this "
        f"one with {remedy}"
    )
