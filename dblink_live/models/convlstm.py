"""Convolutional LSTM (Shi et al., NeurIPS 2015) that can be run over spans of any length, in either direction.

Each cell holds one convolution over the concatenation of its input and its hidden state, as is usual, so checkpoints of
that form load. It is *applied* in two halves: the input half for all windows of a span in one batched call, and only
the hidden half window by window. Cutting a sequence into spans changes nothing but the order of a few additions.

Shapes: B batch, T windows, C channels, H, W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

Direction = Literal["forward", "reverse"]


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

    def forward(self, inputs: Tensor, h: Tensor, c: Tensor, direction: Direction) -> tuple[Tensor, Tensor, Tensor]:
        """Run over ``inputs`` [B, T, C, H, W] from state ``h``, ``c`` [B, hidden, H, W].

        Returns the hidden states [B, T, hidden, H, W] in time order, whatever the direction, and the last h and c.
        ``c`` stays float32 under autocast: it is a sum over the whole stream, and half precision would drift.
        """
        batch, windows = inputs.shape[:2]
        n, padding = self.hidden_channels, self.conv.padding
        input_weight = self.conv.weight[:, : self.input_channels].contiguous()
        hidden_weight = self.conv.weight[:, self.input_channels :].contiguous()
        # [B, T, C, H, W] -> [B*T, 4n, H, W] -> [B, T, 4n, H, W]
        from_input = F.conv2d(inputs.flatten(0, 1), input_weight, self.conv.bias, padding=padding)
        from_input = torch.unflatten(from_input, 0, (batch, windows))
        order = range(windows) if direction == "forward" else range(windows - 1, -1, -1)
        hidden_states: list[Tensor] = []
        for t in order:
            gates = (from_input[:, t] + F.conv2d(h, hidden_weight, padding=padding)).float()
            i, f, o = gates[:, : 3 * n].sigmoid().chunk(3, dim=1)
            g = gates[:, 3 * n :].tanh()
            c = f * c + i * g
            h = o * c.tanh()
            hidden_states.append(h)
        if direction == "reverse":
            hidden_states.reverse()
        return torch.stack(hidden_states, dim=1), h, c


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
        outputs = inputs
        last_h: list[Tensor] = []
        last_c: list[Tensor] = []
        for cell, cell_h, cell_c in zip(self.cell_list, h, c, strict=True):
            outputs, cell_h, cell_c = cell(outputs, cell_h, cell_c, direction)
            last_h.append(cell_h)
            last_c.append(cell_c)
        return outputs, tuple(last_h), tuple(last_c)
