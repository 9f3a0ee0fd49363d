"""Find an NDTiff dataset: the folder itself, or the next dataset that appears in it."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path

from dblink_live.errors import SourceError
from dblink_live.sources.ndtiff.index import INDEX_NAME

_LOG = logging.getLogger(__name__)

_POLL_S = 0.1
_INDEX_PATIENCE_S = 1.0
_INNER = "Full resolution"
"""A dataset with a pyramid (Micro-Magellan) keeps its full images in this folder."""


def find_dataset(path: Path, watch: bool | None = None, n_kept: int = 0, wait_s: float | None = None) -> Path:
    """The folder that holds the index of the dataset to follow.

    Parameters
    ----------
    path
        A dataset, or the folder in which it will appear.
    watch
        Whether to wait for the next dataset in ``path``, however long that takes; None does so where ``path`` itself is
        no dataset.
    n_kept
        Frames that an interrupted run has kept of its dataset. Which one it was, a watched folder does not say.
    wait_s
        How long to wait for a dataset; None waits as long as it takes.

    Raises
    ------
    SourceError
        There is no such folder or dataset, it may not be read, none appeared in time, or an interrupted run had
        watched a folder.
    """
    path = path.parent if path.name == INDEX_NAME else path
    known = _datasets_in(path)
    own = _dataset_at(path)
    if watch is None and own is None:
        _refuse_without_index(path)
        own = _dataset_at(path)
    if watch is None:
        watch = own is None
    if not watch and own is None:
        names = ", ".join(sorted(folder.name for folder in known)) or "none"
        raise SourceError(f"expected an NDTiff dataset at {path}, found no {INDEX_NAME}; datasets in it: {names}")
    if not watch and own is not None:
        return own
    if n_kept:
        raise SourceError(
            f"expected the dataset of which {n_kept} frames are kept, but {path} was watched for the next one; "
            f"go on in a new run with ndtiff:{path / 'DATASET'}?start={n_kept}"
        )
    _LOG.warning(
        "waiting for the next dataset in %s: start the acquisition now (one that has begun already is ndtiff:DATASET)",
        path,
    )
    deadline_s = math.inf if wait_s is None else time.monotonic() + wait_s
    while not (fresh := _datasets_in(path) - known):
        if time.monotonic() > deadline_s:
            raise SourceError(
                f"expected a dataset to appear in {path} within {wait_s:g} s, found none; does Micro-Manager save in "
                "another folder?"
            )
        time.sleep(_POLL_S)
    return min(fresh, key=lambda folder: (folder.stat().st_ctime_ns, folder))


def _refuse_without_index(folder: Path) -> None:
    """A dataset whose index was not copied would be waited for in vain: it is there, and no other will come."""
    stacks = sorted(file.name for file in folder.glob("*NDTiffStack*.tif"))
    deadline_s = time.monotonic() + _INDEX_PATIENCE_S
    while stacks and _dataset_at(folder) is None:
        # A writer makes the data file a moment before the index.
        if time.monotonic() > deadline_s:
            raise SourceError(
                f"expected the index {folder / INDEX_NAME} beside {stacks[0]}, found none; copy it along, or replay "
                "the "
                f"file by itself with tiff:{folder / stacks[0]}"
            )
        time.sleep(_POLL_S)


def _datasets_in(folder: Path) -> set[Path]:
    """The datasets that lie in ``folder``, and ``folder`` itself where it is one."""
    if not folder.exists():
        raise SourceError(
            f"expected the folder of an NDTiff dataset, found nothing at {folder}; check the path, or give the folder "
            "in which Micro-Manager saves: the next dataset that appears in it is followed"
        )
    if not folder.is_dir():
        raise SourceError(
            f"expected the folder of an NDTiff dataset, found the file {folder}; give the folder that holds "
            f"{INDEX_NAME}, or replay a single file with tiff:{folder}"
        )
    try:
        inner = [path for path in folder.iterdir() if path.is_dir()]
        return {found for path in (folder, *inner) if (found := _dataset_at(path)) is not None}
    except OSError as error:
        raise SourceError(f"expected to read the folder {folder}, found: {error.strerror or error}") from error


def _dataset_at(path: Path) -> Path | None:
    return next((folder for folder in (path, path / _INNER) if (folder / INDEX_NAME).is_file()), None)
