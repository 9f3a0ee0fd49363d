"""The OME-Zarr 0.5 hierarchy of a run: which groups there are, what their metadata says, and in which order it is made.

    run.ome.zarr/        zarr.json  bioformats2raw.layout 3
      OME/               zarr.json  the list of series
      counts/            zarr.json  multiscales (axes, transformations), `dblink_live` attributes
        0/               zarr.json  (t, y, x), one shard a window
      live/ full/        as counts
      error/             as live, where the network predicts its errors
      mended/            as counts: windows that were made whole from raw frames, in the order of their making
      counts_1/ ...      the same products on the next lattice: another grid or window duration

At every instant the folder is a valid OME-Zarr: an array is made before the group that names it, and a group before the
list that names it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import zarr
from zarr.codecs import BloscCodec
from zarr.storage import LocalStore

from dblink_live.errors import StoreError
from dblink_live.files import patiently, remove_tree
from dblink_live.store.journal import Product
from dblink_live.types import Grid, Shape

FOLDER_NAME = "run.ome.zarr"
ATTRIBUTES_KEY = "dblink_live"
AXIS_NAMES = ("t", "y", "x")
BLOCK = 256
"""Windows by which an array grows: one metadata write in 256 windows, and little to trim at the end."""
MAX_CHUNK = 512
_SERIES = re.compile(r"(counts|live|full|mended|error|raw)(_[1-9][0-9]{0,8})?")
_LEVEL = re.compile(r"[0-9]{1,3}")

_QUANTITIES: dict[Product, str] = {
    "counts": "localizations per pixel",
    "live": "probability of structure, bounded lookahead",
    "full": "probability of structure, all windows",
    "error": "probability that live is wrong here by more than one pixel",
    "mended": "localizations per pixel, of windows that lacked frames in counts and were counted again from raw",
}


@dataclass(frozen=True)
class SeriesSpec:
    """One multiscale image: a product on a lattice.

    Parameters
    ----------
    product
        What the pixels are.
    lattice
        0 for the run's first grid and window duration, 1 for the next one...
    grid
        The pixels' positions.
    dtype
        Stored type: counts are uint16, probabilities uint8 (255 is certain) or float16.
    window_frames
        Camera frames per window.
    window_s
        Duration of a window; None where the camera's frame interval is unknown: the t axis then counts frames and
        has no unit.
    """

    product: Product
    lattice: int
    grid: Grid
    dtype: Literal["uint8", "uint16", "float16"]
    window_frames: int
    window_s: float | None

    @property
    def name(self) -> str:
        """Of the group: ``counts``, ``live_1``..."""
        return series_name(self.product, self.lattice)

    @property
    def value_scale(self) -> float:
        """Stored value times this is the probability, or the number of localizations."""
        return 1 / 255 if self.dtype == "uint8" else 1.0

    def level_shape(self, level: int) -> Shape:
        """Height and width at a pyramid level; a last row or column that is half covered is kept."""
        factor = 2**level
        return Shape(-(-self.grid.shape.height // factor), -(-self.grid.shape.width // factor))

    @property
    def n_levels(self) -> int:
        """Levels of the whole pyramid: the last one fits into a single chunk."""
        level = 0
        while max(self.level_shape(level)) > MAX_CHUNK:
            level += 1
        return level + 1


def series_name(product: str, lattice: int) -> str:
    """Name of the group of a product on a lattice."""
    return product if lattice == 0 else f"{product}_{lattice}"


def is_series_name(name: object) -> bool:
    """Return whether ``name`` can be a series: a run folder from elsewhere may name ``../../something`` instead."""
    return isinstance(name, str) and _SERIES.fullmatch(name) is not None


def multiscales(spec: SeriesSpec, n_levels: int) -> list[dict[str, Any]]:
    """The OME-Zarr 0.5 ``multiscales`` of a series.

    A pixel's coordinate is its centre: y and x count in micrometers from the outer corner of the camera's pixel (0, 0),
    t from the start of the series' first window, as if its windows followed one another without a pause.
    """
    time_axis: dict[str, str] = {"name": "t", "type": "time"}
    if spec.window_s is not None:
        time_axis["unit"] = "second"
    duration = float(spec.window_frames) if spec.window_s is None else spec.window_s
    axes = [time_axis, *({"name": name, "type": "space", "unit": "micrometer"} for name in ("y", "x"))]
    datasets = []
    for level in range(n_levels):
        pitch_nm = spec.grid.pitch_nm * 2**level
        centre = [(origin_nm + pitch_nm / 2) / 1000 for origin_nm in spec.grid.origin_nm]
        datasets.append(
            {
                "path": str(level),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [duration, pitch_nm / 1000, pitch_nm / 1000]},
                    {"type": "translation", "translation": [duration / 2, *centre]},
                ],
            }
        )
    return [{"name": spec.name, "axes": axes, "datasets": datasets, "type": "local maximum of 2 x 2 pixels"}]


def group_attributes(spec: SeriesSpec, n_levels: int) -> dict[str, Any]:
    """All attributes of a series' group."""
    return {
        "ome": {"version": "0.5", "multiscales": multiscales(spec, n_levels)},
        ATTRIBUTES_KEY: {
            "product": spec.product,
            "quantity": _QUANTITIES[spec.product],
            "value_scale": spec.value_scale,
            "window_frames": spec.window_frames,
            "pitch_nm": spec.grid.pitch_nm,
            "origin_nm": list(spec.grid.origin_nm),
        },
    }


