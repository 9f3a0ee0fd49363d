"""A live run from its source to its end, and one that goes on where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dblink_live.config import RunConfig
from dblink_live.errors import input_accepted
from dblink_live.store import Run, open_run
from dblink_live.workflows.inputs.guess_source import guess_source
from dblink_live.workflows.interrupt import stop_on_interrupt
from dblink_live.workflows.live.viewer_process import start_viewer
from dblink_live.workflows.progress import Progress, progress_of
from dblink_live.workflows.settings import read_settings

if TYPE_CHECKING:
    from dblink_live.pipeline.live_run import LiveRun, LiveSession


STOPPING = "stopping: what the camera has taken is still processed"


def run(
    source: str,
    out: str | Path,
    *,
    config: RunConfig | Mapping[str, Any] | str | Path | None = None,
    exposure_ms: float | None = None,
    roi: tuple[int, int, int, int] | None = None,
    view: bool = False,
    progress: bool | Progress = False,
    **settings: object,
) -> Run:
    """Reconstruct live from a camera, a recorded stack or a simulated specimen, and return the finished run.

    Ctrl-C once ends the run in order.

    Parameters
    ----------
    source
        Where frames come from: a specification such as ``mm:core?config=MyScope.cfg``, or the path of a recording.
    out
        The run folder to make.
    config
        Settings: a TOML file, a run folder whose settings are repeated, or plain nested values.
    exposure_ms, roi
        Exposure, and region of the sensor as x, y, width, height in pixels.
    view
        Whether to open the viewer, in a process of its own.
    progress
        True shows a bar.
    **settings
        Single settings by their short names (``pixel_size_nm``, ``model``, ``window``, ...), or a section as a
        mapping, as in ``reconstruct={"lookahead": 4}``.

    Raises
    ------
    ConfigError, SourceError, CalibrationError, ModelError, PluginError
        The settings or the source are wrong.
    StoreError
        The folder exists already, or the disk failed.

    Examples
    --------
    >>> import numpy as np
    >>> import tifffile
    >>> folder = getfixture("tmp_path")
    >>> frames = np.random.default_rng(1).poisson(20, (40, 16, 16)).astype(np.uint16)
    >>> frames[:, 7:9, 7:9] += 200
    >>> tifffile.imwrite(folder / "stack.tif", frames)
    >>> done = run(str(folder / "stack.tif"), folder / "cell1.run", pixel_size_nm=160, window=10, model="filaments")
    >>> done.live.shape
    (4, 64, 64)
    """
    resolved = read_settings(config, short=settings)
    spec = guess_source(source, exposure_ms, roi)
    return open_run(run_live(spec, Path(out), resolved, view=view, progress=progress).folder)


def run_live(
    source: str, folder: Path, config: RunConfig, *, view: bool = False, progress: bool | Progress = False
) -> LiveRun:
    """Run the source specification ``source`` into ``folder``, as `run`, and return what happened on the way."""
    from dblink_live.pipeline.live_run import open_live_run

    _give_way_to(source)
    return _run_session(lambda: open_live_run(source, folder, config), view, progress_of(progress))


def resume(
    path: Path, config: RunConfig | None = None, *, view: bool = False, progress: bool | Progress = False
) -> LiveRun:
    """Go on with an interrupted run: redo what was in flight, then take further frames from its source.

    Parameters
    ----------
    config
        Settings to compare: those that differ from the run's are refused by name; None takes the run's own.

    Raises
    ------
    StoreError
        It is no run, or one that cannot be taken up.
    ConfigError
        A setting differs from the run's.
    """
    from dblink_live.pipeline.resume import open_resumed_run

    report = progress_of(progress)
    with open_run(path) as stored:
        n_windows = stored.committed_count("counts")
        source = read_settings(stored.config).source.spec
    chosen = config or read_settings(path)

    def open_session() -> LiveSession:
        with report.bar("replaying what was stored", n_windows, "windows") as advance:
            return open_resumed_run(path, chosen, on_progress=lambda done, _: advance(done))

    if source:
        _give_way_to(source)
    return _run_session(open_session, view, report)


def _give_way_to(source: str) -> None:
    """Lower the priority of this process where another program acquires, so that its acquisition comes first."""
    from dblink_live.pipeline.priority import give_way
    from dblink_live.sources import parse_source

    if parse_source(source).is_of_another_program:
        give_way()


def _run_session(open_session: Callable[[], LiveSession], view: bool, report: Progress) -> LiveRun:
    """Open a session and run it to its end."""
    opened: list[LiveSession] = []
    orderly = stop_on_interrupt(report, lambda: _stopping(opened), has_begun=lambda: bool(opened))
    with orderly as interrupted, open_session() as session:
        opened.append(session)
        if session.address is not None:
            keys = session.publishing.keys
            with_keys = f" --keys {keys}" if keys else ""
            report.note(
                f"live at {session.address}; from another terminal: dblink-live view {session.address}{with_keys}"
            )
            if view:
                start_viewer(session.address, keys, report)
        if session.forecast is not None:
            report.note(session.forecast.line())
        with input_accepted(), report.bar("reconstructing live", session.n_frames_expected, "frames") as advance:
            finished = session.run(_noting_refusals(session, advance, report), interrupted.is_set)
    if finished.stopped_by_disk is not None:
        report.note(
            f"{finished.stopped_by_disk}: the run was ended early, as store.when_full says; what it has is complete"
        )
    return finished


def _stopping(opened: list[LiveSession]) -> str:
    left = opened[0].left() if opened else ""
    return f"stopping: {left} first" if left else STOPPING


def _noting_refusals(session: LiveSession, advance: Callable[[int], None], report: Progress) -> Callable[[int], None]:
    """Also report, once, that a viewer was turned away: it goes on trying every second."""
    was_reported = False

    def on_progress(n_seen: int) -> None:
        nonlocal was_reported
        advance(n_seen)
        refusals = session.refusals
        if refusals.count and not was_reported:
            was_reported = True
            report.note(f"a viewer was turned away: {refusals.last}")

    return on_progress
