"""Everything that training changes from step to step, and nothing else: what has to be saved to go on exactly.

Clips need no place here: they are a function of the settings and the step (`dblink_live.train.reconstruction.dataset`).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import torch

from dblink_live.models import BidirectionalNetwork
from dblink_live.train.reconstruction.curve import CurvePoint
from dblink_live.train.reconstruction.settings import TrainingSettings


@dataclass
class TrainingState:
    """Network, its average, the optimizer and the counters of a run."""

    network: BidirectionalNetwork
    average: BidirectionalNetwork
    """Moving average of the network's weights, in evaluation mode: it scores better than the last step's."""
    optimizer: torch.optim.Adam
    plateau: torch.optim.lr_scheduler.ReduceLROnPlateau
    """Lowers the optimizer's learning rate; asked for where the settings' schedule is "plateau"."""
    step: int = 0
    """Steps done."""
    loss: float = math.nan
    """Exponential average over about 100 steps."""
    validation_loss: float = math.nan
    """Of the average, when it was measured last."""
    elapsed_s: float = 0.0
    """Wall-clock time used, over all the processes that the run was taken up in."""
    curve: list[CurvePoint] = field(default_factory=list)

    @property
    def learning_rate(self) -> float:
        """Of all weights in the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate


def begin(network: BidirectionalNetwork, settings: TrainingSettings) -> TrainingState:
    """The state before the first step of training ``network``, on whose device it lies."""
    average = copy.deepcopy(network).eval()
    average.requires_grad_(False)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, betas=settings.adam_betas)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=settings.plateau_patience)
    return TrainingState(network, average, optimizer, plateau)
