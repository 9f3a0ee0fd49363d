"""What the full pass keeps in memory, and how it is cut up so that it fits into a budget; what a live stream keeps.

The reverse direction's states are kept at a few windows and recomputed between them (Chen et al., 2016). With one
stride S over T windows, T/S states and the features of S windows are held, and the reverse direction is run twice:
memory grows with the square root of T. Where that is too much, the stretch between two kept states is cut up in the
same way again, at the price of one more reverse run a level (as in Griewank & Walther, 2000, with equal parts).
"""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from dblink_live.models.network import BidirectionalNetwork, DirectionState
from dblink_live.models.streaming import StreamingEngine
from dblink_live.types import Shape

MAX_LEVELS = 6
"""Reverse runs beside the one that gives the features; 6 of them cut 100,000 windows down to 7 states a level."""
STEP_WINDOWS = 8
STEP_PIXELS = 1 << 19
"""Windows of a small field are scanned a few at a time, for speed; large ones singly, for memory."""
WORKSPACE = 1.5
"""Bytes that a convolution library takes beside PyTorch's own tensors, as a factor on the working memory: see
``benchmarks/refine.py``."""


@dataclass(frozen=True)
class PassMemory:
    """Bytes that a pass over a field of one size takes."""

    state: int
    """One kept state of one direction."""
    window: int
    """One window that is held: what is known of it for the forward direction, and its reverse features."""
    working: int
    """While a step of windows is scanned, or a picture is decoded."""


@dataclass(frozen=True)
class CheckpointPlan:
    """Where the full pass keeps reverse states."""

    strides: tuple[int, ...]
    """Windows between kept states, from the coarsest level down; of the last stride the features are held."""
    bytes: int
    """What the pass takes with it, at most."""


def measure_pass(network: BidirectionalNetwork, height: int, width: int) -> PassMemory:
    """Return what a pass of ``network`` over maps of ``height`` x ``width`` takes, by a rehearsal without data.

    The network is run on PyTorch's meta device, where tensors have sizes and no contents, while their bytes are
    counted: so the answer holds for any architecture, configuration and field, and costs milliseconds.
    """
    rehearsed = copy.deepcopy(network).to("meta")
    step = step_windows(height, width)
    with torch.no_grad(), _LiveBytes() as live:
        state = rehearsed.initial_state(1, height, width, "meta")
        counts = torch.zeros((1, step, height, width), device="meta")
        present = torch.ones((1, step), device="meta")
        before = live.now
        encoded = rehearsed.encode(counts, present)
        features, _ = rehearsed.scan("reverse", [encoded.reverse], state)
        scanning = live.peak - before
        held = sum(part.numel() * part.element_size() for part in encoded.forward)
        live.peak = before = live.now
        decoded = rehearsed.decode(features[:, 0], features[:, 0])
        rehearsed.probability(decoded.logits)
        decoding = live.peak - before
    # The forward state and features of the window at hand, and its picture, are there as well.
    own = _state_bytes(state) + features.nbytes // step + 2 * counts.nbytes // step
    return PassMemory(
        state=_state_bytes(state),
        window=(features.nbytes + held) // step,
        working=own + round(WORKSPACE * max(scanning, decoding)),
    )


def measure_stream(network: BidirectionalNetwork, lookahead: int, hop: int, shape: Shape) -> int:
    """Return the bytes that a live stream over maps of ``shape`` takes at most, by a rehearsal without data.

    Hops are decoded as a CUDA device decodes them, all their pictures at once. See `measure_pass`.
    """
    engine = StreamingEngine(copy.deepcopy(network).to("meta"), lookahead, hop, n_together=hop)
    counts = torch.zeros((1, *shape), device="meta")
    present = torch.ones(1, device="meta")
    with _LiveBytes() as live:
        state = engine.start(shape)
        kept: int = 0
        for _ in range(lookahead + 2 * hop):
            _, state = engine.push(counts, present, state)
            kept = max(kept, live.now)
    return kept + int(WORKSPACE * (live.peak - kept))


def step_windows(height: int, width: int) -> int:
    """Windows of a field that are scanned in one call."""
    return max(1, min(STEP_WINDOWS, STEP_PIXELS // max(height * width, 1)))


def plan_checkpoints(n_windows: int, memory: PassMemory, budget_bytes: int) -> CheckpointPlan | None:
    """The plan with the fewest reverse runs that fits into ``budget_bytes``; None where none does.

    Examples
    --------
    >>> memory = PassMemory(state=300, window=100, working=1000)
    >>> plan_checkpoints(400, memory, 50_000)  # everything fits: no state is kept
    CheckpointPlan(strides=(400,), bytes=41300)
    >>> plan_checkpoints(400, memory, 9_000)
    CheckpointPlan(strides=(31,), bytes=8000)
    >>> plan_checkpoints(400, memory, 6_000)
    CheckpointPlan(strides=(80, 16), bytes=5600)
    >>> plan_checkpoints(400, memory, 5_000) is None
    True
    """
    plans = (_plan_of_levels(max(n_windows, 1), levels, memory) for levels in range(MAX_LEVELS + 1))
    return next((plan for plan in plans if plan.bytes <= budget_bytes), None)


def min_plan(n_windows: int, memory: PassMemory) -> CheckpointPlan:
    """The plan that takes the least memory."""
    plans = (_plan_of_levels(max(n_windows, 1), levels, memory) for levels in range(MAX_LEVELS + 1))
    return min(plans, key=lambda plan: plan.bytes)


def _plan_of_levels(n_windows: int, levels: int, memory: PassMemory) -> CheckpointPlan:
    """The least memory that ``levels`` levels of kept states can do with."""
    if levels == 0:
        return _plan((n_windows,), n_windows, memory)
    # For a held span of s windows the levels above cut T/s into equal parts; the best s is searched on a fine ladder.
    ladder = sorted({min(n_windows, round(1.1**power)) for power in range(math.ceil(math.log(n_windows, 1.1)) + 1)})
    return min((_plan(_strides(n_windows, span, levels), n_windows, memory) for span in ladder), key=lambda p: p.bytes)


def _strides(n_windows: int, span: int, levels: int) -> tuple[int, ...]:
    ratio = (n_windows / span) ** (1 / levels)
    return tuple(max(span, round(span * ratio ** (level - 1))) for level in range(levels, 0, -1))


def _plan(strides: tuple[int, ...], n_windows: int, memory: PassMemory) -> CheckpointPlan:
    longer = (n_windows, *strides[:-1])
    n_states = sum(-(-stretch // stride) for stretch, stride in zip(longer, strides, strict=True))
    return CheckpointPlan(strides, n_states * memory.state + strides[-1] * memory.window + memory.working)


def _state_bytes(state: DirectionState) -> int:
    tensors = [*state.h, *state.c, *([] if state.leaky is None else [state.leaky])]
    return sum(tensor.nbytes for tensor in tensors)


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # of PyTorch
    """Counts the bytes of the tensors that are alive, and the most there were at a time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._sizes: dict[int, int] = {}
        self.now = 0
        self.peak = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in pytree.tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in self._sizes:
                    self._sizes[key] = storage.nbytes()
                    self.now += self._sizes[key]
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self._forget, key)
        return result

    def _forget(self, key: int) -> None:
        self.now -= self._sizes.pop(key, 0)
