"""Every verb on a console or into a file of code page 1252, as on western Windows: no letter ends a command."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dblink_live.cli.main import GROUPS, build_parser, main

VERBS = [verb.prog.split()[-1] for verbs in build_parser().groups.values() for verb in verbs]
NAME = "α-tubulin µm Łódź"  # noqa: RUF001
"""Letters within code page 1252 and beyond."""
ESCAPED = r"\u03b1-tubulin µm \u0141ódź".encode("cp1252", "backslashreplace").decode("cp1252")
TABLE = '"frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]","uncertainty [nm]"\n'

Printed = Callable[[list[str]], tuple[int, str]]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Printed:
    """Runs a command with both streams as files of code page 1252; returns its status and what is in them."""

    def run(arguments: list[str]) -> tuple[int, str]:
        files = [io.TextIOWrapper(io.BytesIO(), encoding="cp1252", errors="strict") for _ in range(2)]
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", files[0])
            patched.setattr(sys, "stderr", files[1])
            status = main(arguments)
        text = ""
        for file in files:
            file.flush()
            text += file.buffer.getvalue().decode("cp1252")  # type: ignore[attr-defined]  # a BytesIO
        return status, text

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording, its table, maps and a run, each with letters beyond code page 1252 in its name."""
    folder = tmp_path_factory.mktemp("παράδειγμα")
    slope = np.linspace(100, 600, 64)
    stack = np.random.default_rng(0).poisson(slope, (60, 64, 64)).astype(np.uint16)
    tifffile.imwrite(folder / f"{NAME}.tif", stack)
    rows = "".join(f"{1 + i},{500 + i % 7},{600 + i % 5},130,900,12\n" for i in range(60))
    (folder / f"{NAME}.csv").write_text(TABLE + rows, encoding="utf-8")
    np.save(folder / f"{NAME}.npy", np.random.default_rng(1).poisson(0.05, (6, 48, 48)).astype(np.uint16))
    command = ["run", "--source", "sim:filaments?frames=60&fps=1000", "--out", str(folder / f"{NAME}.run"), "--no-view"]
    assert main(command) == 0
    return folder


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_printed(printed: Printed, verb: str) -> None:
    status, text = printed([verb, "--help"])
    assert status == 0 and verb in text


def test_the_list_of_verbs_is_printed(printed: Printed) -> None:
    status, text = printed(["--help"])
    assert status == 0 and all(title in text for title in GROUPS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["inspect", "{name}.tif"], ESCAPED, id="inspect a stack"),
        pytest.param(["inspect", "{name}.csv"], ESCAPED, id="inspect a table"),
        pytest.param(["inspect", "{name}.run"], ESCAPED, id="inspect a run"),
        pytest.param(["verify", "{name}.run"], "", id="verify"),
        pytest.param(["analyze", "{name}.run"], "", id="analyze"),
        pytest.param(["refine", "{name}.run", "--device", "cpu"], ESCAPED, id="refine"),
        pytest.param(["export", "{name}.run", "--tiff", "out {name}.tif"], ESCAPED, id="export"),
        pytest.param(["convert", "{name}.csv", "{name}.hdf5", "--pixel-size-nm", "108"], ESCAPED, id="convert"),
        pytest.param(
            ["localize", "{name}.tif", "--out", "found {name}.csv", "--pixel-size-nm", "108"], ESCAPED, id="localize"
        ),
        pytest.param(["reconstruct", "{name}.npy", "--out", "{name}.ome.zarr"], ESCAPED, id="reconstruct"),
        pytest.param(["report", "{name}.run"], "", id="report"),
        pytest.param(["calibrate", "--from-recording", "{name}.tif", "--out", "{name}.toml"], ESCAPED, id="calibrate"),
        pytest.param(["simulate", "filaments", "--frames", "60", "--out", "{name}.npz"], ESCAPED, id="simulate"),
        pytest.param(["models"], "filaments", id="models"),
        pytest.param(["models", "filaments"], "network", id="a model's card"),
        pytest.param(["keys", "--folder", "keys {name}"], ESCAPED, id="keys"),
        pytest.param(["train", "--list"], "live", id="train"),
    ],
)
def test_what_a_verb_prints_is_readable(
    printed: Printed, folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(folder)
    status, text = printed([argument.format(name=NAME) for argument in arguments])
    assert status == 0, text
    assert said in text
    assert "?" * 3 not in text and "\N{REPLACEMENT CHARACTER}" not in text


@pytest.mark.parametrize("verb", sorted({*VERBS} - {"demo", "doctor", "gui", "keys", "train", "models", "simulate"}))
def test_a_file_that_is_not_there_is_named(
    printed: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.chdir(tmp_path)
    absent = f"{NAME}.tif" if verb in ("localize", "run") else f"{NAME}.run"
    out = ["--out", "out.csv"] if verb == "localize" else ["--out", "out.ome.zarr"]
    arguments = {
        "run": ["--source", f"tiff:{absent}", "--out", "out.run"],
        "convert": [absent, "out.csv"],
        "evaluate": ["--reconstruction", absent, "--truth", absent],
        "calibrate": ["--from-recording", absent, "--out", "camera.toml"],
        "localize": [absent, *out, "--pixel-size-nm", "108"],
        "reconstruct": [absent, *out],
        "export": [absent, "--tiff", "out.tif"],
    }.get(verb, [absent])
    status, text = printed([verb, *arguments])
    assert status == 2, text
    assert ESCAPED in text and text.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(
            ["run", "--source", "sim:filaments?frames=60&fps=500", "--out", f"{NAME}.run", "--no-view"], id="run"
        ),
        pytest.param(["demo", "--headless", "--frames", "60", "--out", f"demo {NAME}.run"], id="demo"),
        pytest.param(["doctor"], id="doctor"),
    ],
)
def test_a_process_and_its_children_write_into_a_file(tmp_path: Path, arguments: list[str]) -> None:
    """Camera process and probes inherit the encoding, and say what is wrong through the same file."""
    with (tmp_path / "log.txt").open("wb") as log:
        done = subprocess.run(
            [sys.executable, "-m", "dblink_live", *arguments],
            cwd=tmp_path,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0", "OMP_NUM_THREADS": "1"},
        )
    text = (tmp_path / "log.txt").read_bytes().decode("cp1252")
    assert done.returncode == 0, text
    assert "Traceback" not in text and "UnicodeEncodeError" not in text
    assert arguments[0] == "doctor" or ESCAPED in text
