from __future__ import annotations

import pytest
import torch

from dblink_live.errors import ModelError
from dblink_live.models import resolve_device


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
