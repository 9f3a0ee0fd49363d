"""Following a run in a real napari viewer; napari is no requirement of this project, so these are skipped without
it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("napari.components", reason="napari is not installed; see plugins/napari/README.md")

from dblink_live_napari.following import AddressFollower, FolderFollower
from napari import components
from napari_runs import GRID, begin, write_molecules, write_windows

from dblink_live.bus import EndMessage, ImageMessage, Publisher, StartMessage
from dblink_live.errors import StoreError, WireError

PATIENCE_S = 240.0  # only ever waited out by a failing test


def until(condition: Callable[[], Any]) -> Any:
    limit_s = time.perf_counter() + PATIENCE_S
    while not (found := condition()):
        assert time.perf_counter() < limit_s, "waited in vain"
        time.sleep(0.01)
    return found


def test_a_growing_run_grows_in_the_viewer(tmp_path: Path) -> None:
    viewer = components.ViewerModel()
    writer = begin(tmp_path / "live.run")
    follower = FolderFollower(viewer, tmp_path / "live.run")
    assert "0 windows" in follower.refresh()
    assert not viewer.layers
    write_windows(writer, range(6))
    until(lambda: "6 windows, 6 pictures" in follower.refresh())
    plain, live = viewer.layers
    assert live.data.shape == (6, *GRID.shape)
    assert viewer.dims.current_step[0] == 5
    live.contrast_limits = (0, 99)
    write_windows(writer, range(6, 9))
    until(lambda: "9 windows, 9 pictures" in follower.refresh())
    assert [*viewer.layers] == [plain, live]
    assert (live.data.shape[0], plain.data.shape[0]) == (9, 9)
    assert int(np.asarray(live.data[8]).mean()) == 8
    assert tuple(live.contrast_limits) == (0, 99)
    assert viewer.dims.current_step[0] == 8
    # Who has gone back to look at something is left there.
    viewer.dims.set_current_step(0, 2)
    write_windows(writer, range(9, 10))
    until(lambda: "10 windows, 10 pictures" in follower.refresh())
    assert viewer.dims.current_step[0] == 2
    writer.close()
    assert "interrupted" in follower.refresh()
    follower.close()


def test_localizations_and_error_map_grow_as_well(tmp_path: Path) -> None:
    viewer = components.ViewerModel()
    writer = begin(tmp_path / "live.run")
    write_molecules(writer, range(3))
    follower = FolderFollower(viewer, tmp_path / "live.run")
    until(lambda: "3 windows, 3 pictures" in follower.refresh())
    _, _, error, points = viewer.layers
    assert (error.data.shape[0], len(points.data)) == (3, 6)
    points.visible = True
    write_molecules(writer, range(3, 8))
    until(lambda: "8 windows, 8 pictures" in follower.refresh())
    assert (error.data.shape[0], len(points.data)) == (8, 16)
    assert viewer.dims.current_step[0] == 7
    writer.close()


def test_published_pictures_are_shown_as_they_come() -> None:
    viewer = components.ViewerModel()
    start = StartMessage(run_uuid="u", source="sim:filaments")
    with Publisher() as publisher:
        publisher.start(start)
        follower = AddressFollower(viewer, publisher.address)
        until(lambda: "live" in follower.refresh())
        for number in range(2):
            image = np.full((6, 8), number + 1, np.float32) / 4

            def shown(image: np.ndarray = image, number: int = number) -> bool:
                publisher.send_image(ImageMessage("live", "u", 0, number, image, 0, 40.0, (80.0, 0.0)))
                follower.refresh()
                return bool(viewer.layers) and float(viewer.layers[0].data[0, 0]) == float(image[0, 0])

            until(shown)
        (layer,) = viewer.layers
        assert tuple(layer.scale) == pytest.approx((0.04, 0.04))
        assert tuple(layer.translate) == pytest.approx((0.1, 0.02))
        publisher.end(EndMessage())
        until(lambda: "has ended" in follower.refresh())
    follower.close()


def test_what_cannot_be_followed_is_said(tmp_path: Path) -> None:
    viewer = components.ViewerModel()
    with pytest.raises(StoreError, match="does not exist"):
        FolderFollower(viewer, tmp_path / "none.run")
    with pytest.raises(WireError, match="keys"):
        AddressFollower(viewer, "tcp://192.0.2.1:5555")
