"""Blind sparse inpainting of a localization image: the classical way to fill in what a few frames leave out.

Wang et al. ("Blind sparse inpainting reveals cytoskeletal filaments with sub-Nyquist localization", Optica 4, 1277,
2017) see the image of a short window as one of the whole structure with pixels missing at unknown places: a
dark pixel is either background or a stretch of filament that has not blinked. Image and mask are estimated together,
under sparsity of the image in a directional frame. Blind inpainting itself is Yan's ("Restoration of images corrupted
by impulse noise and mixed Gaussian impulse noise using blind inpainting", SIAM J. Imaging Sci. 6, 1227, 2013,
arXiv:1304.1408): restore the image given the set of good pixels, renew the set given the image, and so on.

What could be read: of Wang et al. (PMC6179357) the abstract and the beginning, of Yan abstract and model. The published
equations, frame, weights, iteration numbers and the rendering of the input could not be had. Here the frame is
`DirectionalFrame`, the image step is iterative soft thresholding with a falling threshold, and the mask step is Yan's
rule with one change for counts: a pixel with a localization is never called missing, since localizations get lost and
do not turn up as random values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from dblink_live.analysis.comparison.directional_frame import DirectionalFrame
from dblink_live.errors import ConfigError
from dblink_live.types import FloatImage, Shape


@dataclass(frozen=True)
class InpaintingSettings:
    """Weights of blind inpainting. A lone localization has height 1 in the image that they refer to."""

    blur_px: float = 1.0
    """Standard deviation of the Gaussian that each localization is drawn as."""
    first_threshold: float = 0.1
    """Coefficients below it vanish at first, so that only what is long and straight begins to grow..."""
    last_threshold: float = 0.02
    """...and at last. Lone localizations have coefficients of 0.01-0.04, long lines of 0.1-0.5."""
    missing_above: float = 0.15
    """A pixel is called missing where the image exceeds the data by more than this."""
    n_iterations: int = 32
    mask_every: int = 4
    """Iterations of the image step for one of the mask."""
    n_scales: int = 3
    n_directions: int = 16

    def __post_init__(self) -> None:
        if not 0 < self.last_threshold <= self.first_threshold:
            raise ConfigError(
                f"expected thresholds that fall and stay above 0, found {self.first_threshold} to {self.last_threshold}"
            )
        if not (self.blur_px > 0 and self.missing_above > 0):
            raise ConfigError(
                f"expected a blur and a tolerance above 0, found {self.blur_px} px and {self.missing_above}"
            )
        if self.n_iterations < 1 or self.mask_every < 1:
            raise ConfigError(f"expected 1 iteration or more, found {self.n_iterations} and {self.mask_every}")


@dataclass(frozen=True)
class Inpainted:
    """An image [H, W] with its gaps filled in, and which pixels it rests on."""

    image: FloatImage
    """Structure, 0 and more; about 1 where it is as bright as a lone localization."""
    is_observed: npt.NDArray[np.bool_]
    """False where the pixel was judged to be missing and was filled in."""


class BlindInpainter:
    """Fills in localization images of one shape.

    Parameters
    ----------
    shape
        Of the images.
    settings
        Weights; None takes those that did well on simulated filaments.

    Examples
    --------
    >>> counts = np.zeros((48, 48), np.uint16)
    >>> counts[24, 4:44:5] = 1
    >>> found = BlindInpainter(Shape(48, 48)).inpaint(counts)
    >>> bool(found.image[24, 10:38].min() > 5 * found.image[12, 10:38].max())
    True
    """

    def __init__(self, shape: Shape, settings: InpaintingSettings | None = None) -> None:
        self.shape = shape
        self.settings = settings or InpaintingSettings()
        self._frame = DirectionalFrame(shape, self.settings.n_scales, self.settings.n_directions)

    def inpaint(self, counts: npt.NDArray[Any]) -> Inpainted:
        """Estimate image and mask from ``counts`` [H, W] of localizations, summed over a few windows.

        Raises
        ------
        ConfigError
            Another shape, or values that are not finite or below 0.
        """
        if counts.shape != self.shape:
            raise ConfigError(f"expected counts of shape {tuple(self.shape)}, found {counts.shape}")
        data = _drawn(counts, self.settings.blur_px)
        image = data.copy()
        observed = np.ones(data.shape, np.bool_)
        for iteration in range(self.settings.n_iterations):
            # Observed pixels are pulled back to the data, missing ones keep what the frame made of them.
            pulled = np.where(observed, data, image)
            coefficients = self._frame.analyse(pulled)
            coefficients = _shrunk(coefficients, self._threshold(iteration))
            image = np.maximum(self._frame.synthesise(coefficients), 0.0)
            if (iteration + 1) % self.settings.mask_every == 0:
                observed = image - data <= self.settings.missing_above
        return Inpainted(image, observed)

    def _threshold(self, iteration: int) -> float:
        settings = self.settings
        part = iteration / max(1, settings.n_iterations - 1)
        threshold: float = settings.first_threshold * (settings.last_threshold / settings.first_threshold) ** part
        return threshold


def _drawn(counts: npt.NDArray[Any], blur_px: float) -> FloatImage:
    """Each localization as a Gaussian of height 1; where several add up, the height stays 1."""
    values = np.asarray(counts, np.float32)
    if not np.isfinite(values).all() or (values < 0).any():
        raise ConfigError("expected counts that are finite and 0 or more; remove the windows that hold others")
    image = gaussian_filter(values, blur_px, mode="constant") * (2 * math.pi * blur_px**2)
    drawn: FloatImage = np.minimum(image, np.float32(1.0))
    return drawn


def _shrunk(coefficients: FloatImage, threshold: float) -> FloatImage:
    """Soft thresholding: the proximal step of the l1 norm."""
    shrunk: FloatImage = coefficients - np.clip(coefficients, -threshold, threshold)
    return shrunk
