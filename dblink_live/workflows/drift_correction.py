"""Tables and maps with the drift subtracted: ``analyze RUN --undrift OUT``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dblink_live.errors import AnalysisError, ConfigError, StoreError
from dblink_live.files import FileHeldError, replacing
from dblink_live.types import Shape

if TYPE_CHECKING:
    from dblink_live.analysis.drift.drift import Drift
    from dblink_live.analysis.summary import Figures, Subject
    from dblink_live.analysis.trust.support import Maps

MAPS_SUFFIX = ".npy"


def check_corrected_path(path: Path) -> None:
    """Refuse, before any work, a file that cannot be written or already exists.

    Raises
    ------
    ConfigError
        It exists, its folder does not, or its ending names no format.
    """
    from dblink_live.tables import written_suffixes

    known = (*written_suffixes(), MAPS_SUFFIX)
    if path.suffix.lower() not in known:
        raise ConfigError(f"expected --undrift with a file that ends in {', '.join(known)}, found {path}")
    if path.exists():
        raise ConfigError(f"expected a new file with --undrift, but {path} exists; give another")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"expected a folder to write to with --undrift, found none at {path.absolute().parent}")


def write_corrected(path: Path, subject: Subject, found: Figures, window_frames: int, first_frame: int) -> str:
    """Write the run's localizations, or its maps [T, H, W] for ``.npy``, moved back; return the source of the drift.

    The drift is that of beads if they were found, else that of redundant cross-correlation.

    Parameters
    ----------
    window_frames, first_frame
        Frames per window, and the first one of the first window: the drift is in frames, maps are in windows.

    Raises
    ------
    AnalysisError
        No drift is known, or there are no localizations.
    StoreError
        The file cannot be written.
    """
    drift, source = _drift(found)
    try:
        if path.suffix.lower() == MAPS_SUFFIX:
            _write_maps(path, subject, drift, window_frames, first_frame)
        else:
            _write_table(path, subject, drift)
    except FileHeldError:
        raise
    except OSError as error:
        raise StoreError(f"expected to write {path}, found: {error}; free the disk or the folder's rights") from error
    return source


def _drift(found: Figures) -> tuple[Drift, str]:
    if found.fiducials is not None:
        return found.fiducials.drift(), "beads"
    if found.drift_localizations is not None:
        return found.drift_localizations, "redundant cross-correlation"
    why_not = found.gaps.get("fiducials") or found.gaps.get("drift_localizations_nm", "there are no localizations")
    raise AnalysisError(f"expected a drift to subtract, found none: {why_not}")


def _write_table(path: Path, subject: Subject, drift: Drift) -> None:
    from dblink_live.analysis.drift.drift import corrected_table
    from dblink_live.tables import write_localizations

    if subject.localizations is None or subject.pixel_size_nm is None:
        raise AnalysisError("expected localizations and the camera's pixel size, which the run does not have")
    rows = corrected_table(subject.localizations, drift, subject.pixel_size_nm)
    shape = None
    if len(rows):
        # What was moved across the border stays in the table.
        shape = Shape(*(max(1, int(np.floor(rows[axis].max() + 0.5)) + 1) for axis in ("y", "x")))
    write_localizations(path, rows, shape, subject.pixel_size_nm)


def _write_maps(path: Path, subject: Subject, drift: Drift, window_frames: int, first_frame: int) -> None:
    from dblink_live.analysis.drift.drift import Drift, corrected_video

    if subject.counts is None or subject.pitch_nm is None:
        raise AnalysisError("expected maps of localizations, which a reconstruction alone does not hold")
    counts: Maps = subject.counts
    in_windows = (drift.time - first_frame - (window_frames - 1) / 2) / window_frames
    header = {"descr": "<f4", "fortran_order": False, "shape": counts.shape}
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for t in range(counts.shape[0]):
            moved = Drift(in_windows - t, drift.y_nm, drift.x_nm)
            window = corrected_video(counts[t : t + 1].astype(np.float32), moved, subject.pitch_nm)[0]
            file.write(np.ascontiguousarray(window, "<f4").data)
