"""Simulated specimens, blinking, localization maps and camera frames, all seeded and in pure numpy."""

from dblink_live.simulate.camera import SCMOS, CameraSimulator, make_camera
from dblink_live.simulate.specimen import Specimen, make_specimen
from dblink_live.simulate.video import PRESETS, Video, VideoParameters, simulate_video

__all__ = [
    "PRESETS",
    "SCMOS",
    "CameraSimulator",
    "Specimen",
    "Video",
    "VideoParameters",
    "make_camera",
    "make_specimen",
    "simulate_video",
]
