from __future__ import annotations

import pytest

from dblink_live.models import DblinkNetwork, GatedNetwork, LightNetwork, PassMemory, measure_pass, plan_checkpoints

MEMORY = PassMemory(state=300, window=100, working=1000)


def test_the_rehearsal_counts_what_the_network_holds():
    light = measure_pass(LightNetwork(), 64, 96)
    # At half resolution: two layers of h and c with 16 channels, and 3 leaky averages of 5 planes; 4 bytes each.
    assert light.state == (4 * 16 + 15) * 32 * 48 * 4
    # 16 hidden channels and the averages, and the counts themselves with their share of frames.
    assert light.window == ((16 + 15) * 32 * 48 + 64 * 96 + 1) * 4
    gated = measure_pass(GatedNetwork(), 64, 96)
    # At quarter resolution: 64 hidden channels, and 4 leaky averages of 16 planes; 4 of the share of frames seen.
    assert gated.state == ((64 + 4 * 16) * 16 * 24 + 4) * 4
    # 64 features; and the window's 17 planes, gates and candidates.
    assert gated.window == ((64 + 16 + 2 * 64) * 16 * 24 + 1) * 4
    dblink = measure_pass(DblinkNetwork(), 64, 96)
    # The decoder's widest moment: 128 channels in, 256 out, at full resolution.
    assert dblink.working > (128 + 256) * 64 * 96 * 4
    # The network that was asked is as it was.
    network = DblinkNetwork()
    measure_pass(network, 8, 8)
    assert all(parameter.device.type == "cpu" for parameter in network.parameters())


def test_a_pass_takes_what_its_field_takes():
    small, large = measure_pass(LightNetwork(), 1024, 1024), measure_pass(LightNetwork(), 1024, 2048)
    assert large.state == 2 * small.state
    assert large.working == pytest.approx(2 * small.working, rel=0.01)


@pytest.mark.parametrize("n_windows", [1, 2, 17, 400, 6000])
@pytest.mark.parametrize("budget", [1_500, 3_000, 10_000, 1_000_000])
def test_a_plan_keeps_its_budget(n_windows, budget):
    plan = plan_checkpoints(n_windows, MEMORY, budget)
    if plan is None:
        assert budget < 7_300  # the least that 6,000 windows can do with: 6 levels of 3 or 4 states
        return
    assert plan.bytes <= budget
    assert list(plan.strides) == sorted(plan.strides, reverse=True)
    assert plan.strides[-1] >= 1


def test_more_memory_never_means_more_work():
    levels = [len(plan_checkpoints(6000, MEMORY, budget).strides) for budget in (7_500, 10_000, 30_000, 1_000_000)]
    assert levels == sorted(levels, reverse=True)
    assert plan_checkpoints(6000, MEMORY, 1_000_000).strides == (6000,)
