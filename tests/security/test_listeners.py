"""Whatever a verb opens to connections is on loopback: asked of the system, for the whole family of processes."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import dblink_live
from dblink_live.cli import main
from dblink_live.refine.cluster import worker_options

PACKAGE = Path(dblink_live.__file__).parent
LOOPBACK = {"127.0.0.1", "::1"}
SIMULATED = "sim:filaments?frames=100&fps=50"
MAY_LISTEN = {
    "bus/publisher.py",  # beyond loopback only with keys: tests/bus/test_keys.py
    "bus/authenticator.py",  # inproc, within the process
    "sources/micromanager/script.py",
    "sources/micromanager/bridge_recording.py",
}


def listeners(program: subprocess.Popen[bytes]) -> Iterator[tuple[str, int]]:
    """Addresses at which ``program`` and its descendants accept connections or take datagrams, until it ends."""
    root = psutil.Process(program.pid)
    while program.poll() is None:
        try:
            family = {root.pid, *(child.pid for child in root.children(recursive=True))}
        except psutil.NoSuchProcess:
            return
        for connection in psutil.net_connections("inet"):
            is_open = connection.status == psutil.CONN_LISTEN or (connection.status == "NONE" and not connection.raddr)
            if connection.pid in family and is_open:
                yield connection.laddr.ip, connection.laddr.port
        time.sleep(0.2)


@pytest.fixture(scope="module")
def stored_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "cells.run"
    assert main(["run", "--source", "sim:filaments?frames=60&fps=1000", "--out", str(path), "--no-view"]) == 0
    return path


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS shows connections to root alone")
@pytest.mark.parametrize(
    ("arguments", "does_listen"),
    [
        pytest.param(["run", "--source", SIMULATED, "--out", "{folder}/new.run"], True, id="run"),
        pytest.param(["refine", "{run}", "--device", "cpu", "--workers", "2"], True, id="refine by workers"),
        pytest.param(["refine", "{run}", "--device", "cpu"], False, id="refine"),
    ],
)
@pytest.mark.slow
def test_a_verb_listens_on_loopback_alone(
    stored_run: Path, tmp_path: Path, arguments: list[str], does_listen: bool
) -> None:
    if "--workers" in arguments:
        pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    copy = shutil.copytree(stored_run, tmp_path / "old.run")
    filled = [argument.format(folder=tmp_path, run=copy) for argument in arguments]
    with (tmp_path / "output").open("wb") as output:
        program = subprocess.Popen(
            [sys.executable, "-m", "dblink_live", *filled],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        found = set(listeners(program))
    assert program.wait() == 0, (tmp_path / "output").read_text(encoding="utf-8")
    assert {address for address, _ in found} <= LOOPBACK, found
    assert bool(found) == does_listen, found


def test_only_known_modules_open_a_port() -> None:
    opening = {"bind", "bind_to_random_port", "create_server", "serve_forever", "SpecCluster"}
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in opening
    }
    assert found == {*MAY_LISTEN, "refine/cluster.py"}


def test_each_worker_of_a_refinement_is_told_to_stay_on_loopback() -> None:
    for options in worker_options(3, n_gpus=2, n_cores=4):
        assert (options["host"], options["dashboard_address"]) == ("127.0.0.1", "127.0.0.1:0")
