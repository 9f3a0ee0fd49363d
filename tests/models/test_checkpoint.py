from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from dblink_live.errors import ModelError
from dblink_live.models import (
    BidirectionalNetwork,
    DblinkNetwork,
    Envelope,
    LightConfig,
    LightNetwork,
    build_network,
    import_released_weights,
    list_models,
    list_untrained,
    load_model,
    reconstruct,
    save_checkpoint,
)

ENVELOPE = Envelope(density=(0.5, 8.0), pitch=(40.0, 40.0))


def save(path: Path, network: BidirectionalNetwork, threshold: float = 0.4) -> str:
    return save_checkpoint(
        path,
        network,
        name="tubes",
        pixel_size_nm=40.0,
        threshold=threshold,
        envelope=ENVELOPE,
        training={"steps": 12, "structure": "filaments"},
    )


def rewrite_header(path: Path, **changes: object) -> None:
    """Change facts in the metadata of a checkpoint, leaving its weights."""
    with safetensors.safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["dblink_live"])
    tensors = safetensors.torch.load_file(path)
    safetensors.torch.save_file(tensors, path, metadata={"dblink_live": json.dumps(header | changes)})


@pytest.fixture
def checkpoint(tmp_path: Path, light: BidirectionalNetwork) -> Path:
    path = tmp_path / "mine.safetensors"
    save(path, light)
    return path


def test_a_checkpoint_brings_back_the_network_and_its_facts(tmp_path, network, make_counts):
    path = tmp_path / "mine.safetensors"
    sha256 = save(path, network)
    model = load_model(path, device="cpu")
    assert (model.name, model.architecture) == ("tubes", network.architecture)
    assert (model.pixel_size_nm, model.threshold, model.envelope) == (40.0, 0.4, ENVELOPE)
    assert model.training == {"steps": 12, "structure": "filaments"}
    assert model.sha256 == sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert model.device == torch.device("cpu")
    assert not model.network.training
    counts = make_counts(3)[None]
    assert torch.equal(model.network(counts), network(counts))


def test_the_card_lies_beside_the_checkpoint_or_is_made_from_its_facts(checkpoint):
    made = load_model(str(checkpoint)).card
    assert "tubes" in made and "40 nm" in made and "0.5 to 8" in made and "steps: 12" in made
    checkpoint.with_suffix(".md").write_text("# Written by hand: 40 nm, µm\n", encoding="utf-8")
    assert load_model(checkpoint).card == "# Written by hand: 40 nm, µm\n"


def test_the_same_network_gives_the_same_hash_and_another_one_another(tmp_path, light):
    first, again = save(tmp_path / "a.safetensors", light), save(tmp_path / "b.safetensors", light)
    other = save(tmp_path / "c.safetensors", light, threshold=0.5)
    assert first == again != other


def test_sizes_travel_with_the_weights(tmp_path):
    network = LightNetwork(LightConfig(hidden=(4, 6, 8), time_constants=(2.0,), head=(12, 8)))
    save(tmp_path / "odd.safetensors", network)
    assert load_model(tmp_path / "odd.safetensors").network.config == network.config


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.9, 0.9999])
def test_truncated_files_are_refused(checkpoint, share):
    data = checkpoint.read_bytes()
    checkpoint.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ModelError, match="damaged, truncated"):
        load_model(checkpoint)


def test_a_flipped_bit_in_the_weights_is_noticed(checkpoint):
    data = bytearray(checkpoint.read_bytes())
    data[-1000] ^= 1
    checkpoint.write_bytes(data)
    with pytest.raises(ModelError, match="found changed ones"):
        load_model(checkpoint)


@pytest.mark.parametrize("content", [b"\x00" * 100, b"\xff" * 100, b"PK\x03\x04 not weights", b"{}" * 50], ids=repr)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="expected a whole safetensors file"):
        load_model(path)


def test_checkpoints_of_other_programs_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="written by another program"):
        load_model(path)
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match="written by another program"):
        load_model(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"architecture": "transformer"}, "'light' or 'dblink', found 'transformer'", id="architecture"),
        pytest.param({"architecture": "dblink"}, "missing", id="weights-of-another"),
        pytest.param({"config": {"hidden": [8, 8], "head": [8, 16], "depth": 3}}, "depth", id="unknown-size"),
        pytest.param({"config": {"hidden": [], "head": [8, 16]}}, "hidden", id="impossible-size"),
        pytest.param({"config": {"hidden": [8, 16], "head": [8, 16]}}, "of shape", id="other-size"),
        pytest.param({"format_version": 2, "threshold": "auto"}, "format 1 or older, found .* of format 2", id="newer"),
        pytest.param({"pixel_size_nm": -40.0}, "pixel_size_nm", id="pitch"),
        pytest.param({"threshold": None}, "threshold", id="threshold"),
    ],
)
def test_facts_that_do_not_fit_are_refused(checkpoint, changes, message):
    load_model(checkpoint)
    config = {"hidden": [8, 8], "head": [8, 16]}
    rewrite_header(checkpoint, **({"config": {}} if changes.get("architecture") == "dblink" else {"config": config}))
    rewrite_header(checkpoint, **changes)
    with pytest.raises(ModelError, match=message):
        load_model(checkpoint)


