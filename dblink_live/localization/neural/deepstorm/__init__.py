"""Deep-STORM: a network that draws a heat map of the molecules on a finer grid, and their recovery from it."""

from dblink_live.localization.neural.deepstorm.localizer import DeepStormLocalizer

__all__ = ["DeepStormLocalizer"]
