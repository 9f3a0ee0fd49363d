"""Refuse to rename and delete open files on Linux, as Windows does; standard library alone, for child processes too.

An audit hook looks in ``/proc`` for holders of a file before each rename and delete by Python, and raises what Windows
would: `PermissionError` with ``winerror`` 32 (sharing violation).
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT_VARIABLE, LOG_VARIABLE = "DBLINK_WINDOWS_RULES_ROOT", "DBLINK_WINDOWS_RULES_LOG"
FOLDER = Path(__file__).parent
SHARING_VIOLATION, ALREADY_EXISTS = 32, 183

_rules: _OpenFileRules | None = None
"""An audit hook cannot be taken back: it does nothing while this is None."""
_is_hooked = False
shared_for_deletion: set[int] = set()
"""Descriptors of this process that are opened with FILE_SHARE_DELETE on Windows."""


class _OpenFileRules:
    """The rules in force.

    Parameters
    ----------
    root
        Process whose descendants, and itself, may hold files.
    log
        Takes a line per refusal, from all processes.
    """

    def __init__(self, root: int, log: Path) -> None:
        self._root = root
        self._log = log

    def check(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Raise what Windows would raise for an audit event."""
        if event == "os.remove":
            paths = [_absolute(arguments[0], arguments[1])]
        elif event == "os.rename":
            paths = [_absolute(arguments[0], arguments[2]), _absolute(arguments[1], arguments[3])]
        else:
            return
        for path in paths:
            holder = self._holder(path)
            if holder is not None:
                self._refuse(f"{event} of {path}, held by {holder}", path)

    def _refuse(self, what: str, path: str) -> None:
        test = os.environ.get("PYTEST_CURRENT_TEST", "?").partition(" ")[0]
        with self._log.open("a", encoding="utf-8") as file:
            file.write(f"{test}: {what}\n")
        error = PermissionError(errno.EACCES, "The process cannot access the file because it is used elsewhere", path)
        error.winerror = SHARING_VIOLATION  # type: ignore[attr-defined]
        raise error

    def _holder(self, path: str) -> str | None:
        """The process that holds the file, or a file in the folder, in words."""
        is_folder = os.path.isdir(path) and not os.path.islink(path)
        if not is_folder and not os.path.isfile(path):
            return None

        def is_it(held: str) -> bool:
            return held == path or (is_folder and held.startswith(path + "/"))

        for pid in _family(self._root):
            for number, held in _descriptors(pid):
                if is_it(held) and os.path.isfile(held) and not (pid == os.getpid() and number in shared_for_deletion):
                    return f"descriptor {number} of process {pid}"
            if any(map(is_it, _mapped(pid))):
                return f"a memory map of process {pid}"
        return None


@contextmanager
def rules_in_force(log: Path) -> Iterator[None]:
    """Apply the rules in this process, and in those that it starts."""
    _hook_in()
    _set_rules(_OpenFileRules(os.getpid(), log))
    before = {name: os.environ.get(name) for name in (ROOT_VARIABLE, LOG_VARIABLE, "PYTHONPATH")}
    os.environ[ROOT_VARIABLE], os.environ[LOG_VARIABLE] = str(os.getpid()), str(log)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(FOLDER), before["PYTHONPATH"]]))
    try:
        yield
    finally:
        _set_rules(None)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def begin_in_child() -> None:
    """Apply the rules of the parent; called by ``sitecustomize.py``."""
    _hook_in()
    _set_rules(_OpenFileRules(int(os.environ[ROOT_VARIABLE]), Path(os.environ[LOG_VARIABLE])))


def _set_rules(rules: _OpenFileRules | None) -> None:
    global _rules
    _rules = rules


def _hook_in() -> None:
    """Add the hook, once; and let `os.rename` refuse to replace, which the audit event does not tell from `replace`."""
    global _is_hooked
    if _is_hooked:
        return
    _is_hooked = True
    sys.addaudithook(lambda event, arguments: _rules.check(event, arguments) if _rules is not None else None)
    rename = os.rename

    def refusing_rename(source: Any, target: Any, **folders: Any) -> None:
        if _rules is not None and os.path.lexists(_absolute(target, folders.get("dst_dir_fd"))):
            error = FileExistsError(errno.EEXIST, "Cannot create a file when that file already exists", target)
            error.winerror = ALREADY_EXISTS  # type: ignore[attr-defined]
            raise error
        rename(source, target, **folders)

    os.rename = refusing_rename  # type: ignore[assignment]


def _absolute(path: Any, folder_descriptor: int | None) -> str:
    text = os.fsdecode(path)
    base = os.getcwd()
    if folder_descriptor is not None and folder_descriptor >= 0:
        base = os.readlink(f"/proc/self/fd/{folder_descriptor}")
    return os.path.normpath(os.path.join(base, text))


def _family(root: int) -> list[int]:
    """``root`` and its descendants that are alive."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    # The name of the program, in brackets, may hold blanks and brackets.
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
            except OSError:
                continue
            if state != b"Z":
                children.setdefault(int(parent), []).append(int(name))
    family = [root]
    for pid in family:
        family += children.get(pid, [])
    return family


def _descriptors(pid: int) -> Iterator[tuple[int, str]]:
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for name in names:
        try:
            yield int(name), os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue


def _mapped(pid: int) -> Iterator[str]:
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as maps:
            for line in maps:
                fields = line.rstrip("\n").split(maxsplit=5)
                if len(fields) == 6:
                    yield fields[5]
    except OSError:
        return
