"""Varied videos: what is varied is really there, and counts lie where the structure is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from dblink_live.simulate.structures.gray_lines import GrayLines
from dblink_live.simulate.varied import VariedParameters, draw_bands_video, draw_lines_video
from dblink_live.simulate.video import Video
from dblink_live.types import Shape

PARAMETERS = VariedParameters(shape=Shape(64, 64), n_windows=24, noise=(0.01, 0.02))
Draw = Callable[[VariedParameters, np.random.Generator], Video]
KINDS = pytest.mark.parametrize("draw", [draw_lines_video, draw_bands_video], ids=["lines", "bands"])


def draw_many(draw: Draw, parameters: VariedParameters, n: int) -> list[Video]:
    return [draw(parameters, np.random.default_rng(seed)) for seed in range(n)]


@KINDS
def test_the_same_seed_gives_the_same_video(draw: Draw) -> None:
    first, again = (draw(PARAMETERS, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first.counts, again.counts)
    assert np.array_equal(first.truth, again.truth)


@KINDS
def test_localizations_lie_on_the_structure(draw: Draw) -> None:
    on, total = 0, 0
    for video in draw_many(draw, replace(PARAMETERS, density=(3.0, 3.1)), 12):
        near = binary_dilation(video.truth, np.ones((3, 7, 7), bool))
        on += int(video.counts[near].sum())
        total += int(video.counts.sum())
    assert total > 1000
    assert on / total > 0.8  # the rest are outliers, clusters and noise


@KINDS
def test_fields_hold_from_little_to_a_tangle(draw: Draw) -> None:
    shares = [video.truth.mean() for video in draw_many(draw, replace(PARAMETERS, n_windows=2), 40)]
    assert min(shares) < 0.03
    assert max(shares) > 0.07


def test_bands_move_by_up_to_the_step_that_is_asked_for() -> None:
    still = draw_many(draw_bands_video, replace(PARAMETERS, max_step_nm=0.0), 12)
    fast = draw_many(draw_bands_video, replace(PARAMETERS, max_step_nm=60.0), 12)
    changed_still, changed_fast = (
        np.mean([(video.truth[1:] != video.truth[:-1]).sum() / max(video.truth.sum(), 1) for video in videos])
        for videos in (still, fast)
    )
    assert changed_fast > 2 * changed_still


def test_a_line_is_one_pixel_wide_until_it_has_moved_by_a_part_of_one() -> None:
    line = np.zeros((32, 32), bool)
    line[4:28, 16] = True
    gray = GrayLines(line, velocity_px=(0.0, 0.05), rotation_deg=0.0)
    assert np.array_equal(gray.mask_at(0), line)
    assert gray.mask_at(10).sum() == pytest.approx(2 * line.sum(), rel=0.1)
    assert np.array_equal(gray.mask_at(20), np.roll(line, 1, axis=1))


def test_a_line_turns_about_the_centre() -> None:
    line = np.zeros((33, 33), bool)
    line[16, 4:29] = True
    turned = GrayLines(line, velocity_px=(0.0, 0.0), rotation_deg=9.0).mask_at(10)
    assert turned[6:27, 16].all()
    assert turned.sum() < 2 * line.sum()
