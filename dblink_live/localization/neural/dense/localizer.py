"""The neural localizer for crowded frames: frames in, molecules out, at once and in order.

It looks at a frame together with those before it (a molecule that was there is likely there still), which it carries
from call to call. Frames of more pixels than `_BAND_PIXELS` go through the network in bands. The rest of it is in
`dblink_live.localization.neural.localizer`.

Shapes: N frames, H, W camera pixels.
"""

from __future__ import annotations

import math
import os

import torch
from torch import Tensor

from dblink_live.config import AUTO
from dblink_live.device import resolve_device
from dblink_live.errors import ConfigError
from dblink_live.localization.gaussian.filters import Filters
from dblink_live.localization.neural.dense.checkpoint import DENSE_CHECKPOINTS
from dblink_live.localization.neural.dense.merging import merge_indistinct
from dblink_live.localization.neural.dense.network import REACH_PX, DenseNetwork, Predictions
from dblink_live.localization.neural.dense.recovery import recover
from dblink_live.localization.neural.inputs import NetworkInput, channels
from dblink_live.localization.neural.localizer import NetworkLocalizer, in_bands, log_width, whole_batch
from dblink_live.types import Camera, Localizations, empty_localizations

MIN_PROBABILITY = 0.5
"""Of a molecule that is reported."""
_BATCH_PIXELS = 1 << 14
"""Frames are taken together up to so many pixels: more fall out of the cache."""
_BAND_PIXELS = 1 << 18
_EVEN = 2
_SIDE_PX = 4
"""Frames are filled up to a multiple of this, of which the network itself needs `_EVEN`."""


class DenseLocalizer(NetworkLocalizer):
    """Finds molecules in frames too crowded for fitting one by one.

    Parameters
    ----------
    camera
        Offset, gain and noise of the camera; maps of the sensor are used pixel by pixel. Of an uncalibrated one the
        noise is measured in each frame, and photon numbers are relative.
    psf_sigma_px
        Width (standard deviation) of the point spread function in camera pixels; None learns it from the first frames.
    threshold_sigma, fit, max_misfit
        Not for this localizer, which asks for a probability and fits nothing: anything but None is refused.
    min_photons, max_precision_px
        As of `dblink_live.localization.gaussian.filters.Filters`, but that any stated precision will do.
    min_probability
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
    decides_by = "probability"

    def __init__(
        self,
        camera: Camera,
        psf_sigma_px: float | None = None,
        threshold_sigma: float | None = None,
        fit: str | None = None,
        min_photons: float = 0.0,
        max_precision_px: float = math.inf,
        max_misfit: float | None = None,
        min_probability: float = MIN_PROBABILITY,
        weights: str | os.PathLike[str] = "dense",
        device: str | torch.device = AUTO,
    ) -> None:
        if not 0 < min_probability < 1:
            raise ConfigError(f"expected min_probability between 0 and 1, found {min_probability}")
        chosen = resolve_device(device)
        self._model = DENSE_CHECKPOINTS.load(weights, chosen)
        self._min_probability = min_probability
        super().__init__(
            camera,
            psf_sigma_px,
            {"threshold_sigma": threshold_sigma, "fit": fit, "max_misfit": max_misfit},
            Filters(min_photons, max_precision_px),
            self._model.facts.name,
            self._model.facts.psf_sigma_px,
            chosen,
        )

    def _batch_pixels(self) -> int:
        return _BATCH_PIXELS

    def _find(self, seen: NetworkInput, units: Tensor, batch: int, excess: float) -> Localizations:
        sigma_px, told_px = self._told_width()
        found = recover(_predict(self._model.network, seen, units, told_px, batch), self._min_probability)
        place = (found.frame, found.row, found.col)
        rows = empty_localizations(len(found.frame))
        columns = {
            "frame": found.frame,
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
        return self._chosen(merge_indistinct(rows) if excess > 1 else rows)


def _predict(network: DenseNetwork, seen: NetworkInput, units: Tensor, psf_sigma_px: float, batch: int) -> Predictions:
    """Run the network on ``units`` [N, CONTEXT_FRAMES + 1, H, W] of N frames, at most ``batch``."""
    n, _, height, width = units.shape
    whole, variance_e = whole_batch(seen, units, batch, _SIDE_PX)
    inputs = channels(whole, variance_e, log_width(whole, psf_sigma_px))
    # As the convolutions fill up what lies outside of a frame.
    inputs[:, :, height:] = 0.0
    inputs[:, :, :, width:] = 0.0
    raw = in_bands(network, inputs, REACH_PX, _BAND_PIXELS, _EVEN)
    return Predictions.of(raw.contiguous()).cropped(n, height, width)
