"""Pictures as a movie file: H.264 in an MP4, which every browser plays without a plug-in."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

_QUALITY = "20"
"""Constant rate factor of x264: thin bright lines on black show artefacts above it."""

_PRESET = "veryfast"
"""Of x264: a third of the time of its default, for files that are a few percent larger."""


def can_make_movies() -> bool:
    """Return whether PyAV, of the extra ``report``, is installed."""
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


class Mp4Encoder:
    """Encodes pictures [H, W, 3] of one size, whose sides are even, into an MP4 in memory.

    Parameters
    ----------
    size
        Width and height in pixels.
    pictures_per_s
        At which the movie is played.
    """

    def __init__(self, size: tuple[int, int], pictures_per_s: int) -> None:
        import av

        self._file = io.BytesIO()
        self._container: Any = av.open(self._file, "w", format="mp4")
        self._stream: Any = self._container.add_stream("libx264", rate=Fraction(pictures_per_s))
        self._stream.width, self._stream.height = size
        # Browsers play no other chroma format.
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": _QUALITY, "preset": _PRESET}

    def add(self, picture: npt.NDArray[np.uint8]) -> None:
        import av

        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> bytes:
        """The whole file; nothing can be added afterwards."""
        self._container.mux(self._stream.encode())
        self._container.close()
        return self._file.getvalue()
