from __future__ import annotations

import pytest
import torch

from dblink_live.errors import ModelError
from dblink_live.models import BidirectionalNetwork, StreamingEngine, resolve_device
from dblink_live.types import Shape

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; torch finds none here")


def test_auto_takes_what_is_there():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert resolve_device("auto").type == resolve_device(None).type == expected


@pytest.mark.parametrize("name", ["gpu", "mps", "meta", ""])
def test_unknown_devices_are_refused(name):
    with pytest.raises(ModelError, match="expected a device auto, cpu, cuda or cuda:N"):
        resolve_device(name)


def test_a_cuda_device_that_is_not_there_is_never_replaced_by_the_cpu():
    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ModelError, match=f"expected a CUDA device for '{absent}'"):
        resolve_device(absent)


@needs_cuda
@pytest.mark.gpu
def test_a_gpu_gives_the_cpus_pictures(network: BidirectionalNetwork, make_counts):
    counts, present = make_counts(20, 64, 48), torch.ones(20)

    def run(device: str) -> list[torch.Tensor]:
        engine = StreamingEngine(network.to(device), lookahead=5, hop=3)
        pictures, state = engine.push(counts, present, engine.start(Shape(64, 48)))
        return [p.probability.cpu() for p in pictures + engine.flush(state)]

    on_cpu = run("cpu")
    # TF32 convolutions round inputs to 10 bits of mantissa (1e-3 relative); some layers of them stay within 1e-2.
    assert max(float((a - b).abs().max()) for a, b in zip(on_cpu, run("cuda"), strict=True)) < 1e-2
    allow_tf32 = torch.backends.cudnn.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = False
        # Full float32 in another order of additions.
        assert max(float((a - b).abs().max()) for a, b in zip(on_cpu, run("cuda"), strict=True)) < 1e-4
    finally:
        torch.backends.cudnn.allow_tf32 = allow_tf32
