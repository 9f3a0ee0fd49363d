"""What a run says about itself, so that it can be repeated: versions, machine, the program's own revision."""

from __future__ import annotations

import os
import platform
import subprocess
import uuid
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from dblink_live.config import RunConfig
from dblink_live.models import Model
from dblink_live.types import RunInfo
from dblink_live.version import __version__

PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "zarr",
    "tensorstore",
    "pymmcore",
    "pymmcore-plus",
    "pycromanager",
)
_GIT_TIMEOUT_S = 5.0


def describe_run(config: RunConfig, model: Model, source_spec: str) -> RunInfo:
    """Identity of a new run and everything that decides its pictures but the frames themselves."""
    return RunInfo(
        uuid=uuid.uuid4().hex,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        config={**config.to_plain(), "source": {"spec": source_spec}},
        model=model.name,
        model_sha256=model.sha256,
        versions=package_versions(),
        host=describe_host(model.device),
        git_revision=git_revision(),
    )


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that have a part in what a run contains."""
    found = {name: installed for name in PACKAGES if (installed := _version(name)) is not None}
    return {"python": platform.python_version(), "dblink-live": __version__, **found}


def describe_host(device: torch.device) -> dict[str, str]:
    """The machine that a run is made on."""
    described = {
        "name": platform.node(),
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "device": str(device),
    }
    if device.type == "cuda":
        described["gpu"] = torch.cuda.get_device_name(device)
    return described


def git_revision() -> str | None:
    """The commit that the program runs from, ending in ``-dirty`` where files differ; None for an installed package."""
    checkout = Path(__file__).parents[2]
    # Only a checkout of this program: a package in a virtual environment may lie in another checkout.
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
