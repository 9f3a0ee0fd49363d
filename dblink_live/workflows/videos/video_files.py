"""Videos given as files: ``.npy``, ``.npz``, TIFF and (OME-)Zarr, read into memory as [T, H, W]."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dblink_live.errors import SourceError

Video = npt.NDArray[np.number] | npt.NDArray[np.bool_]

NPZ_PITCH_KEY = "pixel_size_nm"
"""Of an .npz file: side of a pixel of its maps in nm."""
ARRAY_SUFFIXES = (".npy", ".npz", ".zarr")
TIFF_SUFFIXES = (".tif", ".tiff")
SQUARE_TOLERANCE = 0.005
"""Relative difference of two sides of a pixel that is still square."""
_MAX_DEPTH = 8


def is_zarr(path: Path) -> bool:
    """Return whether ``path`` is a Zarr array or group of either format."""
    return any((path / name).is_file() for name in ("zarr.json", ".zarray", ".zgroup"))


def read_video(path: Path, npz_keys: Sequence[str] = ("X",), zarr_keys: Sequence[str] = ("0",)) -> Video:
    """Read [T, H, W]; a single picture [H, W] becomes one frame.

    Parameters
    ----------
    npz_keys, zarr_keys
        Names to look for, in order, where the file holds several arrays.

    Raises
    ------
    SourceError
        Nothing is there, it is damaged or of another kind, or it is no video.
    """
    if not path.exists():
        raise SourceError(f"expected a .npy, .npz, .tif or .zarr file, found nothing at {path}")
    try:
        video = _read(path, npz_keys, zarr_keys)
    except SourceError:
        raise
    except Exception as error:
        # The readers raise whatever their parsing trips over; for the user it is one thing: the file is damaged.
        raise SourceError(
            f"cannot read {path}: {error}; is it damaged, or of another kind than its name says?"
        ) from error
    if video.ndim == 2:
        video = video[None]
    if video.ndim != 3:
        raise SourceError(f"expected a video [T, H, W], found an array of shape {video.shape} in {path}")
    if not (np.issubdtype(video.dtype, np.number) or video.dtype == bool) or np.iscomplexobj(video):
        raise SourceError(f"expected real numbers, found {video.dtype} in {path}")
    return video


def pitch_nm_of(path: Path) -> float | None:
    """Side of a pixel that an OME-Zarr image, or an .npz of `simulate`, states in nm; None where none is stated.

    Raises
    ------
    SourceError
        Its pixels are not square, or their size is no number above 0.
    """
    if is_zarr(path):
        return _zarr_pitch_nm(path)
    return _npz_pitch_nm(path) if path.suffix.lower() == ".npz" and path.is_file() else None


def _npz_pitch_nm(path: Path) -> float | None:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if NPZ_PITCH_KEY not in archive:
                return None
            pitch_nm = float(archive[NPZ_PITCH_KEY])
    except Exception as error:  # as of `read_video`
        raise SourceError(f"cannot read {NPZ_PITCH_KEY} of {path}: {error}") from error
    if not (math.isfinite(pitch_nm) and pitch_nm > 0):
        raise SourceError(f"expected {NPZ_PITCH_KEY} above 0 in {path}, found {pitch_nm:g}")
    return pitch_nm


def _zarr_pitch_nm(path: Path) -> float | None:
    import zarr

    node = zarr.open(path, mode="r")
    if not isinstance(node, zarr.Group):
        return None
    for image in _images(node.attrs.asdict()):
        axes = image.get("axes") or [{}]
        unit = axes[-1].get("unit") if isinstance(axes[-1], Mapping) else None  # before 0.4 axes are bare names
        factor = {"nanometer": 1.0, "micrometer": 1000.0}.get(str(unit))
        for transformation in image["datasets"][0].get("coordinateTransformations", ()):
            if transformation["type"] == "scale" and factor is not None:
                return _side_of_square(path, transformation["scale"]) * factor
    return None


def _side_of_square(path: Path, scale: Sequence[float]) -> float:
    height, width = (float(side) for side in scale[-2:])
    if not math.isclose(height, width, rel_tol=SQUARE_TOLERANCE):
        raise SourceError(
            f"expected square pixels in {path}, found {height:g} high and {width:g} wide; resample it to one size"
        )
    return width


def as_probability(video: Video) -> npt.NDArray[np.float32]:
    """Stored pictures as probability in [0, 1]: uint8 is taken as 0-255, unless it holds nothing but 0 and 1."""
    if video.dtype == np.uint8 and video.max(initial=0) > 1:
        return video.astype(np.float32) / 255.0
    return video.astype(np.float32)


def _read(path: Path, npz_keys: Sequence[str], zarr_keys: Sequence[str]) -> Video:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            return np.asarray(archive[_choose(path, archive, npz_keys)])
    if suffix in TIFF_SUFFIXES:
        import tifffile

        return np.asarray(tifffile.imread(path))
    if is_zarr(path):
        return _read_zarr(path, zarr_keys)
    raise SourceError(f"expected .npy, .npz, .tif or .zarr, found {path.name}")


def _read_zarr(path: Path, keys: Sequence[str]) -> Video:
    import zarr

    node = zarr.open(path, mode="r")
    for _ in range(_MAX_DEPTH):
        if not isinstance(node, zarr.Group):
            break
        multiscales = _multiscales(node.attrs.asdict())
        name = multiscales[0] if multiscales else _choose(path, dict(node.members()), keys)
        try:
            node = node[name]
        except (KeyError, ValueError) as error:  # also a name that leads out of the folder
            raise SourceError(f"expected an array within {path}, found the name {name!r} of none") from error
    # Only numbers are read: Zarr v2 stores objects through filters of its choice, and pickle is one.
    if isinstance(node, zarr.Group) or node.dtype.kind not in "biuf":
        raise SourceError(f"expected an array of numbers in {path}, found {getattr(node, 'dtype', 'groups alone')}")
    return np.asarray(node[...])


def _multiscales(attributes: Mapping[str, Any]) -> list[str]:
    """Paths of the pyramid's levels, finest first; empty where it is no OME-Zarr image."""
    return [str(dataset["path"]) for image in _images(attributes)[:1] for dataset in image["datasets"]]


def _images(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The ``multiscales`` of OME-Zarr 0.5 or 0.4."""
    ome = attributes.get("ome", attributes)
    images = ome.get("multiscales") if isinstance(ome, Mapping) else None
    return images if isinstance(images, list) else []


def _choose(path: Path, members: Mapping[str, object], keys: Sequence[str]) -> str:
    for key in keys:
        if key in members:
            return key
    if len(members) == 1:
        return next(iter(members))
    found = ", ".join(sorted(members)) or "nothing"
    raise SourceError(f"expected an array named {' or '.join(keys)} in {path}, found {found}")
