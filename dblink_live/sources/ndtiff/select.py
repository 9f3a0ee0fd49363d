"""Select the images of an NDTiff dataset that are frames of the run, and number them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dblink_live.sources.ndtiff.index import AxisValue
from dblink_live.sources.ndtiff.survey import TIME

_CHANNEL = "channel"
_POSITION = "position"

Axes = Mapping[str, AxisValue]


class FrameChooser:
    """Chooses one channel and one position, and numbers their images.

    Parameters
    ----------
    channel, position
        The value to choose, as text; None takes that of the first image that fits the rest.
    channel_names
        Names of channels that the axes only number.
    frame_axis
        The axis along which frames follow each other, usually time.
    is_settled
        Whether ``frame_axis`` is known. Otherwise the second image may show that it is another than time.

    Notes
    -----
    A number counts the chosen images from 0, and those that are known to be missing: the values that the frame axis
    skips. A value counts as skipped only where no image of that position has it, whatever its channel, so channels
    that take turns, or one that is taken at every n-th time point, do not look like losses. Of every axis but that,
    channel and position (z, tiles) the first image's value is chosen. Without a frame axis nothing can be skipped, and
    every image of the channel and position is taken in the order of the index.
    """

    def __init__(
        self,
        channel: str | None,
        position: str | None,
        channel_names: Sequence[str] = (),
        frame_axis: str = TIME,
        is_settled: bool = True,
    ) -> None:
        self._axis = frame_axis
        self._is_settled = is_settled
        self._wanted = {_CHANNEL: channel, _POSITION: position}
        self._channel_names = channel_names
        self._first: Axes | None = None
        """Axes of the first image that was chosen."""
        self._last_time: int | None = None
        self._n_skipped = 0
        """Time values that no image has, since the last chosen one."""
        self._found: dict[str, dict[str, None]] = {_CHANNEL: {}, _POSITION: {}}
        self.next_number = 0
        """Number of the next image to be chosen if nothing is missing before it."""

    def is_chosen(self, axes: Axes) -> bool:
        """Return whether the image at ``axes`` is a frame of the run."""
        if not all(self._is_wanted(axis, axes) for axis in self._wanted):
            return False
        if self._first is None:
            self._first = axes
        if self._axis not in axes:
            return self._agrees(axes, self._wanted)
        if not self._is_settled and self.next_number == 1:
            self._settle(axes)
        return self._agrees(axes, {*axes, *self._first} - {self._axis})

    def number_of(self, axes: Axes) -> int:
        """The number of the chosen image at ``axes``: above `next_number` by as many as are missing before it."""
        return self.next_number + self._n_skipped + self._n_skipped_before(axes)

    def take(self, axes: Axes, *, chosen: bool) -> None:
        """Go on behind the image at ``axes``."""
        for axis, values in self._found.items():
            if axis in axes:
                values[self._name(axis, axes[axis])] = None
        if chosen:
            self.next_number = self.number_of(axes) + 1
            self._n_skipped = 0
        elif self._is_at_position(axes):
            self._n_skipped += self._n_skipped_before(axes) if self.next_number else 0
        if (chosen or self._is_at_position(axes)) and isinstance(time := axes.get(self._axis), int):
            self._last_time = time

    def label(self, axis: str, axes: Axes) -> str | None:
        """Return the name of the image's channel or position; None where there is no such axis."""
        return self._name(axis, axes[axis]) if axis in axes else None

    def absent(self) -> str:
        """Describe the requested and the found channel or position, for a message."""
        asked = [f"{axis} {value!r}" for axis, value in self._wanted.items() if value is not None]
        found = [
            f"{axis} {_listed(values)}" if values else f"no {axis} axis"
            for axis, values in self._found.items()
            if self._wanted[axis] is not None
        ]
        return f"expected images of {' and '.join(asked)}, found {'; '.join(found)}"

    def is_listed(self) -> bool:
        """Return whether the chosen channel may come: False where the dataset lists its channels without it."""
        channel = self._wanted[_CHANNEL]
        if channel is None or not self._channel_names:
            return True
        return channel in self._channel_names or channel in map(str, range(len(self._channel_names)))

    def _settle(self, axes: Axes) -> None:
        """Take the axis along which the second image follows the first for that of frames, where it is no time or z."""
        first = self._first or {}
        differing = [name for name in {*axes, *first} if axes.get(name) != first.get(name)]
        self._is_settled = True
        if len(differing) == 1 and differing[0] not in (*self._wanted, self._axis, "z"):
            (axis,) = differing
            value, before = axes.get(axis), first.get(axis)
            if isinstance(value, int) and isinstance(before, int):
                self._axis, self._last_time = axis, before

    def _is_wanted(self, axis: str, axes: Axes) -> bool:
        wanted = self._wanted[axis]
        if wanted is None:
            return True
        return axis in axes and wanted in (str(axes[axis]), self._name(axis, axes[axis]))

    def _is_at_position(self, axes: Axes) -> bool:
        if self._first is None:
            return False
        return axes.get(_POSITION) == self._first.get(_POSITION)

    def _agrees(self, axes: Axes, names: Iterable[str]) -> bool:
        return self._first is not None and all(axes.get(name) == self._first.get(name) for name in names)

    def _n_skipped_before(self, axes: Axes) -> int:
        time = axes.get(self._axis)
        if not isinstance(time, int) or self._last_time is None:
            return 0
        return max(0, time - self._last_time - 1)

    def _name(self, axis: str, value: AxisValue) -> str:
        if axis == _CHANNEL and isinstance(value, int) and 0 <= value < len(self._channel_names):
            return self._channel_names[value]
        return str(value)


def _listed(values: Iterable[str], n_shown: int = 12) -> str:
    names = list(values)
    return ", ".join(names[:n_shown]) + (f" and {len(names) - n_shown} more" if len(names) > n_shown else "")
