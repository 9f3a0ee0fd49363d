"""The localizer by Deep-STORM: frames in, molecules out, at once and in order.

It looks at each frame by itself. What it shares with the dense localizer is in
`dblink_live.localization.neural.localizer`.

Shapes: N frames, H, W camera pixels, K molecules.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dblink_live.config import AUTO
from dblink_live.device import resolve_device
from dblink_live.errors import ConfigError
from dblink_live.localization.gaussian.filters import Filters
from dblink_live.localization.neural.deepstorm.brightness import photons_of
from dblink_live.localization.neural.deepstorm.checkpoint import DEEPSTORM_CHECKPOINTS
from dblink_live.localization.neural.deepstorm.crowding import crowding_about
from dblink_live.localization.neural.deepstorm.network import DeepStormConfig, DeepStormNetwork, network_input
from dblink_live.localization.neural.deepstorm.recovery import peaks
from dblink_live.localization.neural.inputs import MIN_BRIGHTNESS, NetworkInput
from dblink_live.localization.neural.localizer import NetworkLocalizer, in_bands, log_width, whole_batch
from dblink_live.types import Camera, Localizations, empty_localizations

_GPU_BATCH_PIXELS = 1 << 18
"""Pixels of the frames that go through the network together on a GPU. On a CPU each frame goes alone: a fine grid fills
the cache by itself, and torch rounds a logarithm by its place in an array, which batches would change."""
_BAND_PIXELS = 1 << 14
"""Frames of more pixels go through the network in bands, on a CPU."""


@dataclass(frozen=True)
class Found:
    """[K] molecules, sorted by frame."""

    frame: npt.NDArray[np.int64]
    y: npt.NDArray[np.float64]
    """Camera pixels, as ``x``."""
    x: npt.NDArray[np.float64]
    height: npt.NDArray[np.float64]
    """Of the heat map, see `dblink_live.localization.neural.deepstorm.recovery`."""
    photons: npt.NDArray[np.float64]
    """On the frames' scale."""
    brightness: npt.NDArray[np.float64]
    """Photons over the background's noise within a width."""
    crowding: npt.NDArray[np.float64]
    """Others a square width, see `dblink_live.localization.neural.deepstorm.crowding`."""
    background: npt.NDArray[np.float64]


class DeepStormLocalizer(NetworkLocalizer):
    """Finds molecules in crowded frames as Deep-STORM does (Nehme et al., Optica 5, 458, 2018).

    Parameters
    ----------
    camera
        Offset, gain and noise of the camera; maps of the sensor are used pixel by pixel. Of an uncalibrated one the
        noise is measured in each frame, and photon numbers are relative.
    psf_sigma_px
        Width (standard deviation) of the point spread function in camera pixels; None learns it from the first frames.
    threshold_sigma, fit, max_misfit
        Not for this localizer, which fits nothing: anything but None is refused.
    min_photons, max_precision_px
        As of `dblink_live.localization.gaussian.filters.Filters`, but that any stated precision will do.
    min_height
        Of the heat map at a molecule, in (0, 1); None takes what scored best in the network's training.
    weights
        A shipped network by its name, or a checkpoint of `dblink-live train` by its path.
    device
        Where to compute.

    Raises
    ------
    ConfigError
        A width that the network was not trained for, a height outside (0, 1), or what only a fit can be told.
    ModelError
        No such network, or a damaged file.
    """

    name = "deepstorm"
    decides_by = "the height of its heat map"

    def __init__(
        self,
        camera: Camera,
        psf_sigma_px: float | None = None,
        threshold_sigma: float | None = None,
        fit: str | None = None,
        min_photons: float = 0.0,
        max_precision_px: float = math.inf,
        max_misfit: float | None = None,
        min_height: float | None = None,
        weights: str | os.PathLike[str] = "deepstorm",
        device: str | torch.device = AUTO,
    ) -> None:
        if min_height is not None and not 0 < min_height < 1:
            raise ConfigError(f"expected min_height between 0 and 1, found {min_height}")
        chosen = resolve_device(device)
        self._model = DEEPSTORM_CHECKPOINTS.load(weights, chosen)
        facts = self._model.facts
        self._min_height = facts.min_height if min_height is None else min_height
        super().__init__(
            camera,
            psf_sigma_px,
            {"threshold_sigma": threshold_sigma, "fit": fit, "max_misfit": max_misfit},
            Filters(min_photons, max_precision_px),
            facts.name,
            facts.psf_sigma_px,
            chosen,
        )

    def _batch_pixels(self) -> int:
        return 1 if self._device.type == "cpu" else _GPU_BATCH_PIXELS

    def _find(self, seen: NetworkInput, units: Tensor, batch: int, excess: float) -> Localizations:
        sigma_px, told_px = self._told_width()
        image = _draw(self._model.network, seen, units, told_px, batch)
        found = found_in(image, seen, self._model.network.config, sigma_px, self._min_height)
        rows = empty_localizations(len(found.frame))
        rows["frame"], rows["x"], rows["y"] = found.frame, found.x, found.y
        # The network saw electrons divided by the excess noise factor.
        rows["photons"], rows["bg"] = found.photons * excess, found.background * excess
        rows["lpx"] = rows["lpy"] = sigma_px * self._model.facts.precision.of(
            found.brightness, found.height, found.crowding
        )
        rows["sx"] = rows["sy"] = sigma_px
        return self._chosen(rows)


