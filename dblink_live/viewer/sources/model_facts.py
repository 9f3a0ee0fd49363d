"""What a checkpoint says of itself, read from its header without loading a network: the viewer never imports torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

METADATA_KEY = "dblink_live"
DEFAULT_THRESHOLD = 0.5
"""Taken, and said to be taken, where the model's own is not known."""

Range = tuple[float, float]


@dataclass(frozen=True)
class ModelFacts:
    """Facts of one checkpoint; None is unknown."""

    name: str
    pixel_size_nm: float
    """Pitch of its pictures."""
    threshold: float
    """Probability above which a pixel counts as structure."""
    trained_density: Range | None
    """Localizations per square micrometre and camera frame."""
    trained_speed: Range | None
    """Nanometres per window."""
    trained_precision: Range | None = None
    """Localization precision in nanometres."""
    structure: str = ""
    """What it was trained for; empty where the checkpoint does not say."""

    @property
    def description(self) -> str:
        """What it was trained for, in a line."""
        parts = [f"trained for {self.structure or 'a structure that its file does not name'}"]
        if self.trained_density is not None:
            low, high = self.trained_density
            parts.append(f"{low:.2g} to {high:.2g} molecules per µm² and frame")
        if self.trained_speed is not None:
            parts.append(f"motion up to {self.trained_speed[1]:.0f} nm per window")
        return ", ".join([*parts, f"pictures of {self.pixel_size_nm:g} nm pixels"])


def shipped_models() -> list[str]:
    """Return the names of the models that come with the program."""
    return sorted(path.stem for path in _zoo().glob("*.safetensors"))


def model_facts(name_or_path: str, sha256: str = "") -> ModelFacts | None:
    """Return the facts of a shipped model or of a checkpoint file.

    Parameters
    ----------
    name_or_path
        As `reconstruct.model` names it.
    sha256
        Of the checkpoint that is meant; another file of the same name is then not taken for it. Empty takes any.

    Returns
    -------
    None where there is no such file, it cannot be read, or it is another one.
    """
    shipped = _zoo() / f"{name_or_path}.safetensors"
    path = shipped if shipped.is_file() else Path(name_or_path)
    try:
        if sha256 and hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            return None
        with safe_open(path, framework="np") as file:
            plain: dict[str, Any] = json.loads((file.metadata() or {})[METADATA_KEY])
        envelope = plain.get("envelope") or {}
        return ModelFacts(
            name=str(plain["name"]),
            pixel_size_nm=float(plain["pixel_size_nm"]),
            threshold=float(plain["threshold"]),
            trained_density=_range(envelope.get("density")),
            trained_speed=_range(envelope.get("speed")),
            trained_precision=_range(envelope.get("precision")),
            structure=str((plain.get("training") or {}).get("structure") or ""),
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _range(value: Any) -> Range | None:
    return None if value is None else (float(value[0]), float(value[1]))


def _zoo() -> Path:
    return Path(str(resources.files("dblink_live"))) / "models" / "zoo"
