"""The public names: what they are, that they stay functions, and what they show of themselves."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dblink_live as dbl
from dblink_live.errors import ConfigError
from dblink_live.localizations import Localizations
from dblink_live.simulate import SCMOS, make_camera
from dblink_live.types import FrameArray, Shape

NAMES = {
    "analyze", "bin_localizations", "evaluate", "export", "load_model", "localize", "open_run", "read_localizations",
    "reconstruct", "refine", "report", "run", "write_localizations", "Camera", "Model", "Run", "Scores",
    "StreamingReconstructor", "Localizations", "LocalizationTable", "CountMaps", "__version__",
}  # fmt: skip


@pytest.fixture(scope="module")
def frames() -> FrameArray:
    camera = make_camera("filaments", Shape(32, 32), seed=4)
    return np.stack([camera.frame(n) for n in range(40)])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dbl.Run:
    """A short run of the simulated camera, by the public function."""
    out = tmp_path_factory.mktemp("face") / "sim.run"
    return dbl.run("sim:filaments?frames=120&size=32&seed=3", out, window=20, reconstruct={"lookahead": 1, "hop": 1})


def test_every_promised_name_is_public() -> None:
    assert set(dbl.__all__) == NAMES
    assert set(dir(dbl)) >= NAMES


@pytest.mark.parametrize("name", ["refine", "report"])
def test_a_function_stays_one_after_the_room_of_its_name_was_imported(name: str) -> None:
    room = import_module(f"dblink_live.{name}")
    assert getattr(dbl, name).__module__ == f"dblink_live.workflows.{name}"
    assert sys.modules[f"dblink_live.{name}"] is room


@pytest.mark.parametrize("name", ["open_run", "read_localizations", "analyze", "report", "Camera", "export"])
def test_names_that_need_no_network_load_no_torch(name: str) -> None:
    code = f"import sys, dblink_live; dblink_live.{name}; sys.exit('torch' in sys.modules or 'PySide6' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_version_is_stated_once(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["setuptools"]["dynamic"]["version"]["attr"] == "dblink_live.version.__version__"
    done = subprocess.run(
        [sys.executable, "-m", "dblink_live", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["dblink-live", dbl.__version__]


def shown_picture(html: str) -> np.ndarray:
    """The picture that a notebook would show."""
    encoded = html.split("data:image/png;base64,")[1].split("'")[0]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))


def test_a_run_shows_its_sizes_its_ledger_and_its_newest_picture(finished: dbl.Run) -> None:
    assert finished.config["windows"] == {"frames": 20, "max_gap_windows": 50}
    assert finished.live is not None
    said, (stored,) = repr(finished), finished.segments
    sizes = f"{stored.grid.shape.width} x {stored.grid.shape.height} pixels of {stored.grid.pitch_nm:g} nm"
    camera = f"32 x 32 pixels of {stored.pixel_size_nm:g} nm"
    for fact in ("complete", "6 counts, 6 live", sizes, camera, "filaments", "120 seen, 120 committed, 0 lost"):
        assert fact in said and fact in finished._repr_html_()
    picture, newest = shown_picture(finished._repr_html_()), finished.live[-1]
    assert picture.shape == newest.shape
    # The same order of grey, white at the brightest half percent.
    assert picture[newest == newest.max()].min() == 255 and picture[newest == 0].max(initial=0) == 0


def test_a_run_is_refined_analysed_and_reported(finished: dbl.Run, capsys: pytest.CaptureFixture[str]) -> None:
    refined = dbl.refine(finished, device="cpu", progress=False)
    assert "6 full" in repr(refined)
    assert dbl.refine(refined.path).full is not None
    figures = dbl.analyze(refined)
    assert figures["product"] == "full" and isinstance(figures["gaps"], dict)
    page = dbl.report(refined)
    assert page.is_file() and page.parent.parent == refined.path
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_progress_is_shown_where_it_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], finished: dbl.Run
) -> None:
    dbl.run("sim:filaments?frames=20&size=32&seed=3", tmp_path / "told.run", progress=True)
    printed = capsys.readouterr()
    assert printed.out == "" and "live at tcp://" in printed.err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"pixelsize_nm": 108}, "unknown setting 'pixelsize_nm'; did you mean 'pixel_size_nm'", id="name"),
        pytest.param({"window": 0}, "windows.frames", id="value"),
        pytest.param({"localizer": {"fti": "free"}}, "did you mean 'localizer.fit'", id="key of a section"),
        pytest.param({"model": object()}, "reconstruct.model", id="kind of value"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_is_made(
    tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        dbl.run("sim:filaments?frames=10&size=32", tmp_path / "wrong.run", **settings)
    assert not (tmp_path / "wrong.run").exists()


def test_localizations_show_themselves_and_stay_an_array(frames: FrameArray, tmp_path: Path) -> None:
    found = dbl.localize(frames, SCMOS)
    assert isinstance(found, Localizations) and f"localizations {len(found):,}" in repr(found)
    assert "frames 0 to 39" in repr(found) and "median photons" in found._repr_html_()
    assert shown_picture(found._repr_html_()).max() == 255
    assert repr(found[:0]) == "Localizations(localizations 0)" and "img" not in found[:0]._repr_html_()
    assert "array" in found["x"]._repr_html_()
    assert np.array_equal(np.concatenate([found[found["frame"] < 9], found[found["frame"] >= 9]]), np.asarray(found))
    dbl.write_localizations(tmp_path / "found.csv", found, pixel_size_nm=160.0)
    table = dbl.read_localizations(tmp_path / "found.csv", 160.0)
    assert f"localizations {len(found):,}" in repr(table) and "px of 160 nm" in table._repr_html_()


def test_frames_in_batches_are_localized_as_one(frames: FrameArray) -> None:
    many = np.concatenate([frames, frames])  # more than a batch
    whole = dbl.localize(many, SCMOS, first_frame=5, psf_sigma_px=0.9, fit="free")
    parts = [
        dbl.localize(many[i : i + 16], SCMOS, first_frame=5 + i, psf_sigma_px=0.9, fit="free") for i in range(0, 80, 16)
    ]
    assert len(whole) > 100
    assert np.array_equal(whole, np.concatenate(parts))


def test_frames_without_a_camera_are_refused(frames: FrameArray) -> None:
    with pytest.raises(ConfigError, match="expected a camera"):
        dbl.localize(frames)


def test_a_model_shows_its_operating_point_and_card() -> None:
    model = dbl.load_model("filaments", device="cpu")
    for fact in ("filaments", "40 nm", f"{model.threshold:g}", "cpu"):
        assert fact in repr(model) and fact in model._repr_html_()
    assert "tensor" not in repr(model) and len(repr(model)) < 200


def test_text_from_elsewhere_cannot_become_markup() -> None:
    from dblink_live.text.html import show_facts

    assert "<script>" not in show_facts("<script>", {"<script>": "<script>"})
