"""Every delay on the way of a frame, and every rule about being late, in the order in which a frame meets them.

A picture is as old as the sum of what is listed here, plus the computing. Time limits of single answers (a device that
initializes, a question over the network) are not delays of frames and stay where the question is asked.
"""

from __future__ import annotations

from enum import StrEnum

# --- Camera to shared ring -------------------------------------------------------------------------------------------

CORE_BUFFER_S = 3.0
"""Frames that Micro-Manager's circular buffer holds: it bridges a camera process that is held up."""
PREVIEW_MAX_BEHIND_S = 0.5
"""A preview of another program's frames that is further behind jumps to the newest one: one long gap harms fewer
windows than many short ones."""
RING_S = 6.0
"""Frames that the shared ring holds: it bridges a reader that is held up."""
MIN_RING_SLOTS = 64
RING_HEAD_START = 4
"""A reader or recorder that the ring has overtaken gives up one part in so many of the ring at once: with no head start
the losses would be scattered over many windows."""

# --- Files that are followed while another program writes them -------------------------------------------------------

FOLLOW_POLL_S = 0.001
"""Between looks at an index to which images are being added."""
FOLLOW_QUIET_POLL_S = 0.01
"""The same, once none has come for a second."""
FOLLOW_PAUSE_S = 0.1
"""A dataset that has not grown for so long is looked at for its end."""

# --- Ring or file to localizer ---------------------------------------------------------------------------------------

READ_TIMEOUT_S = 0.05
"""A read that finds nothing returns after so long."""
GATHER_S = 0.04
"""A live source is left alone for so long between reads, for frames to gather: a few frames together cost the localizer
little more than one alone."""
MAX_FRAMES_PER_READ = 64
BATCH_S = 0.2
"""Frames of a camera that are localized together take about so long at most."""

CATCHES_UP_BELOW = 0.5
"""A localizer that takes a smaller share of the frame interval catches up with what has gathered, and nothing is
skipped."""
LOCALIZER_SHARE = 0.5
"""Of the slack of the latency budget: frames that have waited longer for a localizer that does not are skipped..."""
LOCALIZER_HEAD_START = 4
"""...and counted, down to one part in so many of that, so that losses come in few windows."""

# --- Store and viewer ------------------------------------------------------------------------------------------------

MAX_COMMITS_IN_FLIGHT = 8
"""Windows that may wait for the disk before the next is held up: it bounds memory and what a crash can lose."""
CAMERA_PICTURES_PER_S = 15.0
STATUS_PER_S = 4.0
DRIFT_EVERY_S = 2.0
"""The Fourier transforms of a large picture take a tenth of a second."""
VIEWER_TICK_MS = 33
"""Between two looks of the viewer at what has arrived."""

# --- Silence: how long nothing may be heard of a partner before it counts as gone ------------------------------------

BEAT_S = 0.5
"""Between two signs of life in the ring."""
PAUSE_PROVES_NOTHING_S = 1.0
"""After a pause this long a stale heartbeat proves nothing: the machine slept, or both processes were suspended."""
WRITER_TIMEOUT_S = 30.0
"""Without a heartbeat for so long, a camera process counts as hung."""
READER_TIMEOUT_S = 20.0
"""Without a heartbeat of its reader for so long, a camera process stops the camera."""
RECORDER_TIMEOUT_S = 5.0
"""Without a heartbeat for so long, a recorder holds no frames back any more."""
CAMERA_SILENCE_S = 10.0
"""Without a frame for so long, a camera is reported as silent..."""
CAMERA_SILENT_INTERVALS = 5
"""...but not before so many of its frames should have come."""
PUBLISHER_BEAT_S = 1.0
VIEWER_SILENCE_S = 3.0
"""Without a message for so long, a viewer reports its run as lost."""

# --- The budget, and what is given up to keep it ---------------------------------------------------------------------

COMPUTING_ALLOWANCE_S = 2.0
"""What the default budget allows for computing, beyond the windows that a picture waits for anyway."""


class Step(StrEnum):
    """What a live run that falls behind gives up, in this order. Every step is taken back once there is time again.

    Counts, localizations and the plain sum are complete at every step; `refine` makes the pictures that are left out.
    """

    WHOLE = "whole"
    """Nothing is given up."""
    NO_PROVISIONAL = "no_provisional"
    """No provisional pictures."""
    ONE_PER_HOP = "one_per_hop"
    """Of the windows that share a reverse pass only the newest gets its picture."""
    LARGER_HOP = "larger_hop"
    """As before, and twice as many windows share a reverse pass."""
    SMALLER_REGION = "smaller_region"
    """As before, in a part of the live region with half its sides; taken again as long as it does not hold."""
    JUMP = "jump"
    """The state is advanced forward-only to the newest hop whose lookahead has come; the windows before it get no
    picture. Where not even that keeps up at the last step, the stream begins anew with the newest windows."""


_IN_WORDS = {
    Step.NO_PROVISIONAL: "no provisional pictures",
    Step.ONE_PER_HOP: "one picture for several windows",
    Step.LARGER_HOP: "one picture for many windows",
    Step.SMALLER_REGION: "a smaller live region",
    Step.JUMP: "windows without a live picture",
}


def in_words(step: str) -> str:
    """Return what a `Step` gives up, for the user; empty where it gives up nothing, or is unknown.

    Examples
    --------
    >>> in_words("one_per_hop")
    'one picture for several windows'
    """
    return {known.value: words for known, words in _IN_WORDS.items()}.get(step, "")


def waiting_s(window_s: float, lookahead: int, hop: int) -> float:
    """Seconds that a picture waits for later windows, whatever the machine: at most ``lookahead + hop`` windows."""
    return (lookahead + hop) * window_s


def default_budget_s(window_s: float, lookahead: int, hop: int) -> float:
    """The latency budget where none is set.

    Examples
    --------
    >>> round(default_budget_s(window_s=0.1, lookahead=8, hop=4), 3)
    3.2
    """
    return waiting_s(window_s, lookahead, hop) + COMPUTING_ALLOWANCE_S


def max_missing_windows(max_gap_windows: int, lookahead: int, hop: int, *, is_own_and_unrecorded: bool) -> int:
    """Windows that a gap may span without ending the segment.

    A picture of a window without frames costs as much as any. A run that is too slow makes no more of them than one
    picture looks at, unless a recording will fill them: it would fall behind further.
    """
    return min(max_gap_windows, lookahead + hop) if is_own_and_unrecorded else max_gap_windows
