"""The configuration file of Micro-Manager's demo camera that the benchmarks record with."""

from __future__ import annotations

from pathlib import Path

_CONFIG = """\
Property,Core,Initialize,0
Device,Camera,DemoCamera,DCam
Property,Core,Initialize,1
Property,Core,Camera,Camera
Property,Camera,PixelType,16bit
Property,Camera,OnCameraCCDXSize,{side}
Property,Camera,OnCameraCCDYSize,{side}
Property,Camera,FastImage,1
"""
"""FastImage hands out one picture made beforehand, so that drawing stripes does not slow the camera down."""


def write_demo_camera_config(folder: Path, side_px: int, exposure_ms: float | None = None) -> Path:
    """Write a ``.cfg`` for ``side_px`` x ``side_px`` frames of 16 bits into ``folder`` and return its path."""
    text = _CONFIG.format(side=side_px)
    if exposure_ms is not None:
        text += f"Property,Camera,Exposure,{exposure_ms:.2f}\n"
    path = folder / "demo_camera.cfg"
    path.write_text(text, encoding="ascii")
    return path
