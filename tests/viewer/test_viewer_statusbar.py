"""What the status line says, and in which colour."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtWidgets import QApplication, QLabel

from dblink_live.bus import StatusMessage
from dblink_live.viewer.bars.statusbar import StatusBar, StatusItem, status_items
from dblink_live.viewer.theme import Tone


def items(skips: int | None = 0, **status: Any) -> dict[str, StatusItem]:
    return {item.name: item for item in status_items(StatusMessage(**status), skips)}


def test_the_figures_are_there() -> None:
    shown = items(
        frame=12345,
        fps_asked=50.0,
        fps_held=49.94,
        latency_p50_s=0.512,
        latency_p99_s=0.71,
        windows_counts=1234,
        windows_live=1226,
        queue_depth=3,
        model="filaments",
        device="cpu",
    )
    assert {name: item.text for name, item in shown.items()} == {
        "frame": "frame 12\u2009345",
        "rate": "49.9 / 50 fps",
        "latency": "latency 0.51 s (p99 0.71 s)",
        "windows": "1\u2009226 of 1\u2009234 windows",
        "lost": "0 frames lost",
        "skips": "0 not shown",
        "queue": "3 waiting",
        "model": "filaments on cpu",
    }


def test_what_nobody_knows_is_left_out() -> None:
    assert {"rate", "latency", "density"}.isdisjoint(items())
    assert status_items(None, None) == []


@pytest.mark.parametrize(
    ("status", "text", "tone"),
    [
        pytest.param({}, "0 frames lost", Tone.NORMAL, id="none"),
        pytest.param({"lost": {"ring": 3, "camera": 4}}, "7 frames lost", Tone.ALARM, id="known"),
        pytest.param({"unknown_loss": True}, "an unknown number of frames lost", Tone.ALARM, id="unknown"),
        pytest.param(
            {"unknown_loss": True, "lost": {"ring": 2}}, "at least 2 frames lost", Tone.ALARM, id="partly known"
        ),
        pytest.param({"lost": {"deselected": 90}}, "0 frames lost", Tone.NORMAL, id="other channels are no loss"),
    ],
)
def test_lost_frames_are_red(status: dict[str, Any], text: str, tone: Tone) -> None:
    lost = items(**status)["lost"]
    assert (lost.text, lost.tone) == (text, tone)


def test_causes_are_told() -> None:
    assert items(lost={"ring": 3, "camera": 4, "reconstruct": 0})["lost"].tip == "ring: 3, camera: 4"


def test_display_skips_are_grey_however_many() -> None:
    shown = items(skips=99999)
    assert shown["skips"].tone is Tone.FAINT
    assert shown["lost"].tone is Tone.NORMAL


@pytest.mark.parametrize(
    ("held", "state", "tone"),
    [
        pytest.param(50.0, "running", Tone.NORMAL, id="held"),
        pytest.param(40.0, "running", Tone.WARNING, id="too slow"),
        pytest.param(0.0, "ended", Tone.NORMAL, id="over"),
    ],
)
def test_a_rate_that_is_not_held_is_amber(held: float, state: Any, tone: Tone) -> None:
    assert items(fps_asked=50.0, fps_held=held, state=state)["rate"].tone is tone


def test_a_preview_is_a_badge() -> None:
    assert "preview" not in items()
    assert items(preview=True)["preview"].text == "PREVIEW"
    assert items(preview=True)["preview"].is_badge


def test_an_estimated_camera_is_a_badge() -> None:
    badge = items(estimated=True)["uncalibrated"]
    assert (badge.text, badge.tone, badge.is_badge) == ("ESTIMATED", Tone.WARNING, True)


def test_uncalibrated_is_a_badge() -> None:
    assert "uncalibrated" not in items()
    badge = items(calibrated=False)["uncalibrated"]
    assert (badge.text, badge.tone, badge.is_badge) == ("UNCALIBRATED", Tone.WARNING, True)


@pytest.mark.parametrize(
    ("density", "tone"), [(0.2, Tone.GOOD), (0.1, Tone.GOOD), (0.05, Tone.WARNING), (0.9, Tone.WARNING)]
)
def test_the_light_turns_amber_outside_what_the_model_was_trained_on(density: float, tone: Tone) -> None:
    shown = items(density_per_um2_frame=density, envelope_density=(0.1, 0.4))
    assert shown["density"].tone is tone
    # Without an envelope there is nothing to compare with, and no light.
    assert "density" not in items(density_per_um2_frame=density)


def test_the_line_writes_what_it_is_told_and_takes_it_away_again(app: QApplication) -> None:
    bar = StatusBar()
    bar.resize(900, 40)
    bar.show()
    bar.show_items([StatusItem("lost", "7 frames lost", Tone.ALARM), StatusItem("model", "filaments", Tone.FAINT)])
    labels = {label.text(): label for label in bar.findChildren(QLabel)}
    assert labels["7 frames lost"].property("tone") == Tone.ALARM.value
    assert labels["filaments"].property("tone") == Tone.FAINT.value
    bar.show_items([StatusItem("model", "filaments", Tone.FAINT)])
    assert not labels["7 frames lost"].isVisible()
    assert labels["filaments"].isVisible()
    bar.close()
    bar.deleteLater()


def test_drift_is_named_with_what_it_absorbs() -> None:
    assert "drift" not in items()
    shown = items(drift_nm=(-30.0, 40.0))["drift"]
    assert shown.text == "drift or motion 50 nm"
    assert "sample itself" in shown.tip
