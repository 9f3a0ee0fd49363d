"""Reads a run beside its writer with a program that knows nothing of the journal, and prints what it saw.

    python foreign_reader.py RUN zarr|tensorstore|napari-ome-zarr LOOKS

It learns from the journal which window is the newest that is committed, reads that one through the array alone, and
compares its checksum with the row's; so many times, each time another window.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dblink_live.store import checksum, open_run

Read = Callable[[Path, int], npt.NDArray[np.generic]]


def by_zarr(group: Path, index: int) -> npt.NDArray[np.generic]:
    import zarr

    return np.asarray(zarr.open_group(group, mode="r")["0"][index])  # type: ignore[index]


def by_tensorstore(group: Path, index: int) -> npt.NDArray[np.generic]:
    import tensorstore as ts

    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": (group / "0").as_posix()}}
    return np.asarray(ts.open(spec, open=True, read=True).result()[index].read().result())


def by_napari_ome_zarr(group: Path, index: int) -> npt.NDArray[np.generic]:
    """As napari does when a series' folder is dropped into it."""
    from napari_ome_zarr import napari_get_reader

    reader = napari_get_reader(str(group))
    layer = reader(str(group))[0]
    finest = layer[0][0] if isinstance(layer[0], list) else layer[0]
    return np.asarray(finest[index])


READERS: dict[str, Read] = {
    "zarr": by_zarr,
    "tensorstore": by_tensorstore,
    "napari-ome-zarr": by_napari_ome_zarr,
}


def main() -> None:
    folder, read, n_looks = Path(sys.argv[1]).absolute(), READERS[sys.argv[2]], int(sys.argv[3])
    seen: set[tuple[str, int]] = set()
    n_wrong = 0
    with open_run(folder) as run:
        while len(seen) < n_looks:
            row = run.windows("counts" if len(seen) % 2 else "live")[-1:]
            if not row or (row[0].product, row[0].array_index) in seen:
                time.sleep(0.002)
                continue
            (newest,) = row
            seen.add((newest.product, newest.array_index))
            picture = read(folder / "run.ome.zarr" / newest.product, newest.array_index)
            n_wrong += checksum(picture) != newest.checksum
    print(f"compared {len(seen)}, of which {n_wrong} were wrong")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
