"""The SMLM file format: a zip archive of binary tables and a ``manifest.json`` that says how to read them.

Format: Ouyang et al., "ShareLoc: an open platform for sharing localization microscopy data", Nature Methods 2022;
https://github.com/imodpasteur/smlm-file-format, specification 0.2. It demands x and y, in nanometres where no unit is
stated, and leaves origin and first frame open. We take both as in the formats it was made after: positions from the
outer corner of pixel (0, 0) as in ThunderSTORM, whose plug-in writes its columns here, and frames from 1 as in the
tagged spot format. A frame 0 tells that they count from 0.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dblink_live.errors import SourceError
from dblink_live.tables.columns import Column, as_column, check_present, make_rows
from dblink_live.tables.files import replacing
from dblink_live.tables.named import LABELS, parse_name
from dblink_live.tables.table import NOMINAL_PIXEL_SIZE_NM, LocalizationTable, is_unknown
from dblink_live.tables.table_format import NotATableError, TableFormat
from dblink_live.tables.units import is_photons, nm_per

START = b"PK\x03\x04"
"""What a zip archive begins with."""
_MANIFEST = "manifest.json"
_MAX_MANIFEST_BYTES = 10_000_000
_VERSION = "0.2"
_TABLE, _FORMAT = "localizations.bin", "smlm-table(binary)"
_DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
_NO_UNIT = ("", "1")
"""By the specification, lengths without a unit are in nm."""


@dataclass(frozen=True)
class _Quantity:
    """What may fill some of our columns, and the names it has: the specification's, ThunderSTORM's, Locan's."""

    names: tuple[str, ...]
    fields: tuple[str, ...]
    is_length: bool = False
    is_photons: bool = False


_REQUIRED = (
    _Quantity(("x", "position_x"), ("x",), is_length=True),
    _Quantity(("y", "position_y"), ("y",), is_length=True),
    _Quantity(("frame",), ("frame",)),
)
_OPTIONAL = (
    _Quantity(("intensity",), ("photons",), is_photons=True),
    _Quantity(("background", "offset", "local_background"), ("bg",), is_photons=True),
    _Quantity(("sigma",), ("sx", "sy"), is_length=True),
    _Quantity(("sigma1",), ("sx",), is_length=True),
    _Quantity(("sigma2",), ("sy",), is_length=True),
    _Quantity(("uncertainty", "uncertainty_xy"), ("lpx", "lpy"), is_length=True),
    _Quantity(("x_precision", "uncertainty_x"), ("lpx",), is_length=True),
    _Quantity(("y_precision", "uncertainty_y"), ("lpy",), is_length=True),
    _Quantity(("z", "position_z"), ("z_nm",), is_length=True),
    _Quantity(("z_precision", "uncertainty_z"), ("lpz_nm",), is_length=True),
)
_WRITTEN = (
    ("frame", "uint32", "frame"),
    ("x", "float64", "nm"),
    ("y", "float64", "nm"),
    ("intensity", "float32", "photon"),
    ("background", "float32", "photon"),
    ("sigma1", "float32", "nm"),
    ("sigma2", "float32", "nm"),
    ("x_precision", "float32", "nm"),
    ("y_precision", "float32", "nm"),
    ("z", "float32", "nm"),
    ("z_precision", "float32", "nm"),
    ("channel", "float32", ""),
)
"""Name, type and unit of the columns that we write."""


@dataclass(frozen=True)
class _Columns:
    """The table as it lies in the archive."""

    values: Mapping[str, npt.NDArray[np.generic]]
    units: Mapping[str, str]
    offsets: Mapping[str, float]
    """To be added to a column."""

    def name_of(self, quantity: _Quantity) -> str | None:
        return next((name for name in quantity.names if name in self.values), None)

    def read(self, name: str, path: Path) -> Column:
        return as_column(self.values[name], name, path) + self.offsets.get(name, 0.0)

    def nm_per_unit(self, name: str, path: Path) -> float:
        unit = self.units[name]
        nm = 1.0 if unit in _NO_UNIT else nm_per(unit)
        if nm is None:
            raise SourceError(f"expected {name} of {path} in nm, found the unit {unit!r}; export it in nm")
        return nm


