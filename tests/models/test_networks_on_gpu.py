"""Networks, the streaming engine and whole passes on a CUDA device give the CPU's pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from dblink_live.errors import ModelError
from dblink_live.models import (
    BidirectionalNetwork,
    GatedNetwork,
    Model,
    StreamingEngine,
    StreamingReconstructor,
    build_network,
    full_pass,
    import_released_weights,
    iter_reconstruct,
    load_model,
    measure_pass,
    measure_stream,
    min_plan,
    resolve_device,
)
from dblink_live.pipeline.network_runner import Engine, NetworkRunner
from dblink_live.types import Grid, LocalizationMap, Shape

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("full_float32")]
FLOAT32 = 2e-4
"""Full float32, with additions in another order."""


def maps_of(n_windows: int, height: int, width: int, mean: float = 0.3) -> npt.NDArray[np.uint16]:
    """Counts [T, H, W]."""
    return np.random.default_rng(0).poisson(mean, (n_windows, height, width)).astype(np.uint16)


def stream(
    runner: NetworkRunner, maps: npt.NDArray[np.uint16], n_together: int = 1
) -> tuple[npt.NDArray[np.float32], list[npt.NDArray[np.float32]]]:
    """Pictures [T, H, W] and predicted errors of ``maps``, uploaded and downloaded as in a live run."""
    engine = StreamingEngine(runner.network, lookahead=5, hop=3, n_together=n_together)
    state, present = engine.start(Shape(*maps.shape[1:])), torch.ones(1)
    found = []
    with runner.computing():
        for counts in maps:
            made, state = engine.push(runner.upload(counts), present, state)
            found += runner.download(made)
        found += runner.download(engine.flush(state))
    return np.stack([image for image, _ in found]), [error for _, error in found if error is not None]


def test_auto_is_the_cuda_device(device: str) -> None:
    assert resolve_device("auto").type == resolve_device(device).type == device
    n_devices = torch.cuda.device_count()
    with pytest.raises(ModelError, match=f"found {n_devices} with torch"):
        resolve_device(f"cuda:{n_devices}")


@pytest.mark.parametrize("n_together", [1, 3])
def test_a_stream_gives_the_cpus_pictures(device: str, network: BidirectionalNetwork, n_together: int) -> None:
    maps = maps_of(20, 61, 47)
    expected, expected_errors = stream(NetworkRunner(Model.untrained(network)), maps)
    assert expected.std() > 1e-3
    found, errors = stream(NetworkRunner(Model.untrained(network.to(device))), maps, n_together)
    assert np.abs(found - expected).max() < FLOAT32
    assert len(errors) == len(expected_errors) == (20 if isinstance(network, GatedNetwork) else 0)
    assert all(np.abs(a - b).max() < FLOAT32 for a, b in zip(errors, expected_errors, strict=True))


@pytest.mark.filterwarnings("ignore")  # of torch's compiler
@pytest.mark.parametrize(("engine", "tolerance"), [("bfloat16", 0.1), ("compile", 1e-3)])
def test_each_engine_gives_nearly_the_cpus_pictures(
    device: str, network: BidirectionalNetwork, engine: Engine, tolerance: float
) -> None:
    maps = maps_of(20, 64, 48)
    expected, _ = stream(NetworkRunner(Model.untrained(network)), maps)
    try:
        runner = NetworkRunner(Model.untrained(network.to(device)), engine)
    except ModelError as error:
        pytest.skip(str(error))
    found, _ = stream(runner, maps, n_together=3)
    assert found.dtype == np.float32
    # bfloat16 keeps 8 bits: a few hundredths of the range where a layer or two amplifies them.
    assert np.abs(found - expected).max() < tolerance


def test_tf32_convolutions_stay_within_a_hundredth(device: str, light: BidirectionalNetwork) -> None:
    """The default of PyTorch on cards since Ampere, and so of a run."""
    torch.backends.cudnn.allow_tf32 = True
    maps = maps_of(20, 64, 48)
    expected, _ = stream(NetworkRunner(Model.untrained(light)), maps)
    found, _ = stream(NetworkRunner(Model.untrained(light.to(device))), maps)
    assert np.abs(found - expected).max() < 1e-2


def test_uploads_that_overlap_with_computing_arrive_whole(device: str, light: BidirectionalNetwork) -> None:
    """Each upload goes through pinned memory on a stream of its own; the next one begins while it is computed with."""
    runner = NetworkRunner(Model.untrained(light.to(device)))
    maps = np.random.default_rng(2).integers(0, 65536, (40, 300, 311), dtype=np.uint16)
    uploaded = [runner.upload(counts) for counts in maps]
    for counts, tensor in zip(maps, uploaded, strict=True):
        assert tensor.dtype == torch.float32 and tensor.device.type == device
        np.testing.assert_array_equal(tensor[0].cpu().numpy(), counts.astype(np.float32))
    part = runner.upload(maps[0, 10:20, 5:15])  # a region is not contiguous
    np.testing.assert_array_equal(part[0].cpu().numpy(), maps[0, 10:20, 5:15].astype(np.float32))


def test_the_full_pass_gives_the_cpus_pictures_whatever_the_checkpoints(
    device: str, network: BidirectionalNetwork
) -> None:
    maps = maps_of(45, 40, 37)
    expected = np.stack([picture for _, picture in full_pass(network, maps)])
    network.to(device)
    plan = min_plan(len(maps), measure_pass(network, 40, 37))
    for chosen in (None, plan):
        found = np.stack([picture for _, picture in full_pass(network, maps, plan=chosen)])
        assert np.abs(found - expected).max() < FLOAT32


def test_a_shipped_model_by_its_name(device: str) -> None:
    maps = maps_of(16, 33, 52, mean=0.05)
    expected = np.stack([picture for _, picture in iter_reconstruct(maps, "filaments", device="cpu")])
    found = np.stack([picture for _, picture in iter_reconstruct(maps, "filaments", device=device)])
    assert load_model("filaments", device=device).device.type == device
    assert np.abs(found - expected).max() < FLOAT32
    bounded = [
        np.stack([picture for _, picture in iter_reconstruct(maps, "filaments", lookahead=4, device=name)])
        for name in ("cpu", device)
    ]
    assert np.abs(bounded[0] - bounded[1]).max() < FLOAT32


def test_the_streaming_reconstructor_hands_out_numpy(device: str) -> None:
    maps, grid = maps_of(12, 32, 32), Grid(40.0, Shape(32, 32))
    reconstructor = StreamingReconstructor(load_model("filaments", device=device), lookahead=3, hop=2)
    found = []
    for window, counts in enumerate(maps):
        found += reconstructor.push(LocalizationMap(0, window, 10 * window, 10 * window + 10, counts, grid, 0))
    found += reconstructor.flush()
    assert [picture.window for picture in found] == list(range(12))
    assert all(isinstance(picture.image, np.ndarray) and np.isfinite(picture.image).all() for picture in found)


def test_released_weights_are_loaded_onto_the_device(device: str, tmp_path: Path) -> None:
    network = build_network("dblink")
    path = tmp_path / "released.pth"
    torch.save({"model_state_dict": network.state_dict()}, path)
    try:
        model = import_released_weights(path, device=device)
    except ModelError:
        torch.save(network.state_dict(), path)
        model = import_released_weights(path, device=device)
    assert model.device.type == device


def test_memory_on_the_card_is_what_was_rehearsed(device: str, network: BidirectionalNetwork) -> None:
    if device != "cuda":
        pytest.skip("PyTorch counts the memory of CUDA devices alone")
    network.to(device)
    side, lookahead, hop = 320, 8, 4
    maps = maps_of(lookahead + 3 * hop, side, side)

    def peak(work: Callable[[], object]) -> int:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before

    def live() -> None:
        engine = StreamingEngine(network, lookahead, hop, n_together=hop)
        state, present = engine.start(Shape(side, side)), torch.ones(1)
        for counts in maps:
            _, state = engine.push(torch.from_numpy(counts.astype(np.float32))[None], present, state)

    expected = measure_stream(network, lookahead, hop, Shape(side, side))
    used = peak(live)
    assert expected / 4 < used <= 1.1 * expected
    memory = measure_pass(network, side, side)
    plan = min_plan(len(maps), memory)
    assert peak(lambda: list(full_pass(network, maps, plan=plan))) <= 1.1 * plan.bytes
