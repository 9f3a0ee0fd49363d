"""The streaming contract of the architecture, points 1 to 4, strictly on CPU in float32."""

from __future__ import annotations

import pytest
import torch

from dblink_live.errors import ModelError
from dblink_live.models import LightNetwork, Picture, StreamingEngine, StreamState
from dblink_live.types import Shape

# The contract's own figure; batching windows differently moves float32 roundings of 6e-8.
TOLERANCE = 1e-5

SCHEMES = [
    pytest.param(0, 1, id="no-lookahead"),
    pytest.param(3, 1, id="hop-1"),
    pytest.param(0, 4, id="hop-alone"),
    pytest.param(4, 3, id="uneven"),
    pytest.param(12, 2, id="longer-than-a-reverse-span"),
]


def run(
    engine: StreamingEngine, counts: torch.Tensor, chunks: list[int], present: torch.Tensor | None = None
) -> list[Picture]:
    """Push ``counts`` [T, H, W] in ``chunks`` and flush."""
    present = torch.ones(len(counts)) if present is None else present
    state = engine.start(Shape(*counts.shape[1:]))
    pictures, begin = [], 0
    for length in chunks:
        ready, state = engine.push(counts[begin : begin + length], present[begin : begin + length], state)
        pictures += ready
        begin += length
    assert begin == len(counts)
    return pictures + engine.flush(state)


