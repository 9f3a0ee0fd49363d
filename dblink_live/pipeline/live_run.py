"""One live run from a source specification: opens everything in the right order, and closes it in the reverse."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import torch

from dblink_live.bus import EndMessage, Publisher, Refusals, StartMessage, read_server_keys
from dblink_live.camera.resolve import resolve_camera
from dblink_live.config import PublishConfig, RunConfig
from dblink_live.device import computes_bfloat16
from dblink_live.errors import DblinkError
from dblink_live.interfaces import FrameSource
from dblink_live.models import Model, load_model
from dblink_live.pipeline.disk import DiskAction, DiskGuard, DiskUse, check_forecast, measure_disk
from dblink_live.pipeline.live_loop import LiveLoop
from dblink_live.pipeline.live_settings import check_live_settings
from dblink_live.pipeline.network_runner import Engine
from dblink_live.pipeline.overload.forecast import Forecast, forecast, measure_costs
from dblink_live.pipeline.overload.live_region import RegionRequest
from dblink_live.pipeline.preview_publisher import PreviewPublisher
from dblink_live.pipeline.provenance import describe_run
from dblink_live.pipeline.recording.recorder import Recorder, start_recorder
from dblink_live.pipeline.totals import LineTotals
from dblink_live.registry import get_localizer_factory
from dblink_live.sources import SourceSpec, default_camera, open_source, parse_source
from dblink_live.sources.camera_process import launch_camera
from dblink_live.store import RunWriter
from dblink_live.types import Camera, FrameArray, Grid, RunInfo, Segment

NOTHING_DONE = LineTotals()


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
    resumed: Resumption | None = None
    """What was taken up; None for a run that went on from its beginning. The totals are then those since."""
    forecast: Forecast | None = None
    """What was to be expected; None where the source has no pace."""
    stopped_by_disk: str | None = None
    """Why ``store.when_full`` ended the run early; None where it did not."""


@dataclass(frozen=True)
class Resumption:
    """What taking up an interrupted run has found and done."""

    n_segments: int
    """Segments that it had."""
    n_frames_kept: int
    """Camera frames that its committed windows span."""
    n_redone: int
    """Pictures that were in flight when it was interrupted, and were made again."""
    downtime_s: float | None
    """Since its last commit; None where nothing had been committed."""
    estimated_camera: Camera | None = None
    """What its frames had told of the camera, which goes on to hold."""


@dataclass(frozen=True)
class OpenSource:
    """A source that is open, with what it says of itself."""

    source: FrameSource
    segment: Segment
    """Its first one."""
    default: Camera | None
    """The camera that it vouches for."""


class LiveSession:
    """A run that is open and about to start: the source is ready, the run folder made, viewers can connect.

    Made by `open_live_run`; use it as a context manager.
    """

    def __init__(
        self,
        opened: OpenSource | None,
        model: Model,
        config: RunConfig,
        writer: RunWriter,
        publisher: Publisher | None,
        info: RunInfo,
        resources: ExitStack,
        resumed: Resumption | None = None,
        recorder: Recorder | None = None,
        forecast: Forecast | None = None,
        measure: Callable[[Path], DiskUse] = measure_disk,
    ) -> None:
        self._opened = opened
        self._recorder = recorder
        self.forecast = forecast
        """What is to be expected of the run; None where its source has no pace."""
        self._line: LiveLoop | None = None
        self._resumed = resumed
        self._model = model
        self._config = config
        self._writer = writer
        self._publisher = publisher
        self._info = info
        self._resources = resources
        self._guard = DiskGuard(writer.path, config.store.when_full, measure)
        self._has_dropped_raw = False
        self._stopped_by_disk: str | None = None

    @property
    def address(self) -> str | None:
        """What a viewer on this machine connects to; None when nothing is published."""
        return self._publisher.address if self._publisher else None

    @property
    def publishing(self) -> PublishConfig:
        """How the run is published."""
        return self._config.publish

    @property
    def refusals(self) -> Refusals:
        """Viewers that were turned away for their keys."""
        return self._publisher.refusals if self._publisher else Refusals()

    @property
    def n_frames_expected(self) -> int | None:
        """Number of frames that are to come, where the source knows it."""
        return self._opened.source.n_frames_expected if self._opened else 0

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
        if self._opened is None:
            self._writer.finalize()
            return self._left_behind(NOTHING_DONE)
        self._line = line = LiveLoop(
            self._opened.source,
            self._model,
            self._config,
            self._writer,
            default_camera=self._opened.default,
            first_segment=self._resumed.n_segments if self._resumed else 0,
            estimated_camera=self._resumed.estimated_camera if self._resumed else None,
            pictures=PreviewPublisher(self._publisher, self._info.uuid) if self._publisher else None,
            n_pixels_held=self.forecast.n_pixels_held if self.forecast else None,
            on_progress=lambda n_seen: self._progressed(n_seen, on_progress),
            should_stop=lambda: should_stop() or self._stopped_by_disk is not None,
        )
        if self._publisher is not None:
            self._publisher.on_region = self._move_region
        try:
            totals = line.run(self._opened.segment)
            if self._recorder is not None:
                self._recorder.finish()
            self._writer.finalize()
        except DblinkError as error:
            if self._publisher is not None:
                self._publisher.end(EndMessage(run_uuid=self._info.uuid, state="failed", message=str(error)))
            raise
        if self._publisher is not None:
            self._publisher.end(EndMessage(run_uuid=self._info.uuid))
        return self._left_behind(totals, line.pixel_size_nm, line.last_frame)

    def left(self) -> str:
        """Return what is still to be done, in words; empty before the run has begun."""
        return "" if self._line is None else self._line.left()

    def _move_region(self, text: str) -> None:
        """Move the live region, as a viewer asks. Raises `ConfigError` where it may not be there."""
        if self._line is not None:
            request = RegionRequest.parse(text)
            self._line.ask_for_region(request)
            self._writer.event(f"a viewer asked for the live region {text}")

    def _progressed(self, n_seen: int, on_progress: Callable[[int], None]) -> None:
        if self._recorder is not None:
            self._recorder.watch()
        self._mind_the_disk()
        on_progress(n_seen)

    def _mind_the_disk(self) -> None:
        """Do what ``store.when_full`` says, once each."""
        action = self._guard.look()
        if action is DiskAction.NOTHING:
            return
        if self._recorder is not None and not self._has_dropped_raw and action is DiskAction.DROP_RAW:
            self._has_dropped_raw = True
            self._recorder.drop()
            self._writer.event(f"{self._guard.describe()}: camera frames are no longer recorded, the run goes on")
        if action is DiskAction.STOP and self._stopped_by_disk is None:
            self._stopped_by_disk = self._guard.describe()
            self._writer.event(f"{self._stopped_by_disk}: the run is ended early, as store.when_full says")

    def _left_behind(
        self, totals: LineTotals, pixel_size_nm: float = 0.0, last_frame: FrameArray | None = None
    ) -> LiveRun:
        return LiveRun(
            folder=self._writer.path,
            totals=totals,
            model=self._model,
            pixel_size_nm=pixel_size_nm,
            lookahead=self._config.reconstruct.lookahead,
            last_frame=last_frame,
            fps_asked=_fps(self._opened.segment) if self._opened else None,
            device=str(self._model.device),
            resumed=self._resumed,
            forecast=self.forecast,
            stopped_by_disk=self._stopped_by_disk,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.__exit__(kind, error, trace)


def open_live_run(
    source_spec: str,
    folder: Path,
    config: RunConfig,
    *,
    publish: bool = True,
    measure: Callable[[Path], DiskUse] = measure_disk,
) -> LiveSession:
    """Open the source, check every setting against it, and make the run folder, in this order.

    ``measure`` tells how full the disk is while the run goes on.

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
        opened, camera = open_for_run(spec, config, stack)
        grid = Grid.covering(opened.segment.shape, camera.pixel_size_nm, model.pixel_size_nm)
        config, expected = forecast_of(opened, camera, model, config)
        check_forecast(folder, opened.source, opened.segment, grid, config)
        info = describe_run(config, model, source_spec)
        publisher = open_publisher(config, stack) if publish else None
        writer = stack.enter_context(
            RunWriter.create(folder, info, window_frames=config.windows.frames, live_dtype=config.store.live_dtype)
        )
        if publisher is not None:
            publisher.start(start_message(info, opened, folder, camera, model, config))
        recorder = recorder_of(opened, camera, config, writer, stack)
        kept = stack.pop_all()
        return LiveSession(
            opened, model, config, writer, publisher, info, kept, recorder=recorder, forecast=expected, measure=measure
        )


