"""The error taxonomy.

Every error that a user can meet is a `DblinkError`. Its message is one sentence or two that say what was
expected, what was found and what to do; the command line prints it without a traceback.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class DblinkError(Exception):
    """Base of all errors that this package raises on purpose."""

    is_input_error: bool = True
    """Whether the input is to blame; False for work that failed after the input was accepted (`input_accepted`)."""


class ConfigError(DblinkError):
    """A setting is unknown, of the wrong type or out of its range."""


class PluginError(DblinkError):
    """A localizer, source or network was asked for by a name that is not installed, or failed to load."""


class SourceError(DblinkError):
    """Camera frames or a localization table could not be read."""


class SourceLostError(SourceError):
    """The other side of a source went away; opened anew, it may give frames again."""


class CalibrationError(DblinkError):
    """A camera fact (pixel size, gain, offset, a sensor map) is missing or contradicts the data."""


class ModelError(DblinkError):
    """A checkpoint is damaged, of another architecture, or does not fit the data or the run."""


class StoreError(DblinkError):
    """A run folder cannot be created, written, read or resumed."""


class RecorderError(StoreError):
    """The process that writes raw frames did not start, or not in time."""

    is_input_error = False


class WireError(DblinkError):
    """A message between processes is malformed, or an address is not allowed."""


class AnalysisError(DblinkError):
    """The data cannot answer the question that was asked of them: too few, empty, or without contrast."""


_ALWAYS_INPUT = (ConfigError, CalibrationError, ModelError, PluginError)


@contextmanager
def input_accepted() -> Iterator[None]:
    """Mark the phase after the input was accepted: a failing disk or camera is then no wrong usage.

    Outside of it every `DblinkError` counts as wrong input, and the command line exits with status 2. Inside, only
    errors that always speak of the input do.
    """
    try:
        yield
    except DblinkError as error:
        if not isinstance(error, _ALWAYS_INPUT):
            error.is_input_error = False
        raise
