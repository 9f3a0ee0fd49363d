"""Training: settings at the door, clips, losses, and a short run that really learns."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from dblink_live.errors import ConfigError
from dblink_live.models import BidirectionalNetwork, build_network, load_model
from dblink_live.simulate import VideoParameters, simulate_video
from dblink_live.train import Specimens, TrainingSettings, TrainingStoppedError, load_settings, train_to_checkpoint
from dblink_live.train.reconstruction.dataset import ClipSampler, add_beads, draw_released_parameters, draw_video
from dblink_live.train.reconstruction.loop import clip_loss, fraction_done, learning_rate_factor, train
from dblink_live.train.reconstruction.losses import (
    LOSSES,
    LossWeights,
    error_loss,
    reconstruction_loss,
    soft_dice,
    total_variation,
    wrong_pixels,
)
from dblink_live.train.reconstruction.state import begin

SMALL = TrainingSettings(
    steps=6,
    batch=2,
    crop_px=32,
    clip_windows=4,
    supervised_windows=3,
    warmup_forward=4,
    warmup_reverse=3,
    pool_videos=2,
    steps_per_video=2,
    save_every_steps=3,
    threads=1,
    device="cpu",
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(b"stepps = 3", "unknown key 'stepps'; did you mean 'steps'", id="unknown key"),
        pytest.param(b"[specimens]\nsped = 3", "did you mean 'specimens.speed'", id="unknown key of a table"),
        pytest.param(b"video_windows = 100", "of 112 or more", id="warm-ups longer than the videos"),
        pytest.param(b"crop_px = 200", "128", id="a crop larger than the videos"),
        pytest.param(b"learning_rate = inf", "learning_rate to be finite", id="infinite"),
        pytest.param(b"[specimens]\nspeed = [0.0, inf]", "specimens.speed to be finite", id="infinitely fast"),
        pytest.param(b"seed = -1", "seed", id="negative seed"),
        pytest.param(b"specimens = 3", "specimens", id="a number for a table"),
        pytest.param(b"\xff", "utf-8", id="no text"),
        pytest.param(b"[specimens]\nspeed = [-1.0, 2.0]", "speed", id="negative speed"),
        pytest.param(b"[specimens]\nspeed = [3.0, 2.0]", "low, high", id="range upside down"),
        pytest.param(b"clip_windows = 4\nsupervised_windows = 5", "supervised_windows", id="more than the clip"),
        pytest.param(b"errors_only = true", "start_from, a network whose errors", id="errors of no network"),
        pytest.param(b"steps = [", "cannot train", id="not TOML"),
    ],
)
def test_settings_that_cannot_train_are_refused(text: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_settings(text, "test.toml")


def test_clips_have_their_shapes_and_depend_on_the_seed_alone() -> None:
    first, again = ClipSampler(SMALL).sample(0), ClipSampler(SMALL).sample(0)
    length = first.warmup_forward + SMALL.clip_windows + first.warmup_reverse
    assert first.counts.shape == first.structure.shape == (2, length, 32, 32)
    assert first.present.shape == (2, length)
    assert torch.equal(first.counts, again.counts)
    other = ClipSampler(msgspec.structs.replace(SMALL, seed=2)).sample(0)
    assert other.counts.shape != first.counts.shape or not torch.equal(other.counts, first.counts)


def test_a_released_video_varies_in_density_and_speed_alone() -> None:
    videos = msgspec.structs.replace(SMALL.specimens, released_share=1.0, missing_share=1.0, bead_share=1.0)
    settings = msgspec.structs.replace(SMALL, specimens=videos, video_windows=60)
    drawn = [draw_released_parameters(videos, 60, np.random.default_rng(seed)) for seed in range(20)]
    released = VideoParameters(n_windows=60)
    assert all(replace(found, density=1.0, speed=1.0) == released for found in drawn)
    assert len({found.density for found in drawn}) == len({found.speed for found in drawn}) == 20
    evenly = msgspec.structs.replace(videos, released_speed_power=1.0)
    speeds = [draw_released_parameters(evenly, 60, np.random.default_rng(seed)).speed for seed in range(20)]
    assert speeds == pytest.approx([10.0 * math.sqrt(found.speed / 10.0) for found in drawn])
    # No missing windows and no beads, whatever the rest of the videos would have.
    assert all((draw_video(settings, np.random.default_rng(seed)).present == 1.0).all() for seed in range(5))


def test_long_warmups_are_rarer_than_short_ones() -> None:
    settings = msgspec.structs.replace(
        SMALL, warmup_forward=100, cold_forward_share=0.0, batch=1, pool_videos=1, steps_per_video=1000
    )
    sampler = ClipSampler(settings)
    lengths = np.array([sampler.sample(step).warmup_forward for step in range(200)])
    assert lengths.max() > 80
    # Half of them are shorter than an eighth of the longest: 100 of 200, and 7 more or less by chance.
    assert 70 < (lengths <= 100 / 8).sum() < 130


def test_clips_of_the_full_pass_are_long_on_both_sides() -> None:
    settings = msgspec.structs.replace(
        SMALL, warmup_forward=100, warmup_reverse=100, full_pass_share=1.0, batch=1, pool_videos=1, steps_per_video=1000
    )
    sampler = ClipSampler(settings)
    lengths = np.array([(c.warmup_forward, c.warmup_reverse) for c in map(sampler.sample, range(200))])
    # Even between 0 and 100: a half below 50, give or take four standard deviations.
    assert (abs((lengths < 50).mean(axis=0) - 0.5) < 0.15).all()
    assert (lengths == 0).mean() < 0.05


def test_a_perfect_picture_has_no_dice_loss_and_a_flat_one_no_variation() -> None:
    structure = (torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.7).float()
    assert soft_dice(structure, structure).item() == pytest.approx(0.0)
    assert soft_dice(1 - structure, structure).item() > 0.9
    assert total_variation(torch.full((1, 2, 8, 8), 0.3)).item() == 0.0


def test_the_paper_loss_is_mean_square_plus_its_two_terms() -> None:
    generator = torch.Generator().manual_seed(1)
    probability = torch.rand(1, 3, 6, 6, generator=generator)
    structure = (torch.rand(1, 3, 6, 6, generator=generator) > 0.5).float()
    expected = (
        (probability - structure).square().mean()
        + 0.64 * probability.diff(dim=1).abs().mean()
        + 1e-3 * (probability.diff(dim=2).abs().mean() + probability.diff(dim=3).abs().mean())
    )
    found = reconstruction_loss(probability, probability, structure, LOSSES["paper"])
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_live_loss_lets_move_what_moves() -> None:
    moving = torch.eye(6)[None]  # one column of structure per window, a step further each
    structure = moving.unsqueeze(2).expand(1, 6, 6, 6)
    still = structure[:, :1].expand_as(structure)
    only_motion = LossWeights(bce=0.0, dice=0.0, total_variation=0.0)
    assert reconstruction_loss(structure, structure, structure, only_motion).item() == 0.0
    assert reconstruction_loss(still, still, structure, only_motion).item() > 0.01


def test_wrong_pixels_are_off_by_more_than_one() -> None:
    structure = torch.zeros(1, 1, 5, 9, dtype=torch.bool)
    structure[..., 2, 1] = True
    beside = torch.zeros_like(structure)
    beside[..., 3, 2] = True
    assert not wrong_pixels(beside, structure).any()
    apart = torch.zeros_like(structure)
    apart[..., 2, 3] = True
    assert wrong_pixels(apart, structure).nonzero()[:, 2:].tolist() == [[2, 1], [2, 3]]


def test_a_right_forecast_of_errors_costs_less_than_a_wrong_one() -> None:
    structure = torch.zeros(1, 1, 5, 9)
    structure[..., 2, 1] = 1.0
    picture = structure.roll(4, dims=-1)
    wrong = wrong_pixels(picture > 0.5, structure > 0.5).float()
    right, reverse = (error_loss(sign * 8 * (wrong - 0.5), picture, structure, 0.5).item() for sign in (1, -1))
    assert right < 0.05 < 3 < reverse


def test_the_gradient_ends_at_the_clip_but_the_warm_up_changes_the_loss() -> None:
    torch.manual_seed(0)
    network = build_network("light")
    sampler = ClipSampler(SMALL)
    clip = next(clip for clip in map(sampler.sample, range(20)) if clip.warmup_forward)
    cold = replace(clip, counts=clip.counts.clone())
    cold.counts[:, : clip.warmup_forward] = 0
    arguments = (SMALL, torch.device("cpu"))
    warm_loss = clip_loss(network, clip, *arguments)
    cold_loss = clip_loss(network, cold, *arguments)
    assert warm_loss.item() != cold_loss.item()


def test_learning_rate_warms_up_and_decays() -> None:
    factors = [learning_rate_factor(fraction) for fraction in (0.0, 0.02, 0.5, 1.0)]
    assert factors[0] < 0.1
    assert factors[1] == pytest.approx(1.0)
    assert factors[1] > factors[2] > factors[3] > 0


def test_the_nearer_limit_ends_the_run() -> None:
    settings = msgspec.structs.replace(SMALL, steps=100, max_minutes=1.0)
    state = begin(build_network("light"), settings)
    state.elapsed_s = 30.0
    state.step = 10
    assert fraction_done(state, settings) == pytest.approx(0.5)
    state.step = 80
    assert fraction_done(state, settings) == pytest.approx(0.8)


def test_training_lowers_the_loss_on_what_it_sees() -> None:
    # One video, of filaments alone: what 60 steps learn of it hardly depends on the seed.
    filaments = Specimens(other_share=0.0, empty_share=0.0, bead_share=0.0, bunching_share=0.0, density=(1.0, 6.0))
    settings = msgspec.structs.replace(
        SMALL, steps=60, pool_videos=1, steps_per_video=10_000, average_decay=0.5, specimens=filaments
    )
    torch.manual_seed(0)
    state = begin(build_network("light"), settings)
    before = _loss(state.average, settings)
    train(state, settings, lambda progress: None)
    assert _loss(state.average, settings) < 0.8 * before


def test_beads_are_localized_in_every_window_and_are_no_structure() -> None:
    video = simulate_video(VideoParameters(structure="empty", noise=0.0, n_windows=30), 3)
    assert not video.counts.any()
    with_beads = add_beads(video, np.random.default_rng(1))
    assert not with_beads.truth.any()
    per_window = with_beads.counts.sum(axis=(1, 2))
    assert (per_window >= 5).all()
    # All localizations of 30 windows lie on a few spots of a few pixels.
    assert np.count_nonzero(with_beads.counts.sum(axis=0)) < 4 * 64


def _loss(network: BidirectionalNetwork, settings: TrainingSettings) -> float:
    sampler = ClipSampler(settings)
    with torch.no_grad():
        losses = [clip_loss(network, sampler.sample(step), settings, torch.device("cpu")) for step in range(8)]
    return float(torch.stack(losses).mean())


def test_a_checkpoint_knows_its_threshold_envelope_and_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "dblink_live.train.reconstruction.train_model.calibrate_threshold", lambda network, presets: 0.4
    )
    path = tmp_path / "tiny.safetensors"
    seen: list[int] = []
    train_to_checkpoint(SMALL, path, lambda progress: seen.append(progress.step))
    model = load_model(path, device="cpu")
    assert seen == [3, 6]
    assert model.threshold == 0.4
    assert model.training["steps"] == 6
    assert model.envelope.density is not None
    assert model.envelope.density[0] < 0.15 < model.envelope.density[1]  # the released simulator's own density


def test_errors_alone_are_learned_without_a_change_of_the_pictures(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(
        SMALL, start_from="filaments_fast", errors_only=True, error_channels=5, validation_videos=1, name="with_errors"
    )
    train_to_checkpoint(settings, tmp_path / "m.safetensors")
    before, after = load_model("filaments_fast", "cpu"), load_model(tmp_path / "m.safetensors", "cpu")
    weights, now = before.network.state_dict(), after.network.state_dict()
    of_pictures = [name for name in weights if not name.startswith("head.error.")]
    assert of_pictures and all(torch.equal(now[name], weights[name]) for name in of_pictures)
    assert now["head.error.second.weight"].shape == (5, 5, 1, 1)
    assert after.threshold == before.threshold


def test_errors_are_only_learned_of_a_network_that_can_predict_them(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SMALL, start_from="mitochondria", errors_only=True)
    with pytest.raises(ConfigError, match="'gated' network with errors_only, found 'light'"):
        train_to_checkpoint(settings, tmp_path / "m.safetensors")


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "kept.safetensors"
    path.write_bytes(b"the last good one")
    settings = msgspec.structs.replace(SMALL, learning_rate=1e30, gradient_norm=0.0, save_every_steps=1000, steps=2000)
    with pytest.raises(TrainingStoppedError, match=r"at step \d+, on the clips of seed \[1, 2, \d+, 0\]"):
        train_to_checkpoint(settings, path, overwrite=True)
    assert path.read_bytes() == b"the last good one"


def test_the_envelope_holds_what_the_specimens_say() -> None:
    from dblink_live.train.reconstruction.train_model import measure_envelope

    envelope = measure_envelope(Specimens(speed=(0.0, 10.0)), seed=0, n_videos=10)
    assert envelope.speed == (0.0, pytest.approx(8.0))  # 10 x 0.08 nm a frame x 10 frames
    assert envelope.pitch == (40.0, 40.0)
