"""Tables whose headers were damaged or changed: read right, or refused in one line; no row is lost without a word."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from mutations import mutated, mutations, try_mutations
from scipy.io import savemat

from dblink_live.errors import DblinkError
from dblink_live.tables import read_localizations, unknown_rows, write_localizations
from dblink_live.types import Shape

N_ROWS = 6


def written(suffix: str) -> dict[str, bytes]:
    """A table of six rows in a format, with the files that belong to it."""
    rows = unknown_rows(N_ROWS)
    rows["frame"], rows["x"], rows["y"] = np.arange(N_ROWS), np.linspace(3, 30, N_ROWS), np.linspace(4, 20, N_ROWS)
    rows["photons"], rows["lpx"], rows["lpy"] = 500.0, 0.1, 0.1
    with tempfile.TemporaryDirectory() as folder:
        write_localizations(Path(folder) / f"t{suffix}", rows, Shape(24, 32), 108.0)
        return {path.suffix: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def matlab_5() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        loc = {name: np.arange(1.0, N_ROWS + 1) * 300 for name in ("xnm", "ynm")} | {
            "frame": np.arange(1.0, N_ROWS + 1)
        }
        info = {"cam_pixelsize_um": [0.108, 0.108], "Width": 32.0, "Height": 24.0, "roi": [0.0, 0.0, 32.0, 24.0]}
        savemat(Path(folder) / "t.mat", {"saveloc": {"loc": loc, "file": {"info": info}}})
        return {".mat": (Path(folder) / "t.mat").read_bytes()}


ELYRA = "Index\tFirst Frame\tPosition X [nm]\tPosition Y [nm]\tPrecision [nm]\tNumber Photons\tChannel\n" + "".join(
    f"{i}\t{i}\t{3000 + i}.5\t{2000 + i}.25\t8.5\t500\t1\n" for i in range(1, N_ROWS + 1)
)
NIKON = "Channel Name\tX\tY\tXc\tYc\tFrame\tPhotons\tXwc\tYwc\n" + "".join(
    f"647\t{3000 + i}.5\t{2000 + i}.5\t1\t2\t{i}\t500\t{3000 + i}.25\t{2000 + i}.75\n" for i in range(1, N_ROWS + 1)
)
TEXT = ("csv", "rapidSTORM", "Elyra", "Nikon")
BASES = {
    "csv": written(".csv"),
    "rapidSTORM": written(".txt"),
    "Elyra": {".txt": ELYRA.encode()},
    "Nikon": {".txt": NIKON.encode()},
    "SMLM": written(".smlm"),
    "Picasso": written(".hdf5"),
    "SMAP 7.3": written(".mat"),
    "SMAP 7": matlab_5(),
    "DECODE": written(".h5"),
    "Parquet": written(".parquet"),
}


@pytest.mark.parametrize("name", list(BASES))
def test_a_mutated_header_is_read_whole_or_refused_in_one_line(name: str) -> None:
    base = BASES[name]

    def check(data: st.DataObject) -> None:
        target = data.draw(st.sampled_from(list(base)))
        content = base[target]
        # Text: the first line and a little more; binary: what says where the rows lie.
        places = [range(content.index(b"\n") + 4 if name in TEXT else min(2500, len(content)))]
        if name == "Parquet":
            # Its description lies at the end.
            places.append(range(len(content) * 2 // 3, len(content)))
        change = data.draw(mutations(places))
        with tempfile.TemporaryDirectory() as folder:
            for suffix, unchanged in base.items():
                (Path(folder) / f"t{suffix}").write_bytes(mutated(content, change) if suffix == target else unchanged)
            main_file = Path(folder) / f"t{next(suffix for suffix in base if suffix != '.yaml')}"
            try:
                table = read_localizations(main_file, 108.0)
            except DblinkError as error:
                assert str(error)
                return
        if change[0] == "cut" and name in TEXT:
            # What was cut off at the end of a line cannot be known to have been there.
            assert len(table) <= N_ROWS
            return
        # A mutation may take away or add one line of text; rows of a binary table are all there.
        lines = 1 if name in TEXT else 0
        named = sum("left out" in note for note in table.notes)
        assert N_ROWS - lines - named <= len(table) <= N_ROWS + lines, (change, table.notes)

    try_mutations(check)
