"""Settings of a training run: read from TOML, validated at the door, stored in the checkpoint.

Every field has a documented default; a TOML file names only what it changes. Recipes that ship with the package are
the files in ``recipes/`` (see `dblink_live.train.recipes`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from dblink_live.errors import ConfigError
from dblink_live.text.suggest import did_you_mean
from dblink_live.text.toml_text import parse_toml

PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
NonNegativeInt = Annotated[int, msgspec.Meta(ge=0)]
NonNegative = Annotated[float, msgspec.Meta(ge=0.0)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
AnySettings = TypeVar("AnySettings", bound=msgspec.Struct)
Decay = Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)]

VIDEO_SIDE_PX = 128
"""Of the simulated videos that clips are cut from: the field of the released simulator."""


class Specimens(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the network sees: the ranges become its envelope."""

    structure: Literal["filaments", "mitochondria", "mask"] = "filaments"
    """"mask" is structure that you drew, in the file ``mask``."""
    mask: str = ""
    """A TIFF picture of structure, or a stack of them, one pixel per pixel of the grid: bright structure on a dark
    background. Each video shows a part of one, turned, moved and blinking."""
    mask_step_nm: NonNegative = 40.0
    """Fastest motion of drawn structure per window."""
    released_share: Share = 0.0
    """Share of videos as the released simulator draws them, on which scores are reported: nothing but density and speed
    varies, the field moves as one and is cut at its border. The shares and ranges below are those of the rest."""
    lines_share: Share = 0.0
    """Share of videos of filaments with the conventions of the released simulator, in fields of every density:
    `dblink_live.simulate.varied.draw_lines_video`."""
    bands_share: Share = 0.0
    """Share of videos of filaments as bands of any width that move in every way and up to 60 nm per window:
    `dblink_live.simulate.varied.draw_bands_video`."""
    bands_even_speed_share: Share = 0.5
    """Share of those videos whose speed is drawn evenly up to the fastest; the others mostly show slow ones."""
    released_speed_power: Annotated[float, msgspec.Meta(gt=0.0)] = 2.0
    """Their speeds are the fastest one times a uniform number to this power: 2 puts half of them below a quarter of
    it, 1 draws them evenly."""
    other_share: Share = 0.25
    """Share of videos of the other structure kinds, so that the prior does not draw filaments everywhere."""
    empty_share: Share = 0.05
    """Share of videos without structure: noise alone, and much of it, must stay empty."""
    density: tuple[NonNegative, NonNegative] = (0.35, 6.0)
    """Relative to the authors' 0.002 emitters per structure pixel and frame; drawn log-uniformly."""
    speed: tuple[NonNegative, NonNegative] = (0.0, 12.0)
    """Multiples of the authors' default speed; drawn with more weight on slow ones."""
    noise: tuple[NonNegative, NonNegative] = (0.2, 2.0)
    """Multiples of the authors' 0-4 noise localizations per frame."""
    other_jitter_share: Share = 0.2
    """Share of videos whose localizations scatter by 0 or by 2 pixels instead of the authors' 1."""
    individual_motion_share: Share = 0.3
    """Share of videos in which each filament drifts on its own."""
    reaches_beyond_share: Share = 0.5
    """Share of videos whose filaments go on outside the field, as they do in a cell."""
    missing_share: Share = 0.3
    """Share of videos in which some windows are missing."""
    bunching_share: Share = 0.3
    """Share of videos in which a molecule is localized several times within its window, as real blinking is."""
    bead_share: Share = 0.1
    """Share of videos with a few fiducial beads, which are no structure."""


class TrainingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One training run."""

    name: str = "filaments"
    description: str = ""
    """One line for `dblink-live train --list`."""
    network: Literal["", "gated", "light", "dblink"] = ""
    """Empty takes that of ``start_from``, and without one "gated". "dblink" is the paper's; "light" was replaced by
    "gated"."""
    loss: Literal["live", "paper", "mse"] = "live"
    """Which terms: see `dblink_live.train.reconstruction.losses`."""
    error_channels: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 12
    """Channels of the branch of a "gated" network that predicts where its own picture is wrong; 0 leaves it out."""
    errors_only: bool = False
    """Train only that branch, of ``error_channels`` channels: pictures stay as those of ``start_from``."""
    error_threshold: Share = 0.5
    """Where pictures are cut to find their errors during training."""
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
    """At most this many windows are run before the clip without gradient, so that the network knows a carried state;
    short warm-ups are drawn more often, for they cost less, and long ones teach nothing but the age of a state."""
    warmup_reverse: NonNegativeInt = 40
    """The same for the reverse direction, after the clip."""
    cold_forward_share: Share = 0.1
    """Share of steps without any forward warm-up: the first windows of a stream."""
    cold_reverse_share: Share = 0.4
    """Share of steps without any reverse warm-up: lookaheads shorter than the clip, which is what live streams have."""
    full_pass_share: Share = 0.0
    """Share of steps whose warm-ups, on both sides, are drawn evenly up to the longest: windows in the middle of a
    finished run. Too few of them, and the full pass loses to a bounded lookahead on fast motion."""
    newest_windows_share: Share = 0.5
    """Share of those steps in which the newest windows of the clip are scored: lookahead 0, 1, 2..."""
    learning_rate: NonNegative = 3e-3
    """The highest of the run."""
    adam_betas: tuple[Decay, Decay] = (0.9, 0.999)
    schedule: Literal["cosine", "plateau"] = "cosine"
    """"cosine" warms up and decays to a hundredth at the end; "plateau" divides by 10 where validation stands still."""
    plateau_patience: NonNegativeInt = 3
    """Epochs without a better validation loss that "plateau" bears."""
    gradient_norm: NonNegative = 1.0
    """Longer gradients are shortened to this; 0 leaves them."""
    average_decay: Decay = 0.998
    """Of the exponential moving average of the weights, which is what is saved; 0 saves the weights themselves."""
    bf16: bool = True
    """Compute convolutions in bfloat16 where it pays: on CUDA devices, and on CPUs with AVX512-BF16. The weights stay
    float32."""
    pool_videos: PositiveInt = 48
    """Simulated videos kept in memory; crops are drawn from all of them."""
    steps_per_video: PositiveInt = 3
    """The oldest video of the pool gives way to a fresh one every so many steps."""
    training_videos: NonNegativeInt = 0
    """Different videos in all, after which the first come again; 0 never shows one again."""
    video_windows: NonNegativeInt = 0
    """Length of a video; 0 makes it as long as a clip with its warm-ups."""
    validation_videos: PositiveInt = 8
    """Videos that training never sees, one clip of each."""
    epoch_steps: PositiveInt = 500
    """The validation loss is measured every so many steps, and at the end."""
    save_every_steps: PositiveInt = 250
    threads: NonNegativeInt = 0
    """CPU threads of torch; 0 leaves torch's choice."""
    device: str = "auto"

    @property
    def longest_clip(self) -> int:
        """Windows of a clip with both of its warm-ups."""
        return self.warmup_forward + self.clip_windows + self.warmup_reverse

    def __post_init__(self) -> None:
        refuse_infinite(self)
        refuse_infinite(self.specimens, "specimens.")
        if (self.specimens.structure == "mask") != bool(self.specimens.mask):
            raise ConfigError(
                f'expected specimens.mask, a TIFF file, with specimens.structure "mask" and with no other, found '
                f"structure {self.specimens.structure!r} and mask {self.specimens.mask!r}"
            )
        if self.errors_only and not (self.start_from and self.error_channels):
            raise ConfigError(
                "expected start_from, a network whose errors are learned, and error_channels of 1 or more with "
                f"errors_only, found start_from {self.start_from!r} and error_channels {self.error_channels}"
            )
        if self.supervised_windows > self.clip_windows:
            raise ConfigError(
                f"expected supervised_windows <= clip_windows, found {self.supervised_windows} > {self.clip_windows}"
            )
        if self.video_windows and self.video_windows < self.longest_clip:
            raise ConfigError(
                f"expected video_windows of {self.longest_clip} or more (warmup_forward {self.warmup_forward} + "
                f"clip_windows {self.clip_windows} + warmup_reverse {self.warmup_reverse}), "
                f"found {self.video_windows}; shorten the warm-ups, or set it to 0"
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
    return decode_settings(text, source, TrainingSettings)


def decode_settings(text: bytes, source: str, struct: type[AnySettings]) -> AnySettings:
    """Decode TOML ``text`` as ``struct``, whose tables are Structs too.

    Raises
    ------
    ConfigError
        As `load_settings`.
    """
    try:
        plain = parse_toml(text)
        _refuse_unknown(plain, struct, "")
        return msgspec.convert(plain, struct)
    except (msgspec.MsgspecError, ConfigError) as error:
        raise ConfigError(f"cannot train from {source}: {error}; see docs/how-to/training.md for the keys") from error


def _refuse_unknown(plain: Mapping[str, Any], struct: type[msgspec.Struct], prefix: str) -> None:
    known = {field.name: field.type for field in msgspec.structs.fields(struct)}
    for name, value in plain.items():
        if name not in known:
            keys = [prefix + key for key in known]
            raise ConfigError(f"unknown key {prefix + name!r}{did_you_mean(prefix + name, keys, cutoff=0.0)}")
        table = known[name]
        if isinstance(table, type) and issubclass(table, msgspec.Struct) and isinstance(value, Mapping):
            _refuse_unknown(value, table, f"{name}.")


def refuse_infinite(struct: msgspec.Struct, prefix: str = "") -> None:
    """Refuse a field of ``struct`` that is not finite; ``prefix`` stands before its name.

    Raises
    ------
    ConfigError
        There is one.
    """
    for field in msgspec.structs.fields(struct):
        _refuse_infinite(prefix + field.name, getattr(struct, field.name))


def _refuse_infinite(name: str, value: object) -> None:
    """TOML knows inf, which no range of msgspec refuses."""
    if isinstance(value, tuple):
        for item in value:
            _refuse_infinite(name, item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"expected {name} to be finite, found {value}")
