"""SMAP's localizations: the struct ``saveloc`` of a MATLAB file.

Format: Ries, "SMAP: a modular super-resolution microscopy analysis platform for SMLM data", Nature Methods 2020;
https://github.com/jries/SMAP, commit 51d8b9a: ``LocalizationData.savelocs`` writes it, and ``fitloc2locdata.m`` makes
``xnm`` of the fitted pixel: ``(xpix + roi(1)) * pixelsize``. There ``xpix`` counts as MATLAB does, the centre of the
first pixel is 1 (``MLE_GPU_Yiming.m`` adds the spot's index from 1), and so do frames. The region's corner on the
sensor is taken off again here, for a table lies in the frames that it came from.

MATLAB 7.3 files are HDF5 behind 512 bytes of MATLAB's own header; older ones are read by `matlab5`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from dblink_live.errors import SourceError
from dblink_live.tables.columns import Column, as_column, check_present, make_rows
from dblink_live.tables.files import replacing
from dblink_live.tables.hdf5 import opened
from dblink_live.tables.matlab5 import read_variable
from dblink_live.tables.pixels import CameraPixels
from dblink_live.tables.table import LocalizationTable, is_unknown
from dblink_live.tables.table_format import NotATableError, TableFormat
from dblink_live.types import Shape

OLD_START = b"MATLAB 5.0 MAT-file"
"""What MATLAB files of versions 5 to 7 begin with."""
ROOT = "saveloc"
_REQUIRED = ("frame", "xnm", "ynm")
_USED = (*_REQUIRED, "phot", "bg", "PSFxnm", "PSFynm", "xnmerr", "ynmerr", "locprecnm", "znm", "znmerr", "locprecznm")
_LABELS = ("channel", "filenumber")
_INFO = ("Width", "Height", "roi", "cam_pixelsize_um", "numberOfFrames")
_HEADER_BYTES = 512


@dataclass(frozen=True)
class _Content:
    """What is used of ``saveloc``, whatever MATLAB's version."""

    columns: Mapping[str, Column]
    info: Mapping[str, npt.NDArray[np.float64]]
    """Facts of the movie, each flattened; those that are empty or no numbers are left out."""

    unused: tuple[str, ...] = ()

    def shape(self) -> Shape | None:
        sides = [self.info.get(name, np.zeros(1))[0] for name in ("Height", "Width")]
        return Shape(*(int(side) for side in sides)) if min(sides) >= 1 else None

    def pixel_size_nm(self) -> tuple[float, float] | None:
        sides = self.info.get("cam_pixelsize_um")
        return None if sides is None else (float(sides[0]) * 1e3, float(sides[-1]) * 1e3)

    def n_frames(self) -> int | None:
        n = int(self.info.get("numberOfFrames", np.zeros(1))[0])
        return n if n >= 1 else None


def read_smap(path: Path, pixel_size_nm: float | None = None, unit: str | None = None) -> LocalizationTable:
    """Read SMAP's localizations; ``pixel_size_nm`` is only needed where the file does not state it.

    Raises
    ------
    SourceError
        There is no ``saveloc`` of one movie with frame, xnm and ynm, or a position is not finite.
    CalibrationError
        The pixel size is stated nowhere, or differs from ``pixel_size_nm``.
    """
    content = _read_hdf5(path) if h5py.is_hdf5(path) else _read_old(path)
    check_present(_REQUIRED, content.columns, path)
    pixels = CameraPixels.agreed(content.pixel_size_nm(), pixel_size_nm, f"cam_pixelsize_um of {path}")
    roi = content.info.get("roi", np.zeros(2))
    nm = content.columns
    columns = {
        "frame": nm["frame"],
        # MATLAB's 1 is our 0, and the region starts ``roi`` pixels from the sensor's corner.
        "x": pixels.x(nm["xnm"] / pixels.x_nm - 1 - roi[0]),
        "y": pixels.y(nm["ynm"] / pixels.y_nm - 1 - roi[1]),
    }
    columns |= {name: nm[theirs] for name, theirs in (("photons", "phot"), ("bg", "bg")) if theirs in nm}
    for name, candidates in (
        ("sx", ("PSFxnm",)),
        ("sy", ("PSFynm", "PSFxnm")),
        ("lpx", ("xnmerr", "locprecnm")),
        ("lpy", ("ynmerr", "locprecnm")),
    ):
        theirs = next((candidate for candidate in candidates if candidate in nm), None)
        if theirs is not None:
            columns[name] = nm[theirs] / pixels.table_nm
    if "znm" in nm and np.any(np.nan_to_num(nm["znm"])):
        columns["z_nm"] = nm["znm"]
        depth = next((nm[name] for name in ("znmerr", "locprecznm") if name in nm), None)
        columns |= {} if depth is None else {"lpz_nm": depth}
    columns |= {name: nm[name] for name in _LABELS if name in nm and len(nm[name]) == len(nm["frame"])}
    rows, extra = make_rows(path, columns, is_counted_from_1=True)
    n_frames = content.n_frames()
    if n_frames is not None and len(rows):
        # SMAP's own number is that of a preview at times.
        n_frames = max(n_frames, int(rows["frame"][-1]) + 1)
    shape = content.shape() if pixels.are_square else None
    return LocalizationTable(
        rows, pixels.table_nm, shape, n_frames, pixels.is_table_size_known, extra=extra, unused=content.unused
    )


