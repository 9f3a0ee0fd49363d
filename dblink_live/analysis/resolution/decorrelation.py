"""Decorrelation analysis: the resolution of a single picture.

After Descloux, Grussmayer & Radenovic, Nature Methods 16, 918 (2019). A picture is correlated with itself after every
Fourier coefficient was set to modulus 1 and only those within a radius r were kept. Noise has coefficients of all
sizes alike and structure has not, so the correlation d(r) grows while r takes in structure and falls once it takes in
noise: it has a maximum. High-pass filters take weight from the large coefficients in the middle and move the maximum
outward; the farthest one that still is a maximum is the cut-off frequency. It is searched for twice, the second time
on finer radii and filters around what was found.

The filter multiplies each coefficient by a positive number: its phase stays, so one transform serves all curves, and
each is a running sum over rings.

It measures the highest frequency that stands out of the noise of *this* picture. In the smooth picture of a network
there is hardly any noise, and what stands out is the sharpness with which lines are drawn, not whether they are there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import fft2, fftfreq
from scipy.signal.windows import tukey

from dblink_live.errors import AnalysisError, ConfigError

FloatVector = npt.NDArray[np.float64]

N_RADII = 50
N_FILTERS = 10
SHARPEST_SIGMA_PX = 0.15
"""Of the narrowest Gaussian that is taken away; below it the filter's shape no longer changes."""
MIN_DROP = 0.001
"""How far a curve must fall behind a maximum."""
MIN_CORRELATION = 0.05
"""Maxima below it are noise, as in the authors' program."""
INNER_MARGIN, OUTER_MARGIN = 0.05, 0.3
"""Radii around the best maximum in which the second search looks."""
TAPER_PX = 20
MIN_SIDE = 32


@dataclass(frozen=True)
class DecorrelationCurve:
    """One d(r), of one high-pass filter."""

    sigma_px: float
    """Of the Gaussian whose result was taken away; infinite where the picture was not filtered."""
    radius: FloatVector
    """[R], spatial frequency over that of two pixels."""
    correlation: FloatVector
    """[R], d(r)."""
    peak: int | None
    """Index of its maximum; None where it has none."""

    @property
    def cutoff(self) -> float:
        """Radius of the maximum; 0 where there is none, or a negligible one."""
        return float(self.radius[self.peak]) if self._counts else 0.0

    @property
    def amplitude(self) -> float:
        """Correlation d at the maximum; 0 where there is none, or a negligible one."""
        return float(self.correlation[self.peak]) if self._counts else 0.0

    @property
    def _counts(self) -> bool:
        return self.peak is not None and bool(self.correlation[self.peak] >= MIN_CORRELATION)


@dataclass(frozen=True)
class Decorrelation:
    """The resolution of a picture, with the curves that it was read from."""

    resolution_nm: float
    cutoff: float
    """Cut-off frequency over that of two pixels."""
    contrast: float
    """Maximum of the unfiltered curve: a measure of the signal-to-noise ratio, 0 without one."""
    curves: tuple[DecorrelationCurve, ...]
    """The unfiltered one, those of the first search, those of the second."""


def decorrelation_analysis(
    picture: npt.NDArray[np.number], pitch_nm: float, n_radii: int = N_RADII, n_filters: int = N_FILTERS
) -> Decorrelation:
    """Resolution of one picture [H, W] on pixels of ``pitch_nm``.

    In a picture that is not square, frequencies along both sides are in cycles per pixel.

    Raises
    ------
    ConfigError
        The array is no picture, the pitch no length, or there are fewer than 10 radii or 2 filters.
    AnalysisError
        The picture is smaller than 32 x 32 pixels, has no contrast, holds NaN, or no curve has a maximum.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> from scipy.ndimage import gaussian_filter
    >>> scene = gaussian_filter(rng.random((128, 128)) > 0.99, 2.0, output=float)
    >>> found = decorrelation_analysis(scene + 1e-4 * rng.normal(size=scene.shape), 20.0)
    >>> found.resolution_nm > 40.0
    True
    """
    if not (math.isfinite(pitch_nm) and pitch_nm > 0):
        raise ConfigError(f"expected a pitch above 0 nm, found {pitch_nm}")
    if n_radii < 10 or n_filters < 2:
        raise ConfigError(f"expected 10 radii and 2 filters or more, found {n_radii} and {n_filters}")
    spectrum = _Spectrum.of(picture)
    radii = np.linspace(0.0, 1.0, n_radii)
    plain = spectrum.curve(math.inf, radii)
    widest = 2.0 / plain.radius[plain.peak] if plain.peak else max(picture.shape) / 2
    sigmas = np.geomspace(widest, SHARPEST_SIGMA_PX, n_filters)
    coarse = [spectrum.curve(float(sigma), radii) for sigma in sigmas]
    fine = [spectrum.curve(float(sigma), around) for around, sigma in _second_search(coarse, radii, sigmas)]
    curves = (plain, *coarse, *fine)
    cutoff = max(curve.cutoff for curve in curves)
    if cutoff <= 0:
        raise AnalysisError(
            "expected a picture whose structure stands out of its noise, found none that does at any size; sum more "
            "windows"
        )
    return Decorrelation(2 * pitch_nm / cutoff, cutoff, plain.amplitude, curves)


