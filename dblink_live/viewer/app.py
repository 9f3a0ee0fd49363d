"""Starts the viewer: ``python -m dblink_live.viewer tcp://127.0.0.1:5556`` or a run folder.

Qt is imported only when a window is really opened, so that a machine without it, or without a display, gets a sentence
instead of a crash.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from dblink_live.display.screen import advice_on_import, can_open_window, missing_packages
from dblink_live.errors import ConfigError, DblinkError

WRONG_USE = 2
"""Exit status where the input or the machine does not allow what was asked."""


def view(
    target: str | Path | None = None,
    screenshot: str | Path | None = None,
    after_s: float = 3.0,
    keys: Path | None = None,
) -> int:
    """Open the viewer and return when its last window is closed.

    Parameters
    ----------
    target
        ``tcp://HOST:PORT`` of a live run, or a run folder; None opens the start page.
    screenshot
        Save the window as a PNG after ``after_s`` seconds, and quit.
    after_s
        When.
    keys
        Folder of keys, for a live run that demands some; a run on another machine always does.

    Returns
    -------
    The exit status, 0 when all went well.

    Raises
    ------
    ConfigError
        Qt or a library that it needs is not installed, or there is no display.
    StoreError
        The folder is no run.
    WireError
        The address cannot be read, or the keys.
    """
    if not can_open_window():
        raise ConfigError(
            "expected a display for the viewer, found none (DISPLAY is not set); run it on a machine with a screen, "
            "or with QT_QPA_PLATFORM=offscreen and --screenshot FILE; dblink-live --help lists what needs no display"
        )
    if missing := missing_packages():
        raise ConfigError(
            f"expected the libraries that Qt needs for a window, missing are {', '.join(missing)}; "
            f"install them: apt-get install {' '.join(missing)}"
        )
    try:
        from PySide6.QtCore import QTimer
        from PySide6.QtWidgets import QApplication, QWidget

        from dblink_live.viewer.program import Program
        from dblink_live.viewer.theme import follow_system_theme
        from dblink_live.viewer.window import save_widget
    except ImportError as error:
        raise ConfigError(f"the viewer needs PySide6 and pyqtgraph ({error}); {advice_on_import(error)}") from error
    from dblink_live.bus import Subscriber, read_client_keys
    from dblink_live.viewer.sources.live_source import LiveSource
    from dblink_live.viewer.sources.stored_source import StoredSource

    if keys is not None and not str(target).startswith("tcp://"):
        raise ConfigError(f"expected an address tcp://HOST:PORT to use keys with, found {target}")
    live, history = None, None
    if target is not None and str(target).startswith("tcp://"):
        client_keys = read_client_keys(keys) if keys else None
        live = LiveSource(Subscriber(str(target), keys=client_keys), keys=client_keys)
    elif target is not None:
        history = StoredSource(target)
    existing = QApplication.instance()
    app = existing if isinstance(existing, QApplication) else QApplication(["dblink-live"])
    follow_system_theme(app)
    program = Program()
    shown: QWidget = program.show_start() if target is None else program.show_window(live, history)

    def save_and_quit() -> None:
        try:
            save_widget(shown, Path(screenshot or ""))
        except DblinkError as error:
            print(f"error: {error}", file=sys.stderr)
            app.exit(1)
        else:
            program.close()
            app.quit()

    if screenshot is not None:
        QTimer.singleShot(round(after_s * 1000), save_and_quit)
    # Python sees Ctrl-C between two ticks of the window's timer.
    before = signal.signal(signal.SIGINT, lambda *_: app.quit())
    try:
        return int(app.exec())
    finally:
        signal.signal(signal.SIGINT, before)
        program.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the viewer; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m dblink_live.viewer", description="Look at a live or stored run.")
    parser.add_argument(
        "target",
        nargs="?",
        metavar="ADDRESS_OR_RUN",
        help="tcp://HOST:PORT of a live run, or a run folder (default: the start page)",
    )
    parser.add_argument("--screenshot", metavar="FILE", type=Path, help="save the window as a PNG and quit")
    parser.add_argument("--keys", metavar="FOLDER", type=Path, help="keys for a run on another machine")
    parser.add_argument("--after-s", metavar="N", type=float, default=3.0, help="seconds before the screenshot")
    arguments = parser.parse_args(argv)
    try:
        return view(arguments.target, arguments.screenshot, arguments.after_s, arguments.keys)
    except DblinkError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_USE
