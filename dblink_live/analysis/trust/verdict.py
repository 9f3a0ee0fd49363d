"""A verdict on a run: green, amber or red, with the reasons and what to do about each.

It is decided from figures that are known while a run goes on or after it; what is not known (None) is not judged. Each
rule is one function of `_RULES`. The limits are conventions, stated beside their names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from dblink_live.analysis.trust.motion import MAX_STEP_NM, WindowAdvice

BEHIND_AMBER_S, BEHIND_RED_S = 2.0, 10.0
"""Seconds that the newest picture is older than planned."""
LEFT_OUT_AMBER, LEFT_OUT_RED = 0.3, 0.6
"""Share of the molecules that lie off everything that their picture draws."""
UNSUPPORTED_AMBER, UNSUPPORTED_RED = 0.3, 0.6
"""Share of the drawn pixels that have no molecules near them."""
WRONG_AMBER, WRONG_RED = 0.15, 0.35
"""Share of the drawn pixels that the network itself expects to be wrong."""
LOST_RED = 0.01
"""Share of the frames that are lost."""
DRIFT_AMBER_NM = 100.0
"""Beyond this the structure of a first and a last picture no longer lie on each other."""
DISK_AMBER_S, DISK_RED_S = 1800.0, 300.0
"""Time until the disk is full."""
SPEED_TOLERANCE = 2.0
"""Motion is measured within this factor: slower motion is not told from what the network was trained on."""
EMPTY_AFTER_FRAMES = 100
"""Frames without a molecule after which something is wrong."""


class Light(StrEnum):
    """How far a run can be trusted."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


@dataclass(frozen=True)
class Reason:
    """One thing that is wrong."""

    light: Light
    text: str
    """What is wrong, with its figure."""
    advice: str
    """What to do about it."""


@dataclass(frozen=True)
class Verdict:
    """The light of the gravest reason, and all reasons, gravest first."""

    light: Light
    reasons: tuple[Reason, ...] = ()

    @property
    def text(self) -> str:
        """The gravest reason and its advice in one line; "no problem found" without any."""
        if not self.reasons:
            return "no problem found"
        return f"{self.reasons[0].text}: {self.reasons[0].advice}"


@dataclass(frozen=True)
class Conditions:
    """What is known of a run; None is unknown."""

    is_running: bool = False
    frames_seen: int = 0
    frames_lost: int = 0
    """Without those that another channel or position takes."""
    has_unknown_loss: bool = False
    is_preview: bool = False
    """Frames are looked at in passing, and some are missed by nature."""
    is_calibrated: bool | None = None
    is_estimated: bool = False
    """Offset and gain were estimated from the frames."""
    behind_s: float | None = None
    """Seconds that the newest picture is older than planned."""
    density_per_um2_frame: float | None = None
    trained_density: tuple[float, float] | None = None
    speed_nm_per_window: float | None = None
    trained_speed: tuple[float, float] | None = None
    precision_nm: float | None = None
    """Median localization precision."""
    trained_precision: tuple[float, float] | None = None
    window_frames: int | None = None
    """Camera frames per window."""
    advice: WindowAdvice | None = None
    """How long a window should be, from the localizations alone."""
    left_out_share: float | None = None
    unsupported_share: float | None = None
    wrong_share: float | None = None
    """Share of the drawn pixels that the network expects to be wrong."""
    drift_nm: float | None = None
    disk_full_in_s: float | None = None
    """Time until the disk is full at the present rate."""
    degraded: str = ""
    """What the line leaves out to keep up; empty for nothing."""


def judge(conditions: Conditions) -> Verdict:
    """Return the verdict on a run.

    Examples
    --------
    >>> judge(Conditions(frames_seen=500, is_calibrated=True)).light.value
    'green'
    >>> judge(Conditions(is_running=True, behind_s=32.0)).text
    'the picture is 32 s late: choose a smaller region or a lower frame rate, or let refine make the pictures later'
    """
    found = [reason for rule in _RULES if (reason := rule(conditions)) is not None]
    grave_first = sorted(found, key=lambda reason: list(Light)[::-1].index(reason.light))
    return Verdict(grave_first[0].light if grave_first else Light.GREEN, tuple(grave_first))


def _no_molecules(found: Conditions) -> Reason | None:
    if found.frames_seen < EMPTY_AFTER_FRAMES or found.density_per_um2_frame is None:
        return None
    if found.density_per_um2_frame >= 1e-6:
        return None
    return Reason(
        Light.RED,
        f"no molecules found in {EMPTY_AFTER_FRAMES} frames",
        "check pixel size, camera offset and laser",
    )


def _left_out(found: Conditions) -> Reason | None:
    light = _above(found.left_out_share, LEFT_OUT_AMBER, LEFT_OUT_RED)
    if light is None or found.left_out_share is None:
        return None
    return Reason(
        light,
        f"{found.left_out_share:.0%} of the molecules are not in this picture",
        "probably another structure than the network was trained for; believe the plain sum",
    )


def _unsupported(found: Conditions) -> Reason | None:
    light = _above(found.unsupported_share, UNSUPPORTED_AMBER, UNSUPPORTED_RED)
    if light is None or found.unsupported_share is None:
        return None
    return Reason(
        light,
        f"{found.unsupported_share:.0%} of the drawn pixels have no molecules near them",
        "do not believe the tinted parts of the trust panel; more frames per window may help",
    )


