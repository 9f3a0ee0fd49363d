"""Camera facts in an NDTiff dataset: its summary and the metadata of each image.

Micro-Manager Studio, its acquisition engine and pycromanager spell the same fact differently; all are understood. Only
what is stated is returned. A pixel size of 0, which Micro-Manager writes when it is not calibrated, is not a size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

from dblink_live.types import Segment

Metadata = Mapping[str, Any]

_PIXEL_SIZE_UM = ("PixelSizeUm", "PixelSize_um", "pixelSizeUm")
_EXPOSURE_MS = ("Exposure-ms", "Exposure", "exposureMs")
_BIT_DEPTH = "BitDepth"
_BINNING = "Binning"
_ROI = "ROI"
_ROI_NUMBERS = ("ROI-X-start", "ROI-Y-start", "Width", "Height")
_FACTS = (*_PIXEL_SIZE_UM, *_EXPOSURE_MS, _BIT_DEPTH, _BINNING, _ROI, *_ROI_NUMBERS)
_SAME = 0.01
"""Relative difference below which two stated sizes or times are the same."""


@dataclass(frozen=True)
class ImageFacts:
    """Facts in the metadata of an image; None where not stated."""

    pixel_size_nm: float | None = None
    exposure_ms: float | None = None
    bit_depth: int | None = None
    binning: int | None = None
    roi: tuple[int, int, int, int] | None = None
    """x, y, width, height on the sensor."""

    def change_to(self, other: ImageFacts) -> str | None:
        """Name of the first fact that both state differently; None where they agree."""
        for item in fields(self):
            before, after = getattr(self, item.name), getattr(other, item.name)
            if before is None or after is None or before == after:
                continue
            # A camera may report the exposure that it really had, a little different each time.
            if not (isinstance(before, float) and math.isclose(before, after, rel_tol=_SAME)):
                return item.name.removesuffix("_nm").removesuffix("_ms").replace("_", " ")
        return None

    def filled_from(self, other: ImageFacts) -> ImageFacts:
        """These facts, and ``other``'s where these are silent."""
        silent = {item.name: getattr(other, item.name) for item in fields(self) if getattr(self, item.name) is None}
        return replace(self, **silent)

    def describe(self, segment: Segment) -> Segment:
        """``segment`` with these facts."""
        return replace(
            segment,
            pixel_size_nm=self.pixel_size_nm,
            exposure_ms=self.exposure_ms,
            bit_depth=self.bit_depth,
            binning=self.binning or 1,
            roi=self.roi,
        )


def stated(metadata: Metadata) -> tuple[Any, ...]:
    """All that `image_facts` looks at in the metadata: images of which this is equal have the same facts."""
    return tuple(map(metadata.get, _FACTS))


def image_facts(metadata: Metadata, summary: Metadata, stored_bits: int) -> ImageFacts:
    """The facts of one image; those of the dataset's summary where the image is silent.

    ``stored_bits`` is what the index says of the pixels. Micro-Manager Studio says 16 there for any camera above 8
    bits, so a lower number in the metadata is believed.
    """
    micrometres = _first_positive((metadata, summary), _PIXEL_SIZE_UM)
    bits = _first_positive((metadata, summary), (_BIT_DEPTH,))
    binning = _positive(str(metadata.get(_BINNING, "")).partition("x")[0])
    return ImageFacts(
        # Micrometres with a few digits: 0.108 becomes 108 nm, not 108.00000000000001.
        pixel_size_nm=round(micrometres * 1e3, 6) if micrometres else None,
        exposure_ms=_first_positive((metadata,), _EXPOSURE_MS),
        bit_depth=min(stored_bits, int(bits)) if bits and bits >= 8 else stored_bits,
        binning=int(binning) if binning else None,
        roi=_roi(metadata),
    )


def frame_interval_ms(summary: Metadata) -> float | None:
    """The interval that the acquisition was set to; None where it went as fast as the camera."""
    return _first_positive((summary,), ("Interval_ms",))


def channel_names(summary: Metadata) -> tuple[str, ...]:
    """Names of the channels by number, where the summary lists them."""
    names = summary.get("ChNames")
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def camera_times_ns(metadata: Metadata) -> tuple[int | None, int | None]:
    """Return the time of the image by two clocks: since the start of the acquisition, and when the core received it.

    None where a clock is silent. Frames of a hardware-timed sequence may all say 0.0 ms elapsed, which is no time.
    """
    elapsed_ms = _first_positive((metadata,), ("ElapsedTime-ms",))
    received = None
    try:
        # The zone does not matter, for only differences are used.
        moment = datetime.fromisoformat(str(metadata.get("TimeReceivedByCore", ""))).replace(tzinfo=UTC)
        received = round(moment.timestamp() * 1e6) * 1000
    except ValueError:
        pass
    return (round(elapsed_ms * 1e6) if elapsed_ms is not None else None), received


def _roi(metadata: Metadata) -> tuple[int, int, int, int] | None:
    """``ROI: x-y-width-height``, or four numbers of their own."""
    text = metadata.get(_ROI)
    values = text.split("-") if isinstance(text, str) else []
    if len(values) != 4:
        values = [str(metadata.get(key, "")) for key in _ROI_NUMBERS]
    if not all(value.isdecimal() for value in values):
        return None
    x, y, width, height = (int(value) for value in values)
    return x, y, width, height


def _first_positive(places: tuple[Metadata, ...], keys: tuple[str, ...]) -> float | None:
    for place in places:
        for key in keys:
            number = _positive(place.get(key))
            if number is not None:
                return number
    return None


def _positive(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None
