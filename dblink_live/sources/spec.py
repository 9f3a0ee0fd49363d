"""Source specifications: ``scheme:path?key=value&key=value`` into a frozen, validated `SourceSpec`.

A path may be a Windows one (``tiff:C:\\data\\run 1.tif?fps=50``). Options start at the last question mark. Values may
be percent-encoded, for a path that holds ``&``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote

from dblink_live.errors import SourceError
from dblink_live.sources.files.stack_format import format_of_scheme, stack_formats
from dblink_live.text.suggest import did_you_mean

Roi = tuple[int, int, int, int]

SPECIMENS = ("filaments", "mitochondria", "er")


@dataclass(frozen=True)
class SourceSpec:
    """A parsed source specification."""

    scheme: str
    """mm:core, mm:acquisition, mm:live, mm:script, sim, or that of a format of recordings: tiff, ndtiff..."""
    target: str = ""
    """A path, or the specimen of ``sim:``."""
    fps: float | None = None
    """Frames per second: the camera's, or the pace of a replay; None replays as fast as it goes."""
    frames: int | None = None
    """At most so many frames; None takes all there are."""
    seed: int | None = None
    """Of the simulated specimen. A replay takes it too, so that scripts can use one option string, and ignores it."""
    size: int | None = None
    """Side of the simulated camera's square field, in pixels."""
    config: str | None = None
    """Micro-Manager configuration file."""
    exposure_ms: float | None = None
    roi: Roi | None = None
    """x, y, width, height in camera pixels."""
    binning: int | None = None
    channel: str | None = None
    """Of a dataset with several; None takes that of its first image."""
    position: str | None = None
    camera: str | None = None
    """Of a dataset in which several cameras are saved at the same axes."""
    partial: bool = False
    """Whether frames of a recording that lie in absent files count as lost."""
    start: int | Literal["newest"] | None = None
    """Number of the first frame of a dataset that is taken; None takes all."""
    watch: bool | None = None
    """Whether the path is a folder in which the next dataset will appear; None finds out."""
    idle_s: float | None = None
    """A dataset that has not grown for so long has stopped."""
    wait_s: float | None = None
    """How long to wait for the other side: a dataset in a watched folder, a Micro-Manager that is started, or started
    again; None waits for a dataset, and for a Micro-Manager that was there, as long as it takes."""
    events: str | None = None
    """TOML file that says what an acquisition takes."""
    save: str | None = None
    """Folder in which an acquisition stores its images as well."""
    port: int | None = None
    """Of the server of a running Micro-Manager."""

    @property
    def is_recording(self) -> bool:
        """Whether frames come from a file, so that none is lost while it is not read."""
        return format_of_scheme(self.scheme) is not None

    @property
    def is_of_another_program(self) -> bool:
        """Whether another program acquires the frames, at the same time, and we only watch."""
        found = format_of_scheme(self.scheme)
        is_followed = found is not None and found.follow is not None
        return is_followed or self.scheme in ("mm:live", "mm:script") or self.port is not None


@dataclass(frozen=True)
class Scheme:
    """One row of the table of schemes."""

    options: tuple[str, ...] = ()
    targets: tuple[str, ...] | None = None
    """Allowed targets; None takes any path; an empty tuple takes none."""
    required: tuple[str, ...] = ()


_OWN_SCHEMES: dict[str, Scheme] = {
    "mm:core": Scheme(("config", "exposure_ms", "roi", "binning", "frames", "fps"), targets=(), required=("config",)),
    "sim": Scheme(("fps", "frames", "seed", "size"), targets=SPECIMENS),
    "mm:acquisition": Scheme(
        ("config", "port", "events", "frames", "exposure_ms", "roi", "binning", "channel", "position", "save"),
        targets=(),
    ),
    "mm:live": Scheme(("port", "frames", "wait_s"), targets=()),
    "mm:script": Scheme(("port", "frames"), targets=()),
}


@functools.cache
def schemes() -> dict[str, Scheme]:
    """Return every scheme: those of cameras and simulations, and one of each format of recordings."""
    recorded = {found.scheme: Scheme(found.all_options) for found in stack_formats()}
    return {**_OWN_SCHEMES, **recorded}


def parse_source(text: str) -> SourceSpec:
    """Parse and validate a source specification.

    Raises
    ------
    SourceError
        Unknown scheme, specimen or option (the nearest is named), a value out of its range, options that exclude each
        other, or a missing path.

    Examples
    --------
    >>> parse_source(r"tiff:C:\\data\\x.tif?fps=50").target
    'C:\\\\data\\\\x.tif'
    >>> parse_source("sim:filaments?frames=200&seed=7").frames
    200
    """
    body, query = _split_options(text)
    name, target = _split_scheme(body)
    scheme = schemes()[name]
    _check_target(name, scheme, target)
    values = _parse_options(name, scheme, query)
    for key in scheme.required:
        if key not in values:
            raise SourceError(f"expected the option {key} of {name}, found none; for example {name}?{key}=...")
    if name == "mm:acquisition":
        _check_acquisition(values)
    if values.get("start") == "newest" and "frames" in values:
        raise SourceError(
            f"expected a number from which to count frames of {name}, found start=newest; say start=N, or omit frames"
        )
    return SourceSpec(scheme=name, target=target, **values)


