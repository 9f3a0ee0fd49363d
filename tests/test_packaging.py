"""What others install: the wheel and the source archive hold what they need, and work outside the repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from dblink_live.version import __version__

ROOT = Path(__file__).parents[1]
LEFT_BEHIND = shutil.ignore_patterns(
    "__pycache__", ".*", "build", "dist", "runs", "*.run", "*.egg-info", "node_modules", "pictures"
)
BUILD = "import sys, setuptools.build_meta as backend; print(getattr(backend, 'build_' + sys.argv[1])(sys.argv[2]))"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, so that nothing is built inside it."""
    copy = tmp_path_factory.mktemp("source") / "repository"
    shutil.copytree(ROOT, copy, ignore=LEFT_BEHIND)
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed the wheel, without what it requires: that is there already."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(folder), str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def _build(kind: str, source: Path, folder: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", BUILD, kind, str(folder)], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.splitlines()[-1]


def _call(installed: Path, folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode("utf-8"))


def test_wheel_holds_every_file_of_the_package_and_no_other(wheel: Path, source: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {path.relative_to(source).as_posix() for path in (source / "dblink_live").rglob("*") if path.is_file()}
    assert names == wanted
    assert any(name.endswith(".safetensors") for name in names)


def test_wheel_is_small_enough_to_mail(wheel: Path) -> None:
    assert wheel.stat().st_size < 15_000_000


def test_metadata_is_complete_and_has_one_version(wheel: Path) -> None:
    metadata = _metadata(wheel)
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert metadata["Version"] == __version__
    assert re.findall(r"^version: (\S+)$", citation, re.MULTILINE) == [__version__]
    assert metadata["License-Expression"] == "MIT"
    assert metadata["License-File"] == "LICENSE"
    assert ">=3.11" in metadata["Requires-Python"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_all("Project-URL")
    assert set(metadata.get_all("Provides-Extra") or ()) >= {"viewer", "micromanager", "report", "all"}


def test_installed_wheel_is_what_runs(installed: Path, tmp_path: Path) -> None:
    where = _call(installed, tmp_path, "-c", "import dblink_live; print(dblink_live.__file__)")
    assert Path(where.strip()).is_relative_to(installed)


def test_installed_wheel_has_weights_recipes_and_presets(installed: Path, tmp_path: Path) -> None:
    models = json.loads(_call(installed, tmp_path, "-m", "dblink_live", "models", "filaments", "--json"))
    assert models["name"] == "filaments"
    assert "live" in _call(installed, tmp_path, "-m", "dblink_live", "train", "--list")
    presets = "from dblink_live.camera.presets import camera_presets; print(len(camera_presets()))"
    assert int(_call(installed, tmp_path, "-c", presets)) > 10


def test_installed_wheel_makes_a_report(installed: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples" / "data" / "dna_paint.tif", tmp_path)
    command = "report dna_paint.tif --pixel-size-nm 130 --window 20 --out paint.run --json"
    answer = json.loads(_call(installed, tmp_path, "-m", "dblink_live", *command.split()))
    page = (tmp_path / answer["report"]).read_text(encoding="utf-8")
    assert "<style>" in page
    assert "</html>" in page


def test_source_archive_holds_what_builds_tests_and_documents(source: Path, tmp_path: Path) -> None:
    archive = _build("sdist", source, tmp_path)
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    wanted = {
        "LICENSE",
        "CITATION.cff",
        "constraints.txt",
        "docs/generate/hooks.py",
        "docs/index.md",
        "examples/1_table_to_video.py",
        "examples/data/ecoli_storm.csv",
        "mkdocs.yml",
        "plugins/napari/pyproject.toml",
        "pyproject.toml",
        "run.py",
        "tests/test_packaging.py",
    }
    assert wanted <= names
