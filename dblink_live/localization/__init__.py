"""Finding molecules in camera frames."""

from dblink_live.localization.auto import AutoLocalizer
from dblink_live.localization.gaussian.localizer import GaussianLocalizer, compile_ahead
from dblink_live.localization.neural.deepstorm import DeepStormLocalizer
from dblink_live.localization.neural.dense import DenseLocalizer
from dblink_live.localization.neural.weights import localizer_of_weights

__all__ = [
    "AutoLocalizer",
    "DeepStormLocalizer",
    "DenseLocalizer",
    "GaussianLocalizer",
    "compile_ahead",
    "localizer_of_weights",
]
