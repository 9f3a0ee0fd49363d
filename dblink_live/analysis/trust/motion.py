"""How fast structure moves, and how long a window should be: from localizations alone, before any network has run.

Localizations of a structure that stands still have neighbours at the same places in every later window. Structure that
moves leaves its footprint, and neighbours become fewer the later one looks: the number of pairs within a small radius,
beyond those that chance would make, falls with the lag as ``1 / (1 + (step * lag / footprint)^2)``, where the footprint
is about the radius and the structure's own width and scatter. No direction is assumed: each filament may go its own
way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter

from dblink_live.errors import ConfigError

RADIUS_NM = 60.0
"""Half of the side of the square in which a pair counts."""
BACKGROUND_NM = 1000.0
"""Side of the square whose mean says how many pairs chance makes."""
FOOTPRINT_NM = 130.0
"""Distance by which structure has moved when half of its pairs are gone: measured on simulated filaments."""
LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
MAX_ESTIMATE_NM = 150.0
"""Faster structure reads as this."""
MIN_LAGS = 3
MIN_PAIRS = 30.0
"""Pairs beyond chance at the shortest lags, with fewer of which nothing can be said."""
MIN_KEPT = 0.1
"""Share of the pairs within one window that must be left two or three windows later: of faster structure, or of
molecules that are never seen again, nothing can be said."""
MAX_STEP_NM = 60.0
MIN_PER_UM2 = 3.0
"""Molecules per square micrometre of field and window that a network should have."""


@dataclass(frozen=True)
class WindowAdvice:
    """How long a window should be."""

    frames: int
    reason: str
    suits: bool
    """Whether this length has molecules enough and is short enough."""


def estimate_step_nm(counts: npt.NDArray[np.generic], pitch_nm: float) -> float | None:
    """Motion per window in nm, from maps alone; None where there are too few localizations to tell.

    Structure that stays for longer than the longest lag that fits into the maps reads as 0.

    Parameters
    ----------
    counts
        [T, H, W] localizations per pixel and window, consecutive.
    pitch_nm
        Of a pixel.

    Raises
    ------
    ConfigError
        The array is no video, or the pitch is not positive.
    """
    if counts.ndim != 3 or not pitch_nm > 0:
        raise ConfigError(f"expected counts [T, H, W] and a pitch above 0, found {counts.shape} and {pitch_nm}")
    maps = counts.astype(np.float32)
    side = 2 * max(1, round(RADIUS_NM / pitch_nm)) + 1
    wide = max(side + 2, round(BACKGROUND_NM / pitch_nm))
    near = uniform_filter(maps, (0, side, side), mode="constant") - uniform_filter(maps, (0, wide, wide))
    lags = np.array([lag for lag in LAGS if lag < len(maps)], np.float64)
    pairs = np.array([float((maps[: -int(lag)] * near[int(lag) :]).sum()) * side**2 for lag in lags])
    if len(lags) < MIN_LAGS or pairs[:MIN_LAGS].max() < MIN_PAIRS:
        return None
    # Pairs within one window, without those of a molecule with itself: as many as structure at rest has at every lag.
    at_once = float((maps * near).sum()) * side**2 - float(maps.sum()) * (1.0 - (side / wide) ** 2)
    if pairs[1:MIN_LAGS].max() / (len(maps) - MIN_LAGS) < MIN_KEPT * at_once / len(maps):
        return None
    return _fitted_step(lags, pairs / (len(maps) - lags))


def _fitted_step(lags: npt.NDArray[np.float64], pairs: npt.NDArray[np.float64]) -> float:
    """The motion per window that explains best how ``pairs`` fall with the lag."""
    steps = np.concatenate([[0.0], np.geomspace(1.0, MAX_ESTIMATE_NM, 80)])
    weights = 1.0 / np.sqrt(lags)  # early lags tell of fast motion, and late ones are many in time
    misfits = []
    for step in steps:
        kept = 1.0 / (1.0 + (step * lags / FOOTPRINT_NM) ** 2)
        later = slice(1, None)
        scale = float((weights * kept * pairs)[later].sum() / (weights * kept**2)[later].sum())
        residual = pairs - scale * kept
        # Molecules that stay on into the next window add pairs there, and only there.
        if residual[0] < 0:
            scale = float((weights * kept * pairs).sum() / (weights * kept**2).sum())
            residual = pairs - scale * kept
        else:
            residual[0] = 0.0
        misfits.append(float((weights * residual**2).sum()))
    return float(steps[int(np.argmin(misfits))])


def advise_window(
    step_nm: float | None, molecules_per_um2: float, window_frames: int, min_frames: int = 1
) -> WindowAdvice:
    """Frames per window that suit a sample, from what windows of ``window_frames`` show of it.

    As short as leaves molecules enough, and no longer than lets structure move by `MAX_STEP_NM`.

    Parameters
    ----------
    step_nm
        Motion per window, as `estimate_step_nm` gives it; None is unknown.
    molecules_per_um2
        Per square micrometre of field and window.

    Examples
    --------
    >>> advise_window(step_nm=40.0, molecules_per_um2=6.0, window_frames=20).frames
    10
    >>> advise_window(step_nm=240.0, molecules_per_um2=0.5, window_frames=20).suits
    False
    """
    if window_frames < 1 or min_frames < 1 or not molecules_per_um2 >= 0:
        raise ConfigError(
            f"expected frames of 1 or more and molecules of 0 or more, found {window_frames}, {min_frames} and "
            f"{molecules_per_um2}"
        )
    if molecules_per_um2 == 0:
        return WindowAdvice(window_frames, "no molecules: nothing can be said", suits=False)
    enough = max(min_frames, math.ceil(window_frames * MIN_PER_UM2 / molecules_per_um2))
    if not step_nm:
        return WindowAdvice(enough, f"{enough} frames hold {MIN_PER_UM2:g} molecules per µm²", suits=True)
    longest = max(min_frames, math.floor(window_frames * MAX_STEP_NM / step_nm))
    frames = min(enough, longest)
    moved = step_nm * frames / window_frames
    if enough > longest:
        return WindowAdvice(
            frames,
            f"structure moves {MAX_STEP_NM:g} nm in {longest} frames, and {enough} are needed for {MIN_PER_UM2:g} "
            "molecules per µm²: raise the activation, or record faster",
            suits=False,
        )
    return WindowAdvice(
        frames, f"{frames} frames hold molecules enough, and structure moves {moved:.0f} nm in them", suits=True
    )
