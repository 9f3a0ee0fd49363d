"""What this machine has and how fast it is: versions that must fit together, and short real measurements.

Qt and Micro-Manager are asked in processes of their own: Qt because torch lives in this one, Micro-Manager because a
process can hold one core only.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dblink_live.types import Segment, Shape
from dblink_live.workflows.live.viewer_process import window_problem

PROBE_TIMEOUT_S = 180.0
"""A machine that is busy with other things takes a minute to import torch."""
DISK_BLOCK_BYTES = 4 << 20
DISK_MAX_BYTES = 256 << 20
DISK_MAX_S = 2.0
GPU_QUERY = "name,driver_version,memory.total,compute_cap"
GPU_TIMEOUT_S = 60.0
OLDEST_OF_CUDA_13 = 7.5
"""Compute capability of Turing: torch's builds for CUDA 13 run on no older card."""
RING_SHAPE = Shape(512, 512)
RING_S = 0.5
_OWN_ERROR = re.compile(r"^dblink_live\.errors\.\w+: ")
"""What Python writes before the sentence of an error of ours."""

QT_PROBE = """
import json
import PySide6
from PySide6.QtWidgets import QApplication
QApplication([])
import pyqtgraph
print(json.dumps({"qt": PySide6.__version__, "pyqtgraph": pyqtgraph.__version__}))
"""

# Loads a real device: a wrong adapter version shows itself only there, as "Failed to load device adapter".
MICROMANAGER_PROBE = """
import json, re
from importlib.metadata import PackageNotFoundError, version
import pymmcore
facts = {"pymmcore": pymmcore.__version__, "problem": None}
core = pymmcore.CMMCore()
found = re.search(r"Device API version (\\d+)", core.getAPIVersionInfo())
facts["device_interface"] = int(found[1]) if found else None
for name in ("pycromanager", "pymmcore-plus", "mm-test-adapters"):
    try:
        facts[name] = version(name)
    except PackageNotFoundError:
        facts[name] = None
adapters = facts["mm-test-adapters"]
if adapters is not None:
    import mm_test_adapters
    core.setDeviceAdapterSearchPaths([str(mm_test_adapters.device_adapter_path())])
    try:
        core.loadDevice("Camera", "DemoCamera", "DCam")
        core.initializeDevice("Camera")
    except Exception as error:
        facts["problem"] = str(error)
print(json.dumps(facts))
"""


@dataclass(frozen=True)
class Finding:
    """A value, None where there is none, and what is wrong with it."""

    value: object | None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class TorchFacts:
    """What torch can use on this machine."""

    version: str | None
    device: str = "none"
    """The name that `load_model` takes: cpu or cuda."""
    description: str = ""
    problems: tuple[str, ...] = field(default=())


def inspect_torch() -> TorchFacts:
    """Return which device torch computes on here, proven by one convolution."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return TorchFacts(None, problems=(f"torch cannot be imported: {error}; run python3 run.py setup",))
    version = torch.__version__
    if torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability()
        description = f"{torch.cuda.get_device_name()}, compute capability {major}.{minor}"
        device = "cuda"
    else:
        device, description = "cpu", f"{torch.get_num_threads()} threads of {os.cpu_count()} cores"
    try:
        ones = torch.ones(1, 1, 8, 8, device=device)
        total = torch.nn.functional.conv2d(ones, torch.ones(1, 1, 3, 3, device=device)).sum().item()
    except RuntimeError as error:
        return TorchFacts(version, device, description, (f"torch cannot compute on {description}: {error}",))
    problems = [] if total == 9 * 36 else [f"a convolution on {description} gave {total} instead of {9 * 36}"]
    return TorchFacts(version, device, description, tuple(problems))


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA card, as its driver describes it."""

    name: str
    driver: str
    memory_gb: float | None
    compute_capability: float | None
    """None where the driver is too old to tell."""


