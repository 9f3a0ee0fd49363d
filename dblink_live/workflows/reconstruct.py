"""A video from a localization table, a stack or maps, into an OME-Zarr image or an array."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dblink_live.config import RunConfig
from dblink_live.errors import input_accepted
from dblink_live.workflows.inputs.network_input import read_maps
from dblink_live.workflows.progress import Progress, progress_of

if TYPE_CHECKING:
    import torch

    from dblink_live.models import Model
    from dblink_live.models.offline import CountsArray, Lookahead


@dataclass(frozen=True)
class ReconstructedVideo:
    """What `reconstruct_to_image` wrote."""

    path: Path
    model: Model
    shape: tuple[int, int, int]
    """[T, H, W]."""
    n_localizations: int
    seconds: float


def reconstruct(
    counts: npt.ArrayLike | CountsArray,
    model: Model | str = "filaments",
    lookahead: Lookahead = "full",
    device: str | torch.device | None = None,
    hop: int = 4,
    *,
    progress: bool | Progress = False,
) -> npt.NDArray[np.float32]:
    """Return the reconstruction of a whole video; as `dblink_live.models.reconstruct`, with progress.

    Parameters
    ----------
    counts
        [T, H, W], integer or float, of any size: localizations per pixel and window, on the model's grid.
    model
        A loaded model, or the name or path of one.
    lookahead
        "full", or the number of later windows that each picture sees at least, as in a live run.
    device
        Where a model that is given by name runs; "auto" when left out.
    hop
        With a bounded lookahead: windows that are reconstructed together.
    progress
        True shows a bar.

    Returns
    -------
    float32 [T, H, W], the probability of structure.

    Raises
    ------
    ModelError
        The model is unknown, or the counts are on another grid, not finite, negative or not [T, H, W].

    Examples
    --------
    >>> import numpy as np
    >>> reconstruct(np.zeros((3, 16, 20), np.uint16), device="cpu").shape
    (3, 16, 20)
    """
    from dblink_live.models import reconstruct as reconstruct_video

    n_windows = len(counts) if isinstance(counts, np.ndarray) else None
    with progress_of(progress).bar("reconstructing", n_windows, "windows") as advance:
        return reconstruct_video(counts, model, lookahead, device, hop, on_progress=advance)


def reconstruct_to_image(
    source: str,
    out: Path,
    config: RunConfig = RunConfig(),
    lookahead: Lookahead = "full",
    *,
    channel: str | None = None,
    unit: str | None = None,
    overwrite: bool = False,
    progress: bool | Progress = False,
) -> ReconstructedVideo:
    """Write the reconstruction of a table, a stack or maps as an OME-Zarr image.

    Parameters
    ----------
    source
        Path of a localization table, a stack or an array of maps, or a source such as ``tiff:stack.dat``.
    config
        Camera, localizer, frames per window, model and device.
    channel, unit
        Of a table; see `dblink_live.workflows.inputs.table_input.read_table`.

    Raises
    ------
    SourceError, CalibrationError, ModelError, PluginError
        The input, or what is said of it, is wrong.
    StoreError
        The image exists already, or cannot be written.
    """
    from dblink_live.models import iter_reconstruct, load_model
    from dblink_live.store.hierarchy import SeriesSpec
    from dblink_live.store.image import ImageWriter, check_new_image

    report = progress_of(progress)
    check_new_image(out, overwrite)
    model = load_model(config.reconstruct.model, device=config.reconstruct.device)
    window_frames = config.windows.frames
    maps = read_maps(
        source, model, window_frames, config.localizer, config.camera, progress=report, channel=channel, unit=unit
    )
    spec = SeriesSpec(
        product="full" if lookahead == "full" else "live",
        lattice=0,
        grid=maps.grid,
        dtype="uint8",
        window_frames=window_frames,
        window_s=maps.window_s,
    )
    started = time.perf_counter()
    n_windows, height, width = maps.counts.shape
    pictures = iter_reconstruct(maps.counts, model, lookahead)
    with (
        input_accepted(),
        ImageWriter(out, spec, overwrite) as writer,
        report.bar("reconstructing", n_windows, "windows") as advance,
    ):
        for window, picture in pictures:
            writer.append(picture)
            advance(window + 1)
    seconds = time.perf_counter() - started
    return ReconstructedVideo(out, model, (n_windows, height, width), maps.n_localizations, seconds)
