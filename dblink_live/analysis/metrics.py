"""Scores of a reconstruction against a known truth.

Two families stand side by side. *Tolerant* scores (recall, hallucination and F1 at 0, 1 and 2 px) count a predicted
pixel as right when structure lies within that many pixels of it, in the chessboard distance (a 3 x 3 neighbourhood is
"within 1 px"). The *paper's own* scores (Saguy et al., Nature Methods 2023) are fidelity, the share of structure pixels
found exactly, and the false-positive rate, false positives over *background* pixels, both after each frame is stretched
to its own minimum and maximum and cut at 100/255. With structure on 2-3 % of the pixels the second family is far
milder than the first, so both are always reported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, maximum_filter
from skimage.metrics import structural_similarity

from dblink_live.errors import ConfigError
from dblink_live.types import FloatImage

TOLERANCES_PX = (0, 1, 2)
DEFAULT_THRESHOLD = 0.5
PAPER_THRESHOLD = 100 / 255
Mask = npt.NDArray[np.bool_]
Video = npt.NDArray[np.number] | npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """How well a reconstruction [T, H, W] matches a truth of the same shape.

    ``hallucination[r]`` is the share of *predicted* pixels farther than r px from structure; ``recall[r]`` the share of
    *structure* pixels with a predicted pixel within r px; both over the whole video. NaN where there is nothing to
    divide by (an empty truth has no recall). ``temporal_consistency`` is the mean Pearson correlation of consecutive
    frames.

    Examples
    --------
    >>> truth = np.zeros((2, 8, 8), bool)
    >>> truth[:, 3] = True
    >>> evaluate(truth.astype(np.float32), truth).f1_1px
    1.0
    """

    f1_px: dict[int, float]
    recall: dict[int, float]
    hallucination: dict[int, float]
    fidelity: float
    false_positive_rate: float
    psnr_db: float
    ssim: float
    temporal_consistency: float
    threshold: float
    tolerance_px: int = 1

    @property
    def f1_1px(self) -> float:
        """F1 at a tolerance of 1 px, in [0, 1]; NaN where there is nothing to divide by."""
        return self.f1_px[1]

    @property
    def f1_0px(self) -> float:
        """F1 without a tolerance, in [0, 1]; NaN where there is nothing to divide by."""
        return self.f1_px[0]

    @property
    def f1(self) -> float:
        """F1 at the tolerance that was asked for, in [0, 1]; NaN where there is nothing to divide by."""
        return self.f1_px[self.tolerance_px]

    @property
    def precision(self) -> float:
        """Share of predicted pixels within the asked tolerance of structure; NaN where nothing is predicted."""
        return 1.0 - self.hallucination[self.tolerance_px]

    def to_json_dict(self) -> dict[str, object]:
        """Return the keys promised for ``evaluate --json``; NaN becomes None."""
        return {
            "f1_1px": _json_number(self.f1_1px),
            "f1_0px": _json_number(self.f1_0px),
            "f1": _json_number(self.f1),
            "tolerance_px": self.tolerance_px,
            "recall": {str(r): _json_number(value) for r, value in self.recall.items()},
            "hallucination": {str(r): _json_number(value) for r, value in self.hallucination.items()},
            "precision": _json_number(self.precision),
            "fidelity": _json_number(self.fidelity),
            "false_positive_rate": _json_number(self.false_positive_rate),
            "psnr_db": _json_number(self.psnr_db),
            "ssim": _json_number(self.ssim),
            "temporal_consistency": _json_number(self.temporal_consistency),
            "threshold": self.threshold,
        }


def evaluate(reconstruction: Video, truth: Video, threshold: float | None = None, tolerance_px: int = 1) -> Scores:
    """Score ``reconstruction`` [T, H, W] (probability in [0, 1]) against ``truth`` [T, H, W] (structure where not 0).

    Parameters
    ----------
    threshold
        Operating point of the tolerant scores. Fix it beforehand on other data; None means 0.5.
    tolerance_px
        Which tolerance `Scores.f1` and `Scores.precision` refer to.

    Raises
    ------
    ConfigError
        Shapes differ, values are not finite, or the threshold is not inside (0, 1).

    Examples
    --------
    >>> truth = np.zeros((1, 8, 8), bool)
    >>> truth[0, 4, 2:6] = True
    >>> off_by_one = np.roll(truth, 1, axis=1).astype(np.float32)
    >>> scores = evaluate(off_by_one, truth)
    >>> scores.f1_1px, scores.f1_0px
    (1.0, 0.0)
    """
    predicted, structure = _checked(reconstruction, truth)
    cut = DEFAULT_THRESHOLD if threshold is None else threshold
    if not 0.0 < cut < 1.0:
        raise ConfigError(f"expected a threshold between 0 and 1, found {cut}")
    tolerances = sorted({*TOLERANCES_PX, _checked_tolerance(tolerance_px)})
    binary = predicted > cut
    recall: dict[int, float] = {}
    hallucination: dict[int, float] = {}
    f1: dict[int, float] = {}
    for r in tolerances:
        recall[r] = _share(_grown(binary, r)[structure])
        hallucination[r] = 1.0 - _share(_grown(structure, r)[binary])
        f1[r] = f1_score(1.0 - hallucination[r], recall[r])
    fidelity, false_positive_rate = paper_scores(predicted, structure)
    return Scores(
        f1_px=f1,
        recall=recall,
        hallucination=hallucination,
        fidelity=fidelity,
        false_positive_rate=false_positive_rate,
        psnr_db=_psnr_db(predicted, structure),
        ssim=_ssim(predicted, structure),
        temporal_consistency=temporal_consistency(predicted),
        threshold=cut,
        tolerance_px=tolerance_px,
    )


def paper_scores(predicted: FloatImage, structure: Mask) -> tuple[float, float]:
    """Fidelity and false-positive rate as the paper's code counts them (see the head of this file)."""
    low = predicted.min(axis=(1, 2), keepdims=True, initial=np.inf) if predicted.size else predicted
    high = predicted.max(axis=(1, 2), keepdims=True, initial=-np.inf) if predicted.size else predicted
    span = np.where(high > low, high - low, 1.0)
    binary = (predicted - low) / span > PAPER_THRESHOLD
    return _share(binary[structure]), _share(binary[~structure])


