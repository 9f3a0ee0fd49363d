"""An OME-Zarr image of its own: whole or not there, valid, and true to the values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaozarrs
import zarr

from dblink_live.errors import StoreError
from dblink_live.store.hierarchy import SeriesSpec
from dblink_live.store.image import ImageWriter
from dblink_live.types import Grid, Shape

SPEC = SeriesSpec("full", 0, Grid(40.0, Shape(7, 600)), "uint8", window_frames=10, window_s=0.5)


def picture(value: float) -> np.ndarray:
    image = np.zeros((7, 600), np.float32)
    image[3, 5:9] = value
    return image


def test_values_axes_and_pyramid_can_be_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.ome.zarr"
    with ImageWriter(path, SPEC) as writer:
        for value in (0.2, 0.4, 1.0):
            writer.append(picture(value))
    yaozarrs.validate_zarr_store(str(path))
    group = zarr.open_group(path, mode="r")
    level_0 = group["0"]
    assert isinstance(level_0, zarr.Array)
    assert level_0.shape == (3, 7, 600)
    # Rounded to the nearest of 255 steps.
    np.testing.assert_array_equal(np.asarray(level_0[:, 3, 5]), [51, 102, 255])
    assert level_0.metadata.to_dict()["dimension_names"] == ("t", "y", "x")
    multiscales = group.attrs.asdict()["ome"]["multiscales"][0]
    assert multiscales["name"] == "out.ome.zarr"
    assert [axis.get("unit") for axis in multiscales["axes"]] == ["second", "micrometer", "micrometer"]
    assert multiscales["datasets"][0]["coordinateTransformations"][0]["scale"] == [0.5, 0.04, 0.04]
    # 600 columns do not fit into one chunk of 512, so there is a second level.
    assert len(multiscales["datasets"]) == 2
    assert [entry.name for entry in path.parent.iterdir()] == ["out.ome.zarr"]


def test_what_was_not_finished_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.ome.zarr"
    with pytest.raises(KeyboardInterrupt), ImageWriter(path, SPEC) as writer:
        writer.append(picture(0.5))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced_unless_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "out.ome.zarr"
    with ImageWriter(path, SPEC) as writer:
        writer.append(picture(0.2))
    with pytest.raises(StoreError, match=r"out\.ome\.zarr exists"):
        ImageWriter(path, SPEC)
    with ImageWriter(path, SPEC, overwrite=True) as writer:
        writer.append(picture(1.0))
    assert zarr.open_array(path / "0", mode="r")[0, 3, 5] == 255


def test_a_folder_that_is_no_image_is_never_replaced(tmp_path: Path) -> None:
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter1.txt").write_text("...")
    with pytest.raises(StoreError, match="thesis exists"):
        ImageWriter(precious, SPEC, overwrite=True)
    assert (precious / "chapter1.txt").exists()


def test_values_that_are_no_probability_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"\[0, 1\]"), ImageWriter(tmp_path / "o.zarr", SPEC) as writer:
        writer.append(picture(1.5))
    assert list(tmp_path.iterdir()) == []