def _second_search(
    coarse: list[DecorrelationCurve], radii: FloatVector, sigmas: FloatVector
) -> list[tuple[FloatVector, float]]:
    """Radii and filters around the two best curves: the farthest maximum, and that of the best product with height."""
    scores = np.array([math.sqrt(curve.cutoff * curve.amplitude) for curve in coarse])
    if not scores.any():
        return []
    best, farthest = int(scores.argmax()), int(np.argmax([curve.cutoff for curve in coarse]))
    low = min(best, farthest)
    # Where the widest filter is best already, there is nothing to be found among the narrow ones.
    high = min(max(best, farthest), len(sigmas) - 2) if low else 0
    finer = np.geomspace(sigmas[min(low, high)], sigmas[high + 1], len(sigmas))
    centre = coarse[best].cutoff
    around = np.linspace(max(0.0, centre - INNER_MARGIN), min(1.0, centre + OUTER_MARGIN), len(radii))
    return [(around, float(sigma)) for sigma in finer]


@dataclass(frozen=True)
class _Spectrum:
    """Moduli of a picture's Fourier coefficients within the circle of two pixels, sorted by radius."""

    radius: FloatVector
    """[N], over the frequency of two pixels."""
    modulus: FloatVector
    """[N]."""

    @classmethod
    def of(cls, picture: npt.NDArray[np.number]) -> _Spectrum:
        values = np.asarray(picture, np.float64)
        if values.ndim != 2:
            raise ConfigError(f"expected a picture [H, W], found an array of shape {values.shape}")
        height, width = values.shape
        if min(height, width) < MIN_SIDE:
            raise AnalysisError(f"expected a picture of {MIN_SIDE} x {MIN_SIDE} pixels or more, found {values.shape}")
        if not np.isfinite(values).all():
            raise AnalysisError("expected finite values, found NaN or infinity in the picture")
        values = values - values.mean()
        if not values.any():
            raise AnalysisError("expected a picture with contrast, found one that is the same everywhere")
        window = np.outer(*(tukey(side, min(1.0, 2 * TAPER_PX / side)) for side in values.shape))
        modulus = np.abs(fft2(values * window))
        radius = 2 * np.hypot(fftfreq(height)[:, None], fftfreq(width))
        inside = (radius < 1.0) & (radius > 0.0)  # the mean is no structure
        order = np.argsort(radius[inside], kind="stable")
        return cls(radius[inside][order], modulus[inside][order])

    def curve(self, sigma_px: float, radii: FloatVector) -> DecorrelationCurve:
        """d(r) at ``radii`` after a Gaussian of ``sigma_px`` was taken away."""
        modulus = self.modulus
        if math.isfinite(sigma_px):
            modulus = modulus * -np.expm1(-0.5 * (math.pi * sigma_px * self.radius) ** 2)
        # Against coefficients of modulus 1, the inner product is the sum of moduli, the norm the root of their number.
        sums = np.concatenate([[0.0], np.cumsum(modulus)])
        n = np.searchsorted(self.radius, radii, side="left")
        norm = math.sqrt(float((modulus**2).sum())) * np.sqrt(np.maximum(n, 1))
        correlation = sums[n] / norm
        return DecorrelationCurve(sigma_px, radii, correlation, _peak(correlation))


def _peak(correlation: FloatVector) -> int | None:
    """Index of the highest point behind which the curve falls: at the end of a rising curve is none."""
    stop = len(correlation)
    while stop > 1:
        at = int(np.argmax(correlation[:stop]))
        if at < stop - 1 and correlation[at] - correlation[at:stop].min() > MIN_DROP:
            return at
        stop = at
    return None
