"""The side file of a checkpoint, from which an interrupted training goes on exactly.

``model.safetensors`` has ``model.resume.safetensors`` beside it until the training is finished. It holds the network
itself (the checkpoint holds its average), the average, Adam's moments, and in its metadata the settings and the
counters. It is whole in itself: a checkpoint from a moment before or after does not disturb it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from dblink_live.errors import ConfigError, ModelError
from dblink_live.files import replacing
from dblink_live.models.checkpoint import load_weights
from dblink_live.train.reconstruction.curve import CurvePoint
from dblink_live.train.reconstruction.settings import TrainingSettings
from dblink_live.train.reconstruction.state import TrainingState

FORMAT_VERSION = 1
METADATA_KEY = "dblink_live_training"
FREE_KEYS = ("description", "device", "threads", "save_every_steps")
"""Settings that may differ when a run is taken up: they say where and how it runs, not what is trained."""
CURVE = "curve"
"""[N, 5], the fields of `CurvePoint`."""
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What Adam keeps of each parameter."""


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """The metadata of a side file."""

    format_version: int = FORMAT_VERSION
    settings: dict[str, Any]
    n_workers: int
    step: int
    loss: float | None
    validation_loss: float | None
    elapsed_s: float
    learning_rate: float
    best_validation_loss: float | None
    """Of an epoch, for the schedule "plateau"."""
    n_bad_epochs: int


def side_file(checkpoint: Path) -> Path:
    """Return where the training state of ``checkpoint`` lies.

    Examples
    --------
    >>> side_file(Path("er.safetensors")).name
    'er.resume.safetensors'
    """
    return checkpoint.with_name(f"{checkpoint.stem}.resume.safetensors")


def save_pair(
    checkpoint: Path,
    state: TrainingState,
    settings: TrainingSettings,
    n_workers: int,
    save_checkpoint: Callable[[], str],
) -> str:
    """Replace the side file and, by ``save_checkpoint``, the checkpoint: both or, where one cannot be written, none.

    Raises
    ------
    OSError
        The side file cannot be written.
    """
    target = side_file(checkpoint)
    with replacing(target) as unfinished:
        with unfinished.open("wb") as file:
            file.write(_encode(state, settings, n_workers))
            # A full disk is found here, before the checkpoint is replaced.
            file.flush()
            os.fsync(file.fileno())
        sha256 = save_checkpoint()
    return sha256


def load_state(checkpoint: Path, state: TrainingState, settings: TrainingSettings, n_workers: int) -> None:
    """Put what the side file of ``checkpoint`` holds into ``state``, a fresh one of the same ``settings``.

    Raises
    ------
    ModelError
        The side file is damaged, of a newer version, or of another network.
    ConfigError
        It was begun with other settings or another number of processes.
    """
    path = side_file(checkpoint)
    counters, tensors = _read(path)
    _refuse_changes(counters, settings, n_workers, checkpoint)
    load_weights(state.network, _part(tensors, "network"), path)
    load_weights(state.average, _part(tensors, "average"), path)
    moments = _part(tensors, "adam")
    plain = state.optimizer.state_dict()
    try:
        plain["state"] = {
            index: {name: moments[f"{index}.{name}"] for name in MOMENTS}
            for index in range(len(moments) // len(MOMENTS))
        }
        state.optimizer.load_state_dict(plain)
    except (KeyError, ValueError) as error:
        raise ModelError(
            f"expected Adam's moments in {path}, found others ({error}); delete it to begin anew"
        ) from error
    state.curve = [CurvePoint(*row) for row in tensors[CURVE].tolist()] if CURVE in tensors else []
    state.step = counters.step
    state.learning_rate = counters.learning_rate
    state.loss = math.nan if counters.loss is None else counters.loss
    state.validation_loss = math.nan if counters.validation_loss is None else counters.validation_loss
    state.elapsed_s = counters.elapsed_s
    state.plateau.best = math.inf if counters.best_validation_loss is None else counters.best_validation_loss
    state.plateau.num_bad_epochs = counters.n_bad_epochs


def _encode(state: TrainingState, settings: TrainingSettings, n_workers: int) -> bytes:
    tensors = {f"network.{name}": value for name, value in state.network.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in state.average.state_dict().items()}
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": moments[name] for name in MOMENTS}
    # Without a point there would be no second axis.
    if state.curve:
        tensors[CURVE] = torch.tensor(state.curve, dtype=torch.float64)
    counters = Counters(
        settings=_plain(settings),
        n_workers=n_workers,
        step=state.step,
        loss=_finite(state.loss),
        validation_loss=_finite(state.validation_loss),
        elapsed_s=state.elapsed_s,
        learning_rate=state.learning_rate,
        best_validation_loss=_finite(state.plateau.best),
        n_bad_epochs=state.plateau.num_bad_epochs,
    )
    return safetensors.torch.save(
        {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
        metadata={METADATA_KEY: msgspec.json.encode(counters).decode()},
    )


def _read(path: Path) -> tuple[Counters, dict[str, Tensor]]:
    try:
        tensors = safetensors.torch.load(path.read_bytes())
        with safetensors.safe_open(path, framework="pt") as file:
            document = (file.metadata() or {})[METADATA_KEY]
        counters = msgspec.json.decode(document, type=Counters)
    except OSError as error:
        raise ModelError(f"cannot read the training state {path}: {error.strerror}") from error
    except (safetensors.SafetensorError, msgspec.MsgspecError, KeyError, ValueError) as error:
        raise ModelError(
            f"expected the state of a training in {path}, found it damaged or of another kind ({error}); "
            "delete it, or begin anew with --overwrite"
        ) from error
    if counters.format_version > FORMAT_VERSION:
        raise ModelError(
            f"expected a training state of format {FORMAT_VERSION} or older, found {path} of format "
            f"{counters.format_version}; update dblink-live"
        )
    return counters, tensors


def _refuse_changes(counters: Counters, settings: TrainingSettings, n_workers: int, checkpoint: Path) -> None:
    # A key that came with a later version had its default.
    begun = {**_flat(_plain(TrainingSettings())), **_flat(counters.settings)}
    asked = _flat(_plain(settings))
    changed = [
        f"{key} = {asked.get(key)!r} instead of {begun[key]!r}"
        for key in begun
        if key not in FREE_KEYS and asked.get(key) != begun[key]
    ]
    if changed:
        raise ConfigError(
            f"expected the settings that {checkpoint} was begun with, found {', '.join(changed)}; take the same ones, "
            "give another --out, or begin anew with --overwrite"
        )
    if counters.n_workers != n_workers:
        raise ConfigError(
            f"expected {counters.n_workers} processes, as {checkpoint} was begun with, found {n_workers}; "
            f"start torchrun with --nproc-per-node {counters.n_workers}"
        )


def _finite(value: float) -> float | None:
    """JSON knows neither NaN nor infinity."""
    return float(value) if math.isfinite(value) else None


def _plain(settings: TrainingSettings) -> dict[str, Any]:
    """As JSON gives them back, which knows no tuples."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(settings))
    return plain


def _flat(plain: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in plain.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Tensors whose names begin with ``name`` and a dot, without these."""
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
