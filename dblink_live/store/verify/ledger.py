"""Check that a stored ledger balances and agrees with the committed windows.

A ledger is kept by the acquisition; here it is a plain table
``{"seen", "committed", "lost": {cause: n}, "deselected", "tail"}``, in which None stands for an unknown number.
"""

from __future__ import annotations

from dblink_live.ledger import unaccounted_frames
from dblink_live.store.journal import CommittedWindow, LedgerDict
from dblink_live.types import Gap, GapCause


def ledger_from_journal(
    segment: int, rows: list[CommittedWindow], gaps: list[Gap], crashed: bool = False
) -> LedgerDict:
    """Return what the journal alone knows of a segment that did not end in order.

    How many frames were seen, and how many of them were lost with the process, is unknown and said to be so.
    """
    committed = sum(
        row.stop - row.start - row.n_frames_missing
        for row in rows
        if row.product == "counts" and row.segment == segment
    )
    lost: dict[str, int | None] = {}
    deselected: int | None = 0
    for gap in gaps:
        if gap.segment != segment:
            continue
        if gap.cause is GapCause.DESELECTED:
            deselected = _add(deselected, gap.count)
        else:
            lost[gap.cause.value] = _add(lost.get(gap.cause.value, 0), gap.count)
    if crashed:
        lost[GapCause.LOST_IN_CRASH.value] = None
    return {"seen": None, "committed": committed, "lost": lost, "deselected": deselected, "tail": None}


def balance_problems(ledger: LedgerDict, known: LedgerDict) -> tuple[list[str], list[str]]:
    """Problems and notes of a stored ledger, given what the journal knows (`ledger_from_journal`).

    Examples
    --------
    >>> known = {"committed": 90}
    >>> ledger = {"seen": 100, "committed": 90, "lost": {"ring": 3}, "deselected": 0, "tail": 7}
    >>> balance_problems(ledger, known)
    ([], [])
    >>> problems, _ = balance_problems(ledger | {"tail": 0}, known)
    >>> problems
    ['expected 100 frames seen to be the sum of its parts, found 93 (committed 90, ring 3, deselected 0, tail 0)']
    """
    lost = ledger.get("lost")
    if not isinstance(lost, dict):
        return [f"expected losses by cause, found {lost!r}"], []
    seen = ledger.get("seen")
    fates = {
        "committed": ledger.get("committed"),
        **lost,
        "deselected": ledger.get("deselected"),
        "tail": ledger.get("tail"),
    }
    wrong = {name: n for name, n in {"seen": seen, **fates}.items() if n is not None and not _is_count(n)}
    if wrong:
        found = ", ".join(f"{name} = {n!r}" for name, n in wrong.items())
        return [f"expected numbers of frames or null, found {found}"], []
    problems, notes = _balance(seen, fates)
    if ledger.get("unknown_losses"):
        notes.insert(0, f"{ledger['unknown_losses']} losses of unknown size are not in its sums")
    if fates["committed"] != known["committed"]:
        problems.insert(
            0,
            f"expected {known['committed']} committed frames, as the committed windows hold, "
            f"found {fates['committed']}",
        )
    return problems, notes


def _balance(seen: object, fates: dict[str, object]) -> tuple[list[str], list[str]]:
    """Problems and notes of the sum of ``fates`` beside the frames ``seen``; None is a number that is unknown."""
    counts = [n for n in fates.values() if isinstance(n, int)]
    unknown = [name for name, n in fates.items() if n is None]
    listing = ", ".join(f"{name} {'unknown' if n is None else n}" for name, n in fates.items())
    if not isinstance(seen, int):
        return [], [f"cannot balance exactly, for {', '.join(unknown or ['seen'])} is unknown ({listing})"]
    missing = unaccounted_frames(seen, counts)
    if unknown:
        notes = [f"cannot balance exactly, for {', '.join(unknown)} is unknown ({listing})"]
        too_many = f"expected at most {seen} frames, the number seen, found {sum(counts)} ({listing})"
        return ([too_many] if missing < 0 else []), notes
    unequal = f"expected {seen} frames seen to be the sum of its parts, found {sum(counts)} ({listing})"
    return ([unequal] if missing else []), []


def _is_count(n: object) -> bool:
    return isinstance(n, int) and not isinstance(n, bool) and n >= 0


def _add(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b