def open_for_run(spec: SourceSpec, config: RunConfig, stack: ExitStack, n_kept: int = 0) -> tuple[OpenSource, Camera]:
    """Open the source that ``spec`` names, to be closed with ``stack``, and resolve its camera.

    A localizer is made for it, so that its settings are refused before anything is written, and what it must compile or
    load is there before the camera starts.
    """
    source = open_source(spec, launch=launch_camera, n_kept=n_kept)
    stack.callback(source.close)
    segment = source.open()
    default = default_camera(spec)
    camera = resolve_camera(config.camera, segment, default)
    get_localizer_factory(config.localizer.name)(camera, **config.localizer.to_options())
    check_live_settings(config, segment)
    return OpenSource(source, segment, default), camera


def forecast_of(
    opened: OpenSource, camera: Camera, model: Model, config: RunConfig
) -> tuple[RunConfig, Forecast | None]:
    """Return what is to be expected of a run, by a measurement of about a second; None for a source without a pace.

    Where the engine is "auto", the configuration comes back with the one that is taken: float32 where it holds the
    camera's rate, else bfloat16 where the device computes in it.
    """
    fps = _fps(opened.segment)
    if fps is None or not opened.source.is_live:
        return config, None
    shape, request = opened.segment.shape, RegionRequest.parse(config.live.region)
    is_open = config.reconstruct.engine == "auto"
    if is_open:
        config = _with_engine(config, "eager")
    found = forecast(measure_costs(model, config, camera, shape), shape, fps, request)
    if is_open and found.load > 1 and computes_bfloat16(model.device):
        config = _with_engine(config, "bfloat16")
        found = forecast(measure_costs(model, config, camera, shape), shape, fps, request)
    return config, found


