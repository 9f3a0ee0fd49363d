"""Picasso's localizations: the dataset ``locs`` of an HDF5 file, and a ``.yaml`` beside it that describes the movie.

Format: Schnitzbauer et al., "Super-resolution microscopy with DNA-PAINT", Nature Protocols 2017, and
https://picassosr.readthedocs.io/en/latest/files.html. Frames count from 0, and the centre of pixel (0, 0) lies at
(0.0, 0.0), as with us.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import yaml

from dblink_live.errors import CalibrationError, SourceError
from dblink_live.tables.files import replacing
from dblink_live.tables.table import SUPPORTED, TABLE_DTYPE, LocalizationTable, sorted_by_frame
from dblink_live.types import Localizations, Shape

_PIXEL_SIZE_KEYS = ("Pixelsize", "Camera.Pixelsize", "Pixel Size", "Camera.Pixel Size")
_REQUIRED = ("frame", "x", "y")
_FILE_DTYPE = np.dtype([(name, np.uint32 if name == "frame" else np.float32) for name in TABLE_DTYPE.names or ()])
"""The types that Picasso writes."""
_SAME_PIXEL_SIZE = 0.005
"""Relative difference up to which two pixel sizes are one, rounded differently."""


@dataclass(frozen=True)
class _Description:
    """What is known of the movie."""

    origin: str
    """Where it stands."""
    steps: Sequence[Mapping[str, object]]
    """One mapping a processing step, the movie first."""

    def find(self, keys: Sequence[str]) -> object:
        """The value of the first key that is there; a later step overrules an earlier one."""
        return next((step[key] for key in keys for step in reversed(self.steps) if key in step), None)

    def whole(self, key: str) -> int:
        value = self.find((key,))
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise SourceError(f"expected {key} as a whole number in {self.origin}, found {value!r}; correct it there")
        return value

    def pixel_size_nm(self, given_nm: float | None) -> float:
        stated = self.find(_PIXEL_SIZE_KEYS)
        if not (isinstance(stated, (int, float)) and math.isfinite(stated) and stated > 0):
            if given_nm is None:
                raise CalibrationError(f"expected Pixelsize in {self.origin}, found {stated!r}; give --pixel-size-nm")
            return given_nm
        if given_nm is not None and abs(given_nm - stated) > _SAME_PIXEL_SIZE * stated:
            raise CalibrationError(
                f"expected the pixel size of {self.origin}, {stated:g} nm, found {given_nm:g} nm; leave "
                "--pixel-size-nm out, or correct the description"
            )
        return float(stated)


def read_picasso(path: Path, pixel_size_nm: float | None = None) -> LocalizationTable:
    """Read Picasso's localizations; ``pixel_size_nm`` is only needed where the description does not state it.

    Raises
    ------
    SourceError
        The file holds no table ``locs`` with frame, x and y, its description is missing, or a position is not finite.
    CalibrationError
        The pixel size is stated nowhere, or differs from ``pixel_size_nm``.
    """
    locs = _read_locs(path)
    description = _read_description(path)
    for name in _REQUIRED:
        wrong = np.flatnonzero(~np.isfinite(locs[name]) | (locs[name] < 0 if name == "frame" else False))
        if len(wrong):
            raise SourceError(
                f"expected a finite {name} in every row of {path}, found {locs[name][wrong[0]]} in row "
                f"{int(wrong[0]) + 1}; filter such rows out in Picasso"
            )
    localizations = np.zeros(len(locs), TABLE_DTYPE)
    for name in TABLE_DTYPE.names or ():
        if name in (locs.dtype.names or ()):
            localizations[name] = locs[name]
    localizations = sorted_by_frame(localizations)
    height, width, n_frames = (description.whole(key) for key in ("Height", "Width", "Frames"))
    if len(localizations) and localizations["frame"][-1] >= n_frames:
        raise SourceError(
            f"expected frames below {n_frames}, the Frames of {description.origin}, found frame "
            f"{int(localizations['frame'][-1])}; it describes another movie, or is to be corrected"
        )
    return LocalizationTable(localizations, description.pixel_size_nm(pixel_size_nm), Shape(height, width), n_frames)


def write_picasso(
    path: Path, localizations: Localizations, shape: Shape, pixel_size_nm: float, n_frames: int | None = None
) -> None:
    """Write ``path`` and its ``.yaml``; the movie ends after ``n_frames`` or the last localization."""
    frames = localizations["frame"]
    last = int(frames.max()) if len(frames) else -1
    if last > np.iinfo(np.uint32).max or (len(frames) and frames.min() < 0):
        raise SourceError(
            f"expected frames of 0 to {np.iinfo(np.uint32).max} for Picasso, found {frames.min()}..{last}"
        )
    locs = np.zeros(len(localizations), _FILE_DTYPE)
    for name in _FILE_DTYPE.names or ():
        locs[name] = localizations[name]
    description = {
        "Frames": max(last + 1, n_frames or 0),
        "Height": int(shape.height),
        "Width": int(shape.width),
        "Pixelsize": float(pixel_size_nm),
        "Generated by": "dblink-live localize",
    }
    # The description first: localizations without one cannot be read.
    with replacing(path.with_suffix(".yaml")) as unfinished:
        unfinished.write_text(yaml.safe_dump(description, sort_keys=False), encoding="utf-8")
    with replacing(path) as unfinished, h5py.File(unfinished, "w") as file:
        file.create_dataset("locs", data=locs)


def _read_locs(path: Path) -> Localizations:
    try:
        with h5py.File(path, "r") as file:
            found = sorted(file)
            dataset = file.get("locs")
            names = dataset.dtype.names if isinstance(dataset, h5py.Dataset) else None
            if isinstance(dataset, h5py.Dataset) and names and dataset.ndim == 1:
                missing = [name for name in _REQUIRED if name not in names]
                if missing:
                    raise SourceError(
                        f"expected columns {', '.join(_REQUIRED)} in locs of {path}, found no {', '.join(missing)} "
                        f"but {', '.join(names)}; localize again with Picasso"
                    )
                rows: Localizations = dataset[()]
                return rows
    except OSError as error:
        raise SourceError(f"expected a whole HDF5 file, but {path} is damaged: {error}; copy it again") from error
    raise SourceError(
        f"expected Picasso's table locs in {path}, found {', '.join(found) or 'nothing'}; supported are {SUPPORTED}"
    )


def _read_description(path: Path) -> _Description:
    """From the file beside, or else, as Picasso 0.11 keeps it, from the dataset ``metadata`` within."""
    beside = path.with_suffix(".yaml")
    origin, content = (str(beside), beside.read_bytes()) if beside.is_file() else (f"{path}/metadata", _embedded(path))
    if content is None:
        raise SourceError(
            f"expected the description {beside} beside {path.name}, found none; copy it along: "
            "Picasso writes it with the localizations"
        )
    try:
        steps = json.loads(content) if origin != str(beside) else list(yaml.safe_load_all(content))
    except (yaml.YAMLError, ValueError) as error:
        raise SourceError(f"expected a description in {origin}, found something else: {error}") from error
    steps = [step for step in steps if step is not None] if isinstance(steps, list) else [steps]
    if not steps or not all(isinstance(step, Mapping) for step in steps):
        raise SourceError(f"expected keys and values in {origin}, found something else; save it with Picasso")
    return _Description(origin, steps)


def _embedded(path: Path) -> bytes | None:
    with h5py.File(path, "r") as file:
        dataset = file.get("metadata")
        content = dataset[()] if isinstance(dataset, h5py.Dataset) and dataset.ndim == 0 else None
    return content if isinstance(content, bytes) else None