def inspect_gpus() -> list[Gpu]:
    """The NVIDIA cards of this machine; none where their driver is not installed."""
    for query in (GPU_QUERY, GPU_QUERY.removesuffix(",compute_cap")):
        try:
            done = subprocess.run(
                ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits"],
                capture_output=True, encoding="utf-8", errors="replace", timeout=GPU_TIMEOUT_S,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return []
        if done.returncode == 0:
            return parse_gpus(done.stdout)
    return []


def parse_gpus(text: str) -> list[Gpu]:
    """Cards from nvidia-smi's answer to `GPU_QUERY`, a line each.

    Examples
    --------
    >>> parse_gpus("NVIDIA RTX A4000, 560.94, 16376, 8.6")
    [Gpu(name='NVIDIA RTX A4000', driver='560.94', memory_gb=16.0, compute_capability=8.6)]
    """
    gpus = []
    for line in text.splitlines():
        fields = [part.strip() for part in line.split(",")]
        if len(fields) < 3:
            continue
        memory_mib, capability = _number(fields[2]), _number(fields[3]) if len(fields) > 3 else None
        memory_gb = None if memory_mib is None else round(memory_mib / 1024, 1)
        gpus.append(Gpu(fields[0], fields[1], memory_gb, capability))
    return gpus


def gpu_problems(gpus: list[Gpu], torch: TorchFacts) -> tuple[str, ...]:
    """Why cards that are there are not used, with what to do."""
    if not gpus or torch.version is None or torch.device == "cuda":
        return ()
    gpu = gpus[0]
    found = f"nvidia-smi finds {gpu.name} with driver {gpu.driver}, but torch {torch.version} cannot use it"
    if gpu.compute_capability is not None and gpu.compute_capability < OLDEST_OF_CUDA_13:
        return (
            f"{found}: its compute capability is {gpu.compute_capability:g}, and builds for CUDA 13 need "
            f"{OLDEST_OF_CUDA_13:g}; install the build for CUDA 12.6: python3 run.py setup takes it",
        )
    return (f"{found}: install a CUDA build of torch: python3 run.py setup takes the one that fits the driver",)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def inspect_qt() -> Finding:
    """The version of Qt with which a window could be made, offscreen."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYQTGRAPH_QT_LIB": "PySide6"}
    facts, problem = probe(QT_PROBE, environment)
    if facts is None:
        return Finding(None, (f"the viewer cannot start: {problem}; python3 run.py setup names what is missing",))
    on_screen = window_problem()
    return Finding(facts["qt"], () if on_screen is None else (f"the viewer cannot start: {on_screen}",))


def inspect_micromanager() -> Finding:
    """Versions of Micro-Manager's packages; the demo camera is really loaded."""
    facts, problem = probe(MICROMANAGER_PROBE, dict(os.environ))
    if facts is None:
        return Finding(None, (f'Micro-Manager\'s core is missing: {problem}; pip install "dblink-live[micromanager]"',))
    return Finding({name: value for name, value in facts.items() if name != "problem"}, _adapter_problems(facts))


def _adapter_problems(facts: dict[str, object]) -> tuple[str, ...]:
    adapters, interface = facts["mm-test-adapters"], facts["device_interface"]
    if adapters is not None and str(adapters).split(".")[0] != str(interface):
        return (
            f"pymmcore {facts['pymmcore']} speaks device interface {interface}, but mm-test-adapters {adapters} was "
            f"built for {str(adapters).split('.')[0]}: install versions whose numbers agree",
        )
    if facts["problem"]:
        return (f"the demo camera does not load: {facts['problem']}",)
    return ()


def measure_disk_mb_s(folder: Path) -> Finding:
    """Megabytes a second of a sequential write into ``folder``, the final fsync included."""
    block = np.random.default_rng(0).bytes(DISK_BLOCK_BYTES)  # random: some disks compress
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            started = time.perf_counter()
            n_bytes = 0
            while n_bytes < DISK_MAX_BYTES and time.perf_counter() - started < DISK_MAX_S:
                n_bytes += file.write(block)
            os.fsync(file.fileno())
            seconds = time.perf_counter() - started
    except OSError as error:
        return Finding(None, (f"cannot write into {folder}: {error.strerror}; choose another folder with --folder",))
    return Finding(round(n_bytes / seconds / 1e6, 1))


def measure_ring_mb_s() -> Finding:
    """Megabytes per second through the frame ring: written and read back, 512 x 512 frames of 16 bits."""
    import mmap

    from dblink_live.sources.camera_process import RingReader, RingShape, RingWriter
    from dblink_live.types import Frame

    frame = np.zeros(RING_SHAPE, np.uint16)
    shape = RingShape(n_slots=16, slot_bytes=frame.nbytes)
    memory = mmap.mmap(-1, shape.nbytes)
    # Both ends map the same memory here, so only one of them may unmap it.
    writer, reader = RingWriter(memory, shape), RingReader(memory)
    writer.write_segment(Segment(index=0, shape=RING_SHAPE, dtype="uint16"))
    number = n_read = 0
    started = time.perf_counter()
    while (seconds := time.perf_counter() - started) < RING_S:
        for _ in range(shape.n_slots // 2):
            writer.write_frame(0, number, 0, frame)
            number += 1
        n_read += sum(isinstance(item, Frame) for item in reader.read(shape.n_slots))
    return Finding(round(n_read * frame.nbytes / seconds / 1e6, 1))


def probe(code: str, environment: dict[str, str], *arguments: str) -> tuple[dict[str, Any] | None, str]:
    """Run ``code`` in a Python of its own; its last line of output is a JSON object. None, and why, where it failed."""
    command = [sys.executable, "-c", code, *arguments]
    # As this process imports: the probes ask for this package, too.
    search_path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    environment = {**environment, "PYTHONPATH": search_path, "PYTHONUTF8": "1"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, encoding="utf-8", errors="replace", timeout=PROBE_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return None, f"its process did not answer within {PROBE_TIMEOUT_S:g} s"
    except OSError as error:
        return None, str(error)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        return None, _OWN_ERROR.sub("", lines[-1]) if lines else f"its process ended with status {done.returncode}"
    facts: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return facts, ""
