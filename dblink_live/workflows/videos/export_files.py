"""Writers of exported files: TIFF for ImageJ, movie, picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageDraw, PngImagePlugin

from dblink_live.display.contrast import RECONSTRUCTION, SUM, ContrastPolicy, Limits, contrast_limits
from dblink_live.display.drawing import BACKGROUND, FAINT, write_text
from dblink_live.errors import ConfigError, StoreError
from dblink_live.report.mp4 import Mp4Encoder
from dblink_live.report.pictures import painted
from dblink_live.types import FloatImage
from dblink_live.workflows.inputs.run_excerpt import Excerpt
from dblink_live.workflows.progress import Advance

MAX_TIFF_BYTES = 2**32 - 2**20
"""ImageJ's format of TIFF counts bytes with 32 bits; some are left for the metadata."""
LONGER_SIDE_PX = 1024
"""Small fields are enlarged to about this size in movies and pictures, and larger ones reduced."""
PICTURES_PER_S = 20
_MIN_WIDTH_PX = 460
"""Room for the words below a movie, however narrow the field."""
_TEXT_SHARE = 1 / 52
"""Height of the words below a movie over its width."""


def write_tiff(path: Path, excerpt: Excerpt, advance: Advance) -> int:
    """Write an ImageJ hyperstack, float32 [T, H, W], with scale and time; return the number of windows.

    Values are probabilities in [0, 1], or localizations per pixel of the plain sum. A window without a picture is NaN.

    Raises
    ------
    ConfigError
        The stack is larger than ImageJ's TIFF can be.
    """
    shape = (len(excerpt.windows), *excerpt.grid.shape)
    n_bytes = 4 * int(np.prod(shape, dtype=np.int64))
    if n_bytes > MAX_TIFF_BYTES:
        raise ConfigError(
            f"expected at most 4 GB, which is all that ImageJ's TIFF holds, found {n_bytes / 1e9:.1f} GB; export a "
            "region or a range of time, or open run.ome.zarr itself"
        )
    pitch_um = excerpt.grid.pitch_nm / 1000
    metadata: dict[str, object] = {
        "axes": "TYX",
        "unit": "um",
        "Info": "\n".join(_facts(excerpt)),
        "min": 0.0,
        "max": 1.0 if excerpt.product != "sum" else _policy_limits(excerpt).high,
    }
    if excerpt.window_s is not None:
        metadata |= {"finterval": excerpt.window_s, "fps": 1 / excerpt.window_s}

    def planes() -> Iterator[FloatImage]:
        for done, (_, picture) in enumerate(excerpt.pictures(), start=1):
            yield np.full(shape[1:], np.nan, np.float32) if picture is None else picture
            advance(done)

    tifffile.imwrite(
        path,
        planes(),
        shape=shape,
        dtype=np.float32,
        imagej=True,
        resolution=(1 / pitch_um, 1 / pitch_um),
        metadata=metadata,
    )
    return shape[0]


def write_movie(path: Path, excerpt: Excerpt, advance: Advance) -> int:
    """Write an MP4 with scale bar, time stamp and the words that say what drew it; return the number of pictures.

    Contrast is fixed for the whole movie by the picture in its middle.
    """
    limits = _policy_limits(excerpt)
    encoder: Mp4Encoder | None = None
    for done, (window, picture) in enumerate(excerpt.pictures(), start=1):
        frame = _movie_frame(excerpt, window, picture, limits)
        if encoder is None:
            encoder = Mp4Encoder(frame.size, PICTURES_PER_S)
        encoder.add(np.asarray(frame))
        advance(done)
    if encoder is None:
        raise StoreError("expected a window to make a movie of, found none")
    path.write_bytes(encoder.finish())
    return len(excerpt.windows)


def write_picture(path: Path, excerpt: Excerpt, scale_bar: bool) -> int:
    """Write the newest picture of the range as a PNG, in the colours of the viewer; return 1.

    Raises
    ------
    StoreError
        No window in the range has a picture.
    """
    for window in reversed(excerpt.windows):
        picture = excerpt.picture(window)
        if picture is not None:
            break
    else:
        raise StoreError("expected a window with a picture in the range of time, found none")
    limits = contrast_limits(picture, _policy(excerpt))
    drawn = painted(picture, excerpt.grid, _policy(excerpt), limits, _longer_side_px(excerpt), scale_bar=scale_bar)
    facts = PngImagePlugin.PngInfo()
    nm_per_px = excerpt.grid.shape.width * excerpt.grid.pitch_nm / drawn.width
    shown = f"{excerpt.when(window)}; {nm_per_px:g} nm per pixel; shades from {limits.low:g} to {limits.high:g}"
    facts.add_text("Description", "\n".join([*_facts(excerpt), shown]))
    drawn.save(path, format="PNG", pnginfo=facts)
    return 1


def _facts(excerpt: Excerpt) -> list[str]:
    info, unit = excerpt.run.info, "localizations per pixel" if excerpt.product == "sum" else "probability of structure"
    return [
        f"{excerpt.run.path.resolve().name}: {excerpt.description}; {excerpt.caution}",
        f"unit: {unit}; pixels of {excerpt.grid.pitch_nm:g} nm; first window {excerpt.windows.start}",
        f"run {info.uuid}, begun {info.created_utc}, segment {excerpt.stored.segment.index}",
    ]


def _policy(excerpt: Excerpt) -> ContrastPolicy:
    return SUM if excerpt.product == "sum" else RECONSTRUCTION


def _policy_limits(excerpt: Excerpt) -> Limits:
    middle = excerpt.picture(excerpt.windows[len(excerpt.windows) // 2])
    empty = np.zeros(excerpt.grid.shape, np.float32)
    return contrast_limits(empty if middle is None else middle, _policy(excerpt))


def _longer_side_px(excerpt: Excerpt) -> int:
    """A whole number of pixels per grid pixel where the field is enlarged, so that all are equally large."""
    longer = max(excerpt.grid.shape)
    return longer * (LONGER_SIDE_PX // longer) if longer <= LONGER_SIDE_PX else LONGER_SIDE_PX


def _movie_frame(excerpt: Excerpt, window: int, picture: FloatImage | None, limits: Limits) -> Image.Image:
    shown = np.zeros(excerpt.grid.shape, np.float32) if picture is None else picture
    drawn = painted(shown, excerpt.grid, _policy(excerpt), limits, _longer_side_px(excerpt), even=True)
    width = max(drawn.width, _MIN_WIDTH_PX)
    size = round(max(13, width * _TEXT_SHARE))
    line, footer = drawn.height + size, 4 * size - 4 * size % 2
    canvas = Image.new("RGB", (width, drawn.height + footer), BACKGROUND)
    canvas.paste(drawn, ((width - drawn.width) // 2, 0))
    draw = ImageDraw.Draw(canvas)
    write_text(draw, (8, line), excerpt.caution.capitalize(), size, "lm")
    stamp = excerpt.when(window) + ("" if picture is not None else ": no picture")
    write_text(draw, (width - 8, line), stamp, size, "rm")
    write_text(draw, (8, line + 1.6 * size), excerpt.description, round(0.85 * size), "lm", FAINT)
    return canvas
