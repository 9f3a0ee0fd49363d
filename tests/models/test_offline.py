from __future__ import annotations

import numpy as np
import pytest
import torch

from dblink_live.errors import ModelError
from dblink_live.maps.count_maps import CountMaps
from dblink_live.models import (
    CheckpointPlan,
    Model,
    StreamingEngine,
    StreamingReconstructor,
    bounded_pass,
    full_pass,
    iter_reconstruct,
    reconstruct,
)
from dblink_live.types import Shape

# The contract's figure: batching windows differently moves float32 roundings only.
TOLERANCE = 1e-5


class StoredCounts:
    """Counts that are read slice by slice, as from disk, and the largest slice that was asked for."""

    def __init__(self, counts: np.ndarray) -> None:
        self._counts = counts
        self.shape = counts.shape
        self.largest = 0

    def __getitem__(self, key: slice) -> np.ndarray:
        found = self._counts[key]
        self.largest = max(self.largest, len(found))
        return found


@pytest.mark.parametrize("windows", [1, 15, 16, 17, 50])
def test_the_full_pass_equals_the_network_over_the_whole_video(light, make_counts, windows):
    counts = make_counts(windows)
    present = torch.rand(windows, generator=torch.Generator().manual_seed(3))
    expected = light.probability(light(counts[None], present[None]))[0].numpy()
    found = list(full_pass(light, counts.numpy(), present.numpy()))
    assert [window for window, _ in found] == list(range(windows))
    assert np.abs(np.stack([picture for _, picture in found]) - expected).max() <= TOLERANCE


def test_reconstruct_is_the_full_pass_for_both_networks(network, make_counts):
    counts = make_counts(18)
    expected = network.probability(network(counts[None]))[0].numpy()
    found = reconstruct(counts.numpy().astype(np.uint8), Model.untrained(network))
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= TOLERANCE


def test_the_full_pass_reads_a_bounded_part_of_a_long_video(light, make_counts):
    stored = StoredCounts(make_counts(400, 4, 4).numpy())
    assert len(list(full_pass(light, stored))) == 400
    assert stored.largest <= 20


def test_a_bounded_pass_with_the_whole_future_is_the_full_pass(light_model, make_counts):
    counts = make_counts(12).numpy()
    full, bounded = reconstruct(counts, light_model), reconstruct(counts, light_model, lookahead=11)
    assert np.abs(full - bounded).max() <= TOLERANCE
    assert np.abs(full - reconstruct(counts, light_model, lookahead=0, hop=1)).max() > 1e-3


def test_a_bounded_pass_knows_the_mask_and_leaves_provisional_pictures_out(light, make_counts):
    counts, present = make_counts(7).numpy(), np.array([1, 1, 0, 1, 0.5, 1, 1], np.float32)
    masked = list(bounded_pass(StreamingEngine(light, 2, 2, provisional=True), counts, present))
    whole = list(bounded_pass(StreamingEngine(light, 2, 2), counts))
    assert [picture.window for picture in masked] == [picture.window for picture in whole] == list(range(7))
    assert all(float((a.probability - b.probability).abs().max()) > 1e-4 for a, b in zip(masked, whole, strict=True))


@pytest.mark.parametrize("strides", [(40,), (13,), (17, 4), (20, 7, 3), (9, 9, 1)], ids=str)
def test_the_full_pass_does_not_depend_on_where_states_are_kept(network, make_counts, strides):
    counts, present = make_counts(40, 6, 9).numpy(), np.linspace(0.2, 1.0, 40, dtype=np.float32)
    expected = np.stack([picture for _, picture in full_pass(network, counts, present)])
    found = list(full_pass(network, counts, present, plan=CheckpointPlan(strides, bytes=0)))
    assert [window for window, _ in found] == list(range(40))
    assert np.abs(np.stack([picture for _, picture in found]) - expected).max() <= TOLERANCE


