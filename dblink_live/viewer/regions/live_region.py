"""The live region of a run: drawn where it is, and moved on request."""

from __future__ import annotations

from dblink_live.viewer.regions.measure import Rectangle
from dblink_live.viewer.sources.live_source import LiveSource


class LiveRegionRequest:
    """Asks a run to reconstruct a part of the field live, and waits for what becomes of it."""

    def __init__(self) -> None:
        self._is_awaited = False

    def ask(self, live: LiveSource, region: Rectangle) -> None:
        """Ask for ``region``.

        Raises
        ------
        WireError
            The run does not tell the size of its pixels.
        """
        live.ask_for_live_region(region.top_nm, region.left_nm, region.height_nm, region.width_nm)
        self._is_awaited = True

    def answer(self, live: LiveSource) -> str | None:
        """Return the answer, once: empty where it is followed, else why not; None while there is none."""
        answer = live.live_region_answer
        if not self._is_awaited or answer is None:
            return None
        self._is_awaited = False
        return answer
