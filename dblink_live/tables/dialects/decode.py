"""DECODE's localizations: the group ``data`` of an HDF5 file, with ``meta`` beside it.

Format: Speiser et al., "Deep learning enables fast and dense single-molecule localization with high accuracy", Nature
Methods 2021; https://github.com/TuragaLab/DECODE, commit 4c0f38c, ``decode/utils/emitter_io.py``. Frames count from 0,
and the centre of the first pixel lies at 0 (``psf_extent`` begins at -0.5).

The first coordinate, which DECODE calls x, runs along the *rows* of a frame: ``frame_grid`` in ``generic/utils.py``
takes its bins from the image's first axis, ``PlotFrame`` transposes the frame to draw it, and SMAP, which imports these
files, takes ``ynm`` from it and from the first pixel size (``decodeh5ToLoc.m``). It is our y.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from dblink_live.errors import SourceError
from dblink_live.tables.columns import Column, as_column, check_present, make_rows
from dblink_live.tables.files import replacing
from dblink_live.tables.hdf5 import opened
from dblink_live.tables.pixels import CameraPixels
from dblink_live.tables.table import LocalizationTable, is_unknown
from dblink_live.tables.table_format import EVERY_COLUMN, TableFormat

_REQUIRED = ("frame_ix", "xyz")
_UNITS = ("px", "nm")
_USED = ("xyz", "xyz_sig", "phot", "bg", "frame_ix", "id", "prob")


def read_decode(path: Path, pixel_size_nm: float | None = None, unit: str | None = None) -> LocalizationTable:
    """Read DECODE's localizations; ``pixel_size_nm`` is only needed where the file does not state it.

    Raises
    ------
    SourceError
        There is no frame_ix or xyz, their unit is neither px nor nm, or a position is not finite.
    CalibrationError
        The pixel size is stated nowhere, or differs from ``pixel_size_nm``.
    """
    with opened(path) as file:
        data = file["data"]
        check_present(_REQUIRED, data, path)
        meta = dict(file["meta"].attrs) if "meta" in file else {}
        # What DECODE did not estimate it leaves empty.
        stored = {name: data[name][()] for name in data if data[name].shape is not None}
    stated = meta.get("xy_unit")
    stated = stated.decode() if isinstance(stated, bytes) else stated
    unit = unit if stated is None else stated
    if unit not in _UNITS:
        raise SourceError(f"expected xy_unit px or nm in {path}, found {stated!r}; give --unit px or nm")
    # (row, column) in the file.
    sides = np.asarray(meta.get("px_size", ()), np.float64).reshape(-1)
    stated_nm = (float(sides[1]), float(sides[0])) if sides.size == 2 else None
    pixels = CameraPixels.agreed(stated_nm, pixel_size_nm, f"px_size of {path}")
    is_nm = unit == "nm"
    y, x, z_nm = _coordinates(stored["xyz"], "xyz", path)
    columns = {
        "frame": as_column(stored["frame_ix"], "frame_ix", path),
        "x": pixels.x(x / pixels.x_nm if is_nm else x),
        "y": pixels.y(y / pixels.y_nm if is_nm else y),
    }
    # The third coordinate is in nm whatever the unit of the others; in two dimensions it is 0.
    is_3d = z_nm is not None and bool(np.any(np.nan_to_num(z_nm)))
    if z_nm is not None and is_3d:
        columns["z_nm"] = z_nm
    if "xyz_sig" in stored:
        y, x, z_nm = _coordinates(stored["xyz_sig"], "xyz_sig", path)
        if z_nm is not None and is_3d:
            columns["lpz_nm"] = z_nm
        columns["lpx"] = x * ((1.0 if is_nm else pixels.x_nm) / pixels.table_nm)
        columns["lpy"] = y * ((1.0 if is_nm else pixels.y_nm) / pixels.table_nm)
    for name, theirs in (("photons", "phot"), ("bg", "bg")):
        if theirs in stored:
            columns[name] = as_column(stored[theirs], theirs, path)
    rows, extra = make_rows(path, columns, is_counted_from_1=False)
    return LocalizationTable(
        rows,
        pixels.table_nm,
        is_pixel_size_known=pixels.is_table_size_known,
        extra=extra,
        unused=tuple(str(name) for name in stored if name not in _USED),
    )


def write_decode(path: Path, table: LocalizationTable) -> None:
    """Write positions in pixels and z in nm, their precision, photons and background; widths have no place."""
    rows = table.localizations
    zeros = np.zeros(len(rows))
    z_nm, lpz_nm = table.extra.get("z_nm", zeros), table.extra.get("lpz_nm", zeros)
    is_precision_known = not (is_unknown(rows["lpx"]) and is_unknown(rows["lpy"]))
    with replacing(path) as unfinished, h5py.File(unfinished, "w") as file:
        meta = file.create_group("meta").attrs
        # In this order: SMAP takes them by it.
        meta["xy_unit"] = "px"
        meta["px_size"] = np.full(2, table.pixel_size_nm, np.float32)
        file.create_group("decode").attrs["version"] = "written by dblink-live"
        data = file.create_group("data")
        data["xyz"] = np.stack([rows["y"], rows["x"], z_nm], axis=1).astype(np.float32)
        # What is unknown is empty, as DECODE leaves it, but for photons: its emitters always have some.
        sigma = np.stack([rows["lpy"], rows["lpx"], lpz_nm], axis=1).astype(np.float32)
        data["xyz_sig"] = sigma if is_precision_known else h5py.Empty("f")
        data["phot"] = rows["photons"].astype(np.float32)
        data["bg"] = h5py.Empty("f") if is_unknown(rows["bg"]) else rows["bg"].astype(np.float32)
        data["frame_ix"] = rows["frame"].astype(np.int64)
        data["id"] = np.full(len(rows), -1, np.int64)
        data["prob"] = np.ones(len(rows), np.float32)
        for name in ("xyz_cr", "phot_cr", "phot_sig", "bg_cr", "bg_sig"):
            data[name] = h5py.Empty("f")


def _coordinates(values: object, name: str, path: Path) -> tuple[Column, Column, Column | None]:
    """First, second, and where there is one, third coordinate."""
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[1] not in (2, 3) or array.dtype.kind not in "iuf":
        raise SourceError(
            f"expected {name} with 2 or 3 numbers per row in {path}, found {array.dtype} of shape {array.shape}; "
            "save the emitters again"
        )
    columns = array.astype(np.float64).T
    return columns[0], columns[1], columns[2] if len(columns) == 3 else None


FORMAT = TableFormat(
    name="DECODE HDF5",
    read=read_decode,
    suffixes=(".h5",),
    groups=("data",),
    positions="px or nm from the centre of the first pixel, the row first; z in nm",
    first_frame="0",
    versions="DECODE 0.10 in 2D and 3D, square and other pixels",
    refused="a unit that is neither px nor nm",
    write=write_decode,
    written_suffix=".h5",
    written_as="DECODE's",
    holds=EVERY_COLUMN - {"sx", "sy", "channel"},
    is_in_pixels=True,
    container="an HDF5",
)
