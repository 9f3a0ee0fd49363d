"""The frozen data types that travel along the line.

Axes are always (t, y, x) or (y, x). Camera coordinates follow Picasso: ``x`` is the column and ``y`` the row in
camera pixels, and the *centre* of pixel (0, 0) lies at (0.0, 0.0), so a field of W columns spans [-0.5, W - 0.5).
Positions in nanometres count from the *outer corner* of that pixel: ``x_nm = (x + 0.5) * pixel_size_nm``.
This is the only place where the two conventions are stated; `Grid` holds the conversion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from dblink_live.errors import CalibrationError, ConfigError

FloatImage = npt.NDArray[np.float32]
CountImage = npt.NDArray[np.uint16]
FrameArray = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

LOCALIZATION_DTYPE = np.dtype(
    [
        ("frame", np.int64),
        ("x", np.float32),
        ("y", np.float32),
        ("photons", np.float32),
        ("sx", np.float32),
        ("sy", np.float32),
        ("bg", np.float32),
        ("lpx", np.float32),
        ("lpy", np.float32),
    ]
)
"""Columns of `Localizations`, named as in Picasso: frame is the camera's number; x, y, sx, sy, lpx, lpy in camera
pixels; photons in photo-electrons; bg in photo-electrons per pixel."""

Localizations = npt.NDArray[np.void]
"""A structured array of dtype `LOCALIZATION_DTYPE`, one row per molecule and frame."""


def empty_localizations(n: int = 0) -> Localizations:
    """Return ``n`` zeroed rows of `LOCALIZATION_DTYPE`."""
    return np.zeros(n, dtype=LOCALIZATION_DTYPE)


class Shape(NamedTuple):
    """Height and width in pixels."""

    height: int
    width: int


@dataclass(frozen=True)
class Camera:
    """What turns camera counts (ADU) into photo-electrons, and pixels into nanometres.

    Parameters
    ----------
    pixel_size_nm
        Side of a camera pixel in the sample plane.
    offset_adu
        Mean count of a dark pixel; a scalar, or a map of the sensor's shape.
    electrons_per_adu
        Conversion gain, before any electron multiplication; a scalar or a map.
    em_gain
        Electron-multiplying gain; 1 for sCMOS and CCD. Above 1 the excess noise factor 2 of the EM register applies.
    quantum_efficiency
        Photo-electrons a photon; only used when photons at the sensor are asked for.
    read_noise_e
        Read noise in electrons (standard deviation, before EM gain is divided out); a scalar or a map.
    bit_depth
        Bits a pixel; counts at ``2**bit_depth - 1`` are saturated.
    is_calibrated
        False when offset and gain are placeholders: photon numbers and precisions are then relative, and every
        surface that shows them says *uncalibrated*.
    offset_error_adu, electrons_per_adu_error
        Standard errors of an estimate from the frames of the run itself, which is marked *estimated* wherever it is
        shown; None for numbers that were given.

    Raises
    ------
    CalibrationError
        Pixel size, a gain or the quantum efficiency is not finite or not above 0, or ``bit_depth`` not 8 to 16. Offset
        and read noise, and the shapes of maps, are checked where counts are converted.

    Examples
    --------
    >>> Camera(pixel_size_nm=108.0, offset_adu=100.0, electrons_per_adu=0.46).bit_depth
    16
    """

    pixel_size_nm: float
    offset_adu: float | FloatImage = 0.0
    electrons_per_adu: float | FloatImage = 1.0
    em_gain: float = 1.0
    quantum_efficiency: float = 1.0
    read_noise_e: float | FloatImage = 0.0
    bit_depth: int = 16
    is_calibrated: bool = True
    offset_error_adu: float | None = None
    electrons_per_adu_error: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.pixel_size_nm) and self.pixel_size_nm > 0):
            raise CalibrationError(
                f"expected a camera pixel size above 0 nm, found {self.pixel_size_nm}; "
                "give the side of a pixel in the sample plane: --set camera.pixel_size_nm=..."
            )
        for name in ("electrons_per_adu", "em_gain", "quantum_efficiency"):
            value = np.asarray(getattr(self, name))
            if not (np.isfinite(value).all() and (value > 0).all()):
                raise CalibrationError(f"expected camera.{name} above 0, found {value.min()}; see its data sheet")
        if not 8 <= self.bit_depth <= 16:
            raise CalibrationError(f"expected 8 to 16 bits a pixel, found {self.bit_depth}; convert the frames first")

    @classmethod
    def uncalibrated(cls, pixel_size_nm: float, bit_depth: int = 16) -> Camera:
        """Return a camera whose offset and gain are unknown: 0 ADU and 1 e/ADU stand in, visibly.

        Raises
        ------
        CalibrationError
            ``pixel_size_nm`` is not above 0, or ``bit_depth`` not 8 to 16.

        Examples
        --------
        >>> Camera.uncalibrated(108.0).is_calibrated
        False
        """
        return cls(pixel_size_nm=pixel_size_nm, bit_depth=bit_depth, is_calibrated=False)

    def to_plain(self) -> dict[str, float | int | bool | str]:
        """Return the values as a run stores them, in the units of their names, without those that are None.

        A map over the sensor becomes a text with its shape and mean.

        Examples
        --------
        >>> Camera(108.0, offset_adu=np.full((2, 4), 100.0, np.float32)).to_plain()["offset_adu"]
        'map (2, 4), mean 100'
        """
        plain = {item.name: value for item in fields(self) if (value := getattr(self, item.name)) is not None}
        return {
            name: f"map {value.shape}, mean {float(value.mean()):g}" if isinstance(value, np.ndarray) else value
            for name, value in plain.items()
        }

    @property
    def is_estimated(self) -> bool:
        """Whether the gain was estimated from the frames themselves."""
        return self.electrons_per_adu_error is not None

    @property
    def excess_noise_factor(self) -> float:
        """2 behind an EM register (Robbins & Hadwen 2003, high-gain limit), else 1."""
        return 2.0 if self.em_gain > 1.0 else 1.0


@dataclass(frozen=True)
class Segment:
    """A stretch of acquisition with constant geometry, exposure, gain and axes.

    A change of region, binning, exposure, channel or position, a restart, a long gap or an unknown loss starts the
    next segment, with fresh network state.
    """

    index: int
    shape: Shape
    dtype: Literal["uint8", "uint16"]
    exposure_ms: float | None = None
    frame_interval_ms: float | None = None
    pixel_size_nm: float | None = None
    roi: tuple[int, int, int, int] | None = None
    binning: int = 1
    channel: str | None = None
    position: str | None = None
    wall_clock_anchor_ns: int = 0
    """`time.time_ns()` at the moment that `host_anchor_ns` names."""
    host_anchor_ns: int = 0
    """`time.perf_counter_ns()` at the segment's start: the clock of `Frame.t_host_ns`."""
    reason: str = "start"
    """Why this segment began: start, roi, exposure, restart, gap, resume..."""
    bit_depth: int | None = None
    """Bits a pixel that the source knows of; None when it cannot tell."""
    is_preview: bool = False
    """Whether frames are looked at in passing while another program acquires them: some are missed by nature."""


