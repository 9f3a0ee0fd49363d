"""Blinking: which molecules are seen when.

Two models. `memoryless_counts` works on localization maps, as the released simulator of Saguy et al. (2023) does: in
each frame some structure pixels are localized, with a pixel of jitter, now and then with a cluster around them, and
among noise. `BlinkSchedule` works on molecules: each is switched on at random moments, stays on for several frames and
emits a fixed mean number of photons per frame, so consecutive frames are correlated, as in a real recording.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dblink_live.maps.binning import count_per_pixel
from dblink_live.simulate.checks import require, require_seed
from dblink_live.simulate.structures.raster import Mask
from dblink_live.types import Shape

_BLOCK = 64
"""Frames in which molecules are switched on together from one seed."""


@dataclass(frozen=True)
class MapBlinking:
    """Localizations per frame, in the units of the released simulator."""

    share_per_frame: float = 0.002
    """Share of the structure's pixels that is localized in a frame; their number is rounded up, as released."""
    density: float = 1.0
    """Multiplies that number."""
    jitter_px: int = 1
    """Each is moved by a uniform whole number of pixels of at most this, in y and x."""
    cluster_probability: float = 0.2
    """Probability that 1-7 more lie within 5 px of it."""
    noise: float = 1.0
    """Multiplies the number of noise localizations, which is uniform in 0-4 per frame."""

    def __post_init__(self) -> None:
        for name in ("density", "jitter_px", "noise"):
            require(name, getattr(self, name), 0.0)
        for name in ("share_per_frame", "cluster_probability"):
            require(name, getattr(self, name), 0.0, 1.0)


def memoryless_counts(
    mask: Mask, n_frames: int, blinking: MapBlinking, rng: np.random.Generator
) -> npt.NDArray[np.uint16]:
    """Localizations of one window of ``n_frames`` on a structure ``mask`` [H, W] that stands still meanwhile."""
    height, width = mask.shape
    structure = np.flatnonzero(mask)
    rows, cols = [], []
    if len(structure):
        mean = np.ceil(blinking.share_per_frame * len(structure)) * blinking.density
        whole, part = divmod(mean, 1.0)
        n = n_frames * int(whole) + int(rng.binomial(n_frames, part))
        y, x = np.divmod(rng.choice(structure, size=n), width)
        reach = blinking.jitter_px
        rows.append(y + rng.integers(-reach, reach + 1, size=n))
        cols.append(x + rng.integers(-reach, reach + 1, size=n))
        clustered = rng.random(n) < blinking.cluster_probability
        sizes = rng.integers(1, 8, size=int(clustered.sum()))
        rows.append(np.repeat(y[clustered], sizes) + rng.integers(-5, 6, size=sizes.sum()))
        cols.append(np.repeat(x[clustered], sizes) + rng.integers(-5, 6, size=sizes.sum()))
    # Per field of 128 x 128, the released simulator's; larger fields get proportionally more.
    mean_noise = blinking.noise * rng.integers(0, 5, size=n_frames).sum() * (height * width / 128**2)
    n_noise = int(mean_noise) + int(rng.random() < mean_noise % 1.0)
    rows.append(rng.integers(0, height, size=n_noise))
    cols.append(rng.integers(0, width, size=n_noise))
    y, x = np.concatenate(rows), np.concatenate(cols)
    return count_per_pixel(y, x, Shape(height, width)).astype(np.uint16)


@dataclass(frozen=True)
class Emissions:
    """Molecules that are on in one frame."""

    shares: npt.NDArray[np.float64]
    """[N, 3] in [0, 1): which place on the structure each sits at (`Specimen.place`)."""
    photons: npt.NDArray[np.float64]
    """[N] mean photo-electrons in this frame."""


@dataclass(frozen=True)
class BlinkSchedule:
    """Blinking schedule as a function of the frame number alone: any process can compute any frame.

    Switching-on is a Poisson process; the on-time is exponential (one on-state of a continuous Markov chain) and cut
    at 64 frames; brightness is log-normal from molecule to molecule. Molecules are many: bleaching does not thin them.

    Parameters
    ----------
    on_per_frame
        Mean number of molecules that are on at a time.
    mean_on_frames
        Mean on-time.
    mean_photons
        Mean photo-electrons of a molecule that is on for a whole frame.
    """

    seed: int
    on_per_frame: float
    mean_on_frames: float = 2.5
    mean_photons: float = 1200.0
    photons_spread: float = 0.4
    """Standard deviation of the logarithm of the brightness."""

    def __post_init__(self) -> None:
        require_seed(self.seed)
        for name in ("on_per_frame", "mean_photons", "photons_spread"):
            require(name, getattr(self, name), 0.0)
        require("mean_on_frames", self.mean_on_frames, 0.1, _BLOCK / 4)

    def at(self, frame: int) -> Emissions:
        """Molecules that are on in ``frame`` (0, 1, 2...)."""
        block = frame // _BLOCK
        # Nothing stays on for longer than a block, so the block before is as far back as one has to look.
        starts, stops, shares, photons = (
            np.concatenate(both) for both in zip(_events(self, block - 1), _events(self, block), strict=True)
        )
        # Switching falls anywhere within a frame; the first and the last frame of an event are partly dark.
        exposure = np.clip(np.minimum(stops, frame + 1) - np.maximum(starts, frame), 0.0, 1.0)
        on = exposure > 0
        return Emissions(shares[on], photons[on] * exposure[on])


_Events = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]


@lru_cache(maxsize=8)
def _events(schedule: BlinkSchedule, block: int) -> _Events:
    """Start, stop (in frames, fractional), shares and photons of the molecules switched on in one block of frames."""
    rng = np.random.default_rng([schedule.seed, 2, block + 1])
    n = int(rng.poisson(schedule.on_per_frame / schedule.mean_on_frames * _BLOCK))
    starts = block * _BLOCK + rng.uniform(0.0, _BLOCK, size=n)
    lasting = np.minimum(rng.exponential(schedule.mean_on_frames, size=n), _BLOCK)
    spread = schedule.photons_spread
    photons = schedule.mean_photons * rng.lognormal(-0.5 * spread**2, spread, size=n)
    return starts, starts + lasting, rng.random((n, 3)), photons
