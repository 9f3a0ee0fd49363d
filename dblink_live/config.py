"""Configuration of a live run: TOML and ``--set section.key=value`` into frozen, validated structs.

Unknown keys are errors that name the nearest known key. The resolved configuration is stored in the run, so that
``run --config`` of the stored one repeats it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_origin

import msgspec

from dblink_live.errors import ConfigError
from dblink_live.text.suggest import did_you_mean
from dblink_live.text.toml_text import parse_toml

Positive = Annotated[float, msgspec.Meta(gt=0.0)]
NonNegative = Annotated[float, msgspec.Meta(ge=0.0)]
PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
NonNegativeInt = Annotated[int, msgspec.Meta(ge=0)]
OptionValue = bool | int | float | str | list[bool | int | float | str]
AUTO = "auto"


class CameraConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Camera facts. What is left out is taken from the source; a pixel size that neither knows is asked for."""

    pixel_size_nm: Positive | None = None
    """Side of a camera pixel in the sample plane, binning included."""
    unusual_pixel_size: bool = False
    """Confirms a pixel size that is not between 20 and 1000 nm."""
    offset_adu: NonNegative | None = None
    """Mean count of a dark pixel."""
    electrons_per_adu: Positive | None = None
    """Conversion gain; without it the run is marked *uncalibrated*."""
    em_gain: Annotated[float, msgspec.Meta(ge=1.0)] = 1.0
    """Electron-multiplying gain."""
    quantum_efficiency: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 1.0
    read_noise_e: NonNegative = 0.0
    """Read noise in electrons, standard deviation."""
    bit_depth: Annotated[int, msgspec.Meta(ge=8, le=16)] | None = None
    preset: str | None = None
    """Facts of a common camera in a readout mode, ``camera/mode``; other settings override them."""
    maps: str | None = None
    """File of sensor maps, as `calibrate` writes them; a relative path counts from the configuration file."""
    maps_sha256: str | None = None
    """Of that file, so that no other takes its place unnoticed."""
    binning_mode: Literal["sum", "mean"] | None = None
    """How the camera combines binned counts; without it maps and presets are refused for binned frames."""


class LocalizerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How molecules are found."""

    name: str = "gaussian"
    """A built-in localizer or one that a plug-in registered."""
    psf_sigma_px: Positive | None = None
    """Standard deviation of the point spread function in camera pixels; None estimates it from the first frames."""
    threshold_sigma: Positive | None = None
    """Detection threshold in units of the local noise; None takes the localizer's own default."""
    fit: Literal["fixed", "free", "elliptic"] | None = None
    """Of a fit: one width for all molecules, one for each, or one along x and one along y; None keeps it fixed."""
    min_photons: NonNegative | None = None
    """Of a fitted molecule that is kept, in photo-electrons per frame."""
    max_precision_px: Positive | None = None
    """Worst precision of a fitted molecule that is kept, in camera pixels; None is 0.6."""
    max_misfit: Positive | None = None
    """Largest excess of a fit's deviance over a single molecule's, in standard deviations; 3
    rejects most unresolved pairs."""
    device: str = AUTO
    """auto, cpu, cuda or cuda:N. ``auto`` fits on the CPU, and runs a network on a CUDA device if there is one."""
    options: dict[str, OptionValue] = {}
    """Further options of the localizer by their own names, for instance those of a plug-in."""

    def to_options(self) -> dict[str, object]:
        """Return what the localizer is called with: whatever is set, and the width in any case.

        Raises
        ------
        ConfigError
            ``options`` holds what is a setting of its own.
        """
        plain: dict[str, object] = msgspec.structs.asdict(self)
        del plain["name"], plain["options"]
        for name in self.options.keys() & {*plain, "name", "options"}:
            raise ConfigError(f"expected localizer.{name}, found localizer.options.{name}; give the former")
        if self.device == AUTO:  # plug-ins need not know of devices
            del plain["device"]
        stated = {key: value for key, value in plain.items() if value is not None}
        return {"psf_sigma_px": self.psf_sigma_px, **stated, **self.options}


class WindowsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How camera frames are gathered into localization maps."""

    frames: PositiveInt = 10
    """Camera frames per window."""
    max_gap_windows: PositiveInt = 50
    """A gap longer than this many windows starts a new segment with fresh network state."""


class ReconstructConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The network and its lookahead."""

    model: str = "filaments"
    """A shipped model's name, or the path of a checkpoint."""
    lookahead: NonNegativeInt = 8
    """Windows after a window that its picture waits for."""
    hop: PositiveInt = 4
    """Windows that are reconstructed together: the backward pass is shared among them."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    threads: NonNegativeInt = 1
    """CPU threads of torch. A live process shares its cores with the camera, and spinning threads starve it."""
    engine: Literal["auto", "eager", "bfloat16", "compile"] = "auto"
    """How the network computes live: PyTorch in float32 (``eager``), in half precision where the processor has it
    (states stay float32), or compiled, for which a CPU needs a C++ compiler. ``auto`` is ``eager`` where that holds the
    camera's rate by the forecast, else ``bfloat16`` where the processor or GPU computes in it."""
    provisional: bool = False
    """Also publish a picture of the newest window at once, with lookahead 0; it is shown and never stored. It nearly
    doubles the computing, which a GPU has to spare and a CPU usually has not."""


class LiveConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is shown while a run goes on, and how old it may be."""

    latency_s: Positive | None = None
    """No picture is shown that is older: a run that falls behind gives something up. None takes lookahead and hop
    windows and 2 s for a camera, and sets no limit to a file; a file is paced by the ``fps`` of its source."""
    region: str = "auto"
    """Part of the field that is shown live: x,y,width,height in camera pixels, or the largest part that this machine
    holds, about the ``centre`` or where it is ``densest``; ``auto`` is the centre. All of the field is counted, stored
    and refined."""


class StoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run stores."""

    live_dtype: Literal["uint8", "float16"] = "uint8"
    """Stored type of the live picture: probability 0-255, or half precision."""
    record: bool = False
    """Also keep the camera frames, of a camera that we own; a recording is its own record."""
    when_full: Literal["stop", "drop_raw"] = "stop"
    """At 95 % of the disk: end the run, or first the recording of camera frames, and the run at 97.5 %."""


class PublishConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the viewer connects."""

    address: str = "tcp://127.0.0.1:*"
    """Loopback by default; ``*`` takes a free port. Any other address needs ``keys``."""
    keys: str | None = None
    """Folder made by `dblink-live keys`; only viewers with a key in its ``clients`` are let in, encrypted."""


class SourceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where frames come from; stored with a run, so that its configuration alone repeats it."""

    spec: str | None = None
    """As `dblink-live run --source` takes it."""


class RunConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that `dblink-live run` can be told."""

    camera: CameraConfig = CameraConfig()
    localizer: LocalizerConfig = LocalizerConfig()
    windows: WindowsConfig = WindowsConfig()
    reconstruct: ReconstructConfig = ReconstructConfig()
    live: LiveConfig = LiveConfig()
    store: StoreConfig = StoreConfig()
    publish: PublishConfig = PublishConfig()
    source: SourceConfig = SourceConfig()

    def to_plain(self) -> dict[str, Any]:
        """Nested dict of TOML-able values; settings that are None are left out."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return {
            section: {key: value for key, value in values.items() if value is not None and value != {}}
            for section, values in plain.items()
        }


def load_run_config(
    path: str | Path | None = None, overrides: Iterable[str] = (), base: Mapping[str, Any] = MappingProxyType({})
) -> RunConfig:
    """Read ``path`` (TOML), apply ``overrides`` of the form ``section.key=value``, validate.

    Without a ``path`` the overrides are applied to ``base``: plain values, as a run stores them.

    Raises
    ------
    ConfigError
        The file is missing or not TOML, a key is unknown (the nearest one is named), a value has the wrong type or
        is out of range.

    Examples
    --------
    >>> load_run_config(None, ["camera.pixel_size_nm=108", "windows.frames=20"]).camera.pixel_size_nm
    108.0
    """
    merged: dict[str, Any] = _read_toml(Path(path)) if path is not None else copy.deepcopy(dict(base))
    for text in overrides:
        name, value = _parse_override(text)
        *sections, key = name.split(".")
        table = merged
        for section in sections:
            table = table.setdefault(section, {})
            if not isinstance(table, dict):
                raise ConfigError(f"expected a table [{section}] in the configuration, found {table!r}")
        table[key] = value
        if name == "camera.maps":
            table.pop("maps_sha256", None)
            _anchor(merged, Path())
    return run_config_from_plain(merged)


