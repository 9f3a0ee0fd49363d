"""Pictures to look at while a network trains: what a plain sum shows, what the network makes of it, and the truth.

Shapes: T windows, H, W pixels of the fine grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont

from dblink_live.models import BidirectionalNetwork
from dblink_live.models.network import crop
from dblink_live.simulate.video import Video

REACH_WINDOWS = 24
"""The network sees at most this many windows before and after the picture, and the sum adds them all up."""
ENLARGED = 2
GAP_PX, TITLE_PX = 6, 22
BACKGROUND = 60
BRIGHTEST = 0.995
"""Quantile of the sum that is shown white: a few clusters would darken all else."""

Picture = npt.NDArray[np.float32]


def draw_previews(network: BidirectionalNetwork, videos: Sequence[Video]) -> Image.Image:
    """One row per video: sum, reconstruction and truth of the window in its middle."""
    rows = [_row(network, video) for video in videos]
    titles = ("plain sum", "reconstruction", "truth")
    height, width = (ENLARGED * side for side in rows[0][0].shape)
    image = Image.new("L", (3 * width + 2 * GAP_PX, TITLE_PX + len(rows) * (height + GAP_PX)), BACKGROUND)
    draw = ImageDraw.Draw(image)
    for column, title in enumerate(titles):
        x = column * (width + GAP_PX)
        draw.text((x + 4, TITLE_PX / 2), title, 255, ImageFont.load_default(size=14), anchor="lm")
        for row, pictures in enumerate(rows):
            grey = Image.fromarray((255 * pictures[column].clip(0, 1)).astype(np.uint8))
            enlarged = grey.resize((width, height), Image.Resampling.NEAREST)
            image.paste(enlarged, (x, TITLE_PX + row * (height + GAP_PX)))
    return image


def _row(network: BidirectionalNetwork, video: Video) -> tuple[Picture, Picture, Picture]:
    middle = len(video.counts) // 2
    span = slice(max(middle - REACH_WINDOWS, 0), middle + REACH_WINDOWS + 1)
    counts = video.counts[span].astype(np.float32)
    summed = counts.sum(axis=0)
    brightest = max(float(np.quantile(summed, BRIGHTEST)), 1.0)
    reconstruction = _reconstruct(network, counts, video.present[span], middle - span.start)
    return summed / np.float32(brightest), reconstruction, video.truth[middle].astype(np.float32)


@torch.inference_mode()
def _reconstruct(
    network: BidirectionalNetwork, counts: Picture, present: npt.NDArray[np.float32], window: int
) -> Picture:
    """Probability [H, W] of one ``window`` of ``counts`` [T, H, W], of which all others are seen."""
    device = next(network.parameters()).device
    height, width = counts.shape[1:]
    maps, shares = torch.from_numpy(counts)[None].to(device), torch.from_numpy(present)[None].to(device)
    state = network.initial_state(1, height, width, device)
    earlier, later = (
        network.encode(maps[:, span], shares[:, span]) for span in (slice(window + 1), slice(window, None))
    )
    before, _ = network.scan("forward", [earlier.forward], state, 1)
    after, _ = network.scan("reverse", [later.reverse], state, 1)
    logits = network.decode(before[:, 0], after[:, 0]).logits
    picture: Picture = network.probability(crop(logits, height, width))[0].float().cpu().numpy()
    return picture
