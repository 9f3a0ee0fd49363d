"""Building blocks of the localizer networks, and their preparation for inference."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


class Block(nn.Sequential):
    """Convolution, normalisation, rectification; a stride other than 1 is a kernel without overlap."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )

    def fuse(self) -> None:
        """Fold the normalisation into the convolution, and rectify in place, for good."""
        convolution, normalisation = self[0], self[1]
        if isinstance(convolution, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d):
            self[0], self[1] = fuse_conv_bn_eval(convolution, normalisation), nn.Identity()
            self[2] = nn.ReLU(inplace=True)


def fuse(network: AnyNetwork) -> AnyNetwork:
    """Make ``network`` one for inference, in place: every `Block`'s normalisation is folded into its convolution."""
    network.eval()
    for block in list(network.modules()):
        if isinstance(block, Block):
            block.fuse()
    return network.requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
