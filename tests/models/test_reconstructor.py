from __future__ import annotations

import time

import numpy as np
import pytest

from dblink_live.errors import ModelError
from dblink_live.interfaces import Reconstructor
from dblink_live.models import StreamingReconstructor, reconstruct
from dblink_live.types import Grid, LocalizationMap, Shape

SHAPE = Shape(9, 14)


def make_map(
    window: int, segment: int = 0, shape: Shape = SHAPE, pitch_nm: float = 40.0, missing: int = 0, t_ns: int = 0
) -> LocalizationMap:
    rng = np.random.default_rng(1000 * segment + window)
    counts = rng.poisson(0.3, shape).astype(np.uint16) if missing < 10 else np.zeros(shape, np.uint16)
    return LocalizationMap(
        segment=segment,
        window=window,
        start=10 * window,
        stop=10 * window + 10,
        counts=counts,
        grid=Grid(pitch_nm=pitch_nm, shape=shape),
        n_frames_missing=missing,
        t_last_frame_ns=t_ns,
    )


def test_it_is_a_reconstructor(light_model):
    assert isinstance(StreamingReconstructor(light_model), Reconstructor)


def test_maps_in_reconstructions_out(light_model):
    stream = StreamingReconstructor(light_model, lookahead=3, hop=2)
    out = [r for t in range(8) for r in stream.push(make_map(t))]
    assert [(r.window, r.lookahead) for r in out] == [(0, 4), (1, 3), (2, 4), (3, 3)]
    out += stream.flush()
    assert [r.window for r in out] == list(range(8))
    assert {r.segment for r in out} == {0} and {r.stage for r in out} == {"bounded"}
    for r in out:
        assert r.image.shape == SHAPE and r.image.dtype == np.float32 and r.image.flags.c_contiguous
        assert r.image.min() >= 0 and r.image.max() <= 1
        assert r.latency_s == 0.0


def test_bare_arrays_are_consecutive_windows(light_model):
    a, b = (StreamingReconstructor(light_model, lookahead=1, hop=1) for _ in range(2))
    for t in range(4):
        for left, right in zip(a.push(make_map(t)), b.push(make_map(t).counts), strict=True):
            assert left.window == right.window
            np.testing.assert_array_equal(left.image, right.image)
    assert [r.window for r in b.flush()] == [3]


def test_another_segment_ends_the_last_and_starts_fresh(light_model):
    stream = StreamingReconstructor(light_model, lookahead=2, hop=2)
    first = [r for t in range(5) for r in stream.push(make_map(t))]
    turn = stream.push(make_map(0, segment=1, shape=Shape(6, 5)))
    assert [(r.segment, r.window) for r in first + turn] == [(0, t) for t in range(5)]
    second = [r for t in range(1, 4) for r in stream.push(make_map(t, segment=1, shape=Shape(6, 5)))] + stream.flush()
    alone = StreamingReconstructor(light_model, lookahead=2, hop=2)
    expected = [r for t in range(4) for r in alone.push(make_map(t, segment=1, shape=Shape(6, 5)))] + alone.flush()
    assert [(r.segment, r.window) for r in second] == [(1, t) for t in range(4)]
    for r, e in zip(second, expected, strict=True):
        np.testing.assert_array_equal(r.image, e.image)


def test_missing_frames_reach_the_network(light_model):
    def pictures(missing: int) -> list[np.ndarray]:
        stream = StreamingReconstructor(light_model, lookahead=0, hop=1)
        maps = [make_map(t) for t in range(3)]
        empty = make_map(3, missing=10)
        maps.append(LocalizationMap(**{**vars(empty), "n_frames_missing": missing}))
        return [r.image for map in maps for r in stream.push(map)]

    seen, missed = pictures(0), pictures(10)
    np.testing.assert_array_equal(seen[2], missed[2])
    assert np.abs(seen[3] - missed[3]).max() > 1e-3