def write_smap(path: Path, table: LocalizationTable) -> None:
    """Write a MATLAB 7.3 file with the columns that SMAP's own fits have; SMAP expects a name that ends in _sml.mat."""
    rows, nm = table.localizations, table.pixel_size_nm
    shape = table.field()
    doubles = {name: rows[name].astype(np.float64) for name in rows.dtype.names or ()}
    last = int(rows["frame"].max()) + 1 if len(rows) else 0
    errors = {name: doubles[ours] * nm for name, ours in (("xnmerr", "lpx"), ("ynmerr", "lpy"))}
    loc = {
        "xnm": (doubles["x"] + 1) * nm,
        "ynm": (doubles["y"] + 1) * nm,
        "phot": doubles["photons"],
        "bg": doubles["bg"],
        "PSFxnm": doubles["sx"] * nm,
        "PSFynm": doubles["sy"] * nm,
        **errors,
        "locprecnm": np.sqrt((errors["xnmerr"] ** 2 + errors["ynmerr"] ** 2) / 2),
        "znm": table.extra.get("z_nm", np.full(len(rows), np.nan)),
        "locprecznm": table.extra.get("lpz_nm", np.full(len(rows), np.nan)),
    }
    loc = {name: values for name, values in loc.items() if not is_unknown(values)}
    loc |= {"filenumber": np.ones(len(rows)), "channel": _numbered(table.extra.get("channel"), len(rows))}
    info: dict[str, list[float]] = {
        "Width": [shape.width],
        "Height": [shape.height],
        "roi": [0, 0, shape.width, shape.height],
        "cam_pixelsize_um": [nm / 1e3, nm / 1e3],
        "numberOfFrames": [max(last, table.n_frames or 0)],
    }
    with replacing(path) as unfinished:
        with h5py.File(unfinished, "w", userblock_size=_HEADER_BYTES) as file:
            _put_text(_put_struct(file, "fileformat"), "name", "sml")
            saveloc = _put_struct(file, ROOT)
            columns = _put_struct(saveloc, "loc")
            _put_numbers(columns, "frame", rows["frame"] + 1, np.float64)
            for name, values in loc.items():
                # As SMAP has them: 2 pm in a field of 26 um.
                _put_numbers(columns, name, values, np.float32)
            movie = _put_struct(saveloc, "file")
            _put_text(movie, "name", path.name)
            for name in ("number", "numberOfTif"):
                _put_numbers(movie, name, [float(name == "number")], np.float64)
            facts = _put_struct(movie, "info")
            for name, numbers in info.items():
                _put_numbers(facts, name, numbers, np.float64)
        with unfinished.open("r+b") as raw:
            raw.write(_matlab_header())


def _numbered(channels: npt.NDArray[Any] | None, n: int) -> npt.NDArray[np.float64]:
    """Channels as SMAP has them, whole numbers: names are numbered from 1 in their alphabetical order."""
    if channels is None:
        return np.zeros(n)
    if channels.dtype.kind == "f":
        return channels.astype(np.float64)
    return np.unique(channels, return_inverse=True)[1].astype(np.float64) + 1.0


def _matlab_header() -> bytes:
    """116 bytes of text, 8 for data of the system that there is none of, the version and the byte order."""
    text = b"MATLAB 7.3 MAT-file, Platform: Python, written by dblink-live HDF5 schema 1.00 ."
    return text.ljust(116) + bytes(8) + b"\x00\x02IM"


