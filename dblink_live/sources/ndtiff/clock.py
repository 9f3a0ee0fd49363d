"""Host times of frames that were taken elsewhere, from the times that their metadata state."""

from __future__ import annotations


class FrameClock:
    """Places the camera's times on this process's clock.

    The metadata keep the camera's cadence, but count from a start that is unknown here. The frame that arrived with
    the least delay fixes the offset between the two clocks, as in clock synchronization by one-way messages (Moon,
    Skelly & Towsley, "Estimation and removal of clock skew from network delay measurements", INFOCOM 1999). So a frame
    keeps its distance from the others, none lies later than its arrival, and times never run backwards. Frames that
    were there before us count from their arrival.

    Examples
    --------
    >>> clock = FrameClock()
    >>> [clock.host_ns(arrived, (taken, None)) for taken, arrived in ((10, 105), (20, 112), (30, 140))]
    [105, 112, 122]
    """

    def __init__(self) -> None:
        self._offsets_ns: dict[int, int] = {}
        """Least delay so far, for each of the camera's clocks."""
        self._last_ns = 0

    def host_ns(self, arrived_ns: int, camera_times_ns: tuple[int | None, ...]) -> int:
        """Return the host time of a frame that arrived at ``arrived_ns``, by the first of its clocks that is stated.

        Parameters
        ----------
        arrived_ns
            `time.perf_counter_ns` of the arrival.
        camera_times_ns
            Its time on each of the camera's clocks; None where a clock is silent.
        """
        host_ns = arrived_ns
        for clock, taken_ns in enumerate(camera_times_ns):
            if taken_ns is not None:
                delay_ns = arrived_ns - taken_ns
                self._offsets_ns[clock] = min(self._offsets_ns.get(clock, delay_ns), delay_ns)
                host_ns = taken_ns + self._offsets_ns[clock]
                break
        self._last_ns = max(self._last_ns, host_ns)
        return self._last_ns
