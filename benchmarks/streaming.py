"""Streaming against re-running the whole window for every output, with the same network and the same outputs.

    python -m benchmarks.streaming [--quick] [--json FILE]

The released DBlink code makes each output by a fresh bidirectional pass over the 25 windows before it and the 25 from
it on, decodes all 50 windows and keeps one. The streaming engine carries the forward state, runs the reverse direction
over the 25 windows from the output on (lookahead 24, hop 1) and decodes once. Both are run on the paper's network with
the same weights.

The two see the same maps for the first 26 outputs of a stream: there the window of the released scheme still begins at
the first map, so that both forward directions have the same past. On those outputs they are compared; later the carried
state knows *more* of the past than a window does. The cost of an output does not depend on its place in the stream.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.report import Report, markdown_table
from dblink_live.models import BidirectionalNetwork, DblinkNetwork, LightNetwork, StreamingEngine
from dblink_live.types import Shape

HALF_WINDOW = 25
"""Windows before an output, and from it on, in the released scheme."""
COMPARED = (3, 13, HALF_WINDOW)
"""Outputs at which both schemes must agree; the last has the whole window of 50."""
TOLERANCE = 1e-5
TARGET_RATIO = 40.0


@torch.inference_mode()
def rerun_window(network: BidirectionalNetwork, counts: Tensor, output: int) -> Tensor:
    """Picture [H, W] of window ``output`` of ``counts`` [T, H, W], as the released code makes it."""
    begin = max(output - HALF_WINDOW, 0)
    window = counts[None, begin : output + HALF_WINDOW]
    present = torch.ones(window.shape[:2])
    state = network.initial_state(1, *counts.shape[1:])
    forward, _ = network.scan("forward", window, present, state)
    reverse, _ = network.scan("reverse", window, present, state)
    # One window at a time, as the released code does; as one batch it is slower still.
    pictures = [network.decode(forward[:, t], reverse[:, t]) for t in range(window.shape[1])]
    return network.probability(pictures[output - begin])[0]


def stream_costs(engine: StreamingEngine, counts: Tensor, outputs: int) -> tuple[list[float], dict[int, Tensor]]:
    """Seconds an output of at least ``outputs`` outputs in the steady state, and all pictures by window.

    Windows that were pushed before the first output became ready (the lookahead fills) are not counted.
    """
    state = engine.start(Shape(*counts.shape[1:]))
    pictures: dict[int, Tensor] = {}
    costs: list[float] = []
    since_output = 0.0
    for t in range(len(counts)):
        started = time.perf_counter()
        ready, state = engine.push(counts[t : t + 1], torch.ones(1), state)
        since_output += time.perf_counter() - started
        pictures.update({picture.window: picture.probability for picture in ready})
        if ready:
            if len(pictures) > len(ready):
                costs += [since_output / len(ready)] * len(ready)
            since_output = 0.0
        if len(costs) >= outputs:
            break
    return costs, pictures


def timed(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=None, help="side of the field in pixels (default 128; quick 64)")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0 leaves torch's choice")
    parser.add_argument("--repeats", type=int, default=None, help="re-run outputs that are timed (default 3; quick 1)")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    side = options.side or (64 if options.quick else 128)
    repeats = options.repeats or (1 if options.quick else 3)

    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network = DblinkNetwork().eval().requires_grad_(False)
    # Fresh weights give outputs near 0, of which a clamp at 0 would hide half: move them to the middle of the range.
    network.conv_net[6].bias.fill_(0.5)
    counts = torch.poisson(torch.full((2 * HALF_WINDOW + 20, side, side), 0.03), generator=generator)

    lookahead = HALF_WINDOW - 1
    same, pictures = stream_costs(StreamingEngine(network, lookahead, hop=1), counts, outputs=HALF_WINDOW + 5)
    difference = 0.0
    for output in COMPARED:
        _, picture = timed(lambda output=output: rerun_window(network, counts, output))  # type: ignore[misc]
        difference = max(difference, float((picture - pictures[output]).abs().max()))
    rerun = [timed(lambda: rerun_window(network, counts, HALF_WINDOW))[0] for _ in range(repeats)]
    hop_4, _ = stream_costs(StreamingEngine(network, lookahead, hop=4), counts, outputs=8)
    live, _ = stream_costs(StreamingEngine(network, lookahead=8, hop=4), counts, outputs=8)
    light_network = LightNetwork().eval().requires_grad_(False)
    light, _ = stream_costs(StreamingEngine(light_network, lookahead=8, hop=4), counts, outputs=24)

    baseline = statistics.median(rerun)
    schemes = {
        "paper network, window of 50 re-run for each output": rerun,
        "paper network, streaming, lookahead 24, hop 1 (the same outputs)": same,
        "paper network, streaming, lookahead 24, hop 4": hop_4,
        "paper network, streaming, lookahead 8, hop 4": live,
        "light network, streaming, lookahead 8, hop 4": light,
    }
    report = Report(
        "streaming", {"side_px": side, "repeats": repeats, "threads": torch.get_num_threads(), "quick": options.quick}
    )
    rows = [
        (name, 1e3 * statistics.median(costs), 1e3 * min(costs), baseline / statistics.median(costs), len(costs))
        for name, costs in schemes.items()
    ]
    print(markdown_table(["scheme", "ms an output (median)", "fastest", "times faster", "outputs timed"], rows))
    ratio = baseline / statistics.median(same)
    print(
        f"\n{side} x {side} px, {torch.get_num_threads()} threads; same outputs: largest difference {difference:.1e}"
        f" on outputs {', '.join(map(str, COMPARED))} (allowed {TOLERANCE:g}); ratio {ratio:.1f}"
        f" ({'reaches' if ratio >= TARGET_RATIO else 'misses'} {TARGET_RATIO:g})"
    )
    report.add(
        "schemes", {name: {"ms_median": row, "ms_fastest": fastest, "ratio": r} for name, row, fastest, r, _ in rows}
    )
    report.add("same_outputs_max_difference", difference)
    report.add("ratio", ratio)
    report.finish(options.json)
    if not difference <= TOLERANCE:
        raise SystemExit(f"expected the same outputs within {TOLERANCE:g}, found a difference of {difference:.1e}")


if __name__ == "__main__":
    main()
