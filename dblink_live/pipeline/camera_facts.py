"""Which camera facts hold for a run: the configuration's, else the source's; what neither knows is asked for."""

from __future__ import annotations

from dblink_live.config import CameraConfig
from dblink_live.errors import CalibrationError
from dblink_live.types import Camera, Segment

PIXEL_SIZE_TOLERANCE = 0.01


def resolve_camera(config: CameraConfig, segment: Segment, default: Camera | None = None) -> Camera:
    """The camera of ``segment``.

    ``default`` is what the source itself vouches for (a simulated camera knows its own gain). Settings win over it.
    A gain that nobody knows makes the camera *uncalibrated*: the run goes on, visibly marked.

    Raises
    ------
    CalibrationError
        Neither the configuration nor the source knows the pixel size.
    """
    pixel_size_nm = config.pixel_size_nm or segment.pixel_size_nm or (default.pixel_size_nm if default else None)
    if pixel_size_nm is None:
        raise CalibrationError(
            "expected the camera's pixel size in the sample plane, but neither the configuration nor the source states "
            "it (Micro-Manager says 0.0 when it is uncalibrated); give it with --set camera.pixel_size_nm=..."
        )
    stored_bits = 8 if segment.dtype == "uint8" else 16
    bit_depth = config.bit_depth or (default.bit_depth if default else segment.bit_depth or stored_bits)
    if config.electrons_per_adu is None and default is None:
        return Camera(
            pixel_size_nm=pixel_size_nm,
            offset_adu=config.offset_adu or 0.0,
            em_gain=config.em_gain,
            read_noise_e=config.read_noise_e,
            bit_depth=bit_depth,
            is_calibrated=False,
        )
    base = default or Camera(pixel_size_nm=pixel_size_nm)
    return Camera(
        pixel_size_nm=pixel_size_nm,
        offset_adu=base.offset_adu if config.offset_adu is None else config.offset_adu,
        electrons_per_adu=base.electrons_per_adu if config.electrons_per_adu is None else config.electrons_per_adu,
        em_gain=config.em_gain if config.em_gain != 1.0 else base.em_gain,
        quantum_efficiency=config.quantum_efficiency,
        read_noise_e=config.read_noise_e or base.read_noise_e,
        bit_depth=bit_depth,
    )


def pixel_size_conflict(config: CameraConfig, segment: Segment) -> str | None:
    """A sentence for the log when the configuration and the source state different pixel sizes; settings win."""
    stated, found = config.pixel_size_nm, segment.pixel_size_nm
    if stated is None or found is None or abs(stated - found) <= PIXEL_SIZE_TOLERANCE * found:
        return None
    return f"camera.pixel_size_nm is set to {stated} nm while the source says {found} nm; the setting is used"
