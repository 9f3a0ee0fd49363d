"""What has to be mended in pyjavaz, pycromanager's client of the Java bridge, before it is used.

Read in pyjavaz 1.2.8, and seen beside Micro-Manager's real server. The mends are made once a process, in the camera
process only.
"""

from __future__ import annotations

import re
from typing import Any

_ARRAY = re.compile(r"(?:\[[A-Z])?@([0-9a-f]{1,8})")
"""How the server names an array that follows its message: ``[S@1b2c3d``, or without the type."""


def repair_client() -> None:
    """Make the mends; a second call changes nothing."""
    from pyjavaz import bridge

    # An exit handler is registered for each object, two a frame, and never taken back: some hundred megabytes an hour
    # at 100 frames a second. The process of a camera ends without them, and `bridge.give_back` gives objects back.
    bridge.atexit = _NoExitHandlers()
    bridge._DataSocket._replace_bytes = _insert_array


class _NoExitHandlers:
    """Stands in for `atexit` in pyjavaz."""

    def register(self, *_: object, **__: object) -> None: ...


def _insert_array(_socket: object, message: Any, code: int, content: bytes) -> bool:
    """Put an array in the place of its name within a message.

    The client's own takes any text with an ``@`` for a name. The value of a property such as "5MHz@x" then raised in
    the thread that receives images, which died without a word, and the acquisition waited for ever.

    Returns
    -------
    Whether its place was found.
    """
    if isinstance(message, dict):
        places: Any = message.items()
    elif isinstance(message, list):
        places = enumerate(message)
    else:
        return False
    for place, value in places:
        if isinstance(value, str):
            named = _ARRAY.fullmatch(value)
            if named and int(named[1], 16) == code:
                message[place] = content
                return True
        elif _insert_array(_socket, value, code, content):
            return True
    return False
