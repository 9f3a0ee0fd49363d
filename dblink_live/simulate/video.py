"""Videos of localization maps with their truth: what networks are trained and scored on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from dblink_live.errors import ConfigError
from dblink_live.simulate.blinking import MapBlinking, memoryless_counts
from dblink_live.simulate.checks import require, require_seed
from dblink_live.simulate.fluorophores import Fluorophores
from dblink_live.simulate.motion import Points, RigidMotion, draw_bending
from dblink_live.simulate.recording import Recording, fluorophore_counts
from dblink_live.simulate.specimen import (
    AUTHORS_DRIFT_NM,
    AUTHORS_ROTATION_DEG,
    WIDTH_NM,
    FilamentSpecimen,
    Specimen,
)
from dblink_live.simulate.speeds import SHORTEST_FRAME_MS
from dblink_live.simulate.structures.bodies import BodySpecimen
from dblink_live.simulate.structures.filaments import draw_authors_field, draw_network
from dblink_live.simulate.structures.instability import DynamicInstability, LengthHistory, draw_history
from dblink_live.simulate.structures.labelling import Labelling
from dblink_live.simulate.structures.mitochondria import draw_blob, draw_mitochondrion
from dblink_live.simulate.structures.reticulum import ReticulumParameters, draw_reticulum
from dblink_live.types import Grid, Shape

Structure = Literal["filaments", "mitochondria", "blobs", "empty", "er"]
Blinking = Literal["memoryless", "fluorophores"]
FIELD = Shape(128, 128)
"""Of the released simulator: 5.12 um at 40 nm."""
BENDING_PERIOD_FRAMES = 500.0
MARGIN_NM = 1000.0
"""Reach of structure beyond the field."""


@dataclass(frozen=True)
class VideoParameters:
    """Parameters of a video. The defaults are those of DBlink's released simulator (Saguy et al., 2023)."""

    structure: Structure = "filaments"
    shape: Shape = FIELD
    n_windows: int = 200
    window_frames: int = 10
    pitch_nm: float = 40.0
    density: float = 1.0
    """Multiple of the released simulator's localizations on structure."""
    speed: float = 1.0
    """Multiple of its velocities and rotation."""
    noise: float = 1.0
    """Multiple of its noise localizations."""
    jitter_px: int = 1
    cluster_probability: float = 0.2
    individual_motion: bool = False
    """Each filament moves on its own; as released, the whole field moves as one."""
    reaches_beyond: bool = False
    """Filaments go on outside the field, so that new ones come in; as released, they are cut at its border."""
    width_nm: float = WIDTH_NM
    """Of filaments; 0 makes them lines one pixel wide."""
    bending_nm: float = 0.0
    """Filaments sway by about this much, once in 500 frames or slower; as released, they are rigid."""
    missing_share: float = 0.0
    """Share of windows that are missing, wholly or in part."""
    frame_ms: float = 20.0
    """Time from frame to frame: it turns speeds in nm/s, and on-times in ms, into frames."""
    growth: DynamicInstability | None = None
    """Filaments grow and shrink at one end, ``speed`` times as fast; as released, they keep their length."""
    reticulum: ReticulumParameters = field(default_factory=ReticulumParameters)
    """The endoplasmic reticulum of structure "er", which moves ``speed`` times as fast as these say."""
    blinking: Blinking = "memoryless"
    """"memoryless" as released; "fluorophores" ride on the structure and stay on for several frames. They ignore
    ``jitter_px`` and ``cluster_probability``: their photons say how well they are localized."""
    fluorophores: Fluorophores = field(default_factory=Fluorophores)
    """Of that blinking; ``density`` multiplies their labels, and ``noise`` their false positives and clusters."""
    labelling: Labelling = field(default_factory=Labelling)
    """Evenness of the labelling."""

    def __post_init__(self) -> None:
        if self.structure not in get_args(Structure):
            raise ConfigError(f"expected a structure among {', '.join(get_args(Structure))}, found {self.structure!r}")
        if self.blinking not in get_args(Blinking):
            raise ConfigError(f"expected blinking among {', '.join(get_args(Blinking))}, found {self.blinking!r}")
        if self.blinking == "memoryless" and not self.labelling.is_even:
            raise ConfigError('uneven labelling needs molecules, found blinking "memoryless"; set it to "fluorophores"')
        require("frame_ms", self.frame_ms, SHORTEST_FRAME_MS)
        for name in ("density", "speed", "noise", "jitter_px", "width_nm", "bending_nm"):
            require(name, getattr(self, name), 0.0)
        for name in ("missing_share", "cluster_probability"):
            require(name, getattr(self, name), 0.0, 1.0)
        Grid(self.pitch_nm, self.shape)
        if self.n_windows < 1 or self.window_frames < 1:
            raise ConfigError(f"expected at least 1 window of 1 frame, found {self.n_windows} of {self.window_frames}")


