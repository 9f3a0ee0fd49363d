"""Base of the localizers by a network: frames in, molecules out, in order.

Here are the camera, the batches, the width of the point spread function and what comes before a frame; how molecules
are found in a batch is the network's matter. The network always runs on the same number of frames at a time, filled up
with empty ones, so that the answer does not depend on how frames were batched, not by a bit.

Shapes: N frames, H, W camera pixels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dblink_live.errors import ConfigError
from dblink_live.localization.frame_validation import FrameFaults, check_frames
from dblink_live.localization.gaussian.filters import Filters
from dblink_live.localization.neural.inputs import CONTEXT_FRAMES, NetworkInput, prepare
from dblink_live.localization.neural.weights import Range
from dblink_live.localization.photoelectrons import to_photons
from dblink_live.localization.psf_width_autocovariance import CrowdedWidth, learning_frames
from dblink_live.types import Camera, FrameArray, Localizations, empty_localizations

NOMINAL_SIGMA_PX = 1.3
"""Width assumed until the frames have told theirs."""


@dataclass(frozen=True)
class _Past:
    """The frames before the next one."""

    units: Tensor
    """[CONTEXT_FRAMES, H, W], the oldest first; zeros where there was none."""
    signal: Tensor
    """[H, W] photons of the newest."""
    n_known: int
    """Number of newest frames without a gap."""
    number: int
    """Of the newest."""


class NetworkLocalizer(ABC):
    """Base of the localizers by a network; their parameters are said there.

    Raises
    ------
    ConfigError
        A width that the network was not trained for, or what only a fit can be told.
    """

    name: str
    decides_by: str
    """Turns predictions into molecules."""

    def __init__(
        self,
        camera: Camera,
        psf_sigma_px: float | None,
        fit_only: dict[str, object],
        filters: Filters,
        network_name: str,
        trained_sigma_px: Range,
        device: torch.device,
    ) -> None:
        for name, value in fit_only.items():
            if value is not None:
                raise ConfigError(
                    f"expected no {name} for the {self.name} localizer, found {value}; it decides by "
                    f"{self.decides_by} and fits nothing: leave it out"
                )
        least, most = trained_sigma_px
        if psf_sigma_px is not None and not least <= psf_sigma_px <= most:
            raise ConfigError(
                f"expected psf_sigma_px between {least:g} and {most:g} camera pixels, for which {network_name!r} "
                f"was trained, found {psf_sigma_px}; give the standard deviation of a spot in pixels (not in nm), take "
                "the localizer 'gaussian', or train one for your width: docs/explanation/localizers.md"
            )
        self._camera = camera
        self._device = device
        self._filters = filters
        self._trained_sigma_px = trained_sigma_px
        self._sigma_px = psf_sigma_px
        self._is_learning = psf_sigma_px is None
        self._learner = CrowdedWidth()
        self._n_seen = 0
        self._faults = FrameFaults(camera)
        self._past: _Past | None = None

    @property
    def psf_sigma_px(self) -> float | None:
        """The width in use: as stated, or as learned so far; None while nothing was learned."""
        return self._sigma_px

    def notes(self) -> list[str]:
        """Notes for the user about the result, one sentence each."""
        return [*self._faults.notes(), *self.width_notes()]

    def width_notes(self) -> list[str]:
        """Note for the user about the width, at most one sentence."""
        if self._is_learning or self._n_seen == 0:
            return []
        least, most = self._trained_sigma_px
        if self._sigma_px is None:
            return [
                f"{self.name}: the frames did not tell the width of the point spread function, {NOMINAL_SIGMA_PX} px "
                "was assumed; state it"
            ]
        if not least <= self._sigma_px <= most:
            return [
                f"{self.name}: the point spread function is {self._sigma_px:.2f} px wide, the network was trained for "
                f"{least:g} to {most:g} px; expect worse results, or train one for your width"
            ]
        return []

    @torch.inference_mode()
    def localize(self, frames: FrameArray, frame_numbers: npt.NDArray[np.int64]) -> Localizations:
        """Molecules in ``frames`` [N, H, W], numbered ``frame_numbers`` [N], sorted by frame.

        Raises
        ------
        SourceError
            Frames that are no grey images of 8 or 16 bits, not finite, smaller than 7 x 7 pixels, or fewer or more than
            their numbers.
        CalibrationError
            A sensor map of another shape than the frames.
        """
        check_frames(frames, frame_numbers)
        self._faults.see(frames)
        photons = to_photons(frames, self._camera, self._device)
        height, width = frames.shape[1:]
        batch = max(1, self._batch_pixels() // (height * width))
        tables = [empty_localizations()]
        first = 0
        while first < len(frames):
            stop = min(first + batch, len(frames), first + self._frames_to_next_width(height, width))
            chunk, numbers = photons[first:stop], frame_numbers[first:stop]
            seen = prepare(chunk)
            before = self._past
            units, n_known = self._with_context(seen.units, chunk.signal, numbers)
            found = self._find(seen, units, batch, photons.excess_noise_factor)
            found["frame"] = numbers[found["frame"]]
            tables.append(found)
            # Afterwards: a frame must not help to choose the width that it is looked at with, for batches differ.
            self._learn(chunk.signal, n_known, before)
            first = stop
        return np.concatenate(tables)

    @abstractmethod
    def _batch_pixels(self) -> int:
        """Pixels of the frames that are taken together."""

    @abstractmethod
    def _find(self, seen: NetworkInput, units: Tensor, batch: int, excess: float) -> Localizations:
        """Molecules in ``seen`` of N frames, at most ``batch``, their ``frame`` counted from the first of them.

        ``units`` [N, CONTEXT_FRAMES + 1, H, W] are those of each frame and of the ones before it, itself first.
        """

    def _told_width(self) -> tuple[float, float]:
        """The width in use, and the nearest that the network knows, in pixels."""
        sigma_px = self._sigma_px or NOMINAL_SIGMA_PX
        least, most = self._trained_sigma_px
        return sigma_px, min(max(sigma_px, least), most)

    def _chosen(self, rows: Localizations) -> Localizations:
        """Those of ``rows`` that the user wants."""
        precision = np.maximum(rows["lpx"], rows["lpy"])
        good = (rows["photons"] >= self._filters.min_photons) & (precision <= self._filters.max_precision_px)
        return rows if good.all() else rows[good]

    def _with_context(self, units: Tensor, signal: Tensor, numbers: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Each frame and those before it [N, CONTEXT_FRAMES + 1, H, W], itself first; zeros where there is none.

        Beside it [N] how many frames before each are there.
        """
        past = self._past
        if past is None or past.signal.shape != signal.shape[1:]:
            past = _Past(torch.zeros_like(units[:1]).expand(CONTEXT_FRAMES, -1, -1), signal[0], 0, int(numbers[0]))
        every = torch.cat([past.units, units])
        n_known, known, previous = past.n_known, [], past.number
        for number in numbers.tolist():
            n_known = n_known if number == previous + 1 else 0
            known.append(n_known)
            n_known, previous = min(n_known + 1, CONTEXT_FRAMES), number
        self._past = _Past(every[-CONTEXT_FRAMES:].clone(), signal[-1].clone(), n_known, previous)
        lags = range(CONTEXT_FRAMES + 1)
        stacked = torch.stack([every[CONTEXT_FRAMES - lag : len(every) - lag] for lag in lags], dim=1)
        n_before = torch.tensor(known, device=units.device)
        is_there = n_before[:, None] >= torch.arange(CONTEXT_FRAMES + 1, device=units.device)
        return stacked * is_there[:, :, None, None], n_before

    def _frames_to_next_width(self, height: int, width: int) -> int:
        """Frames until the width is renewed, which happens after 2, 4, 8... frames, whatever batches they came in."""
        if self._is_learning and self._n_seen >= learning_frames(height, width):
            self._is_learning = False
        return max(2, 1 << self._n_seen.bit_length()) - self._n_seen if self._is_learning else 1 << 62

    def _learn(self, signal: Tensor, n_before: Tensor, past: _Past | None) -> None:
        """Learn the width from the change of each frame against the one before, where there is one."""
        self._n_seen += len(signal)
        if not self._is_learning:
            return
        earlier = torch.cat([signal[:1] if past is None else past.signal[None], signal[:-1]])
        self._learner.add((signal - earlier)[n_before > 0])
        if self._n_seen & (self._n_seen - 1) == 0:
            self._sigma_px = self._learner.width_px or self._sigma_px


