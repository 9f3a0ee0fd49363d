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
from dblink_live.tables.table import LocalizationTable

_REQUIRED = ("frame_ix", "xyz")
_UNITS = ("px", "nm")


def read_decode(path: Path, pixel_size_nm: float | None = None) -> LocalizationTable:
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
    unit = meta.get("xy_unit")
    unit = unit.decode() if isinstance(unit, bytes) else unit
    if unit not in _UNITS:
        raise SourceError(f"expected xy_unit px or nm in {path}, found {unit!r}; save the emitters with their unit")
    # (row, column) in the file.
    sides = np.asarray(meta.get("px_size", ()), np.float64).reshape(-1)
    stated_nm = (float(sides[1]), float(sides[0])) if sides.size == 2 else None
    pixels = CameraPixels.agreed(stated_nm, pixel_size_nm, f"px_size of {path}")
    is_nm = unit == "nm"
    y, x = _two_columns(stored["xyz"], "xyz", path)
    columns = {
        "frame": as_column(stored["frame_ix"], "frame_ix", path),
        "x": pixels.x(x / pixels.x_nm if is_nm else x),
        "y": pixels.y(y / pixels.y_nm if is_nm else y),
    }
    if "xyz_sig" in stored:
        y, x = _two_columns(stored["xyz_sig"], "xyz_sig", path)
        columns["lpx"] = x * ((1.0 if is_nm else pixels.x_nm) / pixels.table_nm)
        columns["lpy"] = y * ((1.0 if is_nm else pixels.y_nm) / pixels.table_nm)
    for name, theirs in (("photons", "phot"), ("bg", "bg")):
        if theirs in stored:
            columns[name] = as_column(stored[theirs], theirs, path)
    rows = make_rows(path, columns, is_counted_from_1=False)
    return LocalizationTable(rows, pixels.table_nm, is_pixel_size_known=pixels.is_table_size_known)


def write_decode(path: Path, table: LocalizationTable) -> None:
    """Write positions in pixels, their precision, photons and background; the format has no place for widths."""
    rows = table.localizations
    depth = np.zeros(len(rows))
    with replacing(path) as unfinished, h5py.File(unfinished, "w") as file:
        meta = file.create_group("meta").attrs
        # In this order: SMAP takes them by it.
        meta["xy_unit"] = "px"
        meta["px_size"] = np.full(2, table.pixel_size_nm, np.float32)
        file.create_group("decode").attrs["version"] = "written by dblink-live"
        data = file.create_group("data")
        data["xyz"] = np.stack([rows["y"], rows["x"], depth], axis=1).astype(np.float32)
        data["xyz_sig"] = np.stack([rows["lpy"], rows["lpx"], depth], axis=1).astype(np.float32)
        data["phot"] = rows["photons"].astype(np.float32)
        data["bg"] = rows["bg"].astype(np.float32)
        data["frame_ix"] = rows["frame"].astype(np.int64)
        data["id"] = np.full(len(rows), -1, np.int64)
        data["prob"] = np.ones(len(rows), np.float32)
        for name in ("xyz_cr", "phot_cr", "phot_sig", "bg_cr", "bg_sig"):
            data[name] = h5py.Empty("f")


def _two_columns(values: object, name: str, path: Path) -> tuple[Column, Column]:
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[1] not in (2, 3) or array.dtype.kind not in "iuf":
        raise SourceError(
            f"expected {name} with 2 or 3 numbers a row in {path}, found {array.dtype} of shape {array.shape}; "
            "save the emitters again"
        )
    first, second = array[:, :2].astype(np.float64).T
    return first, second
