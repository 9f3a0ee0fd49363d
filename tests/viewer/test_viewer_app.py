"""The viewer as a program of its own."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from growing_run import GrowingRun
from PIL import Image

from dblink_live.bus import ImageMessage, Publisher, StartMessage, StatusMessage
from dblink_live.errors import ConfigError
from dblink_live.viewer import can_open_window, missing_packages, view

PATIENCE_S = 120


def run_viewer(
    *arguments: str | Path, environment: dict[str, str | None] | None = None
) -> subprocess.CompletedProcess[str]:
    variables: dict[str, str | None] = {**os.environ, **(environment or {})}
    return subprocess.run(
        [sys.executable, "-m", "dblink_live.viewer", *map(str, arguments)],
        env={name: value for name, value in variables.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_it_never_imports_torch() -> None:
    code = (
        "import sys, dblink_live.viewer.window, dblink_live.viewer.app\n"
        "found = [name for name in ('torch', 'matplotlib', 'pyqtgraph.opengl') if name in sys.modules]\n"
        "assert not found, found\n"
        "import pyqtgraph\n"
        "assert pyqtgraph.Qt.QT_LIB == 'PySide6'"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYQTGRAPH_QT_LIB"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr


def test_naming_it_does_not_import_qt() -> None:
    # `dblink-live` imports the viewer's names to tell whether there is a display; torch follows in the same process.
    code = (
        "import sys, dblink_live.viewer; assert not [n for n in sys.modules if n.startswith(('PySide6', 'pyqtgraph'))]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there is always a display")
def test_no_display_is_a_sentence_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert not can_open_window()
    with pytest.raises(ConfigError, match="expected a display"):
        view("tcp://127.0.0.1:5556")


@pytest.mark.parametrize(
    ("target", "says"),
    [("nowhere.run", "run folder"), ("tcp://127.0.0.1", "tcp://127.0.0.1:5556"), ("tcp://127.0.0.1:*", "with a port")],
)
def test_a_wrong_target_is_one_line_and_status_2(target: str, says: str) -> None:
    done = run_viewer(target)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_picture_of_a_run_folder(growing_run: GrowingRun, tmp_path: Path) -> None:
    growing_run.add(20)
    growing_run.writer.finalize()
    path = tmp_path / "new" / "window.png"
    done = run_viewer(growing_run.path, "--screenshot", path, "--after-s", "0.5")
    assert done.returncode == 0, done.stderr
    with Image.open(path) as image:
        assert image.width > 600


def test_the_start_page_needs_no_target(tmp_path: Path) -> None:
    path = tmp_path / "start.png"
    done = run_viewer("--screenshot", path, "--after-s", "0.5")
    assert done.returncode == 0, done.stderr
    with Image.open(path) as image:
        assert image.width > 600


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="Qt brings its libraries there")
def test_a_missing_library_of_the_system_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        if name == "libxcb-cursor.so.0":
            raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", refuse)
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    monkeypatch.setenv("DISPLAY", ":0")
    assert missing_packages() == ["libxcb-cursor0"]
    with pytest.raises(ConfigError, match="apt-get install libxcb-cursor0"):
        view()
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert missing_packages() == []


@pytest.fixture(params=[[], ["-extension", "GLX"]], ids=["OpenGL", "no OpenGL"])
def x_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """A virtual screen of our own: a display that is set may belong to someone, or be dead."""
    extensions: list[str] = request.param
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("Xvfb is not installed, so no window can be opened on a virtual screen")
    read, write = os.pipe()
    server = subprocess.Popen(
        [program, "-displayfd", str(write), "-screen", "0", "1700x1000x24", "-nolisten", "tcp", *extensions],
        pass_fds=[write],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        ready, _, _ = select.select([read], [], [], PATIENCE_S)
        number = os.read(read, 32).decode().strip() if ready else ""
        if not number:
            pytest.skip("Xvfb did not start here")
        yield f":{number}"
    finally:
        os.close(read)
        server.terminate()
        server.wait()


@pytest.mark.display
def test_a_live_run_on_a_real_screen(x_server: str, tmp_path: Path) -> None:
    path = tmp_path / "window.png"
    rng = np.random.default_rng(1)
    counts = np.zeros((173, 173), np.uint16)
    for row in range(10, 160):
        counts[row, (row * 3 // 4 + 20) % 173] = rng.integers(1, 9)
    with Publisher() as publisher:
        publisher.start(StartMessage(source="sim:filaments", lookahead=8))
        publisher.send_status(StatusMessage(frame=990, lost={"ring": 3}, calibrated=False))
        camera = rng.poisson(120, (64, 64)).astype(np.uint16)
        publisher.send_image(ImageMessage("camera", "r", 0, 990, camera, 0, 108.0))
        publisher.send_image(ImageMessage("sum", "r", 0, 99, counts, 0, 40.0))
        publisher.send_image(ImageMessage("live", "r", 0, 91, (counts / 8).astype(np.float32), 0, 40.0))
        done = run_viewer(
            publisher.address,
            "--screenshot",
            path,
            "--after-s",
            "3",
            environment={"QT_QPA_PLATFORM": "xcb", "DISPLAY": x_server, "WAYLAND_DISPLAY": None},
        )
    assert done.returncode == 0, done.stderr
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    height, width, _ = pixels.shape
    assert width > 1200
    quarter, middle = width // 4, height // 2
    camera_shown, sum_shown, reconstruction_shown = (
        pixels[middle - 120 : middle + 120, n * quarter + 20 : (n + 1) * quarter - 20] for n in range(3)
    )
    # The camera is noise in grey; sum and reconstruction are warm lines on black.
    assert camera_shown.std() > 10
    assert abs(camera_shown[..., 0] - camera_shown[..., 2]).max() <= 2
    for shown in (sum_shown, reconstruction_shown):
        warm = (shown[..., 0] > 150) & (shown[..., 2] < 0.8 * shown[..., 0])
        assert 100 < warm.sum() < 0.2 * warm.size
    # The alarm about lost frames is red, below.
    line = pixels[height - 30 :]
    assert ((line[..., 0] > 230) & (line[..., 1] < 120) & (line[..., 2] < 120)).any()
