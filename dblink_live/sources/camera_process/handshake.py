"""The request to the camera process on its standard input, and its reply of one line.

Both are a line of JSON. Afterwards the two sides talk through the ring alone; the child's standard input stays open,
and its end tells the child that the parent is gone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from dblink_live import errors
from dblink_live.errors import DblinkError, SourceError
from dblink_live.types import CameraRecipe


@dataclass(frozen=True)
class CameraRequest:
    """Build this camera, and write its frames into that region."""

    recipe: CameraRecipe
    region: str

    def to_line(self) -> str:
        recipe = {**asdict(self.recipe), "options": dict(self.recipe.options)}
        return json.dumps({"recipe": recipe, "region": self.region}) + "\n"

    @classmethod
    def from_line(cls, line: str) -> CameraRequest:
        plain = json.loads(line)
        recipe = plain["recipe"]
        if recipe["roi"] is not None:
            recipe["roi"] = tuple(recipe["roi"])
        return cls(CameraRecipe(**recipe), plain["region"])


@dataclass(frozen=True)
class CameraReply:
    """The ring is there and has this many bytes, or the camera could not be made ready."""

    nbytes: int = 0
    error_kind: str = ""
    error_message: str = ""

    def to_line(self) -> str:
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> CameraReply:
        return cls(**json.loads(line))

    @classmethod
    def of_error(cls, error: Exception) -> CameraReply:
        """An answer that carries an error, as itself where it is one of ours."""
        if isinstance(error, DblinkError):
            return cls(error_kind=type(error).__name__, error_message=str(error))
        return cls(error_kind="SourceError", error_message=f"the camera failed: {type(error).__name__}: {error}")

    def raise_error(self) -> None:
        """Raise what went wrong on the other side, if anything did."""
        if self.error_kind:
            kind = getattr(errors, self.error_kind, SourceError)
            raise kind(self.error_message)
