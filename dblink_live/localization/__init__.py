"""Finding molecules in camera frames."""

from dblink_live.localization.auto import AutoLocalizer
from dblink_live.localization.dense import DenseLocalizer
from dblink_live.localization.gaussian import GaussianLocalizer, localize

__all__ = ["AutoLocalizer", "DenseLocalizer", "GaussianLocalizer", "localize"]
