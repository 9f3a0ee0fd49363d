"""TOML as people write it on Windows: with a byte order mark, from PowerShell in UTF-16, and with paths."""

from __future__ import annotations

import codecs
import re
import tomllib
from typing import Any

from dblink_live.errors import ConfigError

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# A drive, also within a specification such as tiff:D:\a.tif, or a share; and then single backslashes.
_WINDOWS_PATH = re.compile(r'"((?:[^"\\\n]*(?<![A-Za-z])[A-Za-z]:|\\)\\(?!\\)[^"\n]*)"')


def parse_toml(content: bytes | str) -> dict[str, Any]:
    r"""Read TOML.

    Within double quotes TOML takes a backslash for the beginning of an escape: ``"D:\new\table.npz"`` holds a line
    break and a tab, and is refused.

    Raises
    ------
    ConfigError
        It is not TOML, or a Windows path stands in double quotes.
    """
    try:
        text = content if isinstance(content, str) else _decode(content)
    except UnicodeDecodeError as error:
        raise ConfigError(f"expected TOML in UTF-8, found {error}; save it as UTF-8") from error
    for number, line in enumerate(text.splitlines(), start=1):
        found = None if line.lstrip().startswith("#") else _WINDOWS_PATH.search(line)
        if found and r"\\" not in found[1][2:]:
            raise ConfigError(
                f"expected a Windows path in single quotes in line {number}, found {found[0]}: in double quotes TOML "
                f"takes a backslash for the beginning of an escape; write '{found[1]}'"
            )
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"expected TOML, found: {error}") from error


def _decode(content: bytes) -> str:
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    return content.decode(encoding)
