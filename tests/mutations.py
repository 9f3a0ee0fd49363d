"""Files that hypothesis damages or changes: a few bytes replaced, inserted or deleted, or everything cut off behind."""

from __future__ import annotations

import os
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

N_EXAMPLES = int(os.environ.get("DBLINK_MUTATIONS", "40"))
"""Per format. DBLINK_MUTATIONS=500 is what the figures of docs/reference/formats.md were made with."""

Mutation = tuple[str, int, bytes]
"""Kind, place, and new bytes (of a deletion, only their number counts)."""


@st.composite
def mutations(draw: st.DrawFn, places: list[range]) -> Mutation:
    """Return a mutation that begins in one of ``places``."""
    kind = draw(st.sampled_from(("replace", "insert", "delete", "cut")))
    place = draw(st.sampled_from(places))
    at = draw(st.integers(place.start, max(place.start, place.stop - 1)))
    return kind, at, draw(st.binary(min_size=1, max_size=8))


def mutated(content: bytes, mutation: Mutation) -> bytes:
    """Return ``content`` as the mutation leaves it."""
    kind, at, new = mutation
    return {
        "replace": content[:at] + new + content[at + len(new) :],
        "insert": content[:at] + new + content[at:],
        "delete": content[:at] + content[at + len(new) :],
        "cut": content[: max(at, 1)],
    }[kind]


def try_mutations(check: Callable[[st.DataObject], None]) -> None:
    """Run ``check`` on `N_EXAMPLES` examples, the same ones each time."""
    configured = settings(
        max_examples=N_EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    configured(given(st.data())(check))()
