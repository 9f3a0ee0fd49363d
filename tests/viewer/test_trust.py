"""The trust panel's arithmetic, on pictures small enough to count by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dblink_live.analysis.trust.support import left_out_fraction, support
from dblink_live.viewer.panels.picture import TINT_ERROR, TINT_NONE, TINT_UNSUPPORTED, Picture
from dblink_live.viewer.sources.model_facts import model_facts, shipped_models
from dblink_live.viewer.sources.trust import mean_shares, trust_picture

PITCH = 40.0


def picture(image: Any, origin_nm: tuple[float, float] = (0.0, 0.0)) -> Picture:
    return Picture(np.asarray(image), PITCH, origin_nm)


def centres(*pixels: tuple[float, float]) -> Any:
    return (np.asarray(pixels, np.float64) + 0.5) * PITCH


def test_drawn_pixels_without_molecules_are_tinted() -> None:
    drawn, counts = np.zeros((12, 12), np.float32), np.zeros((12, 12), np.uint16)
    drawn[2, 2:10] = 0.9
    counts[3, 2:4] = 1  # two molecules near columns 1 to 4, one near column 1 and 4 alone
    shown, shares = trust_picture(picture(drawn), picture(counts), None, 0.5)
    assert shown.tint is not None
    np.testing.assert_array_equal(np.flatnonzero(shown.tint[2] == TINT_NONE)[2:4], [2, 3])
    np.testing.assert_array_equal(np.flatnonzero(shown.tint[2] == TINT_UNSUPPORTED), np.arange(4, 10))
    assert shares.unsupported == 6 / 8
    assert shares.left_out is None
    assert shown.marks_nm is None


def test_it_agrees_with_the_analysis_on_random_pictures() -> None:
    rng = np.random.default_rng(2)
    counts = rng.poisson(0.15, (9, 40, 50)).astype(np.uint16)
    image = (rng.random((40, 50)) ** 3).astype(np.float32)
    near = support(counts, 4, half_width=4, radius_px=1).n_localizations
    molecules = centres(*np.argwhere(counts[4]))
    shown, shares = trust_picture(picture(image), picture(counts.sum(axis=0)), molecules, 0.5)
    drawn = image > 0.5
    assert shown.tint is not None
    np.testing.assert_array_equal(shown.tint == TINT_UNSUPPORTED, drawn & (near < 2))
    assert shares.unsupported == pytest.approx((drawn & (near < 2)).sum() / drawn.sum())
    once = np.minimum(counts[4:5], 1)
    assert shares.left_out == pytest.approx(left_out_fraction(image[None], once, 0.5))


def test_molecules_that_the_picture_leaves_out_are_circled() -> None:
    drawn = np.zeros((12, 12), np.float32)
    drawn[5, 5] = 0.9
    molecules = centres((5, 6), (6, 4), (5, 8), (0, 0))
    shown, shares = trust_picture(picture(drawn), None, molecules, 0.5)
    np.testing.assert_array_equal(shown.marks_nm, molecules[2:])
    assert shares.left_out == 0.5
    assert shares.unsupported is None


def test_what_lies_outside_a_live_region_is_not_judged() -> None:
    # The reconstruction is made in 6 x 6 pixels of the field, the counts cover all of it.
    drawn, counts = np.zeros((6, 6), np.float32), np.zeros((20, 20), np.uint16)
    drawn[3, 3] = 0.9
    counts[13, 8] = 2  # under the drawn pixel: the region begins at row 10, column 5
    region = picture(drawn, (10 * PITCH, 5 * PITCH))
    _, shares = trust_picture(region, picture(counts), centres((13, 8), (12, 9), (0, 0), (19, 19)), 0.5)
    assert shares.unsupported == 0.0
    assert shares.left_out == 0.0


def test_counts_of_another_lattice_say_nothing() -> None:
    drawn = np.full((6, 6), 0.9, np.float32)
    for other in (Picture(np.zeros((6, 6)), 20.0), picture(np.zeros((6, 6)), (13.0, 0.0)), picture(np.zeros((3, 6)))):
        _, shares = trust_picture(picture(drawn), other, None, 0.5)
        assert shares.unsupported is None


def test_the_networks_own_errors_are_tinted() -> None:
    drawn, error = np.zeros((6, 6), np.float32), np.zeros((6, 6), np.float32)
    drawn[2] = 0.9
    error[2, :3], error[4] = 0.8, 0.9
    shown, shares = trust_picture(picture(drawn), None, None, 0.5, picture(error))
    assert shown.tint is not None
    assert np.count_nonzero(shown.tint == TINT_ERROR) == 3
    assert shares.wrong == 0.5


def test_nothing_drawn_has_no_shares() -> None:
    shares = trust_picture(picture(np.zeros((5, 5))), picture(np.zeros((5, 5))), np.zeros((0, 2)), 0.5)[1]
    assert (shares.unsupported, shares.left_out, shares.wrong) == (None, None, None)
    assert mean_shares([]).left_out is None


def test_shipped_models_say_what_they_were_trained_for() -> None:
    assert {"filaments", "mitochondria"} <= set(shipped_models())
    for name in shipped_models():
        facts = model_facts(name)
        assert facts is not None
        assert 0 < facts.threshold < 1
        assert "trained for" in facts.description


def test_another_file_of_the_same_name_is_not_taken_for_the_runs_model() -> None:
    assert model_facts("filaments", "0" * 64) is None
    assert model_facts("no-such-model") is None