def found_in(
    image: Tensor, seen: NetworkInput, config: DeepStormConfig, psf_sigma_px: float, min_height: float
) -> Found:
    """Molecules of `MIN_BRIGHTNESS` or more in the network's ``image`` [N, U H, U W] of the frames ``seen``."""
    found = peaks(image, config.upsampling, min_height)
    frame: npt.NDArray[np.int64] = found.frame.cpu().numpy()
    y, x, heights = (values.cpu().numpy().astype(np.float64) for values in (found.y, found.x, found.height))
    above = (seen.units * seen.noise).cpu().numpy().astype(np.float64)
    photons = photons_of(above, frame, y, x, psf_sigma_px)
    rows, cols = (
        np.clip(np.rint(place).astype(np.int64), 0, side - 1)
        for place, side in zip((y, x), above.shape[1:], strict=True)
    )
    noise = seen.noise.cpu().numpy()[frame, rows, cols].astype(np.float64)
    background = seen.background.cpu().numpy()[frame, rows, cols].astype(np.float64)
    brightness = photons / (noise * psf_sigma_px)
    # In training, what is fainter was no molecule: the network has drawn noise.
    there = brightness >= MIN_BRIGHTNESS
    frame, y, x = frame[there], y[there], x[there]
    height, width = above.shape[1:]
    return Found(
        frame=frame,
        y=y,
        x=x,
        height=heights[there],
        photons=photons[there],
        brightness=brightness[there],
        crowding=crowding_about(frame, y, x, (height, width), psf_sigma_px),
        background=background[there],
    )


def _draw(network: DeepStormNetwork, seen: NetworkInput, units: Tensor, psf_sigma_px: float, batch: int) -> Tensor:
    """The network's image [N, U H, U W] of the N frames ``seen``, at most ``batch``."""
    n, _, height, width = units.shape
    config = network.config
    whole, variance_e = whole_batch(seen, units[:, :1], batch, config.side_px)
    inputs = network_input(whole, variance_e, log_width(whole, psf_sigma_px))
    # As the convolutions fill up what lies outside of a frame.
    inputs[:, :, height:] = 0.0
    inputs[:, :, :, width:] = 0.0
    image = in_bands(network, inputs, config.reach_px, _BAND_PIXELS, config.side_px, config.upsampling)
    return image[:n, : config.upsampling * height, : config.upsampling * width]
