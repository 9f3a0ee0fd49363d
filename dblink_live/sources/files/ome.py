"""Where OME-XML says that the planes of an image lie: in which file, on which page (https://docs.openmicroscopy.org).

The format is OME's model of 2016-06. A file set states the planes of all its files in each of them, and each file's own
identity in the attribute ``UUID`` of its root.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

from dblink_live.errors import SourceError

_MAX_PLANES = 50_000_000


@dataclass(frozen=True)
class Plane:
    """One plane of an image."""

    channel: int
    z: int
    time: int
    file: str | None
    """Name of its file as the XML has it; None where it is the file that the XML lies in."""
    uuid: str | None
    page: int


@dataclass(frozen=True)
class OmeImage:
    """One image, which Micro-Manager makes of each position."""

    name: str
    sizes: tuple[int, int, int]
    """Channels, slices and time points that were planned."""
    channels: tuple[str, ...]
    planes: tuple[Plane, ...]
    """As listed; empty where the XML lists none."""


@dataclass(frozen=True)
class OmeSet:
    """What the XML of one file says."""

    uuid: str | None
    images: tuple[OmeImage, ...]
    master: str | None = None
    """File that holds the whole XML, where this one only refers to it."""


def parse_ome(xml: str, n_pages: int) -> OmeSet | None:
    """Return what ``xml`` says; None where it is no OME-XML.

    Parameters
    ----------
    xml
        The description of a file's first page.
    n_pages
        Pages of that file, which planes without a stated number fill.

    Raises
    ------
    SourceError
        A number in it is none.
    """
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None
    if not root.tag.endswith("OME"):
        return None
    binary_only = root.find("{*}BinaryOnly")
    if binary_only is not None:
        return OmeSet(_uuid(binary_only.get("UUID")), (), master=binary_only.get("MetadataFile"))
    try:
        images = tuple(_image(image, n_pages) for image in root.iterfind("{*}Image"))
    except (ValueError, OverflowError) as error:
        raise SourceError(
            f"expected whole numbers in the OME-XML of the file, found {error}; export it again"
        ) from error
    return OmeSet(_uuid(root.get("UUID")), images)


def _image(image: ElementTree.Element, n_pages: int) -> OmeImage:
    pixels = image.find("{*}Pixels")
    name = image.get("Name") or image.get("ID") or ""
    if pixels is None:
        return OmeImage(name, (1, 1, 1), (), ())
    sizes = tuple(int(pixels.get(key, "1")) for key in ("SizeC", "SizeZ", "SizeT"))
    if min(sizes) < 0 or sizes[0] * sizes[1] * sizes[2] > _MAX_PLANES:
        raise ValueError(f"{sizes[0]} x {sizes[1]} x {sizes[2]} planes")
    channels = tuple(channel.get("Name") or f"{index}" for index, channel in enumerate(pixels.iterfind("{*}Channel")))
    # Behind X and Y, the axis that changes fastest first.
    order = [axis for axis in pixels.get("DimensionOrder", "XYCZT") if axis in "CZT"]
    size_of = dict(zip("CZT", sizes, strict=True))
    planes: list[Plane] = []
    for data in pixels.iterfind("{*}TiffData"):
        planes += _planes(data, order, size_of, n_pages)
    return OmeImage(name, (sizes[0], sizes[1], sizes[2]), channels, tuple(planes))


def _planes(data: ElementTree.Element, order: list[str], size_of: dict[str, int], n_pages: int) -> list[Plane]:
    place = data.find("{*}UUID")
    page = int(data.get("IFD", "0"))
    first = [int(data.get(f"First{axis}", "0")) for axis in order]
    total = size_of["C"] * size_of["Z"] * size_of["T"]
    strides = [1, size_of[order[0]], size_of[order[0]] * size_of[order[1]]]
    start = sum(value * stride for value, stride in zip(first, strides, strict=True))
    stated = data.get("PlaneCount")
    count = int(stated) if stated is not None else 1 if data.get("IFD") is not None else n_pages
    found = []
    for index in range(min(count, max(0, total - start))):
        at: dict[str, int] = {}
        rest = start + index
        for axis in order:
            rest, at[axis] = divmod(rest, size_of[axis])
        uuid = _uuid(place.text) if place is not None else None
        name = place.get("FileName") if place is not None else None
        found.append(Plane(at["C"], at["Z"], at["T"], name, uuid, page + index))
    return found


def _uuid(text: str | None) -> str | None:
    return text.strip().removeprefix("urn:uuid:").lower() if text and text.strip() else None
