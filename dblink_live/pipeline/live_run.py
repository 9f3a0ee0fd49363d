"""One live run from a source specification: opens everything in the right order, and closes it in the reverse."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from dblink_live.acquire import CameraProcess
from dblink_live.bus import EndMessage, Publisher, StartMessage
from dblink_live.config import RunConfig
from dblink_live.errors import DblinkError, StoreError
from dblink_live.interfaces import FrameSource
from dblink_live.models import Model, load_model
from dblink_live.pipeline.camera_facts import resolve_camera
from dblink_live.pipeline.line import LineTotals, LiveLine
from dblink_live.pipeline.pictures import LivePictures
from dblink_live.sources import default_camera, open_source, parse_source
from dblink_live.store import RunWriter, forecast_bytes
from dblink_live.types import Camera, FrameArray, Grid, RunInfo, Segment

PACKAGES = ("dblink-live", "torch", "numpy", "zarr", "tensorstore", "pymmcore", "pymmcore-plus", "pycromanager")


@dataclass(frozen=True)
class LiveRun:
    """What a run has left behind."""

    folder: Path
    totals: LineTotals
    model: Model
    pixel_size_nm: float
    """Camera pixel of the last segment."""
    lookahead: int
    last_frame: FrameArray | None
    """The newest camera frame [H, W], for the picture of the run."""
    fps_asked: float | None
    device: str


class LiveSession:
    """A run that is open and about to start: the source is ready, the run folder made, viewers can connect.

    Made by `open_live_run`; use it as a context manager.
    """

    def __init__(
        self,
        source: FrameSource,
        segment: Segment,
        default: Camera | None,
        model: Model,
        config: RunConfig,
        writer: RunWriter,
        publisher: Publisher | None,
        info: RunInfo,
        resources: ExitStack,
    ) -> None:
        self._source = source
        self._segment = segment
        self._default = default
        self._model = model
        self._config = config
        self._writer = writer
        self._publisher = publisher
        self._info = info
        self._resources = resources

    @property
    def address(self) -> str | None:
        """What a viewer connects to; None when nothing is published."""
        return self._publisher.address if self._publisher else None

    @property
    def n_frames_expected(self) -> int | None:
        """Number of frames of the whole run, where the source knows it."""
        return self._source.n_frames_expected

    def run(
        self,
        on_progress: Callable[[int], None] = lambda n_seen: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> LiveRun:
        """Process frames until the source ends or ``should_stop``, then finalize the run folder.

        Raises
        ------
        DblinkError
            A failure on the way. The run folder holds everything that was committed and is marked as interrupted.
        """
        line = LiveLine(
            self._source,
            self._model,
            self._config,
            self._writer,
            default_camera=self._default,
            pictures=LivePictures(self._publisher, self._info.uuid) if self._publisher else None,
            on_progress=on_progress,
            should_stop=should_stop,
        )
        try:
            totals = line.run(self._segment)
            self._writer.finalize()
        except DblinkError as error:
            if self._publisher is not None:
                self._publisher.end(EndMessage(run_uuid=self._info.uuid, state="failed", message=str(error)))
            raise
        if self._publisher is not None:
            self._publisher.end(EndMessage(run_uuid=self._info.uuid))
        return LiveRun(
            folder=self._writer.path,
            totals=totals,
            model=self._model,
            pixel_size_nm=line.pixel_size_nm,
            lookahead=self._config.reconstruct.lookahead,
            last_frame=line.last_frame,
            fps_asked=_fps(self._segment),
            device=str(self._model.device),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.__exit__(kind, error, trace)


def open_live_run(source_spec: str, folder: Path, config: RunConfig, *, publish: bool = True) -> LiveSession:
    """Open the source, check every setting against it, and make the run folder, in this order.

    Raises
    ------
    DblinkError
        Wrong input; nothing has been written then.
    """
    if config.reconstruct.threads:
        torch.set_num_threads(config.reconstruct.threads)
    model = load_model(config.reconstruct.model, device=config.reconstruct.device)
    spec = parse_source(source_spec)
    with ExitStack() as stack:
        source = open_source(spec, launch=CameraProcess)
        stack.callback(source.close)
        segment = source.open()
        default = default_camera(spec)
        camera = resolve_camera(config.camera, segment, default)
        _check_disk(folder, source, segment, camera, model, config)
        info = _run_info(config, model, source_spec)
        writer = stack.enter_context(
            RunWriter.create(folder, info, window_frames=config.windows.frames, live_dtype=config.store.live_dtype)
        )
        publisher = stack.enter_context(Publisher(config.publish.address)) if publish else None
        if publisher is not None:
            publisher.start(_start_message(info, source, folder, segment, camera, model, config))
        return LiveSession(source, segment, default, model, config, writer, publisher, info, stack.pop_all())


def _check_disk(
    folder: Path, source: FrameSource, segment: Segment, camera: Camera, model: Model, config: RunConfig
) -> None:
    """Refuse a run that is known not to fit on the disk."""
    if source.n_frames_expected is None:
        return
    grid = Grid.covering(segment.shape, camera.pixel_size_nm, model.pixel_size_nm)
    n_windows = source.n_frames_expected // config.windows.frames
    needed = forecast_bytes(grid, n_windows, live_dtype=config.store.live_dtype)
    parent = next((path for path in folder.absolute().parents if path.is_dir()), None)
    free = shutil.disk_usage(parent).free if parent else 0
    if needed > free:
        raise StoreError(
            f"expected about {needed / 1e6:.0f} MB for {n_windows} windows, "
            f"found {free / 1e6:.0f} MB free at {parent}; "
            "free some space, or choose another disk with --out"
        )


def _fps(segment: Segment) -> float | None:
    return 1000.0 / segment.frame_interval_ms if segment.frame_interval_ms else None


def _run_info(config: RunConfig, model: Model, source_spec: str) -> RunInfo:
    return RunInfo(
        uuid=uuid.uuid4().hex,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        config={**config.to_plain(), "source": {"spec": source_spec}},
        model=model.name,
        model_sha256=model.sha256,
        versions={name: found for name in PACKAGES if (found := _version(name)) is not None},
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _start_message(
    info: RunInfo,
    source: FrameSource,
    folder: Path,
    segment: Segment,
    camera: Camera,
    model: Model,
    config: RunConfig,
) -> StartMessage:
    grid = Grid.covering(segment.shape, camera.pixel_size_nm, model.pixel_size_nm)
    return StartMessage(
        run_uuid=info.uuid,
        created_utc=info.created_utc,
        source=source.name,
        model=model.name,
        device=str(model.device),
        run_folder=str(folder.absolute()),
        camera_shape=(segment.shape.height, segment.shape.width),
        pixel_size_nm=camera.pixel_size_nm,
        grid_shape=(grid.shape.height, grid.shape.width),
        pitch_nm=grid.pitch_nm,
        window_frames=config.windows.frames,
        lookahead=config.reconstruct.lookahead,
        hop=config.reconstruct.hop,
        fps_asked=_fps(segment),
        calibrated=camera.is_calibrated,
    )
