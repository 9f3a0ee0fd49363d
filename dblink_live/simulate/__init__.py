"""Simulated specimens, blinking, localization maps and camera frames, all seeded and in pure numpy."""

from dblink_live.simulate.camera import CameraSimulator, make_camera
from dblink_live.simulate.fluorophores import Fluorophores
from dblink_live.simulate.sensors import EMCCD, SCMOS, uneven_sensor
from dblink_live.simulate.specimen import Specimen, make_specimen
from dblink_live.simulate.speeds import nm_per_frame, nm_per_second
from dblink_live.simulate.structures.instability import DynamicInstability
from dblink_live.simulate.structures.labelling import Labelling
from dblink_live.simulate.structures.reticulum import ReticulumParameters
from dblink_live.simulate.video import PRESETS, Video, VideoParameters, simulate_video

__all__ = [
    "EMCCD",
    "PRESETS",
    "SCMOS",
    "CameraSimulator",
    "DynamicInstability",
    "Fluorophores",
    "Labelling",
    "ReticulumParameters",
    "Specimen",
    "Video",
    "VideoParameters",
    "make_camera",
    "make_specimen",
    "nm_per_frame",
    "nm_per_second",
    "simulate_video",
    "uneven_sensor",
]
