"""Training of the dense localizer: examples, likelihood, a run to a checkpoint that localizes."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from dblink_live.cli import main
from dblink_live.errors import ConfigError
from dblink_live.localization.neural.dense.checkpoint import DENSE_CHECKPOINTS
from dblink_live.localization.neural.dense.network import SHIPPED, DenseConfig, Predictions
from dblink_live.localization.neural.dense.recovery import recover
from dblink_live.localization.neural.inputs import CHANNELS
from dblink_live.registry import get_localizer_factory
from dblink_live.train import LocalizerScenes, LocalizerSettings, read_settings, train_localizer_to_checkpoint
from dblink_live.train.localizer.data import Examples, make_examples
from dblink_live.train.localizer.loss import localizer_loss
from dblink_live.types import Camera, Shape

SIZES = DenseConfig(fine_channels=4, coarse_channels=8, coarse_layers=1, last_layers=0)
TINY = LocalizerSettings(steps=3, batch=1, crop_px=16, save_every_steps=2, threads=1)


def test_the_recipe_is_the_default_and_trains() -> None:
    recipe = read_settings("localizer")
    assert isinstance(recipe, LocalizerSettings)
    assert recipe.description
    assert recipe.scenes == LocalizerScenes()
    assert recipe.network is None
    assert DENSE_CHECKPOINTS.load("dense", torch.device("cpu")).facts.config == SHIPPED


def test_examples_follow_from_the_seed() -> None:
    first, again, other = (
        make_examples(LocalizerScenes(), Shape(16, 20), 6, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first.inputs.shape == (6, CHANNELS, 16, 20)
    assert torch.equal(first.inputs, again.inputs)
    assert not torch.equal(first.inputs, other.inputs)
    assert torch.isfinite(first.inputs).all()
    assert first.counts.sum() == len(first.x) > 0
    assert (first.y.round() < 16).all()
    assert (first.x.round() < 20).all()


def test_bright_pixels_are_where_the_molecules_are() -> None:
    scenes = LocalizerScenes(crowding=(0.002, 0.003), photons_over_noise=(200.0, 300.0), on_frames=(5.0, 10.0))
    examples = make_examples(scenes, Shape(32, 32), 20, np.random.default_rng(3))
    now = examples.inputs[:, 0]
    at_molecules = now[examples.example, examples.y.round().long(), examples.x.round().long()]
    # 200 units of noise and more, 5 to 16 % of them in the middle pixel; the background is 0 with a scatter of 1.
    bright = examples.log_units > math.log(200.0)
    assert bright.any()
    assert (at_molecules[bright] > 8 / 16).all()
    assert float(now.median().abs()) < 1 / 16


def predictions(logit: torch.Tensor, x: torch.Tensor, log_units: float = 5.0) -> Predictions:
    """Of pixels that put a molecule at ``x`` of their row's middle, each with the uncertainty 0.1."""
    sigma = torch.full_like(logit, 0.1)
    brightness = torch.full_like(logit, log_units)
    return Predictions(logit, x, torch.zeros_like(logit), brightness, sigma, sigma, sigma)


def test_the_likelihood_prefers_the_truth() -> None:
    truth = Examples(
        torch.zeros(1, CHANNELS, 8, 8), torch.tensor([0]), torch.tensor([3.2]), torch.tensor([4.0]), torch.tensor([5.0])
    )
    logit, x = torch.full((1, 8, 8), -9.0), torch.zeros(1, 8, 8)
    logit[0, 4, 3], x[0, 4, 3] = 9.0, 0.2
    right = float(localizer_loss(predictions(logit, x), truth))
    shifted, elsewhere, twice = x.clone(), torch.full((1, 8, 8), -9.0), logit.clone()
    shifted[0, 4, 3] = -0.2
    elsewhere[0, 1, 1] = 9.0
    twice[0, 1, 1] = 9.0
    assert right < float(localizer_loss(predictions(logit, shifted), truth)) - 4
    assert right < float(localizer_loss(predictions(elsewhere, x), truth)) - 4
    assert right < float(localizer_loss(predictions(twice, x), truth)) - 1
    assert right < float(localizer_loss(predictions(logit, x, log_units=5.5), truth)) - 4
    # Split between two pixels that point to the same place it is the same molecule.
    halves, both = torch.full((1, 8, 8), -9.0), torch.zeros(1, 8, 8)
    halves[0, 4, 3:5] = 0.0
    both[0, 4, 3], both[0, 4, 4] = 0.2, -0.8
    (found,) = recover(predictions(halves, both), 0.9).x.tolist()
    assert found == pytest.approx(3.2)
    both[0, 4, 4] = 0.3
    assert len(recover(predictions(halves, both), 0.4).x) == 2


