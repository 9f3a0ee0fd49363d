"""Videos of filaments with everything varied that a network must not rely on (domain randomization, Tobin et al. 2017).

Two conventions of structure: lines one pixel wide that are moved by interpolation, as the released simulator of DBlink
draws them (`gray_lines`), and bands of any width that move continuously, also within a window. Fields hold from a
single filament to tangles that fill a fifth of them. Filaments rest, drift, turn, bend, start and stop, by up to 60 nm
per window. Localizations scatter by whole pixels, by a Gaussian of one precision, or by one precision per molecule.
Molecules stay on for several frames, bleach, label unevenly, and merge where a localizer cannot tell two of them apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from dblink_live.simulate.blinking import MapBlinking, memoryless_counts
from dblink_live.simulate.motion import Points, RigidMotion, draw_bending
from dblink_live.simulate.specimen import AUTHORS_DRIFT_NM, AUTHORS_ROTATION_DEG, FilamentSpecimen
from dblink_live.simulate.structures.filaments import draw_authors_field, draw_filament
from dblink_live.simulate.structures.gray_lines import GrayLines
from dblink_live.simulate.structures.labelling import Labelling
from dblink_live.simulate.video import FIELD, Video
from dblink_live.types import Grid, Shape

WINDOW_FRAMES = 10
MAX_STEP_NM = 60.0
"""Fastest motion per window."""
MAX_FILAMENTS = 32
"""Of the densest field of 5 um; they fill a fifth of it."""
MAX_GRAY_STEP_PX = 0.06
"""Structure that moved by less is not drawn anew."""
RATE_PER_UM_AND_FRAME = 0.12
"""Localizations of the released simulator, which emits from bands about 2.4 px wide."""


@dataclass(frozen=True)
class VariedParameters:
    """What varied videos of filaments show; the ranges are those that are drawn from."""

    shape: Shape = FIELD
    n_windows: int = 200
    pitch_nm: float = 40.0
    density: tuple[float, float] = (0.3, 3.5)
    """Of lines: multiples of the released simulator's localizations on structure, drawn log-uniformly."""
    density_of_bands: tuple[float, float] = (0.25, 10.0)
    """The same of bands: what moves fast needs many."""
    noise: tuple[float, float] = (0.3, 4.0)
    """Multiples of its noise localizations, drawn log-uniformly."""
    max_speed: float = 12.0
    """Of lines, in multiples of the released simulator's."""
    max_step_nm: float = MAX_STEP_NM
    """Of bands, per window."""
    even_speed_share: float = 0.5
    """Share of videos of bands whose speed is drawn evenly up to the fastest; the others mostly show slow ones."""
    width_nm: tuple[float, float] = (50.0, 130.0)
    """Of bands."""


