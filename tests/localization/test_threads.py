"""Parts of the localizers' work on several cores."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from dblink_live.localization.parallel import map_parts


@pytest.fixture
def _two_threads() -> Iterator[None]:
    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(usual)


@pytest.mark.usefixtures("_two_threads")
def test_each_thread_computes_alone_and_the_caller_keeps_its_own() -> None:
    seen = set()

    def work(part: int) -> tuple[int, int]:
        seen.add(threading.current_thread().name)
        return part, torch.get_num_threads()

    assert map_parts(work, range(50), torch.device("cpu")) == [(part, 1) for part in range(50)]
    assert all(name.startswith("localize") for name in seen)
    assert torch.get_num_threads() == 2
