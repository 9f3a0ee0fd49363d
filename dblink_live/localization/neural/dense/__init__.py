"""A neural localizer for crowded frames: input, network, recovery of molecules, checkpoint."""

from dblink_live.localization.neural.dense.localizer import DenseLocalizer

__all__ = ["DenseLocalizer"]
