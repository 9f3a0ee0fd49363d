"""What several verbs are tried on."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with fixed random weights on a grid of 40 nm; its pictures mean nothing."""
    import torch

    from dblink_live.models import LightNetwork, save_checkpoint

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_checkpoint(path, LightNetwork(), name="tiny", pixel_size_nm=40.0, threshold=0.4)
    return path
