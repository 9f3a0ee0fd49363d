"""The script for the script panel, in a real Beanshell interpreter; Micro-Manager itself is stood in for."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "plugins" / "micromanager" / "start_dblink_live.bsh"
JARS = [Path(os.environ["BSH_JAR"])] if "BSH_JAR" in os.environ else [Path("/usr/share/java/bsh.jar")]
JAR = next((path for path in JARS if path.is_file()), None)
JAVA = shutil.which("java")
STUDIO = """
class Settings {{
    boolean save() {{ return {saves}; }}
    String saveMode() {{ return "{mode}"; }}
    String root() {{ return "{root}"; }}
}}
class Acquisitions {{ Object getAcquisitionSettings() {{ return new Settings(); }} }}
class Studio {{ Object acquisitions() {{ return new Acquisitions(); }} }}
class Core {{ double getPixelSizeUm() {{ return {micrometres}; }} }}
mm = new Studio();
mmc = new Core();
"""
PATIENCE_S = 120.0  # only ever waited out by a failing test

pytestmark = pytest.mark.skipif(
    JAR is None or JAVA is None, reason="no Java or no Beanshell: apt install default-jre-headless bsh, or set BSH_JAR"
)


def run_panel(
    tmp_path: Path, *, saves: bool = True, mode: str = "ND_TIFF", micrometres: float = 0.108, folder: Path | None = None
) -> str:
    """Run the script as the panel would; what it prints."""
    data = folder or tmp_path / "data"
    program = tmp_path / "dblink-live"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{tmp_path}/told"\necho waiting\n')
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    (tmp_path / "runs").mkdir(exist_ok=True)
    text = SCRIPT.read_text(encoding="utf-8")
    for before, after in (
        ('"C:/dblink_live/.venv/Scripts/dblink-live.exe"', f'"{program}"'),
        ('"D:/data"', f'"{data}"'),
        ('"D:/runs"', f'"{tmp_path / "runs"}"'),
        ('moreOptions = ""', 'moreOptions = "--set camera.offset_adu=100"'),
    ):
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    studio = STUDIO.format(saves=str(saves).lower(), mode=mode, root=data, micrometres=micrometres)
    panel = tmp_path / "panel.bsh"
    panel.write_text(studio + text, encoding="utf-8")
    done = subprocess.run(
        [str(JAVA), "-cp", str(JAR), "bsh.Interpreter", str(panel)], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Evaluation Error" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_it_starts_dblink_live_on_the_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    said = run_panel(tmp_path)
    assert "PROBLEM" not in said
    assert "now click Acquire!" in said
    limit_s = time.perf_counter() + PATIENCE_S
    while not (tmp_path / "told").exists():
        assert time.perf_counter() < limit_s
        time.sleep(0.01)
    told = (tmp_path / "told").read_text().splitlines()
    assert told[:3] == ["run", "--source", f"ndtiff:{tmp_path / 'data'}?watch=true"]
    assert told[3] == "--out"
    assert told[4].startswith(str(tmp_path / "runs" / "run_"))
    assert told[5:] == ["--set", "camera.pixel_size_nm=108.0", "--view", "--set", "camera.offset_adu=100"]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        pytest.param({"saves": False}, "does not save", id="not saving"),
        pytest.param({"mode": "MULTIPAGE_TIFF"}, "choose 'NDTiff'", id="other format"),
        pytest.param({"micrometres": 0.0}, "does not know the pixel size", id="uncalibrated"),
        pytest.param({"folder": Path("/none/of/that")}, "there is no folder /none/of/that", id="no folder"),
    ],
)
def test_it_says_what_is_missing_and_starts_nothing(tmp_path: Path, settings: dict[str, object], named: str) -> None:
    (tmp_path / "data").mkdir()
    said = run_panel(tmp_path, **settings)  # type: ignore[arg-type]
    assert named in said
    assert "was not started" in said
    assert not (tmp_path / "told").exists()
