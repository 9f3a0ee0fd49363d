"""``dblink-live run``: a live run from a camera, a recorded stack or a simulated specimen."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from dblink_live.cli.options import UsageError, Verbs, add_json, add_verb
from dblink_live.cli.result import Outcome
from dblink_live.errors import input_accepted
from dblink_live.workflows.progress import CONSOLE, say

if TYPE_CHECKING:
    from dblink_live.config import RunConfig
    from dblink_live.pipeline.live_run import LiveRun, LiveSession

INTERRUPTED = 130


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "run",
        run=run,
        help="reconstruct live from a camera, a recorded stack or a simulated specimen",
        example="dblink-live run --source 'tiff:stack.tif?fps=50' --out stack.run --set camera.pixel_size_nm=108",
    )
    parser.add_argument(
        "--source",
        metavar="SPEC",
        help="mm:core?config=FILE, mm:acquisition?events=PLAN, mm:live, ndtiff:PATH, tiff:PATH, zarr:PATH, raw:PATH, "
        "sim:filaments or sim:mitochondria, with options after '?' "
        "(needed unless --config names one)",
    )
    parser.add_argument("--out", metavar="RUN", type=Path, required=True, help="the run folder to make")
    parser.add_argument(
        "--config", metavar="F.toml|RUN", type=Path, help="settings of the run, or a run folder whose run is repeated"
    )
    parser.add_argument(
        "--record",
        dest="overrides",
        action="append_const",
        const="store.record=true",
        default=[],
        help="also keep the camera frames (mm:core and sim:; recordings are kept already)",
    )
    add_settings_and_viewer(parser)
    add_json(parser)


def add_settings_and_viewer(parser: argparse.ArgumentParser) -> None:
    """The options that `run` and `resume` share."""
    parser.add_argument(
        "--set",
        metavar="SECTION.KEY=VALUE",
        dest="overrides",
        action="append",
        default=[],
        help="one setting, over those of --config; may be repeated",
    )
    parser.add_argument(
        "--publish",
        metavar="ADDRESS",
        dest="overrides",
        action=_Setting,
        const="publish.address",
        default=[],
        help="where viewers connect, tcp://127.0.0.1:PORT; beyond this machine (tcp://0.0.0.0:PORT) only with --keys",
    )
    parser.add_argument(
        "--keys",
        metavar="FOLDER",
        dest="overrides",
        action=_Setting,
        const="publish.keys",
        default=[],
        help="let in only viewers whose keys are in this folder, made by `dblink-live keys`",
    )
    viewer = parser.add_mutually_exclusive_group()
    viewer.add_argument("--view", dest="view", action="store_true", default=None, help="open the viewer")
    viewer.add_argument(
        "--no-view", dest="view", action="store_false", help="open no viewer (default without a display)"
    )


class _Setting(argparse.Action):
    """An option that is a setting with a shorter name: it counts as ``--set`` of the setting ``const``."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        # A JSON string is a TOML string: whatever is in a path, it stays text.
        namespace.overrides = [*namespace.overrides, f"{self.const}={json.dumps(values)}"]


def run(options: argparse.Namespace) -> Outcome:
    config = read_config(options.config, options.overrides)
    source = options.source or config.source.spec
    if source is None:
        raise UsageError("dblink-live run: error: expected --source, or a --config that names one; see --help")
    view = has_display() if options.view is None else options.view
    return outcome_of_run(run_with_viewer(source, options.out, config, view=view), source)


def read_config(path: Path | None, overrides: list[str]) -> RunConfig:
    """The configuration of a TOML file or of a run, with single settings over it."""
    from dblink_live.config import load_run_config
    from dblink_live.store import open_run

    if path is None or not path.is_dir():
        return load_run_config(path, overrides)
    with open_run(path) as stored:
        return load_run_config(None, overrides, base=stored.config)


def outcome_of_run(finished: LiveRun, source: str) -> Outcome:
    """What `run` and `resume` answer."""
    from dblink_live.pipeline.scoring import figures_of_run, score_if_simulated, table_of_run

    with input_accepted():
        scores = score_if_simulated(source, finished)
    if finished.stopped_by_disk is not None:
        say(f"{finished.stopped_by_disk}: the run was ended early, as store.when_full says; what it has is complete")
    return Outcome(
        text=table_of_run(finished, scores),
        figures=figures_of_run(finished, scores),
        status=INTERRUPTED if finished.totals.stopped_early else 0,
    )


def run_with_viewer(source: str, folder: Path, config: RunConfig, *, view: bool) -> LiveRun:
    """Run live with a progress bar, an orderly Ctrl-C and, if asked, a viewer in a process of its own."""
    from dblink_live.pipeline.live_run import open_live_run

    give_way_to(source)
    return run_session(lambda: open_live_run(source, folder, config), view=view)


def give_way_to(source: str) -> None:
    """Where another program acquires, let it go first: nothing about its acquisition may change because we watch."""
    from dblink_live.pipeline.priority import give_way
    from dblink_live.sources import parse_source

    if parse_source(source).is_of_another_program:
        give_way()


def run_session(open_session: Callable[[], LiveSession], *, view: bool) -> LiveRun:
    """Open a session and run it to its end."""
    # Until it is open a `DblinkError` speaks of the input; once the camera runs, of a failure on the way.
    with stop_on_interrupt() as interrupted, open_session() as session:
        if session.address is None:
            with input_accepted():
                return session.run()
        with_keys = f" --keys {session.publishing.keys}" if session.publishing.keys else ""
        say(f"live at {session.address}; from another terminal: dblink-live view {session.address}{with_keys}")
        if view:
            start_viewer(session.address, session.publishing.keys)
        with input_accepted(), CONSOLE.bar("reconstructing live", session.n_frames_expected, "frames") as advance:
            return session.run(on_progress=_and_say_refusals(session, advance), should_stop=interrupted.is_set)


def _and_say_refusals(session: LiveSession, advance: Callable[[int], None]) -> Callable[[int], None]:
    """Also tell, once, that a viewer was turned away: it goes on trying every second."""
    was_told = False

    def advance_and_tell(n_seen: int) -> None:
        nonlocal was_told
        advance(n_seen)
        refusals = session.refusals
        if refusals.count and not was_told:
            was_told = True
            say(f"a viewer was turned away: {refusals.last}")

    return advance_and_tell


def start_viewer(address: str, keys: str | None = None) -> None:
    """Open the viewer in a process of its own, which outlives this one so that the last picture can be looked at."""
    command = [sys.executable, "-m", "dblink_live.viewer", address, *(("--keys", keys) if keys else ())]
    if sys.platform == "win32":
        subprocess.Popen(command, creationflags=subprocess.CREATE_NEW_PROCESS_GROUP)
    else:
        # A session of its own: Ctrl-C in the terminal ends the run, not the window.
        subprocess.Popen(command, start_new_session=True)


def has_display() -> bool:
    """Whether a window can be shown here."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextmanager
def stop_on_interrupt(
    message: str = "stopping: what the camera has taken is still processed",
) -> Iterator[threading.Event]:
    """Turn the first Ctrl-C (or SIGTERM) into a flag, for an orderly end; the second one interrupts as usual."""
    flag = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if flag.is_set():
            raise KeyboardInterrupt
        flag.set()
        say(f"{message} (Ctrl-C again to quit at once)")

    if threading.current_thread() is not threading.main_thread():
        yield flag  # signals reach the main thread only
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform == "win32":
        numbers.append(signal.SIGBREAK)
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield flag
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
