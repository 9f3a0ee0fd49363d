"""Training: clips from simulators, losses, the loop, the calibration of the threshold, the checkpoint."""

from dblink_live.train.checkpointed import train_to_checkpoint
from dblink_live.train.localizer_checkpointed import train_localizer_to_checkpoint
from dblink_live.train.localizer_settings import DeepStormSettings, LocalizerScenes, LocalizerSettings
from dblink_live.train.loop import TrainingProgress
from dblink_live.train.settings import Specimens, TrainingSettings, load_settings
from dblink_live.train.shipped import list_recipes, read_settings
from dblink_live.train.stopped import TrainingStoppedError

__all__ = [
    "DeepStormSettings",
    "LocalizerScenes",
    "LocalizerSettings",
    "Specimens",
    "TrainingProgress",
    "TrainingSettings",
    "TrainingStoppedError",
    "list_recipes",
    "load_settings",
    "read_settings",
    "train_localizer_to_checkpoint",
    "train_to_checkpoint",
]
