"""Settings by the name of a shipped recipe, or from a file."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from dblink_live.errors import ConfigError
from dblink_live.text.toml_text import parse_toml
from dblink_live.train.localizer.settings import DeepStormSettings, LocalizerSettings
from dblink_live.train.reconstruction.settings import TrainingSettings, decode_settings, load_settings

SUFFIX = ".toml"


def list_recipes() -> dict[str, str]:
    """The shipped recipes and what each is.

    Examples
    --------
    >>> sorted(list_recipes())
    ['deepstorm', 'live', 'localizer', 'mse_control', 'paper']
    """
    return {path.stem: _load(path.read_bytes(), path.name).description for path in sorted(_folder().iterdir())}


def read_settings(name_or_path: str | os.PathLike[str]) -> TrainingSettings | LocalizerSettings | DeepStormSettings:
    """Settings of a shipped recipe by its name, or of a TOML file by its path (anything with a separator or a suffix).

    Raises
    ------
    ConfigError
        No such recipe or file, or what it says cannot train.
    """
    path = Path(name_or_path)
    if not path.suffix and path.name == str(name_or_path):
        shipped = _folder() / f"{path.name}{SUFFIX}"
        if not shipped.is_file():
            raise ConfigError(
                f"expected a recipe among {', '.join(list_recipes())}, or a .toml file, found {path.name!r}"
            )
        path = shipped
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the settings {path}: {error.strerror}") from error
    return _load(text, str(name_or_path))


def _load(text: bytes, source: str) -> TrainingSettings | LocalizerSettings | DeepStormSettings:
    """Settings of the kind that the file says it is of; without a word, of a network for reconstruction."""
    try:
        kind = parse_toml(text).get("kind")
    except ConfigError:
        kind = None  # What is wrong with it is told below.
    if kind == "localizer":
        return decode_settings(text, source, LocalizerSettings)
    if kind == "deepstorm":
        return decode_settings(text, source, DeepStormSettings)
    return load_settings(text, source)


def _folder() -> Path:
    # The package is installed unpacked, so the resource is a real folder.
    return Path(str(resources.files("dblink_live.train"))) / "recipes"
