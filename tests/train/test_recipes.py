"""The shipped recipes: what they promise, and that each can take a step."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from dblink_live.errors import ConfigError
from dblink_live.models import build_network
from dblink_live.train import list_recipes, read_settings
from dblink_live.train.reconstruction import loop
from dblink_live.train.reconstruction.dataset import ClipSampler, draw_parameters, validation_clips, validation_video
from dblink_live.train.reconstruction.losses import LOSSES
from dblink_live.train.reconstruction.settings import TrainingSettings
from dblink_live.train.reconstruction.state import begin
from dblink_live.train.reconstruction.workers import own_device

CPU = torch.device("cpu")
TINY = {"crop_px": 16, "clip_windows": 3, "supervised_windows": 3, "video_windows": 0, "save_every_steps": 1}
TINY |= {"warmup_forward": 0, "warmup_reverse": 0, "pool_videos": 1, "validation_videos": 1, "max_minutes": 0.0}


def tiny(recipe: str, **changes: object) -> TrainingSettings:
    """``recipe`` on clips that a test has time for."""
    return msgspec.structs.replace(read_settings(recipe), device="cpu", threads=1, **{**TINY, **changes})


@pytest.mark.parametrize("recipe", [name for name in list_recipes() if name not in ("deepstorm", "localizer")])
def test_every_recipe_trains(recipe: str) -> None:
    settings = tiny(recipe, steps=1)
    torch.manual_seed(0)
    state = begin(build_network(settings.network or "gated"), settings)
    before = [weight.clone() for weight in state.network.parameters()]
    progress = loop.train(state, settings, lambda _: None)
    assert np.isfinite([progress.loss, progress.validation_loss]).all()
    assert all(not torch.equal(old, new) for old, new in zip(before, state.network.parameters(), strict=True))
    assert list_recipes()[recipe]


def test_the_paper_recipe_is_what_the_paper_says() -> None:
    paper = read_settings("paper")
    assert (paper.network, paper.loss, paper.schedule, paper.plateau_patience) == ("dblink", "paper", "plateau", 3)
    assert (paper.adam_betas, paper.learning_rate, paper.batch) == ((0.99, 0.999), 1e-4, 1)
    assert (paper.training_videos, paper.validation_videos, paper.video_windows * 10) == (1000, 250, 3000)
    parameters = draw_parameters(paper.specimens, paper.video_windows, np.random.default_rng(0))
    released = type(parameters)(n_windows=300)
    assert parameters == released


def test_the_control_differs_from_the_live_recipe_in_its_loss_alone() -> None:
    live, control = read_settings("live"), read_settings("mse_control")
    same_name = {"name": live.name, "description": live.description}
    assert msgspec.structs.replace(control, loss=live.loss, **same_name) == live
    terms = LOSSES[control.loss]
    assert (terms.mse, terms.bce, terms.dice, terms.temporal, terms.total_variation) == (1.0, 0.0, 0.0, 0.0, 0.0)


def test_a_fixed_number_of_videos_comes_again() -> None:
    settings = tiny("paper", training_videos=2, batch=1, crop_px=128)
    sampler = ClipSampler(settings)
    # A turned clip of the same video has the same number of localizations.
    sums = [int(sampler.sample(step).counts.sum()) for step in range(4)]
    assert sums[:2] == sums[2:]
    assert sums[0] != sums[1]


def test_validation_is_the_same_for_any_number_of_workers_and_not_trained_on() -> None:
    settings = tiny("live", validation_videos=3, batch=2)
    alone = validation_clips(settings)
    shared = [validation_clips(settings, worker, 2)[0] for worker in (0, 1)]
    assert [len(clip.counts) for clip in alone] == [2, 1]
    assert all(torch.equal(a.counts, b.counts) for a, b in zip(alone, shared, strict=True))
    assert not validation_clips(settings, 2, 3)
    assert validation_video(settings, 0).counts.shape[0] == settings.longest_clip


def test_the_learning_rate_falls_where_validation_stands_still() -> None:
    # Nothing is learned at a rate of 1e-12, so no epoch is better than the first.
    settings = tiny("paper", network="light", learning_rate=1e-12, epoch_steps=1, plateau_patience=1, steps=4)
    torch.manual_seed(0)
    state = begin(build_network(settings.network or "gated"), settings)
    rates: list[float] = []
    loop.train(state, settings, lambda progress: rates.append(progress.learning_rate))
    assert rates == pytest.approx([1e-12, 1e-12, 1e-13, 1e-13])


def test_mixed_precision_is_for_devices_that_have_it_and_keeps_every_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tiny("live", warmup_forward=2, warmup_reverse=2, cold_forward_share=0.0, cold_reverse_share=0.0)
    with loop.mixed_precision(settings, CPU):
        assert torch.is_autocast_enabled("cpu") == torch.cpu.get_capabilities().get("avx512_bf16", False)
    with loop.mixed_precision(msgspec.structs.replace(settings, bf16=False), CPU):
        assert not torch.is_autocast_enabled("cpu")
    assert own_device(CPU) == CPU
    sampler = ClipSampler(settings)
    clip = next(clip for clip in map(sampler.sample, range(20)) if clip.warmup_forward and clip.warmup_reverse)
    torch.manual_seed(0)
    network = build_network("light")
    exact = loop.clip_loss(network, clip, msgspec.structs.replace(settings, bf16=False), CPU)
    # What a GPU would do, tried on the CPU.
    monkeypatch.setattr(loop, "mixed_precision", lambda settings, device: torch.autocast("cpu", torch.bfloat16))
    rounded = loop.clip_loss(network, clip, settings, CPU)
    rounded.backward()
    # bfloat16 keeps 8 bits: 0.4 % a product, less in their mean.
    assert rounded.item() == pytest.approx(exact.item(), rel=0.02)
    assert all(weight.grad is not None and weight.grad.any() for weight in network.parameters())


def test_an_unknown_recipe_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="deepstorm, live, localizer, mse_control, paper"):
        read_settings("papr")
    with pytest.raises(ConfigError, match="cannot read"):
        read_settings(tmp_path / "none.toml")
