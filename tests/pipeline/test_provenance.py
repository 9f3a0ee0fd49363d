"""What a run says of itself is enough to make it again, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from dblink_live.cli import main
from dblink_live.models import load_model
from dblink_live.pipeline.provenance import git_revision
from dblink_live.simulate import SCMOS, make_camera
from dblink_live.store import open_run
from dblink_live.types import Camera, Shape

SIDE = 24
SETTINGS = {
    "camera.pixel_size_nm": 160.0,
    "camera.offset_adu": SCMOS.offset_adu,
    "camera.electrons_per_adu": SCMOS.electrons_per_adu,
    "windows.frames": 8,
    "reconstruct.lookahead": 3,
    "reconstruct.device": '"cpu"',
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    camera = make_camera("filaments", Shape(SIDE, SIDE), seed=11)
    path = tmp_path_factory.mktemp("stack") / "filaments.tif"
    tifffile.imwrite(path, np.stack([camera.frame(n) for n in range(100)]), photometric="minisblack")
    return path


@pytest.fixture(scope="module")
def first(stack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first.run"
    # Paced, so that frames come in other batches than at full speed.
    source = f"tiff:{stack}?fps=150"
    options = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    assert main(["run", "--no-view", "--source", source, "--out", str(folder), *options]) == 0
    return folder


def contents(folder: Path) -> dict[tuple[str, int, int], bytes]:
    with open_run(folder) as run:
        return {(row.product, row.segment, row.window): row.checksum for row in run.windows()}


def test_a_run_is_repeated_to_the_bit_from_its_own_configuration(first: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.run"
    assert main(["run", "--no-view", "--config", str(first), "--out", str(again)]) == 0
    assert contents(again) == contents(first)
    with open_run(first) as one, open_run(again) as other:
        assert one.config == other.config
        assert one.info.uuid != other.info.uuid
        assert np.array_equal(one.localizations(), other.localizations())


def test_the_stored_configuration_as_a_file_repeats_it_too_and_however_frames_are_batched(
    first: Path, stack: Path, tmp_path: Path
) -> None:
    with open_run(first) as run:
        config = run.config
    lines = []
    for section, values in config.items():
        assert isinstance(values, dict)
        lines.append(f"[{section}]")
        lines += [
            f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for key, value in values.items()
        ]
    (tmp_path / "stored.toml").write_text("\n".join(lines), encoding="utf-8")
    again = tmp_path / "again.run"
    # Another source than the stored one may be named: the same frames at full speed.
    options = ["--config", str(tmp_path / "stored.toml"), "--source", f"tiff:{stack}", "--out", str(again)]
    assert main(["run", "--no-view", *options]) == 0
    assert contents(again) == contents(first)


def test_a_run_without_a_source_is_asked_for_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--no-view", "--out", str(tmp_path / "x.run")]) == 2
    assert "--source" in capsys.readouterr().err


def test_journal_and_ome_zarr_say_what_made_the_run(first: Path, stack: Path) -> None:
    root = zarr.open_group(first / "run.ome.zarr", mode="r").attrs.asdict()
    described = root["dblink_live"]
    assert isinstance(described, dict)
    stated = described["run"]
    with open_run(first) as run:
        info, (stored,) = run.info, run.segments
    assert stated["uuid"] == info.uuid
    assert stated["config"] == info.config
    assert stated["config"]["source"] == {"spec": f"tiff:{stack}?fps=150"}
    assert stated["model_sha256"] == info.model_sha256 == load_model("filaments", "cpu").sha256
    assert stated["versions"] == info.versions and info.versions.keys() >= {"python", "torch", "numpy", "zarr"}
    assert stated["host"] == info.host and info.host["device"] == "cpu" and info.host["system"]
    assert stated["git_revision"] == info.git_revision
    assert stored.camera is not None
    assert (stored.camera["offset_adu"], stored.camera["is_calibrated"]) == (SCMOS.offset_adu, True)
    assert described["segments"] == [{"index": 0, "reason": "start", "camera": stored.camera}]


def test_the_revision_is_that_of_the_checkout(repository: Path) -> None:
    found = git_revision()
    if not (repository / ".git").exists():
        assert found is None
        return
    assert found is not None
    commit = found.removesuffix("-dirty")
    assert len(commit) == 40 and int(commit, 16)


def test_a_map_over_the_sensor_is_told_by_its_shape_and_mean() -> None:
    camera = Camera(pixel_size_nm=100.0, offset_adu=np.full((3, 5), 90.0, np.float32))
    assert camera.to_plain()["offset_adu"] == "map (3, 5), mean 90"