def _put_struct(parent: h5py.Group, name: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["MATLAB_class"] = np.bytes_("struct")
    return group


def _put_numbers(parent: h5py.Group, name: str, values: npt.ArrayLike, dtype: npt.DTypeLike) -> None:
    """A column vector: MATLAB's N x 1 is 1 x N in HDF5."""
    array = np.asarray(values, dtype)
    # MATLAB states the size of an array that holds nothing in place of its content.
    dataset = parent.create_dataset(name, data=array[np.newaxis] if array.size else np.array([0, 1], np.uint64))
    dataset.attrs["MATLAB_class"] = np.bytes_("single" if array.dtype == np.float32 else "double")
    if not array.size:
        dataset.attrs["MATLAB_empty"] = np.uint8(1)


def _put_text(parent: h5py.Group, name: str, text: str) -> None:
    codes = np.frombuffer(text.encode("utf-16-le"), np.uint16)
    dataset = parent.create_dataset(name, data=codes[:, np.newaxis])
    dataset.attrs["MATLAB_class"] = np.bytes_("char")
    dataset.attrs["MATLAB_int_decode"] = np.int32(2)


def _read_hdf5(path: Path) -> _Content:
    with opened(path) as file:
        loc, info = file.get(f"{ROOT}/loc"), file.get(f"{ROOT}/file/info")
        if not isinstance(loc, h5py.Group):
            raise _no_table(path, sorted(str(name) for name in file))
        if isinstance(info, h5py.Dataset) and info.dtype == h5py.ref_dtype:
            raise _several(path, info.size)
        columns = {name: as_column(_numbers(loc[name]), name, path) for name in (*_USED, *_LABELS) if name in loc}
        unused = tuple(str(name) for name in loc if name not in columns)
        facts = {name: _numbers(info[name]) for name in _INFO if isinstance(info, h5py.Group) and name in info}
    return _Content(columns, _flattened(facts), unused)


def _numbers(dataset: h5py.Dataset) -> npt.NDArray[np.generic]:
    return np.zeros(0) if dataset.attrs.get("MATLAB_empty", 0) else np.asarray(dataset[()])


def _read_old(path: Path) -> _Content:
    saveloc = read_variable(path, ROOT)
    if not isinstance(saveloc, Mapping) or not isinstance(saveloc.get("loc"), Mapping):
        raise _no_table(path, saveloc if isinstance(saveloc, Mapping) else ())
    loc, movie = saveloc["loc"], saveloc.get("file", {})
    if isinstance(movie, list) and len(movie) > 1:
        raise _several(path, len(movie))
    info = movie.get("info", {}) if isinstance(movie, Mapping) else {}
    columns = {name: as_column(loc[name], name, path) for name in (*_USED, *_LABELS) if name in loc}
    facts = {name: info[name] for name in _INFO if isinstance(info, Mapping) and name in info}
    return _Content(columns, _flattened(facts), tuple(name for name in loc if name not in columns))


def _flattened(facts: Mapping[str, npt.ArrayLike]) -> dict[str, npt.NDArray[np.float64]]:
    arrays = {name: np.asarray(value).reshape(-1) for name, value in facts.items()}
    kept = {name: array for name, array in arrays.items() if array.size and array.dtype.kind in "iuf"}
    return {name: array.astype(np.float64) for name, array in kept.items() if name != "roi" or array.size >= 2}


def _no_table(path: Path, found: object) -> SourceError:
    listed = ", ".join(str(name) for name in found) if isinstance(found, (list, Mapping)) else ""
    return NotATableError(f"expected SMAP's table {ROOT}.loc in {path}, found {listed or 'nothing'}")


def _several(path: Path, n: int) -> SourceError:
    return SourceError(
        f"expected the localizations of one movie in {path}, found {n} movies, whose frames have the same numbers; "
        "save each file by itself in SMAP"
    )


FORMAT = TableFormat(
    name="SMAP _sml.mat",
    read=read_smap,
    suffixes=(".mat",),
    starts=(OLD_START,),
    groups=(ROOT,),
    positions="nm; the centre of the first pixel is one pixel; z in nm",
    first_frame="1",
    versions="MATLAB 5 to 7 and 7.3 (HDF5), in 2D and 3D",
    refused="several movies in one file; rows of several channels (`--channel` selects)",
    write=write_smap,
    written_suffix=".mat",
    written_as="SMAP's (MATLAB 7.3)",
    is_in_pixels=True,
    container="a MATLAB",
)
