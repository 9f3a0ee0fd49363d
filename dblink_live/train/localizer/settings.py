"""Settings of a training run of a localizer network: the dense one, or Deep-STORM."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from dblink_live.errors import ConfigError
from dblink_live.localization.neural.deepstorm.network import DeepStormConfig
from dblink_live.localization.neural.dense.network import DenseConfig
from dblink_live.train.reconstruction.settings import NonNegative, NonNegativeInt, PositiveInt, Share, refuse_infinite

MIN_BRIGHTNESS_SPREAD = 0.1
"""Of those examples in which molecules differ at all."""
Positive = Annotated[float, msgspec.Meta(gt=0.0)]


class LocalizerScenes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the network sees: the ranges become its envelope. They are drawn log-uniformly but where it is said."""

    crowding: tuple[Positive, Positive] = (0.002, 0.11)
    """Molecules that are on, times the square of the width of the point spread function: 0.1 is 8 a square micrometre
    at 109 nm. Three quarters of the examples draw it uniformly."""
    psf_sigma_px: tuple[Positive, Positive] = (0.8, 2.0)
    """Width of the point spread function in camera pixels."""
    sigma_error: NonNegative = 0.03
    """Relative standard deviation of the width that the network is told."""
    photons_over_noise: tuple[Positive, Positive] = (20.0, 400.0)
    """Photons of a molecule per frame, over the noise of the background within one width."""
    brightness_spread: NonNegative = 0.6
    """Largest standard deviation of the logarithm of the brightness, from molecule to molecule."""
    on_frames: tuple[Positive, Positive] = (1.0, 10.0)
    """Mean time that a molecule is on, in frames."""
    background_e: tuple[Positive, Positive] = (3.0, 1500.0)
    """Electrons per pixel."""
    background_slope: NonNegative = 0.25
    """Largest relative change of the background from the centre to the edge of an example, along each axis."""
    reaches_beyond_share: Share = 0.6
    """Share of examples with molecules outside their field whose light falls into it."""
    line_share: Share = 0.3
    """Share of examples whose molecules lie along lines."""
    without_context_share: Share = 0.08
    """Share of examples without one or both of the frames before: the first ones of a recording."""
    emccd_share: Share = 0.08
    """Share of examples behind an electron-multiplying camera."""
    uneven_share: Share = 0.2
    """Share of examples behind an sCMOS camera with maps of gain, offset and noise."""
    unknown_read_noise_share: Share = 0.25
    """Share of examples whose read noise the localizer is not told."""
    uncalibrated_share: Share = 0.08
    """Share of examples of whose camera the localizer is told nothing."""


class NetworkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One training run of a localizer network, of whatever kind."""

    name: str = ""
    description: str = ""
    """One line for `dblink-live train --list`."""
    scenes: LocalizerScenes = LocalizerScenes()
    start_from: str = ""
    """A shipped localizer network or a checkpoint whose weights are the first ones; empty begins anew."""
    seed: NonNegativeInt = 1
    steps: PositiveInt = 20_000
    max_minutes: NonNegative = 0.0
    """Wall-clock budget; 0 means none. The learning rate falls to its end with whichever limit comes first."""
    batch: PositiveInt = 8
    crop_px: Annotated[int, msgspec.Meta(ge=16, le=256, multiple_of=2)] = 32
    learning_rate: Positive = 2e-3
    """The highest of the run; a cosine takes it to a hundredth."""
    gradient_norm: NonNegative = 1.0
    """Longer gradients are shortened to this; 0 leaves them."""
    average_decay: Share = 0.998
    """Of the exponential moving average of the weights, which is what is saved."""
    save_every_steps: PositiveInt = 500
    threads: NonNegativeInt = 0
    """CPU threads of torch; 0 leaves torch's choice."""

    def __post_init__(self) -> None:
        refuse_infinite(self)
        refuse_infinite(self.scenes, "scenes.")
        for field in msgspec.structs.fields(self.scenes):
            bounds = getattr(self.scenes, field.name)
            if isinstance(bounds, tuple) and bounds[0] > bounds[1]:
                raise ConfigError(f"expected scenes.{field.name} as [low, high], found {list(bounds)}")
        if not self.scenes.brightness_spread >= MIN_BRIGHTNESS_SPREAD:
            raise ConfigError(
                f"expected scenes.brightness_spread of {MIN_BRIGHTNESS_SPREAD} or more, "
                f"found {self.scenes.brightness_spread}"
            )


class LocalizerSettings(NetworkSettings, frozen=True, forbid_unknown_fields=True):
    """One training run of the dense localizer."""

    kind: Literal["localizer"] = "localizer"
    """What tells these settings from those of other networks."""
    name: str = "dense"
    network: DenseConfig | None = None
    """Sizes; None takes those of ``start_from``, or of the shipped network."""


class DeepStormSettings(NetworkSettings, frozen=True, forbid_unknown_fields=True):
    """One training run of Deep-STORM."""

    kind: Literal["deepstorm"] = "deepstorm"
    """What tells these settings from those of other networks."""
    name: str = "deepstorm"
    network: DeepStormConfig = DeepStormConfig()
    """Sizes; the published ones unless told otherwise, which are for a GPU. Not to be changed by ``start_from``."""
    sparsity: NonNegative = 0.5
    """Weight of the mean absolute value of the image against the mean squared error of its heat map. As published:
    there it is 1 where a molecule weighs half as much."""
