"""The network that made a run's pictures, to run it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dblink_live.config import run_config_from_plain
from dblink_live.errors import ModelError
from dblink_live.store import Product, Run

if TYPE_CHECKING:
    from dblink_live.models import Model

LEFT_OUT = "left out because the network runs again for it, which takes long; --full measures it"
"""Why a quick analysis does not know a figure."""


def model_of(run: Run, product: Product, asked: str | None) -> Model:
    """The model that made ``product``, or the one that was ``asked`` for.

    Raises
    ------
    ModelError, PluginError
        It is unknown, or no longer the very one that made the pictures.
    """
    from dblink_live.models import load_model

    own, full = run_config_from_plain(run.config).reconstruct.model, run.full_facts
    recorded = full.model_sha256 if product == "full" and full is not None else run.info.model_sha256
    model = load_model(asked or own)
    if asked is None and recorded and model.sha256 != recorded:
        raise ModelError(
            f"expected the model that made the pictures of {product} (sha256 {recorded[:12]}), found another under the "
            f"run's name {own!r} ({model.sha256[:12]}); give the right one with --model"
        )
    return model
