"""The DBlink authors' own weights, as their code saves them with ``torch.save``."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import torch
from torch import Tensor

from dblink_live.device import resolve_device
from dblink_live.errors import ModelError
from dblink_live.models.checkpoint import Envelope, Model, load_weights
from dblink_live.models.dblink import RELEASED_OUTPUT_SCALE, DblinkConfig, DblinkNetwork

RELEASED_PIXEL_SIZE_NM = 40.0
RELEASED_THRESHOLD = 100.0 / 255.0
"""At which the paper's evaluation calls a pixel structure."""


def import_released_weights(path: str | os.PathLike[str], device: str | torch.device | None = None) -> Model:
    """Read a weights file of the released DBlink code; `save_checkpoint` makes it one of ours.

    Only tensors are unpickled (``weights_only=True``): a file that holds anything else, a whole pickled module for
    instance, is refused, for reading it could run code.

    Raises
    ------
    ModelError
        No such file, not weights alone, or not those of the paper's network; or there is no such device.
    """
    source = Path(path)
    resolved = resolve_device(device)
    try:
        sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
        content = torch.load(source, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"cannot read the weights {source}: {error.strerror}") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ModelError(
            f"expected {source} to hold weights alone, as torch.save(network.state_dict()) writes them, found a "
            "damaged file or other objects; save the network's state_dict in the authors' environment and import that"
        ) from error
    network = DblinkNetwork(DblinkConfig(output_scale=RELEASED_OUTPUT_SCALE))
    load_weights(network, _tensors(content, source), source)
    return Model(
        name=source.stem,
        network=network.eval().requires_grad_(False).to(resolved),
        pixel_size_nm=RELEASED_PIXEL_SIZE_NM,
        threshold=RELEASED_THRESHOLD,
        envelope=Envelope(pitch=(RELEASED_PIXEL_SIZE_NM, RELEASED_PIXEL_SIZE_NM)),
        card=f"# {source.stem}\n\nWeights of the DBlink authors, imported from {source.name}.\n",
        sha256=sha256,
        device=resolved,
    )


def _tensors(content: object, source: Path) -> dict[str, Tensor]:
    """The state-dict in ``content``, without the prefix that DataParallel adds."""
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ModelError(
            f"expected a dictionary of tensors in {source}, found {type(content).__name__} of other things"
        )
    return {str(key).removeprefix("module."): value for key, value in content.items()}
