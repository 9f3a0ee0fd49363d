"""Tables that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dblink_live import files
from dblink_live.errors import SourceError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; what lies there takes the place of ``path`` at the end, unless an error came.

    Raises
    ------
    FileHeldError
        Another program holds ``path``; the table is kept under another name.
    SourceError
        The folder cannot be written.
    """
    try:
        with files.replacing(path) as unfinished:
            yield unfinished
    except files.FileHeldError:
        raise
    except OSError as error:
        raise SourceError(f"{path} cannot be written: {error}; choose another folder or free space") from error
