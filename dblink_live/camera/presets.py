"""Facts of common cameras by readout mode: ``camera.preset = "andor-zyla-4.2/16bit"``.

The numbers and the document that each was taken from are in ``presets.toml``. A number that was not read in
the maker's own document comes with a warning; a number without a document is left out, and the user is asked for it.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated

import msgspec

from dblink_live.errors import CalibrationError
from dblink_live.text.suggest import did_you_mean

Above0 = Annotated[float, msgspec.Meta(gt=0.0)]


class ModeFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers of one readout mode at binning 1; None where they are not known."""

    electrons_per_adu: Above0 | None = None
    """Before electron multiplication."""
    offset_adu: Above0 | None = None
    read_noise_e: Above0 | None = None
    bit_depth: Annotated[int, msgspec.Meta(ge=8, le=16)] | None = None


class _CameraEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file."""

    camera: str
    asks: str
    modes: dict[str, ModeFacts]
    read: list[str]
    sensor_pixel_um: Above0 | None = None
    is_emccd: bool = False
    document: dict[str, str] = {}


@dataclass(frozen=True)
class CameraPreset:
    """One camera in one readout mode."""

    name: str
    """As the configuration names it: ``camera/mode``."""
    camera: str
    """The maker's name for it."""
    facts: ModeFacts
    sensor_pixel_um: float | None
    is_emccd: bool
    asks: str
    """Where the user finds what is missing here."""
    documents: dict[str, str]
    """By fact: where the number was taken from."""
    unconfirmed: tuple[str, ...]
    """Facts whose number was not read in the maker's own document."""

    def warning(self) -> str | None:
        """A sentence about the numbers that were taken from elsewhere than the maker's document; None without any."""
        if not self.unconfirmed:
            return None
        listed = "; ".join(f"{name} {getattr(self.facts, name)} ({self.documents[name]})" for name in self.unconfirmed)
        return f"check your data sheet: the preset {self.name} has {listed}"


def camera_preset(name: str) -> CameraPreset:
    """The preset of that name.

    Raises
    ------
    CalibrationError
        There is none; the nearest is named.

    Examples
    --------
    >>> preset = camera_preset("andor-zyla-4.2/16bit")
    >>> preset.facts.electrons_per_adu, preset.unconfirmed
    (0.45, ())
    """
    presets = camera_presets()
    if name not in presets:
        modes = [known for known in presets if known.startswith(f"{name}/")]
        if modes:
            raise CalibrationError(
                f"expected a readout mode of {name}, found none; say camera.preset={' or '.join(modes)}"
            )
        cameras = ", ".join(sorted({known.partition("/")[0] for known in presets}))
        raise CalibrationError(
            f"unknown camera preset {name!r}{did_you_mean(name, presets, cutoff=0.0)} Cameras: {cameras}"
        )
    return presets[name]


@cache
def camera_presets() -> dict[str, CameraPreset]:
    """All presets by name, in the order of the file."""
    text = files("dblink_live.camera").joinpath("presets.toml").read_text(encoding="utf-8")
    entries = msgspec.convert(tomllib.loads(text), dict[str, _CameraEntry])
    return {
        f"{camera}/{mode}": CameraPreset(
            name=f"{camera}/{mode}",
            camera=entry.camera,
            facts=facts,
            sensor_pixel_um=entry.sensor_pixel_um,
            is_emccd=entry.is_emccd,
            asks=entry.asks,
            documents={fact: entry.document[fact] for fact in _stated(facts)},
            unconfirmed=tuple(fact for fact in _stated(facts) if fact not in entry.read),
        )
        for camera, entry in entries.items()
        for mode, facts in entry.modes.items()
    }


def _stated(facts: ModeFacts) -> list[str]:
    return [field.name for field in msgspec.structs.fields(facts) if getattr(facts, field.name) is not None]
