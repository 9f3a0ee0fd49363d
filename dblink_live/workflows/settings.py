"""Settings of a run from everything that can state them: a file, a stored run, and single settings over it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dblink_live.config import RunConfig, load_run_config
from dblink_live.errors import ConfigError
from dblink_live.pixel_sizes import UnusualPixelSize
from dblink_live.text.suggest import did_you_mean

SHORT_NAMES = {
    **{
        name: f"camera.{name}"
        for name in ("pixel_size_nm", "offset_adu", "electrons_per_adu", "read_noise_e", "em_gain")
    },
    "localizer": "localizer.name",
    **{
        name: f"localizer.{name}"
        for name in ("psf_sigma_px", "threshold_sigma", "fit", "min_photons", "max_precision_px", "max_misfit")
    },
    "window": "windows.frames",
    "live_region": "live.region",
    "latency_s": "live.latency_s",
    "model": "reconstruct.model",
    "device": "reconstruct.device",
}
"""Settings that have a shorter name, on the command line and in Python."""


def read_settings(
    config: RunConfig | Mapping[str, Any] | str | Path | None = None,
    overrides: Iterable[str] = (),
    short: Mapping[str, object] | None = None,
) -> RunConfig:
    """Return the settings of a run.

    Parameters
    ----------
    config
        A TOML file, a run folder whose settings are taken, or plain nested values; None takes the defaults.
    overrides
        Single settings ``section.key=value`` over it.
    short
        Settings by the names of `SHORT_NAMES`, or a whole section as a mapping, over all of these; None is left out.

    Raises
    ------
    ConfigError
        A setting is unknown or out of its range.
    StoreError
        The folder is no run.
    """
    texts = [*overrides, *(text for name, value in (short or {}).items() for text in _overrides(name, value))]
    if isinstance(config, RunConfig):
        return load_run_config(None, texts, base=config.to_plain())
    if isinstance(config, Mapping):
        return load_run_config(None, texts, base=config)
    if config is None or not Path(config).is_dir():
        return load_run_config(config, texts)
    from dblink_live.store import open_run

    with open_run(config) as stored:
        return load_run_config(None, texts, base=stored.config)


def _overrides(name: str, value: object) -> list[str]:
    """One setting, or those of a section, as texts ``section.key=value``."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [text for key, one in value.items() for text in _plain(f"{name}.{key}", one)]
    setting = SHORT_NAMES.get(name)
    if setting is None:
        known = (*SHORT_NAMES, *RunConfig.__struct_fields__)
        raise ConfigError(f"unknown setting {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}")
    texts = _plain(setting, value)
    if name == "pixel_size_nm" and isinstance(value, UnusualPixelSize):
        texts += _plain("camera.unusual_pixel_size", True)
    return texts


def _plain(setting: str, value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [text for key, one in value.items() for text in _plain(f"{setting}.{key}", one)]
    if isinstance(value, Path):
        value = str(value)
    try:
        # A JSON value is a TOML value: whatever is in a path, it stays text.
        return [] if value is None else [f"{setting}={json.dumps(value, ensure_ascii=False)}"]
    except TypeError:
        raise ConfigError(f"expected a number, text, truth value or list for {setting}, found {value!r}") from None
