"""Localizers that call Picasso: detection by net gradient, then a Gaussian fit.

Shapes: N frames, H, W camera pixels, K spots.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from dblink_live.errors import CalibrationError, ConfigError, PluginError, SourceError
from dblink_live.types import LOCALIZATION_DTYPE, Camera, FrameArray, Localizations, empty_localizations
from dblink_live_picasso.detection import net_gradient_of_noise, noise_adu

DEFAULT_THRESHOLD_SIGMA = 6.0
MIN_BOX_PX = 7
BOX_SIGMAS = 3.0
"""The box reaches so far to each side of a spot."""
_WIDTHS_PX = (0.4, 5.0)


class PicassoLocalizer:
    """Spots by Picasso's net gradient, fitted by Picasso with a width along each axis of their own.

    Every frame is treated by itself, so the answer does not depend on how frames were batched. Picasso leaves out spots
    within half a box of the frame's edge.

    Parameters
    ----------
    camera
        Gain, offset and noise. Read noise, and maps over the sensor, go in as Picasso's sCMOS calibration; electron
        multiplication as its Gain.
    psf_sigma_px
        Standard deviation of the point spread function: the box grows with it. The fit's widths stay free.
    threshold_sigma
        Least net gradient of a spot, in standard deviations of what noise alone gives in its frame.
    min_net_gradient
        The same in counts, as Picasso's own program asks for it; it then replaces ``threshold_sigma``.

    Raises
    ------
    PluginError
        Picasso is not installed, or cannot be imported.
    ConfigError
        A width, threshold or gradient that cannot be.
    """

    name = "picasso"
    method = ""
    """Picasso's name of the fit."""

    def __init__(
        self,
        camera: Camera,
        psf_sigma_px: float | None = None,
        threshold_sigma: float = DEFAULT_THRESHOLD_SIGMA,
        min_net_gradient: float | None = None,
    ) -> None:
        least, most = _WIDTHS_PX
        if psf_sigma_px is not None and not least <= psf_sigma_px <= most:
            raise ConfigError(
                f"expected psf_sigma_px between {least} and {most} camera pixels, found {psf_sigma_px}; "
                "give the standard deviation of a spot in pixels, not in nm"
            )
        for option, value in (("threshold_sigma", threshold_sigma), ("min_net_gradient", min_net_gradient)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(f"expected {option} above 0, found {value}; leave it out for the default")
        self._picasso = _import_picasso()
        self._camera = camera
        self._threshold_sigma = threshold_sigma
        self._min_net_gradient = min_net_gradient
        self._box_px = max(MIN_BOX_PX, 2 * math.ceil(BOX_SIGMAS * (psf_sigma_px or 0.0)) + 1)
        self._n_failed = 0

    def localize(self, frames: FrameArray, frame_numbers: npt.NDArray[np.int64]) -> Localizations:
        """Molecules in ``frames`` [N, H, W], numbered ``frame_numbers`` [N], sorted by frame.

        Raises
        ------
        SourceError
            The frames are no grey images of 8 or 16 bits, are smaller than Picasso's box, or are not as many as their
            numbers.
        CalibrationError
            A sensor map of another shape than the frames.
        """
        if frames.ndim != 3 or frames.dtype not in (np.uint8, np.uint16):
            raise SourceError(f"expected grey 8- or 16-bit frames [N, H, W], found {frames.dtype} of {frames.shape}")
        if len(frames) != len(frame_numbers):
            raise SourceError(f"expected a number for each frame, found {len(frames)} and {len(frame_numbers)}")
        if min(frames.shape[1:]) < self._box_px + 2:
            raise SourceError(
                f"expected frames of at least {self._box_px + 2} x {self._box_px + 2} pixels for Picasso's box of "
                f"{self._box_px}, found {frames.shape[1]} x {frames.shape[2]}; choose a larger region of the camera"
            )
        calibration = self._sensor_maps(frames.shape[1:])
        spots = self._identify(frames)
        if not len(spots):
            return empty_localizations()
        fitted, _ = self._picasso.fit(
            # It takes what it has read from files, of which a raw movie is a memory map.
            np.ascontiguousarray(frames).view(np.memmap),
            camera_info=self._camera_info(),
            identifications=spots,
            box=self._box_px,
            fitting_method=self.method,
            camera_calibration=calibration,
            multiprocess=False,
        )
        return self._as_rows(fitted, frame_numbers, frames.shape[1:])

    def notes(self) -> list[str]:
        """What the user should know afterwards."""
        if not self._n_failed:
            return []
        return [f"{self.name}: {self._n_failed} fits left the frame or had no finite position, and were dropped"]

    def _identify(self, frames: FrameArray) -> Any:
        """Spots as Picasso's table of frame, x, y and net gradient."""
        import pandas as pd

        tables = []
        for index, frame in enumerate(frames):
            least = self._min_net_gradient
            if least is None:
                least = self._threshold_sigma * noise_adu(frame) * net_gradient_of_noise(self._box_px)
            y, x, gradient = self._picasso.identify_in_frame(frame, float(least), self._box_px)
            tables.append(pd.DataFrame({"frame": index, "x": x, "y": y, "net_gradient": gradient}))
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"frame": []})

    def _camera_info(self) -> dict[str, float]:
        camera = self._camera
        return {
            "Baseline": float(np.mean(camera.offset_adu)),
            "Sensitivity": float(np.mean(camera.electrons_per_adu)),
            "Gain": camera.em_gain,
            "Pixelsize": camera.pixel_size_nm,
        }

    def _sensor_maps(self, shape: tuple[int, ...]) -> dict[str, npt.NDArray[np.float32]] | None:
        """Picasso's calibration, in counts; None where scalars without read noise say it all."""
        camera = self._camera
        facts = {"offset_adu": camera.offset_adu, "electrons_per_adu": camera.electrons_per_adu}
        facts["read_noise_e"] = camera.read_noise_e
        arrays = {name: np.asarray(value, np.float32) for name, value in facts.items()}
        for name, array in arrays.items():
            if array.ndim and array.shape != shape:
                raise CalibrationError(
                    f"expected a camera.{name} map of the frames' shape {shape}, found {array.shape}; "
                    "crop and bin the map as the region and binning of the frames"
                )
        if not any(array.ndim for array in arrays.values()) and not arrays["read_noise_e"]:
            return None
        maps = {
            "offset": arrays["offset_adu"],
            "variance": np.square(arrays["read_noise_e"] / arrays["electrons_per_adu"]),
        }
        if arrays["electrons_per_adu"].ndim:
            # Counts an electron; a scalar is Picasso's Sensitivity.
            maps["gain"] = 1 / arrays["electrons_per_adu"]
        return {name: np.ascontiguousarray(np.broadcast_to(array, shape)) for name, array in maps.items()}

    def _as_rows(self, fitted: Any, frame_numbers: npt.NDArray[np.int64], shape: tuple[int, ...]) -> Localizations:
        """Picasso's columns are named as ours and are in our units."""
        rows = np.zeros(len(fitted), LOCALIZATION_DTYPE)
        for name in LOCALIZATION_DTYPE.names or ():
            rows[name] = fitted[name].to_numpy()
        is_inside = np.ones(len(rows), bool)
        for axis, side in (("y", shape[0]), ("x", shape[1])):
            # Comparisons with NaN are false.
            is_inside &= (rows[axis] >= -0.5) & (rows[axis] < side - 0.5)
        self._n_failed += int(np.count_nonzero(~is_inside))
        rows = rows[is_inside]
        rows["frame"] = frame_numbers[rows["frame"]]
        return rows[np.argsort(rows["frame"], kind="stable")]


class PicassoMLE(PicassoLocalizer):
    """Maximum likelihood of a Gaussian integrated over the pixels."""

    name = "picasso-mle"
    method = "gaussmle"


class PicassoLQ(PicassoLocalizer):
    """Least squares of a Gaussian: faster than the likelihood, less precise where photons are few."""

    name = "picasso-lq"
    method = "gausslq"


def _import_picasso() -> ModuleType:
    """Here and not at the head of the file: it takes seconds, and must not be paid for listing localizers."""
    try:
        from picasso import localize
    except ImportError as error:
        raise PluginError(
            f'expected Picasso, whose fits these localizers are, found: {error}; pip install "picassosr>=0.11.3,<0.12"'
        ) from error
    module: ModuleType = localize
    return module
