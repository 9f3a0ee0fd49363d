"""The error of a training that cannot go on."""

from __future__ import annotations

from dblink_live.errors import DblinkError


class TrainingStoppedError(DblinkError):
    """The loss is no number, or the state cannot be saved; what was saved before is whole and can be taken up."""