def last_window_seen(t: int, lookahead: int, hop: int, windows: int) -> int:
    return min((t // hop + 1) * hop - 1 + lookahead, windows - 1)


@pytest.mark.parametrize(("lookahead", "hop"), [(10, 1), (10, 4), (40, 3)])
def test_with_the_whole_future_in_sight_the_stream_is_the_offline_pass(network, make_counts, lookahead, hop):
    counts = make_counts(11)
    present = torch.rand(11, generator=torch.Generator().manual_seed(1))
    offline = network.probability(network(counts[None], present[None]))[0]
    assert offline.std(dim=0).mean() > 0.03  # else any stream would do
    pictures = run(StreamingEngine(network, lookahead, hop), counts, [1] * 11, present)
    assert [p.window for p in pictures] == list(range(11))
    assert max(float((p.probability - offline[p.window]).abs().max()) for p in pictures) <= TOLERANCE


@pytest.mark.parametrize(("lookahead", "hop"), SCHEMES)
def test_a_picture_is_the_offline_pass_over_what_it_may_see(network, make_counts, lookahead, hop):
    counts = make_counts(19)
    pictures = run(StreamingEngine(network, lookahead, hop), counts, [1] * 19)
    for picture in (pictures[t] for t in (0, 5, 6, 11, 17)):
        last = last_window_seen(picture.window, lookahead, hop, 19)
        offline = network.probability(network(counts[None, : last + 1]))[0, picture.window]
        assert (picture.probability - offline).abs().max() <= TOLERANCE
        assert picture.lookahead == last - picture.window
        assert picture.stage == "bounded"


@pytest.mark.parametrize(("lookahead", "hop"), SCHEMES)
@pytest.mark.parametrize("chunks", [[19], [1, 2, 3, 4, 5, 4], [0, 7, 0, 12]], ids=str)
def test_chunks_do_not_matter(network, make_counts, lookahead, hop, chunks):
    counts = make_counts(19)
    engine = StreamingEngine(network, lookahead, hop)
    one_by_one, chunked = run(engine, counts, [1] * 19), run(engine, counts, chunks)
    assert [p.window for p in chunked] == list(range(19))
    for a, b in zip(one_by_one, chunked, strict=True):
        assert torch.equal(a.probability, b.probability)
        assert (a.window, a.lookahead, a.stage) == (b.window, b.lookahead, b.stage)


@pytest.mark.parametrize(("lookahead", "hop"), SCHEMES)
def test_no_picture_depends_on_what_comes_after_its_lookahead(network, make_counts, lookahead, hop):
    counts, engine = make_counts(19), StreamingEngine(network, lookahead, hop)
    original = run(engine, counts, [1] * 19)
    for t in (0, 5, 6):
        first_unseen = t + lookahead + hop
        other = counts.clone()
        other[first_unseen:] = make_counts(19, seed=9, mean=3.0)[first_unseen:]
        assert first_unseen >= 19 or not torch.equal(counts, other)
        assert torch.equal(run(engine, other, [1] * 19)[t].probability, original[t].probability)
        # The last map it may see does reach it.
        other[last_window_seen(t, lookahead, hop, 19)] += 5
        assert not torch.equal(run(engine, other, [1] * 19)[t].probability, original[t].probability)


@pytest.mark.parametrize(("lookahead", "hop"), SCHEMES)
def test_pictures_come_as_soon_as_their_lookahead_has_come_and_memory_is_bounded(light, make_counts, lookahead, hop):
    engine, counts = StreamingEngine(light, lookahead, hop), make_counts(19)
    state = engine.start(Shape(7, 11))
    for t in range(19):
        ready, state = engine.push(counts[t : t + 1], torch.ones(1), state)
        n_due = max((t + 1 - lookahead) // hop * hop, 0)
        assert state.first_pending == n_due
        assert len(ready) in (0, hop)
        assert len(state.pending) < lookahead + hop


def test_the_caller_owns_the_state(light, make_counts):
    engine, counts = StreamingEngine(light, 2, 2), make_counts(9)
    _, state = engine.push(counts[:4], torch.ones(4), engine.start(Shape(7, 11)))
    first, _ = engine.push(counts[4:], torch.ones(5), state)
    engine.flush(state)
    second, _ = engine.push(counts[4:], torch.ones(5), state)
    assert len(first) > 1
    assert all(torch.equal(a.probability, b.probability) for a, b in zip(first, second, strict=True))


def test_groups_are_aligned_with_the_absolute_window(light, make_counts):
    engine, counts = StreamingEngine(light, lookahead=1, hop=4), make_counts(9)
    state: StreamState = engine.start(Shape(7, 11), first_window=3)
    pictures, state = engine.push(counts, torch.ones(9), state)
    assert [(p.window, p.lookahead) for p in pictures] == [(3, 1), (4, 4), (5, 3), (6, 2), (7, 1)]
    assert [p.window for p in engine.flush(state)] == [8, 9, 10, 11]


def test_a_missing_window_is_not_an_empty_one(light, make_counts):
    counts, present = make_counts(9), torch.ones(9)
    counts[4] = 0
    missing = present.clone()
    missing[4] = 0
    engine = StreamingEngine(light, 2, 2)
    a, b = run(engine, counts, [9], present), run(engine, counts, [9], missing)
    assert torch.equal(a[0].probability, b[0].probability)
    assert all(not torch.equal(a[t].probability, b[t].probability) for t in range(2, 9))


def test_provisional_pictures_see_the_past_and_their_own_window(light, make_counts):
    counts = make_counts(7)
    engine = StreamingEngine(light, lookahead=2, hop=2, provisional=True)
    state, provisional, bounded = engine.start(Shape(7, 11)), [], []
    for t in range(7):
        ready, state = engine.push(counts[t : t + 1], torch.ones(1), state)
        provisional += [p for p in ready if p.stage == "provisional"]
        bounded += [p for p in ready if p.stage == "bounded"]
        assert ready[-1].window == t
    assert [(p.window, p.lookahead) for p in provisional] == [(t, 0) for t in range(7)]
    for p in provisional:
        offline = light.probability(light(counts[None, : p.window + 1]))[0, -1]
        assert (p.probability - offline).abs().max() <= TOLERANCE
    plain = run(StreamingEngine(light, 2, 2), counts, [7])
    assert bounded and all(torch.equal(p.probability, plain[p.window].probability) for p in bounded)


def test_an_empty_stream_flushes_nothing(network):
    engine = StreamingEngine(network)
    assert engine.flush(engine.start(Shape(5, 7))) == []


def test_odd_fields_come_back_in_their_own_size(network, make_counts):
    counts = make_counts(3, 37, 53)
    assert all(p.probability.shape == (37, 53) for p in run(StreamingEngine(network, 1, 1), counts, [3]))


@pytest.mark.parametrize(
    ("lookahead", "hop"), [pytest.param(-1, 1, id="negative-lookahead"), pytest.param(3, 0, id="no-hop")]
)
def test_impossible_schemes_are_refused(light, lookahead, hop):
    with pytest.raises(ModelError, match="expected lookahead >= 0 and hop >= 1"):
        StreamingEngine(light, lookahead, hop)


def test_a_network_in_training_is_refused():
    with pytest.raises(ModelError, match="evaluation mode"):
        StreamingEngine(LightNetwork().train())


def test_maps_of_another_shape_are_refused(light):
    engine = StreamingEngine(light)
    with pytest.raises(ModelError, match=r"expected maps \[T, 5, 7\]"):
        engine.push(torch.zeros(1, 7, 5), torch.ones(1), engine.start(Shape(5, 7)))
