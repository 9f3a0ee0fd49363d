"""Streaming against re-running the whole window for every output, with the same network and the same outputs.

    python -m benchmarks.streaming [--quick] [--json FILE]

The released DBlink code makes each output by a fresh bidirectional pass over the 25 windows before it and the 25 from
it on, decodes all 50 windows and keeps one. The streaming engine carries the forward state, runs the reverse direction
over the windows from the output on, and decodes once. Both are run on the paper's network with the same weights. With
lookahead 24 and hop 1 both see the output's window and 24 more; with hop 4 the engine sees up to 3 more than that, and
for the comparison of pictures the re-run window is extended by as many.

The two see the same past for the first 26 outputs of a stream, whose window still begins at the first map: on such
outputs they are compared. Later the carried state knows *more* of the past than a window does; the cost of an output
stays the same.

How fast the light network could be on this machine at all is told by its arithmetic: its operations an output over the
rate at which matrices are multiplied here.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.report import Report, markdown_table
from dblink_live.models import BidirectionalNetwork, DblinkNetwork, LightNetwork, Picture, StreamingEngine
from dblink_live.types import Shape

HALF_WINDOW = 25
"""Windows before an output, and from it on, in the released scheme."""
RERUN = "paper network, window of 50 re-run for each output"
LIGHT = "light network, streaming, lookahead 8, hop 4"
LOOKAHEAD = HALF_WINDOW - 1
COMPARED = (3, 13, HALF_WINDOW)
"""Windows whose pictures must agree; the last has the whole window of 50."""
TOLERANCE = 1e-5
TARGET_RATIO = 40.0


@torch.inference_mode()
def rerun_window(network: BidirectionalNetwork, counts: Tensor, output: int, last: int) -> Tensor:
    """Picture [H, W] of window ``output`` of ``counts`` [T, H, W] as the released code does, up to ``last``."""
    begin = max(output - HALF_WINDOW, 0)
    window = counts[None, begin : last + 1]
    present = torch.ones(window.shape[:2])
    state = network.initial_state(1, *counts.shape[1:])
    encoded = network.encode(window, present)
    forward, _ = network.scan("forward", [encoded.forward], state)
    reverse, _ = network.scan("reverse", [encoded.reverse], state)
    # All are decoded and one is kept, one at a time as in the released code; as one batch it is slower still.
    pictures = [network.decode(forward[:, t], reverse[:, t]).logits for t in range(window.shape[1])]
    return network.probability(pictures[output - begin])[0]


def stream(engine: StreamingEngine, counts: Tensor, outputs: int) -> tuple[list[float], dict[int, Picture]]:
    """Seconds an output, for at least ``outputs`` outputs in the steady state, and all pictures by window.

    Pushes before the first output (the lookahead fills) are not counted: each later output is charged with all pushes
    since the one before.
    """
    state = engine.start(Shape(*counts.shape[1:]))
    pictures: dict[int, Picture] = {}
    costs: list[float] = []
    since_output = 0.0
    for t in range(len(counts)):
        started = time.perf_counter()
        ready, state = engine.push(counts[t : t + 1], torch.ones(1), state)
        since_output += time.perf_counter() - started
        if ready and pictures:
            costs += [since_output / len(ready)] * len(ready)
        if ready:
            since_output = 0.0
        pictures.update({picture.window: picture for picture in ready})
        if len(costs) >= outputs:
            break
    return costs, pictures


def max_difference(network: BidirectionalNetwork, counts: Tensor, pictures: dict[int, Picture]) -> float:
    """Between streamed and re-run pictures of the windows that both make from the same maps."""
    pairs = [(pictures[t].probability, rerun_window(network, counts, t, t + pictures[t].lookahead)) for t in COMPARED]
    return max(float((streamed - rerun).abs().max()) for streamed, rerun in pairs)


def time_rerun(network: BidirectionalNetwork, counts: Tensor) -> float:
    """Seconds of one output that has its whole window of 50."""
    started = time.perf_counter()
    rerun_window(network, counts, HALF_WINDOW, HALF_WINDOW + LOOKAHEAD)
    return time.perf_counter() - started


def arithmetic_per_output(engine: StreamingEngine, counts: Tensor) -> float:
    """Floating-point operations an output in the steady state; convolutions and matrix products count, two each for a
    multiply-add."""
    state = engine.start(Shape(*counts.shape[1:]))
    ready: list[Picture] = []
    warm = engine.lookahead + 2 * engine.hop
    for t in range(warm):
        _, state = engine.push(counts[t : t + 1], torch.ones(1), state)
    with FlopCounterMode(display=False) as counter:
        for t in range(warm, warm + 4 * engine.hop):
            pictures, state = engine.push(counts[t : t + 1], torch.ones(1), state)
            ready += pictures
    return float(counter.get_total_flops()) / len(ready)


def matrix_product_rate(side: int = 1024, repeats: int = 20) -> float:
    """Floating-point operations a second of this machine's product of two square float32 matrices, the fastest of
    ``repeats``: what convolutions may come near to."""
    matrix = torch.randn(side, side)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        torch.mm(matrix, matrix)
        seconds.append(time.perf_counter() - started)
    return 2.0 * side**3 / min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=None, help="side of the field in pixels (default 128; quick 64)")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0 leaves torch's choice")
    parser.add_argument("--repeats", type=int, default=None, help="timed re-runs, 1 to 4 (default 3; quick 1)")
    parser.add_argument("--quick", action="store_true", help="a smaller field and one repeat")
    parser.add_argument("--json", default=None, help="write the figures to this file")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    side = options.side or (64 if options.quick else 128)
    repeats = options.repeats or (1 if options.quick else 3)

    torch.manual_seed(0)
    network = DblinkNetwork().eval().requires_grad_(False)
    # Fresh weights give outputs near 0, of which a clamp at 0 would hide half: move them to the middle of the range.
    network.state_dict()["conv_net.6.bias"].fill_(0.5)
    light_network = LightNetwork().eval().requires_grad_(False)
    counts = torch.poisson(torch.full((2 * HALF_WINDOW + 10, side, side), 0.03))

    engines = {
        f"paper network, streaming, lookahead {LOOKAHEAD}, hop 1": StreamingEngine(network, LOOKAHEAD, hop=1),
        f"paper network, streaming, lookahead {LOOKAHEAD}, hop 4": StreamingEngine(network, LOOKAHEAD, hop=4),
        "paper network, streaming, lookahead 8, hop 4": StreamingEngine(network, 8, hop=4),
        LIGHT: StreamingEngine(light_network, 8, hop=4),
    }
    schemes: dict[str, list[float]] = {RERUN: []}
    difference = 0.0
    for i, (name, engine) in enumerate(engines.items()):
        # The re-runs are spread over the whole time, so that another process's load falls on both sides.
        if i < repeats:
            schemes[RERUN].append(time_rerun(network, counts))
        schemes[name], pictures = stream(engine, counts, outputs=HALF_WINDOW + 1)
        if engine.network is network and engine.lookahead == LOOKAHEAD:
            difference = max(difference, max_difference(network, counts, pictures))
    medians = {name: statistics.median(costs) for name, costs in schemes.items()}
    baseline = medians[RERUN]
    rows = [
        (name, 1e3 * medians[name], 1e3 * min(costs), baseline / medians[name], len(costs))
        for name, costs in schemes.items()
    ]
    print(markdown_table(["scheme", "ms an output (median)", "fastest", "times faster", "outputs timed"], rows))
    ratios = [baseline / medians[name] for name in list(engines)[:2]]
    print(
        f"\n{side} x {side} px, {torch.get_num_threads()} threads. Same maps, same outputs: largest difference "
        f"{difference:.1e} on windows {', '.join(map(str, COMPARED))} (allowed {TOLERANCE:g}). "
        f"Ratio {ratios[0]:.1f} (hop 1), {ratios[1]:.1f} (hop 4); target {TARGET_RATIO:g}."
    )
    live = engines[LIGHT]
    operations, rate = arithmetic_per_output(live, counts), matrix_product_rate()
    bound_ms = 1e3 * operations / rate
    print(
        f"{LIGHT}: {operations / 1e9:.2f} GFlop an output; matrix products run at {rate / 1e9:.0f} GFlop/s here, so at "
        f"{bound_ms:.1f} ms an output at best; the fastest took {1e3 * min(schemes[LIGHT]) / bound_ms:.1f} times that."
    )
    report = Report(
        "streaming", {"side_px": side, "repeats": repeats, "threads": torch.get_num_threads(), "quick": options.quick}
    )
    report.add(
        "schemes",
        {name: {"ms_median": median, "ms_fastest": fast, "ratio": ratio} for name, median, fast, ratio, _ in rows},
    )
    report.add("max_difference", difference)
    report.add("light_network", {"flop_an_output": operations, "matrix_flop_a_second": rate, "bound_ms": bound_ms})
    report.add("ratio", {"hop_1": ratios[0], "hop_4": ratios[1]})
    report.finish(options.json)
    if not difference <= TOLERANCE:
        raise SystemExit(f"expected the same outputs within {TOLERANCE:g}, found a difference of {difference:.1e}")


if __name__ == "__main__":
    main()
