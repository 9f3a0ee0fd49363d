"""The search guided by coverage, in a process of its own, because libFuzzer ends the process: see `benchmarks.fuzz`.

python -m benchmarks.fuzz_guided SECONDS SEED
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["dblink_live.bus.messages"]):
    from dblink_live.bus.images import decode_image
    from dblink_live.bus.messages import decode_control
from benchmarks.fuzz_inputs import VALID
from dblink_live.errors import WireError

RSS_LIMIT_MB = 2048
MAX_INPUT_BYTES = 8192


def decode(part: bytes) -> None:
    """One input; any exception that comes out is a crash."""
    for decoder in (decode_image, decode_control):
        with contextlib.suppress(WireError):
            decoder(part)


def main() -> None:
    """Search until the time is up."""
    seconds, seed = sys.argv[1:]
    with tempfile.TemporaryDirectory() as corpus:
        for number, part in enumerate(VALID):
            (Path(corpus) / str(number)).write_bytes(part)
        options = {
            "max_total_time": seconds,
            "seed": seed,
            "max_len": MAX_INPUT_BYTES,
            "rss_limit_mb": RSS_LIMIT_MB,
            "print_final_stats": 1,
            "artifact_prefix": f"{corpus}/",
        }
        atheris.Setup([sys.argv[0], *(f"-{key}={value}" for key, value in options.items()), corpus], decode)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
