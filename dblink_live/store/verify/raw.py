"""Checks the camera frames that a run has recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dblink_live.store.arrays import checksum
from dblink_live.store.hierarchy import AXIS_NAMES, FOLDER_NAME, list_series, read_array
from dblink_live.store.raw.frames import RawFrames, read_raw
from dblink_live.store.raw.journal import FILE_NAME, RawJournalReader


def check_raw(folder: Path) -> tuple[list[str], list[str]]:
    """Return what is wrong with the recorded frames of a run, and what is worth knowing; both empty without any."""
    if not (folder / FILE_NAME).exists():
        return [], []
    reader = RawJournalReader(folder)
    damage = reader.damage()
    reader.close()
    if damage is not None:
        return [f"the raw database is damaged: {damage}"], []
    problems: list[str] = []
    notes: list[str] = []
    listed = list_series(folder / FOLDER_NAME)
    for raw in read_raw(folder):
        name = raw.session.series
        if name not in listed:
            problems.append(f"series {name}: not listed in {FOLDER_NAME}/OME")
            continue
        problems += [f"series {name}: {text}" for text in _problems(folder, raw)]
        n_lost = sum(gap.count or 0 for gap in raw.gaps)
        lost = f", {n_lost} were lost" if n_lost else ""
        unknown = ", and others of unknown number" if any(gap.count is None for gap in raw.gaps) else ""
        notes.append(f"{name}: {len(raw.numbers)} camera frames recorded{lost}{unknown}; {_ending(raw)}")
    return problems, notes


def _problems(folder: Path, raw: RawFrames) -> list[str]:
    array = read_array(folder / FOLDER_NAME / raw.session.series / "0")
    names = getattr(array.metadata, "dimension_names", None)
    problems = []
    if names is None or tuple(names) != AXIS_NAMES:
        problems.append(f"expected dimension_names {AXIS_NAMES}, found {names}")
    if len(raw.numbers) > array.shape[0]:
        return [*problems, f"expected room for {len(raw.numbers)} committed frames, found {array.shape[0]}"]
    if [shard.shard for shard in raw.shards] != list(range(len(raw.shards))):
        problems.append("expected committed shards side by side, found gaps among them")
    if np.any(np.diff(raw.numbers) < 1):
        problems.append("expected frame numbers that rise, found others")
    for shard in raw.shards:
        try:
            frames = raw.read(shard)
        except Exception as error:  # damaged bytes make codecs fail in their own ways
            problems.append(f"shard {shard.shard} cannot be read: {error}")
            continue
        if checksum(frames) != shard.checksum:
            problems.append(f"the frames of shard {shard.shard} differ from what was committed")
    return problems


def _ending(raw: RawFrames) -> str:
    return raw.session.ending or "its recorder is at work, or was cut off: what followed was not recorded"