def draw_lines_video(parameters: VariedParameters, rng: np.random.Generator) -> Video:
    """A video of lines as the released simulator moves them, and blinks them, in fields of any density."""
    field_nm = (parameters.shape.height * parameters.pitch_nm, parameters.shape.width * parameters.pitch_nm)
    grid = Grid(parameters.pitch_nm, parameters.shape)
    lines = FilamentSpecimen(grid, _draw_field(rng, field_nm), [_at_rest(field_nm)], width_nm=0.0).mask_at(0)
    # Squaring a uniform number puts more videos among the slow ones; a quarter is at the released speed or below.
    speed = rng.uniform(0.0, 1.0) if rng.random() < 0.25 else parameters.max_speed * rng.random() ** 1.5
    drift = speed * AUTHORS_DRIFT_NM / 40.0
    velocity = rng.uniform(-drift, drift, size=2)
    turn = AUTHORS_ROTATION_DEG * (speed if rng.random() < 0.5 else 1.0)
    gray = GrayLines(lines, (float(velocity[0]), float(velocity[1])), turn)
    blinking = MapBlinking(
        density=_log_uniform(rng, parameters.density),
        noise=1.0 if rng.random() < 0.5 else _log_uniform(rng, parameters.noise),
        jitter_px=1 if rng.random() < 0.8 else int(rng.integers(0, 3)),
        cluster_probability=0.2 if rng.random() < 0.8 else float(rng.uniform(0.0, 0.3)),
    )
    largest_side = max(parameters.shape)
    step_px = WINDOW_FRAMES * (float(np.hypot(*velocity)) + math.radians(turn) * largest_side / 2)
    every = max(1, int(MAX_GRAY_STEP_PX / max(step_px, 1e-6))) if step_px else parameters.n_windows
    every = min(every, 8)
    masks = [gray.mask_at(t * WINDOW_FRAMES) for t in range(0, parameters.n_windows, every)]
    truth = np.stack([masks[t // every] for t in range(parameters.n_windows)])
    counts = np.stack([memoryless_counts(mask, WINDOW_FRAMES, blinking, rng) for mask in truth])
    return _with_losses(counts, truth, rng)


def draw_mask_video(masks: npt.NDArray[np.bool_], parameters: VariedParameters, rng: np.random.Generator) -> Video:
    """A video of structure that somebody drew: moved and blinked as the lines are, by up to ``max_step_nm`` per window.

    Parameters
    ----------
    masks
        [N, H, W], drawings on the fine grid; one of them is turned, and a part of it as large as the video is shown.
        What lies beyond a smaller drawing is empty.
    parameters
        ``density`` counts localizations per pixel of structure, in multiples of the released simulator's.
    """
    drawing = np.rot90(masks[int(rng.integers(len(masks)))], int(rng.integers(4)))
    drawing = drawing[:, ::-1] if rng.random() < 0.5 else drawing
    structure = _part_of(drawing, parameters.shape, rng)
    step_px = parameters.max_step_nm * rng.random() ** 2 / parameters.pitch_nm
    direction = rng.uniform(0.0, 2 * math.pi)
    speed = step_px * (1.0 - 0.5 * rng.random()) / WINDOW_FRAMES
    turn = math.degrees(0.3 * step_px / WINDOW_FRAMES / (max(parameters.shape) / 2)) * float(rng.uniform(-1.0, 1.0))
    moved = GrayLines(structure, (speed * math.sin(direction), speed * math.cos(direction)), turn)
    blinking = MapBlinking(
        density=_log_uniform(rng, parameters.density),
        noise=_log_uniform(rng, parameters.noise),
        jitter_px=int(rng.choice([0, 1, 1, 1, 2])),
        cluster_probability=float(rng.uniform(0.0, 0.3)),
    )
    # Structure runs to and fro, so that it stays in view.
    period = rng.uniform(10.0, 60.0) * WINDOW_FRAMES
    frames = np.abs((np.arange(parameters.n_windows) * WINDOW_FRAMES + period) % (2 * period) - period)
    truth = np.stack([moved.mask_at(float(frame)) for frame in frames - period / 2])
    counts = np.stack([memoryless_counts(mask, WINDOW_FRAMES, blinking, rng) for mask in truth])
    return _with_losses(counts, truth, rng)


def _part_of(drawing: npt.NDArray[np.bool_], shape: Shape, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """A random part of ``drawing`` of the given shape; what lies beyond the drawing is empty."""
    missing = [max(want - have, 0) for want, have in zip(shape, drawing.shape, strict=True)]
    before = [int(rng.integers(n + 1)) for n in missing]
    padded = np.pad(drawing, [(b, n - b) for b, n in zip(before, missing, strict=True)])
    y, x = (int(rng.integers(have - want + 1)) for have, want in zip(padded.shape, shape, strict=True))
    part: npt.NDArray[np.bool_] = padded[y : y + shape.height, x : x + shape.width]
    return part


def draw_bands_video(parameters: VariedParameters, rng: np.random.Generator) -> Video:
    """A video of bands of any width that move, also within a window, and of molecules on them."""
    n_frames = parameters.n_windows * WINDOW_FRAMES
    field_nm = (parameters.shape.height * parameters.pitch_nm, parameters.shape.width * parameters.pitch_nm)
    grid = Grid(parameters.pitch_nm, parameters.shape)
    margin = 800.0
    filaments = _draw_field(rng, field_nm, margin)
    clock = _draw_clock(n_frames, rng)
    individual = rng.random() < 0.4
    motions = [_draw_motion(rng, field_nm, parameters) for _ in range(len(filaments) if individual else 1)] or [
        _at_rest(field_nm)
    ]
    bending = draw_bending(rng, float(rng.uniform(40.0, 300.0)), 500.0) if rng.random() < 0.4 else None
    width = float(rng.uniform(*parameters.width_nm))
    specimen = FilamentSpecimen(grid, filaments, motions, width, bending)
    middle = clock[WINDOW_FRAMES // 2 :: WINDOW_FRAMES]
    truth = np.stack([specimen.mask_at(float(frame)) for frame in middle[: parameters.n_windows]])

    length_um = sum(float(np.hypot(*np.diff(points, axis=0).T).sum()) for points in filaments) * 1e-3
    molecules_on = float(rng.choice([1.0, 1.0, 2.0, 3.0]))
    rate = _log_uniform(rng, parameters.density_of_bands) * RATE_PER_UM_AND_FRAME / molecules_on
    frame = _draw_frames(int(rng.poisson(rate * length_um * n_frames)), n_frames, rng)
    shares = rng.random((len(frame), 3))
    if len(frame) and rng.random() < 0.35:
        labelling = Labelling(unevenness=float(rng.uniform(0.2, 1.0)), gap_share=float(rng.choice([0.0, 0.05, 0.15])))
        kept = labelling.choose(specimen.place(shares, 0.0), rng)
        frame, shares = frame[kept], shares[kept]
    # Molecules that stay on are localized in consecutive frames, each time anew.
    repeats = rng.geometric(1.0 / molecules_on, size=len(frame)).clip(max=8)
    molecule = np.repeat(np.arange(len(frame)), repeats)
    within = np.arange(len(molecule)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    frames = frame[molecule] + within
    inside = frames < n_frames
    molecule, frames = molecule[inside], frames[inside]
    places = specimen.place(shares[molecule], clock[frames])
    places = places + _scatter(molecule, len(frame), parameters.pitch_nm, rng)
    if rng.random() < 0.5:
        places, frames = _merge(places, frames, float(rng.uniform(100.0, 350.0)), rng)
    noise = 2.0 * _log_uniform(rng, parameters.noise) * math.prod(parameters.shape) / 128**2
    n_false = int(rng.poisson(noise * n_frames))
    places = np.concatenate([places, rng.uniform(0.0, field_nm, size=(n_false, 2))])
    frames = np.concatenate([frames, rng.integers(n_frames, size=n_false)])
    counts = _binned(places, frames, parameters)
    return _with_losses(counts, truth, rng)


def _draw_field(rng: np.random.Generator, field_nm: tuple[float, float], margin_nm: float = 0.0) -> list[Points]:
    """Filaments of one field: as released in a third of them, else of a density drawn log-uniformly."""
    if not margin_nm and rng.random() < 0.35:
        return draw_authors_field(rng, field_nm)
    area = math.prod(side + 2 * margin_nm for side in field_nm) / 5120.0**2
    n_filaments = round(math.exp(rng.uniform(0.0, math.log(MAX_FILAMENTS))) * area)
    high = (field_nm[0] + margin_nm, field_nm[1] + margin_nm)
    drawn = [draw_filament(rng, 160.0 if not margin_nm else -margin_nm, high) for _ in range(max(n_filaments, 1))]
    return [filament for filament in drawn if len(filament) > 1]


def _at_rest(field_nm: tuple[float, float]) -> RigidMotion:
    return RigidMotion((0.0, 0.0), 0.0, (field_nm[0] / 2, field_nm[1] / 2))


def _draw_motion(rng: np.random.Generator, field_nm: tuple[float, float], parameters: VariedParameters) -> RigidMotion:
    """Rest, drift, or a turn, evenly up to the fastest in a part of the videos and mostly slower in the others."""
    power = 1.0 if rng.random() < parameters.even_speed_share else 3.0
    step = parameters.max_step_nm * rng.random() ** power
    direction = rng.uniform(0.0, 2 * math.pi)
    turning_share = rng.random() if rng.random() < 0.4 else 0.0
    drift = step * (1.0 - turning_share) / WINDOW_FRAMES
    # The turn's share of the step is what structure half a field from the centre moves by.
    turn = math.degrees(step * turning_share / WINDOW_FRAMES / (max(field_nm) / 2)) * float(rng.choice([-1.0, 1.0]))
    return RigidMotion(
        velocity_nm_per_frame=(drift * math.sin(direction), drift * math.cos(direction)),
        rotation_deg_per_frame=turn,
        centre_nm=(float(rng.uniform(0.0, field_nm[0])), float(rng.uniform(0.0, field_nm[1]))),
        reach_nm=float(rng.uniform(200.0, 2000.0)),
    )


def _draw_clock(n_frames: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """[n_frames] the structure's own time at each frame: it stands still in places where motion starts and stops."""
    pace = np.ones(n_frames)
    if rng.random() < 0.3:
        changes = np.sort(rng.integers(n_frames, size=int(rng.integers(1, 6))))
        moving = rng.random() < 0.5
        for start, stop in zip([0, *changes], [*changes, n_frames], strict=True):
            pace[start:stop] = float(moving)
            moving = not moving
    clock: npt.NDArray[np.float64] = np.cumsum(pace)
    return clock


def _draw_frames(n: int, n_frames: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """When molecules switch on: evenly, or ever fewer of them where they bleach."""
    if rng.random() < 0.6:
        return rng.integers(n_frames, size=n)
    lifetime = n_frames * float(rng.uniform(0.4, 2.0))
    shares = rng.random(n) * -math.expm1(-n_frames / lifetime)
    return np.minimum((-lifetime * np.log1p(-shares)).astype(np.int64), n_frames - 1)


def _scatter(
    molecule: npt.NDArray[np.int64], n_molecules: int, pitch_nm: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Errors [N, 2] in nm of localizations, ``molecule`` [N] the one each belongs to."""
    size = (len(molecule), 2)
    kind = rng.random()
    if kind < 0.25:  # whole pixels, as released
        reach = int(rng.choice([1, 1, 2]))
        return pitch_nm * rng.integers(-reach, reach + 1, size=size).astype(np.float64)
    precision = np.full(n_molecules, math.exp(rng.uniform(math.log(5.0), math.log(60.0))))
    if kind > 0.5:  # precision from molecule to molecule, as their photons have it
        precision *= rng.lognormal(0.0, 0.4, size=n_molecules)
    errors = rng.standard_normal(size) * precision[molecule][:, None]
    outlying = rng.random(len(molecule)) < float(rng.choice([0.0, 0.05, 0.15]))
    errors[outlying] += rng.uniform(-200.0, 200.0, size=(int(outlying.sum()), 2))
    scattered: npt.NDArray[np.float64] = errors
    return scattered


def _merge(
    places: Points, frames: npt.NDArray[np.int64], within_nm: float, rng: np.random.Generator
) -> tuple[Points, npt.NDArray[np.int64]]:
    """Let some neighbours of one frame be localized as one between them, or one of them be missed."""
    apart = 10.0 * within_nm
    tree = cKDTree(np.column_stack([places, frames * apart]))
    pairs = tree.query_pairs(within_nm, output_type="ndarray")
    pairs = pairs[rng.random(len(pairs)) < 0.7]
    places = places.copy()
    places[pairs[:, 0]] = (places[pairs[:, 0]] + places[pairs[:, 1]]) / 2
    kept = np.ones(len(places), bool)
    kept[pairs[:, 1]] = False
    return places[kept], frames[kept]


def _binned(places: Points, frames: npt.NDArray[np.int64], parameters: VariedParameters) -> npt.NDArray[np.uint16]:
    """Maps [T, H, W]."""
    height, width = parameters.shape
    y, x = np.floor(places / parameters.pitch_nm).astype(np.int64).T
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    flat = ((frames // WINDOW_FRAMES)[inside] * height + y[inside]) * width + x[inside]
    counts = np.bincount(flat, minlength=parameters.n_windows * height * width)
    return counts.reshape(parameters.n_windows, height, width).astype(np.uint16)


def _with_losses(counts: npt.NDArray[np.uint16], truth: npt.NDArray[np.bool_], rng: np.random.Generator) -> Video:
    """In a fifth of the videos some windows are missing, wholly or in part."""
    present = np.ones(len(counts), np.float32)
    if rng.random() < 0.2:
        lost = rng.random(len(counts)) < rng.uniform(0.0, 0.2)
        seen = np.where(rng.random(len(counts)) < 0.7, 0, rng.integers(0, WINDOW_FRAMES, size=len(counts)))
        present[lost] = seen[lost] / WINDOW_FRAMES
        counts = rng.binomial(counts, present[:, None, None]).astype(np.uint16)
    return Video(counts, truth, present)


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    return math.exp(rng.uniform(math.log(limits[0]), math.log(limits[1])))
