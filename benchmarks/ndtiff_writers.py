"""Two writers of NDTiff datasets, for tests and benchmarks of the follower: the Python library, and what Java does.

    python -m benchmarks.ndtiff_writers STYLE FOLDER --frames N [--fps F] [--size PIXELS] [--times FILE.npy]

writes a dataset whose frames are all different and known beforehand (`frame_of`), and saves when each was begun.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

STYLES = ("growing", "flushed", "preallocated")
"""The index as ndstorage writes it (in blocks of its buffer), the same flushed after each image, and as Java does."""

_GIB = 2**30
_PADDING = 5_000_000
"""Bytes that must be left in a data file after an image, or the next one is begun."""
_PIXEL_TYPES = {8: 0, 16: 1, 10: 3, 12: 4, 14: 5, 11: 6}


class Writer(Protocol):
    """Puts one image after the other."""

    def put(self, axes: Mapping[str, int | str], pixels: npt.NDArray[Any], metadata: Mapping[str, Any]) -> None: ...

    def finish(self) -> None: ...


def frame_of(number: int, size: int) -> npt.NDArray[np.uint16]:
    """The pixels of frame ``number``: every pixel differs from that of any of the 65,535 frames around it."""
    return (np.arange(size * size, dtype=np.uint32) * 7 + number * 31).astype(np.uint16).reshape(size, size)


def open_writer(style: str, folder: Path, summary: Mapping[str, Any] | None = None) -> Writer:
    """A writer of one of `STYLES` into ``folder``, which must not exist."""
    if style == "preallocated":
        return JavaStyleWriter(folder, summary or {})
    return LibraryWriter(folder, summary or {}, flush=style == "flushed")


class LibraryWriter:
    """ndstorage, the library behind pycromanager's Python backend.

    Its index is a buffered file: entries reach the disk in blocks of 8 kB, unless ``flush`` pushes each one out.
    """

    def __init__(self, folder: Path, summary: Mapping[str, Any], *, flush: bool = False) -> None:
        from ndstorage import NDTiffDataset

        folder.mkdir(parents=True)
        self._dataset = NDTiffDataset(dataset_path=str(folder), writable=True)
        self._dataset.initialize(dict(summary))
        self._flush = flush

    def put(self, axes: Mapping[str, int | str], pixels: npt.NDArray[Any], metadata: Mapping[str, Any]) -> None:
        self._dataset.put_image(dict(axes), pixels, dict(metadata))
        # Each data file's writer opens a reader that nothing uses and nothing closes.
        self._dataset.current_writer.reader.close()
        if self._flush:
            self._dataset._index_file.flush()

    def finish(self) -> None:
        self._dataset.finish()
        self._dataset.close()


class JavaStyleWriter:
    """What the Java library of Micro-Manager does with its files, as its sources say (NDTiffWriter, IndexWriter).

    Index and data files are preallocated with zeros, each image and then its entry is written at once, and the files
    are cut to their lengths at the end. ``code_page`` is the machine's, in which Java before 18 writes the index.
    The TIFF directory of each image is left as zeros: nobody here reads it.
    """

    DIRECTORY_BYTES = 2 + 13 * 12 + 4 + 16

    def __init__(
        self,
        folder: Path,
        summary: Mapping[str, Any],
        *,
        name: str = "acq",
        max_file_bytes: int = 4 * _GIB,
        index_bytes: int = 25 * 2**20,
        code_page: str = "utf-8",
    ) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._name = name
        self._summary = json.dumps(summary).encode()
        self._code_page = code_page
        self._max_file_bytes = max_file_bytes
        self._n_files = 0
        self._index = (folder / "NDTiff.index").open("wb", buffering=0)
        self._index.truncate(index_bytes)
        self._begin_file()

    def put(
        self,
        axes: Mapping[str, int | str],
        pixels: npt.NDArray[Any],
        metadata: Mapping[str, Any],
        *,
        bits: int | None = None,
        pixel_type: int | None = None,
    ) -> None:
        """Write an image; ``bits`` or the bare ``pixel_type`` (2: RGB) say what the index calls it."""
        text = json.dumps({"Axes": axes, **metadata}, ensure_ascii=False).encode()
        if self._at + self.DIRECTORY_BYTES + pixels.nbytes + len(text) + _PADDING >= self._max_file_bytes:
            self._end_file()
            self._begin_file()
        self._at += self._at % 2
        offset = self._at + self.DIRECTORY_BYTES
        self._file.seek(offset)
        self._file.write(pixels.tobytes() + text)
        self._at = offset + pixels.nbytes + len(text)
        if pixel_type is None:
            pixel_type = _PIXEL_TYPES[bits or 8 * pixels.itemsize]
        numbers = (offset, pixels.shape[1], pixels.shape[0], pixel_type, 0, offset + pixels.nbytes, len(text), 0)
        # As Java does it: a character that the code page lacks becomes a question mark.
        key, file = (
            value.encode(self._code_page, "replace")
            for value in (json.dumps(axes, ensure_ascii=False, separators=(",", ":")), self._file_name)
        )
        self._index.write(
            struct.pack("<I", len(key)) + key + struct.pack("<I", len(file)) + file + struct.pack("<8I", *numbers)
        )

    def finish(self) -> None:
        self._end_file()
        self._index.truncate(self._index.tell())
        self._index.close()

    def abandon(self) -> None:
        """End as a writer that was killed: nothing is cut to its length."""
        self._file.close()
        self._index.close()

    def _begin_file(self) -> None:
        self._file_name = f"{self._name}_NDTiffStack{f'_{self._n_files}' if self._n_files else ''}.tif"
        self._n_files += 1
        self._file = (self._folder / self._file_name).open("wb", buffering=0)
        self._file.truncate(self._max_file_bytes)
        n = len(self._summary)
        header = b"II*\0" + struct.pack("<6I", 28 + n + n % 2, 483729, 3, 3, 2355492, n)
        self._file.write(header + self._summary)
        self._at = len(header) + n

    def _end_file(self) -> None:
        self._file.truncate(self._at)
        self._file.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("style", choices=STYLES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--fps", type=float, help="as fast as it goes without")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--times", type=Path, help="where to save when each frame was begun [ns]")
    options = parser.parse_args()
    writer = open_writer(options.style, options.folder, {"PixelSizeUm": 0.1})
    times = np.zeros(options.frames, np.int64)
    started_ns = time.perf_counter_ns()
    for number in range(options.frames):
        pixels = frame_of(number, options.size)
        if options.fps is not None:
            wait_s = number / options.fps - (time.perf_counter_ns() - started_ns) * 1e-9
            if wait_s > 0:
                time.sleep(wait_s)
        times[number] = time.perf_counter_ns()
        writer.put({"time": number}, pixels, {"Exposure": 5.0, "BitDepth": 16})
    seconds = (time.perf_counter_ns() - started_ns) * 1e-9
    writer.finish()
    if options.times is not None:
        np.save(options.times, times)
    print(json.dumps({"fps": options.frames / seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
