"""The neural localizer for crowded frames: frames in, molecules out, at once and in order.

It looks at a frame together with those before it (a molecule that was there is likely there still), which it carries
from call to call. The network always runs on the same number of frames at a time, filled up with empty ones, so that
the answer does not depend on how frames were batched, not by a bit. Frames of more pixels than `_BAND_PIXELS` go
through it in bands.

Shapes: N frames, H, W camera pixels.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dblink_live.errors import ConfigError
from dblink_live.localization.camera import to_photons
from dblink_live.localization.crowded_width import CrowdedWidth, learning_frames
from dblink_live.localization.dense.checkpoint import LocalizerModel, load_localizer
from dblink_live.localization.dense.inputs import CONTEXT_FRAMES, DenseInput, channels, prepare
from dblink_live.localization.dense.network import REACH_PX, Predictions
from dblink_live.localization.dense.recovery import recover
from dblink_live.localization.filters import Filters
from dblink_live.localization.frame_check import FrameFaults, check_frames
from dblink_live.types import Camera, FrameArray, Localizations, empty_localizations

NOMINAL_SIGMA_PX = 1.3
"""Width assumed until the frames have told theirs."""
LEAST_PROBABILITY = 0.5
"""Of a molecule that is reported."""
_BATCH_PIXELS = 1 << 14
"""Frames are taken together up to so many pixels: more fall out of the cache."""
_BAND_PIXELS = 1 << 18
_SIDE_PX = 4
"""Frames are filled up to a multiple of this, of which the network itself needs 2."""


@dataclass(frozen=True)
class _Past:
    """The frames before the next one."""

    units: Tensor
    """[CONTEXT_FRAMES, H, W], the oldest first; zeros where there was none."""
    signal: Tensor
    """[H, W] photons of the newest."""
    n_known: int
    """How many of the newest ones are there, without a gap."""
    number: int
    """Of the newest."""


class DenseLocalizer:
    """Finds molecules in frames too crowded for fitting one by one.

    Parameters
    ----------
    camera
        Offset, gain and noise of the camera; maps of the sensor are used pixel by pixel. Of an uncalibrated one the
        noise is measured in each frame, and photon numbers are relative.
    psf_sigma_px
        Width (standard deviation) of the point spread function in camera pixels; None learns it from the first frames.
    threshold_sigma, fit, largest_misfit
        Not for this localizer, which asks for a probability and fits nothing: anything but None is refused.
    least_photons, largest_precision_px
        As of `dblink_live.localization.filters.Filters`, but that any stated precision will do.
    least_probability
        Of a molecule. Half, as likely as not, finds most without inventing many.
    weights
        A shipped localizer network by its name, or a checkpoint of `dblink-live train` by its path.
    device
        Where to compute.

    Raises
    ------
    ConfigError
        A width that the network was not trained for, a probability outside (0, 1), or what only a fit can be told.
    ModelError
        No such network, or a damaged file.
    """

    name = "dense"

    def __init__(
        self,
        camera: Camera,
        psf_sigma_px: float | None = None,
        threshold_sigma: float | None = None,
        fit: str | None = None,
        least_photons: float = 0.0,
        largest_precision_px: float = math.inf,
        largest_misfit: float | None = None,
        least_probability: float = LEAST_PROBABILITY,
        weights: str | os.PathLike[str] = "dense",
        device: str | torch.device = "cpu",
    ) -> None:
        for name, value in {"threshold_sigma": threshold_sigma, "fit": fit, "largest_misfit": largest_misfit}.items():
            if value is not None:
                raise ConfigError(
                    f"expected no {name} for the dense localizer, found {value}; it decides by probability and fits "
                    "nothing: leave it out"
                )
        self._filters = Filters(least_photons, largest_precision_px)
        if not 0 < least_probability < 1:
            raise ConfigError(f"expected least_probability between 0 and 1, found {least_probability}")
        self._device = torch.device(device)
        self._model = load_localizer(weights, self._device)
        least, most = self._model.psf_sigma_px
        if psf_sigma_px is not None and not least <= psf_sigma_px <= most:
            raise ConfigError(
                f"expected psf_sigma_px between {least:g} and {most:g} camera pixels, for which {self._model.name!r} "
                f"was trained, found {psf_sigma_px}; give the standard deviation of a spot in pixels (not in nm), take "
                "the localizer 'gaussian', or train one for your width: docs/localizers.md"
            )
        self._camera = camera
        self._least_probability = least_probability
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
        """What the user should know of the result, a sentence each."""
        return [*self._faults.notes(), *self.width_notes()]

    def width_notes(self) -> list[str]:
        """What the user should know of the width, a sentence at most."""
        if self._is_learning or self._n_seen == 0:
            return []
        least, most = self._model.psf_sigma_px
        if self._sigma_px is None:
            return [
                f"dense: the frames did not tell the width of the point spread function, {NOMINAL_SIGMA_PX} px was "
                "assumed; state it"
            ]
        if not least <= self._sigma_px <= most:
            return [
                f"dense: the point spread function is {self._sigma_px:.2f} px wide, the network was trained for "
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
        batch = max(1, _BATCH_PIXELS // (height * width))
        tables = [empty_localizations()]
        first = 0
        while first < len(frames):
            stop = min(first + batch, len(frames), first + self._frames_to_next_width(height, width))
            chunk, numbers = photons[first:stop], frame_numbers[first:stop]
            seen = prepare(chunk)
            before = self._past
            units, n_known = self._with_context(seen.units, chunk.signal, numbers)
            tables.append(self._find(seen, units, numbers, batch, photons.excess_noise_factor))
            # Afterwards: a frame must not help to choose the width that it is looked at with, for batches differ.
            self._learn(chunk.signal, n_known, before)
            first = stop
        return np.concatenate(tables)

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

    def _find(
        self, seen: DenseInput, units: Tensor, numbers: npt.NDArray[np.int64], batch: int, excess: float
    ) -> Localizations:
        least, most = self._model.psf_sigma_px
        sigma_px = self._sigma_px or NOMINAL_SIGMA_PX
        told_px = min(max(sigma_px, least), most)
        found = recover(_predict(self._model, units, seen.variance_e, told_px, batch), self._least_probability)
        place = (found.frame, found.row, found.col)
        rows = empty_localizations(len(found.frame))
        rows["frame"] = numbers[found.frame.cpu().numpy()]
        columns = {
            "x": found.x,
            "y": found.y,
            # The network saw electrons divided by the excess noise factor.
            "photons": found.units * seen.noise[place] * excess,
            "bg": seen.background[place] * excess,
            "lpx": found.x_sigma,
            "lpy": found.y_sigma,
        }
        for name, values in columns.items():
            rows[name] = values.cpu().numpy()
        rows["sx"] = rows["sy"] = sigma_px
        precision = np.maximum(rows["lpx"], rows["lpy"])
        good = (rows["photons"] >= self._filters.least_photons) & (precision <= self._filters.largest_precision_px)
        return rows if good.all() else rows[good]


def _predict(model: LocalizerModel, units: Tensor, variance_e: Tensor, psf_sigma_px: float, batch: int) -> Predictions:
    """Run the network on ``units`` [N, CONTEXT_FRAMES + 1, H, W] of N frames, at most ``batch``."""
    n, _, height, width = units.shape
    # Whole frames of a multiple of `_SIDE_PX` squared pixels: torch computes the last few numbers of an array by other
    # means than the rest, and they would round otherwise in another batch.
    beyond = (0, -width % _SIDE_PX, 0, -height % _SIDE_PX)
    whole = F.pad(units, (*beyond, 0, 0, 0, batch - n))
    inputs = channels(
        whole,
        F.pad(variance_e, (*beyond, 0, batch - n), value=1.0),
        whole.new_full((batch,), math.log(psf_sigma_px)),
    )
    # As the convolutions fill up what lies outside of a frame.
    inputs[:, :, height:] = 0.0
    inputs[:, :, :, width:] = 0.0
    raw = torch.cat([_run(model, inputs, top, bottom) for top, bottom in _bands(*inputs.shape[2:])], dim=2)
    return Predictions.of(raw.contiguous()).cropped(n, height, width)


def _bands(height: int, width: int) -> list[tuple[int, int]]:
    """First and last row (exclusive) of each band; all even."""
    rows = max(2 * REACH_PX, _BAND_PIXELS // width // 2 * 2)
    return [(top, min(top + rows, height)) for top in range(0, height, rows)]


def _run(model: LocalizerModel, inputs: Tensor, top: int, bottom: int) -> Tensor:
    """The network's output for the rows from ``top`` to ``bottom``."""
    first, last = max(0, top - REACH_PX), min(inputs.shape[2], bottom + REACH_PX)
    band = inputs[:, :, first:last].contiguous(memory_format=torch.channels_last)
    out: Tensor = model.network(band)
    return out[:, :, top - first : bottom - first]