@dataclass(frozen=True)
class CameraRecipe:
    """How a camera process builds its Micro-Manager core, and what it asks of the camera.

    Plain values only: it travels to a fresh process, and what it names is imported there.
    """

    name: str
    """What the source is called in messages."""
    builder: str
    """``package.module:function`` that returns a core when called with ``options`` as keywords."""
    options: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    exposure_ms: float | None = None
    """Exposure to set; None keeps what the configuration says."""
    roi: tuple[int, int, int, int] | None = None
    """x, y, width, height in camera pixels."""
    binning: int | None = None
    n_frames: int | None = None
    """Frames to take; None goes on until stopped."""
    fps: float | None = None
    """Expected rate; buffers are dimensioned for it."""
    buffer_mb: int | None = None
    """Size of the core's circular buffer; None takes at least two seconds of frames."""
    reopens: bool = False
    """Whether frames may come again after the other side was lost: a Micro-Manager that is started anew."""
    wait_s: float | None = None
    """How long the other side is waited for, at the start and after it was lost; None refuses its absence at the
    start, and waits for its return as long as it takes."""


@dataclass(frozen=True)
class Frame:
    """One camera image. ``number`` is the camera's own and is the clock of binning."""

    segment: int
    number: int
    t_host_ns: int
    data: FrameArray
    """[H, W], uint8 or uint16."""
    n_saturated: int = 0


class GapCause(StrEnum):
    """Who lost the frames."""

    CAMERA = "camera"
    RING = "ring"
    RECORD = "record"
    RECONSTRUCT = "reconstruct"
    PREVIEW = "preview"
    DESELECTED = "deselected"
    LOST_IN_CRASH = "lost_in_crash"


@dataclass(frozen=True)
class Gap:
    """Frames that will not come: ``count`` of them after frame ``after``, or None when the number is unknown."""

    segment: int
    after: int
    count: int | None
    cause: GapCause