def _check_acquisition(values: dict[str, Any]) -> None:
    if "config" in values and "port" in values:
        raise SourceError(
            "expected config (a core of our own) or port (a running Micro-Manager) for mm:acquisition, found both"
        )
    if "events" not in values and "frames" not in values:
        raise SourceError(
            "expected what to acquire for mm:acquisition, found neither events nor frames; name a TOML file with "
            "events=PLAN.toml, or say frames=1000"
        )


def _split_options(text: str) -> tuple[str, str]:
    at = text.rfind("?")
    rest = text[at + 1 :]
    # A question mark in a file's name, or in a pattern of names, begins no options either.
    if rest and "=" not in rest and "." in rest:
        return text, ""
    # The question mark of an extended-length Windows path, \\?\C:\..., begins no options.
    if at < 0 or text[at + 1 : at + 2] == "\\":
        return text, ""
    return text[:at], text[at + 1 :]


def _split_scheme(body: str) -> tuple[str, str]:
    first, colon, rest = body.partition(":")
    if first == "mm" and colon:
        name, target = f"mm:{rest}", ""
    else:
        name, target = first, rest
    known = schemes()
    if name in known and colon:
        return name, target
    if not colon or len(first) == 1:
        raise SourceError(
            f"expected a source scheme:path, found {body!r}; schemes are {', '.join(known)}: "
            f"a TIFF stack, for instance, is tiff:{body}"
        )
    raise SourceError(f"unknown source {name!r}{_nearest(name, known)}; schemes are {', '.join(known)}")


def _check_target(name: str, scheme: Scheme, target: str) -> None:
    if scheme.targets is None:
        if not target:
            raise SourceError(f"expected a path after {name}:, found none; for example {name}:{_example(name)}")
    elif target not in scheme.targets and scheme.targets:
        known = ", ".join(f"{name}:{value}" for value in scheme.targets)
        raise SourceError(f"unknown specimen {name}:{target}{_nearest(target, scheme.targets)}; there are {known}")


def _example(name: str) -> str:
    found = format_of_scheme(name)
    return found.example if found is not None else "stack.tif"


def _parse_options(name: str, scheme: Scheme, query: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for part in filter(None, query.split("&")):
        key, equals, text = part.partition("=")
        if key not in scheme.options:
            raise SourceError(
                f"unknown option {key!r} of {name}{_nearest(key, scheme.options)}; "
                f"options are {', '.join(scheme.options)}"
            )
        if not equals or not text:
            raise SourceError(f"expected {key}=value among the options of {name}, found {part!r}")
        if key in values:
            raise SourceError(f"expected the option {key} of {name} once, found it twice")
        expected, convert = _CONVERTERS[key]
        try:
            values[key] = convert(unquote(text))
        except ValueError:
            raise SourceError(f"expected {key} of {name} to be {expected}, found {text!r}") from None
    return values


def _nearest(word: str, known: object) -> str:
    candidates = [str(value) for value in known] if isinstance(known, (tuple, dict)) else []
    return did_you_mean(word, candidates, cutoff=0.5)


def _positive_float(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise ValueError
    return value


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65535:
        raise ValueError
    return value


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value


def _roi(text: str) -> Roi:
    x, y, width, height = (int(value) for value in text.split(","))
    if min(x, y) < 0 or min(width, height) < 1:
        raise ValueError
    return x, y, width, height


def _start(text: str) -> int | str:
    return text if text == "newest" else _natural(text)


def _yes_or_no(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError
    return text == "true"


_CONVERTERS: dict[str, tuple[str, Callable[[str], float | int | str | Roi]]] = {
    "fps": ("a number of frames per second above 0", _positive_float),
    "frames": ("a whole number above 0", _positive_int),
    "seed": ("a whole number of at least 0", _natural),
    "size": ("a whole number of pixels above 0", _positive_int),
    "config": ("the path of a .cfg file", str),
    "exposure_ms": ("a time above 0 ms", _positive_float),
    "roi": ("x,y,width,height in pixels", _roi),
    "binning": ("a whole number above 0", _positive_int),
    "channel": ("the name or number of a channel", str),
    "position": ("the name or number of a position", str),
    "camera": ("the name of a camera", str),
    "partial": ("true or false", _yes_or_no),
    "start": ("the number of a frame, or newest", _start),
    "watch": ("true or false", _yes_or_no),
    "idle_s": ("a time above 0 s", _positive_float),
    "wait_s": ("a time above 0 s", _positive_float),
    "events": ("the path of a .toml file", str),
    "save": ("the path of a folder", str),
    "port": ("a port from 1 to 65535", _port),
}
