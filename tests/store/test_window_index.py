"""The writer's index of its windows, against a dictionary."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dblink_live.store.window_index import WindowFrames, WindowIndex

KEYS = st.tuples(st.integers(0, 3), st.integers(0, 40))


@given(st.lists(st.tuples(KEYS, st.integers(0, 2**40), st.integers(0, 10)), max_size=60))
def test_it_knows_what_a_dictionary_knows(entries: list[tuple[tuple[int, int], int, int]]) -> None:
    index, known = WindowIndex(), {}
    for (segment, window), start, n_missing in {entry[0]: entry for entry in entries}.values():
        known[segment, window] = WindowFrames(start, start + 10, n_missing)
        index.add(segment, window, known[segment, window])
    for segment in range(5):
        for window in range(42):
            assert index.get(segment, window) == known.get((segment, window))
