"""Camera counts to photo-electrons, with the variance that the fit must reckon with.

An electron-multiplying register adds noise of its own: the variance of n electrons is 2 n, not n (excess noise factor
F = 2). Dividing the signal by F gives a number whose variance equals its mean again, so everything downstream may treat
it as Poisson; it is multiplied back at the very end. Read noise enters as extra Poisson variance (Huang et al., Nature
Methods 2013).

Shapes: N frames, H, W camera pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dblink_live.errors import CalibrationError
from dblink_live.types import Camera, FrameArray


@dataclass(frozen=True)
class PhotonFrames:
    """Frames whose variance is ``signal + read_variance``."""

    signal: Tensor
    """[N, H, W] float32 photo-electrons divided by the excess noise factor; negative values occur, from read noise."""
    read_variance: Tensor
    """[H, W] float32 variance of a dark pixel on the same scale."""
    excess_noise_factor: float
    is_calibrated: bool = False
    """Whether the variance above can be relied on, because the camera's gain and noise are stated."""

    def __len__(self) -> int:
        return len(self.signal)

    def __getitem__(self, frames: slice) -> PhotonFrames:
        return PhotonFrames(self.signal[frames], self.read_variance, self.excess_noise_factor, self.is_calibrated)


def to_photons(frames: FrameArray | npt.NDArray[np.floating], camera: Camera, device: torch.device) -> PhotonFrames:
    """Convert counts [N, H, W] with the camera's offset, gain and noise.

    Raises
    ------
    CalibrationError
        A sensor map has another shape than the frames, or holds what no pixel has.
    """
    shape = frames.shape[1:]
    # A copy of its own, for it is changed in place.
    counts = torch.from_numpy(np.array(frames, dtype=np.float32, order="C")).to(device)
    offset = _on_sensor("offset_adu", camera.offset_adu, shape, device)
    gain = _on_sensor("electrons_per_adu", camera.electrons_per_adu, shape, device)
    read_noise = _on_sensor("read_noise_e", camera.read_noise_e, shape, device)
    excess = camera.excess_noise_factor
    return PhotonFrames(
        signal=counts.sub_(offset).mul_(gain / (camera.em_gain * excess)),
        read_variance=(read_noise / (camera.em_gain * excess)).square().expand(shape).contiguous(),
        excess_noise_factor=excess,
        is_calibrated=camera.is_calibrated,
    )


def _on_sensor(
    name: str, value: float | npt.NDArray[np.float32], shape: tuple[int, ...], device: torch.device
) -> Tensor:
    """A camera fact as a tensor: a scalar, or a map that must fit the frames."""
    tensor = torch.as_tensor(np.asarray(value, dtype=np.float32), device=device)
    if tensor.ndim and tuple(tensor.shape) != shape:
        raise CalibrationError(
            f"expected a camera.{name} map of the frames' shape {shape}, found {tuple(tensor.shape)}; "
            "crop and bin the map as the region and binning of the frames"
        )
    lowest = -math.inf if name == "offset_adu" else 0.0
    if not bool((torch.isfinite(tensor) & (tensor >= lowest)).all()):
        raise CalibrationError(
            f"expected finite values{'' if name == 'offset_adu' else ' of 0 or more'} in camera.{name}, found "
            f"{float(tensor.min())}; measure it with dblink-live calibrate"
        )
    return tensor
