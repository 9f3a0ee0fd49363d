"""Whether a window can be opened here, and what is missing where it cannot. Imports no Qt.

Qt itself ends the whole process where it finds no screen, or lacks a library of the system.
"""

from __future__ import annotations

import ctypes
import os
import sys

_HEADLESS_PLATFORMS = ("offscreen", "minimal", "vnc", "linuxfb", "eglfs")
_X11_LIBRARIES = {
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
}
"""What Qt's X11 plug-in loads, and the Debian package of each."""


def can_open_window() -> bool:
    """Return whether there is a screen, or a stand-in for one."""
    if os.environ.get("QT_QPA_PLATFORM", "").partition(":")[0] in _HEADLESS_PLATFORMS:
        return True
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def missing_packages() -> list[str]:
    """Return the Debian packages that Qt needs for a window on this screen and does not find.

    Only an X11 screen needs any: Wayland, Windows and macOS bring theirs.
    """
    platform = os.environ.get("QT_QPA_PLATFORM", "").partition(":")[0]
    on_x11 = platform == "xcb" or (not platform and os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"))
    if sys.platform in ("win32", "darwin") or not on_x11:
        return []
    return [package for library, package in _X11_LIBRARIES.items() if not _can_load(library)]


def advice_on_import(error: ImportError) -> str:
    """Return what to do where Qt cannot be imported: install it, or the library of the system that it lacks.

    Examples
    --------
    >>> advice_on_import(ImportError("libEGL.so.1: cannot open shared object file"))
    'install the library of the system that holds libEGL.so.1 (Debian: apt-get install libgl1 libegl1 libxkbcommon0)'
    """
    text = str(error)
    if ".so" in text:
        library = text.partition(":")[0]
        return (
            f"install the library of the system that holds {library} "
            "(Debian: apt-get install libgl1 libegl1 libxkbcommon0)"
        )
    return 'install them: pip install "dblink-live[viewer]"'


def _can_load(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
