"""What `doctor` finds of a microscope: Micro-Manager folders and their versions, its bridge, and the camera's rate.

Each check runs in a process of its own: adapters of other versions may crash it, a process can hold one core only, and
the bridge's client keeps threads.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dblink_live.workflows.doctor.machine import Finding, probe

# Every adapter states for which version it was built; the file name is Micro-Manager's convention on each system.
INTERFACE_PROBE = """
import ctypes, json, sys
from pathlib import Path
folder = Path(sys.argv[1])
names = sorted(path for pattern in ("mmgr_dal_*.dll", "libmmgr_dal_*") for path in folder.glob(pattern))
demo = [path for path in names if "DemoCamera" in path.name]
found = None
for path in [*demo, *names]:
    try:
        ask = ctypes.CDLL(str(path)).GetDeviceInterfaceVersion
    except (OSError, AttributeError):
        continue
    ask.restype = ctypes.c_long
    found = int(ask())
    break
print(json.dumps({"interface": found, "n_adapters": len(names)}))
"""

# The camera as it stands, without a frame taken from anybody: of a running Micro-Manager only settings are read.
BRIDGE_PROBE = """
import json, os, sys
from dblink_live.sources.frame_producer import HostClock
from dblink_live.sources.micromanager.core_adapter import CameraCore
from dblink_live.sources.segments import segment_of
from dblink_live.sources.micromanager import bridge
core = CameraCore(bridge.connect(int(sys.argv[1])))
segment = segment_of(core, HostClock.now())
print(json.dumps({
    "camera": core.label, "shape": list(segment.shape), "dtype": segment.dtype, "exposure_ms": segment.exposure_ms,
    "is_busy": core.is_running(), "fps": None, "pixel_size_nm": segment.pixel_size_nm,
    "version": bridge.other_version(bridge.server_version(int(sys.argv[1]))),
}), flush=True)
bridge.give_back()
os._exit(0)
"""

CORE_PROBE = """
import json, sys, time
from dblink_live.sources.frame_producer import HostClock
from dblink_live.sources.micromanager.core_adapter import CameraCore
from dblink_live.sources.segments import buffer_mb, frame_bytes_of, segment_of
from dblink_live.sources.micromanager.core import build_core
core = CameraCore(build_core(sys.argv[1]))
segment = segment_of(core, HostClock.now())
core.set_buffer_mb(buffer_mb(frame_bytes_of(segment), 1000 / max(segment.exposure_ms or 1, 1)))
core.start_sequence(1_000_000)
n, began, first = 0, time.perf_counter(), None
while time.perf_counter() - (first or began) < float(sys.argv[2]) and time.perf_counter() - began < 30:
    if core.n_waiting():
        core.pop()
        n, first = n + 1, first or time.perf_counter()
    else:
        time.sleep(0.0005)
