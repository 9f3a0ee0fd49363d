"""Whatever a verb opens to connections is on loopback: asked of the system, for the whole family of processes."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import dblink_live
from benchmarks.listeners import CASES, LOOPBACK, Case, listeners_of, prepared
from dblink_live.bus.publisher import N_PORTS
from dblink_live.cli.main import build_parser
from dblink_live.refine.cluster import worker_options

PACKAGE = Path(dblink_live.__file__).parent
MAY_LISTEN = {
    "bus/publisher.py",  # beyond loopback only with keys: tests/bus/test_keys.py
    "bus/authenticator.py",  # inproc, within the process
    "sources/micromanager/script.py",
    "sources/micromanager/bridge_recording.py",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the commands work on."""
    return prepared(tmp_path_factory.mktemp("listeners"))


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS shows connections to root alone")
@pytest.mark.parametrize("case", [pytest.param(case, id=case.label.replace("`", "")) for case in CASES])
@pytest.mark.slow
def test_a_verb_listens_on_loopback_alone(files: dict[str, str], case: Case) -> None:
    if "--workers" in case.arguments:
        pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    if "mm:" in " ".join(case.arguments) or case.needs_micromanager:
        pytest.importorskip("pycromanager", reason="needs the extra 'micromanager'")
    if case.verb in ("gui", "view"):
        pytest.importorskip("PySide6.QtWidgets", reason="needs the extra 'viewer'")
    found = listeners_of(case, files)
    assert {address for address, _ in found} <= LOOPBACK, found
    assert bool(found) == case.listens, found


def test_every_verb_is_watched() -> None:
    verbs = {verb.prog.split()[-1] for verbs in build_parser().groups.values() for verb in verbs}
    assert {case.verb for case in CASES} == verbs


def test_pages_say_how_many_ports_a_run_uses(repository: Path) -> None:
    first, last = 5556, 5556 + N_PORTS - 1
    assert f"ports {first} to {last}" in (repository / "docs/how-to/two_computers.md").read_text(encoding="utf-8")
    security = (repository / "docs/explanation/security.md").read_text(encoding="utf-8")
    assert f"| `run` of a camera | `127.0.0.1`, {N_PORTS} ports |" in security


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
