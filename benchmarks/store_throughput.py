"""The store's write throughput against a plain sequential write of the same bytes to the same disk, in one run.

    python -m benchmarks.store_throughput [--folder F] [--megabytes 512] [--repeats 3] [--json OUT.json]

Each repeat writes the same frames in turn: sequentially into one file with one fsync, and as the case says: with the
run's own writers (checksums and journal included), or with zarr-python into an array of the same layout. Only ratios
mean something: the disk's speed changes from minute to minute, so each is taken within a repeat. The median counts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import BloscCodec

from benchmarks.report import Report, markdown_table
from dblink_live.store import RawWriter, RunWriter, create_raw
from dblink_live.store.raw.frames import shard_frames
from dblink_live.types import Grid, LocalizationMap, RunInfo, Segment, Shape, empty_localizations

INFO = RunInfo(uuid="benchmark", created_utc="2026-01-01T00:00:00", config={}, model="light", model_sha256="")
Frames = npt.NDArray[np.uint16]
Write = Callable[[], None]
Prepare = Callable[[Path, Frames], Write]
"""Makes everything ready in a folder; what it returns is timed."""


def camera_frames(side: int, n_frames: int) -> Frames:
    """Frames [n, side, side] with the noise of about 120 electrons."""
    rng = np.random.default_rng(0)
    return np.stack([rng.poisson(120, (side, side)).astype(np.uint16) for _ in range(n_frames)])


def sparse_counts(side: int, n_windows: int) -> Frames:
    """Sparse counts [n, side, side]: a localization in 100 pixels."""
    rng = np.random.default_rng(0)
    return np.stack([rng.poisson(0.01, (side, side)).astype(np.uint16) for _ in range(n_windows)])


def plain(folder: Path, frames: Frames) -> Write:
    def write() -> None:
        with (folder / "plain").open("wb") as file:
            file.write(frames.data)
            file.flush()
            os.fsync(file.fileno())

    return write


def raw(folder: Path, frames: Frames) -> Write:
    segment = Segment(index=0, shape=Shape(*frames.shape[1:]), dtype="uint16", frame_interval_ms=10.0)
    RunWriter.create(folder / "run", INFO, window_frames=10).close()
    create_raw(folder / "run", segment, 100.0)
    writer = RawWriter(folder / "run", 0)

    def write() -> None:
        for number, frame in enumerate(frames):
            writer.append(number, 0, frame)
        writer.finish("end")
        writer.close()

    return write


def zarr_python(folder: Path, frames: Frames) -> Write:
    """As `raw`, without checksums, journal or fsync."""
    shape = Shape(*frames.shape[1:])
    n_shard = shard_frames(Segment(index=0, shape=shape, dtype="uint16"))
    array = zarr.create_array(
        store=folder / "zarr", shape=frames.shape, dtype="uint16", chunks=(1, *shape), shards=(n_shard, *shape),
        compressors=BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle"), zarr_format=3,
    )  # fmt: skip

    def write() -> None:
        for start in range(0, len(frames), n_shard):
            array[start : start + n_shard] = frames[start : start + n_shard]

    return write


def maps(folder: Path, counts: Frames) -> Write:
    grid = Grid(pitch_nm=40.0, shape=Shape(*counts.shape[1:]))
    writer = RunWriter.create(folder / "run", INFO, window_frames=10)
    writer.begin_segment(Segment(index=0, shape=Shape(8, 8), dtype="uint16", frame_interval_ms=10.0), grid)

    def write() -> None:
        for window, image in enumerate(counts):
            map = LocalizationMap(0, window, 10 * window, 10 * window + 10, image, grid)
            writer.write_map(map, empty_localizations())
        writer.flush()
        writer.close()

    return write


def seconds(prepare: Prepare, parent: Path, frames: Frames) -> float:
    """How long the write takes, in a folder of its own that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(dir=parent))
    try:
        write = prepare(folder, frames)
        started = time.perf_counter()
        write()
        return time.perf_counter() - started
    finally:
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="on the disk to measure")
    parser.add_argument("--megabytes", type=int, default=512, help="a case, uncompressed: several shards")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json")
    options = parser.parse_args()
    report = Report("store_throughput", {"megabytes": options.megabytes, "repeats": options.repeats})
    cases: list[tuple[str, Prepare, Callable[[int, int], Frames], int]] = [
        ("raw 512 x 512", raw, camera_frames, 512),
        ("raw 512 x 512, by zarr-python", zarr_python, camera_frames, 512),
        ("raw 2048 x 2048", raw, camera_frames, 2048),
        ("raw 2048 x 2048, by zarr-python", zarr_python, camera_frames, 2048),
        ("maps 512 x 512", maps, sparse_counts, 512),
        ("maps 2048 x 2048", maps, sparse_counts, 2048),
    ]
    rows = []
    for name, prepare, make, side in cases:
        frames = make(side, max(1, options.megabytes * 10**6 // (2 * side * side)))
        ratios, rates = [], []
        for _ in range(options.repeats):
            plain_s = seconds(plain, options.folder, frames)
            own_s = seconds(prepare, options.folder, frames)
            ratios.append(plain_s / own_s)
            rates.append(frames.nbytes / own_s / 1e6)
        rows.append((name, statistics.median(ratios), min(ratios), statistics.median(rates)))
        report.add(name, {"ratios": ratios, "mb_per_s": rates})
    print(markdown_table(("written", "share of plain", "least", "MB/s"), rows))
    report.finish(options.json)


if __name__ == "__main__":
    main()
