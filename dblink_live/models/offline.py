"""Whole videos at once: the full bidirectional pass in bounded memory, and the live scheme over stored maps.

The full pass needs the reverse direction at every window while the forward one advances. Its states are kept at a few
windows only and it is run again between them (Chen et al., 2016: recomputation from checkpoints), so memory grows with
the square root of the number of windows, and the reverse direction is computed twice.

Shapes: T windows, H, W pixels of the fine grid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dblink_live.errors import ModelError
from dblink_live.models.checkpoint import Model, load_model
from dblink_live.models.device import resolve_device
from dblink_live.models.maps import check_counts
from dblink_live.models.network import BidirectionalNetwork, crop
from dblink_live.models.streaming import StreamingEngine
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
) -> npt.NDArray[np.float32]:
    """Reconstruct a whole video.

    Parameters
    ----------
    counts
        [T, H, W], integer or float, of any size: localizations a pixel and window, on the model's grid.
    model
        A loaded model, or the name or path of one.
    lookahead
        "full", or the number of later windows that each picture sees at least, as in a live run.
    device
        Where a model that is given by name runs; "auto" when left out.
    hop
        With a bounded lookahead: windows that are reconstructed together.

    Returns
    -------
    float32 [T, H, W], the probability of structure.

    Raises
    ------
    ModelError
        The model is unknown, or the counts are not finite, negative or not [T, H, W].

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
    windows, height, width = _as_source(counts).shape
    if windows == 0 or height == 0 or width == 0:
        yield from ((t, np.zeros((height, width), np.float32)) for t in range(windows))
    elif lookahead == "full":
        yield from full_pass(model.network, counts)
    else:
        yield from bounded_pass(StreamingEngine(model.network, lookahead, hop), counts)


def full_pass(
    network: BidirectionalNetwork, counts: CountsArray, present: npt.NDArray[np.float32] | None = None
) -> Iterator[tuple[int, FloatImage]]:
    """The full bidirectional pass over ``counts`` [T, H, W], T >= 1: (window, probability [H, W]) in order.

    ``present`` [T] is the share of each window's frames that were seen, all of them by default. Equals
    ``network.forward`` over the whole video; ``counts`` is read three times, a span at a time.
    """
    windows, height, width = counts.shape
    device = next(network.parameters()).device
    span = max(MIN_SPAN, math.isqrt(windows))
    spans = [(start, min(start + span, windows)) for start in range(0, windows, span)]

    def load(start: int, stop: int) -> tuple[Tensor, Tensor]:
        mask = np.ones(stop - start, np.float32) if present is None else np.asarray(present[start:stop], np.float32)
        values = torch.from_numpy(check_counts(counts[start:stop], ndim=3))
        return values[None].to(device), torch.from_numpy(mask)[None].to(device)

    # Inference mode is entered for each piece of work: a generator must not leave it on for its caller meanwhile.
    with torch.inference_mode():
        state = network.initial_state(1, height, width, device)
        forward = state
        before_span = []
        for start, stop in reversed(spans):
            before_span.append(state)
            if start:
                _, state = network.scan("reverse", *load(start, stop), state)
    for start, stop in spans:
        with torch.inference_mode():
            values, mask = load(start, stop)
            reverse_features, _ = network.scan("reverse", values, mask, before_span.pop())
        for t in range(stop - start):
            with torch.inference_mode():
                features, forward = network.scan("forward", values[:, t : t + 1], mask[:, t : t + 1], forward)
                logits = crop(network.decode(features[:, 0], reverse_features[:, t]), height, width)
                picture = network.probability(logits)[0].cpu().numpy()
            yield start + t, picture


def bounded_pass(
    engine: StreamingEngine, counts: CountsArray, present: npt.NDArray[np.float32] | None = None
) -> Iterator[tuple[int, FloatImage]]:
    """What a live stream through ``engine`` gives for ``counts`` [T, H, W]: (window, probability [H, W]) in order."""
    windows, height, width = counts.shape
    state = engine.start(Shape(height, width))
    for t in range(windows):
        values = torch.from_numpy(check_counts(counts[t : t + 1], ndim=3))
        mask = torch.tensor([1.0 if present is None else float(present[t])])
        pictures, state = engine.push(values, mask, state)
        yield from ((p.window, p.probability.cpu().numpy()) for p in pictures if p.stage != "provisional")
    yield from ((p.window, p.probability.cpu().numpy()) for p in engine.flush(state))


def _as_source(counts: npt.ArrayLike | CountsArray) -> CountsArray:
    """``counts`` as something with a shape [T, H, W] that can be read slice by slice."""
    source: CountsArray = counts if hasattr(counts, "shape") else np.asarray(counts)  # type: ignore[assignment]
    if len(source.shape) != 3:
        raise ModelError(f"expected counts [T, H, W], found shape {tuple(source.shape)}")
    return source
