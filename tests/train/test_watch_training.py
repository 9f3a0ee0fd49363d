"""What can be watched while a network trains: pictures and TensorBoard's files, whole after any death."""

from __future__ import annotations

import math
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dblink_live.models import build_network
from dblink_live.simulate.video import VideoParameters, simulate_video
from dblink_live.train import TrainingSettings
from dblink_live.train.reconstruction.curve import TRAINING_COLOUR, VALIDATION_COLOUR, CurvePoint, draw_curve
from dblink_live.train.reconstruction.previews import ENLARGED, GAP_PX, TITLE_PX, draw_previews
from dblink_live.train.reconstruction.state import TrainingState, begin
from dblink_live.train.reconstruction.watch import watch_folder, watched

SETTINGS = TrainingSettings(clip_windows=2, supervised_windows=2, warmup_forward=0, warmup_reverse=0, device="cpu")


@pytest.fixture
def state() -> TrainingState:
    torch.manual_seed(0)
    state = begin(build_network("light"), SETTINGS)
    state.curve = [CurvePoint(10.0 * k, 1.0 / k, 2.0 / k if k % 2 else math.nan, 1e-3, 5.0 * k) for k in range(1, 6)]
    return state


def read_events(folder: Path) -> list[tuple[str, int, float]]:
    """(tag, step, value) of every scalar: records of length, checksum, event, checksum."""
    pytest.importorskip("tensorboardX", reason="needs the extra: pip install 'dblink-live[train]'")
    from tensorboardX.proto.event_pb2 import Event

    scalars = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            scalars += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            data = data[16 + length :]
    return scalars


def colours(image: Image.Image) -> set[tuple[int, ...]]:
    return {colour for _, colour in image.getcolors(maxcolors=1 << 20)}


def test_the_curve_shows_what_was_measured(state: TrainingState) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra: pip install 'dblink-live[train]'")
    assert {TRAINING_COLOUR, VALIDATION_COLOUR} <= colours(draw_curve(state.curve))
    unvalidated = colours(draw_curve([point._replace(validation_loss=math.nan) for point in state.curve]))
    assert TRAINING_COLOUR in unvalidated and VALIDATION_COLOUR not in unvalidated
    assert TRAINING_COLOUR not in colours(draw_curve([]))


def test_a_single_point_and_a_loss_that_stands_still_can_be_drawn(state: TrainingState) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra: pip install 'dblink-live[train]'")
    assert TRAINING_COLOUR in colours(draw_curve(state.curve[:1]))
    assert TRAINING_COLOUR in colours(draw_curve([point._replace(loss=0.25) for point in state.curve]))


def test_a_preview_shows_sum_reconstruction_and_truth(state: TrainingState) -> None:
    video = simulate_video(VideoParameters(n_windows=3, speed=0.0), 1)
    image = np.asarray(draw_previews(state.average, [video, video]))
    side = 128 * ENLARGED
    assert image.shape == (TITLE_PX + 2 * (side + GAP_PX), 3 * side + 2 * GAP_PX)
    truth = image[TITLE_PX : TITLE_PX + side : ENLARGED, 2 * (side + GAP_PX) :: ENLARGED]
    np.testing.assert_array_equal(truth > 0, video.truth[1])
    summed = image[TITLE_PX : TITLE_PX + side : ENLARGED, :side:ENLARGED]
    np.testing.assert_array_equal(summed > 0, video.counts.sum(axis=0) > 0)
    with torch.inference_mode():
        logits = state.average(torch.from_numpy(video.counts.astype(np.float32))[None])
    expected = state.average.probability(logits)[0, 1].numpy()
    found = image[TITLE_PX : TITLE_PX + side : ENLARGED, side + GAP_PX : 2 * side + GAP_PX : ENLARGED]
    # Cut to 256 steps.
    np.testing.assert_allclose(found / 255, expected, atol=1.01 / 255)


def test_events_follow_the_curve_also_of_a_training_that_was_taken_up(tmp_path: Path, state: TrainingState) -> None:
    checkpoint = tmp_path / "tiny.safetensors"
    whole = state.curve
    for seen in (2, 5):  # the second time as after a death
        with watched(checkpoint, SETTINGS, lambda text: None) as folder:
            state.curve = whole[:seen]
            folder.refresh(state)
            folder.refresh(state)
    events = read_events(watch_folder(checkpoint))
    assert [(step, value) for tag, step, value in events if tag == "loss/training"] == [
        (point.step, pytest.approx(point.loss)) for point in whole
    ]
    assert [step for tag, step, _ in events if tag == "loss/validation"] == [10, 30, 50]
    names = sorted(path.name for path in watch_folder(checkpoint).iterdir())
    assert names[0] == "curve.png" and names[-1] == "preview.png" and len(names) == 3


def test_without_tensorboardx_pictures_are_made_all_the_same_and_it_is_said_once(
    tmp_path: Path, state: TrainingState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX.event_file_writer", None)
    notices: list[str] = []
    with watched(tmp_path / "tiny.safetensors", SETTINGS, notices.append) as folder:
        folder.refresh(state)
        folder.refresh(state)
    assert len(notices) == 1 and "dblink-live[train]" in notices[0]
    assert sorted(path.name for path in (tmp_path / "tiny.training").iterdir()) == ["curve.png", "preview.png"]
