"""The napari plug-in's reader: what it takes, what napari gets to see, and that it is light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dblink_live_napari import molecules
from dblink_live_napari.reader import get_reader
from dblink_live_napari.videos import SUM_WINDOWS, WindowedSum
from napari_runs import begin, counts_of, write_molecules, write_windows

from dblink_live.store import open_run

PLUGIN = Path(__file__).resolve().parents[2] / "plugins" / "napari"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "cell1.run"
    writer = begin(path)
    write_windows(writer, range(30))
    writer.write_ledger(0, {"seen": 300, "committed": 300, "lost": {}, "deselected": 0, "tail": 0})
    writer.finalize()
    return path


def test_a_run_becomes_layers_that_lie_where_they_belong(run: Path) -> None:
    read = get_reader(str(run))
    assert read is not None
    plain, live = read(str(run))
    assert [layer[2] for layer in (plain, live)] == ["image", "image"]
    assert plain[1]["name"] == "cell1.run: plain sum of 25 windows"
    assert live[1]["name"] == "cell1.run: live reconstruction"
    assert live[0].shape == (30, 9, 12)
    assert int(live[0][17].mean()) == 17
    # Micrometres: pixels of 0.04, and napari places the centre of the first one.
    assert live[1]["scale"] == (1.0, 0.04, 0.04)
    assert live[1]["translate"] == pytest.approx((0.0, 0.08 + 0.02, 0.02))
    assert live[1]["contrast_limits"] == pytest.approx((0.0, 255.0))
    assert (live[1]["visible"], plain[1]["visible"]) == (True, False)
    assert live[1]["metadata"]["uuid"] == "a1"


def test_the_plain_sum_is_that_of_the_last_windows(run: Path) -> None:
    with open_run(run) as opened:
        counts = opened.counts
        assert counts is not None
        plain = WindowedSum(counts)
        for window in (0, 3, 29):
            expected = sum(counts_of(one) for one in range(max(0, window + 1 - SUM_WINDOWS), window + 1))
            assert np.array_equal(plain[window], expected)
        assert np.array_equal(plain[2:4, 1], np.stack([plain[2], plain[3]])[:, 1])
        assert np.array_equal(plain[-1, 2:, ...], plain[29][2:])
        with pytest.raises(IndexError, match=r"in \[0, 30\), found 30"):
            plain[30]


def test_localizations_and_the_error_map_are_layers(tmp_path: Path) -> None:
    with begin(tmp_path / "rich.run") as writer:
        write_molecules(writer, range(5))
    read = get_reader(str(tmp_path / "rich.run"))
    assert read is not None
    found = read(str(tmp_path / "rich.run"))
    layers = {settings["metadata"]["series"]: (data, settings, kind) for data, settings, kind in found}
    assert list(layers) == ["counts", "live", "error", "localizations"]
    error, settings, kind = layers["error"]
    assert (kind, settings["visible"], settings["blending"]) == ("image", False, "additive")
    assert settings["name"] == "rich.run: where the network expects its live picture to be wrong"
    assert int(error[3][3].min()) == 255 and int(error[3][2].max()) == 0
    points, settings, kind = layers["localizations"]
    assert (kind, settings["visible"]) == ("points", False)
    # Camera pixels of 100 nm: the middle of the first one lies 0.05 um from the field's corner.
    expected = [(window, *place) for window in range(5) for place in ((0.15, 0.05), (0.25, 0.45))]
    np.testing.assert_allclose(points, expected)


def test_of_very_many_localizations_some_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(molecules, "MAX_POINTS", 4)
    with begin(tmp_path / "many.run") as writer:
        write_molecules(writer, range(5))
    read = get_reader(str(tmp_path / "many.run"))
    assert read is not None
    points, settings, _ = read(str(tmp_path / "many.run"))[-1]
    assert settings["name"] == "many.run: localizations, one in 3"
    np.testing.assert_array_equal(points[:, 0], [0, 1, 3, 4])


def test_other_folders_are_left_to_other_readers(tmp_path: Path, run: Path) -> None:
    assert get_reader(str(tmp_path)) is None
    assert get_reader(str(tmp_path / "none")) is None
    assert get_reader([]) is None
    assert get_reader([str(run), str(tmp_path)]) is None
    assert get_reader([str(run)]) is not None


def test_a_run_without_windows_shows_nothing_yet(tmp_path: Path) -> None:
    writer = begin(tmp_path / "new.run")
    read = get_reader(str(tmp_path / "new.run"))
    assert read is not None
    assert read(str(tmp_path / "new.run")) == [(None,)]
    writer.close()


def test_npe2_finds_the_reader_for_a_run(run: Path) -> None:
    npe2 = pytest.importorskip("npe2", reason="npe2 is not installed; see plugins/napari/README.md")
    manager = npe2.PluginManager.instance()
    manifest = npe2.PluginManifest.from_file(PLUGIN / "dblink_live_napari" / "napari.yaml")
    manifest.validate_imports()
    if manifest.name not in manager:
        manager.register(manifest)
    assert "dblink-live-napari.read" in [reader.command for reader in manager.iter_compatible_readers([str(run)])]
    layers = npe2.read([str(run)], stack=False, plugin_name="dblink-live-napari")
    assert [layer[2] for layer in layers] == ["image", "image"]


def test_reading_imports_neither_torch_nor_qt(run: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from dblink_live_napari.reader import get_reader\n"
        "import dblink_live_napari.following\n"
        "layers = get_reader(sys.argv[2])(sys.argv[2])\n"
        "layers[1][0][0]\n"
        "print(sorted({'torch', 'PySide6', 'qtpy', 'napari'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(PLUGIN), str(run)], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
