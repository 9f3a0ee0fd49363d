"""One line that says how the run is doing. What it says is decided by a pure function; the widget only writes it down.

Frames that the acquisition lost are red, and apart from pictures that this display skipped, which are grey: nothing was
lost with those.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QSize
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel

from dblink_live.analysis.trust.verdict import DRIFT_AMBER_NM
from dblink_live.bus import Link, StatusMessage
from dblink_live.viewer.conditions import advice_of
from dblink_live.viewer.panels.labels import label
from dblink_live.viewer.theme import Tone, grouped, set_look

Mode = Literal["connecting", "live", "paused", "stored", "playing", "lost", "ended", "failed"]

MODE_TONES: dict[Mode, Tone] = {
    "connecting": Tone.FAINT,
    "live": Tone.GOOD,
    "paused": Tone.WARNING,
    "stored": Tone.FAINT,
    "playing": Tone.GOOD,
    "lost": Tone.ALARM,
    "ended": Tone.FAINT,
    "failed": Tone.ALARM,
}
LINK_MODES: dict[Link, Mode] = {
    Link.CONNECTING: "connecting",
    Link.LIVE: "live",
    Link.LOST: "lost",
    Link.ENDED: "ended",
}
"""Of a live run that is followed."""
_SLOW = 0.95
"""Holding less than this share of the frame rate asked for is worth a warning."""


@dataclass(frozen=True)
class StatusItem:
    """One entry of the line."""

    name: str
    text: str
    tone: Tone = Tone.NORMAL
    tip: str = ""
    is_badge: bool = False


def status_items(status: StatusMessage | None, display_skips: int | None) -> list[StatusItem]:
    """Return the entries of the line, left to right; what is not known is left out rather than shown as zero.

    Parameters
    ----------
    status
        The run's newest word, or what it was at the window shown; None before any.
    display_skips
        Pictures that came and were not shown; None where pictures are not streamed.
    """
    items: list[StatusItem] = []
    if status is not None:
        items += [
            StatusItem("frame", f"frame {grouped(status.frame)}", tip="number of the newest camera frame"),
            *_rate(status),
            *_latency(status),
            StatusItem(
                "windows",
                f"{grouped(status.windows_live)} of {grouped(status.windows_counts)} windows",
                tip="reconstructions committed, of localization maps committed",
            ),
            _lost(status),
        ]
    if display_skips is not None:
        items.append(
            StatusItem(
                "skips",
                f"{grouped(display_skips)} not shown",
                Tone.FAINT,
                "pictures that this display skipped because newer ones had come; nothing was lost",
            )
        )
    if status is not None:
        if status.queue_depth:
            items.append(
                StatusItem("queue", f"{grouped(status.queue_depth)} waiting", Tone.FAINT, "frames in the queue")
            )
        items += _trust(status)
    return items


def _rate(status: StatusMessage) -> list[StatusItem]:
    if status.fps_held is None:
        return []
    if status.fps_asked is None:
        return [StatusItem("rate", f"{status.fps_held:.1f} fps", tip="camera frames per second")]
    is_slow = status.fps_held < _SLOW * status.fps_asked and status.state == "running"
    return [
        StatusItem(
            "rate",
            f"{status.fps_held:.1f} / {status.fps_asked:g} fps",
            Tone.WARNING if is_slow else Tone.NORMAL,
            "camera frames per second: held / asked for",
        )
    ]


def _latency(status: StatusMessage) -> list[StatusItem]:
    if status.latency_p50_s is None:
        return []
    text = f"latency {status.latency_p50_s:.2f} s"
    if status.latency_p99_s is not None:
        text += f" (p99 {status.latency_p99_s:.2f} s)"
    return [
        StatusItem(
            "latency",
            text,
            tip="from a window's last camera frame to its picture, lookahead included: median; p99: of 99 in 100",
        )
    ]


def _lost(status: StatusMessage) -> StatusItem:
    causes = {cause: count for cause, count in status.lost.items() if count and cause != "deselected"}
    total = sum(causes.values())
    tip = ", ".join(f"{cause}: {grouped(count)}" for cause, count in causes.items())
    if status.unknown_loss:
        known = f"at least {grouped(total)}" if total else "an unknown number of"
        return StatusItem("lost", f"{known} frames lost", Tone.ALARM, tip or "their number is unknown")
    if total:
        return StatusItem("lost", f"{grouped(total)} frames lost", Tone.ALARM, tip)
    return StatusItem("lost", "0 frames lost", tip="frames of the acquisition that did not arrive")


def _trust(status: StatusMessage) -> list[StatusItem]:
    items = []
    if status.preview:
        items.append(
            StatusItem(
                "preview",
                "PREVIEW",
                Tone.WARNING,
                "Micro-Manager acquires these frames and this run looks at them in passing: what it misses is counted",
                is_badge=True,
            )
        )
    if status.drift_nm is not None:
        y_nm, x_nm = status.drift_nm
        drift_nm = math.hypot(y_nm, x_nm)
        items.append(
            StatusItem(
                "drift",
                f"drift or motion {drift_nm:.0f} nm",
                Tone.WARNING if drift_nm > DRIFT_AMBER_NM else Tone.NORMAL,
                f"{y_nm:+.0f} nm down, {x_nm:+.0f} nm to the right since the segment's first pictures, by "
                "cross-correlation; where the sample itself moves, that is counted as drift",
            )
        )
    if status.density_per_um2_frame is not None and status.envelope_density is not None:
        low, high = status.envelope_density
        density = status.density_per_um2_frame
        is_inside = low <= density <= high
        items.append(
            StatusItem(
                "density",
                f"density {density:.2g} per µm² and frame"
                + ("" if is_inside else f", trained on {low:.2g} to {high:.2g}"),
                Tone.GOOD if is_inside else Tone.WARNING,
                f"localizations per µm² and frame; the model was trained on {low:.3g} to {high:.3g}",
            )
        )
    items += _window(status)
    if not status.calibrated:
        items.append(
            StatusItem(
                "uncalibrated",
                "UNCALIBRATED",
                Tone.WARNING,
                "offset and gain of the camera are not known: photon numbers and precisions are relative",
                is_badge=True,
            )
        )
    elif status.estimated:
        items.append(
            StatusItem(
                "uncalibrated",
                "ESTIMATED",
                Tone.WARNING,
                "offset and gain of the camera are estimated from the frames: measure them for exact photon numbers",
                is_badge=True,
            )
        )
    if status.model:
        device = f" on {status.device}" if status.device else ""
        items.append(StatusItem("model", f"{status.model}{device}", Tone.FAINT, "network and where it runs"))
    return items


def _window(status: StatusMessage) -> list[StatusItem]:
    advice = advice_of(status)
    if advice is None or status.window_frames is None:
        return []
    text = f"{status.window_frames} frames per window"
    if advice.frames != status.window_frames:
        text += f", {advice.frames} advised"
    speed = status.speed_nm_per_window
    moves = "motion is not known" if speed is None else f"structure moves about {speed:.0f} nm per window"
    return [
        StatusItem("advice", text, Tone.NORMAL if advice.suits else Tone.WARNING, f"{advice.reason}; now {moves}"),
    ]


class StatusBar(QFrame):
    """Writes `status_items` in a line, trust to the right; what does not fit is left out, the least important first."""

    _RIGHT = ("preview", "drift", "density", "advice", "uncalibrated", "model")
    _EXPENDABLE = ("skips", "model", "queue", "windows", "advice", "frame", "latency", "density", "drift", "rate")
    """Left out in this order where the line is too short."""

    def __init__(self) -> None:
        super().__init__()
        set_look(self, "surface")
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(12, 5, 12, 5)
        self._row.setSpacing(16)
        self.position = label("", "small", Tone.FAINT)
        self.position.setToolTip("the pointer in the field, from its upper left corner")
        self._row.addStretch(1)
        self._row.addWidget(self.position)
        self._labels: dict[str, QLabel] = {}
        self._shown: list[StatusItem] = []

    @property
    def shown(self) -> list[StatusItem]:
        """What is to be written now, whether it fits or not."""
        return list(self._shown)

    def minimumSizeHint(self) -> QSize:
        return QSize(200, super().minimumSizeHint().height())

    def show_items(self, items: list[StatusItem]) -> None:
        """Write ``items``; labels are made once and reused, so that the line does not flicker."""
        if items == self._shown:
            return
        self._shown = list(items)
        left = 0
        for item in items:
            made = self._label(item.name, left)
            if item.name not in self._RIGHT:
                left += 1
            made.setText(item.text)
            made.setToolTip(item.tip)
            set_look(made, "badge" if item.is_badge else "small", item.tone)
        self._fit()

    def show_position(self, position_nm: tuple[float, float] | None) -> None:
        """Write (y, x) of the pointer in micrometres, or nothing."""
        text = "" if position_nm is None else f"x {position_nm[1] / 1000:.2f} µm, y {position_nm[0] / 1000:.2f} µm"
        self.position.setText(text)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        names = [item.name for item in self._shown]
        room = self.width() - 24 - 180  # the pointer's position keeps its place
        widths = {name: self._labels[name].sizeHint().width() + self._row.spacing() for name in names}
        for name in self._EXPENDABLE:
            if sum(widths[kept] for kept in names) <= room:
                break
            if name in names:
                names.remove(name)
        for name, made in self._labels.items():
            made.setVisible(name in names)

    def _label(self, name: str, left: int) -> QLabel:
        if name not in self._labels:
            self._labels[name] = QLabel()
            if name in self._RIGHT:
                later = self._RIGHT[self._RIGHT.index(name) + 1 :]
                n_later = sum(other in self._labels for other in later)
                self._row.insertWidget(self._row.count() - n_later, self._labels[name])
            else:
                self._row.insertWidget(left, self._labels[name])
        return self._labels[name]
