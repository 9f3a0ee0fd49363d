"""Names in an index that Java wrote in the code page of its machine.

Java before version 18 writes the index in the machine's code page (1252 on a western Windows), in which a character
that the page lacks becomes ``?``. The data files themselves hold UTF-8: the metadata of each image state its axes, and
the folder knows the names of its files. So both are taken from there wherever the index is not certain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dblink_live.sources.ndtiff.images import NdtiffImages
from dblink_live.sources.ndtiff.index import AxisValue, IndexEntry, NotWholeError, code_pages


class NameResolver:
    """The true file names and axes of a dataset's entries.

    Parameters
    ----------
    folder
        The dataset.
    images
        Its data files.
    """

    def __init__(self, folder: Path, images: NdtiffImages) -> None:
        self._folder = folder
        self._images = images
        self._files: dict[bytes, str] = {}

    def resolve(self, entry: IndexEntry) -> IndexEntry:
        """``entry`` with the names that were meant.

        Raises
        ------
        NotWholeError
            Its file is not in the folder (yet), or the metadata of its image are not whole in it.
        """
        if entry.is_certain:
            return entry
        entry = replace(entry, file=self._file(entry))
        axes: Any = self._images.metadata(entry).get("Axes")
        return replace(entry, axes=axes) if _is_same_place(axes, entry.axes) else entry

    def _file(self, entry: IndexEntry) -> str:
        raw = entry.raw_file
        if raw not in self._files:
            names = [path.name for path in self._folder.glob("*.tif")]
            fitting = {name for name in names for page in code_pages() if name.encode(page, "replace") == raw}
            if len(fitting) != 1:
                found = ", ".join(sorted(fitting or names)) or "none"
                raise NotWholeError(f"expected one data file in {self._folder} that is called {raw!r}, found {found}")
            (self._files[raw],) = fitting
        return self._files[raw]


def _is_same_place(axes: object, indexed: Mapping[str, AxisValue]) -> bool:
    """Whether the axes of an image's metadata are those of its entry, but for the characters of names."""
    if not isinstance(axes, dict) or axes.keys() != indexed.keys():
        return False
    return all(
        type(axes[name]) is type(value) and (isinstance(value, str) or axes[name] == value)
        for name, value in indexed.items()
    )