@dataclass(frozen=True)
class Video:
    """Localization maps and the structure they come from."""

    counts: npt.NDArray[np.uint16]
    """[T, H, W]."""
    truth: npt.NDArray[np.bool_]
    """[T, H, W], the structure at each window's first frame."""
    present: npt.NDArray[np.float32]
    """[T] share of each window's frames that were seen."""

    def with_counts(self, counts: npt.NDArray[np.uint16]) -> Video:
        """The same video with other maps of the same shape."""
        return dataclasses.replace(self, counts=counts)


_DEFAULT = VideoParameters()
PRESETS = MappingProxyType(
    {
        "default": _DEFAULT,
        "half density": dataclasses.replace(_DEFAULT, density=0.5),
        "3x speed": dataclasses.replace(_DEFAULT, speed=3.0),
        "8x speed": dataclasses.replace(_DEFAULT, speed=8.0),
        "mitochondria": dataclasses.replace(_DEFAULT, structure="mitochondria"),
        "er": dataclasses.replace(_DEFAULT, structure="er"),
        "fluorophores": dataclasses.replace(_DEFAULT, blinking="fluorophores"),
        "uneven labelling": dataclasses.replace(
            _DEFAULT, blinking="fluorophores", labelling=Labelling(unevenness=0.8, gap_share=0.1)
        ),
        "growing filaments": dataclasses.replace(_DEFAULT, growth=DynamicInstability()),
    }
)
"""The released simulator and its variations (the first five), on which scores are reported; and what it leaves out."""


def simulate_video(parameters: VideoParameters, seed: int | np.random.Generator) -> Video:
    """Draw a specimen and record it; the same seed gives the same video.

    Examples
    --------
    >>> video = simulate_video(PRESETS["default"], 1)
    >>> video.counts.shape, video.truth.shape
    ((200, 128, 128), (200, 128, 128))
    """
    if isinstance(seed, np.random.Generator):
        rng = seed
    else:
        require_seed(seed)
        rng = np.random.default_rng(seed)
    # Structure that reaches beyond the field has no beginning: the video starts anywhere in its movement.
    specimen = draw_specimen(parameters, rng)
    n_frames = parameters.n_windows * parameters.window_frames
    first = -int(rng.integers(n_frames)) if parameters.reaches_beyond else 0
    truth = np.stack([specimen.mask_at(first + t * parameters.window_frames) for t in range(parameters.n_windows)])
    record = _record_memoryless if parameters.blinking == "memoryless" else _record_fluorophores
    counts, present = record(parameters, specimen, first, truth, rng)
    return Video(counts, truth, present)


def _record_memoryless(
    parameters: VideoParameters, specimen: Specimen, first: int, truth: npt.NDArray[np.bool_], rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.float32]]:
    """Maps [T, H, W] of localizations that the structure of a window alone determines, and the share seen [T]."""
    blinking = MapBlinking(
        density=parameters.density,
        jitter_px=parameters.jitter_px,
        cluster_probability=parameters.cluster_probability,
        noise=parameters.noise,
    )
    counts = np.stack([memoryless_counts(mask, parameters.window_frames, blinking, rng) for mask in truth])
    present = np.ones(parameters.n_windows, np.float32)
    if parameters.missing_share:
        present = _draw_present(parameters, rng)
        counts = rng.binomial(counts, present[:, None, None]).astype(np.uint16)
    return counts, present


