"""Apache Parquet: the columns of a comma-separated table, in binary (https://parquet.apache.org).

The field has no convention for such files: they are saved data frames. So names, units,
origin and first frame are ThunderSTORM's, as in ``.csv``, and ``pandas.read_parquet`` gives what ``read_csv`` gives.
What we write states the camera as well, as JSON under the key `KEY` of the file's metadata.

Needs pyarrow, the extra ``parquet``.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dblink_live.errors import SourceError
from dblink_live.tables.columns import as_column
from dblink_live.tables.files import replacing
from dblink_live.tables.named_rows import read_named
from dblink_live.tables.pixels import agreed_pixel_size
from dblink_live.tables.table import LocalizationTable, is_unknown
from dblink_live.tables.table_format import TableFormat
from dblink_live.types import Shape

if TYPE_CHECKING:
    from pyarrow import Table
    from pyarrow.parquet import ParquetFile

START = b"PAR1"
"""What Parquet files begin with, and end with."""
KEY = b"dblink_live"


def check_installed() -> None:
    """Raise `SourceError` where there is no pyarrow."""
    if importlib.util.find_spec("pyarrow") is None:
        raise SourceError(
            'expected pyarrow, which reads and writes .parquet, found none; pip install "dblink-live[parquet]"'
        )


def read_parquet(path: Path, pixel_size_nm: float | None = None, unit: str | None = None) -> LocalizationTable:
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
            table = read_named(_ParquetColumns(path, file), pixel_size_nm, unit, row_name="row")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SourceError(f"expected a whole Parquet file, but {path} is damaged: {error}; copy it again") from error
    return dataclasses.replace(
        table, shape=Shape(*camera["shape"]) if "shape" in camera else None, n_frames=camera.get("n_frames")
    )


@dataclass(frozen=True)
class _ParquetColumns:
    """The columns of an open file, as `read_named` asks for them."""

    path: Path
    file: ParquetFile

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.file.schema_arrow.names)

    def read(
        self, numbers: Sequence[int], texts: Sequence[int] = (), required: Sequence[int] = ()
    ) -> tuple[npt.NDArray[np.float64], list[npt.NDArray[Any]], npt.NDArray[np.int64]]:
        content = self.file.read([self.names[index] for index in (*numbers, *texts)])
        columns = [as_column(self._column(content, index), self.names[index], self.path) for index in numbers]
        words = [self._column(content, index) for index in texts]
        labels = [values.astype(np.float64 if values.dtype.kind in "iufb" else np.str_) for values in words]
        return np.stack(columns, axis=1), labels, np.arange(1, content.num_rows + 1)

    def _column(self, content: Table, index: int) -> npt.NDArray[Any]:
        values: npt.NDArray[Any] = content.column(self.names[index]).to_numpy()
        return values


def write_parquet(path: Path, table: LocalizationTable) -> None:
    """Write every column that is known, lengths in nm and frames from 1, and what is known of the camera."""
    check_installed()
    import pyarrow as pa
    from pyarrow import parquet

    rows, nm = table.localizations, table.pixel_size_nm
    doubles = {name: rows[name].astype(np.float64) for name in rows.dtype.names or ()}
    content: dict[str, npt.NDArray[Any]] = {
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
    further = {"z_nm": "z [nm]", "lpz_nm": "uncertainty_z [nm]", "channel": "channel"}
    content |= {name: table[ours] for ours, name in further.items() if ours in table.extra}
    content = {name: values for name, values in content.items() if not is_unknown(values)}
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


FORMAT = TableFormat(
    name="Parquet",
    read=read_parquet,
    suffixes=(".parquet",),
    starts=(START,),
    positions="nm, um or px, as named, from the corner",
    first_frame="1; 0 where the file has a frame 0",
    versions="columns as in the CSV; the extra `parquet`",
    refused="as in the CSV",
    write=write_parquet,
    written_suffix=".parquet",
    written_as="ThunderSTORM's columns in binary",
    container="a Parquet",
    check_installed=check_installed,
)
