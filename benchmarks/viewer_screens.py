"""Screenshots of the viewer for the documentation, from real runs on a virtual screen.

    python -m benchmarks.viewer_screens [--out docs/images] [--work FOLDER] [--scenes start,live,...]

Needs Xvfb. Makes two live runs (one that this machine holds, one that it does not), a finished run and a run of a
sample that the network does not know, and saves each scene at 1280 x 720 and 1600 x 900 points and at twice the
pixels (1280 x 720 points): ``viewer_SCENE_SIZE.png``. The sample is the DNA-PAINT stack of
docs/explanation/real_data.md where DBLINK_SHARED_DATA names its folder, else simulated mitochondria before the network
for filaments.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SCENES = ("start", "live", "overloaded", "wrong_sample", "finished", "regions", "line")
PATIENCE_S = 300.0
HELD, NOT_HELD = "sim:filaments?fps=20&size=48", "sim:filaments?fps=100&size=192"
CAMERA = ("--set", "camera.offset_adu=100", "--set", "camera.electrons_per_adu=0.46")
"""What ``simulate`` says of its camera."""
LIVE_WINDOWS = 20
"""Windows that a live picture is waited for: it knows nothing at its beginning."""


def run(*arguments: str) -> None:
    """Run a command of the program to its end."""
    subprocess.run([sys.executable, "-m", "dblink_live", *arguments], check=True, stdout=subprocess.DEVNULL)


def start_live(source: str, folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a run and return its process and address."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "dblink_live", "run", "--source", source, "--out", str(folder), "--no-view"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"live at (tcp://[^\s;]+)", line):
            return process, found[1]
    raise RuntimeError(f"{source} did not start")


def make_runs(work: Path) -> None:
    """Make the finished runs that the scenes show."""
    if not (work / "cell.tif").exists():
        run("simulate", "filaments", "--raw", "--frames", "600", "--seed", "2", "--out", str(work / "cell.tif"))
    if not (work / "finished.run").exists():
        # From a file, which loses no frames however busy this machine is.
        source, out = f"tiff:{work / 'cell.tif'}", str(work / "finished.run")
        run("run", "--source", source, "--out", out, "--no-view", *CAMERA)
        run("refine", str(work / "finished.run"))
    if not (work / "sample.run").exists():
        stack = Path(os.environ.get("DBLINK_SHARED_DATA", "")) / "raw_dnapaint_micromanager" / "3C_30px_100f.tif"
        source = f"tiff:{stack}" if stack.is_file() else "sim:mitochondria?frames=400"
        settings = ["--set", "camera.pixel_size_nm=130"] if stack.is_file() else []
        run("run", "--source", source, "--out", str(work / "sample.run"), "--no-view", *settings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "data", help="where runs are made")
    parser.add_argument("--scenes", default=",".join(SCENES))
    parser.add_argument("--inner", metavar="SUFFIX", help=argparse.SUPPRESS)
    parser.add_argument("--address", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    scenes = options.scenes.split(",")
    if options.inner is not None:
        draw(options.out, options.work, scenes, options.inner, options.address)
        return
    options.work.mkdir(parents=True, exist_ok=True)
    make_runs(options.work)
    if stored := [scene for scene in scenes if scene not in ("live", "overloaded")]:
        screens(options, stored, "")
    for scene, source in (("live", HELD), ("overloaded", NOT_HELD)):
        if scene in scenes:
            shutil.rmtree(options.work / f"{scene}.run", ignore_errors=True)
            process, address = start_live(source, options.work / f"{scene}.run")
            try:
                screens(options, [scene], address)
            finally:
                process.send_signal(signal.SIGTERM)
                process.kill() if scene == "overloaded" else process.wait()


def screens(options: argparse.Namespace, scenes: list[str], address: str) -> None:
    """Draw scenes on a screen of single and one of double pixels."""
    for screen, scale in (("1620x940x24", "1"), ("2600x1480x24", "2")):
        inner = [sys.executable, "-m", "benchmarks.viewer_screens", "--out", str(options.out)]
        inner += ["--work", str(options.work), "--scenes", ",".join(scenes), "--inner", scale, "--address", address]
        environment = {
            **os.environ,
            "QT_QPA_PLATFORM": "xcb",
            "QT_SCALE_FACTOR": scale,
            "XDG_CONFIG_HOME": str(options.work / "config"),
        }
        environment.pop("WAYLAND_DISPLAY", None)
        subprocess.run(["xvfb-run", "-a", "-s", f"-screen 0 {screen}", *inner], check=True, env=environment)


def draw(out: Path, work: Path, scenes: list[str], scale: str, address: str) -> None:
    """Draw scenes on the screen that is there."""
    from PySide6.QtCore import QSettings
    from PySide6.QtWidgets import QApplication, QWidget

    from dblink_live.viewer.program import Program
    from dblink_live.viewer.regions.measure import Rectangle
    from dblink_live.viewer.settings import ViewerSettings
    from dblink_live.viewer.theme import follow_system_theme

    app = QApplication(["dblink-live"])
    follow_system_theme(app)
    sizes = ((1280, 720), (1600, 900)) if scale == "1" else ((1280, 720),)

    def until(condition: Callable[[], Any]) -> None:
        limit_s = time.perf_counter() + PATIENCE_S
        while not condition():
            if time.perf_counter() > limit_s:
                raise RuntimeError("waited in vain")
            app.processEvents()
            time.sleep(0.005)

    def rest(seconds: float) -> None:
        stop_s = time.perf_counter() + seconds
        until(lambda: time.perf_counter() > stop_s)

    for scene in scenes:
        for width, height in sizes:
            settings = ViewerSettings(QSettings(str(work / f"{scene}.ini"), QSettings.Format.IniFormat))
            settings.remember_run(work / "finished.run")
            settings.set("start", {"folder": str(work.absolute())})
            program = Program(settings)
            shown: QWidget
            if scene == "start":
                shown = page = program.show_start()
                page.take(work.absolute() / "cell.tif")
                page.form.pixel_size.setValue(160.0)
                until(partial(_has_looked, page))
            elif scene in ("live", "overloaded"):
                shown = window = program.open_live(address)
                until(partial(_has_windows, window) if scene == "live" else partial(_is_overloaded, window))
            else:
                name = "sample.run" if scene == "wrong_sample" else "finished.run"
                shown = window = program.open_run(work / name)
                if scene == "wrong_sample":
                    window.presenter.head.toggle_details()
                if scene == "regions":
                    window.presenter.go_to(60)
                    window.outlines.choose("rectangle")
                    window.outlines.set_rectangle(_about_molecules(window, Rectangle))
                    window.sidebar.measure_trace()
                    until(partial(_has_measured, window))
                if scene == "line":
                    window.presenter.go_to(60)
                    window.outlines.choose("line")
                    window.outlines.set_line(*_across_structure(window))
            shown.resize(width, height)
            rest(3.0 if scene != "overloaded" else 8.0)
            path = out / f"viewer_{scene}_{width}{'@2x' if scale == '2' else ''}.png"
            shown.grab().save(str(path))
            _shrink(path)
            print(path, flush=True)
            program.close()
            app.processEvents()


def _has_windows(window: Any) -> bool:
    status = window.presenter.live.status
    return status is not None and status.windows_live > LIVE_WINDOWS


def _is_overloaded(window: Any) -> bool:
    """Whether frames have come, and something is given up or late."""
    live, status = window.presenter.live, window.presenter.live.status
    is_late = live.behind_s is not None and live.behind_s > 5.0
    return status is not None and status.windows_counts > 5 and (is_late or status.step != "whole")


def _has_looked(page: Any) -> bool:
    return not page.inspection.is_looking


def _about_molecules(window: Any, make: Callable[..., Any]) -> Any:
    """A rectangle about the molecules of the plain sum that is shown."""
    picture = window.presenter.area.panels["sum"].picture
    y_nm, x_nm = (float(np.median(where)) * picture.pitch_nm for where in np.nonzero(picture.image))
    height_nm, width_nm = picture.extent_nm
    top, left = max(0.0, y_nm - 600.0), max(0.0, x_nm - 900.0)
    return make(top, left, min(1200.0, height_nm - top), min(1800.0, width_nm - left))


def _across_structure(window: Any) -> Any:
    """Both ends of a line of 600 nm straight across the brightest structure of the reconstruction."""
    picture = window.presenter.area.panels["reconstruction"].picture
    inner = picture.image[10:-10, 10:-10]
    centre = np.array(np.unravel_index(int(inner.argmax()), inner.shape)) + 10
    part = picture.image[centre[0] - 8 : centre[0] + 9, centre[1] - 8 : centre[1] + 9]
    _, directions = np.linalg.eigh(np.cov(np.indices(part.shape).reshape(2, -1), aweights=part.ravel()))
    reach_nm = 300.0 * directions[:, 0]  # of the least spread
    centre_nm = (centre + 0.5) * picture.pitch_nm
    return tuple(centre_nm - reach_nm), tuple(centre_nm + reach_nm)


def _has_measured(window: Any) -> bool:
    return not window.sidebar.is_measuring


def _shrink(path: Path) -> None:
    """Write the picture with 256 colours, which these screens do not exceed by much."""
    with Image.open(path) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
