from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch

from dblink_live.errors import ModelError
from dblink_live.models import DblinkConfig, DblinkNetwork, GatedConfig, GatedNetwork, LightConfig, LightNetwork
from dblink_live.models.convlstm import ConvLSTM

# Both sides run the same float32 operations on the same windows; only batching and padding differ, which moves a
# few roundings of 6e-8 through at most some dozens of steps.
TOLERANCE = 1e-5


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_papers_network_has_the_released_parameters_and_names():
    network = DblinkNetwork()
    names = {key.rsplit(".", 1)[0] for key in network.state_dict()}
    assert count(network) == 1_266_913
    assert count(network.conv_net) == 1_256_449
    assert count(network.forward_net) == count(network.reverse_net) == 5_232
    assert names == {
        *(f"{side}_net.cell_list.{n}.conv" for side in ("forward", "reverse") for n in (0, 1)),
        *(f"conv_net.{n}" for n in (0, 2, 4, 6)),
    }


def test_the_light_network_has_the_size_that_a_cpu_can_train():
    network = LightNetwork()
    recurrent = sum(p.numel() for p in network.forward_lstm.parameters() if p.ndim == 4)
    # Multiply-adds a pixel of the fine grid: each weight of the recurrent part is used once in 4 pixels.
    assert 300_000 < count(network) < 340_000
    assert 9_000 < recurrent / 4 < 11_000


def test_light_sizes_are_configurable():
    small, large = LightNetwork(LightConfig(hidden=(8,), head=(8, 8))), LightNetwork(LightConfig(hidden=(16, 32)))
    assert count(small) < count(LightNetwork()) < count(large)
    assert small(torch.ones(1, 2, 8, 8)).shape == (1, 2, 8, 8)


def test_gates_are_input_forget_output_candidate():
    lstm = ConvLSTM(1, (1,), kernel_size=3)
    wide_open, shut = 50.0, -50.0
    state = lstm.initial_state(1, 2, 2)
    inputs = torch.zeros(1, 3, 1, 2, 2)
    with torch.no_grad():
        lstm.cell_list[0].conv.weight.zero_()
        lstm.cell_list[0].conv.bias.copy_(torch.tensor([wide_open, wide_open, wide_open, math.atanh(0.5)]))
        outputs, _, (c,) = lstm(inputs, *state, "forward")
        assert torch.allclose(c, torch.full_like(c, 1.5))  # 0.5 per window, nothing forgotten
        assert torch.allclose(outputs[0, :, 0, 0, 0], torch.tensor([0.5, 1.0, 1.5]).tanh())
        for gate, expected in ((0, 0.0), (1, 0.5)):
            lstm.cell_list[0].conv.bias[gate] = shut
            _, _, (c,) = lstm(inputs, *state, "forward")
            assert torch.allclose(c, torch.full_like(c, expected), atol=1e-6)
            lstm.cell_list[0].conv.bias[gate] = wide_open
        lstm.cell_list[0].conv.bias[2] = shut
        outputs, _, _ = lstm(inputs, *state, "forward")
        assert outputs.abs().max() < 1e-6


def test_reverse_runs_from_the_last_window_to_the_first(network, make_counts):
    counts, present = make_counts(6)[None], torch.ones(1, 6)
    state = network.initial_state(1, *counts.shape[-2:])
    features, after = network.scan("reverse", [network.encode(counts, present).reverse], state)
    changed = counts.clone()
    changed[:, 2] += 1
    other, _ = network.scan("reverse", [network.encode(changed, present).reverse], state)
    assert torch.equal(features[:, 3:], other[:, 3:])
    assert all(not torch.equal(features[:, t], other[:, t]) for t in range(3))
    # Time order: the state after the scan belongs to the first window, whose features alone a scan can be asked for.
    first, again = network.scan("reverse", [network.encode(counts, present).reverse], state, 1)
    # Matrix products of other sizes are rounded otherwise.
    assert torch.allclose(first[:, 0], features[:, 0], rtol=1e-5, atol=1e-6)
    assert torch.equal(again.h[-1], after.h[-1])


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("cuts", [(1,) * 11, (4, 7), (5, 1, 5)], ids=str)
def test_a_scan_does_not_depend_on_where_it_is_cut(network, make_counts, direction, cuts):
    counts = make_counts(11)[None]
    present = torch.linspace(0, 1, 11)[None]
    start = network.initial_state(1, *counts.shape[-2:])
    whole, last = network.scan(direction, [getattr(network.encode(counts, present), direction)], start)
    spans, begin = [], 0
    for length in cuts:
        spans.append(slice(begin, begin + length))
        begin += length
    state, parts = start, {}
    for span in spans if direction == "forward" else reversed(spans):
        encoded = network.encode(counts[:, span], present[:, span])
        parts[span.start], state = network.scan(direction, [getattr(encoded, direction)], state)
    joined = torch.cat([parts[key] for key in sorted(parts)], dim=1)
    assert (whole - joined).abs().max() <= TOLERANCE
    assert all((a - b).abs().max() <= TOLERANCE for a, b in zip(last.c, state.c, strict=True))


@pytest.mark.parametrize(("height", "width"), [(37, 53), (1, 1), (4, 3), (2, 64)])
def test_any_field_size(network, make_counts, height, width):
    counts = make_counts(2, height, width)[None]
    logits = network(counts)
    assert logits.shape == counts.shape
    assert logits.isfinite().all()


