"""Camera frames of a living specimen: blinking molecules, a point spread function, photon noise and camera noise.

Every frame is a function of (specimen, settings, seed, frame number) alone, so the process that simulates the camera
and the one that knows the truth need not talk to each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dblink_live.errors import ConfigError
from dblink_live.simulate.blinking import BlinkSchedule
from dblink_live.simulate.checks import require, require_seed
from dblink_live.simulate.fiducials import Beads
from dblink_live.simulate.noise import digitise, photo_electrons
from dblink_live.simulate.sensors import SCMOS
from dblink_live.simulate.specimen import Specimen, make_specimen
from dblink_live.simulate.structures.raster import Mask
from dblink_live.types import Camera, CountImage, FloatImage, Shape


@dataclass(frozen=True)
class Optics:
    """Image of a molecule: point spread function and brightness."""

    psf_sigma_nm: float = 140.0
    """Standard deviation of the Gaussian point spread function."""
    background_e: float = 20.0
    """Photo-electrons of background a pixel and frame."""

    def __post_init__(self) -> None:
        require("psf_sigma_nm", self.psf_sigma_nm, 1.0)
        require("background_e", self.background_e, 0.0)


class CameraSimulator:
    """Renders frames [H, W] uint16 of a specimen.

    Parameters
    ----------
    specimen
        What is imaged.
    shape
        Of the camera.
    camera
        Gain, offset, noise and pixel size; maps of them have the shape of the camera.
    schedule
        When molecules are on.
    optics
        Point spread function and background.
    seed
        Of photon and camera noise.
    beads
        Fiducials in the field; None is none.

    Raises
    ------
    ConfigError
        A map of the camera has another shape than ``shape``, or the seed is negative.
    """

    def __init__(
        self,
        specimen: Specimen,
        shape: Shape,
        schedule: BlinkSchedule,
        camera: Camera = SCMOS,
        optics: Optics | None = None,
        seed: int = 0,
        beads: Beads | None = None,
    ) -> None:
        require_seed(seed)
        _require_maps_of(shape, camera)
        self.specimen = specimen
        self.shape = shape
        self.camera = camera
        self.optics = optics or Optics()
        self._schedule = schedule
        self._seed = seed
        self._beads = beads
        self._sigma_px = self.optics.psf_sigma_nm / camera.pixel_size_nm
        self._reach_px = math.ceil(4 * self._sigma_px)

    def frame(self, number: int) -> CountImage:
        """Camera counts of frame ``number`` (0, 1, 2...)."""
        rng = np.random.default_rng([self._seed, 3, number])
        electrons = photo_electrons(self._signal(number), self.optics.background_e, rng)
        return digitise(electrons, self.camera, rng)

    def expected_electrons(self, number: int) -> FloatImage:
        """Mean photo-electrons [H, W] of frame ``number``, before any noise."""
        return self._signal(number) + np.float32(self.optics.background_e)

    def truth_at(self, number: int) -> Mask:
        """Return the structure mask in frame ``number``, bool on ``specimen.grid``."""
        return self.specimen.mask_at(number)

    def places_px(self, number: int) -> npt.NDArray[np.float64]:
        """Return positions of the molecules that are on in frame ``number``, also those outside the field.

        y and x [N, 2] in camera pixels, centre of pixel 0 at 0.0.
        """
        places_nm = self.specimen.place(self._schedule.at(number).shares, number)
        return places_nm[np.isfinite(places_nm).all(axis=1)] / self.camera.pixel_size_nm - 0.5

    def _signal(self, number: int) -> FloatImage:
        emissions = self._schedule.at(number)
        positions_nm = self.specimen.place(emissions.shares, number)
        photons = emissions.photons
        if not len(positions_nm):  # A specimen without structure has no places for molecules.
            photons = photons[:0]
        if self._beads is not None:
            bead_nm, bead_photons = self._beads.at(number)
            positions_nm, photons = np.concatenate([positions_nm, bead_nm]), np.concatenate([photons, bead_photons])
        if not len(positions_nm):
            return np.zeros(self.shape, np.float32)
        # Structure that has shrunk away bears no molecules.
        is_there = np.isfinite(positions_nm).all(axis=1)
        # Centre of pixel 0 at 0.0: half a pixel from the corner that nanometres count from.
        positions_px = positions_nm[is_there] / self.camera.pixel_size_nm - 0.5
        spots = render_spots(positions_px, photons[is_there], self._sigma_px, self.shape, self._reach_px)
        return spots.astype(np.float32)


def _require_maps_of(shape: Shape, camera: Camera) -> None:
    for name in ("offset_adu", "electrons_per_adu", "read_noise_e"):
        found = np.shape(getattr(camera, name))
        if found not in ((), tuple(shape)):
            raise ConfigError(
                f"expected camera.{name} as one number or a map of {shape.height} x {shape.width}, "
                f"found {' x '.join(map(str, found))}"
            )


def render_spots(
    positions_px: npt.NDArray[np.float64],
    photons: npt.NDArray[np.float64],
    sigma_px: float,
    shape: Shape,
    reach_px: int,
) -> npt.NDArray[np.float64]:
    """Sum of pixel-integrated Gaussians [H, W]; positions [N, 2] (y, x) in px with pixel centres at whole numbers."""
    centres = np.rint(positions_px).astype(np.int64)
    near = (
        (centres[:, 0] > -reach_px)
        & (centres[:, 0] < shape.height + reach_px)
        & (centres[:, 1] > -reach_px)
        & (centres[:, 1] < shape.width + reach_px)
    )
    centres, offsets, photons = centres[near], (positions_px - centres)[near], photons[near]
    steps = np.arange(-reach_px, reach_px + 1)
    edges = np.append(steps - 0.5, reach_px + 0.5)
    # [N, 2, K]: share of the light that falls into each of the K pixels along y and x.
    shares = np.diff(_normal_cdf((edges - offsets[:, :, None]) / sigma_px), axis=2)
    patches = photons[:, None, None] * shares[:, 0, :, None] * shares[:, 1, None, :]
    padded = np.zeros((shape.height + 4 * reach_px, shape.width + 4 * reach_px))
    rows = centres[:, 0, None, None] + steps[:, None] + 2 * reach_px
    cols = centres[:, 1, None, None] + steps[None, :] + 2 * reach_px
    np.add.at(padded, (rows, cols), patches)
    inner = slice(2 * reach_px, -2 * reach_px)
    return padded[inner, inner]


_CDF_AT = np.linspace(-6.0, 6.0, 6001)
_CDF = np.array([0.5 * math.erfc(-value / math.sqrt(2.0)) for value in _CDF_AT])


def _normal_cdf(z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Normal distribution function by table; linear interpolation errs by less than 2e-7."""
    cdf: npt.NDArray[np.float64] = np.interp(z, _CDF_AT, _CDF)
    return cdf


