"""The index of an NDTiff dataset, met at any moment of its being written."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ndtiff_follower import SIZE, check, follow

from benchmarks.ndtiff_writers import JavaStyleWriter, frame_of
from dblink_live.interfaces import SourceEvent
from dblink_live.sources.ndtiff.index import NotWholeError, parse_entry

N_FRAMES = 12
MANY_ZEROS = 5000


@pytest.fixture(scope="module")
def dataset() -> Iterator[Path]:
    """A finished dataset; its examples write its index anew."""
    with tempfile.TemporaryDirectory() as folder:
        writer = JavaStyleWriter(Path(folder) / "acq_1", {})
        for number in range(N_FRAMES):
            # Names of different lengths, so that entries do not all begin at multiples of one length.
            writer.put({"time": number, "channel": "red"}, frame_of(number, SIZE), {"Note": "x" * number})
        writer.finish()
        yield Path(folder) / "acq_1"


@pytest.fixture(scope="module")
def index(dataset: Path) -> bytes:
    return (dataset / "NDTiff.index").read_bytes()


def _stops(index: bytes) -> list[int]:
    """Where the entries of a whole index end."""
    stops = [0]
    while (entry := parse_entry(index, stops[-1])) is not None:
        stops.append(stops[-1] + entry.n_bytes)
    return stops[1:]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.floats(0, 1), min_size=1, max_size=6),
    n_zeros=st.sampled_from([0, 3, MANY_ZEROS]),
)
def test_an_index_cut_anywhere_gives_every_frame_once_and_whole(
    cuts: list[float], n_zeros: int, dataset: Path, index: bytes
) -> None:
    """The index grows from cut to cut; behind each there is nothing (Python), or zeros (Java)."""
    path = dataset / "NDTiff.index"
    stops = _stops(index)
    at = [stops[0], *sorted(stops[0] + round(cut * (len(index) - stops[0])) for cut in cuts), len(index)]
    source = follow(f"ndtiff:{dataset}")
    events: list[SourceEvent] = []
    try:
        path.write_bytes(index[: at[0]])
        source.open()
        for cut in at:
            path.write_bytes(index[:cut] + bytes(n_zeros if cut < len(index) else 0))
            events += source.read(100, 0.0)
            n_whole = sum(stop <= cut for stop in stops)
            # The last number of an entry is always 0, and the one before it small: zeros behind may complete an entry.
            assert n_whole <= len(events) <= n_whole + (n_zeros > 0)
    finally:
        source.close()
        path.write_bytes(index)
    check(events, range(N_FRAMES))


@given(st.binary(max_size=300))
def test_any_bytes_are_an_entry_or_not_whole_and_never_anything_else(content: bytes) -> None:
    try:
        entry = parse_entry(content)
    except NotWholeError:
        return
    assert entry is None or 0 < entry.n_bytes <= len(content)


@given(cut=st.integers(0, 200), n_zeros=st.integers(0, 50))
def test_the_beginning_of_an_entry_is_no_entry(cut: int, n_zeros: int, index: bytes) -> None:
    first = _stops(index)[0]
    # Its last 8 bytes are a metadata length below 2^16 and a 0; with zeros behind, it is whole 6 bytes earlier.
    content = index[: min(cut, first - 8)] + bytes(n_zeros)
    with contextlib.suppress(NotWholeError):
        assert parse_entry(content) is None
