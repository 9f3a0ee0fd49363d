"""NDTiff datasets as a format of recordings: while they are written, and finished."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dblink_live.sources.files.stack_format import StackFormat
from dblink_live.sources.ndtiff.follower import DEFAULT_IDLE_S, NdtiffFollower, NdtiffOptions

if TYPE_CHECKING:
    from dblink_live.sources.spec import SourceSpec


def follow(spec: SourceSpec, n_kept: int) -> NdtiffFollower:
    """Return the follower of the dataset that ``spec`` names, behind the ``n_kept`` frames that a run has kept."""
    options = NdtiffOptions(
        channel=spec.channel,
        position=spec.position,
        camera=spec.camera,
        start=spec.start or 0,
        n_frames=spec.frames,
        watch=spec.watch,
        idle_s=spec.idle_s or DEFAULT_IDLE_S,
        wait_s=spec.wait_s,
    )
    return NdtiffFollower(Path(spec.target), options, first_frame=n_kept)


FORMAT = StackFormat(
    scheme="ndtiff",
    name="NDTiff dataset",
    suffixes=(),
    follow=follow,
    contents=("NDTiff.index", "*NDTiffStack*.tif"),
    options=("channel", "position", "camera", "start", "frames", "watch", "idle_s", "wait_s", "exposure_ms", "roi"),
    versions="format 3 of either writer (Java, Python), while it is written or finished, in several files",
    refused="two cameras at the same axes unless `camera=` selects one; several axes with one time; a dataset without "
    "its index",
    example="data/acquisition_1",
)
