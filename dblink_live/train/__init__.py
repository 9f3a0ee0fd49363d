"""Training: clips from simulators, losses, the loop, the calibration of the threshold, the checkpoint."""

from dblink_live.train.errors import TrainingStoppedError
from dblink_live.train.localizer.settings import DeepStormSettings, LocalizerScenes, LocalizerSettings
from dblink_live.train.localizer.train_model import train_localizer_to_checkpoint
from dblink_live.train.recipes import list_recipes, read_settings
from dblink_live.train.reconstruction.loop import TrainingProgress
from dblink_live.train.reconstruction.settings import Specimens, TrainingSettings, load_settings
from dblink_live.train.reconstruction.train_model import train_to_checkpoint

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
