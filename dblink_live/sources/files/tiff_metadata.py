"""Camera facts in a TIFF: Micro-Manager's tag, OME-XML, or ImageJ's header.

Only what is stated is returned. A pixel size of 0, which Micro-Manager writes when it is not calibrated, is not a size.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import tifffile

from dblink_live.errors import SourceError

MICROMANAGER_TAG = 51123
"""Private TIFF tag in which Micro-Manager keeps each frame's metadata, as JSON."""

_NM = {"nm": 1.0, "µm": 1e3, "μm": 1e3, "um": 1e3, "micron": 1e3, "microns": 1e3, "\\u00b5m": 1e3, "mm": 1e6, "m": 1e9}
_MS = {"s": 1e3, "sec": 1e3, "ms": 1.0, "µs": 1e-3, "μs": 1e-3, "us": 1e-3, "min": 6e4}


@dataclass(frozen=True)
class TiffFacts:
    """Camera facts that a file states; None where it is silent."""

    pixel_size_nm: float | None = None
    exposure_ms: float | None = None
    frame_interval_ms: float | None = None
    bit_depth: int | None = None
    binning: int = 1


def tiff_facts(tif: tifffile.TiffFile, path: Path) -> TiffFacts:
    """Read the facts from the best source that the file has.

    Raises
    ------
    SourceError
        The pixels are stated not to be square.
    """
    tag = tif.pages[0].tags.get(MICROMANAGER_TAG) if isinstance(tif.pages[0], tifffile.TiffPage) else None
    if tag is not None:
        facts = facts_of_micromanager(tag.value)
        if facts is not None:
            return facts
    if tif.is_ome and tif.ome_metadata:
        return _ome(tif.ome_metadata, path)
    if tif.is_imagej:
        return _imagej(tif, path)
    return TiffFacts()


def facts_of_micromanager(value: Any) -> TiffFacts | None:
    """Return the facts of one image's metadata; None where they are no JSON object."""
    if isinstance(value, (str, bytes)):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    if not isinstance(value, Mapping):
        return None
    micrometres = _positive(value.get("PixelSizeUm")) or _positive(value.get("PixelSize_um"))
    bit_depth = _positive(value.get("BitDepth"))
    binning = _positive(str(value.get("Binning", "")).partition("x")[0])
    return TiffFacts(
        pixel_size_nm=round(micrometres * 1e3, 6) if micrometres else None,
        exposure_ms=_positive(value.get("Exposure-ms")),
        bit_depth=int(bit_depth) if bit_depth and 8 <= bit_depth <= 16 else None,
        binning=int(binning) if binning else 1,
    )


def _ome(xml: str, path: Path) -> TiffFacts:
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return TiffFacts()
    pixels = root.find(".//{*}Pixels")
    if pixels is None:
        return TiffFacts()
    x = _scaled(pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit", "µm"), _NM)
    y = _scaled(pixels.get("PhysicalSizeY"), pixels.get("PhysicalSizeYUnit", "µm"), _NM)
    bits = _positive(pixels.get("SignificantBits"))
    facts = TiffFacts(
        pixel_size_nm=_square(x, y, path),
        frame_interval_ms=_scaled(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"), _MS),
        bit_depth=int(bits) if bits and 8 <= bits <= 16 else None,
    )
    plane = pixels.find("{*}Plane")
    if plane is None:
        return facts
    return replace(facts, exposure_ms=_scaled(plane.get("ExposureTime"), plane.get("ExposureTimeUnit", "s"), _MS))


def _imagej(tif: tifffile.TiffFile, path: Path) -> TiffFacts:
    header = tif.imagej_metadata or {}
    page = tif.pages[0]
    unit = str(header.get("unit", "")).strip()
    sizes: list[float | None] = []
    for name in ("XResolution", "YResolution"):
        tag = page.tags.get(name) if isinstance(page, tifffile.TiffPage) else None
        # Pixels a unit, as a fraction.
        numerator, denominator = tag.value if tag is not None else (0, 1)
        sizes.append(_scaled(denominator / numerator, unit, _NM) if numerator and unit else None)
    interval = _positive(header.get("finterval"))
    return TiffFacts(
        pixel_size_nm=_square(sizes[0], sizes[1], path),
        frame_interval_ms=interval * 1e3 if interval else None,
    )


def _square(x: float | None, y: float | None, path: Path) -> float | None:
    if x is not None and y is not None and not math.isclose(x, y, rel_tol=1e-3):
        raise SourceError(
            f"expected square camera pixels in {path}, found {x:g} x {y:g} nm; resave it with the right scale"
        )
    return x


def _scaled(value: object, unit: str, units: Mapping[str, float]) -> float | None:
    number = _positive(value)
    factor = units.get(unit.lower()) or units.get(unit)
    return number * factor if number is not None and factor is not None else None


def _positive(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None
