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
from pathlib import Path, PurePath
from typing import TypeVar

import psutil

from dblink_live.errors import DblinkError

PATIENCE_S = 3.0
"""Seconds for which a refused replace, rename or delete is repeated."""

_PAUSE_S = 0.05
_UNFINISHED_LENGTH = len(".4294967295.unfinished")
_HELD = {5, 32, 33, 1224}
"""Access denied, sharing violation, lock violation, file with a mapped section: what Windows answers for open files."""
_TENSORSTORE_CODE = re.compile(r"\[os_error_code='(\d+)'\]")
MAX_PATH = 259
"""Characters of a path on Windows, where long paths are not switched on for the machine and the program."""
_FORBIDDEN = frozenset('<>:"|?*')
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10))}
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


def windows_path_problem(path: PurePath, n_more: int = 0) -> str | None:
    r"""Why Windows cannot make ``path``, or files in it whose paths are ``n_more`` characters longer; None if it can.

    Examples
    --------
    >>> from pathlib import PureWindowsPath
    >>> windows_path_problem(PureWindowsPath(r"D:\runs\cell:1.run"))
    "in 'cell:1.run' the character ':' is not allowed: Windows would write a hidden stream instead"
    >>> windows_path_problem(PureWindowsPath(r"D:\runs\aux.run"))
    "'aux.run' is the name of a device to Windows"
    >>> windows_path_problem(PureWindowsPath(r"D:\runs\cell1.run")) is None
    True
    """
    for part in path.parts[1:] if path.anchor else path.parts:
        if part in (".", ".."):
            continue
        wrong = next((sign for sign in part if sign in _FORBIDDEN or ord(sign) < 32), None)
        if wrong == ":":
            return f"in {part!r} the character ':' is not allowed: Windows would write a hidden stream instead"
        if wrong is not None:
            return f"in {part!r} the character {wrong!r} is not allowed"
        if part.partition(".")[0].rstrip().upper() in _DEVICES:
            return f"{part!r} is the name of a device to Windows"
        if part[-1] in ". ":
            return f"{part!r} ends in a dot or a blank, which Windows drops"
    length = len(str(path)) + n_more
    if length > MAX_PATH:
        return (
            f"its files would have paths of up to {length} characters, and Windows takes {MAX_PATH}: choose a folder "
            "nearer to the drive, such as D:\\runs"
        )
    return None


def check_path(path: Path, n_more: int = 0) -> None:
    """Raise `UnusablePathError` where Windows, if this is Windows, cannot make ``path``; see `windows_path_problem`."""
    problem = windows_path_problem(path.absolute(), n_more) if sys.platform == "win32" else None
    if problem is not None:
        raise UnusablePathError(f"expected a path that Windows can make, found {path}: {problem}")


class UnusablePathError(DblinkError):
    """A name or a length of path that the system does not take."""


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
    """The number of a Windows error, which is the same in every language; None elsewhere."""
    code = getattr(error, "winerror", None)
    if code is None and sys.platform == "win32":
        code = tensorstore_code(error)
    return code if isinstance(code, int) else None


def tensorstore_code(error: BaseException) -> int | None:
    """The system's number in an error of tensorstore, which raises every failure as ValueError; None without one."""
    found = _TENSORSTORE_CODE.search(str(error)) if isinstance(error, ValueError) else None
    return int(found[1]) if found else None


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
    check_path(path, n_more=_UNFINISHED_LENGTH)
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
