"""Several processes that train one network: each has its own clips, gradients are averaged after every step.

Started with torchrun, which sets what each process needs to know:

    torchrun --nproc-per-node 2 -m dblink_live train --config F.toml --out CKPT

Two processes of one thread each use two cores better than one process of two threads: the convolutions of a clip are
too small to be shared. On several GPUs it is the usual data parallelism.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn


@contextmanager
def joined_workers() -> Iterator[None]:
    """Join the other processes of a torchrun launch for the length of a block; nothing where there are none."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    has_nccl = torch.cuda.is_available() and dist.is_nccl_available()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    # NCCL carries tensors of a CUDA device alone, takes one process per card, and is not built for Windows.
    dist.init_process_group("cpu:gloo,cuda:nccl" if has_nccl else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process, 0 where it is alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def n_workers() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Return whether this process is the one that prints and writes; known before the others are joined."""
    return os.environ.get("RANK", "0") == "0"


def own_device(device: torch.device) -> torch.device:
    """``device``, but of several GPUs in one machine the one that belongs to this process."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


def share_weights(network: nn.Module) -> None:
    """Give every process the weights of the first."""
    if dist.is_initialized():
        for value in network.state_dict().values():
            dist.broadcast(value, src=0)


def average_gradients(network: nn.Module) -> None:
    """Replace each gradient by its mean over the processes."""
    if not dist.is_initialized():
        return
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):  # type: ignore[no-untyped-call]
        gradient.copy_(mean.view_as(gradient))


def largest(value: float) -> float:
    """The largest ``value`` of any process, so that all of them end with the same step."""
    return _reduced(value, dist.ReduceOp.MAX)


def total(value: float) -> float:
    """The sum of the values of all processes."""
    return _reduced(value, dist.ReduceOp.SUM)


def _reduced(value: float, operation: dist.ReduceOp.RedOpType) -> float:
    if not dist.is_initialized():
        return value
    tensor = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(tensor, op=operation)
    return float(tensor)
