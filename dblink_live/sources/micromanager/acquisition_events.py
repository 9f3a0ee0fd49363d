"""What an acquisition takes, from a TOML file: in one of three forms, told apart by their keys.

- the arguments of pycromanager's ``multi_d_acquisition_events``: ``num_time_points = 1000``;
- a useq ``MDASequence``: ``[time_plan]``, ``[[channels]]``, ``[[stage_positions]]``;
- pycromanager's events themselves, as ``[[events]]``.

All become pycromanager's events: plain dicts with the axes of an image and what is to be set before it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dblink_live.errors import ConfigError, SourceError
from dblink_live.text.suggest import did_you_mean
from dblink_live.text.toml_text import parse_toml

Event = dict[str, Any]

EVENT_KEYS = [
    *("axes", "config_group", "exposure", "min_start_time", "properties", "stage_positions"),
    *("tags", "timeout_ms", "x", "y", "z", "camera"),
]
_ONLY_USEQ = ("time_plan", "stage_positions", "z_plan", "grid_plan", "axis_order", "autofocus_plan")
_AXES = {"t": "time", "p": "position", "c": "channel", "z": "z", "g": "grid"}
"""useq's index letters, and what pycromanager calls the axes."""
_SPLITTING = ("properties", "stage_positions")
"""What pycromanager 1.0 neither compares nor sets when it joins events into one sequence of the camera."""


def time_lapse(n_frames: int) -> list[Event]:
    """As many images as fast as the camera takes them."""
    return [{"axes": {"time": index}} for index in range(n_frames)]


def read_events(path: Path) -> list[Event]:
    """The events of a TOML file.

    Raises
    ------
    SourceError
        There is no such file, it is no TOML, a key is unknown (the nearest is named), or it describes no image.
    """
    try:
        plain = parse_toml(path.read_bytes())
    except FileNotFoundError:
        raise SourceError(f"expected a plan of the acquisition, found nothing at {path}; check events=") from None
    except ConfigError as error:
        raise SourceError(f"{error} (in {path})") from error
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error
    try:
        events = list(_events_of(plain))
    except SourceError as error:
        raise SourceError(f"{error} (in {path})") from error
    except (TypeError, ValueError, KeyError, IndexError) as error:
        detail = " ".join(str(error).split())
        raise SourceError(f"expected a plan of an acquisition in {path}, found: {detail}") from error
    if not events:
        raise SourceError(f"expected at least one image in the plan {path}, found none")
    _check_axes(events, path)
    return events


def batches(events: Iterable[Event]) -> Iterator[list[Event]]:
    """Events in lists within which pycromanager may join them into sequences of the camera.

    An event that sets something of `_SPLITTING` is a list of its own, and those after it that want the same need not
    say so: pycromanager 1.0 forgets such settings when it joins events.
    """
    batch: list[Event] = []
    before: Event = {}
    for event in events:
        changes = any(event.get(key) != before.get(key) for key in _SPLITTING)
        if batch and changes:
            yield batch
            batch = []
        before = event
        if changes:
            yield [event]
        else:
            batch.append({key: value for key, value in event.items() if key not in _SPLITTING})
    if batch:
        yield batch


def _events_of(plain: Mapping[str, Any]) -> Iterator[Event]:
    if "events" in plain:
        _refuse_unknown(plain, ["events"])
        for event in plain["events"]:
            _refuse_unknown(event, EVENT_KEYS)
            yield {**event, "axes": dict(event.get("axes", {}))}
    elif any(key in plain for key in _ONLY_USEQ) or _holds_tables(plain.get("channels")):
        yield from _from_useq(plain)
    else:
        yield from _from_arguments(plain)


def _holds_tables(channels: object) -> bool:
    return isinstance(channels, list) and any(isinstance(channel, dict) for channel in channels)


def _from_arguments(plain: Mapping[str, Any]) -> Iterator[Event]:
    from pycromanager import multi_d_acquisition_events

    _refuse_unknown(plain, [*inspect.signature(multi_d_acquisition_events).parameters, *_ONLY_USEQ, "events"])
    for event in multi_d_acquisition_events(**plain):
        yield {key: value.item() if hasattr(value, "item") else value for key, value in event.items()}


def _from_useq(plain: Mapping[str, Any]) -> Iterator[Event]:
    try:
        from useq import MDASequence
    except ImportError as error:
        raise SourceError(
            f"expected useq-schema for a plan with {', '.join(plain)}, found that it cannot be imported ({error}); "
            'install the extra: pip install "dblink-live[micromanager]"'
        ) from error
    _refuse_unknown(plain, list(MDASequence.model_fields))
    sequence = MDASequence(**plain)
    names = [position.name for position in sequence.stage_positions]
    for planned in sequence:
        if planned.action.type != "acquire_image":
            raise SourceError(
                f"expected a plan that takes images, found the action {planned.action.type}; pycromanager has no "
                "event for it: leave it out"
            )
        axes: dict[str, int | str] = {_AXES.get(key, key): index for key, index in planned.index.items()}
        event: Event = {"axes": axes}
        if "p" in planned.index and names[planned.index["p"]]:
            axes["position"] = str(names[planned.index["p"]])
        if planned.channel is not None:
            axes["channel"] = planned.channel.config
            event["config_group"] = [planned.channel.group, planned.channel.config]
        values = {
            "exposure": planned.exposure, "min_start_time": planned.min_start_time,
            "x": planned.x_pos, "y": planned.y_pos, "z": planned.z_pos,
        }  # fmt: skip
        event.update({key: float(value) for key, value in values.items() if value is not None})
        if planned.properties:
            event["properties"] = [list(triple) for triple in planned.properties]
        yield event


def _refuse_unknown(plain: Mapping[str, Any], known: list[str]) -> None:
    for key in plain:
        if key not in known:
            raise SourceError(
                f"unknown key {key!r} of a plan; known are {', '.join(known)}{did_you_mean(key, known, 0.4)}"
            )


def _check_axes(events: Iterable[Event], path: Path) -> None:
    """Each image has its own place: what comes back from the camera is told by it."""
    found: set[frozenset[Any]] = set()
    for event in events:
        key = axes_key(event["axes"])
        if not key:
            raise SourceError(f"expected axes of each event in {path}, found an event without; say axes = {{time = 0}}")
        if key in found:
            raise SourceError(f"expected axes that differ from event to event in {path}, found {event['axes']} twice")
        found.add(key)


def axes_key(axes: Mapping[str, Any]) -> frozenset[Any]:
    """Axes as a key: on their way through Micro-Manager numbers may have become another kind of number."""
    return frozenset((name, value if isinstance(value, str) else int(value)) for name, value in axes.items())
