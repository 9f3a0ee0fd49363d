"""Fixtures for all rooms."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parents[1]

# A busy machine is no failure: no time limit per example, and none on drawing them.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings and tables; tests that need it are skipped where it is absent.

    It lies beside the repository, in ``../shared/data``, or where ``DBLINK_SHARED_DATA`` points.
    """
    path = Path(os.environ.get("DBLINK_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"real data not found at {path}; set DBLINK_SHARED_DATA to the folder that holds it")
    return path


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def device() -> str:
    """``cuda``, for the tests marked gpu; they are skipped where torch finds none.

    ``DBLINK_GPU_TESTS_ON=cpu pytest -m gpu`` rehearses the same calls on a machine without a card: it shows that the
    tests still fit the code, and nothing of CUDA.
    """
    import torch

    name = os.environ.get("DBLINK_GPU_TESTS_ON", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device; torch finds none here")
    return name


@pytest.fixture
def full_float32() -> Iterator[None]:
    """TF32 rounds the inputs of convolutions to 10 bits of mantissa: switched off, so that tolerances can be narrow."""
    import torch

    backends = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = False
    yield
    for backend, allow in zip(backends, before, strict=True):
        backend.allow_tf32 = allow