def _wrong(found: Conditions) -> Reason | None:
    light = _above(found.wrong_share, WRONG_AMBER, WRONG_RED)
    if light is None or found.wrong_share is None:
        return None
    return Reason(
        light,
        f"the network expects {found.wrong_share:.0%} of its drawn pixels to be wrong",
        "do not believe the tinted parts of the trust panel",
    )


def _behind(found: Conditions) -> Reason | None:
    if not found.is_running or found.behind_s is None:
        return None
    light = _above(found.behind_s, BEHIND_AMBER_S, BEHIND_RED_S)
    if light is None:
        return None
    return Reason(
        light,
        f"the picture is {found.behind_s:.0f} s late",
        "choose a smaller region or a lower frame rate, or let refine make the pictures later",
    )


def _degraded(found: Conditions) -> Reason | None:
    if not found.degraded:
        return None
    return Reason(
        Light.AMBER,
        f"this machine is too slow for every live picture: {found.degraded}",
        "run refine afterwards for the pictures left out",
    )


def _disk(found: Conditions) -> Reason | None:
    if not found.is_running or found.disk_full_in_s is None or found.disk_full_in_s >= DISK_AMBER_S:
        return None
    minutes = max(1, round(found.disk_full_in_s / 60))
    return Reason(
        Light.RED if found.disk_full_in_s < DISK_RED_S else Light.AMBER,
        f"the disk is full in {minutes} min",
        "free some space or stop the run; what is stored is safe",
    )


def _lost(found: Conditions) -> Reason | None:
    if found.is_preview or not (found.frames_lost or found.has_unknown_loss):
        return None
    share = found.frames_lost / max(found.frames_seen + found.frames_lost, 1)
    number = f"{found.frames_lost:,} frames ({share:.1%})" if found.frames_lost else "an unknown number of frames"
    return Reason(
        Light.RED if share > LOST_RED else Light.AMBER,
        f"{number} were lost",
        "windows with lost frames hold fewer molecules; lower the frame rate or the region",
    )


def _density(found: Conditions) -> Reason | None:
    density, trained = found.density_per_um2_frame, found.trained_density
    if density is None or trained is None or density < 1e-6 or trained[0] <= density <= trained[1]:
        return None
    if density < trained[0]:
        return Reason(
            Light.AMBER,
            f"too sparse: {density:.2g} molecules per µm² and frame, trained on {trained[0]:.2g} or more",
            _longer(found),
        )
    return Reason(
        Light.AMBER,
        f"too dense: {density:.2g} molecules per µm² and frame, trained on {trained[1]:.2g} or fewer",
        "lower the activation light or use the localizer dense",
    )


def _longer(found: Conditions) -> str:
    advice = found.advice
    if advice is None or found.window_frames is None or not advice.suits or advice.frames <= found.window_frames:
        return "take longer windows or more activation light"
    return f"take windows of {advice.frames} frames or more activation light"


def _speed(found: Conditions) -> Reason | None:
    speed, trained = found.speed_nm_per_window, found.trained_speed
    if speed is None:
        return None
    limit = MAX_STEP_NM if trained is None else min(MAX_STEP_NM, SPEED_TOLERANCE * trained[1])
    if speed <= limit:
        return None
    advice = found.advice
    shorter = advice is not None and found.window_frames is not None and advice.frames < found.window_frames
    if advice is not None and not advice.suits:
        what = advice.reason
    else:
        what = f"shorten the windows to {advice.frames} frames" if shorter and advice else "shorten the windows"
    trained_on = "" if trained is None else f", trained up to {trained[1]:.0f}"
    return Reason(Light.AMBER, f"moves about {speed:.0f} nm per window{trained_on}", what)


def _precision(found: Conditions) -> Reason | None:
    precision, trained = found.precision_nm, found.trained_precision
    if precision is None or trained is None or precision <= trained[1]:
        return None
    return Reason(
        Light.AMBER,
        f"molecules are localized within {precision:.0f} nm, trained up to {trained[1]:.0f} nm",
        "raise laser power or exposure, focus, or reject dim molecules; the picture is blurred",
    )


def _drift(found: Conditions) -> Reason | None:
    if found.drift_nm is None or found.drift_nm <= DRIFT_AMBER_NM:
        return None
    return Reason(
        Light.AMBER,
        f"drift or motion of {found.drift_nm:.0f} nm since the start",
        "if the sample stands still, use the focus lock or correct the drift with analyze --undrift",
    )


def _uncalibrated(found: Conditions) -> Reason | None:
    if found.is_estimated:
        return Reason(
            Light.AMBER,
            "offset and gain of the camera are estimated from the frames",
            "measure them with dblink-live calibrate for exact photon numbers",
        )
    if found.is_calibrated is not False:
        return None
    return Reason(
        Light.AMBER,
        "the camera is not calibrated",
        "choose its preset or state offset and gain; photons and precision are relative until then",
    )


_RULES: tuple[Callable[[Conditions], Reason | None], ...] = (
    _no_molecules,
    _left_out,
    _unsupported,
    _wrong,
    _behind,
    _disk,
    _lost,
    _degraded,
    _speed,
    _density,
    _precision,
    _drift,
    _uncalibrated,
)
"""In the order in which reasons of one light are told."""


def _above(value: float | None, amber: float, red: float) -> Light | None:
    if value is None or value < amber:
        return None
    return Light.RED if value >= red else Light.AMBER
