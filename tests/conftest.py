"""Fixtures for all rooms."""

from __future__ import annotations

import os
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
