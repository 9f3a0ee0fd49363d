"""Maps of a sensor's offset, noise and gain, kept in a file, that follow the region and the binning of the frames.

A map holds for the pixels that it was measured on. Frames of another region get the part of it that they show;
frames that are binned get it summed or averaged, but only if it was said how the camera bins, because both exist:
sCMOS cameras add or average counts behind the converter, and a CCD adds charge before it, where no map of single
pixels tells anything. Whatever does not fit is refused, never stretched.

Coordinates are Micro-Manager's: x, y, width, height in pixels of the image, so of binned pixels where it is binned.

Shapes: H, W map pixels; h, w pixels of the frames.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from dblink_live.errors import CalibrationError
from dblink_live.files import replacing
from dblink_live.types import FloatImage, Segment

BinningMode = Literal["sum", "mean"]
FORMAT_VERSION = 1
MAX_BYTES = 1 << 30
"""Of a file: three float32 maps of 8000 x 8000 pixels."""
_REMEASURE = "measure at that setting with dblink-live calibrate, or leave the maps out with --set camera.maps=''"


@dataclass(frozen=True)
class SensorMaps:
    """Facts of each pixel of a region; [H, W] float32 each."""

    offset_adu: FloatImage
    noise_adu: FloatImage
    """Standard deviation in darkness."""
    electrons_per_adu: FloatImage | None = None
    """Before electron multiplication; None where it was not measured."""
    roi: tuple[int, int, int, int] | None = None
    """Region that they cover; None where the stacks did not state it."""
    binning: int = 1

    def __post_init__(self) -> None:
        shape = self.offset_adu.shape
        for name in ("offset_adu", "noise_adu", "electrons_per_adu"):
            value = getattr(self, name)
            if value is None:
                continue
            if value.ndim != 2 or value.shape != shape or value.size == 0:
                raise CalibrationError(f"expected a {name} map of shape {shape}, found {value.shape}")
            if not np.isfinite(value).all() or (name != "offset_adu" and (value < 0).any()):
                raise CalibrationError(f"expected finite numbers of 0 or more in the {name} map, found others")
        if self.roi is not None and (self.roi[3], self.roi[2]) != shape:
            raise CalibrationError(f"expected maps of the region {self.roi}, found {shape[1]} x {shape[0]} pixels")
        if self.binning < 1:
            raise CalibrationError(f"expected a binning of 1 or more, found {self.binning}")

    @property
    def read_noise_e(self) -> FloatImage | None:
        """[H, W] noise in electrons; None without a gain."""
        return None if self.electrons_per_adu is None else self.noise_adu * self.electrons_per_adu

    def for_segment(self, segment: Segment, mode: BinningMode | None = None) -> SensorMaps:
        """The maps of the frames of ``segment``, [h, w].

        Parameters
        ----------
        mode
            What the camera makes of the counts that it bins; None where not stated.

        Raises
        ------
        CalibrationError
            The maps do not cover the frames' region, it is not known where the two lie, or the binning differs in a
            way that the maps cannot follow.
        """
        factor = self._binning_factor(segment, mode)
        rows, columns = self._region_of(segment, factor)
        gain = self.electrons_per_adu
        part = replace(
            self,
            offset_adu=self.offset_adu[rows, columns],
            noise_adu=self.noise_adu[rows, columns],
            electrons_per_adu=None if gain is None else gain[rows, columns],
            roi=None,
        )
        return replace(part if factor == 1 or mode is None else _binned(part, factor, mode), binning=segment.binning)

    def _binning_factor(self, segment: Segment, mode: BinningMode | None) -> int:
        """Map pixels per frame pixel along each side."""
        if segment.binning == self.binning:
            return 1
        if segment.binning % self.binning:
            raise CalibrationError(
                f"expected frames at binning {self.binning} or a multiple of it, as the camera's maps, found "
                f"{segment.binning}; {_REMEASURE}"
            )
        if mode is None:
            raise CalibrationError(
                f"expected frames at binning {self.binning}, as the camera's maps, found {segment.binning}; say what "
                f"the "
                f"camera makes of the counts (--set camera.binning_mode=sum or mean), or {_REMEASURE}"
            )
        return segment.binning // self.binning

    def _region_of(self, segment: Segment, factor: int) -> tuple[slice, slice]:
        """Rows and columns of the maps that the frames show."""
        n_rows, n_columns = segment.shape.height * factor, segment.shape.width * factor
        left, top = self._corner_of(segment, factor)
        height, width = self.offset_adu.shape
        if left < 0 or top < 0 or left + n_columns > width or top + n_rows > height:
            raise CalibrationError(
                f"expected frames within the region that the camera's maps cover, {_words(self.roi, self.binning)}, "
                f"found "
                f"{_words(segment.roi, segment.binning)}; {_REMEASURE}"
            )
        return slice(top, top + n_rows), slice(left, left + n_columns)

    def _corner_of(self, segment: Segment, factor: int) -> tuple[int, int]:
        """Return x and y of the frames' first pixel in the maps."""
        if self.roi is not None and segment.roi is not None:
            return segment.roi[0] * factor - self.roi[0], segment.roi[1] * factor - self.roi[1]
        # Where one of the two does not say where it lies, only all of one can be all of the other.
        shown = (segment.shape.height * factor, segment.shape.width * factor)
        is_elsewhere = self.roi is None and segment.roi is not None and segment.roi[:2] != (0, 0)
        if shown != self.offset_adu.shape or is_elsewhere:
            height, width = self.offset_adu.shape
            raise CalibrationError(
                f"expected frames of all the {width} x {height} pixels of the camera's maps, found "
                f"{_words(segment.roi or (0, 0, segment.shape.width, segment.shape.height), segment.binning)}, and "
                f"where "
                f"the {'maps' if self.roi is None else 'frames'} lie on the sensor is not stated; {_REMEASURE}"
            )
        return 0, 0

    def save(self, path: Path) -> str:
        """Write a ``.npz`` file and return its sha256."""
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "format_version": np.array(FORMAT_VERSION),
            "offset_adu": self.offset_adu,
            "noise_adu": self.noise_adu,
            "roi": np.array(self.roi or (), np.int64),
            "binning": np.array(self.binning),
        }
        if self.electrons_per_adu is not None:
            arrays["electrons_per_adu"] = self.electrons_per_adu
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # numpy types its keywords as one parameter
        data = file.getvalue()
        with replacing(path) as unfinished:
            unfinished.write_bytes(data)
        return hashlib.sha256(data).hexdigest()

    @classmethod
    def load(cls, path: Path, sha256: str | None = None) -> SensorMaps:
        """Read what `save` wrote; nothing in the file is executed.

        Raises
        ------
        CalibrationError
            The file is missing, damaged, of another kind, or not the one that ``sha256`` names.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CalibrationError(f"expected the camera's maps at {path}, found: {error.strerror or error}") from error
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise CalibrationError(
                f"expected the camera's maps that the configuration was measured with, found others at {path}; put "
                f"them "
                "back, or measure again with dblink-live calibrate"
            )
        try:
            arrays = _arrays(data)
            if int(arrays["format_version"]) != FORMAT_VERSION:
                raise ValueError(f"format {int(arrays['format_version'])}, not {FORMAT_VERSION}")
            roi = tuple(int(value) for value in arrays["roi"])
            gain = arrays.get("electrons_per_adu")
            return cls(
                offset_adu=arrays["offset_adu"].astype(np.float32),
                noise_adu=arrays["noise_adu"].astype(np.float32),
                electrons_per_adu=None if gain is None else gain.astype(np.float32),
                roi=(roi[0], roi[1], roi[2], roi[3]) if len(roi) == 4 else None,
                binning=int(arrays["binning"]),
            )
        except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
            raise CalibrationError(
                f"expected maps that dblink-live calibrate wrote, found {path}, which is none: {error}"
            ) from error


def _arrays(data: bytes) -> dict[str, npt.NDArray[np.generic]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        n_bytes = sum(member.file_size for member in archive.infolist())
    if n_bytes > MAX_BYTES:
        raise ValueError(f"it unpacks to {n_bytes} bytes")
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return dict(file)


def _binned(maps: SensorMaps, factor: int, mode: BinningMode) -> SensorMaps:
    """Maps of pixels that are the sum or the mean of ``factor`` x ``factor`` of those in ``maps``.

    A pixel of gain g and e electrons counts e / g, so alike pixels of 1/g each act together as one of the sum of 1/g.
    """
    n = factor**2
    share = 1 if mode == "sum" else n
    gain = maps.electrons_per_adu
    return replace(
        maps,
        offset_adu=_sums(maps.offset_adu, factor) / np.float32(share),
        noise_adu=np.asarray(np.sqrt(_sums(np.square(maps.noise_adu), factor)) / np.float32(share), np.float32),
        electrons_per_adu=None if gain is None else np.float32(n * share) / _sums(np.float32(1) / gain, factor),
    )


def _sums(values: FloatImage, factor: int) -> FloatImage:
    """Sums over blocks of ``factor`` x ``factor``."""
    height, width = values.shape
    blocks = values.reshape(height // factor, factor, width // factor, factor)
    return np.asarray(blocks.sum(axis=(1, 3), dtype=np.float32))


def _words(roi: tuple[int, int, int, int] | None, binning: int) -> str:
    if roi is None:
        return "one that is not stated"
    text = f"{roi[2]} x {roi[3]} pixels from {roi[0]},{roi[1]} on"
    return text if binning == 1 else f"{text} at binning {binning}"
