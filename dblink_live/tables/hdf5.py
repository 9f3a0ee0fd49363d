"""HDF5 files that other programs wrote, opened so that damage is one clear error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from dblink_live.errors import SourceError


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The file, open for reading; whatever the library finds wrong in it is a `SourceError`."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    # The library has no error of its own: damage comes as any of these, by where in the file it is.
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise SourceError(f"expected a whole HDF5 file, but {path} is damaged: {error}; copy it again") from error
