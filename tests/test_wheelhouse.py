"""A wheelhouse that ``run.py wheelhouse`` filled is enough for ``run.py setup`` on a PC without a network.

``DBLINK_TEST_WHEELHOUSE=wheels pytest tests/test_wheelhouse.py`` installs from that folder into a new environment, for
root on Linux without any network at all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def wheelhouse() -> Path:
    text = os.environ.get("DBLINK_TEST_WHEELHOUSE")
    if text is None:
        pytest.skip("no wheelhouse is named; DBLINK_TEST_WHEELHOUSE=DIR names one that `run.py wheelhouse DIR` filled")
    return Path(text).absolute()


def without_network() -> list[str]:
    """What to put before a command so that it has no network: an own, empty network namespace, for root on Linux."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        return []
    return ["unshare", "--net"]


@pytest.mark.timeout(1800)
@pytest.mark.slow
def test_setup_needs_nothing_else(wheelhouse: Path, repository: Path, tmp_path: Path) -> None:
    assert [path.name for path in wheelhouse.iterdir() if path.suffix != ".whl"] == []
    # Neither settings of this machine nor an index: one that answers would be asked at this address.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHONPATH"))}
    environment |= {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9",
        "DBLINK_VENV": str(tmp_path / "venv"),
    }
    base = [*without_network(), sys.executable, str(repository / "run.py")]
    done = subprocess.run(
        [*base, "--cpu", "setup", "--wheelhouse", str(wheelhouse)],
        env=environment,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    scripts = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    for arguments in (
        ["simulate", "filaments", "--frames", "100", "--out", "maps.npz"],
        ["reconstruct", "maps.npz", "--out", "video.ome.zarr"],
        ["run", "--source", "sim:filaments?frames=100&fps=100", "--out", "cell.run", "--no-view"],
        ["verify", "cell.run"],
    ):
        command = [*without_network(), str(scripts / "dblink-live"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8")
        assert done.returncode == 0, done.stderr