seconds = time.perf_counter() - first if first else 0.0
core.stop_sequence()
print(json.dumps({
    "camera": core.label, "shape": list(segment.shape), "dtype": segment.dtype, "exposure_ms": segment.exposure_ms,
    "is_busy": False, "fps": round((n - 1) / seconds, 1) if n > 1 else None, "pixel_size_nm": segment.pixel_size_nm,
}))
"""
CAMERA_S = 2.0


@dataclass(frozen=True)
class CameraFacts:
    """A camera as it is set now."""

    camera: str
    shape: tuple[int, int]
    dtype: str
    exposure_ms: float | None
    is_busy: bool
    fps: float | None
    """Measured; None where frames were not taken from it."""
    pixel_size_nm: float | None

    @property
    def fps_expected(self) -> float | None:
        """As measured, or as the exposure allows at best."""
        return self.fps or (1000 / self.exposure_ms if self.exposure_ms else None)

    @property
    def mb_s(self) -> float | None:
        """Megabytes per second at that rate."""
        fps = self.fps_expected
        n_bytes = self.shape[0] * self.shape[1] * (1 if self.dtype == "uint8" else 2)
        return None if fps is None else round(fps * n_bytes / 1e6, 1)


def inspect_folders(folders: Sequence[Path], core_interface: int | None) -> Finding:
    """Device interface of each Micro-Manager folder beside that of pymmcore: {folder: interface}."""
    interfaces: dict[str, object] = {}
    problems: list[str] = []
    for folder in folders:
        facts, problem = probe(INTERFACE_PROBE, dict(os.environ), str(folder))
        interfaces[str(folder)] = None if facts is None else facts["interface"]
        problems += interface_problems(folder, facts, problem, core_interface)
    return Finding(interfaces or None, tuple(problems))


def interface_problems(
    folder: Path, facts: dict[str, Any] | None, problem: str, core_interface: int | None
) -> list[str]:
    """Return what keeps the adapters in ``folder`` from being loaded by a core of ``core_interface``."""
    if facts is None:
        return [f"the adapters in {folder} cannot be asked for their version: {problem}"]
    if not facts["n_adapters"]:
        return [
            f"expected device adapters (mmgr_dal_*) in {folder}, found none; give the folder of Micro-Manager itself"
        ]
    if facts["interface"] is None:
        return [f"none of the {facts['n_adapters']} adapters in {folder} could be loaded to ask for its version"]
    if core_interface is not None and facts["interface"] != core_interface:
        return [
            f"the adapters in {folder} were built for device interface {facts['interface']}, pymmcore speaks "
            f"{core_interface}: pip install a pymmcore whose fourth number is {facts['interface']}, or a Micro-Manager "
            f"of interface {core_interface}"
        ]
    return []


def inspect_bridge(port: int) -> tuple[CameraFacts | None, str, tuple[str, ...]]:
    """The camera of a running Micro-Manager, a word about its bridge, and what is wrong with it."""
    from dblink_live.sources.micromanager.bridge import OPTION, is_listening

    if not is_listening(port):
        return (
            None,
            f"no server listens at port {port} (Micro-Manager: {OPTION})",
            (),
        )
    facts, problem = probe(BRIDGE_PROBE, dict(os.environ), str(port))
    if facts is None:
        return None, f"port {port} does not answer", (f"the bridge at port {port} does not answer: {problem}",)
    version = facts.pop("version")
    return camera_facts(facts), f"Micro-Manager answers at port {port}", (version,) if version else ()


def measure_camera(config: str, seconds: float = CAMERA_S) -> tuple[CameraFacts | None, tuple[str, ...]]:
    """Load a configuration into a core of our own and take frames from its camera as fast as they come."""
    facts, problem = probe(CORE_PROBE, dict(os.environ), config, str(seconds))
    if facts is None:
        return None, (f"the camera of {config} cannot be measured: {problem}",)
    camera = camera_facts(facts)
    problems = () if camera.fps else (f"the camera {camera.camera} of {config} gave no frames",)
    return camera, problems


def camera_facts(plain: dict[str, Any]) -> CameraFacts:
    """Of a probe's answer."""
    height, width = plain["shape"]
    return CameraFacts(**{**plain, "shape": (int(height), int(width))})


def fps_held(holds: Sequence[dict[str, Any]], shape: tuple[int, int]) -> float | None:
    """Frames a second that localizer and network hold for ``shape``, from the measured size nearest to it."""
    n_pixels = shape[0] * shape[1]
    sizes = [(int(row["shape"][0]) * int(row["shape"][1]), float(row["fps"])) for row in holds]
    if not sizes:
        return None
    nearest, fps = min(sizes, key=lambda size: abs(size[0] - n_pixels))
    return round(fps * nearest / n_pixels, 1)


def verdicts(
    camera: CameraFacts, holds: Sequence[dict[str, Any]], disk_mb_s: object | None, ring_mb_s: object | None
) -> list[str]:
    """The camera's rate beside what this machine holds, a sentence each."""
    fps, mb_s = camera.fps_expected, camera.mb_s
    if fps is None or mb_s is None:
        return [f"the rate of {camera.camera} is not known: it states no exposure"]
    height, width = camera.shape
    how = "measured" if camera.fps else "at best, by its exposure"
    words = [f"{camera.camera}: {width} x {height} px, {fps:.4g} frames/s ({how}), {mb_s:g} MB/s"]
    for name, limit in (("the disk (run --record)", disk_mb_s), ("the frame ring", ring_mb_s)):
        if isinstance(limit, (int, float)):
            holds_it = "holds that" if limit > mb_s else "is too slow for that"
            words.append(f"{name} takes {limit:g} MB/s and {holds_it}")
    held = fps_held(holds, camera.shape)
    if held is not None:
        answer = "is of all of it" if held > fps else "shows a part of it, and `refine` makes the rest after the run"
        words.append(f"localizer and network take about {held:g} frames/s of this size: the live picture {answer}")
    return words
