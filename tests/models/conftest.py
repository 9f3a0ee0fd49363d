"""Small networks with lively outputs: with fresh weights pictures hardly vary, and every comparison would pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from dblink_live.models import (
    BidirectionalNetwork,
    DblinkNetwork,
    GatedConfig,
    GatedNetwork,
    LightConfig,
    LightNetwork,
    Model,
)

SMALL_LIGHT = LightConfig(hidden=(8, 8), head=(8, 16))
SMALL_GATED = GatedConfig(encoder=8, hidden=12, head=16, error=8)


def build_lively(architecture: str) -> BidirectionalNetwork:
    """A network whose pictures vary by tenths between neighbouring pixels and windows."""
    generator = torch.Generator().manual_seed(7)
    network: GatedNetwork | LightNetwork | DblinkNetwork
    if architecture == "gated":
        network = GatedNetwork(SMALL_GATED)
    else:
        network = LightNetwork(SMALL_LIGHT) if architecture == "light" else DblinkNetwork()
    network.eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(0.0, 1.5 / parameter[0].numel() ** 0.5 if parameter.ndim == 4 else 0.1, generator=generator)
    # Scale the last layer to pictures around the middle of the range, away from where they saturate.
    mean, spread = (0.5, 0.1) if isinstance(network, DblinkNetwork) else (0.0, 0.5)
    if isinstance(network, GatedNetwork):
        weight, bias = network.head.last.weight, network.head.last.bias
    elif isinstance(network, LightNetwork):
        weight, bias = network.head.last.weight, network.head.bias
    else:
        weight, bias = network.conv_net[6].parameters()
    sample = torch.poisson(torch.full((1, 8, 16, 16), 0.3), generator=generator)
    weight.mul_(spread / network(sample).std(dim=1).mean())
    bias.add_(mean - network(sample).mean())
    return network


@pytest.fixture(params=["gated", "light", "dblink"])
def network(request: pytest.FixtureRequest) -> BidirectionalNetwork:
    return build_lively(request.param)


@pytest.fixture
def light() -> BidirectionalNetwork:
    return build_lively("light")


@pytest.fixture
def gated() -> BidirectionalNetwork:
    return build_lively("gated")


@pytest.fixture
def light_model(light: BidirectionalNetwork) -> Model:
    return Model.untrained(light)


@pytest.fixture
def make_counts() -> Callable[..., torch.Tensor]:
    def make(windows: int, height: int = 7, width: int = 11, seed: int = 0, mean: float = 0.3) -> torch.Tensor:
        """[T, H, W] float32 counts."""
        return torch.poisson(torch.full((windows, height, width), mean), generator=torch.Generator().manual_seed(seed))

    return make
