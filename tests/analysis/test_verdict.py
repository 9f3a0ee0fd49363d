"""The verdict: every rule speaks with its figure, and the gravest reason decides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dblink_live.analysis.trust.verdict import Conditions, Light, judge

GOOD = Conditions(
    is_running=True,
    frames_seen=500,
    is_calibrated=True,
    behind_s=0.3,
    density_per_um2_frame=0.2,
    trained_density=(0.05, 1.0),
    speed_nm_per_window=10.0,
    trained_speed=(0.0, 60.0),
    left_out_share=0.05,
    unsupported_share=0.04,
    wrong_share=0.03,
    drift_nm=20.0,
    disk_full_in_s=7200.0,
)


def test_nothing_wrong_is_green_and_nothing_known_too() -> None:
    assert judge(GOOD).light is Light.GREEN
    assert judge(Conditions()).light is Light.GREEN


@pytest.mark.parametrize(
    ("change", "light", "says"),
    [
        pytest.param({"density_per_um2_frame": 0.0}, Light.RED, "no molecules found in 100 frames", id="empty"),
        pytest.param({"left_out_share": 0.75}, Light.RED, "75% of the molecules are not in this picture", id="sample"),
        pytest.param({"left_out_share": 0.35}, Light.AMBER, "35% of the molecules", id="some left out"),
        pytest.param({"unsupported_share": 0.4}, Light.AMBER, "40% of the drawn pixels", id="unsupported"),
        pytest.param({"wrong_share": 0.5}, Light.RED, "50% of its drawn pixels", id="wrong"),
        pytest.param({"behind_s": 4.0}, Light.AMBER, "4 s late", id="behind"),
        pytest.param({"behind_s": 32.0}, Light.RED, "32 s late", id="far behind"),
        pytest.param({"disk_full_in_s": 1000.0}, Light.AMBER, "full in 17 min", id="disk"),
        pytest.param({"disk_full_in_s": 100.0}, Light.RED, "full in 2 min", id="disk soon"),
        pytest.param({"frames_lost": 3}, Light.AMBER, "3 frames (0.6%)", id="few lost"),
        pytest.param({"frames_lost": 300}, Light.RED, "300 frames (37.5%)", id="many lost"),
        pytest.param({"has_unknown_loss": True}, Light.AMBER, "an unknown number of frames", id="unknown loss"),
        pytest.param({"degraded": "centre 96 x 96 only"}, Light.AMBER, "centre 96 x 96 only", id="degraded"),
        pytest.param({"density_per_um2_frame": 0.01}, Light.AMBER, "too sparse: 0.01", id="sparse"),
        pytest.param({"density_per_um2_frame": 3.0}, Light.AMBER, "too dense: 3", id="dense"),
        pytest.param({"speed_nm_per_window": 90.0}, Light.AMBER, "moves about 90 nm per window", id="fast"),
        pytest.param({"drift_nm": 1908.0}, Light.AMBER, "1908 nm", id="drift"),
        pytest.param({"is_calibrated": False}, Light.AMBER, "not calibrated", id="uncalibrated"),
        pytest.param({"is_estimated": True}, Light.AMBER, "are estimated from the frames", id="estimated camera"),
    ],
)
def test_each_fault_is_told_with_its_figure(change: dict[str, float], light: Light, says: str) -> None:
    verdict = judge(replace(GOOD, **change))  # type: ignore[arg-type]  # the table holds values of the right types
    assert verdict.light is light
    assert len(verdict.reasons) == 1
    assert says in verdict.text
    assert verdict.reasons[0].advice


def test_the_gravest_reason_comes_first() -> None:
    verdict = judge(replace(GOOD, is_calibrated=False, drift_nm=500.0, left_out_share=0.8))
    assert [reason.light for reason in verdict.reasons] == [Light.RED, Light.AMBER, Light.AMBER]
    assert verdict.light is Light.RED


def test_a_run_that_has_ended_is_not_late_and_fills_no_disk() -> None:
    assert judge(replace(GOOD, is_running=False, behind_s=90.0, disk_full_in_s=10.0)).light is Light.GREEN


def test_frames_that_a_preview_misses_are_no_loss() -> None:
    assert judge(replace(GOOD, is_preview=True, frames_lost=300)).light is Light.GREEN
