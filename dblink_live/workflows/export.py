"""Take results home: a run's pictures as TIFF, movie and PNG, and its localizations as a table."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from dblink_live.errors import ConfigError, StoreError, input_accepted
from dblink_live.files import FileHeldError, replacing
from dblink_live.pixel_sizes import UnusualPixelSize
from dblink_live.report.mp4 import can_make_movies
from dblink_live.store import Run, open_run
from dblink_live.tables import format_of, write_localizations, written_suffixes
from dblink_live.workflows.inputs.run_excerpt import Excerpt, ExportProduct, choose_excerpt
from dblink_live.workflows.progress import Progress, progress_of
from dblink_live.workflows.videos.export_files import write_movie, write_picture, write_tiff

SUFFIXES: dict[str, tuple[str, ...]] = {
    "movie": (".mp4",),
    "tiff": (".tif", ".tiff"),
    "picture": (".png",),
}
"""Endings that each kind of file may have; those of ``locs`` are `dblink_live.tables.written_suffixes`."""


@dataclass(frozen=True)
class ExportedFile:
    """A file that was written."""

    kind: str
    """movie, tiff, picture or locs."""
    path: Path
    n_items: int
    """Pictures, or localizations."""


def export(
    run: Run | str | Path,
    *,
    movie: str | Path | None = None,
    tiff: str | Path | None = None,
    locs: str | Path | None = None,
    picture: str | Path | None = None,
    product: ExportProduct | None = None,
    segment: int | None = None,
    region: tuple[float, float, float, float] | None = None,
    from_s: float | None = None,
    to_s: float | None = None,
    scale_bar: bool = False,
    overwrite: bool = False,
    progress: bool | Progress = False,
) -> list[ExportedFile]:
    """Write results of a run to files that other programs open, and return what was written.

    Each file appears under its name when it is complete.

    Parameters
    ----------
    run
        A run, or its folder; finished or not.
    movie
        An ``.mp4`` with scale bar, time stamp and the words that say what drew it. Needs the extra ``report``.
    tiff
        A ``.tif`` that ImageJ opens as a hyperstack with scale and time: probabilities, or localizations per pixel of
        the plain sum, float32 [T, H, W]. A window without a picture is NaN.
    locs
        A localization table, in the format that its ending names.
    picture
        A ``.png`` of the newest picture in the range of time, in the colours of the viewer.
    product
        ``live``, ``full`` (after `refine`) or ``sum``, the plain sum of 25 windows up to each; None takes the best
        that there is.
    segment
        Of a run with several; None takes the longest.
    region
        x, y, width, height in camera pixels from the field's upper left corner; None is the whole field.
    from_s, to_s
        Only windows that begin in this range of time.
    scale_bar
        Whether ``picture`` has a scale bar.
    overwrite
        Whether files that exist are replaced.
    progress
        True shows a bar.

    Raises
    ------
    ConfigError
        Nothing is asked for, a file exists or has an unknown ending, or the run does not hold what is asked for.
    StoreError
        The folder is no run, or a file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> import tifffile
    >>> import dblink_live as dbl
    >>> folder = getfixture("tmp_path")
    >>> frames = np.random.default_rng(1).poisson(20, (40, 16, 16)).astype(np.uint16)
    >>> frames[:, 7:9, 7:9] += 200
    >>> tifffile.imwrite(folder / "stack.tif", frames)
    >>> live = dbl.run(str(folder / "stack.tif"), folder / "cell1.run", pixel_size_nm=160, model="filaments")
    >>> [file.n_items for file in export(live, tiff=folder / "cell1.tif", picture=folder / "cell1.png")]
    [4, 1]
    """
    asked = {"movie": movie, "tiff": tiff, "picture": picture, "locs": locs}
    files = {kind: Path(path) for kind, path in asked.items() if path is not None}
    _check_files(files, overwrite)
    shown = progress_of(progress)
    with nullcontext(run) if isinstance(run, Run) else open_run(run) as opened:
        excerpt = choose_excerpt(opened, product, segment, region, from_s, to_s)
        with input_accepted():
            return [_write(kind, path, excerpt, scale_bar, shown) for kind, path in files.items()]


def _check_files(files: dict[str, Path], overwrite: bool) -> None:
    """Refuse, before any work, what could not be written after it."""
    if not files:
        raise ConfigError("expected something to export, found nothing: ask for a movie, tiff, picture or locs")
    for kind, path in files.items():
        known = written_suffixes() if kind == "locs" else SUFFIXES[kind]
        if path.suffix.lower() not in known:
            raise ConfigError(f"expected {kind} to end in {' or '.join(known)}, found {path}")
        if not path.absolute().parent.is_dir():
            raise ConfigError(f"expected a folder to write {kind} to, found none at {path.absolute().parent}")
        if path.is_dir():
            raise ConfigError(f"expected a file name for {kind}, found the folder {path}")
        if path.exists() and not overwrite:
            raise ConfigError(f"{path} already exists; give another name, or overwrite it")
    if "locs" in files:
        format_of(files["locs"])
    if "movie" in files and not can_make_movies():
        raise ConfigError("expected PyAV, which makes movies, found none; `pip install dblink-live[report]` adds it")


def _write(kind: str, path: Path, excerpt: Excerpt, scale_bar: bool, report: Progress) -> ExportedFile:
    if kind == "locs":
        return ExportedFile(kind, path, _write_locs(path, excerpt))
    try:
        with (
            replacing(path) as unfinished,
            report.bar(f"writing {path.name}", len(excerpt.windows), "windows") as advance,
        ):
            if kind == "movie":
                n_items = write_movie(unfinished, excerpt, advance)
            elif kind == "tiff":
                n_items = write_tiff(unfinished, excerpt, advance)
            else:
                n_items = write_picture(unfinished, excerpt, scale_bar)
    except FileHeldError as error:
        raise StoreError(str(error)) from error
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error}; choose another folder or free space") from error
    return ExportedFile(kind, path, n_items)


def _write_locs(path: Path, excerpt: Excerpt) -> int:
    pixel_size_nm = excerpt.stored.pixel_size_nm
    if pixel_size_nm is None:
        raise ConfigError("expected no locs: the run does not state how large a camera pixel is")
    rows = excerpt.localizations()
    # The run was made with this size: it was asked about then.
    confirmed = UnusualPixelSize(pixel_size_nm)
    write_localizations(path, rows, excerpt.stored.segment.shape, confirmed, excerpt.n_frames)
    return len(rows)
