"""Units that tables state lengths and brightness in."""

from __future__ import annotations

from collections.abc import Mapping

_NM_PER_UNIT: Mapping[str, float] = {
    "nm": 1.0,
    "nanometer": 1.0,
    "nanometers": 1.0,
    "nanometre": 1.0,
    "nanometres": 1.0,
    "um": 1e3,
    "\u00b5m": 1e3,
    "\u03bcm": 1e3,
    "mum": 1e3,
    "micron": 1e3,
    "microns": 1e3,
    "micrometer": 1e3,
    "micrometers": 1e3,
    "micrometre": 1e3,
    "micrometres": 1e3,
    "mm": 1e6,
    "millimeter": 1e6,
    "millimetre": 1e6,
    "m": 1e9,
    "meter": 1e9,
    "metre": 1e9,
    "a": 0.1,
    "\u00e5": 0.1,
    "\u212b": 0.1,
    "angstrom": 0.1,
    "\u00e5ngstr\u00f6m": 0.1,
    "pm": 1e-3,
    "picometer": 1e-3,
}
_PIXELS = frozenset(("px", "pix", "pixel", "pixels"))
_PHOTONS = frozenset(("photon", "photons", "ph", "phot"))


def nm_per(unit: str) -> float | None:
    """Return how many nm a unit of length is; None where it is none, or pixels."""
    return _NM_PER_UNIT.get(unit.strip().lower())


def is_pixels(unit: str) -> bool:
    """Return whether the unit is a camera pixel."""
    return unit.strip().lower() in _PIXELS


def is_photons(unit: str) -> bool:
    """Return whether the unit is photons."""
    return unit.strip().lower() in _PHOTONS
