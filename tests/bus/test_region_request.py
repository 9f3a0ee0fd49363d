"""A viewer asks for another live region: followed, or refused in one line."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from dblink_live.bus import EndMessage, Publisher, Subscriber
from dblink_live.errors import ConfigError

PATIENCE_S = 60.0  # only ever waited out by a failing test


def answer_to(publisher: Publisher, region: str) -> str:
    with Subscriber(publisher.address) as subscriber:
        assert subscriber.wait_until_live(PATIENCE_S)
        subscriber.ask_for_region(region)
        limit_s = time.perf_counter() + PATIENCE_S
        while subscriber.region_refusal is None and time.perf_counter() < limit_s:
            subscriber.poll()
            time.sleep(0.005)
        assert subscriber.region_refusal is not None
        return subscriber.region_refusal


def refuse(region: str) -> None:
    raise ConfigError(f"expected a live region within the field, found {region}")


@pytest.mark.parametrize(
    ("follow", "refusal"),
    [
        pytest.param(lambda region: None, "", id="followed"),
        pytest.param(refuse, "expected a live region within the field, found 0,0,64,64", id="refused"),
        pytest.param(None, "cannot be moved", id="nothing is reconstructed"),
    ],
)
def test_a_region_that_is_asked_for(follow: Callable[[str], None] | None, refusal: str) -> None:
    asked: list[str] = []
    with Publisher() as publisher:
        if follow is not None:
            publisher.on_region = lambda region: (asked.append(region), follow(region))[1]
        found = answer_to(publisher, "0,0,64,64")
    assert refusal in found and bool(found) == bool(refusal)
    assert "\n" not in found
    assert asked == ([] if follow is None else ["0,0,64,64"])


def test_a_run_that_is_over_moves_nothing() -> None:
    with Publisher() as publisher:
        publisher.on_region = lambda region: None
        publisher.end(EndMessage(run_uuid="1"))
        assert "cannot be moved" in answer_to(publisher, "centre")