def test_provisional_pictures_come_at_once_and_change_nothing(light_model):
    plain = StreamingReconstructor(light_model, lookahead=3, hop=2)
    eager = StreamingReconstructor(light_model, lookahead=3, hop=2, provisional=True)
    for t in range(8):
        expected, out = plain.push(make_map(t)), eager.push(make_map(t))
        assert [r.window for r in out if r.stage == "provisional"] == [t]
        bounded = [r for r in out if r.stage == "bounded"]
        assert len(bounded) == len(expected)
        for r, e in zip(bounded, expected, strict=True):
            np.testing.assert_array_equal(r.image, e.image)
    assert {r.stage for r in eager.flush()} == {"bounded"}


def test_latency_counts_from_the_windows_own_last_frame(light_model):
    stream = StreamingReconstructor(light_model, lookahead=2, hop=1, provisional=True)
    started = time.perf_counter_ns()
    # Window t ended (10 - t) * 100 s before now, so each latency names its window beyond any doubt of timing.
    out = [r for t in range(4) for r in stream.push(make_map(t, t_ns=started - (10 - t) * 100_000_000_000))]
    out += stream.flush()
    assert len(out) == 8
    assert all(r.latency_s // 100 == 10 - r.window for r in out)


def test_a_stream_can_begin_late_in_a_segment(light_model):
    stream = StreamingReconstructor(light_model, lookahead=1, hop=4)
    out = [r for t in range(6, 10) for r in stream.push(make_map(t))]
    assert [r.window for r in out] == [6, 7]


def test_after_flush_nothing_can_be_pushed(light_model):
    stream = StreamingReconstructor(light_model)
    stream.push(make_map(0))
    assert len(stream.flush()) == 1
    assert stream.flush() == []
    with pytest.raises(ModelError, match="after flush"):
        stream.push(make_map(1))


def with_value(value: float) -> np.ndarray:
    counts = np.zeros(SHAPE)
    counts[3, 4] = value
    return counts


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        pytest.param(make_map(2, shape=Shape(14, 9)), "expected maps of 9 x 14 pixels.*found 14 x 9", id="shape"),
        pytest.param(make_map(3), "expected window 2 of segment 0, found window 3", id="skipped-window"),
        pytest.param(make_map(1), "expected window 2 of segment 0, found window 1", id="repeated-window"),
        pytest.param(make_map(2, pitch_nm=41.0), "expected maps on a grid of 40 nm.*found 41 nm", id="pitch"),
        pytest.param(with_value(np.nan), "1 NaN or infinite and 0 negative", id="nan"),
        pytest.param(with_value(np.inf), "1 NaN or infinite and 0 negative", id="infinite"),
        pytest.param(with_value(-1), "0 NaN or infinite and 1 negative", id="negative"),
        pytest.param(np.zeros((1, *SHAPE)), r"expected counts \[H, W\]", id="three-axes"),
        pytest.param(np.full(SHAPE, "a"), "of a number type", id="text"),
    ],
)
def test_bad_maps_are_refused_and_the_stream_goes_on(light_model, bad, message):
    stream, plain = (StreamingReconstructor(light_model, lookahead=1, hop=1) for _ in range(2))
    for t in range(2):
        stream.push(make_map(t))
        plain.push(make_map(t))
    with pytest.raises(ModelError, match=message):
        stream.push(bad)
    for r, e in zip(stream.push(make_map(2)), plain.push(make_map(2)), strict=True):
        np.testing.assert_array_equal(r.image, e.image)


def test_a_pitch_within_half_a_percent_is_the_models(light_model):
    assert StreamingReconstructor(light_model, lookahead=0, hop=1).push(make_map(0, pitch_nm=40.1))


def test_offline_bounded_is_the_live_stream(light_model):
    counts = np.stack([make_map(t).counts for t in range(9)])
    stream = StreamingReconstructor(light_model, lookahead=3, hop=4)
    live = [r for t in range(9) for r in stream.push(make_map(t))] + stream.flush()
    offline = reconstruct(counts, light_model, lookahead=3)
    np.testing.assert_array_equal(offline, np.stack([r.image for r in live]))
