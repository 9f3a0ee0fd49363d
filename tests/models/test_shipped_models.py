"""What may be expected of the shipped weights: nothing is invented, and streams do not age."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from dblink_live import StreamingReconstructor, load_model
from dblink_live.analysis.metrics import evaluate
from dblink_live.models import Model, reconstruct
from dblink_live.simulate import VideoParameters, simulate_video
from dblink_live.simulate.blinking import MapBlinking, memoryless_counts

N_WINDOWS, SIDE = 60, 96
FRAMES = 10
MAX_INVENTED = 1e-4
"""Of the pixels: fewer than 1 in 10,000."""

Counts = npt.NDArray[np.uint16]


@pytest.fixture(scope="module", params=["filaments", "filaments_fast", "mitochondria"])
def model(request: pytest.FixtureRequest) -> Model:
    return load_model(request.param, device="cpu")


def empty() -> Counts:
    return np.zeros((N_WINDOWS, SIDE, SIDE), np.uint16)


def uniform_noise() -> Counts:
    """As in the released simulator: 2 false localizations per frame on 128 x 128 pixels, anywhere."""
    rng = np.random.default_rng(5)
    return rng.poisson(2.0 * FRAMES / 128**2, size=(N_WINDOWS, SIDE, SIDE)).astype(np.uint16)


def isolated_beads() -> Counts:
    """Three beads that are localized in every frame with 4 nm, as fiducials are."""
    rng = np.random.default_rng(6)
    counts = empty()
    for place in ((20.0, 30.0), (60.5, 70.5), (80.0, 15.5)):
        y, x = np.floor(np.array(place)[:, None, None] + rng.normal(0.0, 0.1, (2, N_WINDOWS, FRAMES))).astype(int)
        np.add.at(counts, (np.arange(N_WINDOWS)[:, None], y, x), 1)
    return counts


@pytest.mark.parametrize("make", [empty, uniform_noise, isolated_beads])
@pytest.mark.parametrize("lookahead", [8, "full"])
def test_where_no_structure_is_none_is_drawn(model: Model, make: Callable[[], Counts], lookahead: int | str) -> None:
    picture = reconstruct(make(), model, lookahead)
    assert float((picture > model.threshold).mean()) < MAX_INVENTED


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_stream_is_as_good_after_5000_windows_as_after_100() -> None:
    """Contract test 5: the same windows, as two streams see them, of which one began 5,000 windows ago, one 100."""
    model = load_model("filaments", device="cpu")
    # Filaments that move to and fro for 1000 s, at eight times the speed of the released simulator.
    there = simulate_video(VideoParameters(n_windows=250, speed=8.0), 2).truth[:, 32:72, 32:72]
    to_and_fro = np.concatenate([there, there[::-1]])
    truth = np.resize(to_and_fro, (5100, *there.shape[1:]))
    rng = np.random.default_rng(11)
    counts = np.stack([memoryless_counts(mask, FRAMES, MapBlinking(), rng) for mask in truth])
    scored = slice(5000, 5100)
    scores = []
    for first in (0, 4900):
        pictures = _stream(counts[first:], model)[scored.start - first :]
        scores.append(evaluate(pictures, truth[scored], model.threshold).f1_1px)
    old, young = scores
    # There is structure to be found, and it is found.
    assert young > 0.8
    # The states differ by what they saw 100 windows and more ago; a hundredth of F1 is what chance makes of that.
    assert old > young - 0.01


def _stream(counts: Counts, model: Model) -> npt.NDArray[np.float32]:
    stream = StreamingReconstructor(model, lookahead=8, hop=10)
    pictures = [picture.image for values in counts for picture in stream.push(values)]
    return np.stack([*pictures, *(picture.image for picture in stream.flush())])
