"""A recorded stack, localized from its first frame to its last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from dblink_live.config import CameraConfig, LocalizerConfig
from dblink_live.errors import CalibrationError, ConfigError, SourceError
from dblink_live.interfaces import Explaining, FrameSource, SourceEvent
from dblink_live.localizations import Localizations as LocalizationArray
from dblink_live.sources.files.stack_format import format_of_scheme, scheme_by_suffix
from dblink_live.types import (
    Camera,
    CameraRecipe,
    Frame,
    FrameArray,
    Gap,
    GapCause,
    Localizations,
    Segment,
    empty_localizations,
)
from dblink_live.workflows.progress import Progress, progress_of
from dblink_live.workflows.settings import read_settings

BATCH_FRAMES = 64


@dataclass(frozen=True)
class LocalizedStack:
    """What `localize_stack` found."""

    localizations: Localizations
    segment: Segment
    camera: Camera
    n_frames: int
    notes: tuple[str, ...] = ()
    """What the localizer has to say."""


def source_of(stack: str) -> str:
    """The source specification of a file, or ``stack`` itself where it is one already.

    Examples
    --------
    >>> source_of("a/stack.ome.tif"), source_of("tiff:frames.dat?frames=10")
    ('tiff:a/stack.ome.tif', 'tiff:frames.dat?frames=10')
    """
    if is_source(stack):
        return stack
    scheme = scheme_by_suffix().get(Path(stack).suffix.lower())
    if scheme is None:
        known = ", ".join(scheme_by_suffix())
        raise SourceError(f"expected a stack of frames ({known}), found {stack}; say what it is: tiff:{stack}")
    return f"{scheme}:{stack}"


def is_source(stack: str) -> bool:
    """Return whether ``stack`` begins with the scheme of a recording, as ``tiff:`` does."""
    return format_of_scheme(stack.partition(":")[0]) is not None


def is_stack(path: Path) -> bool:
    """Return whether the extension is that of a recorded stack."""
    return path.suffix.lower() in scheme_by_suffix()


def localize_stack(
    stack: str,
    localizer: LocalizerConfig = LocalizerConfig(),
    camera: CameraConfig | Camera = CameraConfig(),
    progress: bool | Progress = False,
) -> LocalizedStack:
    """Localize the file or source ``stack``.

    Parameters
    ----------
    stack
        A path whose suffix says what it is, or a source such as ``tiff:stack.dat``.
    localizer, camera
        Settings; what those of a camera leave open is taken from the file.

    Raises
    ------
    SourceError
        The stack is missing, damaged or of another kind.
    CalibrationError
        Neither the settings nor the file state the pixel size.
    PluginError
        There is no such localizer.
    """
    from dblink_live.sources import open_source
    from dblink_live.workflows.inputs.camera_estimate import camera_of_recording

    report = progress_of(progress)
    source = open_source(source_of(stack), launch=refuse_cameras)
    try:
        segment = source.open()
        known = camera if isinstance(camera, Camera) else _camera(stack, camera, segment, report)
        known, sentences = camera_of_recording(source_of(stack), known)
        for sentence in sentences:
            report.warn(sentence)
        found = _localize(localizer, source, known, segment, report)
    finally:
        source.close()
    for note in found.notes:
        report.note(note)
    return found


def localize(
    frames: FrameArray | str | Path,
    camera: Camera | None = None,
    localizer: str = LocalizerConfig().name,
    first_frame: int = 0,
    *,
    progress: bool | Progress = False,
    **settings: object,
) -> LocalizationArray:
    """Find the molecules in camera frames.

    Parameters
    ----------
    frames
        [N, H, W] of 8 or 16 bits; or the path of a recording, or a source such as ``tiff:stack.dat``.
    camera
        Gain, offset and noise of the frames; of a recording None takes what the settings and the file state.
    localizer
        A name of `dblink_live.registry.installed_localizers`, or the ``.safetensors`` file of a network of your own.
    first_frame
        Number of the first of ``frames``; of no use for a recording, which numbers its frames.
    progress
        True shows a bar.
    **settings
        Settings of localizer and camera by their short names (``pixel_size_nm``, ``psf_sigma_px``, ``fit``, ...).

    Returns
    -------
    A structured array of `dblink_live.types.LOCALIZATION_DTYPE`, sorted by frame; positions in camera pixels, the
    centre of the first at 0.

    Raises
    ------
    ConfigError
        A setting is wrong, or the camera is missing beside an array.
    PluginError
        No localizer of that name.
    SourceError, CalibrationError
        The frames cannot be read or localized, or nothing states the pixel size.

    Examples
    --------
    >>> from dblink_live.simulate import SCMOS, make_camera
    >>> from dblink_live.types import Shape
    >>> simulated = make_camera("filaments", Shape(32, 32), seed=1)
    >>> found = localize(np.stack([simulated.frame(n) for n in range(20)]), SCMOS)
    >>> found.dtype.names[:3], bool(len(found) > 10)
    (('frame', 'x', 'y'), True)
    """
    from dblink_live.registry import get_localizer_factory

    report = progress_of(progress)
    config = read_settings(short={"localizer": localizer, **settings})
    if isinstance(frames, str | Path):
        stack = localize_stack(str(frames), config.localizer, config.camera if camera is None else camera, report)
        return stack.localizations.view(LocalizationArray)
    if camera is None:
        raise ConfigError("expected a camera beside an array of frames, found none; for instance Camera(108.0)")
    finder = get_localizer_factory(config.localizer.name)(camera, **config.localizer.to_options())
    tables = [empty_localizations()]
    with report.bar("localizing", len(frames), "frames") as advance:
        # At least once: what is wrong with no frames at all is also said.
        for first in range(0, max(1, len(frames)), BATCH_FRAMES):
            batch = frames[first : first + BATCH_FRAMES]
            numbers = np.arange(first_frame + first, first_frame + first + len(batch), dtype=np.int64)
            tables.append(finder.localize(batch, numbers))
            advance(first + len(batch))
    return np.concatenate(tables).view(LocalizationArray)


def _localize(
    settings: LocalizerConfig, source: FrameSource, camera: Camera, segment: Segment, report: Progress
) -> LocalizedStack:
    from dblink_live.registry import get_localizer_factory

    localizer = get_localizer_factory(settings.name)(camera, **settings.to_options())
    tables = [empty_localizations()]
    n_done = 0
    with report.bar("localizing", source.n_frames_expected, "frames") as advance:
        while not source.is_finished:
            events = source.read(BATCH_FRAMES, timeout_s=1.0)
            _refuse_segments(events, source.name, n_done)
            frames = [event for event in events if isinstance(event, Frame)]
            lost = [event for event in events if isinstance(event, Gap) and event.cause is GapCause.CAMERA]
            n_done = max([n_done, *(gap.after + 1 + (gap.count or 0) for gap in lost)])
            if frames:
                numbers = np.array([frame.number for frame in frames], np.int64)
                batch = cast(FrameArray, np.stack([frame.data for frame in frames]))
                tables.append(localizer.localize(batch, numbers))
                n_done = max(n_done, frames[-1].number + 1)
                advance(n_done)
    notes = tuple(localizer.notes()) if isinstance(localizer, Explaining) else ()
    return LocalizedStack(np.concatenate(tables), segment, camera, n_done, notes)


def _refuse_segments(events: Sequence[SourceEvent], source: str, n_done: int) -> None:
    """Raise SourceError if the recording changes its kind of frames behind the first ``n_done``."""
    changes = [event.reason for event in events if isinstance(event, Segment)]
    if changes:
        raise SourceError(
            f"expected frames of one kind throughout {source}, found a change of {changes[0]} after frame "
            f"{n_done}; `dblink-live run` takes it as several segments"
        )


def _camera(stack: str, config: CameraConfig, segment: Segment, report: Progress) -> Camera:
    from dblink_live.camera.resolve import pixel_size_conflict, resolve_camera

    if config.pixel_size_nm is None and segment.pixel_size_nm is None:
        raise CalibrationError(
            f"expected the camera's pixel size in the sample plane, but {stack} does not state it; "
            "give it with --pixel-size-nm"
        )
    conflict = pixel_size_conflict(config, segment)
    if conflict is not None:
        report.warn(conflict)
    return resolve_camera(config, segment)


def refuse_cameras(recipe: CameraRecipe) -> FrameSource:
    """For `open_source`, where only a recording will do."""
    raise SourceError("expected a recorded stack, found a camera; record with dblink-live run")