def test_weights_that_are_not_finite_are_refused(tmp_path, light):
    next(light.parameters()).view(-1)[3] = float("nan")
    save(tmp_path / "nan.safetensors", light)
    with pytest.raises(ModelError, match="expected finite weights"):
        load_model(tmp_path / "nan.safetensors")


def test_a_failed_write_leaves_the_old_checkpoint_and_nothing_else(checkpoint, light, monkeypatch):
    before = checkpoint.read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(ModelError, match="No space left on device"):
        save(checkpoint, light, threshold=0.9)
    assert checkpoint.read_bytes() == before
    assert list(checkpoint.parent.iterdir()) == [checkpoint]


def test_unknown_names_list_what_is_shipped():
    with pytest.raises(ModelError, match=r"unknown model 'nonesuch'; shipped: \w+"):
        load_model("nonesuch")


def test_a_path_without_a_file_says_so(tmp_path):
    with pytest.raises(ModelError, match="found no file"):
        load_model(tmp_path / "missing.safetensors")


@pytest.mark.parametrize("name", list_models())
def test_shipped_models_load_and_have_a_card(name):
    model = load_model(name, device="cpu")
    assert model.name == name
    assert model.card.startswith("#")
    assert 0 < model.threshold < 1
    assert model.envelope.density is not None
    assert reconstruct(np.zeros((2, 16, 16)), model).max() < model.threshold  # an empty field stays empty


def test_the_papers_network_ships_untrained_and_says_so():
    assert "untrained" in list_untrained()["dblink"] and not set(list_untrained()) & set(list_models())
    with pytest.raises(ModelError, match="ships untrained"):
        load_model("dblink", device="cpu")


def test_networks_are_built_by_name():
    assert isinstance(build_network("dblink"), DblinkNetwork)
    network = build_network("light", b'{"hidden": [4]}')
    assert isinstance(network, LightNetwork) and network.config.hidden == (4,)


class Released:
    """Files as the authors' code writes them."""

    @staticmethod
    def network() -> DblinkNetwork:
        torch.manual_seed(5)
        return DblinkNetwork().eval()


@pytest.mark.parametrize("prefix", ["", "module."], ids=["plain", "data-parallel"])
def test_released_weights_load(tmp_path, make_counts, prefix):
    network = Released.network()
    torch.save({prefix + key: value for key, value in network.state_dict().items()}, tmp_path / "LSTM_model")
    model = import_released_weights(tmp_path / "LSTM_model", device="cpu")
    counts = make_counts(3)[None]
    assert torch.equal(model.network(counts), network(counts))
    # The authors' targets reach 255.
    assert torch.allclose(model.network.probability(torch.tensor([127.5])), torch.tensor([0.5]))
    save(tmp_path / "ours.safetensors", model.network)
    again = load_model(tmp_path / "ours.safetensors", device="cpu")
    assert torch.equal(again.network.probability(again.network(counts)), model.network.probability(network(counts)))


def test_a_pickled_module_is_refused(tmp_path):
    torch.save(Released.network(), tmp_path / "whole.pt")
    with pytest.raises(ModelError, match="weights alone"):
        import_released_weights(tmp_path / "whole.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param({"epoch": 3}, "dictionary of tensors", id="not-tensors"),
        pytest.param([torch.zeros(3)], "dictionary of tensors", id="a-list"),
        pytest.param({"conv.weight": torch.zeros(3)}, "missing", id="another-network"),
    ],
)
def test_other_weights_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ModelError, match=message):
        import_released_weights(tmp_path / "other.pt")


def test_damaged_or_absent_released_weights_are_refused(tmp_path):
    torch.save(Released.network().state_dict(), tmp_path / "cut")
    data = (tmp_path / "cut").read_bytes()
    (tmp_path / "cut").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="weights alone"):
        import_released_weights(tmp_path / "cut")
    with pytest.raises(ModelError, match="cannot read the weights"):
        import_released_weights(tmp_path / "nothing")
