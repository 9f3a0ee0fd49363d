"""Files as people have them: what becomes of each, beside what the first version made of it.

    python -m benchmarks.cases [--data ../shared/cases] [--docs docs]

Each case is a small file or folder after a public report. What the first version did stands in the README of the cases;
the rest is done here, by the command line in this process.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.documents import find_page, write_block
from benchmarks.report import markdown_table
from dblink_live.cli import main as run_verb

TABLE, STACK, PIXEL = "table", "stack", "pixel"


@dataclass(frozen=True)
class Case:
    """One input, and what is done with it."""

    path: str
    kind: str = TABLE
    source: str = "{path}"
    options: tuple[str, ...] = ()


CASES = (
    Case("01_two_channels/oni2.csv"),
    Case("01_two_channels/oni2.csv", options=("--channel", "1")),
    Case("02_two_cameras_same_axes/multicam_1", STACK, "ndtiff:{path}"),
    Case("02_two_cameras_same_axes/multicam_1", STACK, "ndtiff:{path}?camera=BaslerB"),
    Case("03_further_file_absent/c_lacks/cell_1_MMStack_Pos0.ome.tif", STACK),
    Case("03_further_file_absent/c/cell_1_MMStack_Pos0_1.ome.tif", STACK),
    Case("04_unknown_precision/bare.csv"),
    Case("05_carriage_return/cr_only.csv"),
    Case("07_pixel_size_unit/plain.tif", PIXEL, options=("--pixel-size-nm", "0.108")),
    Case("09_no_header/noheader_deccomma.csv"),
    Case("09_no_header/xyf_noheader_int.csv"),
    Case("11_other_axis/rep_time_1", STACK, "ndtiff:{path}"),
    Case("12_third_dimension/ts3d.csv"),
    Case("12_third_dimension/l_3d.hdf5"),
    Case("12_third_dimension/znm_sml.mat", options=("--pixel-size-nm", "100")),
    Case("13_stopped_early/b2/cell_1_MMStack_Pos0.ome.tif", STACK),
    Case("13_stopped_early/c_early/cell_1_MMStack_Pos0.ome.tif", STACK),
    Case("14_dropped_time_points/gap_1", STACK, "ndtiff:{path}"),
    Case("16_page_by_page/loop.tif", STACK),
    Case("18_yaml_with_numpy/np_yaml.raw", STACK),
    Case("18_yaml_with_numpy/latin.raw", STACK),
    Case("18_yaml_with_numpy/floatframes.raw", STACK),
    Case("18_yaml_with_numpy/dtype_lt.raw", STACK),
    *(Case(f"19_separators/{name}") for name in ("tab.txt", "semi_dec.csv", "sep_excel.csv", "utf16.csv")),
    Case("19_separators/comment_hash.csv"),
    Case("20_blank_cells/empty_optional.csv"),
    Case("20_blank_cells/trailing_comma.csv"),
    Case("21_nikon/nikon.txt"),
    *(Case(f"22_elyra/elyra_{name}.txt") for name in ("bom", "de", "quote", "nonul")),
    Case("23_older_ome_zarr/ome02.zarr", STACK),
    Case("23_older_ome_zarr/dimnames.zarr", STACK),
    Case("24_black_frames/dark.zarr", STACK),
    Case("27_image_files/seq", STACK, "tiff:{path}"),
    Case("30_far_rows/late.csv", "reconstruct"),
    Case("30_far_rows/out1.csv", "reconstruct"),
)


def before_of(readme: Path) -> dict[str, str]:
    """Return what the README says the first version did, by the name of the case's folder."""
    rows = [line.split("|") for line in readme.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return {row[1].strip(): row[3].strip() for row in rows if re.match(r"\d\d_", row[1].strip())}


def outcome_of(case: Case, root: Path, scratch: Path) -> tuple[int, str]:
    """Return the exit status of the case and what is said of it: the figures, notes, or the error."""
    path = root / case.path
    source = case.source.format(path=path)
    if case.kind == TABLE:
        target = scratch / ("out.csv" if path.suffix != ".csv" else "out.parquet")
        given = ["convert", source, str(target), "--overwrite"]
    elif case.kind == "reconstruct":
        given = ["reconstruct", source, "--out", str(scratch / "out.ome.zarr"), "--overwrite"]
    else:
        given = ["localize", source, "--out", str(scratch / "out.csv"), "--overwrite", "--localizer", "gaussian"]
        given += ["--psf-sigma-px", "1.2"] + (["--pixel-size-nm", "108"] if case.kind == STACK else [])
    said, answer = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(said)
    logging.getLogger("dblink_live").addHandler(handler)
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(answer):
            status = run_verb([*given, *case.options, "--json"])
    finally:
        logging.getLogger("dblink_live").removeHandler(handler)
    lines = [
        line for line in said.getvalue().splitlines() if "uncalibrated" not in line and "closed shutter" not in line
    ]
    if status == 0:
        figures = json.loads(answer.getvalue())
        counted = [f"{figures[key]} {key}" for key in ("frames", "windows", "localizations") if key in figures]
        depth = ", z kept" if "z_nm" in figures.get("columns", ()) else ""
        unknown = figures.get("unknown")
        lines = [
            ", ".join(counted) + depth,
            *([f"left out, as unknown: {', '.join(unknown)}"] if unknown else []),
            *lines,
        ]
    text = "; ".join(lines).replace(f"{root}/", "").replace(str(scratch), "OUT").replace("|", "/")
    return status, re.sub(r"dblink-live \w+: error: ", "", text)


def main() -> None:
    """Run every case and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/cases"))
    parser.add_argument("--docs", type=Path, help="folder of the documentation, whose page formats is written")
    options = parser.parse_args()
    before = before_of(options.data / "README.md")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for case in CASES:
            status, text = outcome_of(case, options.data, Path(scratch))
            name = case.path + (f" `{' '.join(case.options)}`" if case.options else "")
            name += f" `?{case.source.partition('?')[2]}`" if "?" in case.source else ""
            rows.append([name, before[case.path.partition("/")[0]], status, text])
    table = markdown_table(["case", "the first version", "status", "now"], rows)
    print(table)
    if options.docs is not None:
        write_block(find_page(options.docs, "formats"), "cases", table)


if __name__ == "__main__":
    main()