def create_level(root: Path, spec: SeriesSpec, level: int, n_windows: int) -> Path:
    """Make the array of one pyramid level, replacing what an interrupted attempt left; return its folder."""
    shape = spec.level_shape(level)
    chunk = Shape(min(shape.height, MAX_CHUNK), min(shape.width, MAX_CHUNK))
    # A shard is a whole number of chunks, so it may reach beyond the picture; what lies outside takes no bytes.
    shard = Shape(-(-shape.height // chunk.height) * chunk.height, -(-shape.width // chunk.width) * chunk.width)
    path = root / spec.name / str(level)
    zarr.create_array(
        store=LocalStore(path),
        shape=(n_windows, *shape),
        dtype=spec.dtype,
        chunks=(1, *chunk),
        shards=(1, *shard),
        compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
        filters=None,
        fill_value=0,
        dimension_names=AXIS_NAMES,
        zarr_format=3,
        overwrite=True,
    )
    return path


def create_series(root: Path, specs: list[SeriesSpec]) -> None:
    """Make the groups of ``specs``, each with an array for the first `BLOCK` windows, and list them."""
    for spec in specs:
        # An attempt that died before it was listed: nothing of it was ever committed.
        remove_tree(root / spec.name)
        create_level(root, spec, 0, BLOCK)
        zarr.create_group(LocalStore(root / spec.name), attributes=group_attributes(spec, n_levels=1))
    publish_series(root, [spec.name for spec in specs])


def publish_series(root: Path, names: list[str]) -> None:
    """Add series, whose groups are there, to the list of them. The run's own writer alone does this."""
    names = [*list_series(root), *names]
    listing = {"version": "0.5", "series": names}
    if (root / "OME" / "zarr.json").exists():
        group = zarr.open_group(LocalStore(root / "OME"), mode="r+")
        patiently(lambda: group.update_attributes({"ome": listing}), root / "OME" / "zarr.json")
    else:
        zarr.create_group(LocalStore(root / "OME"), attributes={"ome": listing})
    if not (root / "zarr.json").exists():
        zarr.create_group(LocalStore(root), attributes={"ome": {"version": "0.5", "bioformats2raw.layout": 3}})


def describe_run(root: Path, description: dict[str, Any]) -> None:
    """Let the hierarchy's own attributes say what run it is of, so that they travel with it when it is copied alone."""
    group = zarr.open_group(LocalStore(root), mode="r+")
    patiently(lambda: group.update_attributes({ATTRIBUTES_KEY: description}), root / "zarr.json")


def publish_levels(root: Path, spec: SeriesSpec, n_levels: int) -> None:
    """Let a series' metadata name its pyramid levels, once all of them are whole."""
    group = zarr.open_group(LocalStore(root / spec.name), mode="r+")
    patiently(lambda: group.update_attributes(group_attributes(spec, n_levels)), root / spec.name / "zarr.json")


def count_levels(root: Path, spec: SeriesSpec, n_windows: int) -> int:
    """Pyramid levels that the metadata names and that hold ``n_windows`` windows."""
    arrays = [read_array(root / spec.name / level) for level in _named_levels(root, spec)]
    return sum(array.shape[0] == n_windows for array in arrays)


def count_named_levels(root: Path, spec: SeriesSpec) -> int:
    """Pyramid levels that the metadata names."""
    return len(_named_levels(root, spec))


def _named_levels(root: Path, spec: SeriesSpec) -> list[str]:
    attributes: Any = read_group(root / spec.name).attrs.asdict()
    named = [str(data["path"]) for data in attributes["ome"]["multiscales"][0]["datasets"]]
    return [level for level in named if _LEVEL.fullmatch(level)]


def read_group(folder: Path) -> zarr.Group:
    """A group of a run for reading."""
    # Only what we write: the filters of Zarr v2 include pickle, which some versions of numcodecs run.
    return zarr.open_group(LocalStore(folder, read_only=True), mode="r", zarr_format=3)


def read_array(folder: Path) -> zarr.Array[Any]:
    """An array of a run for reading."""
    return zarr.open_array(LocalStore(folder, read_only=True), mode="r", zarr_format=3)


def list_series(root: Path) -> list[str]:
    """Names of the series, in the order in which they were begun; empty before the first segment."""
    if not (root / "OME" / "zarr.json").exists():
        return []
    attributes: Any = read_group(root / "OME").attrs.asdict()
    try:
        names = [str(name) for name in attributes["ome"]["series"]]
    except (KeyError, TypeError) as error:
        raise StoreError(
            f"expected a list of series in {root / 'OME'}, found {attributes}; the run is damaged"
        ) from error
    foreign = [name for name in names if not is_series_name(name)]
    if foreign:
        raise StoreError(f"expected series like counts or live_1 in {root / 'OME'}, found {foreign[0]!r}")
    return names
