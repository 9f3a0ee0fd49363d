"""Facts of a run's camera that its first frames contradict."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from dblink_live.camera.recording_facts import MIN_FRAMES, contradictions, estimate_camera, middle_of
from dblink_live.errors import CalibrationError
from dblink_live.types import Camera, Frame, FrameArray

N_FRAMES = 200
MAX_SIDE = 128
"""Of the middle of the field that is looked at: 6.5 MB of frames, and a third of a second of one core."""
_PATIENCE_S = 5.0


class CameraCheck:
    """Gathers the first frames of the first segment and compares them once, in a thread of its own.

    A camera that is uncalibrated or estimated is not compared: see `dblink_live.pipeline.camera_estimate`.
    """

    def __init__(self) -> None:
        self._camera: Camera | None = None
        self._frames: list[FrameArray] = []
        self._thread: threading.Thread | None = None
        self._found: list[str] = []

    def begin(self, camera: Camera) -> None:
        """Take note of the camera of a segment; only the first one is compared."""
        if self._camera is None:
            self._camera = camera
        else:
            self._look()

    def see(self, frames: Sequence[Frame]) -> None:
        """Take frames as they pass."""
        if self._thread is None and self._is_given:
            wanted = frames[: N_FRAMES - len(self._frames)]
            self._frames += [middle_of(frame.data, MAX_SIDE) for frame in wanted]
            if len(self._frames) >= N_FRAMES:
                self._look()

    def sentences(self) -> list[str]:
        """Return what has been found since the last call; empty while nothing is."""
        if self._thread is None or self._thread.is_alive():
            return []
        found, self._found = self._found, []
        return found

    def finish(self) -> list[str]:
        """Compare what there is, and return what is found in a few seconds."""
        self._look()
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)
        return self.sentences()

    @property
    def _is_given(self) -> bool:
        return self._camera is not None and self._camera.is_calibrated and not self._camera.is_estimated

    def _look(self) -> None:
        if self._thread is None and self._is_given and len(self._frames) >= MIN_FRAMES:
            self._thread = threading.Thread(target=self._compare, name="camera check", daemon=True)
            self._thread.start()

    def _compare(self) -> None:
        camera, frames = self._camera, self._frames
        self._frames = []
        if camera is None:
            return
        try:
            facts = estimate_camera(np.stack(frames), camera.em_gain)  # type: ignore[arg-type]
        except CalibrationError:
            return  # The frames do not tell.
        self._found = contradictions(facts, camera)
