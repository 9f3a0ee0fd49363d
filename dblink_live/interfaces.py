"""The three protocols at which the line can be cut and something else plugged in."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from dblink_live.types import Frame, FrameArray, Gap, LocalizationMap, Localizations, Reconstruction, Segment

SourceEvent = Segment | Frame | Gap


@runtime_checkable
class FrameSource(Protocol):
    """Where camera frames come from.

    ``open`` returns the first segment; ``read`` then returns what has arrived since, in order: frames, gaps, and a
    `Segment` whenever a new one begins. An empty list means that nothing came within ``timeout_s``; once
    ``is_finished`` is true and ``read`` returns an empty list, nothing will come any more.
    """

    name: str
    is_live: bool
    """True when frames come at the camera's pace and lagging means skipping; False for files."""

    def open(self) -> Segment: ...

    def read(self, max_frames: int, timeout_s: float) -> list[SourceEvent]: ...

    @property
    def is_finished(self) -> bool: ...

    @property
    def n_frames_expected(self) -> int | None:
        """Total number of frames when it is known beforehand (for progress), else None."""
        ...

    def stop(self) -> None:
        """Ask the camera to stop; frames already taken can still be read."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Skipping(Protocol):
    """What a live source may offer beside: frames that wait too long are skipped, and reported as a `Gap`."""

    max_age_s: float | None
    """Once the oldest frame that waits is older, all but the newest are skipped; None keeps all."""

    @property
    def n_waiting(self) -> int:
        """Frames that wait to be read."""
        ...


@runtime_checkable
class Localizer(Protocol):
    """Finds molecules in camera frames. The answer must not depend on how frames were batched."""

    name: str

    def localize(self, frames: FrameArray, frame_numbers: npt.NDArray[np.int64]) -> Localizations:
        """Localize ``frames`` [N, H, W]; rows come out sorted by frame."""
        ...


@runtime_checkable
class Explaining(Protocol):
    """Optional part of a localizer: notes for the user about its results."""

    def notes(self) -> list[str]: ...


@runtime_checkable
class Reconstructor(Protocol):
    """Turns localization maps into pictures, in order, with bounded lookahead."""

    def push(self, map: LocalizationMap) -> list[Reconstruction]: ...

    def flush(self) -> list[Reconstruction]: ...
