"""The folder beside a checkpoint in which a training can be watched: curves, previews, TensorBoard's event files.

All of it follows from the saved state, so a training that is taken up writes it anew from its first step.
"""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from dblink_live.files import FileHeldError, remove, replace
from dblink_live.train.reconstruction.curve import CurvePoint, draw_curve
from dblink_live.train.reconstruction.dataset import preview_videos
from dblink_live.train.reconstruction.previews import draw_previews
from dblink_live.train.reconstruction.settings import TrainingSettings
from dblink_live.train.reconstruction.state import TrainingState

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event

CURVE_FILE, PREVIEW_FILE = "curve.png", "preview.png"
N_PREVIEWS = 3
TAGS = {"loss": "loss/training", "validation_loss": "loss/validation", "learning_rate": "learning_rate"}
"""Names in TensorBoard of the fields of a `CurvePoint`."""


def watch_folder(checkpoint: Path) -> Path:
    """Return where the training of ``checkpoint`` can be watched.

    Examples
    --------
    >>> watch_folder(Path("er.safetensors")).name
    'er.training'
    """
    return checkpoint.with_name(f"{checkpoint.stem}.training")


class WatchFolder:
    """Writes the folder of one training; made by `watched`.

    Parameters
    ----------
    folder
        Is made if it is not there; event files in it are replaced.
    settings
        Of the training: they say which videos the previews show.
    events
        TensorBoard's writer, or None where its package is not installed.
    """

    def __init__(self, folder: Path, settings: TrainingSettings, events: EventsWriter | None) -> None:
        self._folder = folder
        self._events = events
        self._n_written = 0
        self._videos = preview_videos(settings, N_PREVIEWS)

    def refresh(self, state: TrainingState) -> None:
        """Write what has come since the last call.

        Raises
        ------
        OSError
            The folder cannot be written.
        """
        if _has_matplotlib():
            _save(draw_curve(state.curve), self._folder / CURVE_FILE)
        _save(draw_previews(state.average, self._videos), self._folder / PREVIEW_FILE)
        if self._events is None:
            return
        started = time.time() - state.elapsed_s
        for point in state.curve[self._n_written :]:
            self._events.write_event(_event(point, started))
        self._n_written = len(state.curve)
        self._events.flush()


@contextmanager
def watched(checkpoint: Path, settings: TrainingSettings, on_notice: Callable[[str], None]) -> Iterator[WatchFolder]:
    """The folder of the training of ``checkpoint``, for the length of a block."""
    folder = watch_folder(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("events.out.tfevents.*"):
        try:
            remove(old)
        except FileHeldError as error:
            on_notice(f"the curves of the training before stay in TensorBoard: {error}")
    if not _has_matplotlib():
        on_notice(f'no {CURVE_FILE}: matplotlib is not installed; pip install "dblink-live[train]" adds it')
    try:
        # Not its SummaryWriter, which hands events to a thread: it dies of a full disk, and the training waits for it.
        from tensorboardX.event_file_writer import EventsWriter
    except ImportError:
        on_notice('no TensorBoard files: tensorboardX is not installed; pip install "dblink-live[train]" adds it')
        yield WatchFolder(folder, settings, None)
        return
    events = EventsWriter(str(folder / "events"))
    try:
        yield WatchFolder(folder, settings, events)
    finally:
        # A disk that is full here was full before, and that is the error to be told.
        with suppress(OSError):
            events.close()


def _has_matplotlib() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def _event(point: CurvePoint, started: float) -> Event:
    """What was measured at ``point``, in TensorBoard's format; ``started`` in seconds since the epoch."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    measured = {tag: getattr(point, field) for field, tag in TAGS.items() if math.isfinite(getattr(point, field))}
    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in measured.items()]
    return Event(wall_time=started + point.elapsed_s, step=int(point.step), summary=Summary(value=values))


def _save(image: Image.Image, path: Path) -> None:
    """Replace the picture at once, so that a viewer never sees half of one.

    A picture that a viewer holds open stays as it is until the next save.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        image.save(partial, format="PNG")
        with suppress(FileHeldError):
            replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
