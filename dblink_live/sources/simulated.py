"""``sim:``: a specimen whose truth is known, before a simulated camera behind a real Micro-Manager core.

`recipe` runs here; `build_core` runs in the camera process. Both make the same simulator from the same few numbers, and
its frames depend on seed and frame number alone, so the parent can recompute what the specimen really looked like.
"""

from __future__ import annotations

from dataclasses import replace

from dblink_live.errors import SourceError
from dblink_live.simulate import SCMOS, CameraSimulator, make_camera
from dblink_live.sources.spec import SourceSpec
from dblink_live.types import Camera, CameraRecipe, Shape

BUILDER = "dblink_live.sources.simulated:build_core"
DEFAULT_FPS = 50.0
DEFAULT_SIZE_PX = 64
CAMERA = replace(SCMOS, pixel_size_nm=100.0)
"""The camera that every simulated specimen is seen with: its gain and offset are known, unlike a real one's. Its
pixels of
100 nm are the usual choice for localization, and make 64 x 64 of them a field that two CPU cores reconstruct live."""


def simulator_of(spec: SourceSpec) -> CameraSimulator:
    """The simulator behind a ``sim:`` specification: its frames, and their truth."""
    if spec.scheme != "sim":
        raise SourceError(f"expected a simulated source (sim:filaments), found {spec.scheme}:")
    return _simulator(spec.target, spec.size or DEFAULT_SIZE_PX, spec.seed or 0)


def default_camera(spec: SourceSpec) -> Camera | None:
    """Camera facts that a source vouches for itself: those of the simulated camera, and None for every other source."""
    return CAMERA if spec.scheme == "sim" else None


def recipe(spec: SourceSpec) -> CameraRecipe:
    """Return the recipe of a ``sim:`` specification for the camera process."""
    return CameraRecipe(
        name=f"sim:{spec.target}",
        builder=BUILDER,
        options={
            "specimen": spec.target,
            "size": spec.size or DEFAULT_SIZE_PX,
            "seed": spec.seed or 0,
            "fps": spec.fps or DEFAULT_FPS,
            "n_frames": spec.frames,
        },
        n_frames=spec.frames,
        fps=spec.fps or DEFAULT_FPS,
    )


def build_core(specimen: str, size: int, seed: int, fps: float, n_frames: int | None) -> object:
    """Put the simulated camera behind a core, with enough frames rendered to keep its pace.

    Raises
    ------
    SourceError
        The extra with Micro-Manager is not installed.
    """
    try:
        from dblink_live.sources.micromanager.simulated_camera import SimulatedCamera, core_with
    except ImportError as error:
        raise SourceError(
            f"expected pymmcore-plus for a simulated camera, found that it cannot be imported ({error}); "
            'install the extra: pip install "dblink-live[micromanager]"'
        ) from error
    simulator = _simulator(specimen, size, seed)
    camera = SimulatedCamera(simulator, exposure_ms=1000.0 / fps, n_frames=n_frames)
    return core_with(camera, simulator.camera.pixel_size_nm)


def _simulator(specimen: str, size: int, seed: int) -> CameraSimulator:
    return make_camera(specimen, Shape(size, size), seed, camera=CAMERA)
