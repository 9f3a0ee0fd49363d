"""The Python interface that the README shows, used as it shows it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dblink_live as dbl


def test_the_package_is_imported_without_torch_and_qt() -> None:
    code = "import sys, dblink_live; sys.exit('torch' in sys.modules or 'PySide6' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_is_there_and_localize_is_the_function() -> None:
    for name in dbl.__all__:
        assert getattr(dbl, name) is not None
    assert callable(dbl.localize)
    with pytest.raises(AttributeError, match="reconstruckt"):
        _ = dbl.reconstruckt


def test_from_camera_frames_to_a_scored_video(tmp_path: Path) -> None:
    from dblink_live.simulate import SCMOS, make_camera
    from dblink_live.types import Shape

    simulated = make_camera("filaments", Shape(32, 32), seed=4)
    frames = np.stack([simulated.frame(n) for n in range(60)])
    found = dbl.localize(frames, SCMOS)
    dbl.write_localizations(str(tmp_path / "found.csv"), found, pixel_size_nm=160.0)
    table = dbl.read_localizations(str(tmp_path / "found.csv"), pixel_size_nm=160.0)
    # ThunderSTORM's table is in nm with three decimals.
    np.testing.assert_allclose(table["x"], found["x"], atol=1e-5)
    counts = dbl.bin_localizations(table, (32, 32), pixel_size_nm=160.0)
    assert counts.shape == (6, 128, 128)
    assert np.array_equal(counts, dbl.bin_localizations(found, (32, 32), pixel_size_nm=160.0))

    video = dbl.reconstruct(counts, model="filaments", lookahead="full")
    assert (video.shape, video.dtype) == (counts.shape, np.float32)
    model = dbl.load_model("filaments")
    stream = dbl.StreamingReconstructor(model, lookahead=2, hop=1)
    pictures = [picture for window in counts for picture in stream.push(window)] + stream.flush()
    assert [picture.window for picture in pictures] == list(range(6))
    truth = np.stack([simulated.specimen.mask_at(10 * t) for t in range(6)])
    scores = dbl.evaluate(video, truth, threshold=model.threshold)
    assert 0.0 <= scores.f1_1px <= 1.0


def test_an_empty_field_and_an_empty_video_are_reconstructed() -> None:
    assert dbl.reconstruct(np.zeros((0, 37, 53)), "filaments").shape == (0, 37, 53)
    assert dbl.reconstruct(np.zeros((3, 37, 53)), "filaments").max() < 0.5
