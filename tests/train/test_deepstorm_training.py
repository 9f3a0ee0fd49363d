"""Training of Deep-STORM: the truth that it is shown, the loss, a run to a checkpoint that localizes."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from dblink_live.cli import main
from dblink_live.errors import ConfigError, ModelError
from dblink_live.localization import DeepStormLocalizer
from dblink_live.localization.neural.deepstorm.checkpoint import DEEPSTORM_CHECKPOINTS, Precision
from dblink_live.localization.neural.deepstorm.network import SPIKE, DeepStormConfig
from dblink_live.localization.neural.inputs import CHANNELS, seen_in
from dblink_live.registry import get_localizer_factory
from dblink_live.train import DeepStormSettings, LocalizerScenes, read_settings, train_localizer_to_checkpoint
from dblink_live.train.localizer.data import Examples, make_examples
from dblink_live.train.localizer.deepstorm_loss import deepstorm_loss, heat_map
from dblink_live.types import Camera, Shape

SIZES = DeepStormConfig(channels=(4, 8, 8, 16), upsampling=4)
TINY = DeepStormSettings(steps=3, batch=2, crop_px=16, save_every_steps=2, threads=1, network=SIZES)


def truth(x: float, y: float) -> Examples:
    """One molecule in the second of two examples of 12 x 14 pixels."""
    return Examples(
        torch.zeros(2, CHANNELS, 12, 14), torch.tensor([1]), torch.tensor([x]), torch.tensor([y]), torch.tensor([5.0])
    )


def test_the_recipe_names_its_sizes_and_the_scenes_of_the_dense_one() -> None:
    recipe = read_settings("deepstorm")
    assert isinstance(recipe, DeepStormSettings)
    assert recipe.description
    assert recipe.scenes == LocalizerScenes()
    assert recipe.network == DEEPSTORM_CHECKPOINTS.load("deepstorm", torch.device("cpu")).facts.config
    assert DeepStormSettings().network == DeepStormConfig()


@pytest.mark.parametrize(("x", "y"), [(6.0, 5.0), (6.31, 4.87), (-0.4, 11.3)], ids=["pixel", "between", "corner"])
def test_the_heat_map_is_a_spot_where_the_molecule_is(x: float, y: float) -> None:
    drawn = heat_map(truth(x, y), 4)
    assert drawn.shape == (2, 48, 56)
    assert not drawn[0].any()
    if 1 < x < 12:
        assert float(drawn.sum()) == pytest.approx(SPIKE, rel=1e-3)
        rows, cols = torch.arange(48.0), torch.arange(56.0)
        centre = (drawn[1].sum(1) @ rows / drawn.sum(), drawn[1].sum(0) @ cols / drawn.sum())
        # A camera pixel is 4 fine ones, whose centres are those of no camera pixel.
        assert [float(place) for place in centre] == pytest.approx([4 * y + 1.5, 4 * x + 1.5], abs=0.01)
    assert float(drawn.max()) == pytest.approx(SPIKE / (2 * math.pi), rel=0.25)


def test_the_loss_prefers_the_molecule_where_it_is() -> None:
    examples = truth(6.0, 5.0)

    def loss(row: int, col: int, n: float = 1.0, sparsity: float = 0.5) -> float:
        image = torch.zeros(2, 48, 56)
        image[1, row, col] = n * SPIKE
        return float(deepstorm_loss(image, examples, sparsity))

    # The molecule lies between the fine pixels 21 and 22 of the rows, 25 and 26 of the columns.
    right, beside, elsewhere, none = loss(21, 25), loss(20, 25), loss(40, 10), loss(21, 25, n=0.0)
    assert right < beside < none < elsewhere
    assert loss(21, 25, n=2.0) > right
    # Drawing has its price: SPIKE over the number of fine pixels, times the weight.
    assert loss(21, 25, sparsity=1.5) - right == pytest.approx(SPIKE / (2 * 48 * 56))


def test_what_a_frame_was_is_read_back_from_the_input() -> None:
    scenes = LocalizerScenes(psf_sigma_px=(1.3, 1.3), sigma_error=0.0)
    examples = make_examples(scenes, Shape(16, 20), 3, np.random.default_rng(3))
    units, sigma_px = seen_in(examples.inputs)
    assert units.shape == (3, 16, 20)
    assert sigma_px.tolist() == pytest.approx([1.3] * 3)
    # The compressed copy is of the same frame.
    assert torch.allclose(torch.asinh(units * 0.5), examples.inputs[:, 3])


def test_a_short_run_lowers_the_loss_and_learns_where_molecules_are(tmp_path: Path) -> None:
    scenes = LocalizerScenes(crowding=(0.002, 0.02), photons_over_noise=(100.0, 300.0), psf_sigma_px=(1.1, 1.3))
    settings = msgspec.structs.replace(
        TINY, scenes=scenes, steps=300, save_every_steps=30, learning_rate=5e-3, average_decay=0.9
    )
    losses: list[float] = []
    path = tmp_path / "short.safetensors"
    train_localizer_to_checkpoint(settings, path, lambda progress: losses.append(progress.validation_loss))
    # A molecule costs less than when it is not drawn at all.
    assert losses[-1] < 0.8 * losses[0]
    facts = DEEPSTORM_CHECKPOINTS.load(path, torch.device("cpu")).facts
    assert facts.training["jaccard_within_a_width"] > 0.15
    assert facts.min_height in np.round(np.arange(0.02, 0.61, 0.02), 2)


def test_a_run_writes_a_checkpoint_that_localizes_and_can_be_gone_on_with(tmp_path: Path) -> None:
    path, again = tmp_path / "mine.safetensors", tmp_path / "again.safetensors"
    steps: list[int] = []
    sha256 = train_localizer_to_checkpoint(TINY, path, lambda progress: steps.append(progress.step))
    assert steps == [2, 3]
    assert len(sha256) == 64
    train_localizer_to_checkpoint(TINY, again)
    # The minutes that it took stand in the file too, but they round to 0.
    assert path.read_bytes() == again.read_bytes()
    localizer = get_localizer_factory(str(path))(Camera(100.0))
    assert isinstance(localizer, DeepStormLocalizer)
    localizer.localize(np.full((2, 16, 16), 100, np.uint16), np.arange(2))
    with pytest.raises(ConfigError, match="exists"):
        train_localizer_to_checkpoint(TINY, path)
    further = msgspec.structs.replace(TINY, start_from=str(path), steps=1)
    train_localizer_to_checkpoint(further, path, overwrite=True)
    wider = msgspec.structs.replace(further, network=DeepStormConfig())
    with pytest.raises(ConfigError, match=r"\(4, 8, 8, 16\) and upsampling 4, found \(32, 64, 128, 512\) and 8"):
        train_localizer_to_checkpoint(wider, tmp_path / "wider.safetensors")
    with pytest.raises(ModelError, match=r"of the localizer 'deepstorm', found .* of 'dense'"):
        train_localizer_to_checkpoint(msgspec.structs.replace(TINY, start_from="dense"), tmp_path / "other.safetensors")


def test_what_was_never_found_has_the_precision_of_a_width(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    train_localizer_to_checkpoint(msgspec.structs.replace(TINY, steps=1, learning_rate=1e-9), path)
    facts = DEEPSTORM_CHECKPOINTS.load(path, torch.device("cpu")).facts
    brightness, height, crowding = np.array([50.0, 100.0]), np.array([0.5, 1.0]), np.array([0.01, 0.04])
    if facts.training["jaccard_within_a_width"] < 0.01:
        assert facts.precision.of(brightness, height, crowding).tolist() == [1.0, 1.0]
    law = Precision(scale=8.0, by_brightness=-1.0, by_height=-0.5, by_crowding=0.5)
    assert law.of(brightness, height, crowding) == pytest.approx([0.016 * math.sqrt(2.0), 0.016])


def test_the_verb_trains_it_and_refuses_what_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings, out = tmp_path / "mine.toml", tmp_path / "mine.safetensors"
    text = 'kind = "deepstorm"\nsteps = 1\nbatch = 1\ncrop_px = 16\nthreads = 1\n'
    settings.write_text(text + "[network]\nchannels = [2, 2, 2, 2]\nupsampling = 2\n")
    assert main(["train", "--config", str(settings), "--out", str(out), "--json"]) == 0
    assert DEEPSTORM_CHECKPOINTS.load(out, torch.device("cpu")).facts.config.upsampling == 2
    for wrong, message in (
        ("sparse = 1.0\n", "did you mean 'sparsity'"),
        ("[network]\nchannel = 1\n", "unknown key 'network.channel'"),
        ("[network]\nupsampling = 3\n", "1, 2, 4 or 8, found 3"),
        ("[network]\nchannels = [0, 1, 1, 1]\n", "network.channels[0]"),
        ("sparsity = inf\n", "sparsity to be finite"),
    ):
        settings.write_text('kind = "deepstorm"\n' + wrong)
        assert main(["train", "--config", str(settings), "--out", str(tmp_path / "no.safetensors")]) == 2
        assert message in capsys.readouterr().err
