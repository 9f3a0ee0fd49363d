"""What a Deep-STORM network cannot say of itself, measured on simulated frames: where to cut, and how wrong places are.

Shapes: B examples, K molecules found, E true ones, P pairs of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import linear_sum_assignment, minimize
from scipy.spatial.distance import cdist

from dblink_live.localization.neural.deepstorm.checkpoint import Precision
from dblink_live.localization.neural.deepstorm.localizer import found_in
from dblink_live.localization.neural.deepstorm.network import DeepStormNetwork, of_one_frame
from dblink_live.localization.neural.deepstorm.recovery import peaks
from dblink_live.localization.neural.inputs import NetworkInput, seen_in
from dblink_live.train.localizer.data import Examples
from dblink_live.train.localizer.loop import CALIBRATION, draw_examples
from dblink_live.train.localizer.settings import DeepStormSettings

EXAMPLES = 64
RADIUS = 1.0
"""Farthest distance of a pair, in widths of the point spread function."""
_HEIGHTS = np.round(np.arange(0.02, 0.61, 0.02), 2)
_LEAST_PAIRS = 50
_DEGREES = 3.0
"""Degrees of freedom of the errors' tails."""
_UNKNOWN = Precision(scale=1.0, by_brightness=0.0, by_height=0.0)
"""Of a network that hardly finds a molecule: a width."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """Of one network."""

    min_height: float
    """Of the heat map, where the Jaccard index is highest."""
    jaccard: float
    """There, within `RADIUS`, over all conditions of the training."""
    precision: Precision


@dataclass(frozen=True)
class _Scene:
    """One example."""

    image: torch.Tensor
    seen: NetworkInput
    sigma_px: float
    truth: Values
    """[E, 2] y and x in px."""


@torch.no_grad()
def measure(network: DeepStormNetwork, settings: DeepStormSettings) -> Measured:
    """Measure ``network``, one that is not being trained, on examples that it was not trained on."""
    n_batches = max(1, EXAMPLES // settings.batch)
    scenes = [scene for n in range(n_batches) for scene in _scenes(network, draw_examples(settings, CALIBRATION, n))]
    scores = _scores(network, scenes)
    best = int(np.argmax(scores))
    min_height = float(_HEIGHTS[best])
    return Measured(min_height, scores[best], _precision(network, scenes, min_height))


def _scenes(network: DeepStormNetwork, examples: Examples) -> list[_Scene]:
    images = network(of_one_frame(examples.inputs))
    units, sigma_px = seen_in(examples.inputs)
    places = torch.stack([examples.y, examples.x], dim=1).numpy().astype(np.float64)
    example = examples.example.numpy()
    return [
        _Scene(images[n : n + 1], _seen(units[n : n + 1]), float(sigma_px[n]), places[example == n])
        for n in range(len(images))
    ]


def _seen(units: torch.Tensor) -> NetworkInput:
    """Frames of ``units`` [N, H, W], whose noise is 1 and which have no background."""
    return NetworkInput(units, torch.ones_like(units), torch.zeros_like(units), torch.ones_like(units))


def _scores(network: DeepStormNetwork, scenes: list[_Scene]) -> list[float]:
    """The Jaccard index with each of `_HEIGHTS`."""
    n_pairs, n_all = np.zeros(len(_HEIGHTS)), np.zeros(len(_HEIGHTS))
    for scene in scenes:
        found = peaks(scene.image, network.config.upsampling, float(_HEIGHTS[0]))
        places = torch.stack([found.y, found.x], dim=1).numpy().astype(np.float64)
        for index, height in enumerate(_HEIGHTS):
            chosen = places[found.height.numpy() >= height]
            pairs = len(_pairs(chosen, scene)[0])
            n_pairs[index] += pairs
            n_all[index] += len(chosen) + len(scene.truth) - pairs
    return [float(score) for score in n_pairs / np.maximum(n_all, 1)]


def _pairs(places: Values, scene: _Scene) -> tuple[npt.NDArray[np.int64], Values]:
    """Which of ``places`` [K, 2] are right [P], and their errors along y and x [P, 2], in widths."""
    distance = cdist(places, scene.truth) / scene.sigma_px
    which, of_truth = linear_sum_assignment(np.minimum(distance - RADIUS, 0.0))
    near = distance[which, of_truth] < RADIUS
    which, of_truth = which[near], of_truth[near]
    return which.astype(np.int64), (places[which] - scene.truth[of_truth]) / scene.sigma_px


def _precision(network: DeepStormNetwork, scenes: list[_Scene], min_height: float) -> Precision:
    """The power law under which the errors are likeliest, taken for Student's t of `_DEGREES` along both axes.

    Not for Gaussian: where two molecules were taken for one the error is large, and a few of those would make that of
    all others look twice as large as it is.
    """
    known, squared = [], []
    for scene in scenes:
        found = found_in(scene.image, scene.seen, network.config, scene.sigma_px, min_height)
        which, errors = _pairs(np.stack([found.y, found.x], axis=1), scene)
        known.append(np.log([found.brightness, found.height, found.crowding])[:, which])
        squared.append(np.square(errors).mean(axis=1))
    error_squared = np.concatenate(squared)
    if len(error_squared) < _LEAST_PAIRS:
        return _UNKNOWN
    terms = np.concatenate([np.ones((1, len(error_squared))), np.concatenate(known, axis=1)])

    def cost(exponents: Values) -> tuple[float, Values]:
        log_variance = 2 * exponents @ terms
        excess = error_squared * np.exp(-log_variance)
        # Twice: there are two axes, of whose squares the mean is known.
        tail = 2 * excess / _DEGREES
        pull = (_DEGREES + 2) / 2 * tail / (1 + tail)
        return float((log_variance + (_DEGREES + 2) / 2 * np.log1p(tail)).mean()), 2 * (terms * (1 - pull)).mean(axis=1)

    start = np.array([0.5 * np.log(error_squared.mean()), 0.0, 0.0, 0.0])
    constant, by_brightness, by_height, by_crowding = minimize(cost, start, jac=True).x.tolist()
    return Precision(float(np.exp(constant)), by_brightness, by_height, by_crowding)
