"""The network of the DBlink paper (Saguy et al., Nature Methods 2023), as its released code builds it.

Two independent two-layer ConvLSTMs with 4 hidden channels and 5x5 kernels read the raw counts; four 5x5 convolutions
decode their last hidden states. 1,266,913 parameters, of which the decoder holds 1,256,449. Parameter names are those
of the released code, so the authors' weights load. The network knows no mask: a missing window is an empty one.

Shapes: B batch, T windows, N pictures, C feature channels, H, W pixels of the fine grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
import torch
from torch import Tensor, nn

from dblink_live.models.convlstm import ConvLSTM, Direction
from dblink_live.models.network import BidirectionalNetwork, Decoded, DirectionState, Span, joined, last_of_scan

RELEASED_OUTPUT_SCALE = 1.0 / 255.0
"""The authors trained on targets in 0..255."""


class DblinkConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is not in the weights."""

    output_scale: Annotated[float, msgspec.Meta(gt=0.0)] = 1.0
    """Factor from the linear output to probability: 1 for targets in [0, 1], 1/255 for the authors' weights."""


class DblinkNetwork(BidirectionalNetwork):
    """The paper's bidirectional ConvLSTM.

    Examples
    --------
    >>> sum(p.numel() for p in DblinkNetwork().parameters())
    1266913
    """

    architecture: ClassVar[str] = "dblink"
    halo: ClassVar[int] = 32

    def __init__(self, config: DblinkConfig | None = None) -> None:
        super().__init__()
        self.config: DblinkConfig = config or DblinkConfig()
        self.forward_net = ConvLSTM(1, (4, 4), kernel_size=5)
        self.reverse_net = ConvLSTM(1, (4, 4), kernel_size=5)
        self.conv_net = nn.Sequential(
            nn.Conv2d(8, 128, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(128, 256, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 64, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(64, 1, 5, padding=2),
        )

    def initial_state(
        self, batch: int, height: int, width: int, device: torch.device | str | None = None
    ) -> DirectionState:
        h, c = self.forward_net.initial_state(batch, height, width, device)
        return DirectionState(h=h, c=c)

    def scan(
        self,
        direction: Direction,
        spans: Sequence[Span],
        state: DirectionState,
        n_features: int | None = None,
    ) -> tuple[Tensor, DirectionState]:
        counts, _ = joined(spans)  # the network knows no mask
        stack = self.forward_net if direction == "forward" else self.reverse_net
        features, h, c = stack(counts.unsqueeze(2), state.h, state.c, direction)
        return last_of_scan(direction, features, n_features), DirectionState(h=h, c=c)

    def decode(self, forward_features: Tensor, reverse_features: Tensor) -> Decoded:
        pictures: Tensor = self.conv_net(torch.cat([forward_features, reverse_features], dim=1))
        return Decoded(pictures.squeeze(1))

    def probability(self, logits: Tensor) -> Tensor:
        """The scaled linear output, clamped to [0, 1] in evaluation mode.

        In training mode it is not clamped: the paper's loss sees the linear output, and a clamp would stop the gradient
        of every structure pixel that starts below zero.
        """
        scaled = logits * self.config.output_scale
        return scaled if self.training else scaled.clamp(0.0, 1.0)