def whole_batch(seen: NetworkInput, units: Tensor, batch: int, side_px: int) -> tuple[Tensor, Tensor]:
    """Units [batch, C, H, W] and variances [batch, H, W], filled up to ``batch`` frames and multiples of ``side_px``.

    torch computes the last few numbers of an array by other means than the rest, and they would round otherwise in
    another batch.
    """
    n, _, height, width = units.shape
    beyond = (0, -width % side_px, 0, -height % side_px)
    return (
        torch.nn.functional.pad(units, (*beyond, 0, 0, 0, batch - n)),
        torch.nn.functional.pad(seen.variance_e, (*beyond, 0, batch - n), value=1.0),
    )


def log_width(like: Tensor, psf_sigma_px: float) -> Tensor:
    """[N] logarithm of a width for each of the frames ``like`` [N, ...]."""
    return like.new_full((len(like),), math.log(psf_sigma_px))


def in_bands(
    network: Callable[[Tensor], Tensor], inputs: Tensor, reach_px: int, band_pixels: int, side_px: int, scale: int = 1
) -> Tensor:
    """Return the predictions of ``network`` for ``inputs`` [N, C, H, W], computed in bands of rows to bound memory.

    ``reach_px`` is how far it looks, ``band_pixels`` how many pixels a band may have, ``side_px`` what their rows are a
    multiple of, as ``reach_px`` must be, and ``scale`` how many rows it answers for one.
    """
    height, width = inputs.shape[2:]
    rows = max(2 * reach_px, band_pixels // width // side_px * side_px)
    parts = []
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        first, last = max(0, top - reach_px), min(height, bottom + reach_px)
        out = network(inputs[:, :, first:last].contiguous(memory_format=torch.channels_last))
        parts.append(out[..., scale * (top - first) : scale * (bottom - first), :])
    return torch.cat(parts, dim=-2)
