"""Which images of an acquisition are the frames of a run: known before the first is taken, for the plan is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dblink_live.errors import SourceError
from dblink_live.sources.micromanager.acquisition_events import Event, axes_key
from dblink_live.sources.micromanager.bridge import as_answered
from dblink_live.sources.micromanager.core_adapter import CameraCore

_FIXED = ("channel", "position")


@dataclass(frozen=True)
class AcquisitionPlan:
    """An acquisition, and the images of it that are reconstructed."""

    events: list[Event]
    """All that are to be taken, those of other channels and positions among them."""
    numbers: Mapping[frozenset[Any], int]
    """Frame numbers, from 0, of the images that were chosen, by their axes."""
    channel: str | None
    position: str | None
    exposure_ms: float | None
    """Of the first frame, where the plan says it."""

    @classmethod
    def of(
        cls,
        events: Sequence[Event],
        *,
        channel: str | None = None,
        position: str | None = None,
        n_skip: int = 0,
        n_frames: int | None = None,
    ) -> AcquisitionPlan:
        """Choose one channel and one position; of other axes but time the value of the first image that fits.

        Parameters
        ----------
        events
            All there are.
        channel, position
            What to choose, by name or by number in the order of the plan; None takes that of the first image.
        n_skip
            Frames that an interrupted run has: the plan is taken up behind them.
        n_frames
            At most so many frames.

        Raises
        ------
        SourceError
            The plan has no such channel or position, or nothing is left of it.
        """
        wanted = {"channel": _named(events, "channel", channel), "position": _named(events, "position", position)}
        first: Mapping[str, Any] = next((event["axes"] for event in events if _fits(event["axes"], wanted)), {})
        numbers: dict[frozenset[Any], int] = {}
        kept: list[Event] = []
        exposure_ms: float | None = None
        for event, is_chosen in _after(n_skip, events, wanted, _but_time(first)):
            kept.append(event)
            if is_chosen:
                exposure_ms = exposure_ms if numbers else event.get("exposure")
                numbers[axes_key(event["axes"])] = len(numbers)
            if n_frames is not None and len(numbers) == n_frames:
                break
        if not numbers:
            raise SourceError(f"expected images in the plan after the {n_skip} that are kept, found none")
        labels = {name: str(first[name]) if name in first else None for name in _FIXED}
        return cls(kept, numbers, labels["channel"], labels["position"], exposure_ms)

    def as_answered(self) -> AcquisitionPlan:
        """Return the plan for a Micro-Manager behind the bridge: images are known by the axes that come back over it.

        Raises
        ------
        SourceError
            Two of its images cannot be told apart then.
        """
        numbers: dict[frozenset[Any], int] = {}
        seen: set[frozenset[Any]] = set()
        for event in self.events:
            key = axes_key({name: _answered(value) for name, value in event["axes"].items()})
            if key in seen:
                raise SourceError(
                    f"expected names of channels and positions that differ in Latin-1, found {event['axes']} in the "
                    "plan, which over the bridge cannot be told from another; give names of western letters and digits"
                )
            seen.add(key)
            number = self.numbers.get(axes_key(event["axes"]))
            if number is not None:
                numbers[key] = number
        return replace(self, numbers=numbers)

    def check(self, core: CameraCore, is_remote: bool = False) -> None:
        """Compare what the plan asks for with what there is.

        Where the core is behind the bridge (``is_remote``), names outside Latin-1 are compared as it answers them.

        Micro-Manager's engine finds that out in the middle of an acquisition, and then says only "error executing
        event".

        Raises
        ------
        SourceError
            There is no such preset, or no such stage.
        """
        self._check_presets(core, is_remote)
        self._check_properties(core, is_remote)
        if any("x" in event or "y" in event for event in self.events) and core.stage_um is None:
            raise SourceError("expected an XY stage for the positions of the plan, found none in the configuration")
        if any("z" in event for event in self.events) and not core.focus_device:
            raise SourceError("expected a focus drive for the z of the plan, found none in the configuration")

    def _check_presets(self, core: CameraCore, is_remote: bool) -> None:
        for group, preset in {tuple(event["config_group"]) for event in self.events if "config_group" in event}:
            presets = core.presets(group)
            if preset not in presets and not (is_remote and as_answered(preset) in presets):
                found = f"the presets {', '.join(presets)}" if presets else "no such group"
                raise SourceError(
                    f"expected the preset {preset!r} of the group {group!r}, which the plan names, found {found} in "
                    "Micro-Manager's configuration"
                )

    def _check_properties(self, core: CameraCore, is_remote: bool) -> None:
        for device, name, value in {tuple(triple) for event in self.events for triple in event.get("properties", [])}:
            allowed = core.allowed_values(device, name)
            known = {str(value), as_answered(str(value))} if is_remote else {str(value)}
            if allowed is None or (allowed and not known & set(allowed)):
                found = f"the values {', '.join(allowed)}" if allowed else "no such property"
                raise SourceError(
                    f"expected the property {name!r} of {device!r} to take the plan's {value!r}, found {found}"
                )


def _fits(axes: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(value is None or axes.get(name) == value for name, value in wanted.items())


def _after(
    n_skip: int, events: Sequence[Event], wanted: Mapping[str, Any], fixed: object
) -> Iterator[tuple[Event, bool]]:
    """Events behind the ``n_skip``-th chosen one, each with whether it is chosen; ``fixed``: axes beside time."""
    n_chosen = 0
    for event in events:
        is_chosen = _fits(event["axes"], wanted) and _but_time(event["axes"]) == fixed
        if n_chosen >= n_skip:
            yield event, is_chosen
        n_chosen += is_chosen


def _answered(value: Any) -> Any:
    return as_answered(value) if isinstance(value, str) else value


def _but_time(axes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in axes.items() if name != "time"}


def _named(events: Sequence[Event], axis: str, asked: str | None) -> Any:
    """The value of an axis that a user's text names; None where nothing was asked."""
    if asked is None:
        return None
    values = list(dict.fromkeys(event["axes"][axis] for event in events if axis in event["axes"]))
    for value in values:
        if str(value) == asked:
            return value
    if asked.isdigit() and int(asked) < len(values):
        return values[int(asked)]
    found = f"{axis}s {', '.join(map(str, values))}" if values else f"no {axis} axis"
    raise SourceError(f"expected images of {axis} {asked!r} in the plan of the acquisition, found {found}")
