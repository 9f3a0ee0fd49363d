"""Pictures from the wire of a live run."""

from __future__ import annotations

from pathlib import Path

from dblink_live.bus import Address, ImageMessage, Link, StatusMessage, Subscriber, Topic
from dblink_live.viewer.picture import SLOTS, Picture, Slot
from dblink_live.viewer.theme import Tone, grouped


class LiveSource:
    """The newest pictures of a live run.

    Parameters
    ----------
    subscriber
        Connected to the run; the feed closes it.
    """

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
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

    def poll(self) -> None:
        """Take in what has arrived; never waits."""
        self._subscriber.poll()
        if self._subscriber.publisher_id != self._publisher_id:
            self._publisher_id = self._subscriber.publisher_id
            self._newest.clear()
        for topic, slot in _SLOT_OF.items():
            message = self._subscriber.latest(topic)
            if message is not None:
                self._newest[topic] = message
                self._fresh.add(slot)

    def take(self) -> dict[Slot, Picture]:
        """Pictures that are new since the last call."""
        fresh, self._fresh = self._fresh, set()
        return {slot: picture for slot in fresh if (picture := self._picture(slot)) is not None}

    def current(self) -> dict[Slot, Picture]:
        """All newest pictures, new or not."""
        self._fresh.clear()
        return {slot: picture for slot in SLOTS if (picture := self._picture(slot)) is not None}

    def close(self) -> None:
        self._subscriber.close()

    def _picture(self, slot: Slot) -> Picture | None:
        if slot == "reconstruction":
            live, provisional = self._newest.get("live"), self._newest.get("provisional")
            # Until the lookahead has passed for the first time, the provisional one is all there is.
            message = provisional if (self.prefers_provisional and provisional) or live is None else live
        else:
            message = self._newest.get(slot)
        if message is None:
            return None
        badge, tone = "", Tone.FAINT
        if message.topic == "provisional":
            badge, tone = "PROVISIONAL", Tone.WARNING
        elif message.topic == "live" and (lookahead := self._lookahead(message)):
            badge = f"LOOKAHEAD {lookahead}"
        caption = f"{'frame' if slot == 'camera' else 'window'} {grouped(message.number)}"
        if slot == "sum" and "windows" in message.extra:
            caption = f"{message.extra['windows']:g} windows to {grouped(message.number)}"
        return Picture(message.image, message.pitch_nm, message.origin_nm, caption, badge, tone)

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
