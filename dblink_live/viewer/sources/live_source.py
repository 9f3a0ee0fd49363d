"""Pictures from the wire of a live run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dblink_live.bus import Address, ClientKeys, ImageMessage, Link, StatusMessage, Subscriber, Topic
from dblink_live.errors import WireError
from dblink_live.viewer.panels.picture import SLOTS, Picture, Slot, window_name
from dblink_live.viewer.sources.model_facts import DEFAULT_THRESHOLD, ModelFacts, model_facts
from dblink_live.viewer.sources.trust import TrustShares, trust_picture
from dblink_live.viewer.theme import Tone, grouped

PLANNED_SLACK_S = 2.0
"""A picture may be older by this than its lookahead and hop demand: computing and drawing take time, too."""
CAMERA_SILENCE_S = 5.0
"""Without a camera picture for so long, the age of the reconstruction says nothing of how late the line is."""


class LiveSource:
    """The newest pictures of a live run.

    Parameters
    ----------
    subscriber
        Connected to the run; the source closes it.
    clock_ns
        The host's clock that pictures of a run on this machine are stamped with.
    keys
        That the subscriber was made with, for another one.
    """

    def __init__(
        self,
        subscriber: Subscriber,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
        keys: ClientKeys | None = None,
    ) -> None:
        self._subscriber = subscriber
        self.keys = keys
        self._clock_ns = clock_ns
        self._camera_came_ns = 0
        self._model: ModelFacts | None = None
        self._publisher_id = ""
        self._newest: dict[Topic, ImageMessage] = {}
        self._fresh: set[Slot] = set()
        self.prefers_provisional = False
        """Show the newest window, whose picture has seen nothing after it, instead of the later, better one."""

    @property
    def address(self) -> str:
        return self._subscriber.address

    @property
    def link(self) -> Link:
        return self._subscriber.link

    @property
    def refusal(self) -> str:
        """Why the run turned this viewer away; empty when it did not."""
        return self._subscriber.refusal

    @property
    def status(self) -> StatusMessage | None:
        return self._subscriber.status()

    @property
    def display_skips(self) -> int:
        """Pictures that were published and never fetched here."""
        return sum(self._subscriber.skipped.values())

    @property
    def title(self) -> str:
        start = self._subscriber.start
        return start.source if start and start.source else self.address

    @property
    def run_uuid(self) -> str:
        """The run's identity, as soon as it has told; else empty."""
        start = self._subscriber.start
        return start.run_uuid if start else ""

    @property
    def run_folder(self) -> Path | None:
        """Where the run is stored, if that can be seen from here; another machine's paths mean nothing on this one."""
        start = self._subscriber.start
        if start is None or not start.run_folder or not Address.parse(self.address).is_loopback:
            return None
        folder = Path(start.run_folder)
        return folder if folder.is_dir() else None

    @property
    def end_message(self) -> str | None:
        """How the run ended, or None while it goes on."""
        end = self._subscriber.end
        if end is None:
            return None
        return end.message or ("The run has ended." if end.state == "ended" else "The run failed.")

    @property
    def has_failed(self) -> bool:
        end = self._subscriber.end
        return end is not None and end.state == "failed"

    @property
    def model(self) -> ModelFacts | None:
        """What the run's model says of itself; None where its checkpoint is not here."""
        status = self._subscriber.status()
        name = status.model if status is not None else ""
        if name and (self._model is None or self._model.name != name):
            self._model = model_facts(name)
        return self._model

    @property
    def window_s(self) -> float | None:
        """Duration of a window; None where unknown."""
        start, status = self._subscriber.start, self._subscriber.status()
        fps = (status.fps_asked if status else None) or (start.fps_asked if start else None)
        return start.window_frames / fps if start and start.window_frames and fps else None

    @property
    def behind_s(self) -> float | None:
        """Seconds that the newest reconstruction is older than planned; None where that cannot be told.

        Both stamps are the run's own, so that it holds over any distance; on the run's machine its clock tells, beside
        that, how old the newest camera picture is.
        """
        start, status, window_s = self._subscriber.start, self._subscriber.status(), self.window_s
        camera = self._newest.get("camera")
        shown = self._newest.get("live") or self._newest.get("provisional")
        if start is None or status is None or status.state != "running" or window_s is None:
            return None
        if camera is None or shown is None or camera.t_host_ns <= 0 or shown.t_host_ns <= 0:
            return None
        newest_ns = camera.t_host_ns
        is_flowing = self._clock_ns() - self._camera_came_ns < CAMERA_SILENCE_S * 1e9
        if is_flowing and self.run_folder is not None:
            newest_ns = max(newest_ns, self._clock_ns())
        planned_s = (start.lookahead + start.hop + 1) * window_s + PLANNED_SLACK_S
        if status.latency_budget_s is not None:
            planned_s = max(planned_s, status.latency_budget_s)
        return max(0.0, (newest_ns - shown.t_host_ns) / 1e9 - planned_s)

    @property
    def place(self) -> tuple[int, int] | None:
        """(segment, window) of the reconstruction that `current` shows; None before the first."""
        message = self._reconstruction()
        return None if message is None else (message.segment, message.number)

    def trust(self, molecules_nm: npt.NDArray[np.float64] | None) -> tuple[Picture, TrustShares] | None:
        """Return the trust picture of the newest reconstruction and its figures; None before the first.

        Parameters
        ----------
        molecules_nm
            Molecules of its window, from the run's folder; None where that cannot be seen.
        """
        picture, counts = self._picture("reconstruction"), self._newest.get("sum")
        if picture is None:
            return None
        # The sum reaches from a few windows after the picture's to some before it: what lies about it in time.
        near = None if counts is None else Picture(counts.image, counts.pitch_nm, counts.origin_nm)
        error = self._newest.get("error")
        wrong = None
        if error is not None and (error.segment, error.number) == self.place:
            wrong = Picture(error.image, error.pitch_nm, error.origin_nm)
        threshold = DEFAULT_THRESHOLD if self.model is None else self.model.threshold
        return trust_picture(picture, near, molecules_nm, threshold, wrong)

    def poll(self) -> None:
        """Take in what has arrived; never waits."""
        self._subscriber.poll()
        if self._subscriber.publisher_id != self._publisher_id:
            self._publisher_id = self._subscriber.publisher_id
            self._newest.clear()
        # The error map comes before its picture.
        error = self._subscriber.latest("error")
        if error is not None:
            self._newest["error"] = error
        for topic, slot in _SLOT_OF.items():
            message = self._subscriber.latest(topic)
            if message is not None:
                self._newest[topic] = message
                if topic == "camera":
                    self._camera_came_ns = self._clock_ns()
                self._fresh.add(slot)

    def take(self) -> dict[Slot, Picture]:
        """Pictures that are new since the last call."""
        fresh, self._fresh = self._fresh, set()
        return {slot: picture for slot in fresh if (picture := self._picture(slot)) is not None}

    def current(self) -> dict[Slot, Picture]:
        """All newest pictures, new or not."""
        self._fresh.clear()
        return {slot: picture for slot in SLOTS if (picture := self._picture(slot)) is not None}

    @property
    def live_region_nm(self) -> tuple[float, float, float, float] | None:
        """(top, left, height, width) of the part that is reconstructed now; None where that is the whole field."""
        status, start = self._subscriber.status(), self._subscriber.start
        if status is None or start is None or status.live_region is None or status.live_region_is_whole:
            return None
        if start.pixel_size_nm is None:
            return None
        x, y, width, height = (side * start.pixel_size_nm for side in status.live_region)
        return y, x, height, width

    @property
    def can_move_live_region(self) -> bool:
        """Whether the run takes requests for its live region."""
        status, start = self._subscriber.status(), self._subscriber.start
        return (
            self.link is Link.LIVE
            and status is not None
            and status.live_region is not None
            and start is not None
            and start.pixel_size_nm is not None
        )

    def ask_for_live_region(self, top_nm: float, left_nm: float, height_nm: float, width_nm: float) -> None:
        """Ask the run to reconstruct a part of the field live; it moves nothing on the camera.

        Raises
        ------
        WireError
            The run does not tell the size of its pixels.
        """
        start = self._subscriber.start
        if start is None or start.pixel_size_nm is None or start.camera_shape is None:
            raise WireError("expected a run that tells its pixel size, found none; its live region cannot be moved")
        field_height, field_width = start.camera_shape
        pixel = start.pixel_size_nm
        x, y = max(0, round(left_nm / pixel)), max(0, round(top_nm / pixel))
        width = max(1, min(round((left_nm + width_nm) / pixel), field_width) - x)
        height = max(1, min(round((top_nm + height_nm) / pixel), field_height) - y)
        self._subscriber.ask_for_region(f"{x},{y},{width},{height}")

    @property
    def live_region_answer(self) -> str | None:
        """Why the last request was refused: empty where it is followed, None while there is no answer."""
        return self._subscriber.region_refusal

    def close(self) -> None:
        self._subscriber.close()

    def _picture(self, slot: Slot) -> Picture | None:
        if slot == "trust":
            return None  # needs more than one message: `trust`
        message = self._reconstruction() if slot == "reconstruction" else self._newest.get(slot)
        if message is None:
            return None
        badge, tone = "", Tone.FAINT
        if message.topic == "provisional":
            badge, tone = "PROVISIONAL", Tone.WARNING
        elif message.topic == "live" and (lookahead := self._lookahead(message)):
            badge = f"LOOKAHEAD {lookahead}"
        # Frames keep the number that the camera's program gave them.
        is_frame = slot == "camera"
        caption = f"frame {grouped(message.number)}" if is_frame else window_name(message.segment, message.number)
        if slot == "sum" and "windows" in message.extra:
            caption = f"{message.extra['windows']:g} windows to {grouped(message.number + 1)}"
        return Picture(message.image, message.pitch_nm, message.origin_nm, caption, badge, tone)

    def _reconstruction(self) -> ImageMessage | None:
        live, provisional = self._newest.get("live"), self._newest.get("provisional")
        # Until the lookahead has passed for the first time, the provisional one is all there is.
        return provisional if (self.prefers_provisional and provisional) or live is None else live

    def _lookahead(self, message: ImageMessage) -> int:
        """What the picture has really seen, where it says so; else what the run was set to."""
        if "lookahead" in message.extra:
            return int(message.extra["lookahead"])
        start = self._subscriber.start
        return start.lookahead if start else 0


_SLOT_OF: dict[Topic, Slot] = {
    "camera": "camera",
    "sum": "sum",
    "live": "reconstruction",
    "provisional": "reconstruction",
}
