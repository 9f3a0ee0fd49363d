"""What the operator chose on the start page, and the command line that does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dblink_live.errors import CalibrationError
from dblink_live.pixel_sizes import check_pixel_size
from dblink_live.viewer.start.identify import Subject

SourceKind = Literal["micromanager", "config", "folder", "file", "demo"]
BRIDGE_PORT = 4827
"""Where a running Micro-Manager answers."""
DEFAULT_WINDOW = 10
TYPICAL_PIXEL_NM = (50.0, 200.0)
"""Camera pixels of localization microscopes lie in here; outside a value is more often mistyped than meant."""


@dataclass(frozen=True)
class Choices:
    """Everything that the page asks; None or empty is left to the program."""

    source: SourceKind = "demo"
    subject: Subject | None = None
    """The configuration, folder or file."""
    folder: str = ""
    """The run folder to make."""
    preset: str = ""
    pixel_size_nm: float | None = None
    exposure_ms: float | None = None
    model: str = "filaments"
    window_frames: int = DEFAULT_WINDOW
    record: bool = False
    """Also keep the camera frames, of a camera that the run owns."""
    port: int = BRIDGE_PORT


@dataclass(frozen=True)
class Remark:
    """Something to know about a choice."""

    text: str
    is_refusal: bool = False
    """Whether the run cannot be started so."""


def owns_camera(choices: Choices) -> bool:
    """Return whether the run opens the camera itself, so that it can be stopped and started from here."""
    return choices.source in ("config", "demo")


def command_of(choices: Choices) -> list[str]:
    """Return the arguments of ``dblink-live`` that do what was chosen.

    Examples
    --------
    >>> command_of(Choices(source="micromanager", folder="cell.run", pixel_size_nm=108.0))[:5]
    ['run', '--source', 'mm:live', '--out', 'cell.run']
    """
    if choices.source == "demo":
        return ["demo", "--headless", "--out", choices.folder]
    settings = [f"reconstruct.model={choices.model}", f"windows.frames={choices.window_frames}"]
    if choices.pixel_size_nm is not None:
        settings.append(f"camera.pixel_size_nm={choices.pixel_size_nm:g}")
    if choices.preset:
        settings.append(f"camera.preset={choices.preset}")
    if choices.record and choices.source == "config":
        settings.append("store.record=true")
    subject = choices.subject
    overrides = [part for setting in settings for part in ("--set", setting)]
    if subject is not None and subject.kind == "table":
        # A table is no live source: its run is made, refined and reported in one go.
        return ["report", str(subject.path), "--out", choices.folder, *overrides]
    return ["run", "--source", _spec(choices), "--out", choices.folder, "--no-view", *overrides]


def remarks_on(choices: Choices) -> list[Remark]:
    """Return what there is to say about the choices, refusals first."""
    found = [*_on_source(choices), *_on_folder(choices), *_on_pixel_size(choices), *_on_window(choices)]
    return sorted(found, key=lambda remark: not remark.is_refusal)


def _spec(choices: Choices) -> str:
    subject = choices.subject
    if choices.source == "micromanager":
        return "mm:live" if choices.port == BRIDGE_PORT else f"mm:live?port={choices.port}"
    path = "" if subject is None else str(subject.path.absolute())
    if choices.source == "config":
        exposure = "" if choices.exposure_ms is None else f"&exposure_ms={choices.exposure_ms:g}"
        return f"mm:core?config={_escaped(path)}{exposure}"
    # An empty list of options: a question mark in the path then begins none.
    ending = "?" if "?" in path else ""
    scheme = "ndtiff" if choices.source == "folder" else subject.scheme if subject else "tiff"
    return f"{scheme}:{path}{ending}"


def _escaped(path: str) -> str:
    """A path as an option's value: what ends the value there is percent-encoded."""
    return path.replace("%", "%25").replace("&", "%26").replace("?", "%3F")


def _on_source(choices: Choices) -> list[Remark]:
    if choices.source in ("config", "folder", "file") and choices.subject is None:
        wanted = {"config": "a .cfg file", "folder": "a folder to watch", "file": "a stack or a table"}
        return [Remark(f"choose {wanted[choices.source]}, or drop it on this page", is_refusal=True)]
    return []


def _on_folder(choices: Choices) -> list[Remark]:
    if not choices.folder.strip():
        return [Remark("name the run folder to make", is_refusal=True)]
    folder = Path(choices.folder)
    if folder.exists():
        return [Remark(f"{folder} already exists; name another run folder", is_refusal=True)]
    return []


def _on_pixel_size(choices: Choices) -> list[Remark]:
    if choices.source == "demo":
        return []
    size = choices.pixel_size_nm
    if size is None:
        told = choices.subject.segment.pixel_size_nm if choices.subject and choices.subject.segment else None
        if told is not None:
            return [Remark(f"the file says {told:g} nm pixels"), *_plausibility(told)]
        if choices.source == "micromanager":
            return [Remark("without a pixel size here, that of Micro-Manager's calibration is taken")]
        if choices.source == "file":
            return [Remark("the file does not tell its pixel size: state it", is_refusal=True)]
        return [Remark("without a pixel size here, that of the configuration or dataset is taken")]
    return _plausibility(size)


def _plausibility(size_nm: float) -> list[Remark]:
    try:
        check_pixel_size(size_nm, "the pixel size")
    except CalibrationError as error:
        return [Remark(str(error), is_refusal=True)]
    if not TYPICAL_PIXEL_NM[0] <= size_nm <= TYPICAL_PIXEL_NM[1]:
        return [
            Remark(
                f"{size_nm:g} nm is unusual: most microscopes have {TYPICAL_PIXEL_NM[0]:g} to "
                f"{TYPICAL_PIXEL_NM[1]:g} nm; it is the sensor's pixel divided by the magnification"
            )
        ]
    return []


def _on_window(choices: Choices) -> list[Remark]:
    if choices.source == "demo":
        return []
    frames = choices.window_frames
    interval_ms = choices.subject.segment.frame_interval_ms if choices.subject and choices.subject.segment else None
    interval_ms = interval_ms or choices.exposure_ms
    length = "" if interval_ms is None else f" ({frames * interval_ms / 1000:.2g} s)"
    if frames < 5:
        return [Remark(f"windows of {frames} frames{length} hold few molecules: sparse samples need longer ones")]
    if frames > 50:
        return [Remark(f"windows of {frames} frames{length} blur what moves: moving samples need shorter ones")]
    return [Remark(f"windows of {frames} frames{length}: shorter for what moves, longer for few molecules")]
