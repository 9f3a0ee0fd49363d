"""Colour maps of the pictures, computed rather than tabulated.

Lightness rises in equal steps, so that equal differences of value look equally large and a map printed in grey keeps
its order. Colours are chosen in Oklch, the cylindrical form of the Oklab space (B. Ottosson, "A perceptual color space
for image processing", 2020, https://bottosson.github.io/posts/oklab/), with the lightness estimate of the same author
("Okhsv and Okhsl", 2021, https://bottosson.github.io/posts/colorpicker/), which keeps dark steps apart as CIE lightness
does; and they are brought inside sRGB by lowering the chroma alone.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

ColourMapName = Literal["ember", "ice", "grey"]
COLOUR_MAPS: tuple[ColourMapName, ...] = get_args(ColourMapName)
"""ember: black, violet, red, orange, pale yellow; ice: black, blue, cyan, white; grey."""

_OKLAB_TO_LMS = np.array(
    [[1.0, 0.3963377774, 0.2158037573], [1.0, -0.1055613458, -0.0638541728], [1.0, -0.0894841775, -1.2914855480]]
)
_LMS_TO_LINEAR_SRGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)

_BRIGHTEST = 0.98
# Hue in degrees and chroma at equal steps of lightness, from black to the brightest colour.
_KNOTS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "ember": ((300.0, 325.0, 355.0, 390.0, 418.0, 445.0, 465.0), (0.0, 0.085, 0.145, 0.155, 0.145, 0.12, 0.05)),
    "ice": ((280.0, 270.0, 255.0, 238.0, 222.0, 208.0, 200.0), (0.0, 0.07, 0.10, 0.105, 0.095, 0.06, 0.01)),
}


@cache
def colour_map(name: ColourMapName) -> npt.NDArray[np.uint8]:
    """Table [256, 3] of sRGB bytes, black first; read-only.

    Examples
    --------
    >>> colour_map("ember").shape, colour_map("ember")[0].tolist()
    ((256, 3), [0, 0, 0])
    """
    steps = np.linspace(0.0, 1.0, 256)
    if name == "grey":
        table = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    else:
        hues, chromas = _KNOTS[name]
        knots = np.linspace(0.0, 1.0, len(hues))
        hue = np.radians(np.interp(steps, knots, hues))
        chroma = np.interp(steps, knots, chromas)
        table = _srgb_bytes(_oklab_lightness(_BRIGHTEST * steps), chroma, hue)
    table.flags.writeable = False
    return table


def _oklab_lightness(estimate: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Oklab's L of the lightness estimate L_r, both in [0, 1]."""
    k1, k2 = 0.206, 0.03
    k3 = (1 + k1) / (1 + k2)
    return estimate * (estimate + k1) / (k3 * (estimate + k2))


def _srgb_bytes(
    lightness: npt.NDArray[np.float64], chroma: npt.NDArray[np.float64], hue: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint8]:
    """The colours [n, 3] of Oklch coordinates, each at the largest chroma up to ``chroma`` that a screen can show."""
    low, high = np.zeros_like(chroma), chroma.copy()
    fits = _in_gamut(_linear_srgb(lightness, high, hue))
    for _ in range(20):
        middle = (low + high) / 2
        inside = _in_gamut(_linear_srgb(lightness, middle, hue))
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    linear = np.clip(_linear_srgb(lightness, np.where(fits, chroma, low), hue), 0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.round(255.0 * encoded), np.uint8)


def _linear_srgb(
    lightness: npt.NDArray[np.float64], chroma: npt.NDArray[np.float64], hue: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)
    linear: npt.NDArray[np.float64] = (lab @ _OKLAB_TO_LMS.T) ** 3 @ _LMS_TO_LINEAR_SRGB.T
    return linear


def _in_gamut(linear: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    return np.asarray(((linear >= -1e-4) & (linear <= 1.0 + 1e-4)).all(axis=-1))
