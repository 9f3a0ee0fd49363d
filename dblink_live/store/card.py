"""What a run shows of itself in a terminal and in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dblink_live.errors import StoreError
from dblink_live.ledger import Ledger
from dblink_live.types import FloatImage

if TYPE_CHECKING:
    from dblink_live.store.reader import Run


def describe(run: Run) -> dict[str, str]:
    """Return state, sizes, model and ledger of a run, a line each."""
    segments = run.segments
    facts = {
        "status": run.status,
        "windows": ", ".join(
            f"{count} {product}" for product in ("counts", "live", "full") if (count := run.committed_count(product))
        )
        or "none yet",
        "frames per window": str(run.window_frames),
    }
    if segments:
        newest = segments[-1]
        (height, width), pitch_nm = newest.grid.shape, newest.grid.pitch_nm
        facts["picture"] = f"{width} x {height} pixels of {pitch_nm:g} nm"
        facts["camera"] = f"{newest.segment.shape.width} x {newest.segment.shape.height} pixels" + (
            f" of {newest.pixel_size_nm:g} nm" if newest.pixel_size_nm is not None else ""
        )
        facts["segments"] = str(len(segments))
    facts["model"] = run.info.model
    facts["frames"] = _frames(run)
    facts["created"] = run.info.created_utc
    return facts


def newest_picture(run: Run) -> FloatImage | None:
    """Return the newest picture of the full pass, or else of the live one, or else the newest counts [H, W]."""
    for product in ("full", "live", "counts"):
        windows = run.windows(product)
        if windows:
            try:
                return run.read_picture(windows[-1])
            except StoreError:
                return None
    return None


def _frames(run: Run) -> str:
    """What became of the frames, of the segments that have ended in order."""
    ledgers = [Ledger.from_plain(plain) for plain in run.ledger.values()]
    if not ledgers:
        return "no segment has ended yet"
    seen, committed, lost = (sum(getattr(one, name) for one in ledgers) for name in ("n_seen", "n_committed", "n_lost"))
    unknown = ", and an unknown number lost" if any(one.n_unknown for one in ledgers) else ""
    return f"{seen} seen, {committed} committed, {lost} lost{unknown}"