def best_threshold(
    reconstruction: Video, truth: Video, tolerance_px: int = 1, n_thresholds: int = 99
) -> tuple[float, float]:
    """The threshold with the highest F1 and that F1: for calibrating on *other* data, and for baselines.

    Values are compared on the scale of the reconstruction's own maximum, so sums of counts can be passed as well.
    """
    predicted, structure = _checked(reconstruction, truth)
    top = float(predicted.max(initial=0.0))
    if top <= 0 or not structure.any():
        return DEFAULT_THRESHOLD, math.nan
    cuts = np.linspace(0.0, top, n_thresholds + 2)[:-1]
    scores = f1_at_thresholds(predicted, structure, cuts, tolerance_px)
    best = int(np.argmax(scores))
    return float(cuts[best]), float(scores[best])


def f1_at_thresholds(
    reconstruction: Video, truth: Video, thresholds: npt.NDArray[np.float64], tolerance_px: int = 1
) -> npt.NDArray[np.float64]:
    """F1 of ``reconstruction`` [T, H, W] for each of ``thresholds`` [K] that a structure pixel must exceed, >= 0.

    The grey dilation is done once: "a predicted pixel within r" at any threshold is "the local maximum exceeds it".
    """
    predicted, structure = _checked(reconstruction, truth)
    side = 2 * tolerance_px + 1
    reach = maximum_filter(predicted, size=(1, side, side))[structure]
    positive = predicted > 0
    values, right = predicted[positive], _grown(structure, tolerance_px)[positive]
    return np.array([f1_score(_share(right[values > cut]), _share(reach > cut)) for cut in thresholds])


def windowed_sum(counts: Video, half_width: int, blur_sigma_px: float = 0.0) -> FloatImage:
    """The plain localization image that a microscopist would look at: counts summed over +-``half_width`` windows.

    ``counts`` is [T, H, W]; the sum at the ends of the video runs over the windows that exist. ``blur_sigma_px`` is
    the usual Gaussian rendering. Returns float32 [T, H, W].
    """
    values = np.asarray(counts, dtype=np.float32)
    total = np.cumsum(np.concatenate([np.zeros_like(values[:1]), values]), axis=0, dtype=np.float64)
    index = np.arange(len(values))
    stop = np.minimum(index + half_width + 1, len(values))
    start = np.maximum(index - half_width, 0)
    summed = (total[stop] - total[start]).astype(np.float32)
    if blur_sigma_px > 0:
        summed = gaussian_filter(summed, sigma=(0, blur_sigma_px, blur_sigma_px))
    return summed