@dataclass(frozen=True)
class Grid:
    """The fine lattice on which maps and reconstructions live.

    ``origin_nm`` is the (y, x) position of the outer corner of pixel (0, 0), counted from the outer corner of the
    camera's pixel (0, 0). Pixel j of a row covers [origin + j * pitch, origin + (j + 1) * pitch).

    Examples
    --------
    >>> grid = Grid.covering(Shape(64, 64), pixel_size_nm=108.0, pitch_nm=40.0)
    >>> grid.shape
    Shape(height=173, width=173)
    >>> rows, cols = grid.index_of(np.array([0.0]), np.array([0.0]), pixel_size_nm=108.0)
    >>> int(rows[0]), int(cols[0])
    (1, 1)
    """

    pitch_nm: float
    shape: Shape
    origin_nm: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.pitch_nm) and self.pitch_nm > 0):
            raise ConfigError(f"expected a grid pitch above 0 nm, found {self.pitch_nm}")
        if self.shape.height < 1 or self.shape.width < 1:
            raise ConfigError(
                f"expected a grid of 1 x 1 pixels or more, found {self.shape.height} x {self.shape.width}"
            )

    @classmethod
    def covering(cls, camera_shape: Shape, pixel_size_nm: float, pitch_nm: float) -> Grid:
        """The smallest grid of ``pitch_nm`` that covers a camera field, corner on corner."""
        # A field of 64 px x 160 nm is 256 grid pixels of 40 nm, not 257 after a rounding error.
        height = math.ceil(camera_shape.height * pixel_size_nm / pitch_nm - 1e-6)
        width = math.ceil(camera_shape.width * pixel_size_nm / pitch_nm - 1e-6)
        return cls(pitch_nm=pitch_nm, shape=Shape(height, width))

    def index_of(
        self, y: npt.NDArray[np.floating], x: npt.NDArray[np.floating], pixel_size_nm: float
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows and columns of the grid pixels that hold camera positions (y, x) in px; may lie outside the grid."""
        rows = np.floor(((np.asarray(y, np.float64) + 0.5) * pixel_size_nm - self.origin_nm[0]) / self.pitch_nm)
        cols = np.floor(((np.asarray(x, np.float64) + 0.5) * pixel_size_nm - self.origin_nm[1]) / self.pitch_nm)
        return rows.astype(np.int64), cols.astype(np.int64)

    def centre_nm(self, row: float, col: float) -> tuple[float, float]:
        """(y, x) of the centre of a grid pixel in nm from the camera field's outer corner."""
        return (self.origin_nm[0] + (row + 0.5) * self.pitch_nm, self.origin_nm[1] + (col + 0.5) * self.pitch_nm)


@dataclass(frozen=True)
class LocalizationMap:
    """Localizations of one window counted on a grid: the network's input."""

    segment: int
    window: int
    start: int
    """First camera frame number of the window."""
    stop: int
    """One past the last camera frame number."""
    counts: CountImage
    """[H, W] on the grid."""
    grid: Grid
    n_frames_missing: int = 0
    t_last_frame_ns: int = 0
    """Host time (`Segment.host_anchor_ns` clock) of the window's last frame: latency counts from here."""

    @property
    def n_frames(self) -> int:
        return self.stop - self.start

    @property
    def fraction_present(self) -> float:
        """Share of the window's frames that were really seen: the network's mask, 0 for a missing window."""
        return 1.0 - self.n_frames_missing / self.n_frames


Stage = Literal["provisional", "bounded", "full"]


@dataclass(frozen=True)
class Reconstruction:
    """One super-resolved picture of the video."""

    segment: int
    window: int
    image: FloatImage
    """[H, W] on the grid, probability of structure in [0, 1]."""
    stage: Stage
    lookahead: int
    """Windows after this one that the picture has really seen."""
    latency_s: float = 0.0
    """Host seconds from the window's last camera frame to this picture; 0 when not live."""
    error: FloatImage | None = None
    """[H, W], probability that the picture is wrong here by more than one pixel, in [0, 1]; None where the network
    predicts none."""


@dataclass(frozen=True)
class RunInfo:
    """What identifies a run and lets it be repeated."""

    uuid: str
    created_utc: str
    """ISO 8601, seconds."""
    config: dict[str, object]
    """The resolved configuration, as plain TOML-able values."""
    model: str
    model_sha256: str
    versions: dict[str, str] = field(default_factory=dict)
    host: dict[str, str] = field(default_factory=dict)
    """The machine: name, system, processor, cores, device."""
    git_revision: str | None = None
    """The program's commit, where it ran from a checkout."""
