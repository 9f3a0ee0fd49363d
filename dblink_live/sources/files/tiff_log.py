"""What tifffile logs about a file, kept to be said in one line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGER = logging.getLogger("tifffile")
# What is logged outside of `captured` is about pages that are then read, and raised as an error there.
_LOGGER.addHandler(logging.NullHandler())
_HARMLESS = ("failed to read display settings", "failed to read comments", "NDTiff.index axes_dict")
"""Parts of Micro-Manager's metadata that have no bearing on the frames."""


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not any(part in text for part in _HARMLESS):
            self.messages.append(text)


@contextmanager
def captured() -> Iterator[list[str]]:
    """Collect what tifffile warns of meanwhile; nothing of it reaches the terminal."""
    handler, propagates = _Kept(), _LOGGER.propagate
    _LOGGER.addHandler(handler)
    _LOGGER.propagate = False
    try:
        yield handler.messages
    finally:
        _LOGGER.removeHandler(handler)
        _LOGGER.propagate = propagates


def summary(messages: list[str]) -> tuple[str, ...]:
    """Return the first message and how many there are beside it, as one sentence; nothing where there is none.

    Examples
    --------
    >>> summary(["<tifffile.TiffFile 'a.tif'> missing data", "missing data"])
    ("tifffile warns: <tifffile.TiffFile 'a.tif'> missing data (and 1 more)",)
    """
    if not messages:
        return ()
    more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
    return (f"tifffile warns: {' '.join(messages[0].split())}{more}",)