def read_smlm(path: Path, pixel_size_nm: float | None = None, unit: str | None = None) -> LocalizationTable:
    """Read an archive of one table; ``pixel_size_nm`` is the camera pixel in which its positions are wanted.

    Intensities and backgrounds whose unit is not stated to be photons are left out: they may be counts of a camera.

    Raises
    ------
    SourceError
        The archive is damaged, holds no table or several, or one without frame, x and y in known units of length.
    """
    table = _read_table(path)
    missing = [quantity.names[0] for quantity in _REQUIRED if table.name_of(quantity) is None]
    check_present(missing, table.values, path)
    units = {name: table.units[name] for name in (table.name_of(quantity) for quantity in _REQUIRED[:2]) if name}
    if len(set(units.values())) > 1:
        listed = ", ".join(f"{name} in {unit or 'no unit'}" for name, unit in units.items())
        raise SourceError(f"expected positions in one unit in {path}, found {listed}; export them all in nm")
    table_nm = NOMINAL_PIXEL_SIZE_NM if pixel_size_nm is None else pixel_size_nm
    columns: dict[str, Column] = {}
    used: set[str] = set()
    for quantity in (*_REQUIRED, *_OPTIONAL):
        name = table.name_of(quantity)
        if name is None or (quantity.is_photons and not is_photons(table.units[name])):
            continue
        values = table.read(name, path)
        if quantity.is_length:
            per_unit = table.nm_per_unit(name, path)
            values = values * (per_unit if quantity.fields[0].endswith("_nm") else per_unit / table_nm)
        columns |= dict.fromkeys(quantity.fields, values)
        used.add(name)
    if not np.any(np.nan_to_num(columns.get("z_nm", np.zeros(1)))):
        columns = {name: values for name, values in columns.items() if not name.endswith("z_nm")}
    labels = {name: table.read(name, path) for name in table.values if parse_name(name)[0] in LABELS - used}
    columns |= labels
    for axis in ("x", "y"):
        # The file counts from the corner of pixel (0, 0), we from its centre.
        columns[axis] = columns[axis] - 0.5
    rows, extra = make_rows(path, columns, is_counted_from_1=True)
    return LocalizationTable(
        rows,
        table_nm,
        is_pixel_size_known=pixel_size_nm is not None,
        extra=extra,
        unused=tuple(name for name in table.values if name not in used and name not in labels),
    )


def write_smlm(path: Path, table: LocalizationTable) -> None:
    """Write one table with frames from 1 and every column that is known, lengths in nm; channels are numbers."""
    rows, nm = table.localizations, table.pixel_size_nm
    if len(rows) and not 0 <= rows["frame"].min() <= rows["frame"].max() < np.iinfo(np.uint32).max:
        raise SourceError(
            f"expected frames of 0 to {np.iinfo(np.uint32).max - 1} for .smlm, found {rows['frame'].min()} to "
            f"{rows['frame'].max()}"
        )
    doubles = {name: rows[name].astype(np.float64) for name in rows.dtype.names or ()}
    content = {
        "frame": rows["frame"] + 1,
        "x": (doubles["x"] + 0.5) * nm,
        "y": (doubles["y"] + 0.5) * nm,
        "intensity": doubles["photons"],
        "background": doubles["bg"],
        "sigma1": doubles["sx"] * nm,
        "sigma2": doubles["sy"] * nm,
        "x_precision": doubles["lpx"] * nm,
        "y_precision": doubles["lpy"] * nm,
    }
    further = {"z_nm": "z", "lpz_nm": "z_precision"}
    content |= {name: table[ours] for ours, name in further.items() if ours in table.extra}
    if "channel" in table.extra:
        # The format has no text.
        channels = table["channel"]
        content["channel"] = channels if channels.dtype.kind == "f" else np.unique(channels, return_inverse=True)[1] + 1
    content = {name: values for name, values in content.items() if not is_unknown(values)}
    written = [column for column in _WRITTEN if column[0] in content]
    packed = np.zeros(len(rows), [(name, np.dtype(dtype).newbyteorder("<")) for name, dtype, _ in written])
    for name, values in content.items():
        packed[name] = values
    names, dtypes, units = (list(part) for part in zip(*written, strict=True))
    manifest = {
        "format_version": _VERSION,
        "formats": {
            _FORMAT: {
                "name": _FORMAT,
                "type": "table",
                "mode": "binary",
                "extension": ".bin",
                "columns": len(names),
                "headers": names,
                "dtype": dtypes,
                "shape": [1] * len(names),
                "units": units,
            }
        },
        "files": [
            {
                "name": _TABLE,
                "type": "table",
                "format": _FORMAT,
                "channel": "default",
                "rows": len(rows),
                "offset": {},
                "min": {name: float(packed[name].min()) if len(rows) else 0.0 for name in names},
                "max": {name: float(packed[name].max()) if len(rows) else 0.0 for name in names},
            }
        ],
        "name": path.stem,
        "description": "written by dblink-live",
        "tags": [],
        "thumbnail": "",
        "sample": "",
        "labeling": "",
        "date": "",
    }
    with replacing(path) as unfinished, zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_MANIFEST, json.dumps(manifest, indent=1))
        archive.writestr(_TABLE, packed.tobytes())


