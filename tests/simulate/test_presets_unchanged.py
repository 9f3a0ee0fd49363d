"""The first five presets are the benchmark: their videos must stay the same, bit by bit."""

from __future__ import annotations

import hashlib

import pytest

from dblink_live.simulate import PRESETS, simulate_video

# SHA-256 of counts, truth and shares present of seed 2, taken before fluorophores, growth and the reticulum came.
DIGESTS = {
    "default": "3938000f",
    "half density": "da1d97ac",
    "3x speed": "e38b815c",
    "8x speed": "19b2a5fe",
    "mitochondria": "1c1844e4",
}


@pytest.mark.parametrize("preset", list(DIGESTS))
def test_the_benchmark_has_not_moved(preset: str) -> None:
    video = simulate_video(PRESETS[preset], 2)
    digest = hashlib.sha256()
    for array in (video.counts, video.truth, video.present):
        digest.update(array.tobytes())
    assert digest.hexdigest()[:8] == DIGESTS[preset]


def test_they_come_first() -> None:
    # Benchmarks number their seeds by the place of a preset.
    assert list(PRESETS)[: len(DIGESTS)] == list(DIGESTS)
