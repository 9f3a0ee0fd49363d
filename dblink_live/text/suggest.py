"""Suggest the known name that a misspelt one was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name nearest to ``name``, or ``""`` where none is near.

    Parameters
    ----------
    cutoff
        Similarity in [0, 1] (`difflib.SequenceMatcher.ratio`) below which nothing is suggested; 0 always suggests.

    Examples
    --------
    >>> did_you_mean("filament", ["filaments", "mitochondria"])
    "; did you mean 'filaments'?"
    >>> did_you_mean("nuclei", ["filaments", "mitochondria"])
    ''
    """
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
