"""Writes a stack as Micro-Manager's own multi-page TIFF does: summary and index of the planes beside the pages.

After the description of the format (https://micro-manager.org/Micro-Manager_File_Formats): a header of 40 bytes that
says where the index lies, the summary as JSON, pages of one image each, and the index behind them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

INDEX_OFFSET, INDEX, SUMMARY = 54773648, 3453623, 2355492
MM_TAG = 51123


def write_mmstack(path: Path, frames: np.ndarray, times: Sequence[int], summary: dict[str, object]) -> None:
    """Write frames [T, H, W] of uint16, each at its time point."""
    head = json.dumps(summary).encode()
    body = bytearray(
        struct.pack("<2sHI", b"II", 42, 40 + len(head)) + bytes(24) + struct.pack("<II", SUMMARY, len(head))
    )
    body += head
    rows = []
    height, width = frames.shape[1:]
    for number, (frame, time) in enumerate(zip(frames, times, strict=True)):
        at = len(body)
        rows.append((0, 0, time, 0, at))
        text = json.dumps({"PixelSizeUm": 0.108, "Exposure-ms": 10.0, "BitDepth": 16, "Binning": "1"}).encode() + b"\0"
        n_tags = 10
        behind = at + 2 + 12 * n_tags + 4
        tags = [
            (256, 3, 1, width),
            (257, 3, 1, height),
            (258, 3, 1, 16),
            (259, 3, 1, 1),
            (262, 3, 1, 1),
            (273, 4, 1, behind),
            (277, 3, 1, 1),
            (278, 3, 1, height),
            (279, 4, 1, frame.nbytes),
            (MM_TAG, 2, len(text), behind + frame.nbytes),
        ]
        following = 0 if number == len(frames) - 1 else behind + frame.nbytes + len(text)
        body += struct.pack("<H", n_tags) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        body += struct.pack("<I", following) + frame.astype("<u2").tobytes() + text
    struct.pack_into("<II", body, 8, INDEX_OFFSET, len(body))
    body += struct.pack("<II", INDEX, len(rows)) + b"".join(struct.pack("<5I", *row) for row in rows)
    path.write_bytes(body)
