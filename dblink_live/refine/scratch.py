"""Pictures of tiles that wait until all tiles of their windows are there, on disk beside the run.

A tile is computed over all windows before the next one begins, while the store takes whole pictures. Each file holds
one tile of `BLOCK` windows, appears whole or not at all, and is not made again when a refinement is taken up.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path

import numpy as np

from dblink_live.errors import StoreError
from dblink_live.files import remove, remove_tree, replacing
from dblink_live.refine.tiles import Tile
from dblink_live.store.arrays import StoredImage

FOLDER_NAME = "refine.partial"
BLOCK = 16
"""Windows per file: few enough to be put together in memory."""


class TileScratch:
    """The finished tiles of one segment.

    Parameters
    ----------
    run_folder
        The run.
    segment
        Index of the segment.
    n_windows
        Of the segment.
    """

    def __init__(self, run_folder: Path, segment: int, n_windows: int) -> None:
        self._folder = run_folder / FOLDER_NAME / f"segment_{segment}"
        self._n_windows = n_windows
        self._folder.mkdir(parents=True, exist_ok=True)

    def n_done(self, tile: Tile, first: int = 0) -> int:
        """Windows of ``tile`` that are finished, from the first one on; those before ``first`` count as if they were.

        Where it is not the whole segment, the number is a multiple of `BLOCK`.
        """
        starts = range(first // BLOCK * BLOCK, self._n_windows, BLOCK)
        missing = (start for start in starts if not self._path(tile, start).exists())
        return next(missing, self._n_windows)

    def write(self, tile: Tile, start: int, images: list[StoredImage]) -> None:
        """Keep the pictures of the windows from ``start`` on: `BLOCK` of them, or those that are left."""
        # Where a worker was taken for dead, two are at the same tile: each has a file of its own until it is whole.
        with replacing(self._path(tile, start)) as unfinished, unfinished.open("wb") as file:
            np.save(file, np.stack(images), allow_pickle=False)

    def read(self, tile: Tile, start: int) -> StoredImage:
        """Pictures [T, H, W] of one file.

        Raises
        ------
        StoreError
            It is damaged or belongs to another tile.
        """
        path = self._path(tile, start)
        shape = (min(BLOCK, self._n_windows - start), *tile.core.shape)
        try:
            images: StoredImage = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise StoreError(f"cannot read {path}: {error}; delete it and refine again") from error
        if images.shape != shape:
            raise StoreError(f"expected pictures {shape} in {path}, found {images.shape}; delete it and refine again")
        return images

    def remove(self) -> None:
        """Delete the segment's files; the folder as well when it was the last segment's."""
        with suppress(OSError):
            remove_tree(self._folder)
            _remove_if_empty(self._folder.parent)

    def _path(self, tile: Tile, start: int) -> Path:
        core = tile.core
        return self._folder / f"{core.top}_{core.left}_{core.bottom}_{core.right}_{start:07d}.npy"


class Permit:
    """A file that lets workers go on; they look for it after each block of windows.

    A worker of a cluster can outlive the refinement that it works for. The next refinement of the run, which holds the
    run's lock, revokes what earlier ones have left.
    """

    def __init__(self, run_folder: Path) -> None:
        folder = run_folder / FOLDER_NAME
        folder.mkdir(exist_ok=True)
        for left in folder.glob("*.permit"):
            remove(left)
        self.path = folder / f"{uuid.uuid4().hex}.permit"
        self.path.touch()

    def revoke(self) -> None:
        """Let the workers stop."""
        remove(self.path)
        _remove_if_empty(self.path.parent)


def _remove_if_empty(folder: Path) -> None:
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()