DEMO_SPEED = 25.0
"""Speed of simulated specimens in units of the released simulator, whose structures hardly move in a minute."""
ON_PER_UM2 = {"filaments": 0.1, "mitochondria": 0.12, "er": 0.15}
"""Molecules that are on at a time a square micrometre of field: sparse, as the method wants."""
MEAN_ON_FRAMES = 1.5


def make_camera(
    kind: str,
    shape: Shape,
    seed: int,
    pitch_nm: float = 40.0,
    speed: float = DEMO_SPEED,
    camera: Camera = SCMOS,
    on_per_um2: float | None = None,
) -> CameraSimulator:
    """The simulated camera behind ``sim:`` sources, for a kind of `make_specimen`: same arguments, same frames.

    ``on_per_um2`` is the number of molecules that are on at a time a square micrometre of field; None takes that of
    the ``sim:`` source.

    Raises
    ------
    ConfigError
        Unknown kind, or a field too small to hold anything.
    """
    if min(shape) < 8:
        raise ConfigError(f"expected a camera of at least 8 x 8 pixels, found {shape.height} x {shape.width}")
    specimen = make_specimen(kind, shape, camera.pixel_size_nm, pitch_nm, seed, speed)
    area_um2 = shape.height * shape.width * (camera.pixel_size_nm * 1e-3) ** 2
    density = ON_PER_UM2[kind] if on_per_um2 is None else on_per_um2
    # Labels sit on all of the structure, also on what lies outside the field.
    on_per_frame = density * area_um2 / _share_in_view(specimen)
    schedule = BlinkSchedule(seed=seed, on_per_frame=on_per_frame, mean_on_frames=MEAN_ON_FRAMES)
    return CameraSimulator(specimen, shape, schedule, camera, seed=seed)


def _share_in_view(specimen: Specimen) -> float:
    """Share of the places on ``specimen`` that lie on its grid at the start; at least a tenth, and 1 if it is empty."""
    grid = specimen.grid
    # Uniform numbers from any seed will do; 4096 of them know the share to 0.008.
    positions_nm = specimen.place(np.random.default_rng(0).random((4096, 3)), 0)
    if not len(positions_nm):
        return 1.0
    within = positions_nm - np.asarray(grid.origin_nm)
    in_view = ((within >= 0) & (within < np.asarray(grid.shape) * grid.pitch_nm)).all(axis=1)
    return max(float(in_view.mean()), 0.1)
