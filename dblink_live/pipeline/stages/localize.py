"""Localize: frames in, molecules out, with one localizer per segment."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from dblink_live.config import LocalizerConfig
from dblink_live.interfaces import Explaining, Localizer
from dblink_live.latency import BATCH_S, MAX_FRAMES_PER_READ
from dblink_live.pipeline.stages.items import (
    ForBin,
    ForLocalize,
    FrameBatch,
    LocalizedFrames,
    SegmentStart,
)
from dblink_live.pipeline.stages.stage import Stage
from dblink_live.registry import get_localizer_factory
from dblink_live.types import Camera, Frame, Gap

CAPACITY = 2
"""Batches that wait: the next is read while one is localized, and frames stay in the ring, where they are counted."""
DENSITY_MEMORY = 0.9
"""Weight of the past in the running average of the localization density, per batch of frames."""


class LocalizeStage:
    """Finds the molecules in frames.

    Parameters
    ----------
    settings
        Which localizer, and how it is set.
    forward
        Takes what comes out, in order.
    show
        Takes the newest camera frame of each batch; None where nothing shows it.
    """

    def __init__(
        self,
        settings: LocalizerConfig,
        forward: Callable[[ForBin], object],
        show: Callable[[Frame, Camera], object] | None = None,
    ) -> None:
        self.stage: Stage[ForLocalize] = Stage("localize", self.handle, capacity=CAPACITY)
        self.density_per_um2: float | None = None
        """Localizations per square micrometre and frame, lately."""
        self._settings = settings
        self._forward = forward
        self._show = show
        self._start: SegmentStart | None = None
        self._localizer: Localizer | None = None
        self.s_per_frame = 0.0
        """Seconds that a frame of the last batch took."""

    @property
    def n_frames_per_batch(self) -> int:
        """Frames of a camera that are best localized together."""
        return max(1, min(MAX_FRAMES_PER_READ, round(BATCH_S / max(self.s_per_frame, 1e-6))))

    def handle(self, item: ForLocalize) -> None:
        """Localize a batch, or pass on what is none."""
        if isinstance(item, FrameBatch):
            self._localize(item)
        elif isinstance(item, Gap):
            self._forward(item)
        elif isinstance(item, SegmentStart):
            self._start = item
            factory = get_localizer_factory(self._settings.name)
            self._localizer = factory(item.camera, **self._settings.to_options())
            self._forward(item)
        else:
            self._forward(replace(item, notes=_notes_of(self._localizer)))

    def _localize(self, batch: FrameBatch) -> None:
        if self._localizer is None or self._start is None:
            raise RuntimeError("expected a segment before its frames")
        numbers, times_ns = batch.numbers, batch.times_ns
        started = time.perf_counter()
        localizations = self._localizer.localize(batch.data, numbers)
        self.s_per_frame = (time.perf_counter() - started) / len(numbers)
        self._track_density(len(localizations), len(numbers), self._start)
        self._forward(LocalizedFrames(numbers, times_ns, localizations))
        self.stage.count(len(numbers), int(times_ns[-1]))
        if self._show is not None:
            self._show(batch.frames[-1], self._start.camera)

    def _track_density(self, n_localizations: int, n_frames: int, start: SegmentStart) -> None:
        height, width = start.segment.shape
        area_um2 = height * width * (start.camera.pixel_size_nm * 1e-3) ** 2
        density = n_localizations / (n_frames * area_um2)
        past = density if self.density_per_um2 is None else self.density_per_um2
        self.density_per_um2 = DENSITY_MEMORY * past + (1 - DENSITY_MEMORY) * density


def _notes_of(localizer: object) -> tuple[str, ...]:
    return tuple(localizer.notes()) if isinstance(localizer, Explaining) else ()
