"""Runs the network as ``reconstruct.engine`` says, and moves counts to its device and pictures back.

On a CUDA device counts are uploaded as uint16 from pinned memory, on a stream of their own, so that the copy overlaps
with computing; the pictures of a hop come back in one copy. With ``bfloat16`` convolutions run in half precision, while
states and sums stay float32 (the networks see to that). ``compile`` hands the network's three functions to
torch.compile: maps of one live region have one shape, so each is compiled once, and on CUDA replayed as a graph.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dblink_live.errors import ModelError
from dblink_live.models import BidirectionalNetwork, Model
from dblink_live.models.network import with_bfloat16_weights
from dblink_live.models.streaming import Picture
from dblink_live.types import CountImage, FloatImage

Engine = Literal["auto", "eager", "bfloat16", "compile"]


class NetworkRunner:
    """The network of one run, on one device.

    Parameters
    ----------
    model
        Loaded onto the device that is to be used.
    engine
        "auto" is "eager" here: PyTorch as it is, float32. A live run with a pace has made its choice before
        (`dblink_live.pipeline.live_run.forecast_of`).

    Raises
    ------
    ModelError
        There is no compiler for "compile".
    """

    def __init__(self, model: Model, engine: Engine = "auto") -> None:
        self.device = model.device
        self.engine = "eager" if engine == "auto" else engine
        self.network: BidirectionalNetwork = model.network
        if self.device.type == "cuda":
            self.network = copy.deepcopy(self.network)
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # PyTorch types lack it
        if self.engine == "bfloat16":
            self.network = with_bfloat16_weights(self.network)
        if self.engine == "compile":
            self.network = _compiled(self.network, self.device)
        self._copies = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def computing(self) -> AbstractContextManager[object]:
        """Within it the network computes in the precision that was asked for."""
        if self.engine == "bfloat16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def upload(self, counts: CountImage) -> Tensor:
        """Counts [H, W], a part of a map or all of it, as float32 [1, H, W] on the device."""
        if self._copies is None:
            return torch.from_numpy(np.ascontiguousarray(counts, dtype=np.float32))[None]
        pinned = torch.from_numpy(np.ascontiguousarray(counts)).pin_memory()
        with torch.cuda.stream(self._copies):
            moved = pinned.to(self.device, non_blocking=True)
        computing = torch.cuda.current_stream(self.device)
        computing.wait_stream(self._copies)
        moved.record_stream(computing)
        return moved.to(torch.float32)[None]

    def download(self, pictures: Sequence[Picture]) -> list[tuple[FloatImage, FloatImage | None]]:
        """Probability of structure and predicted error [H, W] float32 of each picture, all in one copy."""
        maps = [picture.probability.float() for picture in pictures]
        maps += [picture.error.float() for picture in pictures if picture.error is not None]
        images = iter(self._to_host(maps))
        probabilities = [next(images) for _ in pictures]
        errors = [None if picture.error is None else next(images) for picture in pictures]
        return list(zip(probabilities, errors, strict=True))

    def _to_host(self, maps: list[Tensor]) -> list[FloatImage]:
        if self._copies is None or not maps:
            return [map.numpy() for map in maps]
        stacked = torch.stack(maps)
        pinned = torch.empty(stacked.shape, dtype=stacked.dtype, pin_memory=True)
        pinned.copy_(stacked, non_blocking=True)
        torch.cuda.current_stream(self.device).synchronize()
        return list(pinned.numpy())


def _compiled(network: BidirectionalNetwork, device: torch.device) -> BidirectionalNetwork:
    """A copy of ``network`` whose functions are compiled when they are first called."""
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    try:
        # Found out here, before anything starts, and not at the first window.
        torch.compile(_probe)(torch.ones(8, device=device))
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"expected a compiler for reconstruct.engine = 'compile' (on a CPU a C++ compiler), found: {reason}; "
            "install one, or take the engine eager"
        ) from error
    compiled = copy.deepcopy(network)
    for name in ("encode", "scan", "decode"):
        setattr(compiled, name, torch.compile(getattr(compiled, name), mode=mode, dynamic=False))
    return compiled


def _probe(x: Tensor) -> Tensor:
    return torch.sin(x) + x * 2
