"""Convolutional LSTM (Shi et al., NeurIPS 2015) that can be run over spans of any length, in either direction.

Each window is one convolution over the concatenation of input and hidden state. The input's half could be computed for
a whole span in one batched call; on CPUs this was measured and is no faster, because the gates of a long span leave the
cache before they are used. One call a window also makes the result the same to the bit however a sequence is cut.

Shapes: B batch, T windows, C channels, H, W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Direction = Literal["forward", "reverse"]

CHANNELS_LAST_FROM = 8
"""Hidden channels from which a cell runs channels-last: on CPUs that is faster for 16, and slower for 4, whose gates
would lie in memory in too short pieces."""


class ConvLSTMCell(nn.Module):
    """One layer; gates in the order input, forget, output, candidate (i, f, o, g).

    Parameters
    ----------
    input_channels, hidden_channels
        Channels of the input and of the hidden state.
    kernel_size
        Odd side of the square kernel; zero padding keeps the field's size.
    forget_bias
        Initial bias of the forget gate; None leaves PyTorch's initialisation. A positive one makes an untrained cell
        remember (Gers et al., 2000; Jozefowicz et al., 2015).
    """

    def __init__(
        self, input_channels: int, hidden_channels: int, kernel_size: int, forget_bias: float | None = None
    ) -> None:
        super().__init__()
        self.input_channels = input_channels
        self.hidden_channels = hidden_channels
        self.conv = nn.Conv2d(
            input_channels + hidden_channels, 4 * hidden_channels, kernel_size, padding=kernel_size // 2
        )
        if forget_bias is not None and self.conv.bias is not None:
            with torch.no_grad():
                self.conv.bias[hidden_channels : 2 * hidden_channels] = forget_bias

    def forward(self, inputs: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """One window: ``inputs`` [B, C, H, W] and state ``h``, ``c`` [B, hidden, H, W] to the next h and c.

        ``c`` stays float32 under autocast: it is a sum over the whole stream, and half precision would drift.
        """
        n = self.hidden_channels
        layout = torch.channels_last if n >= CHANNELS_LAST_FROM else torch.contiguous_format
        stacked = torch.cat([inputs.contiguous(memory_format=layout), h.contiguous(memory_format=layout)], dim=1)
        gates = self.conv(stacked).float()
        i, f, o = gates[:, : 3 * n].sigmoid().chunk(3, dim=1)
        c = f * c + i * _tanh(gates[:, 3 * n :])
        return o * _tanh(c), c


def _tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent; on CPUs by way of the sigmoid, which takes PyTorch a third of the time."""
    return 2.0 * torch.sigmoid(2.0 * x) - 1.0 if x.device.type == "cpu" else x.tanh()


class ConvLSTM(nn.Module):
    """A stack of cells, each fed with the hidden states of the one below.

    Parameters
    ----------
    input_channels
        Channels of the stack's input.
    hidden_channels
        Channels of each layer's hidden state, from the bottom.
    kernel_size, forget_bias
        As for `ConvLSTMCell`.
    """

    def __init__(
        self,
        input_channels: int,
        hidden_channels: Sequence[int],
        kernel_size: int,
        forget_bias: float | None = None,
    ) -> None:
        super().__init__()
        inputs = (input_channels, *hidden_channels[:-1])
        self.cell_list = nn.ModuleList(
            ConvLSTMCell(i, n, kernel_size, forget_bias) for i, n in zip(inputs, hidden_channels, strict=True)
        )
        self.hidden_channels = tuple(hidden_channels)

    def initial_state(
        self, batch: int, height: int, width: int, device: torch.device | str | None = None
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Zero h and c of each layer, [B, hidden, H, W] float32."""
        shapes = [(batch, n, height, width) for n in self.hidden_channels]
        h = tuple(torch.zeros(shape, dtype=torch.float32, device=device) for shape in shapes)
        c = tuple(torch.zeros(shape, dtype=torch.float32, device=device) for shape in shapes)
        return h, c

    def forward(
        self, inputs: Tensor, h: tuple[Tensor, ...], c: tuple[Tensor, ...], direction: Direction
    ) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Run over ``inputs`` [B, T, C, H, W], T >= 1.

        Returns the top layer's hidden states [B, T, hidden, H, W] in time order and the last h and c of each layer.
        """
        windows = list(inputs.unbind(1))
        if direction == "reverse":
            windows.reverse()
        last_h: list[Tensor] = []
        last_c: list[Tensor] = []
        for cell, cell_h, cell_c in zip(self.cell_list, h, c, strict=True):
            for t, window in enumerate(windows):
                cell_h, cell_c = cell(window, cell_h, cell_c)
                windows[t] = cell_h
            last_h.append(cell_h)
            last_c.append(cell_c)
        if direction == "reverse":
            windows.reverse()
        return torch.stack(windows, dim=1), tuple(last_h), tuple(last_c)