def trailing_sum(counts: Video, n_windows: int) -> FloatImage:
    """The plain sum as it can be shown live: the ``n_windows`` up to and including each window [T, H, W], unblurred."""
    values = np.asarray(counts, dtype=np.float32)
    total = np.cumsum(np.concatenate([np.zeros_like(values[:1]), values]), axis=0, dtype=np.float64)
    stop = np.arange(len(values)) + 1
    return (total[stop] - total[np.maximum(stop - n_windows, 0)]).astype(np.float32)


def leaky_sum(counts: Video, time_constant: float, blur_sigma_px: float = 0.0) -> FloatImage:
    """The plain sum that forgets: each window is e times fainter ``time_constant`` windows later.

    ``counts`` is [T, H, W]. It looks at the past alone, so it can be shown live, and on movement it beats the trailing
    sum. Returns float32 [T, H, W].
    """
    summed = np.array(counts, dtype=np.float32)
    keep = np.float32(math.exp(-1.0 / time_constant))
    for t in range(1, len(summed)):
        summed[t] += keep * summed[t - 1]
    if blur_sigma_px > 0:
        summed = gaussian_filter(summed, sigma=(0, blur_sigma_px, blur_sigma_px))
    return summed


def temporal_consistency(video: FloatImage) -> float:
    """Mean Pearson correlation between consecutive frames [T, H, W]; NaN when no pair has any contrast."""
    flat = video.reshape(len(video), -1).astype(np.float64)
    flat = flat - flat.mean(axis=1, keepdims=True) if flat.size else flat
    norm = np.sqrt((flat**2).sum(axis=1))
    pairs = norm[1:] * norm[:-1]
    with_contrast = pairs > 0
    if not with_contrast.any():
        return math.nan
    return float(((flat[1:] * flat[:-1]).sum(axis=1)[with_contrast] / pairs[with_contrast]).mean())


def f1_score(precision: float, recall: float) -> float:
    """Harmonic mean; NaN where the truth is empty, 0 where nothing was predicted."""
    if math.isnan(recall):
        return math.nan
    if math.isnan(precision) or precision + recall == 0:
        return 0.0
    return 2 * precision * recall / (precision + recall)


def _checked(reconstruction: Video, truth: Video) -> tuple[FloatImage, Mask]:
    predicted = np.asarray(reconstruction, dtype=np.float32)
    structure: Mask = np.asarray(truth).astype(np.bool_)
    if predicted.ndim == 2:
        predicted = predicted[None]
    if structure.ndim == 2:
        structure = structure[None]
    if predicted.shape != structure.shape or predicted.ndim != 3:
        raise ConfigError(
            f"expected a reconstruction and a truth of one shape [T, H, W], found {predicted.shape} and "
            f"{structure.shape}; "
            "crop or re-bin one of them to the other's grid"
        )
    if not np.isfinite(predicted).all():
        raise ConfigError("expected finite values, found NaN or infinity in the reconstruction; remove these frames")
    return predicted, structure


def _checked_tolerance(tolerance_px: int) -> int:
    if tolerance_px < 0:
        raise ConfigError(f"expected a tolerance of 0 px or more, found {tolerance_px}")
    return tolerance_px


def _grown(mask: Mask, radius_px: int) -> Mask:
    if radius_px == 0 or mask.size == 0:
        return mask
    size = 2 * radius_px + 1
    grown: Mask = maximum_filter(mask, size=(1, size, size))
    return grown


def _share(values: Mask) -> float:
    return float(values.mean()) if values.size else math.nan


def _psnr_db(predicted: FloatImage, structure: Mask) -> float:
    if predicted.size == 0:
        return math.nan
    mean_square = float(np.mean((predicted - structure) ** 2))
    return math.inf if mean_square == 0 else -10 * math.log10(mean_square)


def _ssim(predicted: FloatImage, structure: Mask) -> float:
    """Mean structural similarity over frames (Wang et al. 2004) at data range 1."""
    side = min(7, *predicted.shape[1:]) if predicted.size else 0
    side -= 1 - side % 2
    if side < 3:
        return math.nan
    frames = zip(predicted, structure.astype(np.float32), strict=True)
    return float(
        np.mean([structural_similarity(p, s, data_range=1.0, win_size=side) for p, s in frames])  # type: ignore[no-untyped-call]
    )


def _json_number(value: float) -> float | None:
    return value if math.isfinite(value) else None