def _read_table(path: Path) -> _Columns:
    try:
        with zipfile.ZipFile(path) as archive:
            if _MANIFEST not in archive.namelist():
                listed = ", ".join(archive.namelist()[:5]) or "nothing"
                raise NotATableError(f"expected {_MANIFEST} in {path}, found {listed}")
            return _unpack(archive, _read_manifest(archive, path), path)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise SourceError(f"expected a whole zip archive, but {path} is damaged: {error}; copy it again") from error


def _read_manifest(archive: zipfile.ZipFile, path: Path) -> Mapping[str, Any]:
    if archive.getinfo(_MANIFEST).file_size > _MAX_MANIFEST_BYTES:
        raise SourceError(f"expected {_MANIFEST} of {path} below {_MAX_MANIFEST_BYTES} bytes; export the table again")
    try:
        manifest = json.loads(archive.read(_MANIFEST))
    except ValueError as error:
        raise SourceError(f"expected JSON in {_MANIFEST} of {path}, found something else: {error}") from error
    version = manifest.get("format_version") if isinstance(manifest, Mapping) else None
    if not str(version).startswith(_VERSION):
        raise SourceError(f"expected format_version {_VERSION} in {_MANIFEST} of {path}, found {version!r}")
    return dict(manifest)


def _unpack(archive: zipfile.ZipFile, manifest: Mapping[str, Any], path: Path) -> _Columns:
    try:
        tables = [entry for entry in manifest["files"] if entry["type"] == "table"]
        if len(tables) != 1:
            listed = ", ".join(str(entry["name"]) for entry in tables) or "none"
            raise SourceError(f"expected one table in {path}, found {listed}; export each by itself")
        (entry,) = tables
        description = manifest["formats"][entry["format"]]
        mode, names = description["mode"], [str(name) for name in description["headers"]]
        if mode != "binary":
            raise SourceError(
                f"expected a binary table in {path}, found mode {mode!r}; unzip it and give the text file"
            )
        layout = _layout(names, description["dtype"], description["shape"])
        n_rows, name = int(entry["rows"]), str(entry["name"])
        units = [str(unit) for unit in description.get("units") or [""] * len(names)]
        offsets = {str(key): float(value) for key, value in (entry.get("offset") or {}).items()}
        expected, found = n_rows * layout.itemsize, archive.getinfo(name).file_size
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceError(
            f"expected {_MANIFEST} of {path} to describe its table as the format's specification says, "
            f"found otherwise: {error!r}; export it again"
        ) from error
    if found != expected:
        raise SourceError(
            f"expected {n_rows} rows, {expected} bytes, in {name} of {path}, found {found} bytes; export it again"
        )
    packed = np.frombuffer(archive.read(name), layout)
    # Names repeat at times: the first counts.
    values = {name: packed[f"{index}"] for index, name in reversed(list(enumerate(names)))}
    return _Columns(values, dict(zip(reversed(names), reversed(units), strict=False)), offsets)


def _layout(names: Sequence[str], dtypes: Sequence[Any], shapes: Sequence[Any]) -> np.dtype[np.void]:
    """Rows one after the other, each its columns one after the other, little-endian."""
    fields = []
    for index, (_, dtype, shape) in enumerate(zip(names, dtypes, shapes, strict=True)):
        if dtype not in _DTYPES:
            raise ValueError(f"dtype {dtype!r}")
        n = math.prod(int(side) for side in (shape if isinstance(shape, list) else [shape]))
        fields.append((f"{index}", np.dtype(dtype).newbyteorder("<"), () if n == 1 else (n,)))
    return np.dtype(fields)


FORMAT = TableFormat(
    name="SMLM archive (ShareLoc)",
    read=read_smlm,
    suffixes=(".smlm",),
    starts=(START,),
    positions="nm or a stated unit, from the corner",
    first_frame="1; 0 where the file has a frame 0",
    versions="specification 0.2, binary tables, in 2D and 3D",
    refused="text tables and several tables in one archive; other versions",
    write=write_smlm,
    written_suffix=".smlm",
    written_as="the SMLM file format's",
    container="a zip",
)
