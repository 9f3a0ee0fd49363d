"""What a live picture costs: multiply-adds, milliseconds, and memory of the state, of each network.

    python -m benchmarks.network_cost [--sides 128 256] [--pictures 24] [--threads 1] [--docs docs] [--json FILE]

Networks are run in turns, a few pictures each, so that other programs on the machine disturb all of them alike; of each
the fastest turn counts, and ratios are those of the same turn (their median). Multiply-adds are counted, not derived.
A stream's first pictures, whose lookahead is still filling, are not timed. "bf16" is PyTorch's autocast to bfloat16,
which pays where the processor computes in it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.documents import find_page, write_block
from benchmarks.report import Report, markdown_table
from dblink_live.models import (
    BidirectionalNetwork,
    DblinkNetwork,
    GatedConfig,
    GatedNetwork,
    LightNetwork,
    StreamingEngine,
    StreamState,
)
from dblink_live.models.network import with_bfloat16_weights
from dblink_live.types import Shape

COUNTS_PER_PIXEL = 0.004
"""Of one window of the released simulator."""
REFERENCE = "light, hop 4"
TURNS = 7
LOOKAHEADS = (8, 32)


@dataclass
class Contender:
    """One way of making live pictures."""

    name: str
    network: BidirectionalNetwork
    hop: int
    lookahead: int = 8
    bf16: bool = False
    ms: list[float] = field(default_factory=list)
    """Per picture, one entry per turn."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 256], help="of square fields, in pixels")
    parser.add_argument("--pictures", type=int, default=24, help="timed pictures per turn")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--with-dblink", action="store_true", help="the paper's network too: minutes more")
    parser.add_argument("--docs", type=Path, help="write the tables into quality.md of this folder")
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    report = Report("network_cost", {"sides": options.sides, "threads": options.threads})
    parts = []
    for side in options.sides:
        contenders = _contenders(options.with_dblink)
        take_turns(contenders, side, options.pictures)
        table = _table(contenders, side)
        print(table, flush=True)
        parts.append(table)
        report.add(f"ms_per_picture_{side}", {one.name: one.ms for one in contenders})
    if options.docs is not None:
        head = f"{options.threads} thread, {time.strftime('%Y-%m-%d')}, in turns on a shared machine"
        write_block(find_page(options.docs, "quality"), "network cost", "\n\n".join([head, *parts]))
    report.finish(options.json)


def _contenders(with_dblink: bool) -> list[Contender]:
    torch.manual_seed(0)
    light = LightNetwork().eval().requires_grad_(False)
    gated = GatedNetwork(GatedConfig(error=12, dilations=(1, 2, 1))).eval().requires_grad_(False)
    found = [
        Contender(REFERENCE, light, hop=4),
        Contender("gated, hop 4", gated, hop=4),
        Contender("gated, hop 1", gated, hop=1),
        Contender("gated, hop 1, lookahead 32", gated, hop=1, lookahead=32),
        Contender("light, hop 4, bf16", with_bfloat16_weights(light), hop=4, bf16=True),
        Contender("gated, hop 4, bf16", with_bfloat16_weights(gated), hop=4, bf16=True),
        Contender("gated, hop 1, bf16", with_bfloat16_weights(gated), hop=1, bf16=True),
    ]
    if with_dblink:
        found.append(Contender("dblink, hop 4", DblinkNetwork().eval().requires_grad_(False), hop=4))
    return found


@torch.inference_mode()
def take_turns(contenders: list[Contender], side: int, n_pictures: int) -> None:
    """Time ``n_pictures`` of every contender in each of `TURNS` turns."""
    counts = torch.poisson(torch.full((n_pictures, side, side), COUNTS_PER_PIXEL))
    warm = [_warm(one, counts) for one in contenders]
    for _ in range(TURNS):
        for one, (engine, state) in zip(contenders, warm, strict=True):
            with _precision(one):
                began = time.perf_counter()
                pictures, _ = engine.push(counts, torch.ones(len(counts)), state)
                one.ms.append(1e3 * (time.perf_counter() - began) / len(pictures))


def _warm(contender: Contender, counts: Tensor) -> tuple[StreamingEngine, StreamState]:
    """A stream whose lookahead is full and whose kernels were chosen."""
    engine = StreamingEngine(contender.network, contender.lookahead, contender.hop)
    state = engine.start(Shape(*counts.shape[1:]))
    n_windows = contender.lookahead + 2 * contender.hop
    with _precision(contender):
        for t in range(n_windows):
            _, state = engine.push(counts[t % len(counts)][None], torch.ones(1), state)
    return engine, state


def _precision(contender: Contender) -> torch.autocast | nullcontext[None]:
    return torch.autocast("cpu", torch.bfloat16) if contender.bf16 else nullcontext()


def _table(contenders: list[Contender], side: int) -> str:
    reference = next(one for one in contenders if one.name == REFERENCE)
    rows: list[list[object]] = []
    for one in contenders:
        ratios = [theirs / own for theirs, own in zip(reference.ms, one.ms, strict=True)]
        costs = f"{multiply_adds(one, side) / 1e3:.1f}k", f"{min(one.ms):.1f}", f"{statistics.median(ratios):.1f}"
        rows.append([one.name, *costs, f"{state_bytes(one, side) / side**2:.0f}"])
    return markdown_table(
        [f"{side} x {side}", "multiply-adds per pixel", "ms per picture", "times faster", "state, bytes per pixel"],
        rows,
    )


@torch.inference_mode()
def multiply_adds(contender: Contender, side: int) -> float:
    """Per pixel and picture."""
    counts = torch.ones(4 * contender.hop, side, side)
    engine, state = _warm(contender, counts)
    with FlopCounterMode(display=False) as counter, _precision(contender):
        pictures, _ = engine.push(counts, torch.ones(len(counts)), state)
    return float(counter.get_total_flops()) / 2 / (len(pictures) * side**2)


def state_bytes(contender: Contender, side: int) -> int:
    """Of a stream in its steady state, with the windows that wait for their pictures."""
    _, state = _warm(contender, torch.zeros(1, side, side))
    carried = [*state.forward.h, *state.forward.c, *([] if state.forward.leaky is None else [state.forward.leaky])]
    pending = [part for window in state.pending for part in (*window.reverse_inputs, window.forward_features)]
    return sum(part.numel() * part.element_size() for part in (*carried, *pending))


if __name__ == "__main__":
    main()
