"""At which addresses does each verb accept connections?

    python -m benchmarks.listeners [--docs docs] [--only VERB...]

Each verb is run as a process of its own, and while it runs the system is asked for the sockets of this process and of
all that it starts: those that listen, and those that take datagrams. ``--docs`` writes the table into the page on
security. The tests run the same commands (`tests/security/test_listeners.py`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import tifffile

from benchmarks.documents import find_page, measured_with, write_block
from benchmarks.report import markdown_table

REPOSITORY = Path(__file__).parents[1]
LOOPBACK = frozenset({"127.0.0.1", "::1"})
PAUSE_S = 0.05
LONGEST_S = 120.0
SIMULATED = "sim:filaments?frames=100&fps=100"
TRAINING = """
steps = 1
batch = 1
crop_px = 32
clip_windows = 3
supervised_windows = 2
warmup_forward = 3
warmup_reverse = 2
pool_videos = 2
threads = 1
device = "cpu"
"""


@dataclass(frozen=True)
class Case:
    """One command. ``{name}`` in its arguments stands for a file of `prepared`."""

    label: str
    arguments: tuple[str, ...]
    listens: bool = False
    ends: bool = True
    """False of windows, and of what waits for another program: they are stopped after `WATCHED_S`."""
    needs_micromanager: bool = False

    @property
    def verb(self) -> str:
        """The verb of the command."""
        return self.arguments[0]


WATCHED_S = 12.0
CASES = (
    Case("`demo`", ("demo", "--headless", "--frames", "100", "--out", "{folder}/demo.run"), listens=True),
    Case("`run` of a camera", ("run", "--source", SIMULATED, "--out", "{folder}/sim.run", "--no-view"), listens=True),
    Case(
        "`run` of a recording",
        ("run", "--source", "{stack}", "--out", "{folder}/file.run", "--pixel-size-nm", "108", "--no-view"),
        listens=True,
    ),
    Case(
        "`run --source mm:script`",
        ("run", "--source", "mm:script", "--out", "{folder}/script.run", "--pixel-size-nm", "108", "--no-view"),
        listens=True,
        ends=False,
    ),
    Case(
        "`run --source mm:acquisition`, our own core",
        (
            *("run", "--source", "mm:acquisition?config=MMConfig_demo.cfg&frames=20"),
            *("--out", "{folder}/acquisition.run", "--pixel-size-nm", "108", "--no-view"),
        ),
        listens=True,
    ),
    Case("`resume`", ("resume", "{interrupted}", "--no-view"), listens=True),
    Case("`gui`", ("gui",), ends=False),
    Case("`view`", ("view", "{run}"), ends=False),
    Case("`inspect`", ("inspect", "{stack}")),
    Case("`verify`", ("verify", "{run}")),
    Case("`refine`", ("refine", "{run}", "--device", "cpu")),
    Case("`refine --workers 2`", ("refine", "{other}", "--device", "cpu", "--workers", "2"), listens=True),
    Case("`report`", ("report", "{run}")),
    Case("`analyze`", ("analyze", "{run}")),
    Case("`export`", ("export", "{run}", "--tiff", "{folder}/movie.tif")),
    Case("`localize`", ("localize", "{stack}", "--out", "{folder}/found.csv", "--pixel-size-nm", "108")),
    Case("`reconstruct`", ("reconstruct", "{maps}", "--out", "{folder}/video.ome.zarr")),
    Case("`convert`", ("convert", "{run}", "{folder}/table.csv")),
    Case("`doctor`", ("doctor", "--folder", "{folder}")),
    Case(
        "`doctor --record-bridge`",
        ("doctor", "--record-bridge", "{folder}/bridge.json", "--port", "{port}"),
        listens=True,
        needs_micromanager=True,
    ),
    Case("`calibrate`", ("calibrate", "--from-recording", "{stack}", "--out", "{folder}/camera.toml")),
    Case("`models`", ("models",)),
    Case("`keys`", ("keys", "--folder", "{folder}/keys")),
    Case("`simulate`", ("simulate", "filaments", "--frames", "60", "--out", "{folder}/simulated.npz")),
    Case("`train`", ("train", "--config", "{settings}", "--out", "{folder}/trained.safetensors"), ends=False),
    Case("`evaluate`", ("evaluate", "--reconstruction", "{maps}", "--truth", "{maps}", "--threshold", "0.5")),
)


def prepared(folder: Path) -> dict[str, str]:
    """Make what the commands work on; their paths by name."""
    slope = np.linspace(100, 600, 64)
    tifffile.imwrite(folder / "stack.tif", np.random.default_rng(0).poisson(slope, (60, 64, 64)).astype(np.uint16))
    np.save(folder / "maps.npy", np.random.default_rng(1).poisson(0.3, (6, 48, 48)).astype(np.uint16))
    (folder / "small.toml").write_text(TRAINING, encoding="utf-8")
    source = ["run", "--source", "sim:filaments?frames=60&fps=500", "--no-view"]
    subprocess.run([*_program(*source), "--out", str(folder / "whole.run")], check=True, capture_output=True)
    shutil.copytree(folder / "whole.run", folder / "other.run")
    _interrupt(folder / "cut.run")
    names = {"run": "whole.run", "other": "other.run", "interrupted": "cut.run", "stack": "stack.tif"}
    names |= {"maps": "maps.npy", "settings": "small.toml"}
    return {"folder": str(folder), **{key: str(folder / name) for key, name in names.items()}}


def _interrupt(path: Path) -> None:
    """A run of a recording that was killed on the way."""
    stack = path.with_suffix(".tif")
    tifffile.imwrite(stack, np.random.default_rng(2).poisson(100, (400, 32, 32)).astype(np.uint16))
    source = f"{stack}?fps=50"
    command = _program("run", "--source", source, "--out", str(path), "--pixel-size-nm", "108", "--no-view")
    program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while program.poll() is None and not _has_windows(path):
        time.sleep(PAUSE_S)
    _kill(program)


def _has_windows(path: Path) -> bool:
    return any((path / "run.ome.zarr" / "counts" / "0" / "c").glob("*"))


def _program(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dblink_live", *arguments]


def _kill(program: subprocess.Popen[bytes]) -> None:
    """End a program and all that it has started."""
    try:
        family = [psutil.Process(program.pid), *psutil.Process(program.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    program.wait()


def family_listeners(program: subprocess.Popen[bytes]) -> Iterator[tuple[str, int]]:
    """Addresses at which ``program`` and its descendants accept connections or take datagrams now."""
    try:
        root = psutil.Process(program.pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            connections = process.net_connections("inet")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        for one in connections:
            if one.status == psutil.CONN_LISTEN or (one.status == psutil.CONN_NONE and not one.raddr):
                yield one.laddr.ip, one.laddr.port


def listeners_of(case: Case, files: dict[str, str]) -> set[tuple[str, int]]:
    """Run a command and collect the addresses at which it listens.

    Raises
    ------
    RuntimeError
        It failed, so that what it would have opened is not known.
    """
    with _micromanager(case) as port, tempfile.TemporaryFile() as output:
        arguments = [argument.format(**files, port=port) for argument in case.arguments]
        program = subprocess.Popen(
            _program(*arguments),
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "QT_QPA_PLATFORM": "offscreen"},
        )
        found: set[tuple[str, int]] = set()
        began = time.perf_counter()
        longest_s = LONGEST_S if case.ends else WATCHED_S
        while program.poll() is None and time.perf_counter() - began < longest_s:
            found |= set(family_listeners(program))
            time.sleep(PAUSE_S)
        was_stopped = program.poll() is None
        _kill(program)
        if was_stopped == case.ends or (case.ends and program.returncode):
            output.seek(0)
            text = output.read().decode("utf-8", "replace")
            how = "did not end" if was_stopped else f"ended with status {program.returncode}"
            raise RuntimeError(f"{case.label} {how}:\n{text}")
    return found


@contextmanager
def _micromanager(case: Case) -> Iterator[int]:
    """The tests' imitation of a Micro-Manager that runs, for a command that asks one; its port."""
    if not case.needs_micromanager:
        yield 0
        return
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    script = REPOSITORY / "tests" / "sources" / "micromanager" / "java_bridge.py"
    server = subprocess.Popen(
        [sys.executable, str(script), str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=script.parent
    )
    assert server.stdout is not None
    server.stdout.readline()
    try:
        yield port
    finally:
        server.kill()
        server.communicate()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, default=None, help="documentation whose page on security takes the table")
    parser.add_argument("--only", nargs="+", default=None, metavar="VERB")
    options = parser.parse_args()
    rows, is_open = [], False
    with tempfile.TemporaryDirectory() as name:
        files = prepared(Path(name))
        for case in CASES:
            if options.only is not None and case.verb not in options.only:
                continue
            ports = Counter(address for address, _ in listeners_of(case, files))
            is_open = is_open or not ports.keys() <= LOOPBACK
            shown = ", ".join(f"`{address}`, {n} port{'s' if n > 1 else ''}" for address, n in sorted(ports.items()))
            rows.append([case.label, shown or "nothing"])
            print(case.label, shown or "nothing", file=sys.stderr, flush=True)
    table = markdown_table(["verb", "listens at"], rows)
    print(table)
    if options.docs is not None:
        write_block(find_page(options.docs, "security"), "listeners", f"{measured_with([])}\n\n{table}")
    return int(is_open)


if __name__ == "__main__":
    sys.exit(main())
