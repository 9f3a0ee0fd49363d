"""Publish: hands pictures to the viewers. Of those that may be lost, the newest wins."""

from __future__ import annotations

from dataclasses import dataclass

from dblink_live.pipeline.preview_publisher import PreviewPublisher
from dblink_live.pipeline.stages.items import SegmentStart
from dblink_live.pipeline.stages.stage import Stage
from dblink_live.types import Camera, Frame, Grid, LocalizationMap, Reconstruction

CAPACITY = 16


@dataclass(frozen=True)
class _CameraPicture:
    frame: Frame
    camera: Camera


@dataclass(frozen=True)
class _NetworkPicture:
    picture: Reconstruction
    grid: Grid


PublishInput = SegmentStart | LocalizationMap | _CameraPicture | _NetworkPicture


class PublishStage:
    """Sends what viewers are shown.

    Parameters
    ----------
    pictures
        Encodes and sends; it waits for no viewer.
    """

    def __init__(self, pictures: PreviewPublisher) -> None:
        self.stage: Stage[PublishInput] = Stage("publish", self.handle, capacity=CAPACITY)
        self.pictures = pictures

    def camera(self, frame: Frame, camera: Camera) -> None:
        """Show a camera frame, unless too much waits already."""
        self.stage.offer(_CameraPicture(frame, camera))

    def network(self, picture: Reconstruction, grid: Grid) -> None:
        """Show a picture of the network, unless too much waits already."""
        self.stage.offer(_NetworkPicture(picture, grid))

    def handle(self, item: PublishInput) -> None:
        """Show one item."""
        if isinstance(item, LocalizationMap):
            # None of these is left out: the trailing sum is made of them.
            self.pictures.counts(item)
            t_data_ns = item.t_last_frame_ns
        elif isinstance(item, _NetworkPicture):
            self.pictures.reconstruction(item.picture, item.grid)
            t_data_ns = 0
        elif isinstance(item, _CameraPicture):
            self.pictures.camera(item.frame, item.camera)
            t_data_ns = item.frame.t_host_ns
        else:
            self.pictures.begin_segment()
            return
        self.stage.count(1, t_data_ns)
