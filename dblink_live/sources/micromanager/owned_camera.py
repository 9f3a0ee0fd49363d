"""The feed of a camera that we own: it is set as asked, and its buffer is popped without a loss."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from dblink_live.errors import SourceError
from dblink_live.sources.frame_producer import FrameSink, HostClock, ProducerPlan, StopSignal
from dblink_live.sources.micromanager.core_adapter import CameraCore
from dblink_live.sources.micromanager.sequence_reader import read_sequence
from dblink_live.sources.segments import buffer_mb, frame_bytes_of, saturation_of, segment_of
from dblink_live.types import CameraRecipe


class OwnedCamera:
    """A `FrameProducer` that owns its core.

    Parameters
    ----------
    core
        Nobody else takes frames from it.
    recipe
        How its camera is to be set, and how many frames are wanted.
    """

    def __init__(self, core: CameraCore, recipe: CameraRecipe) -> None:
        self._core = core
        self._recipe = recipe
        self._clock = HostClock.now()
        self._saturation = 0

    def prepare(self, clock: HostClock) -> ProducerPlan:
        """Set the camera, and dimension the core's buffer.

        Raises
        ------
        SourceError
            The camera refuses a setting, or delivers colour or more than 16 bits.
        """
        core, recipe = self._core, self._recipe
        self._clock = clock
        if recipe.binning is not None:
            core.set_binning(recipe.binning)
        if recipe.roi is not None:
            core.set_roi(*recipe.roi)
        exposure_ms = _exposure_ms(recipe)
        if exposure_ms is not None:
            core.set_exposure_ms(exposure_ms)
        segment = segment_of(core, clock, interval_ms=1000.0 / recipe.fps if recipe.fps else None)
        frame_bytes = frame_bytes_of(segment)
        fps = 1000.0 / max(segment.frame_interval_ms or 0.0, 0.5)
        core.set_buffer_mb(recipe.buffer_mb or buffer_mb(frame_bytes, fps))
        self._saturation = saturation_of(segment)
        return ProducerPlan(segment, frame_bytes, fps)

    def run(self, sink: FrameSink, order: Callable[[], StopSignal]) -> None:
        """Run one sequence; see `read_sequence`."""
        read_sequence(
            self._core,
            sink,
            segment=0,
            clock=self._clock,
            n_frames=self._recipe.n_frames,
            saturation=self._saturation,
            order=order,
        )

    def close(self) -> None:
        # The frames are safe by now, and a driver that fails to shut down changes nothing about them.
        with suppress(Exception):
            self._core.unload()


def _exposure_ms(recipe: CameraRecipe) -> float | None:
    if recipe.fps is None:
        return recipe.exposure_ms
    interval_ms = 1000.0 / recipe.fps
    if recipe.exposure_ms is None:
        return interval_ms
    if recipe.exposure_ms > interval_ms * (1 + 1e-6):
        raise SourceError(
            f"expected an exposure of at most {interval_ms:g} ms at {recipe.fps:g} frames per second, "
            f"found exposure_ms={recipe.exposure_ms:g}; lower one of the two"
        )
    return recipe.exposure_ms
