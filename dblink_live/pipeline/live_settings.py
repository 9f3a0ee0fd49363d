"""Checks the settings of what is shown live against the source, before anything starts."""

from __future__ import annotations

from dblink_live.config import RunConfig
from dblink_live.errors import ConfigError
from dblink_live.latency import waiting_s
from dblink_live.pipeline.overload.live_region import RegionRequest
from dblink_live.types import Segment


def check_live_settings(config: RunConfig, segment: Segment) -> RegionRequest:
    """Return the live region that is asked for.

    Raises
    ------
    ConfigError
        The region is none, or lies outside the field; or the latency budget ends before a picture has seen the windows
        that it waits for.
    """
    request = RegionRequest.parse(config.live.region)
    request.check(segment.shape)
    budget_s, interval_ms = config.live.latency_s, segment.frame_interval_ms or segment.exposure_ms
    if budget_s is not None and interval_ms is not None:
        lookahead, hop = config.reconstruct.lookahead, config.reconstruct.hop
        needed_s = waiting_s(interval_ms * 1e-3 * config.windows.frames, lookahead, hop)
        if budget_s <= needed_s:
            raise ConfigError(
                f"expected live.latency_s above {needed_s:.3g} s, for which a picture waits for {lookahead} + {hop} "
                f"windows, found {budget_s:g} s; allow for more, or set reconstruct.lookahead, reconstruct.hop or "
                "windows.frames lower"
            )
    return request
