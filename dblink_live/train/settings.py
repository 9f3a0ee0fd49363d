"""Settings of a training run: read from TOML, validated at the door, stored in the checkpoint.

Every field has a documented default, which is the live recipe of `docs/training.md`; a TOML file names only what it
changes.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from dblink_live.errors import ConfigError

PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
NonNegativeInt = Annotated[int, msgspec.Meta(ge=0)]
NonNegative = Annotated[float, msgspec.Meta(ge=0.0)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]

VIDEO_SIDE_PX = 128
"""Of the simulated videos that clips are cut from: the field of the released simulator."""


class Specimens(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the network sees: the ranges become its envelope."""

    structure: Literal["filaments", "mitochondria"] = "filaments"
    other_share: Share = 0.25
    """Share of videos of the other structure kinds, so that the prior does not draw filaments everywhere."""
    empty_share: Share = 0.03
    """Share of videos without structure: noise alone must stay empty."""
    density: tuple[NonNegative, NonNegative] = (0.35, 6.0)
    """Relative to the authors' 0.002 emitters per structure pixel and frame; drawn log-uniformly."""
    speed: tuple[NonNegative, NonNegative] = (0.0, 12.0)
    """Multiples of the authors' default speed; drawn with more weight on slow ones."""
    noise: tuple[NonNegative, NonNegative] = (0.2, 2.0)
    """Multiples of the authors' 0-4 noise localizations a frame."""
    individual_motion_share: Share = 0.3
    """Share of videos in which each filament drifts on its own."""
    reaches_beyond_share: Share = 0.5
    """Share of videos whose filaments go on outside the field, as they do in a cell."""
    missing_share: Share = 0.3
    """Share of videos in which some windows are missing."""
    bunching_share: Share = 0.3
    """Share of videos in which a molecule is localized several times within its window, as real blinking is."""


class TrainingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One training run."""

    name: str = "filaments"
    network: Literal["light", "dblink"] = "light"
    loss: Literal["live", "paper"] = "live"
    specimens: Specimens = Specimens()
    start_from: str = ""
    """A checkpoint whose weights are the first ones; empty begins anew."""
    seed: NonNegativeInt = 1
    steps: PositiveInt = 10_000
    max_minutes: NonNegative = 0.0
    """Wall-clock budget; 0 means none. The learning-rate schedule ends with whichever limit comes first."""
    batch: PositiveInt = 4
    crop_px: Annotated[int, msgspec.Meta(ge=16, le=VIDEO_SIDE_PX)] = 64
    clip_windows: Annotated[int, msgspec.Meta(ge=2)] = 16
    """Windows through which the gradient flows."""
    supervised_windows: Annotated[int, msgspec.Meta(ge=2)] = 8
    """Consecutive windows of the clip that are decoded and scored; their place is random, so every lookahead occurs."""
    warmup_forward: NonNegativeInt = 56
    """At most this many windows are run before the clip without gradient, so that the network knows a carried state."""
    warmup_reverse: NonNegativeInt = 40
    """The same for the reverse direction, after the clip."""
    cold_forward_share: Share = 0.1
    """Share of steps without any forward warm-up: the first windows of a stream."""
    cold_reverse_share: Share = 0.4
    """Share of steps without any reverse warm-up: lookaheads shorter than the clip, which is what live streams have."""
    learning_rate: NonNegative = 3e-3
    gradient_norm: NonNegative = 1.0
    average_decay: Share = 0.998
    """Decay of the exponential moving average of the weights, which is what is saved."""
    pool_videos: PositiveInt = 48
    """Simulated videos kept in memory; crops are drawn from all of them."""
    steps_per_video: PositiveInt = 3
    """The oldest video of the pool gives way to a fresh one every so many steps."""
    save_every_steps: PositiveInt = 250
    threads: NonNegativeInt = 0
    """CPU threads of torch; 0 leaves torch's choice."""
    device: str = "auto"

    @property
    def longest_clip(self) -> int:
        """Windows of a clip with both of its warm-ups."""
        return self.warmup_forward + self.clip_windows + self.warmup_reverse

    def __post_init__(self) -> None:
        if self.supervised_windows > self.clip_windows:
            raise ConfigError(
                f"expected supervised_windows <= clip_windows, found {self.supervised_windows} > {self.clip_windows}"
            )
        for name in ("density", "speed", "noise"):
            low, high = getattr(self.specimens, name)
            if low > high:
                raise ConfigError(f"expected specimens.{name} as [low, high], found [{low}, {high}]")


def load_settings(text: bytes, source: str) -> TrainingSettings:
    """Decode TOML ``text``; ``source`` names it in errors.

    Raises
    ------
    ConfigError
        Not TOML, an unknown key, or a value out of its range.
    """
    try:
        return msgspec.toml.decode(text, type=TrainingSettings)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"cannot train from {source}: {error}; see docs/training.md for the keys") from error