def changed_settings(before: RunConfig, now: RunConfig) -> dict[str, tuple[Any, Any]]:
    """Settings that differ, by their full name: (before, now).

    Examples
    --------
    >>> changed_settings(RunConfig(), load_run_config(None, ["windows.frames=20"]))
    {'windows.frames': (10, 20)}
    """
    old, new = msgspec.to_builtins(before), msgspec.to_builtins(now)
    return {
        f"{section}.{key}": (value, new[section][key])
        for section, values in old.items()
        for key, value in values.items()
        if value != new[section][key]
    }


_RENAMED = {
    "localizer": {
        "least_photons": "min_photons",
        "largest_precision_px": "max_precision_px",
        "largest_misfit": "max_misfit",
    }
}
"""Keys of version 0.1 and their names today, by section: old configurations and run folders are still read."""


def run_config_from_plain(plain: Mapping[str, Any]) -> RunConfig:
    """Validate nested plain values, for instance those stored in a run. Keys of older versions are accepted."""
    plain = _with_current_names(plain)
    _refuse_unknown(plain, RunConfig, prefix="")
    try:
        return msgspec.convert(plain, RunConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(_wrong_value(plain, str(error))) from error


def _with_current_names(plain: Mapping[str, Any]) -> dict[str, Any]:
    current = dict(plain)
    for section, names in _RENAMED.items():
        values = plain.get(section)
        if isinstance(values, Mapping):
            for old in names.keys() & values.keys():
                if names[old] in values:
                    raise ConfigError(f"{section}.{old} is now called {section}.{names[old]}; expected one of them")
            current[section] = {names.get(key, key): value for key, value in values.items()}
    return current


def _wrong_value(plain: Mapping[str, Any], message: str) -> str:
    """Say which setting has which wrong value; msgspec names the place as ``$.section.key``."""
    expected, found, place = message.partition(" - at `$.")
    name = place.rstrip("`").replace("[...]", "")
    if not found or name.count(".") != 1:
        return f"a setting has a wrong value: {message}"
    section, key = name.split(".")
    value = plain.get(section, {}).get(key)
    return f"{expected[0].lower()}{expected[1:]} for {name}, found {value!r}"


def _anchor(plain: dict[str, Any], folder: Path) -> None:
    """Make the path of the sensor maps one that holds wherever the configuration is stored next."""
    camera = plain.get("camera")
    if isinstance(camera, dict) and isinstance(camera.get("maps"), str):
        camera["maps"] = str((folder / camera["maps"]).absolute()) if camera["maps"] else None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        plain = parse_toml(path.read_bytes())
    except FileNotFoundError:
        raise ConfigError(f"expected a configuration file, found nothing at {path}") from None
    except ConfigError as error:
        raise ConfigError(f"cannot use {path}: {error}") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    _anchor(plain, path.parent)
    return plain


def _parse_override(text: str) -> tuple[str, Any]:
    name, equals, raw = text.partition("=")
    name = name.strip()
    if not (equals and "." in name and all(name.split("."))):
        raise ConfigError(f"expected --set section.key=value, found {text!r}; for instance camera.pixel_size_nm=108")
    try:
        value = parse_toml(f"value = {raw}")["value"]
    except ConfigError:
        # A bare word is a string (reconstruct.model=mitochondria), and so is a Windows path, in quotes or not.
        value = raw.strip('"')
    return name, value


def _refuse_unknown(plain: Mapping[str, Any], struct: type[msgspec.Struct], prefix: str) -> None:
    known = {field.name: field.type for field in msgspec.structs.fields(struct)}
    for name, value in plain.items():
        if name not in known:
            raise ConfigError(_unknown(prefix + name, [prefix + other for other in known]))
        kind = known[name]
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            if not isinstance(value, Mapping):
                raise ConfigError(f"expected a table [{name}], found {value!r}")
            _refuse_unknown(value, kind, prefix=f"{prefix}{name}.")
        elif get_origin(kind) is dict and not isinstance(value, Mapping):
            raise ConfigError(f"expected a table [{prefix}{name}], found {value!r}; for instance {prefix}{name}.key=1")


def _unknown(name: str, known: list[str]) -> str:
    every_key = known if "." in name else [*known, *_all_keys()]
    return f"unknown setting {name!r}{did_you_mean(name, every_key, cutoff=0.0)} Known here: {', '.join(sorted(known))}"


def _all_keys() -> list[str]:
    return [
        f"{section.name}.{key.name}"
        for section in msgspec.structs.fields(RunConfig)
        for key in msgspec.structs.fields(section.type)
    ]
