"""Is the CUDA path right, how fast is each stage on it, and what is the largest field at 100 frames per second?

    python -m benchmarks.gpu [--model filaments] [--no-tests] [--json FILE]

First the tests marked ``gpu``, which takes a few minutes, then the measurements, in under eight. Pictures of the same
maps are made on the CPU in float32, and on the CUDA device with each engine; their largest difference and the time per
window are told beside the roofline: the network's operations over the device's measured rate of multiplying matrices,
and the bytes of upload and download over its measured copies. Then fields are made larger until localizer and network
no longer hold 100 frames per second.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.engines import ENGINES, HOP, LOOKAHEAD, pictures_of
from benchmarks.report import Report, markdown_table
from dblink_live.config import run_config_from_plain
from dblink_live.errors import ModelError
from dblink_live.models import Model, StreamingEngine, load_model
from dblink_live.pipeline.network_runner import NetworkRunner
from dblink_live.pipeline.overload.forecast import measure_costs
from dblink_live.simulate import SCMOS
from dblink_live.types import Shape

N_WINDOWS = 40
MAP_SHAPE = Shape(512, 512)
FPS = 100.0
SIDES = (64, 128, 256, 384, 512, 768, 1024, 1536, 2048)
BUDGET_S = 420.0
"""No further field or engine is begun after so long."""


def operations_per_window(model: Model) -> float:
    """Multiplications and additions of the network for one window, in the steady state."""
    engine = StreamingEngine(model.network, LOOKAHEAD, HOP)
    state, counts, present = engine.start(MAP_SHAPE), torch.zeros(1, *MAP_SHAPE), torch.ones(1)
    for _ in range(LOOKAHEAD + HOP):
        _, state = engine.push(counts, present, state)
    counter = FlopCounterMode(display=False)
    with counter:
        for _ in range(HOP):
            _, state = engine.push(counts, present, state)
    return counter.get_total_flops() / HOP


def rate(work: Callable[[], object], amount: float, seconds: float = 1.0) -> float:
    """``amount`` per second of ``work``, which is repeated for about ``seconds``."""
    work()
    torch.cuda.synchronize()
    n, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        work()
        torch.cuda.synchronize()
        n += 1
    return n * amount / (time.perf_counter() - started)


def rooflines(device: torch.device) -> dict[str, float]:
    """Operations per second of matrices and bytes per second of copies, as measured here."""
    side = 4096
    single = torch.randn(side, side, device=device)
    half = single.bfloat16()
    host = torch.empty(64 << 20, dtype=torch.uint8, pin_memory=True)
    there = torch.empty_like(host, device=device)
    return {
        "float32_flops": rate(lambda: single @ single, 2.0 * side**3),
        "bfloat16_flops": rate(lambda: half @ half, 2.0 * side**3),
        "upload_bytes_s": rate(lambda: there.copy_(host, non_blocking=True), float(host.nbytes)),
        "download_bytes_s": rate(lambda: host.copy_(there, non_blocking=True), float(host.nbytes)),
    }


def run_tests() -> tuple[bool, str]:
    """Run the tests marked ``gpu``; return whether all passed, and pytest's own summary."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "--numprocesses", "0", "-q", "tests"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, encoding="utf-8")
    print(done.stdout)
    return done.returncode == 0, done.stdout.strip().splitlines()[-1]


def main() -> int:
    """Print the tables; 1 where a test failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="filaments")
    parser.add_argument("--no-tests", action="store_true", help="measure only")
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device")
        return 0
    device = torch.device("cuda")
    report = Report("gpu", {"model": options.model, "device": torch.cuda.get_device_name(device)})
    have_passed = True
    if not options.no_tests:
        have_passed, summary = run_tests()
        report.add("tests", summary)
    began = time.perf_counter()
    maps = np.random.default_rng(0).poisson(0.02, (N_WINDOWS, *MAP_SHAPE)).astype(np.uint16)
    on_cpu, on_gpu = load_model(options.model, device="cpu"), load_model(options.model, device="cuda")
    expected, cpu_s = pictures_of(NetworkRunner(on_cpu), maps)
    limits, operations = rooflines(device), operations_per_window(on_cpu)
    rows: list[list[object]] = [["cpu eager", 0.0, 1e3 * cpu_s, "", ""]]
    for engine in ENGINES:
        if time.perf_counter() - began > BUDGET_S:
            print(f"left out for want of time: {engine}")
            continue
        try:
            found, seconds = pictures_of(NetworkRunner(on_gpu, engine), maps)
        except ModelError as error:
            print(f"{engine}: {error}")
            continue
        flops = limits["bfloat16_flops" if engine == "bfloat16" else "float32_flops"]
        n_pixels = MAP_SHAPE.height * MAP_SHAPE.width
        least = operations / flops + 2 * n_pixels / limits["upload_bytes_s"] + 4 * n_pixels / limits["download_bytes_s"]
        difference = float(np.abs(found - expected).max())
        rows.append([f"cuda {engine}", difference, 1e3 * seconds, 1e3 * least, seconds / least])
    header = [
        "engine",
        "largest difference to CPU",
        "ms per window, 512 x 512",
        "roofline ms",
        "times the roofline",
    ]
    print(markdown_table(header, rows))
    report.add("engines", [dict(zip(header, row, strict=True)) for row in rows])
    report.add("rooflines", limits)
    held: list[dict[str, object]] = []
    for localizer in ("cpu", "cuda"):
        plain = {"localizer": {"device": localizer}, "reconstruct": {"lookahead": LOOKAHEAD, "hop": HOP}}
        for side in SIDES:
            if time.perf_counter() - began > BUDGET_S:
                break
            costs = measure_costs(on_gpu, run_config_from_plain(plain), SCMOS, Shape(side, side))
            fps = costs.fps_held(Shape(side, side))
            held.append({"localizer": localizer, "side": side, "fps": fps})
            if fps < FPS:
                break
    print(markdown_table(["localizer on", "field", "frames/s"], [[r["localizer"], r["side"], r["fps"]] for r in held]))
    report.add("held", held)
    report.finish(options.json)
    return int(not have_passed)


if __name__ == "__main__":
    sys.exit(main())