@pytest.mark.parametrize("first", [0, 1, 5, 19, 20])
def test_a_pass_that_is_taken_up_later_makes_the_same_pictures(light, make_counts, first):
    counts = make_counts(20).numpy()
    plan = CheckpointPlan((7, 3), bytes=0)
    full = {window: picture for window, picture in full_pass(light, counts)}
    late = dict(full_pass(light, counts, first=first, plan=plan))
    assert list(late) == list(range(first, 20))
    assert all(np.abs(full[window] - picture).max() <= TOLERANCE for window, picture in late.items())
    engine = StreamingEngine(light, lookahead=4, hop=3)
    bounded = {picture.window: picture for picture in bounded_pass(engine, counts)}
    again = {picture.window: picture for picture in bounded_pass(engine, counts, first=first)}
    assert list(again) == list(range(first, 20))
    for window, picture in again.items():
        assert torch.equal(picture.probability, bounded[window].probability)
        assert picture.lookahead == bounded[window].lookahead


def test_no_window_is_skipped_while_others_wait(light, make_counts):
    engine = StreamingEngine(light, lookahead=4, hop=3)
    _, state = engine.push(make_counts(2), torch.ones(2), engine.start(Shape(7, 11)))
    with pytest.raises(ModelError, match="found 2"):
        engine.skip(make_counts(1), torch.ones(1), state)


@pytest.mark.parametrize("lookahead", ["full", 2])
@pytest.mark.parametrize("shape", [(0, 5, 7), (1, 5, 7), (1, 1, 1), (3, 37, 53), (2, 0, 4)], ids=str)
def test_any_shape_comes_back(light_model, shape, lookahead):
    assert reconstruct(np.ones(shape, np.int64), light_model, lookahead).shape == shape


def test_lists_are_arrays_too(light_model):
    assert reconstruct([[[0, 1], [2, 0]]], light_model).shape == (1, 2, 2)


def test_pictures_can_be_taken_one_by_one_without_changing_the_callers_gradients(light_model, make_counts):
    pictures = iter_reconstruct(make_counts(20).numpy(), light_model)
    window, _ = next(pictures)
    assert window == 0
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    assert [window for window, _ in pictures] == list(range(1, 20))


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        pytest.param(np.zeros((4, 4)), r"expected counts \[T, H, W\]", id="one-picture"),
        pytest.param(np.full((2, 4, 4), np.nan), "32 NaN", id="nan"),
        pytest.param(np.full((2, 4, 4), -1), "32 negative", id="negative"),
        pytest.param(np.full((2, 4, 4), 1j), "number type", id="complex"),
    ],
)
def test_bad_counts_are_refused(light_model, counts, message):
    with pytest.raises(ModelError, match=message):
        reconstruct(counts, light_model)


def test_a_loaded_model_stays_where_it_is(light_model):
    assert reconstruct(np.zeros((1, 4, 4)), light_model, device="cpu").shape == (1, 4, 4)
    with pytest.raises(ModelError, match="expected"):
        reconstruct(np.zeros((1, 4, 4)), light_model, device="cuda")


def test_maps_on_another_grid_than_the_models_are_refused(light):
    model = Model.untrained(light)
    counts = np.ones((2, 12, 12), np.uint16)
    right, wrong = CountMaps(counts, model.pixel_size_nm), CountMaps(counts, 0.675 * model.pixel_size_nm)
    np.testing.assert_array_equal(reconstruct(right, model), reconstruct(counts, model))
    for lookahead in ("full", 1):
        with pytest.raises(ModelError, match=r"grid of 40 nm, .*found 27 nm"):
            reconstruct(wrong, model, lookahead)
    with pytest.raises(ModelError, match=r"grid of 40 nm, .*found 27 nm"):
        StreamingReconstructor(model).push(wrong[0])
    with pytest.raises(ModelError, match="unknown pitch; state it"):
        reconstruct(right[:, ::2, ::2], model)
