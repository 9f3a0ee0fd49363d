"""The error taxonomy.

Every error that a user can meet is a `DblinkError`. Its message is one sentence or two that say what was
expected, what was found and what to do; the command line prints it without a traceback.
"""

from __future__ import annotations


class DblinkError(Exception):
    """Base of all errors that this package raises on purpose."""


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
    """The process that writes raw frames did not come up, or not in time: the input is not to blame."""


class WireError(DblinkError):
    """A message between processes is malformed, or an address is not allowed."""


class AnalysisError(DblinkError):
    """The data cannot answer the question that was asked of them: too few, empty, or without contrast."""
