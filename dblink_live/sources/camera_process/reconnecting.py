"""A camera of another program, which may be closed and started again while a run goes on."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from dblink_live.errors import DblinkError, SourceError, SourceLostError
from dblink_live.interfaces import FrameSource, SourceEvent
from dblink_live.sources.camera_process.client import CameraProcess
from dblink_live.sources.camera_process.ring import RingCounters
from dblink_live.types import CameraRecipe, Frame, Segment

_LOG = logging.getLogger(__name__)
RETRY_S = 2.0
"""Between attempts to find the other side again."""
_POLL_S = 0.005


def launch_camera(recipe: CameraRecipe) -> FrameSource:
    """The source that a recipe asks for: opened once, or again whenever the other side comes back."""
    return ReconnectingCamera(recipe) if recipe.reopens else CameraProcess(recipe)


class ReconnectingCamera:
    """Frames of a camera process that is started anew, with a ring of its own, each time that it has lost its camera.

    Each connection begins a segment. A stop while disconnected ends the source.

    Parameters
    ----------
    recipe
        Which camera.
    make
        Makes the source of one time.
    """

    is_live = True

    def __init__(self, recipe: CameraRecipe, make: Callable[[CameraRecipe], CameraProcess] = CameraProcess) -> None:
        self.name = recipe.name
        self._recipe = recipe
        self._make = make
        self._camera: CameraProcess | None = None
        self._finder: threading.Thread | None = None
        self._found: tuple[CameraProcess, Segment] | None = None
        self._is_stopped = threading.Event()
        self._n_delivered = 0
        self.lost_because = ""
        """Why the other side was lost last; empty while it is there."""
        self.max_age_s: float | None = None
        """Once the oldest frame in the ring is older, all but the newest are skipped; None keeps all."""

    def open(self) -> Segment:
        """Find the other side for the first time, within `CameraRecipe.wait_s`.

        Raises
        ------
        DblinkError
            It is not there.
        """
        if self._camera is not None:
            raise SourceError(f"{self.name} was opened already")
        deadline_s: float | None = None
        while True:
            camera = self._make(self._recipe)
            try:
                segment = camera.open()
            except SourceError as error:
                camera.close()
                if deadline_s is None and self._recipe.wait_s is not None:
                    _LOG.warning("waiting %g s at most: %s", self._recipe.wait_s, error)
                    deadline_s = time.monotonic() + self._recipe.wait_s
                if deadline_s is None or time.monotonic() > deadline_s:
                    raise
                time.sleep(RETRY_S)
                continue
            self._camera = camera
            return segment

    def read(self, max_frames: int, timeout_s: float) -> list[SourceEvent]:
        """Return what has arrived since the last call; nothing while disconnected.

        Raises
        ------
        SourceError
            It failed for good.
        """
        if self._n_left == 0:
            self.stop()
            return []
        if self._camera is None:
            return self._take_up(timeout_s)
        wanted = max_frames if self._n_left is None else min(max_frames, self._n_left)
        try:
            self._camera.max_age_s = self.max_age_s
            events = self._camera.read(wanted, timeout_s)
        except SourceLostError as error:
            self.lost_because = str(error)
            self._camera.close()
            self._camera = None
            self._look_for_it()
            return []
        self._n_delivered += sum(isinstance(event, Frame) for event in events)
        return events

    @property
    def is_finished(self) -> bool:
        if self._n_left == 0:
            return True
        return self._is_stopped.is_set() if self._camera is None else self._camera.is_finished

    @property
    def n_frames_expected(self) -> int | None:
        return self._recipe.n_frames

    @property
    def counters(self) -> RingCounters | None:
        """Those of the present time; None while the other side is away."""
        return self._camera.counters if self._camera is not None else None

    @property
    def n_waiting(self) -> int:
        """Frames in the ring that were not read yet."""
        return 0 if self._camera is None else self._camera.n_waiting

    @property
    def pid(self) -> int | None:
        """Process id of the camera process, while there is one."""
        return self._camera.pid if self._camera is not None else None

    def stop(self) -> None:
        """Take no more frames, and look for the other side no more."""
        self._is_stopped.set()
        if self._camera is not None:
            self._camera.stop()

    def close(self) -> None:
        """End the process."""
        self.stop()
        if self._finder is not None:
            self._finder.join()
        for camera in (self._camera, self._found[0] if self._found else None):
            if camera is not None:
                camera.close()
        self._found = None

    @property
    def _n_left(self) -> int | None:
        return None if self._recipe.n_frames is None else self._recipe.n_frames - self._n_delivered

    def _look_for_it(self) -> None:
        """Runs in the background: readers must not wait."""
        limit = "" if self._recipe.wait_s is None else f", {self._recipe.wait_s:g} s at most"
        _LOG.warning("%s: waiting for it to come back%s; Ctrl-C ends the run", self.lost_because, limit)
        self._finder = threading.Thread(target=self._find, name="find-camera", daemon=True)
        self._finder.start()

    def _find(self) -> None:
        wait_s = self._recipe.wait_s
        deadline_s = math.inf if wait_s is None else time.monotonic() + wait_s
        while not self._is_stopped.is_set():
            if time.monotonic() > deadline_s:
                _LOG.warning("%s did not come back within %g s: the run ends", self.name, wait_s)
                self._is_stopped.set()
                return
            camera = self._make(self._recipe)
            try:
                segment = camera.open()
            except DblinkError:
                camera.close()
                self._is_stopped.wait(RETRY_S)
                continue
            self._found = (camera, segment)
            return

    def _take_up(self, timeout_s: float) -> list[SourceEvent]:
        deadline = time.perf_counter() + timeout_s
        while self._found is None:
            if self._is_stopped.is_set() or time.perf_counter() >= deadline:
                return []
            time.sleep(_POLL_S)
        (self._camera, segment), self._found = self._found, None
        self.lost_because = ""
        if self._is_stopped.is_set():
            self._camera.stop()
        return [replace(segment, reason="restart")]
