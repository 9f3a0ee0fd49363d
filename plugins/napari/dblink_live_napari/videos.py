"""What napari shows of a run: arrays that are read from disk one window at a time.

A run that is being written grows. Each array here has the length that it had when it was made; `layers_of_run` is
called again to see more.

Shapes: T windows, H, W pixels of the maps' grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dblink_live.store import Run
from dblink_live_napari.molecules import Molecules

SUM_WINDOWS = 25
"""The plain sum shows this many windows up to the chosen one, as dblink_live's own viewer does."""
POINT_UM = 0.04
"""Size of a localization on the canvas: a pixel of the pictures."""
JOURNAL_NAME = "journal.sqlite"
LayerData = tuple[Any, dict[str, Any], str]
"""Array, settings and kind of a layer, as napari takes them."""


class Video(Protocol):
    """[T, H, W] that is read when it is indexed."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    ndim: int

    def __getitem__(self, key: Any) -> npt.NDArray[Any]: ...


class WindowedSum:
    """The sum of the last `SUM_WINDOWS` windows of a video of counts, computed where it is looked at."""

    def __init__(self, counts: Video, n_windows: int = SUM_WINDOWS) -> None:
        self._counts = counts
        self._n_windows = n_windows
        self.shape = counts.shape
        self.dtype = np.dtype(np.uint32)
        self.ndim = 3

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        first, *others = key if isinstance(key, tuple) else (key,)
        if not isinstance(first, slice):
            return self._at(int(first))[tuple(others)]
        windows = range(*first.indices(self.shape[0]))
        if not windows:
            return np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *others)]
        return np.stack([self._at(window) for window in windows])[(slice(None), *others)]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def _at(self, window: int) -> npt.NDArray[Any]:
        if not -len(self) <= window < len(self):
            raise IndexError(f"expected a window in [0, {len(self)}), found {window}")
        window %= len(self)
        return np.asarray(self._counts[max(0, window + 1 - self._n_windows) : window + 1].sum(axis=0, dtype=self.dtype))


@dataclass(frozen=True)
class _Look:
    """How a kind of series is shown."""

    title: str
    colormap: str
    visible: bool


_LOOKS = {
    "counts": _Look(f"plain sum of {SUM_WINDOWS} windows", "gray", False),
    "live": _Look("live reconstruction", "inferno", True),
    "full": _Look("full pass, both directions", "inferno", True),
    "error": _Look("where the network expects its live picture to be wrong", "red", False),
}


def is_run(path: Path) -> bool:
    """Whether ``path`` is the folder of a run."""
    return (path / JOURNAL_NAME).is_file()


def layers_of_run(run: Run, molecules: Molecules) -> list[LayerData]:
    """Return the layers of all that is committed: maps, pictures, the network's error map, localizations on top.

    Each lies where it belongs in micrometres, counted from the outer corner of the camera's field.
    """
    layers = [layer for series in _ordered(run.series) if (layer := _layer(run, series)) is not None]
    layers += [layer for series in _ordered(run.series) if (layer := _points(run, series, molecules)) is not None]
    has_full = any(settings["metadata"]["series"].startswith("full") for _, settings, _ in layers)
    for _, settings, _ in layers:
        if has_full and settings["metadata"]["series"].startswith("live"):
            settings["visible"] = False
    return layers


def _ordered(series: list[str]) -> list[str]:
    kinds = [*_LOOKS]
    known = [name for name in series if _kind(name) in _LOOKS]
    return sorted(known, key=lambda name: (kinds.index(_kind(name)), name))


def _kind(series: str) -> str:
    return series.partition("_")[0]


def _layer(run: Run, series: str) -> LayerData | None:
    kind = _kind(series)
    array = run.array(series)
    _, underscore, lattice = series.partition("_")
    stored = next((one for one in run.segments if one.lattice == (int(lattice) if underscore else 0)), None)
    if array is None or stored is None or array.shape[0] == 0:
        return None
    grid, look = stored.grid, _LOOKS[kind]
    limits = (0.0, 1.0 / array.value_scale) if kind != "counts" else (0.0, _bright(WindowedSum(array)))
    return (
        WindowedSum(array) if kind == "counts" else array,
        {
            "name": _title(run, look.title, lattice),
            "scale": _scale(grid.pitch_nm),
            "translate": _corner(grid.pitch_nm, *grid.origin_nm),
            "colormap": look.colormap,
            "contrast_limits": limits,
            "visible": look.visible,
            "blending": "additive" if kind == "error" else "translucent",
            "metadata": _metadata(run, series),
        },
        "image",
    )


def _points(run: Run, series: str, molecules: Molecules) -> LayerData | None:
    """The localizations that a series of maps counts; None where there are none."""
    if _kind(series) != "counts":
        return None
    points, every = molecules.of(series)
    if not len(points):
        return None
    title = "localizations" + (f", one in {every}" if every > 1 else "")
    _, underscore, lattice = series.partition("_")
    return (
        points,
        {
            "name": _title(run, title, lattice),
            "size": POINT_UM,
            "face_color": "cyan",
            "border_width": 0.0,
            "visible": False,
            "metadata": _metadata(run, f"localizations{underscore}{lattice}"),
        },
        "points",
    )


def _bright(video: WindowedSum) -> float:
    """The brightest a plain sum should be shown: the 99.5th percentile of what is not empty, of its newest window."""
    newest = video[len(video) - 1]
    found = newest[newest > 0]
    return float(np.percentile(found, 99.5)) if found.size else 1.0


def _title(run: Run, title: str, lattice: str) -> str:
    return f"{run.path.name}: {title}" + (f" ({lattice})" if lattice else "")


def _scale(pitch_nm: float) -> tuple[float, float, float]:
    return (1.0, pitch_nm / 1000, pitch_nm / 1000)


def _corner(pitch_nm: float, y_nm: float, x_nm: float) -> tuple[float, float, float]:
    """napari places the centre of the first pixel, the run its outer corner."""
    return (0.0, (y_nm + pitch_nm / 2) / 1000, (x_nm + pitch_nm / 2) / 1000)


def _metadata(run: Run, series: str) -> dict[str, Any]:
    info = run.info
    return {"series": series, "run": str(run.path), "uuid": info.uuid, "model": info.model, "status": run.status}
