"""The scripts of ``examples/`` run as they are, and draw the pictures that their tutorial pages show."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[2] / "examples").glob("[0-9]*.py"))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("script", [pytest.param(script, id=script.stem) for script in SCRIPTS])
def test_example_runs(script: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra report")
    shutil.copytree(script.parent / "data", tmp_path / "data")
    environment = {**os.environ, "MPLBACKEND": "agg", "DBLINK_TRAIN_MINUTES": "0.1"}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    pictures = re.findall(r'PICTURES / "([^"]+)"', script.read_text(encoding="utf-8"))
    assert pictures
    for picture in pictures:
        assert (tmp_path / "pictures" / picture).stat().st_size > 5_000


def test_every_example_is_listed() -> None:
    listed = (SCRIPTS[0].parent / "README.md").read_text(encoding="utf-8")
    assert not [script.name for script in SCRIPTS if f"`{script.name}`" not in listed]


def test_every_data_file_has_its_source_and_licence() -> None:
    data = SCRIPTS[0].parent / "data"
    listed = (data / "README.md").read_text(encoding="utf-8")
    names = [path.name for path in data.iterdir() if path.name != "README.md"]
    assert not [name for name in names if f"`{name}`" not in listed]
