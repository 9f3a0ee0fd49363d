"""Finding molecules in camera frames."""

from dblink_live.localization.gaussian import GaussianLocalizer, localize

__all__ = ["GaussianLocalizer", "localize"]
