"""Simulated frames to train the dense localizer on: every example has optics, camera, light and crowding of its own.

Each example is a few consecutive frames, of which the last is asked for. Molecules are on for several frames, so those
before it tell something about it. Frames go through the camera (`dblink_live.simulate`) and through the conversion of
the localizer itself: the network learns from exactly what it will be given.

Shapes: B examples, T frames of one, H, W camera pixels, E molecules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import ndtr
from torch import Tensor

from dblink_live.localization.neural.inputs import CONTEXT_FRAMES, MIN_BRIGHTNESS, channels, log_units, prepare
from dblink_live.localization.photoelectrons import PhotonFrames, to_photons
from dblink_live.simulate.noise import digitise
from dblink_live.simulate.sensors import uneven_sensor
from dblink_live.train.localizer.settings import MIN_BRIGHTNESS_SPREAD, LocalizerScenes
from dblink_live.types import Camera, Shape

N_FRAMES = CONTEXT_FRAMES + 1
_BEYOND_SIGMAS = 4.0
"""How far outside the field molecules lie whose light still falls into it."""
_EM_GAIN = 100.0

_Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Examples:
    """A batch."""

    inputs: Tensor
    """[B, CHANNELS, H, W]"""
    example: Tensor
    """[E] which example a molecule belongs to."""
    x: Tensor
    """[E] px"""
    y: Tensor
    log_units: Tensor
    """[E] brightness, see `dblink_live.localization.neural.inputs.log_units`."""

    @property
    def counts(self) -> Tensor:
        """[B] molecules of each example."""
        return torch.bincount(self.example, minlength=len(self.inputs)).float()


@dataclass(frozen=True)
class _Molecules:
    """All that give light in the frames of one example."""

    y: _Values
    x: _Values
    lit: _Values
    """[E, T] share of each frame in which it is on."""
    photons: _Values
    """[E] of a frame in which it is always on."""


def make_examples(scenes: LocalizerScenes, shape: Shape, n: int, rng: np.random.Generator) -> Examples:
    """``n`` examples of ``shape``, drawn from ``scenes``."""
    scenery = [_draw_scene(scenes, shape, rng) for _ in range(n)]
    inputs = [torch.empty(0)] * n
    noise = [torch.empty(0)] * n
    # Frames of known and of unknown cameras are converted apart, each kind at once.
    for is_calibrated in (True, False):
        members = [index for index, scene in enumerate(scenery) if scene.photons.is_calibrated is is_calibrated]
        if members:
            seen = prepare(_joined([scenery[index].photons for index in members]))
            units = torch.unflatten(seen.units, 0, (len(members), N_FRAMES)).flip(1)
            known = torch.tensor([scenery[index].n_known for index in members])
            units = units * (torch.arange(N_FRAMES) < known[:, None])[:, :, None, None]
            log_sigma_px = torch.tensor([scenery[index].log_sigma_px for index in members], dtype=torch.float32)
            made = channels(units, seen.variance_e[N_FRAMES - 1 :: N_FRAMES], log_sigma_px)
            for place, index in enumerate(members):
                inputs[index], noise[index] = made[place], seen.noise[N_FRAMES * (place + 1) - 1]
    molecules = [scene.truth(noise[index]) for index, scene in enumerate(scenery)]
    example = np.repeat(np.arange(n), [found.shape[1] for found in molecules])
    x, y, brightness = torch.from_numpy(np.concatenate(molecules, axis=1).astype(np.float32))
    return Examples(torch.stack(inputs), torch.from_numpy(example), x, y, brightness)


def _joined(parts: list[PhotonFrames]) -> PhotonFrames:
    """The frames of several cameras, with a map of variance for each frame."""
    variance = [part.read_variance.expand_as(part.signal) for part in parts]
    return PhotonFrames(
        torch.cat([part.signal for part in parts]), torch.cat(variance), 1.0, is_calibrated=parts[0].is_calibrated
    )


@dataclass(frozen=True)
class _Scene:
    """One example before the localizer's own preparation."""

    photons: PhotonFrames
    """N_FRAMES of them, the last one being asked for."""
    molecules: _Molecules
    log_sigma_px: float
    """Of the width that the network is told."""
    n_known: int
    """Frames that the network sees: the last one, and those before it that there are."""
    min_photons: float
    gain: float
    """What an electron is in ``photons``."""

    def truth(self, noise: Tensor) -> _Values:
        """x, y and brightness [3, E] of the molecules whose centre lies in the last frame and that can be found."""
        height, width = noise.shape
        lit = self.molecules.photons * self.molecules.lit[:, -1]
        rows, cols = (np.rint(places).astype(np.int64) for places in (self.molecules.y, self.molecules.x))
        wanted = (lit > self.min_photons) & (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
        there = noise[torch.from_numpy(rows[wanted]), torch.from_numpy(cols[wanted])]
        brightness = log_units(torch.from_numpy(self.gain * lit[wanted]), there)
        return np.stack([self.molecules.x[wanted], self.molecules.y[wanted], brightness.numpy()])


def _draw_scene(scenes: LocalizerScenes, shape: Shape, rng: np.random.Generator) -> _Scene:
    sigma_px = _log_uniform(scenes.psf_sigma_px, rng)
    background_e = _log_uniform(scenes.background_e, rng)
    camera = _draw_camera(scenes, background_e, shape, rng)
    noise_e = math.sqrt(background_e + float(np.mean(np.square(camera.read_noise_e))) / camera.em_gain**2)
    photons = _log_uniform(scenes.photons_over_noise, rng) * sigma_px * noise_e
    molecules = _draw_molecules(scenes, shape, sigma_px, photons, rng)
    expected = _expected(molecules, sigma_px, shape) + _draw_background(background_e, scenes, shape, rng)
    counts = digitise(rng.poisson(expected).astype(np.float32), camera, rng)
    told = _camera_as_told(scenes, camera, rng)
    return _Scene(
        photons=to_photons(counts, told, torch.device("cpu")),
        molecules=molecules,
        log_sigma_px=math.log(sigma_px) + scenes.sigma_error * rng.standard_normal(),
        n_known=int(rng.integers(1, N_FRAMES)) if rng.random() < scenes.without_context_share else N_FRAMES,
        min_photons=MIN_BRIGHTNESS * sigma_px * noise_e,
        gain=_gain_as_told(told, camera) / told.excess_noise_factor,
    )


def _expected(molecules: _Molecules, sigma_px: float, shape: Shape) -> npt.NDArray[np.float64]:
    """Mean electrons [T, H, W] that the molecules give."""
    along_y = _shares(molecules.y, sigma_px, shape.height)
    along_x = _shares(molecules.x, sigma_px, shape.width)
    light = (molecules.lit * molecules.photons[:, None]).T
    return np.stack([(along_y * of_frame[:, None]).T @ along_x for of_frame in light])


def _shares(places: _Values, sigma_px: float, n_pixels: int) -> _Values:
    """[E, n_pixels] share of a molecule's light that falls into each pixel along one axis."""
    edges = np.arange(n_pixels + 1) - 0.5
    shares: _Values = np.diff(ndtr((edges - places[:, None]) / sigma_px), axis=1)
    return shares


def _draw_molecules(
    scenes: LocalizerScenes, shape: Shape, sigma_px: float, photons: float, rng: np.random.Generator
) -> _Molecules:
    crowding = rng.uniform(*scenes.crowding) if rng.random() < 0.75 else _log_uniform(scenes.crowding, rng)
    beyond_px = _BEYOND_SIGMAS * sigma_px if rng.random() < scenes.reaches_beyond_share else 0.0
    height, width = shape.height + 2 * beyond_px, shape.width + 2 * beyond_px
    start, stop = _draw_on_times(crowding / sigma_px**2 * height * width, scenes, rng)
    frames = np.arange(N_FRAMES)
    lit = (np.minimum(stop[:, None], frames + 1) - np.maximum(start[:, None], frames)).clip(0.0, 1.0)
    n = len(start)
    y, x = rng.random(n) * height, rng.random(n) * width
    if rng.random() < scenes.line_share:
        y, x = _onto_lines(n, height, width, rng)
    spread = 0.0 if rng.random() < 0.4 else rng.uniform(MIN_BRIGHTNESS_SPREAD, scenes.brightness_spread)
    brightness = photons * rng.lognormal(-0.5 * spread**2, spread, size=n)
    return _Molecules(y - beyond_px - 0.5, x - beyond_px - 0.5, lit, brightness)


def _draw_on_times(mean_on: float, scenes: LocalizerScenes, rng: np.random.Generator) -> tuple[_Values, _Values]:
    """When molecules switch on and off, in frames, of which ``mean_on`` are on at a time: a stationary process."""
    on_frames = _log_uniform(scenes.on_frames, rng)
    n_before, n_new = rng.poisson(mean_on), rng.poisson(mean_on * N_FRAMES / on_frames)
    start = np.concatenate([np.zeros(n_before), N_FRAMES * rng.random(n_new)])
    stop = start + rng.exponential(on_frames, size=len(start))
    if rng.random() < 0.5:
        # Switching with the frames: on throughout or not at all.
        start, stop = np.floor(start), np.maximum(np.ceil(stop - start % 1.0), np.floor(start) + 1)
    return start, stop


def _onto_lines(n: int, height: float, width: float, rng: np.random.Generator) -> tuple[_Values, _Values]:
    """Places along a few straight lines through the field, some of them nearly in one another's way."""
    n_lines = rng.integers(2, 7)
    line = rng.integers(0, n_lines, size=n)
    centre_y, centre_x = rng.random(n_lines) * height, rng.random(n_lines) * width
    angle = rng.uniform(0.0, math.pi, n_lines)
    along = rng.uniform(-0.7, 0.7, n) * max(height, width)
    jitter = rng.normal(0.0, 0.4, (2, n))
    y = (centre_y[line] + along * np.sin(angle[line]) + jitter[0]) % height
    x = (centre_x[line] + along * np.cos(angle[line]) + jitter[1]) % width
    return y, x


def _draw_background(background_e: float, scenes: LocalizerScenes, shape: Shape, rng: np.random.Generator) -> _Values:
    """[H, W] electrons: even in half of the examples, else sloping or bulging."""
    if rng.random() < 0.5:
        return np.full(shape, background_e)
    y, x = np.linspace(-1, 1, shape.height)[:, None], np.linspace(-1, 1, shape.width)
    slope = rng.uniform(-1, 1, 3) * scenes.background_slope
    background: _Values = background_e * np.exp(slope[0] * y + slope[1] * x + slope[2] * (y**2 + x**2))
    return background


def _draw_camera(scenes: LocalizerScenes, background_e: float, shape: Shape, rng: np.random.Generator) -> Camera:
    gain = _log_uniform((0.2, 3.0), rng)
    # The brightest frames must not saturate.
    kind = rng.random()
    if kind < scenes.emccd_share:
        return Camera(
            pixel_size_nm=100.0,
            offset_adu=200.0,
            electrons_per_adu=10.0,
            em_gain=_EM_GAIN,
            read_noise_e=rng.uniform(20, 60),
        )
    variance = _log_uniform((0.5, 20.0), rng) if rng.random() < 0.6 else background_e * rng.uniform(0.1, 1.0)
    camera = Camera(
        pixel_size_nm=100.0,
        offset_adu=rng.uniform(100.0, 500.0),
        electrons_per_adu=gain,
        read_noise_e=math.sqrt(variance),
    )
    if kind < scenes.emccd_share + scenes.uneven_share:
        camera = uneven_sensor(camera, shape, seed=int(rng.integers(1 << 31)))
    return camera


def _camera_as_told(scenes: LocalizerScenes, camera: Camera, rng: np.random.Generator) -> Camera:
    """What the localizer knows of the camera: all, all but its read noise, or nothing."""
    chance = rng.random()
    if chance < scenes.uncalibrated_share:
        return Camera.uncalibrated(camera.pixel_size_nm)
    if chance < scenes.uncalibrated_share + scenes.unknown_read_noise_share:
        return replace(camera, read_noise_e=0.0)
    return camera


def _gain_as_told(told: Camera, camera: Camera) -> float:
    """What an electron is to a localizer that takes ``camera`` for ``told``."""
    if told.is_calibrated:
        return 1.0
    return camera.em_gain / float(np.mean(camera.electrons_per_adu))


def _log_uniform(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    return math.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1])))
