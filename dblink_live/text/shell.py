r"""Commands as they are typed into cmd.exe, PowerShell and bash.

cmd.exe takes double quotes alone, and splits at ``&``; bash and PowerShell take both. So a word is put in double
quotes wherever these mean the same in all of them.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable

_PLAIN = re.compile(r"[\w@+=:,./~-]+", re.ASCII)
_PLAIN_ON_WINDOWS = re.compile(r"[\w@+=:,./~\\-]+")
_EXPANDED = frozenset('"$`\\!')
"""What bash reads within double quotes."""


def command_text(words: Iterable[str], is_windows: bool = sys.platform == "win32") -> str:
    r"""Return a command as it is typed into a terminal of this system.

    Examples
    --------
    >>> print(command_text(["run", "--source", "mm:core?config=My Scope.cfg&exposure_ms=20"], is_windows=False))
    run --source "mm:core?config=My Scope.cfg&exposure_ms=20"
    >>> print(command_text(["view", r"D:\my runs\cell.run"], is_windows=True))
    view "D:\my runs\cell.run"
    >>> print(command_text(["view", "price $5.run"], is_windows=False))
    view 'price $5.run'
    """
    return " ".join(quoted(word, is_windows) for word in words)


def quoted(word: str, is_windows: bool = sys.platform == "win32") -> str:
    r"""Return one word of a command, quoted where it needs to be.

    Examples
    --------
    >>> quoted("cell.run"), quoted("a&b")
    ('cell.run', '"a&b"')
    >>> print(quoted("D:\\runs\\", is_windows=True), quoted("D:\\my runs\\", is_windows=True))
    D:\runs\ "D:\my runs\\"
    """
    if (_PLAIN_ON_WINDOWS if is_windows else _PLAIN).fullmatch(word):
        return word
    if is_windows:
        # A backslash before the closing quotation mark would take it for a part of the word.
        body = word.replace('"', '\\"')
        return f'"{body}\\"' if body.endswith("\\") else f'"{body}"'
    return shlex.quote(word) if _EXPANDED & set(word) else f'"{word}"'