def test_padding_is_the_same_as_an_empty_margin(light, make_counts):
    counts = make_counts(3, 10, 13)[None]
    framed = torch.zeros(1, 3, 12, 16)
    framed[..., :10, :13] = counts
    assert torch.equal(light(framed)[..., :10, :13], light(counts))


@pytest.mark.parametrize("shape", [(1, 0, 8, 8), (1, 3, 0, 8), (0, 2, 8, 8)], ids=str)
def test_nothing_in_nothing_out(network, shape):
    assert network(torch.zeros(shape)).shape == shape


def test_a_batch_is_its_videos_one_by_one(network, make_counts):
    videos = torch.stack([make_counts(4, seed=s) for s in range(3)])
    present = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 1], [0.5, 1, 1, 0]], dtype=torch.float32)
    alone = torch.cat([network(videos[b : b + 1], present[b : b + 1]) for b in range(3)])
    assert (network(videos, present) - alone).abs().max() <= TOLERANCE


def test_the_mask_tells_a_missing_window_from_an_empty_one(light, make_counts):
    counts, present = make_counts(6)[None], torch.ones(1, 6)
    counts[:, 3] = 0
    missing = present.clone()
    missing[:, 3] = 0
    assert (light(counts, present) - light(counts, missing)).abs().max() > 1e-3


def test_the_papers_network_knows_no_mask(make_counts):
    network, counts = DblinkNetwork().eval(), make_counts(3)[None]
    assert torch.equal(network(counts, torch.zeros(1, 3)), network(counts, torch.ones(1, 3)))


def test_leaky_averages_forget_and_do_not_grow_with_age():
    network = LightNetwork(LightConfig(time_constants=(4.0, 16.0)))
    counts, present = torch.ones(1, 200, 4, 4), torch.ones(1, 200)
    _, old = network.scan("forward", [(counts, present)], network.initial_state(1, 4, 4))
    assert torch.allclose(old.leaky, torch.ones_like(old.leaky), atol=1e-4)
    _, later = network.scan("forward", [(torch.zeros(1, 16, 4, 4), torch.zeros(1, 16))], old)
    assert torch.allclose(later.leaky[0, :5].mean(), torch.tensor(math.exp(-16 / 4)), atol=1e-4)
    assert torch.allclose(later.leaky[0, 5:].mean(), torch.tensor(math.exp(-16 / 16)), atol=1e-4)


def test_hundreds_of_counts_in_a_pixel_stay_tame(make_counts):
    network = LightNetwork().eval()
    logits = network(500 * make_counts(20)[None])
    assert logits.isfinite().all() and logits.abs().max() < 50


def test_sums_stay_float32_under_autocast(network, make_counts):
    counts = make_counts(3)[None]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        windows = network.encode(counts, torch.ones(1, 3)).forward
        _, state = network.scan("forward", [windows], network.initial_state(1, *counts.shape[-2:]))
    sums = state.h if isinstance(network, GatedNetwork) else state.c
    assert all(part.dtype == torch.float32 for part in sums)
    assert state.leaky is None or state.leaky.dtype == torch.float32


def test_detach_cuts_the_graph_and_keeps_the_values(make_counts):
    network, counts = LightNetwork(LightConfig(hidden=(4,), head=(4, 4))), make_counts(2)[None]
    _, state = network.scan("forward", [(counts, torch.ones(1, 2))], network.initial_state(1, *counts.shape[-2:]))
    cut = state.detach()
    assert state.c[0].requires_grad and not cut.c[0].requires_grad
    assert torch.equal(state.h[0], cut.h[0]) and torch.equal(state.c[0], cut.c[0])


def test_a_network_can_be_copied_and_pickled(network, make_counts):
    counts = make_counts(2)[None]
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(twin(counts), network(counts))


def test_gradients_reach_every_parameter(make_counts):
    torch.manual_seed(0)
    for network in (
        GatedNetwork(GatedConfig(encoder=4, hidden=4, head=16)),
        LightNetwork(LightConfig(hidden=(4, 4), head=(16, 16))),
        DblinkNetwork(),
    ):
        network(make_counts(3, 8, 8)[None]).square().mean().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_linear_output_is_scaled_and_clamped_but_not_while_training():
    network = DblinkNetwork(DblinkConfig(output_scale=1 / 255)).eval()
    linear = torch.tensor([-51.0, 51.0, 510.0])
    assert torch.allclose(network.probability(linear), torch.tensor([0.0, 0.2, 1.0]))
    assert torch.allclose(network.train().probability(linear), torch.tensor([-0.2, 0.2, 2.0]))


def test_an_untrained_light_network_expects_little_structure():
    torch.manual_seed(0)
    network = LightNetwork(LightConfig(initial_probability=0.1)).eval()
    # The rest of the untrained network adds a little to the bias that is meant here.
    mean = float(network.probability(network(torch.zeros(1, 1, 16, 16))).mean().detach())
    assert mean == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("shapes", [((1, 0, 8, 8), (1, 0)), ((2, 8, 8), (2, 8)), ((1, 2, 8, 8), (1, 3))], ids=str)
def test_encoding_refuses_other_shapes(network, shapes):
    counts, present = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(ModelError, match="expected counts"):
        network.encode(counts, present)
