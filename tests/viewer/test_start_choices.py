"""What the start page makes of choices: a command, remarks, and what a dropped file is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from growing_run import GrowingRun

from dblink_live.cli.main import build_parser
from dblink_live.errors import SourceError
from dblink_live.sources.spec import parse_source
from dblink_live.text.shell import command_text
from dblink_live.types import Shape
from dblink_live.viewer.start.choices import Choices, command_of, remarks_on
from dblink_live.viewer.start.forecast import forecast_disk, machine_text
from dblink_live.viewer.start.identify import Subject, identify


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "cell 1 & 2.tif"
    frames = np.random.default_rng(1).poisson(100, (6, 24, 32)).astype(np.uint16)
    tifffile.imwrite(path, frames)
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "my & scope.cfg"
    path.write_text("# configuration\n", encoding="utf-8")
    return path


def refusals(choices: Choices) -> list[str]:
    return [remark.text for remark in remarks_on(choices) if remark.is_refusal]


def test_every_command_is_one_that_the_program_takes(stack: Path, config: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    folder = Subject("folder", tmp_path)
    out = str(tmp_path / "new.run")
    for choices in (
        Choices("demo", folder=out),
        Choices("micromanager", folder=out, port=4830),
        Choices("config", identify(config), out, "andor-zyla-4.2/16bit", 108.0, 20.0, "mitochondria", 20, True),
        Choices("folder", folder, out, pixel_size_nm=108.0),
        Choices("file", identify(stack), out, pixel_size_nm=108.0),
        Choices("file", Subject("table", table), out, pixel_size_nm=108.0),
    ):
        namespace = build_parser().parse_args(command_of(choices))
        if namespace.verb == "run":
            parse_source(namespace.source)


def test_what_was_chosen_is_in_the_command(config: Path) -> None:
    arguments = command_of(Choices("config", identify(config), "a.run", "", 108.0, 20.0, "mitochondria", 25, True))
    spec = parse_source(arguments[arguments.index("--source") + 1])
    assert (spec.scheme, spec.config, spec.exposure_ms) == ("mm:core", str(config), 20.0)
    settings = {arguments[at + 1] for at, word in enumerate(arguments) if word == "--set"}
    assert settings == {
        "reconstruct.model=mitochondria",
        "windows.frames=25",
        "camera.pixel_size_nm=108",
        "store.record=true",
    }


@pytest.mark.skipif(sys.platform == "win32", reason="asks a POSIX shell")
def test_the_command_can_be_pasted_into_a_shell(config: Path) -> None:
    arguments = command_of(Choices("config", identify(config), "a b.run", exposure_ms=20.0))
    echoed = subprocess.run(
        ["sh", "-c", "printf '%s\\n' " + command_text(arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert echoed.stdout.splitlines() == arguments


@pytest.mark.parametrize(
    ("pixel_size_nm", "refused", "says"),
    [(108.0, False, ""), (16.0, True, "16"), (1000.0, True, "1000"), (300.0, False, "300 nm is unusual")],
)
def test_a_pixel_size_is_judged(stack: Path, pixel_size_nm: float, refused: bool, says: str) -> None:
    choices = Choices("file", identify(stack), "new.run", pixel_size_nm=pixel_size_nm)
    assert bool(refusals(choices)) is refused
    assert says in " ".join(remark.text for remark in remarks_on(choices))


def test_what_is_missing_is_asked_for(stack: Path, tmp_path: Path) -> None:
    assert any("drop it on this page" in text for text in refusals(Choices("file", folder="new.run")))
    assert any("name the run folder" in text for text in refusals(Choices("demo")))
    assert any("already exists" in text for text in refusals(Choices("demo", folder=str(tmp_path))))
    assert any("pixel size" in text for text in refusals(Choices("file", identify(stack), "new.run")))


def test_files_are_known_by_what_they_are(stack: Path, config: Path, growing_run: GrowingRun, tmp_path: Path) -> None:
    found = identify(stack)
    assert (found.kind, found.n_frames, found.scheme) == ("stack", 6, "tiff")
    assert found.segment is not None
    assert found.segment.shape == Shape(24, 32)
    assert "6 frames of 32 x 24" in found.description
    assert identify(config).kind == "config"
    assert identify(growing_run.path).kind == "run"
    data = tmp_path / "data"
    data.mkdir()
    assert identify(data).kind == "folder"
    table = tmp_path / "table.csv"
    table.write_text('"frame","x [nm]","y [nm]"\n1,10,20\n', encoding="utf-8")
    assert identify(table).kind == "table"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("letter.docx", b"PK\x03\x04 words", "nothing that a run can be made of"),
        ("photo.jpg", b"\xff\xd8\xff\xe0", "nothing that a run can be made of"),
        ("broken.tif", b"this is no TIFF", "broken.tif"),
        ("empty.tif", b"", "empty.tif"),
    ],
)
def test_what_is_none_of_ours_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=says) as caught:
        identify(path)
    assert "\n" not in str(caught.value)


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="found nothing at"):
        identify(tmp_path / "gone.tif")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_folder_without_permission_is_refused_in_one_line(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    for parent in [tmp_path, *tmp_path.parents]:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    # Permissions do not hold for root: ask as somebody else.
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from dblink_live.errors import SourceError\n"
        "from dblink_live.viewer.start.identify import identify\n"
        "os.geteuid() == 0 and os.setuid(65534)\n"
        "try:\n"
        "    identify(Path(sys.argv[1]))\n"
        "except SourceError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(closed)], capture_output=True, text=True, check=False, timeout=120
    )
    closed.chmod(0o755)
    assert "permission denied" in done.stdout, done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_the_disk_is_forecast_for_the_camera_that_is_chosen(tmp_path: Path) -> None:
    def forecast(shape: Shape, fps: float, record: bool) -> int:
        found = forecast_disk(
            tmp_path / "new.run", shape, fps, pixel_size_nm=100.0, pitch_nm=40.0, window_frames=10, record=record
        )
        assert found is not None
        assert found.bytes_free > 0
        return found.bytes_per_hour

    small = forecast(Shape(128, 128), 50.0, False)
    assert forecast(Shape(256, 256), 50.0, False) == pytest.approx(4 * small, rel=0.1)
    assert forecast(Shape(128, 128), 100.0, False) == pytest.approx(2 * small, rel=0.01)
    raw = 2 * 128 * 128 * 50 * 3600
    assert forecast(Shape(128, 128), 50.0, True) - small == pytest.approx(raw, rel=0.02)


def test_the_machine_is_judged_by_what_doctor_measured() -> None:
    holds = [{"shape": [128, 128], "fps": 100.0}, {"shape": [256, 256], "fps": 25.0}]
    assert "no problem" in machine_text(holds, Shape(128, 128), 50.0)
    assert "need 16.0 times" in machine_text(holds, Shape(512, 512), 100.0)
    assert "not measured" in machine_text([], Shape(128, 128), 50.0)
