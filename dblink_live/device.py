"""The device that torch computes on: asked for by name, never silently another."""

from __future__ import annotations

import torch

from dblink_live.errors import ModelError


def resolve_device(device: str | torch.device | None = None) -> torch.device:
    """Turn "auto" (or None), "cpu", "cuda" or "cuda:N" into a device; "auto" is a CUDA device where there is one.

    Raises
    ------
    ModelError
        The name is unknown, or a CUDA device was asked for that is not there.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device is None or device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError:
        raise ModelError(f"expected a device auto, cpu, cuda or cuda:N, found {device!r}") from None
    if resolved.type not in ("cpu", "cuda"):
        raise ModelError(f"expected a device auto, cpu, cuda or cuda:N, found {str(device)!r}")
    if resolved.type == "cuda":
        n_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (resolved.index or 0) >= n_devices:
            raise ModelError(
                f"expected a CUDA device for {str(device)!r}, found {n_devices} with torch {torch.__version__}; "
                "use device 'cpu' or 'auto', or install a CUDA build of torch and the NVIDIA driver"
            )
    return resolved


def computes_bfloat16(device: torch.device) -> bool:
    """Return whether ``device`` multiplies in bfloat16 itself, so that half precision saves time."""
    return device.type == "cuda" or bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
