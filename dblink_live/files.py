"""Replace, rename and delete files; files and folders that appear whole or not at all.

On Windows a file that any program has open can be neither replaced, renamed nor deleted. Virus scanners and indexers
let go within a second, so such a refusal is tried again. What is still refused after `PATIENCE_S` raises
`FileHeldError`, which names the file and the programs that usually hold one of its kind.

Everything in this package that replaces, renames or deletes a file of the user's does it through this module.
"""

from __future__ import annotations

import errno
import glob
import itertools
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil

from dblink_live.errors import DblinkError

PATIENCE_S = 3.0
"""Seconds for which a refused replace, rename or delete is repeated."""

_PAUSE_S = 0.05
_HELD = {5, 32, 33, 1224}
"""Access denied, sharing violation, lock violation, file with a mapped section: what Windows answers for open files."""
_TENSORSTORE_CODE = re.compile(r"\[os_error_code='(\d+)'\]")
_HOLDERS = {
    "Excel or another spreadsheet": (".csv", ".tsv", ".txt", ".xls", ".3d"),
    "an image viewer": (".png", ".jpg", ".tif", ".tiff"),
    "a video player": (".mp4",),
    "a web browser": (".html",),
    "a viewer of OME-Zarr such as napari": (".zarr",),
    "another analysis program": (".hdf5", ".h5", ".npy", ".npz", ".parquet", ".mat", ".smlm"),
}

_Result = TypeVar("_Result")


class FileHeldError(DblinkError, PermissionError):
    """Another program holds a file open and did not let go.

    Parameters
    ----------
    path
        The file or folder that is held.
    kept
        Where the new content lies instead; None where nothing was to be put in its place.
    """

    is_input_error = False

    def __init__(self, path: Path, kept: Path | None = None) -> None:
        text = f"{path} is open in another program ({likely_holder(path)}, or a virus scanner or backup)"
        if kept is None:
            text += "; close it there and try again"
        else:
            text += f"; the new one is whole and was kept as {kept}: close the program, then rename it"
        super().__init__(errno.EACCES, text)
        self.path = path
        self.kept = kept

    def __str__(self) -> str:
        return str(self.strerror)


def likely_holder(path: Path) -> str:
    """The kind of program that usually has a file of this name open.

    Examples
    --------
    >>> likely_holder(Path("cell1.csv"))
    'Excel or another spreadsheet'
    """
    if path.name.startswith("events.out.tfevents"):
        return "TensorBoard"
    return next((who for who, suffixes in _HOLDERS.items() if path.suffix.lower() in suffixes), "a viewer")


def windows_code(error: BaseException) -> int | None:
    """The number of a Windows error, which is the same in every language; None elsewhere.

    tensorstore raises every failure as ValueError, with the number in its text.
    """
    code = getattr(error, "winerror", None)
    if code is None and sys.platform == "win32" and (found := _TENSORSTORE_CODE.search(str(error))):
        code = int(found[1])
    return code if isinstance(code, int) else None


def patiently(action: Callable[[], _Result], path: Path) -> _Result:
    """Do ``action`` on ``path``, and do it again for `PATIENCE_S` while another program holds the file.

    Raises
    ------
    FileHeldError
        The file is still held.
    """
    deadline = time.perf_counter() + PATIENCE_S
    while True:
        try:
            return action()
        except (OSError, ValueError) as error:
            if windows_code(error) not in _HELD:
                raise
            if time.perf_counter() > deadline:
                raise FileHeldError(path) from error
        time.sleep(_PAUSE_S)


def replace(source: Path, target: Path) -> None:
    """Move a file to ``target``, over what is there.

    Raises
    ------
    FileHeldError
        Another program holds ``target``; both are as they were.
    """
    patiently(lambda: source.replace(target), target)


def remove(path: Path) -> None:
    """Delete a file; nothing happens where there is none.

    Raises
    ------
    FileHeldError
        Another program holds it.
    """
    patiently(lambda: path.unlink(missing_ok=True), path)


def remove_tree(folder: Path) -> None:
    """Delete a folder and all in it; nothing happens where there is none.

    Raises
    ------
    FileHeldError
        Another program holds one of its files; others may be gone already.
    """

    def delete() -> None:
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)

    patiently(delete, folder)


def put_in_place(made: Path, target: Path) -> None:
    """Move a finished file or folder to ``target``, in place of what is there.

    A folder that is there is renamed first and deleted last, so that at every moment the old or the new one is whole.

    Raises
    ------
    FileHeldError
        Another program holds ``target``, which stays as it was; ``made`` is kept beside it, see `FileHeldError.kept`.
    """
    try:
        if target.is_dir():
            _exchange_folder(made, target)
        else:
            replace(made, target)
    except FileHeldError as error:
        kept = _free_name(target)
        made.rename(kept)
        raise FileHeldError(target, kept) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write a file to, which takes its place at the end unless an error came.

    The content is on the disk before the name is: a power cut leaves the old file or the new one.

    Raises
    ------
    FileHeldError
        Another program holds ``path``; the new file is kept beside it, see `FileHeldError.kept`.
    """
    _clear_away(path)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    try:
        yield unfinished
        with unfinished.open("r+b") as file:
            os.fsync(file.fileno())
        put_in_place(unfinished, path)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _clear_away(path: Path) -> None:
    """Delete what processes left that were killed while they wrote ``path``."""
    for left in path.parent.glob(f"{glob.escape(path.name)}.*.unfinished"):
        pid = left.name.split(".")[-2]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            with suppress(OSError):
                left.unlink()


def _exchange_folder(made: Path, target: Path) -> None:
    old = target.with_name(f"{target.name}.{os.getpid()}.replaced")
    patiently(lambda: target.rename(old), target)
    try:
        patiently(lambda: made.rename(target), made)
    except OSError:
        old.rename(target)
        raise
    with suppress(OSError):
        # What is held now is the old one, which nobody asked to keep.
        remove_tree(old)


def _free_name(target: Path) -> Path:
    """``cell.new.csv``, ``cell.new2.csv``...: the first that is free."""
    ending = "".join(target.suffixes[-2:]) if target.name.endswith(".ome.zarr") else target.suffix
    stem = target.name.removesuffix(ending)
    names = (target.with_name(f"{stem}.new{n if n > 1 else ''}{ending}") for n in itertools.count(1))
    return next(name for name in names if not name.exists())
