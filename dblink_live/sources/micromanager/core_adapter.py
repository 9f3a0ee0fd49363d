"""One thin adapter over every kind of Micro-Manager core.

pymmcore and pymmcore-plus speak camelCase; pycromanager's ``Core`` speaks snake_case, with the Python backend (a
pymmcore core underneath) or the Java backend (a remote one whose images come as ``TaggedImage``). `CameraCore` offers
the dozen calls that an acquisition needs, under one set of names and with plain Python values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from dblink_live.errors import SourceError
from dblink_live.types import FrameArray, Shape

_TAGS_OF_POPPED = ("ImageNumber", "TimeReceivedByCore")
"""Reading a tag costs time, and the pop loop has none to spare."""
_TAGS_OF_SEEN = (*_TAGS_OF_POPPED, "Binning", "PixelType")


@dataclass(frozen=True)
class TaggedFrame:
    """An image as the core hands it over."""

    data: FrameArray
    """[H, W]; this process's own copy."""
    tags: Mapping[str, str]


class CameraCore:
    """The camera of a Micro-Manager core.

    Parameters
    ----------
    core
        A ``pymmcore.CMMCore``, ``pymmcore_plus.CMMCorePlus`` or ``UniMMCore``, or pycromanager's ``Core()``.

    Raises
    ------
    SourceError
        The core has no camera, several, or one whose pixels are not 8 to 16 bits of grey.
    """

    def __init__(self, core: object) -> None:
        self._core = core
        self._call_cache: dict[str, Callable[..., Any]] = {}
        self._new_metadata = _metadata_factory(core)
        self.label = str(self._call("getCameraDevice"))
        if not self.label:
            raise SourceError(
                "expected a camera in the Micro-Manager configuration, found none; "
                "add the line 'Property,Core,Camera,<label>' to the .cfg file"
            )
        n_channels = int(self._call("getNumberOfCameraChannels"))
        if n_channels != 1:
            raise SourceError(
                f"expected one camera, found {self.label!r} with {n_channels} channels; "
                "choose one physical camera as Core-Camera"
            )

    def _method(self, name: str) -> Callable[..., Any]:
        method = self._call_cache.get(name)
        if method is None:
            method = getattr(self._core, name, None) or getattr(self._core, _snake_case(name), None)
            if not callable(method):
                raise SourceError(
                    f"expected a Micro-Manager core with {name} or {_snake_case(name)}, "
                    f"found {type(self._core).__name__}"
                )
            self._call_cache[name] = method
        return method

    def _call(self, name: str, *args: object) -> Any:
        return self._method(name)(*args)

    # Settings

    def set_exposure_ms(self, exposure_ms: float) -> None:
        self._call("setExposure", float(exposure_ms))

    def set_binning(self, binning: int) -> None:
        """Set square binning.

        Raises
        ------
        SourceError
            The camera cannot bin like that; the message lists what it can.
        """
        if int(self.binning) == binning:
            return
        try:
            allowed = _strings(self._call("getAllowedPropertyValues", self.label, "Binning"))
        except Exception:
            allowed = []
        # Drivers spell binning 2 as "2" or "2x2".
        for text in (str(binning), f"{binning}x{binning}"):
            if not allowed or text in allowed:
                try:
                    self._call("setProperty", self.label, "Binning", text)
                    return
                except Exception as error:
                    raise SourceError(f"the camera {self.label!r} refused binning {text}: {error}") from error
        raise SourceError(f"expected a binning of the camera {self.label!r} ({', '.join(allowed)}), found {binning}")

    def set_roi(self, x: int, y: int, width: int, height: int) -> None:
        """Crop to a region given in (binned) camera pixels.

        Raises
        ------
        SourceError
            The region is empty, does not lie on the sensor, or the camera chose another one.
        """
        self.clear_roi()
        shape = self.shape
        if x < 0 or y < 0 or width < 1 or height < 1 or x + width > shape.width or y + height > shape.height:
            raise SourceError(
                f"expected a region within the {shape.width} x {shape.height} pixels of the camera, "
                f"found roi={x},{y},{width},{height}"
            )
        try:
            self._call("setROI", x, y, width, height)
        except Exception as error:
            raise SourceError(f"the camera {self.label!r} refused roi={x},{y},{width},{height}: {error}") from error
        if self.shape != (height, width):
            raise SourceError(
                f"expected a region of {width} x {height} pixels, found that the camera chose "
                f"{self.shape.width} x {self.shape.height}; many sensors crop in steps, ask for that size"
            )

    def clear_roi(self) -> None:
        """Take the whole sensor."""
        self._call("clearROI")

    def set_buffer_mb(self, megabytes: int) -> None:
        self._call("setCircularBufferMemoryFootprint", int(megabytes))

    # Facts

    @property
    def shape(self) -> Shape:
        return Shape(int(self._call("getImageHeight")), int(self._call("getImageWidth")))

    @property
    def exposure_ms(self) -> float:
        return float(self._call("getExposure"))

    @property
    def binning(self) -> int:
        try:
            text = str(self._call("getProperty", self.label, "Binning"))
        except Exception:
            return 1
        match = re.match(r"\d+", text)
        return int(match.group()) if match else 1

    @property
    def roi(self) -> tuple[int, int, int, int]:
        region = self._call("getROI")
        if hasattr(region, "width"):
            return int(region.x), int(region.y), int(region.width), int(region.height)
        x, y, width, height = (int(value) for value in region)
        return x, y, width, height

    @property
    def pixel_size_nm(self) -> float | None:
        """Side of a pixel in the sample plane, binning included; None when the configuration does not say."""
        micrometres = float(self._call("getPixelSizeUm"))
        return micrometres * 1000.0 if micrometres > 0 else None

    @property
    def channel(self) -> str | None:
        """Preset of the channel group that the devices stand at; None where there is none."""
        group = str(self._call("getChannelGroup"))
        return (str(self._call("getCurrentConfig", group)) or None) if group else None

    @property
    def stage_um(self) -> tuple[float, float] | None:
        """(x, y) of the XY stage; None without one."""
        if not str(self._call("getXYStageDevice")):
            return None
        return float(self._call("getXPosition")), float(self._call("getYPosition"))

    @property
    def focus_device(self) -> str:
        """Label of the focus drive; empty without one."""
        return str(self._call("getFocusDevice"))

    def presets(self, group: str) -> list[str]:
        """Presets of a configuration group; none where there is no such group."""
        if not self._call("isGroupDefined", group):
            return []
        return _strings(self._call("getAvailableConfigs", group))

    def allowed_values(self, device: str, name: str) -> list[str] | None:
        """Values that a device's property may take, none where there is no list; None without such a property."""
        try:
            if not self._call("hasProperty", device, name):
                return None
        except Exception:
            return None  # No such device.
        return _strings(self._call("getAllowedPropertyValues", device, name))

    @property
    def bit_depth(self) -> int:
        return int(self._call("getImageBitDepth"))

    @property
    def version(self) -> str:
        """The core's version and device interface, for error messages."""
        return f"{self._call('getVersionInfo')}, {self._call('getAPIVersionInfo')}"

    def pixel_dtype(self) -> Literal["uint8", "uint16"]:
        """Pixel type of the frames to come.

        Raises
        ------
        SourceError
            The camera delivers colour or more than 16 bits.
        """
        n_components = int(self._call("getNumberOfComponents"))
        n_bytes = int(self._call("getBytesPerPixel"))
        if n_components != 1:
            raise SourceError(
                f"expected grey frames of 8 to 16 bits, found colour ({n_components} components); "
                "set the camera's PixelType to 8bit or 16bit"
            )
        if n_bytes not in (1, 2):
            raise SourceError(
                f"expected grey frames of 8 to 16 bits, found {8 * n_bytes} bits a pixel; "
                "set the camera's PixelType to 8bit or 16bit"
            )
        return "uint8" if n_bytes == 1 else "uint16"

    # Sequence

    def start_sequence(self, n_frames: int) -> None:
        """Start a sequence that stops by itself when the core's buffer is full: then nothing is overwritten unseen."""
        self._call("startSequenceAcquisition", int(n_frames), 0.0, True)

    def stop_sequence(self) -> None:
        self._call("stopSequenceAcquisition")

    def is_running(self) -> bool:
        return bool(self._call("isSequenceRunning"))

    def n_waiting(self) -> int:
        return int(self._call("getRemainingImageCount"))

    def has_overflowed(self) -> bool:
        return bool(self._call("isBufferOverflowed"))

    def unload(self) -> None:
        """Shut the devices down, as after the last frame."""
        self._call("unloadAllDevices")

    def pop(self) -> TaggedFrame:
        """Take the oldest frame out of the core's buffer."""
        if self._new_metadata is None:
            return self._tagged_frame(self._call("popNextTaggedImage"))
        return self._with_metadata(self._new_metadata(), "popNextImageMD", _TAGS_OF_POPPED)

    def peek(self, n_before_last: int) -> TaggedFrame:
        """The newest frame of a core that is another's, or the n-th before it; it stays in the buffer.

        Raises
        ------
        Exception
            The buffer holds no such frame now. The kind depends on the core.
        """
        if self._new_metadata is not None:
            if n_before_last:
                return self._with_metadata(self._new_metadata(), "getNBeforeLastImageMD", _TAGS_OF_SEEN, n_before_last)
            return self._with_metadata(self._new_metadata(), "getLastImageMD", _TAGS_OF_SEEN)
        if n_before_last:
            return self._tagged_frame(self._call("getNBeforeLastTaggedImage", n_before_last))
        return self._tagged_frame(self._call("getLastTaggedImage"))

    def _with_metadata(self, metadata: Any, method: str, wanted: Iterable[str], *arguments: object) -> TaggedFrame:
        """From pymmcore, which fills the metadata that it is given."""
        pixels = self._call(method, *arguments, metadata)
        tags = {name: metadata.GetSingleTag(name).GetValue() for name in wanted if metadata.HasTag(name)}
        return TaggedFrame(cast(FrameArray, pixels), tags)

    @staticmethod
    def _tagged_frame(image: Any) -> TaggedFrame:
        """From a ``TaggedImage`` of Java: flat pixels, and tags."""
        tags = {str(key): str(value) for key, value in dict(image.tags).items()}
        data = np.asarray(image.pix)
        if data.ndim == 1:
            data = data.reshape(int(tags["Height"]), int(tags["Width"]))
        # Java has no unsigned types: its bytes and shorts hold the same bits.
        if data.dtype.kind == "i":
            data = data.view(f"u{data.itemsize}")
        return TaggedFrame(cast(FrameArray, data), tags)


def _strings(names: Any) -> list[str]:
    """From a tuple of pymmcore, or from Java's vector, which is asked for each element."""
    if hasattr(names, "size"):
        return [str(names.get(index)) for index in range(int(names.size()))]
    return [str(name) for name in names]


def _metadata_factory(core: object) -> Callable[[], Any] | None:
    """Return the metadata class of pymmcore for cores made of it; None for a remote Java core."""
    try:
        import pymmcore
    except ImportError:
        return None
    return pymmcore.Metadata if isinstance(core, pymmcore.CMMCore) else None


def _snake_case(name: str) -> str:
    """``popNextImageMD`` -> ``pop_next_image_md``, as pycromanager spells it."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
