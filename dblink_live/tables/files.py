"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dblink_live.errors import SourceError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; what lies there takes the place of ``path`` at the end, unless an error came."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        raise SourceError(f"{path} cannot be written: {error}; choose another folder or free space") from error
    finally:
        unfinished.unlink(missing_ok=True)
