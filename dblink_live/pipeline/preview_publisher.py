"""What the viewer is sent, and how often: the newest camera frame, the plain windowed sum, the reconstruction.

Everything here may be lost without harm: the viewer shows what is newest.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from dblink_live.analysis.drift.live_drift import LiveDrift
from dblink_live.bus import ImageMessage, Publisher, StatusMessage
from dblink_live.bus.messages import Topic
from dblink_live.latency import CAMERA_PICTURES_PER_S, DRIFT_EVERY_S, STATUS_PER_S
from dblink_live.types import Camera, FloatImage, Frame, Grid, LocalizationMap, Reconstruction

SETTLED_PICTURES = 10
"""The first pictures of a segment know too little for others to be compared with."""
SUM_WINDOWS = 25
"""The plain sum shows so many windows up to the newest: what conventional localization microscopy would show by now."""


class PreviewPublisher:
    """Publishes pictures and status at a bounded rate."""

    def __init__(self, publisher: Publisher, run_uuid: str, sum_windows: int = SUM_WINDOWS) -> None:
        self._publisher = publisher
        self._run_uuid = run_uuid
        self._sum_windows = sum_windows
        self._recent: deque[npt.NDArray[np.uint16]] = deque()
        self._sum: npt.NDArray[np.uint32] | None = None
        self._camera_due_s = 0.0
        self._status_due_s = 0.0
        self._n_live = 0
        self._drift: LiveDrift | None = None
        self._drift_due_s = 0.0
        self.drift_nm: tuple[float, float] | None = None
        """(y, x) by which the sample has moved in this segment; None while unknown."""

    def begin_segment(self) -> None:
        """Forget the sum: the next segment may have another geometry."""
        self._recent.clear()
        self._sum = None
        self._drift = self.drift_nm = None
        self._n_live = 0

    def camera(self, frame: Frame, camera: Camera) -> None:
        """Send a camera frame, unless one was sent a moment ago."""
        now = time.perf_counter()
        if now < self._camera_due_s:
            return
        self._camera_due_s = now + 1 / CAMERA_PICTURES_PER_S
        self._send("camera", frame.segment, frame.number, frame.data, frame.t_host_ns, camera.pixel_size_nm)

    def counts(self, map: LocalizationMap) -> None:
        """Move the trailing sum on by one window, without summing the others again, and send it."""
        if self._sum is None:
            self._sum = np.zeros(map.counts.shape, np.uint32)
        self._sum += map.counts
        self._recent.append(map.counts)
        if len(self._recent) > self._sum_windows:
            self._sum -= self._recent.popleft()
        picture = np.minimum(self._sum, np.iinfo(np.uint16).max).astype(np.uint16)
        self._send(
            "sum",
            map.segment,
            map.window,
            picture,
            map.t_last_frame_ns,
            map.grid.pitch_nm,
            map.grid.origin_nm,
            {"windows": len(self._recent)},
        )

    def reconstruction(self, reconstruction: Reconstruction, grid: Grid) -> None:
        """Send a picture of the network, provisional or not."""
        topic: Topic = "provisional" if reconstruction.stage == "provisional" else "live"
        last_frame_ns = time.perf_counter_ns() - round(reconstruction.latency_s * 1e9)
        sent: list[tuple[Topic, FloatImage]] = [(topic, reconstruction.image)]
        if topic == "live" and reconstruction.error is not None:
            sent.insert(0, ("error", reconstruction.error))
        for own_topic, image in sent:
            self._send(
                own_topic,
                reconstruction.segment,
                reconstruction.window,
                image,
                last_frame_ns,
                grid.pitch_nm,
                grid.origin_nm,
                {"lookahead": reconstruction.lookahead},
            )
        if topic == "live":
            self._follow_drift(reconstruction.image, grid)

    def _follow_drift(self, picture: FloatImage, grid: Grid) -> None:
        self._n_live += 1
        now = time.perf_counter()
        if self._n_live <= SETTLED_PICTURES or now < self._drift_due_s:
            return
        self._drift_due_s = now + DRIFT_EVERY_S
        if self._drift is None:
            self._drift = LiveDrift(grid.pitch_nm)
        self.drift_nm = self._drift.add(picture)

    def status_is_due(self) -> bool:
        """True at most a few times per second."""
        now = time.perf_counter()
        if now < self._status_due_s:
            return False
        self._status_due_s = now + 1 / STATUS_PER_S
        return True

    def status(self, status: StatusMessage) -> None:
        """Send the figures of the status bar."""
        self._publisher.send_status(status)

    def _send(
        self,
        topic: Topic,
        segment: int,
        number: int,
        image: npt.NDArray[np.generic],
        t_host_ns: int,
        pitch_nm: float,
        origin_nm: tuple[float, float] = (0.0, 0.0),
        extra: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self._publisher.send_image(
            ImageMessage(topic, self._run_uuid, segment, number, image, t_host_ns, pitch_nm, origin_nm, dict(extra))
        )