def _record_fluorophores(
    parameters: VideoParameters, specimen: Specimen, first: int, truth: npt.NDArray[np.bool_], rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.float32]]:
    """The same of molecules that ride on the structure: what they are sighted in are frames, not windows."""
    n_windows, window_frames = parameters.n_windows, parameters.window_frames
    present = _draw_present(parameters, rng) if parameters.missing_share else np.ones(n_windows, np.float32)
    # Any frames of a window may be lost: those that come last in a random order.
    order = np.argsort(rng.random((n_windows, window_frames)), axis=1)
    is_seen = (order < np.rint(present * window_frames)[:, None]).ravel()
    of_video = parameters.fluorophores
    fluorophores = dataclasses.replace(
        of_video,
        labels_per_um2=of_video.labels_per_um2 * parameters.density,
        false_per_um2=of_video.false_per_um2 * parameters.noise,
        clusters_per_um2=of_video.clusters_per_um2 * parameters.noise,
    )
    recording = Recording(n_windows, window_frames, first, parameters.frame_ms)
    counts = fluorophore_counts(specimen, recording, fluorophores, parameters.labelling, is_seen, rng)
    return counts, present


def draw_specimen(parameters: VideoParameters, rng: np.random.Generator) -> Specimen:
    """The moving structure of a video."""
    grid = Grid(parameters.pitch_nm, parameters.shape)
    field_nm = (grid.shape.height * grid.pitch_nm, grid.shape.width * grid.pitch_nm)
    centre = (field_nm[0] / 2, field_nm[1] / 2)
    s_per_frame = parameters.frame_ms / 1000.0 * parameters.speed
    if parameters.structure == "filaments":
        if parameters.reaches_beyond:
            filaments = draw_network(
                rng, field_nm, margin_nm=MARGIN_NM, filaments_per_um2=float(rng.uniform(0.03, 0.25))
            )
        else:
            filaments = draw_authors_field(rng, field_nm)
        n_motions = len(filaments) if parameters.individual_motion else 1
        motions = [_draw_motion(rng, centre, parameters) for _ in range(n_motions)]
        bending = draw_bending(rng, parameters.bending_nm, BENDING_PERIOD_FRAMES) if parameters.bending_nm else None
        histories = _draw_histories(parameters, filaments, s_per_frame, rng)
        return FilamentSpecimen(grid, filaments, motions, parameters.width_nm, bending, histories, s_per_frame)
    if parameters.structure == "er":
        motion = _draw_motion(rng, centre, parameters)
        n_frames = parameters.n_windows * parameters.window_frames
        margin = MARGIN_NM + n_frames * max(abs(axis) for axis in motion.velocity_nm_per_frame)
        return draw_reticulum(rng, grid, field_nm, margin, parameters.reticulum, s_per_frame, motion)
    if parameters.structure == "empty":
        return BodySpecimen(grid, [])
    draw = draw_mitochondrion if parameters.structure == "mitochondria" else draw_blob
    return BodySpecimen(grid, [draw(rng, field_nm, parameters.speed) for _ in range(int(rng.integers(1, 12)))])


def _draw_histories(
    parameters: VideoParameters, filaments: list[Points], s_per_frame: float, rng: np.random.Generator
) -> list[LengthHistory] | None:
    """Return the dynamics of each of ``filaments`` during the video, and before it where its start may lie earlier."""
    if parameters.growth is None:
        return None
    stop = parameters.n_windows * parameters.window_frames * s_per_frame
    start = -stop if parameters.reaches_beyond else 0.0
    lengths = [float(np.hypot(*np.diff(filament, axis=0).T).sum()) for filament in filaments]
    return [draw_history(rng, parameters.growth, length, start, stop) for length in lengths]


def _draw_motion(rng: np.random.Generator, centre_nm: tuple[float, float], parameters: VideoParameters) -> RigidMotion:
    velocity = rng.uniform(-AUTHORS_DRIFT_NM, AUTHORS_DRIFT_NM, size=2) * parameters.speed
    turn = rng.uniform(-1.0, 1.0) if parameters.individual_motion else 1.0
    return RigidMotion(
        velocity_nm_per_frame=(float(velocity[0]), float(velocity[1])),
        rotation_deg_per_frame=AUTHORS_ROTATION_DEG * parameters.speed * turn,
        centre_nm=centre_nm,
    )


def _draw_present(parameters: VideoParameters, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Share of frames seen of each window: most missing windows are missing as a whole."""
    n, frames = parameters.n_windows, parameters.window_frames
    seen = np.where(rng.random(n) < 0.7, 0, rng.integers(0, frames, size=n)) / frames
    return np.where(rng.random(n) < parameters.missing_share, seen, 1.0).astype(np.float32)