def _with_engine(config: RunConfig, engine: Engine) -> RunConfig:
    return msgspec.structs.replace(config, reconstruct=msgspec.structs.replace(config.reconstruct, engine=engine))


def recorder_of(
    opened: OpenSource, camera: Camera, config: RunConfig, writer: RunWriter, stack: ExitStack, first_segment: int = 0
) -> Recorder | None:
    """The recorder that ``store.record`` asks for, ready before the camera starts."""
    if not config.store.record:
        return None
    return start_recorder(opened.source, opened.segment, camera.pixel_size_nm, writer, stack, first_segment)


def open_publisher(config: RunConfig, stack: ExitStack) -> Publisher:
    """A publisher that viewers can find, to be closed with ``stack``.

    Raises
    ------
    WireError
        The address is taken or not allowed, or the keys cannot be read.
    """
    keys = read_server_keys(Path(config.publish.keys)) if config.publish.keys else None
    return stack.enter_context(Publisher(config.publish.address, keys=keys))


def _fps(segment: Segment) -> float | None:
    return 1000.0 / segment.frame_interval_ms if segment.frame_interval_ms else None


def start_message(
    info: RunInfo, opened: OpenSource, folder: Path, camera: Camera, model: Model, config: RunConfig
) -> StartMessage:
    """Return what viewers are told about a run."""
    source, segment = opened.source, opened.segment
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
