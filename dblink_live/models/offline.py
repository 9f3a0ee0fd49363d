"""Whole videos at once: the full bidirectional pass in bounded memory, and the live scheme over stored maps.

The full pass needs the reverse direction at every window while the forward one advances. Its states are kept at a few
windows only and it is run again between them; `memory` says at which, so that a budget is held.

Shapes: T windows, H, W pixels of the fine grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dblink_live.device import resolve_device
from dblink_live.errors import ModelError
from dblink_live.models.checkpoint import Model, load_model
from dblink_live.models.maps import check_counts, check_maps
from dblink_live.models.memory import CheckpointPlan, step_windows
from dblink_live.models.network import BidirectionalNetwork, DirectionState, Span, crop
from dblink_live.models.streaming import Picture, StreamingEngine
from dblink_live.types import FloatImage, Shape

Lookahead = int | Literal["full"]

MIN_SPAN = 16
"""Windows between kept reverse states, at least."""


class CountsArray(Protocol):
    """Counts [T, H, W] that are read slice by slice: a NumPy array, or a stored one that is larger than memory."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, key: slice, /) -> npt.ArrayLike: ...


def reconstruct(
    counts: npt.ArrayLike | CountsArray,
    model: Model | str = "filaments",
    lookahead: Lookahead = "full",
    device: str | torch.device | None = None,
    hop: int = 4,
    on_progress: Callable[[int], None] = lambda n_done: None,
) -> npt.NDArray[np.float32]:
    """Reconstruct a whole video.

    Parameters
    ----------
    counts
        [T, H, W], integer or float, of any size: localizations per pixel and window, on the model's grid. What
        `bin_localizations` returns is checked for its pitch; a plain array is taken as maps on that grid.
    model
        A loaded model, or the name or path of one.
    lookahead
        "full", or the number of later windows that each picture sees at least, as in a live run.
    device
        Where a model that is given by name runs; "auto" when left out.
    hop
        With a bounded lookahead: windows that are reconstructed together.
    on_progress
        Called with the number of windows done so far.

    Returns
    -------
    float32 [T, H, W], the probability of structure.

    Raises
    ------
    ModelError
        The model is unknown, or the counts are on another grid, not finite, negative or not [T, H, W].

    Examples
    --------
    >>> from dblink_live.models import LightNetwork, Model
    >>> reconstruct(np.zeros((3, 5, 7)), Model.untrained(LightNetwork())).shape
    (3, 5, 7)
    """
    source = _as_source(counts)
    pictures = np.zeros(source.shape, dtype=np.float32)
    for window, picture in iter_reconstruct(source, model, lookahead, device, hop):
        pictures[window] = picture
        on_progress(window + 1)
    return pictures


def iter_reconstruct(
    counts: CountsArray,
    model: Model | str = "filaments",
    lookahead: Lookahead = "full",
    device: str | torch.device | None = None,
    hop: int = 4,
) -> Iterator[tuple[int, FloatImage]]:
    """As `reconstruct`, but picture by picture: (window, [H, W]) in order, for videos that are larger than memory."""
    if isinstance(model, str):
        model = load_model(model, device)
    elif device is not None and resolve_device(device) != model.device:
        raise ModelError(f"expected no device beside a loaded model, which is on {model.device}, found {device}")
    check_maps(counts, model)
    windows, height, width = _as_source(counts).shape
    if windows == 0 or height == 0 or width == 0:
        yield from ((t, np.zeros((height, width), np.float32)) for t in range(windows))
    elif lookahead == "full":
        yield from full_pass(model.network, counts)
    else:
        pictures = bounded_pass(StreamingEngine(model.network, lookahead, hop), counts)
        yield from ((picture.window, picture.probability.cpu().numpy()) for picture in pictures)


