"""Rows of one table that belong to different channels, files or positions: one is selected, or they are told apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dblink_live.errors import SourceError
from dblink_live.tables.table import DEPTH, LocalizationTable

ALL = "all"
"""Value of ``channel`` that keeps the rows of every channel together."""
KEPT = "channel"
"""Name in `LocalizationTable.extra` of the channels of a table that was read with `ALL`."""
_MAX_LISTED = 8


def select_channel(table: LocalizationTable, path: Path, channel: str | None) -> LocalizationTable:
    """Return the rows of one channel, file or position.

    Parameters
    ----------
    table
        As a reader returns it: each entry of ``extra`` but z says which rows belong together.
    path
        Named in errors.
    channel
        A value of the one column whose values differ; ``COLUMN=VALUE`` where several do, joined by commas; ``all`` for
        every row; or None, which is refused where values differ.

    Raises
    ------
    SourceError
        Rows of several channels are in the table and ``channel`` is None, or no row has the value that it names.
    """
    labels = {name: values for name, values in table.extra.items() if name not in DEPTH}
    differing = {name: values for name, values in labels.items() if _n_distinct(values) > 1}
    depth = {name: values for name, values in table.extra.items() if name in DEPTH}
    if channel == ALL:
        return _all_kept(table, differing, depth)
    if channel is None:
        if differing:
            raise SourceError(_asking(differing, path))
        return dataclasses.replace(table, extra=depth)
    chosen = _wanted(channel, labels, differing, path)
    is_chosen = np.ones(len(table), bool)
    for name, value in chosen.items():
        is_chosen &= _texts(labels[name]) == value
    if not is_chosen.any():
        raise SourceError(f"expected rows of channel {channel} in {path}, found {_listed(differing or labels)}")
    kept = {name: values[is_chosen] for name, values in differing.items()}
    left = {name: values for name, values in kept.items() if _n_distinct(values) > 1}
    if left:
        raise SourceError(_asking(left, path, given=channel))
    selected = dataclasses.replace(table, extra=depth).take(is_chosen)
    n_left_out = len(table) - len(selected)
    note = (f"{n_left_out} of {len(table)} rows are of other channels and are left out",) if n_left_out else ()
    return dataclasses.replace(selected, notes=(*table.notes, *note))


def _all_kept(
    table: LocalizationTable, differing: Mapping[str, npt.NDArray[Any]], depth: Mapping[str, npt.NDArray[Any]]
) -> LocalizationTable:
    if not differing:
        return dataclasses.replace(table, extra=depth)
    note = f"rows of {_listed(differing)} are kept together"
    if len(differing) > 1:
        return dataclasses.replace(table, extra=depth, notes=(*table.notes, note), unused=(*table.unused, *differing))
    ((_, values),) = differing.items()
    return dataclasses.replace(table, extra={**depth, KEPT: values}, notes=(*table.notes, note))


def _wanted(
    channel: str, labels: Mapping[str, npt.NDArray[Any]], differing: Mapping[str, npt.NDArray[Any]], path: Path
) -> dict[str, str]:
    """Column and value of each condition in ``channel``."""
    by_name = {name.casefold(): name for name in labels}
    parts = [part.partition("=") for part in channel.split(",")]
    if all(equals and name.strip().casefold() in by_name for name, equals, _ in parts):
        return {by_name[name.strip().casefold()]: _plain(value.strip()) for name, _, value in parts}
    candidates = differing or labels
    if not candidates:
        raise SourceError(f"expected a column of channels in {path}, found none; leave --channel {channel} out")
    if len(candidates) > 1:
        holding = [name for name, values in candidates.items() if _plain(channel) in _texts(values)]
        named = ",".join(f"{name}=VALUE" for name in candidates)
        # A colour's name can only be one column's; a number may be a channel or a file.
        if len(holding) != 1 or _plain(channel).lstrip("-").replace(".", "").isdigit():
            raise SourceError(
                f"expected which of {', '.join(candidates)} is {channel} in {path}, found {_listed(candidates)}; "
                f"give --channel {named}"
            )
        return {holding[0]: _plain(channel)}
    (name,) = candidates
    return {name: _plain(channel)}


def _asking(differing: Mapping[str, npt.NDArray[Any]], path: Path, given: str = "") -> str:
    example = ",".join(f"{name}={_texts(values[:1])[0]}" for name, values in differing.items())
    if len(differing) == 1 and not given:
        example = str(next(iter(_texts(next(iter(differing.values()))[:1]))))
    if given:
        example = f"{given},{example}"
    quoted = f"'{example}'" if " " in example else example
    return (
        f"expected the rows of one channel in {path}, found {_listed(differing)}; "
        f"give --channel {quoted}, or --channel all to keep them together"
    )


def _listed(labels: Mapping[str, npt.NDArray[Any]]) -> str:
    """Values of each column with the number of their rows."""
    parts = []
    for name, values in labels.items():
        found, counts = np.unique(_texts(values), return_counts=True)
        listed = [f"{value} ({n} rows)" for value, n in zip(found, counts, strict=True)]
        more = f" and {len(listed) - _MAX_LISTED} more" if len(listed) > _MAX_LISTED else ""
        parts.append(f"{name} {', '.join(listed[:_MAX_LISTED])}{more}")
    return "; ".join(parts)


def _texts(values: npt.NDArray[Any]) -> npt.NDArray[np.str_]:
    found, index = np.unique(values, return_inverse=True)
    return np.array([_plain(str(value)) for value in found], np.str_)[index] if len(found) else np.zeros(0, np.str_)


def _n_distinct(values: npt.NDArray[Any]) -> int:
    return len(np.unique(_texts(values)))


def _plain(text: str) -> str:
    """Return a value as it is compared: 1, 1.0 and " 1" are one channel."""
    text = text.strip()
    try:
        return f"{float(text):g}"
    except ValueError:
        return text
