"""The operating threshold."""

from __future__ import annotations

import math

import torch

from dblink_live.models import LightNetwork
from dblink_live.train.reconstruction.threshold import calibrate_threshold


def test_the_threshold_keeps_what_is_drawn_as_structure() -> None:
    # Everywhere 0.305: a threshold above draws nothing, so the best one lies below.
    network = LightNetwork().eval()
    with torch.no_grad():
        network.head.last.weight.zero_()
        network.head.bias.fill_(math.log(0.305 / 0.695))
    found = calibrate_threshold(network, ("default", "mitochondria"), videos_each=1, n_windows=3)
    assert 0.1 <= found <= 0.3
