"""Work that falls into independent parts, shared among the cores.

Arrays of a few thousand spots or a frame are too small for torch to divide, and compiled code divides nothing. So whole
parts go to threads: both let go of Python's lock while they compute.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")


def map_parts(work: Callable[[Part], Result], parts: Sequence[Part], device: torch.device) -> list[Result]:
    """``work`` on each of ``parts``, in their order, by as many threads as torch may use.

    On an accelerator, which queues its work, there is nothing to share.
    """
    n_threads = min(torch.get_num_threads(), len(parts)) if device.type == "cpu" else 1
    if n_threads <= 1:
        return [work(part) for part in parts]

    def infer(part: Part) -> Result:
        # Inference mode belongs to a thread.
        with torch.inference_mode():
            return work(part)

    return list(_pool(n_threads).map(infer, parts))


@cache
def _pool(n_threads: int) -> ThreadPoolExecutor:
    """Threads each of which computes alone: torch would divide their calls among all the cores once more."""
    usual = torch.get_num_threads()
    all_there = threading.Barrier(n_threads)
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="localize", initializer=_compute_alone)
    list(pool.map(lambda _: all_there.wait(), range(n_threads)))
    # What a thread has set is its own, and also what threads will begin with that are still to come.
    torch.set_num_threads(usual)
    return pool


def _compute_alone() -> None:
    torch.set_num_threads(1)
    # A thread takes over what was set last when it first asks, which must be now.
    torch.get_num_threads()
