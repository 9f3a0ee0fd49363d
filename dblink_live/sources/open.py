"""Opens what a source specification names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from dblink_live.errors import SourceError
from dblink_live.interfaces import FrameSource
from dblink_live.sources import simulated
from dblink_live.sources.files.stack_format import StackOptions, format_of_scheme
from dblink_live.sources.micromanager import acquisition, core, live_preview, script
from dblink_live.sources.region import RegionSource
from dblink_live.sources.replay import ReplaySource
from dblink_live.sources.spec import SourceSpec, parse_source
from dblink_live.types import CameraRecipe

CameraLauncher = Callable[[CameraRecipe], FrameSource]
"""Runs a camera in a process: `launch_camera`, passed in by the caller that composes the pipeline."""


def open_source(source: str | SourceSpec, *, launch: CameraLauncher, n_kept: int = 0) -> FrameSource:
    """Return the frame source that a specification names; nothing is touched before its ``open``.

    Parameters
    ----------
    source
        ``scheme:path?key=value``, or what `parse_source` made of it.
    launch
        Turns a camera recipe into a source, in a process of its own.
    n_kept
        Frames that an interrupted run has kept: a recording goes on behind them, a camera takes so many fewer.

    Raises
    ------
    SourceError
        The specification is wrong, or all the frames that it names are kept already.
    """
    spec = parse_source(source) if isinstance(source, str) else source
    if n_kept and spec.frames is not None:
        first = spec.start if isinstance(spec.start, int) else 0
        if first + spec.frames <= n_kept:
            raise SourceError(f"expected frames after the {n_kept} that are kept, but {spec.frames} were asked for")
        spec = spec if spec.is_recording else replace(spec, frames=spec.frames - n_kept)
    found = _open(spec, launch, n_kept)
    if spec.is_recording and (spec.roi is not None or spec.exposure_ms is not None):
        return RegionSource(found, spec.roi, spec.exposure_ms)
    return found


def _open(spec: SourceSpec, launch: CameraLauncher, n_kept: int) -> FrameSource:
    match spec.scheme:
        case "mm:core":
            return launch(core.recipe(spec))
        case "mm:acquisition":
            return launch(acquisition.recipe(spec, n_kept))
        case "mm:live":
            return launch(live_preview.recipe(spec))
        case "mm:script":
            return launch(script.recipe(spec))
        case "sim":
            return launch(simulated.recipe(spec))
        case _:
            return _recording(spec, n_kept)


def _recording(spec: SourceSpec, n_kept: int) -> FrameSource:
    found = format_of_scheme(spec.scheme)
    if found is not None and found.follow is not None:
        return found.follow(spec, n_kept)
    if found is None or found.open is None:
        raise SourceError(f"expected a source of this version, found {spec.scheme!r}")
    options = StackOptions(spec.channel, spec.position, spec.frames, spec.partial)
    opener = partial(found.open, Path(spec.target), options)
    name = f"{spec.scheme}:{spec.target}"
    return ReplaySource(name, opener, fps=spec.fps, n_frames=spec.frames, first_frame=n_kept)