def full_pass(
    network: BidirectionalNetwork,
    counts: CountsArray,
    present: npt.NDArray[np.float32] | None = None,
    *,
    first: int = 0,
    plan: CheckpointPlan | None = None,
) -> Iterator[tuple[int, FloatImage]]:
    """The full bidirectional pass over ``counts`` [T, H, W], T >= 1: (window, probability [H, W]) in order.

    Equals ``network.forward`` over the whole video; ``counts`` is read a few times, a few windows at a time.

    Parameters
    ----------
    present
        [T], the share of each window's frames that were seen; all of them by default.
    first
        The first window whose picture is wanted. Pictures do not depend on it: of what comes before, the forward
        direction is run and nothing is decoded.
    plan
        Where reverse states are kept, see `plan_checkpoints`; by default every sqrt(T) windows.
    """
    windows, height, width = counts.shape
    device = next(network.parameters()).device
    step = step_windows(height, width)
    strides = (max(MIN_SPAN, math.isqrt(windows)),) if plan is None else plan.strides

    def load(start: int, stop: int) -> tuple[Tensor, Tensor]:
        mask = np.ones(stop - start, np.float32) if present is None else np.asarray(present[start:stop], np.float32)
        values = torch.from_numpy(check_counts(counts[start:stop], ndim=3))
        return values[None].to(device), torch.from_numpy(mask)[None].to(device)

    def sweep(start: int, stop: int, state: DirectionState) -> DirectionState:
        """The reverse state before ``start``, from the one after ``stop``."""
        with torch.inference_mode():
            for begin, end in reversed(_cut(start, stop, step)):
                _, state = network.scan("reverse", [network.encode(*load(begin, end)).reverse], state, 0)
        return state

    # Inference mode is entered for each piece of work: a generator must not leave it on for its caller meanwhile.
    with torch.inference_mode():
        state = network.initial_state(1, height, width, device)
        forward = state
        for begin, end in _cut(0, first, step):
            _, forward = network.scan("forward", [network.encode(*load(begin, end)).forward], forward, 0)
    for start, stop, after in _spans(sweep, first, windows, state, strides):
        held: list[tuple[Span, Tensor]] = []  # of each window, the last one first
        reverse = after
        for begin, end in reversed(_cut(start, stop, step)):
            with torch.inference_mode():
                encoded = network.encode(*load(begin, end))
                features, reverse = network.scan("reverse", [encoded.reverse], reverse)
                for t in range(end - begin - 1, -1, -1):
                    # Copies, so that nothing else of the span stays in memory.
                    forward_inputs = tuple(part[:, t : t + 1].clone() for part in encoded.forward)
                    held.append((forward_inputs, features[:, t].clone()))
        del after, reverse, encoded, features, forward_inputs  # they would count against the budget
        for window in range(start, stop):
            with torch.inference_mode():
                forward_inputs, reverse_features = held.pop()
                forward_features, forward = network.scan("forward", [forward_inputs], forward)
                decoded = network.decode(forward_features[:, 0], reverse_features)
                picture = network.probability(crop(decoded.logits, height, width))[0].cpu().numpy()
                del forward_inputs, reverse_features, forward_features, decoded
            yield window, picture


def _spans(
    sweep: Callable[[int, int, DirectionState], DirectionState],
    start: int,
    stop: int,
    state: DirectionState,
    strides: tuple[int, ...],
) -> Iterator[tuple[int, int, DirectionState]]:
    """Cut [start, stop) into spans of the last stride, in time order, each with the reverse state after it.

    ``state`` is the one after ``stop``. States are dropped as soon as their span was handed out.
    """
    stride, *finer = strides
    pieces = _cut(start, stop, stride)
    kept = [state]
    for begin, end in reversed(pieces[1:]):
        kept.append(sweep(begin, end, kept[-1]))
    del state
    for begin, end in pieces:
        if finer:
            yield from _spans(sweep, begin, end, kept.pop(), tuple(finer))
        else:
            yield begin, end, kept.pop()


def _cut(start: int, stop: int, stride: int) -> list[tuple[int, int]]:
    """[start, stop) in pieces of ``stride``, the last one shorter."""
    return [(begin, min(begin + stride, stop)) for begin in range(start, stop, stride)]


def bounded_pass(
    engine: StreamingEngine,
    counts: CountsArray,
    present: npt.NDArray[np.float32] | None = None,
    *,
    first: int = 0,
) -> Iterator[Picture]:
    """Return what a live stream through ``engine`` gives for ``counts`` [T, H, W], in order, from window ``first`` on.

    Pictures do not depend on ``first``: they are made in the same groups; of what comes before the group of ``first``
    the forward direction is run and nothing is decoded. Provisional pictures are left out.
    """
    windows, height, width = counts.shape
    state = engine.start(Shape(height, width))
    # Groups are aligned with the window index, and a group shares its reverse pass: it is made as a whole.
    group_start = first // engine.hop * engine.hop
    for t in range(windows):
        values = torch.from_numpy(check_counts(counts[t : t + 1], ndim=3))
        mask = torch.tensor([1.0 if present is None else float(present[t])])
        if t < group_start:
            state = engine.skip(values, mask, state)
            continue
        pictures, state = engine.push(values, mask, state)
        yield from (p for p in pictures if p.stage != "provisional" and p.window >= first)
    yield from (p for p in engine.flush(state) if p.window >= first)


def _as_source(counts: npt.ArrayLike | CountsArray) -> CountsArray:
    """``counts`` as something with a shape [T, H, W] that can be read slice by slice."""
    source: CountsArray = counts if hasattr(counts, "shape") else np.asarray(counts)  # type: ignore[assignment]
    if len(source.shape) != 3:
        raise ModelError(f"expected counts [T, H, W], found shape {tuple(source.shape)}")
    return source
