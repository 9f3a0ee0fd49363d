"""The ledger balances, says what is unknown, and survives the journal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dblink_live.errors import StoreError
from dblink_live.ledger import Ledger, total_lost
from dblink_live.types import Gap, GapCause


def test_every_fate_is_counted_once() -> None:
    ledger = (
        Ledger(segment=0)
        .with_frames(85)
        .with_gap(Gap(0, 10, 5, GapCause.CAMERA))
        .with_gap(Gap(0, 40, 7, GapCause.RECONSTRUCT))
        .with_gap(Gap(0, 60, 3, GapCause.DESELECTED))
    )
    assert ledger.n_seen == 100
    assert ledger.n_in_flight == 85
    assert not ledger.balances()
    ledger = ledger.with_committed(80).with_tail(5)
    assert ledger.balances()
    assert ledger.n_seen == ledger.n_committed + ledger.n_lost + ledger.n_deselected + ledger.n_tail
    assert dict(ledger.lost) == {GapCause.CAMERA: 5, GapCause.RECONSTRUCT: 7}


def test_an_unknown_loss_is_said_and_never_counted_as_zero_frames() -> None:
    ledger = Ledger(segment=0).with_frames(10).with_gap(Gap(0, 9, None, GapCause.CAMERA)).with_tail(10)
    assert ledger.n_unknown == 1
    assert ledger.n_lost == 0
    assert ledger.balances()
    assert ledger.to_plain()["unknown_losses"] == 1


def test_what_a_crash_left_in_flight_is_lost_in_it() -> None:
    ledger = Ledger(segment=2).with_frames(30).with_committed(20).with_crash()
    assert ledger.balances()
    assert ledger.n_seen == 30
    assert ledger.to_plain()["lost"] == {"lost_in_crash": 10}


def test_committing_more_than_arrived_does_not_balance() -> None:
    assert not Ledger(segment=0).with_frames(10).with_committed(11).balances()


@given(
    arrived=st.integers(0, 10_000),
    gaps=st.lists(st.tuples(st.one_of(st.none(), st.integers(1, 500)), st.sampled_from(list(GapCause))), max_size=20),
    share=st.floats(0, 1),
)
def test_plain_values_return_the_same_ledger(
    arrived: int, gaps: list[tuple[int | None, GapCause]], share: float
) -> None:
    ledger = Ledger(segment=3).with_frames(arrived)
    for count, cause in gaps:
        ledger = ledger.with_gap(Gap(3, 0, count, cause))
    ledger = ledger.with_committed(int(arrived * share))
    assert Ledger.from_plain(json.loads(json.dumps(ledger.to_plain()))) == ledger


def test_a_gap_of_another_segment_is_refused() -> None:
    with pytest.raises(StoreError, match="segment 0"):
        Ledger(segment=0).with_gap(Gap(1, 0, 1, GapCause.CAMERA))


def test_a_stored_ledger_that_contradicts_itself_is_refused() -> None:
    plain = Ledger(segment=0).with_frames(10).to_plain()
    with pytest.raises(StoreError, match="contradicts"):
        Ledger.from_plain({**plain, "in_flight": 4})
    with pytest.raises(StoreError, match="expected a ledger"):
        Ledger.from_plain({"segment": 0})


def test_totals_run_over_segments() -> None:
    first = Ledger(segment=0).with_gap(Gap(0, 0, 2, GapCause.CAMERA))
    second = Ledger(segment=1).with_gap(Gap(1, 0, 3, GapCause.CAMERA)).with_gap(Gap(1, 9, 1, GapCause.RING))
    assert total_lost([first, second]) == {"camera": 5, "ring": 1}
