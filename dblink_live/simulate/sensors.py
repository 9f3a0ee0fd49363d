"""Sensors to simulate: an EMCCD, and sCMOS chips on which no two pixels are alike.

Every pixel of an sCMOS chip has its own amplifier, hence its own offset, gain and read noise; the read noise of a few
is several times the usual one. Huang et al. (Nature Methods 10, 653, 2013) measured such maps and showed what a
localizer that ignores them sees.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dblink_live.simulate.checks import require, require_seed
from dblink_live.types import Camera, Shape

SCMOS = Camera(
    pixel_size_nm=160.0, offset_adu=100.0, electrons_per_adu=0.46, read_noise_e=1.6, bit_depth=16, is_calibrated=True
)
"""A back-illuminated sCMOS camera of 160 nm pixels in the sample plane: round numbers of the usual size."""
EMCCD = Camera(
    pixel_size_nm=160.0,
    offset_adu=200.0,
    electrons_per_adu=12.0,
    em_gain=200.0,
    read_noise_e=50.0,
    bit_depth=16,
    is_calibrated=True,
)
"""An EMCCD camera at a gain of 200: its read noise of 50 electrons counts as 0.25 before the gain, and multiplication
doubles the variance of light. Round numbers of the usual size."""

OFFSET_SPREAD_ADU = 2.0
GAIN_SPREAD = 0.03
"""Relative standard deviation of the gain."""
READ_NOISE_SPREAD = 0.3
"""Standard deviation of the logarithm of the read noise: one pixel in a thousand has 2.5 times the usual one."""


def uneven_sensor(camera: Camera, shape: Shape, seed: int, unevenness: float = 1.0) -> Camera:
    """``camera`` with maps [H, W] of offset, gain and read noise about its own values, which stay their medians.

    Parameters
    ----------
    unevenness
        Multiplies the spread of all three maps.

    Raises
    ------
    ConfigError
        A negative seed or unevenness.

    Examples
    --------
    >>> chip = uneven_sensor(SCMOS, Shape(64, 48), seed=1)
    >>> chip.read_noise_e.shape
    (64, 48)
    """
    require_seed(seed)
    require("unevenness", unevenness, 0.0)
    rng = np.random.default_rng([seed, 4])
    offset, gain, noise = (unevenness * rng.standard_normal(shape) for _ in range(3))
    return replace(
        camera,
        offset_adu=np.asarray(camera.offset_adu + OFFSET_SPREAD_ADU * offset, np.float32),
        electrons_per_adu=np.asarray(camera.electrons_per_adu * np.exp(GAIN_SPREAD * gain), np.float32),
        read_noise_e=np.asarray(camera.read_noise_e * np.exp(READ_NOISE_SPREAD * noise), np.float32),
    )
