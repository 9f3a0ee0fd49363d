"""The gated network: what it costs, and that its reverse pass costs little."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dblink_live.models import (
    BidirectionalNetwork,
    GatedConfig,
    GatedNetwork,
    LightNetwork,
    StreamingEngine,
    build_network,
)
from dblink_live.types import Shape

SIDE = 64
MAX_MULTIPLY_ADDS = 20_000
Counts = Callable[..., torch.Tensor]


def multiply_adds(network: BidirectionalNetwork, lookahead: int, hop: int) -> float:
    """Per pixel and picture of a stream that has been running for a while."""
    engine = StreamingEngine(network.eval(), lookahead, hop)
    state = engine.start(Shape(SIDE, SIDE))
    windows = 4 * hop
    _, state = engine.push(torch.ones(lookahead + hop, SIDE, SIDE), torch.ones(lookahead + hop), state)
    with FlopCounterMode(display=False) as counter:
        pictures, _ = engine.push(torch.ones(windows, SIDE, SIDE), torch.ones(windows), state)
    assert len(pictures) == windows
    return counter.get_total_flops() / 2 / (windows * SIDE**2)


def test_a_picture_costs_few_multiply_adds_at_any_hop() -> None:
    network = GatedNetwork(GatedConfig(error=12))
    assert multiply_adds(network, lookahead=8, hop=1) < MAX_MULTIPLY_ADDS
    assert multiply_adds(network, lookahead=8, hop=4) < MAX_MULTIPLY_ADDS
    assert multiply_adds(LightNetwork(), lookahead=8, hop=4) > 3.5 * multiply_adds(network, lookahead=8, hop=4)


def test_the_cost_hardly_grows_with_the_lookahead() -> None:
    network = GatedNetwork()
    assert multiply_adds(network, lookahead=32, hop=1) < 1.15 * multiply_adds(network, lookahead=8, hop=1)


def test_the_state_stays_bounded_over_thousands_of_windows(make_counts: Counts) -> None:
    network = build_network("gated").eval()
    counts = make_counts(50, 8, 8)[None]
    with torch.no_grad():
        windows = network.encode(counts, torch.ones(1, 50)).forward
        state, sizes = network.initial_state(1, 8, 8), []
        for _ in range(40):
            _, state = network.scan("forward", [windows], state, 0)
            sizes.append(float(state.h[0].abs().max()))
        largest_candidate = float(windows[3].abs().max())
    assert sizes[-1] <= largest_candidate
    assert sizes[-1] == pytest.approx(sizes[20], rel=0.01)


def test_errors_are_predicted_where_the_network_has_the_branch(gated: GatedNetwork, make_counts: Counts) -> None:
    engine = StreamingEngine(gated, lookahead=1, hop=1)
    pictures, _ = engine.push(make_counts(3), torch.ones(3), engine.start(Shape(7, 11)))
    for picture in pictures:
        assert picture.error is not None
        assert picture.error.shape == (7, 11)
        assert 0 <= float(picture.error.min()) < float(picture.error.max()) <= 1
    plain = StreamingEngine(build_network("gated").eval(), lookahead=1, hop=1)
    pictures, _ = plain.push(make_counts(3), torch.ones(3), plain.start(Shape(7, 11)))
    assert all(picture.error is None for picture in pictures)


def test_no_gradient_of_the_error_reaches_the_picture(make_counts: Counts) -> None:
    network = GatedNetwork(GatedConfig(encoder=4, hidden=4, head=8, error=4))
    encoded = network.encode(make_counts(2, 8, 8)[None], torch.ones(1, 2))
    start = network.initial_state(1, 8, 8)
    features = [
        network.scan("forward", [encoded.forward], start)[0][:, 0],
        network.scan("reverse", [encoded.reverse], start)[0][:, 0],
    ]
    error_logits = network.decode(*features).error_logits
    assert error_logits is not None
    error_logits.sum().backward()
    touched = {name for name, weight in network.named_parameters() if weight.grad is not None}
    assert touched
    assert all(name.startswith("head.error.") for name in touched)