def test_a_run_writes_a_checkpoint_that_localizes_and_can_be_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    steps: list[int] = []
    sha256 = train_localizer_to_checkpoint(TINY, path, lambda progress: steps.append(progress.step))
    assert steps == [2, 3]
    again = tmp_path / "again.safetensors"
    train_localizer_to_checkpoint(TINY, again)
    # The minutes that it took stand in the file too, but they round to 0.
    assert path.read_bytes() == again.read_bytes()
    assert len(sha256) == 64
    localizer = get_localizer_factory(str(path))(Camera(100.0), min_probability=0.9)
    assert len(localizer.localize(np.full((2, 16, 16), 100, np.uint16), np.arange(2))) == 0
    with pytest.raises(ConfigError, match="exists"):
        train_localizer_to_checkpoint(TINY, path)
    further = msgspec.structs.replace(TINY, start_from=str(path), steps=1)
    train_localizer_to_checkpoint(further, path, overwrite=True)
    smaller = msgspec.structs.replace(further, network=SIZES)
    with pytest.raises(ConfigError, match=r"'fine_channels': 16, .* found {'fine_channels': 4, .*; leave them out"):
        train_localizer_to_checkpoint(smaller, tmp_path / "no.safetensors")


def test_sizes_can_be_chosen_and_are_kept_when_it_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    train_localizer_to_checkpoint(msgspec.structs.replace(TINY, network=SIZES), path)
    train_localizer_to_checkpoint(msgspec.structs.replace(TINY, start_from=str(path), steps=1), path, overwrite=True)
    assert DENSE_CHECKPOINTS.load(path, torch.device("cpu")).facts.config == SIZES
    localizer = get_localizer_factory(str(path))(Camera(100.0), min_probability=0.9)
    assert len(localizer.localize(np.full((2, 16, 16), 100, np.uint16), np.arange(2))) == 0


def test_the_verb_trains_it_and_refuses_what_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = tmp_path / "mine.toml"
    text = 'kind = "localizer"\nsteps = 1\nbatch = 1\ncrop_px = 16\nthreads = 1\n'
    settings.write_text(text + "[scenes]\npsf_sigma_px = [1.0, 1.2]\n")
    out = tmp_path / "mine.safetensors"
    assert main(["train", "--config", str(settings), "--out", str(out), "--json"]) == 0
    assert out.is_file()
    for wrong, message in (
        ("crop = 32\n", "did you mean 'crop_px'"),
        ("[scenes]\nreach = 1\n", "unknown key 'scenes.reach'"),
        ("[scenes]\npsf_sigma_px = [2.0, 1.0]\n", "expected scenes.psf_sigma_px as [low, high]"),
        ("learning_rate = inf\n", "learning_rate to be finite"),
        ("[network]\nfine_channels = 8\n", "coarse_channels"),
        ("[network]\nfine_channels = 8\ncoarse_channels = 8\ncoarse_layers = 6\n", "network.coarse_layers"),
    ):
        settings.write_text('kind = "localizer"\n' + wrong)
        assert main(["train", "--config", str(settings), "--out", str(tmp_path / "no.safetensors")]) == 2
        assert message in capsys.readouterr().err
