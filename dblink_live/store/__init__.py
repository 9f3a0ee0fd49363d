"""The run folder: a SQLite journal beside an OME-Zarr 0.5 hierarchy, safe against the death of any process."""

from __future__ import annotations

from dblink_live.store.arrays import checksum, encode_probability
from dblink_live.store.filesystem import existing_ancestor, free_bytes, free_nodes, network_share_reason
from dblink_live.store.forecast import (
    forecast_bytes,
    forecast_files,
    forecast_nodes,
    forecast_raw_bytes,
    forecast_raw_nodes,
)
from dblink_live.store.journal import CommittedWindow, Event, FullFacts, LiveStep, Product, Status, StoredSegment
from dblink_live.store.raw.frames import RawFrames, RawWriter, create_raw, read_raw, trim_raw
from dblink_live.store.reader import CommittedArray, Run, open_run
from dblink_live.store.running_sum import RunningSum
from dblink_live.store.segment_counts import SegmentCounts
from dblink_live.store.verify.ledger import ledger_from_journal
from dblink_live.store.verify.run import VerifyReport, verify_run
from dblink_live.store.writer import RunWriter

__all__ = [
    "CommittedArray",
    "CommittedWindow",
    "Event",
    "FullFacts",
    "LiveStep",
    "Product",
    "RawFrames",
    "RawWriter",
    "Run",
    "RunWriter",
    "RunningSum",
    "SegmentCounts",
    "Status",
    "StoredSegment",
    "VerifyReport",
    "checksum",
    "create_raw",
    "encode_probability",
    "existing_ancestor",
    "forecast_bytes",
    "forecast_files",
    "forecast_nodes",
    "forecast_raw_bytes",
    "forecast_raw_nodes",
    "free_bytes",
    "free_nodes",
    "ledger_from_journal",
    "network_share_reason",
    "open_run",
    "read_raw",
    "trim_raw",
    "verify_run",
]
