"""Apache Parquet: the columns of a comma-separated table, in binary (https://parquet.apache.org).

There is no custom of its own for such files in the field: they are data frames that somebody saved. So names, units,
origin and first frame are ThunderSTORM's, as in ``.csv``, and ``pandas.read_parquet`` gives what ``read_csv`` gives.
What we write states the camera as well, as JSON under the key `KEY` of the file's metadata.

Needs pyarrow, the extra ``parquet``.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dblink_live.errors import SourceError
from dblink_live.tables.columns import Column, as_column, make_rows
from dblink_live.tables.files import replacing
from dblink_live.tables.named import used_columns
from dblink_live.tables.pixels import agreed_pixel_size
from dblink_live.tables.table import NOMINAL_PIXEL_SIZE_NM, LocalizationTable
from dblink_live.types import Shape

START = b"PAR1"
"""What Parquet files begin with, and end with."""
KEY = b"dblink_live"


def check_installed() -> None:
    """Raise `SourceError` where there is no pyarrow."""
    if importlib.util.find_spec("pyarrow") is None:
        raise SourceError(
            "expected pyarrow, which reads and writes .parquet, found none; pip install 'dblink-live[parquet]'"
        )


def read_parquet(path: Path, pixel_size_nm: float | None = None) -> LocalizationTable:
    """Read a table; ``pixel_size_nm`` is the camera pixel in which its positions are wanted, unless the file states it.

    Raises
    ------
    SourceError
        pyarrow is not installed; the file is damaged; a column is missing, in another unit or not numeric; a position
        or frame is not finite.
    CalibrationError
        Positions are in pixels whose size is not given, or the stated size differs from ``pixel_size_nm``.
    """
    check_installed()
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            camera = _camera((file.schema_arrow.metadata or {}).get(KEY), path)
            if "pixel_size_nm" in camera:
                pixel_size_nm = agreed_pixel_size(camera["pixel_size_nm"], pixel_size_nm, f"the metadata of {path}")
            used = used_columns(file.schema_arrow.names, pixel_size_nm, path)
            content = file.read([column.label for column in used])
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"expected a whole Parquet file, but {path} is damaged: {error}; copy it again") from error
    table_nm = NOMINAL_PIXEL_SIZE_NM if pixel_size_nm is None else pixel_size_nm
    columns: dict[str, Column] = {}
    for column in used:
        values = as_column(content.column(column.label).to_numpy(), column.label, path)
        columns |= dict.fromkeys(column.fields, values * ((column.nm_per_unit or table_nm) / table_nm))
    for axis in ("x", "y"):
        # The file counts from the corner of pixel (0, 0), we from its centre.
        columns[axis] = columns[axis] - 0.5
    return LocalizationTable(
        make_rows(path, columns, is_counted_from_1=True),
        table_nm,
        Shape(*camera["shape"]) if "shape" in camera else None,
        camera.get("n_frames"),
        is_pixel_size_known=pixel_size_nm is not None,
    )


def write_parquet(path: Path, table: LocalizationTable) -> None:
    """Write every column of ours, lengths in nm and frames from 1, and what is known of the camera."""
    check_installed()
    import pyarrow as pa
    from pyarrow import parquet

    rows, nm = table.localizations, table.pixel_size_nm
    doubles = {name: rows[name].astype(np.float64) for name in rows.dtype.names or ()}
    content = {
        "frame": rows["frame"].astype(np.int64) + 1,
        "x [nm]": (doubles["x"] + 0.5) * nm,
        "y [nm]": (doubles["y"] + 0.5) * nm,
        "sigma1 [nm]": doubles["sx"] * nm,
        "sigma2 [nm]": doubles["sy"] * nm,
        "intensity [photon]": doubles["photons"],
        "offset [photon]": doubles["bg"],
        "uncertainty_x [nm]": doubles["lpx"] * nm,
        "uncertainty_y [nm]": doubles["lpy"] * nm,
    }
    camera: dict[str, object] = {}
    if table.is_pixel_size_known:
        camera = {"pixel_size_nm": float(nm), "shape": [int(side) for side in table.field()]}
    if table.n_frames is not None:
        camera["n_frames"] = int(table.n_frames)
    arrow = pa.table(content).replace_schema_metadata({KEY: json.dumps(camera).encode()})
    with replacing(path) as unfinished:
        parquet.write_table(arrow, unfinished, compression="zstd")


def _camera(content: bytes | None, path: Path) -> Mapping[str, Any]:
    """What one of our own files states; of others, nothing."""
    try:
        camera = json.loads(content or b"{}")
        shape = camera.get("shape", [1, 1])
        whole = [*shape, camera.get("n_frames", 0)]
        if len(shape) != 2 or not all(type(number) is int and number >= 0 for number in whole):
            raise ValueError(f"shape {shape} and n_frames {whole[-1]}")
    except (ValueError, TypeError, AttributeError) as error:
        raise SourceError(
            f"expected a description of the camera under {KEY.decode()} in {path}, found something else: {error}; "
            "write the table again"
        ) from error
    return dict(camera)
