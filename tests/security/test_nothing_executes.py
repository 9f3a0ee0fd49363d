"""A config, a checkpoint or a run folder from a stranger executes nothing."""

from __future__ import annotations

import ast
import json
import pickle
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import dblink_live
from dblink_live.cli import main
from dblink_live.config import load_run_config
from dblink_live.errors import DblinkError, ModelError
from dblink_live.models import LightNetwork, load_model, save_checkpoint
from dblink_live.store import RunWriter, open_run, verify_run
from dblink_live.types import Grid, LocalizationMap, RunInfo, Segment, Shape, empty_localizations

PACKAGE = Path(dblink_live.__file__).parent
CAUGHT: list[str] = []
"""What a hostile pickle has executed."""
GRID = Grid.covering(Shape(16, 16), pixel_size_nm=108.0, pitch_nm=40.0)


def note_execution() -> None:
    CAUGHT.append("executed")


class Hostile:
    """As a stranger would write it: a name that is looked up and called where the pickle is read."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return note_execution, ()


PICKLE = pickle.dumps(Hostile())


@pytest.fixture(autouse=True)
def nothing_executed() -> Iterator[None]:
    CAUGHT.clear()
    yield
    assert CAUGHT == []


def test_the_hostile_pickle_would_execute() -> None:
    # Otherwise the tests below could not fail.
    pickle.loads(PICKLE)
    assert CAUGHT == ["executed"]
    CAUGHT.clear()


# By whole path, with the reason. Nothing may be added for a file that reads what a user was sent.
ALLOWED = {
    # The authors' weights are pickles: read with weights_only=True, checked below.
    ("models/released.py", "import pickle"),
    ("models/released.py", "torch.load"),
    # Names of this package's own modules: the builders of cameras.
    ("sources/camera_process/producer.py", "importlib.import_module"),
    # The format modules of this package, found in its own folders.
    ("sources/files/stack_format.py", "importlib.import_module"),
    ("tables/formats.py", "importlib.import_module"),
    # With a subclass of SafeLoader that constructs numbers and text only.
    ("text/picasso_yaml.py", "yaml.load_all"),
}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "runpy", "code"}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__"),
    *("os.system", "os.popen", "importlib.import_module"),
    *("torch.load", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"),
}


def dangers(tree: ast.AST) -> Iterator[str]:
    """What in a module could execute data."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (
                f"import {name.name}" for name in node.names if name.name.partition(".")[0] in FORBIDDEN_MODULES
            )
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").partition(".")[0] in FORBIDDEN_MODULES:
                yield f"import {node.module}"
            forbidden = {call.rpartition(".")[2] for call in FORBIDDEN_CALLS if call.startswith(f"{node.module}.")}
            yield from (f"{node.module}.{name.name}" for name in node.names if name.name in forbidden)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in FORBIDDEN_CALLS:
                yield called
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if keywords.get("allow_pickle", "False") != "False":
                yield f"{called} with allow_pickle"
            if keywords.get("shell", "False") != "False":
                yield f"{called} with shell"


@pytest.mark.parametrize(
    ("code", "danger"),
    [
        ("import pickle", "import pickle"),
        ("from pickle import loads", "import pickle"),
        ("from torch import load", "torch.load"),
        ("eval('1')", "eval"),
        ("torch.load(p, weights_only=True)", "torch.load"),
        ("np.load(p, allow_pickle=True)", "np.load with allow_pickle"),
        ("subprocess.run(c, shell=True)", "subprocess.run with shell"),
    ],
)
def test_the_search_finds_what_it_looks_for(code: str, danger: str) -> None:
    assert list(dangers(ast.parse(code))) == [danger]


def test_no_module_can_execute_data() -> None:
    sources = sorted(PACKAGE.rglob("*.py"))
    assert len(sources) > 100
    found = {
        (path.relative_to(PACKAGE).as_posix(), danger)
        for path in sources
        for danger in dangers(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == ALLOWED


def test_the_one_reader_of_pickles_reads_weights_only(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from dblink_live.models import import_released_weights

    path = tmp_path / "weights.pt"
    torch.save({"weight": Hostile()}, path)
    with pytest.raises(ModelError, match="weights alone"):
        import_released_weights(path)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("reconstruct", "model", "__import__('os').abort()"),
        ("localizer", "name", "os:system"),
        ("source", "spec", "mm:core?config=x;reboot"),
        ("publish", "address", "$(reboot)"),
    ],
)
def test_a_config_is_data(section: str, key: str, value: str, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(f'[{section}]\n{key} = "{value}"\n')
    assert load_run_config(path).to_plain()[section][key] == value


@pytest.mark.parametrize(
    "name", ["os:system", "../../evil", "evil.py", "dblink_live.localization:GaussianLocalizer", ""]
)
def test_a_plug_in_is_found_by_its_registered_name_alone(name: str) -> None:
    from dblink_live.errors import PluginError
    from dblink_live.registry import get_localizer_factory

    with pytest.raises(PluginError, match="installed: "):
        get_localizer_factory(name)


def safetensors_file(path: Path, metadata: dict[str, str], data: bytes = b"") -> None:
    header = json.dumps({"__metadata__": metadata}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param('{"format_version":1,"architecture":"os:system"}', id="an import path as architecture"),
        pytest.param('{"format_version":1,"__reduce__":["os.system","reboot"]}', id="a pickle's words"),
        pytest.param("[" * 100_000, id="nested deeply"),
        pytest.param('{"format_version":' + "9" * 5000 + "}", id="a number of many digits"),
        pytest.param(PICKLE.decode("latin-1"), id="a pickle"),
        pytest.param(
            '{"format_version":1,"name":"x","architecture":"light","config":{"hidden":[' + "1024," * 5000 + "1024]},"
            '"pixel_size_nm":40,"threshold":0.5,"weights_sha256":"'
            'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}',
            id="a network larger than memory",
        ),
    ],
)
def test_a_hostile_card_of_a_checkpoint_is_refused(document: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    safetensors_file(path, {"dblink_live": document})
    with pytest.raises(ModelError):
        load_model(path, device="cpu")


def test_a_pickle_under_the_name_of_a_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(PICKLE)
    with pytest.raises(ModelError, match="safetensors"):
        load_model(path, device="cpu")


def test_what_a_card_says_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.safetensors"
    hostile = "evil\x1b]0;title\x07\x1b[2J"
    save_checkpoint(path, LightNetwork(), name=hostile, pixel_size_nm=40.0, threshold=0.5, training={"note": hostile})
    assert main(["models", str(path)]) == 0
    printed = capsys.readouterr()
    assert "evil" in printed.out
    assert not {"\x1b", "\x07"} & set(printed.out + printed.err)


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_maps_from_a_stranger_are_numbers(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    array = np.array([Hostile()], dtype=object)
    np.save(path, array, allow_pickle=True) if name == "x.npy" else np.savez(path, X=array)
    assert main(["reconstruct", str(path), "--out", str(tmp_path / "o.ome.zarr"), "--pixel-size-nm", "40"]) == 2


@pytest.mark.parametrize(
    "storage",
    [
        pytest.param({"dtype": "<u2", "filters": [{"id": "pickle"}]}, id="filter"),
        pytest.param({"dtype": "<u2", "compressor": {"id": "pickle"}}, id="compressor"),
        # zarr-python takes the first for the type of the objects, and runs the second.
        pytest.param({"dtype": "|O", "filters": [{"id": "vlen-utf8"}, {"id": "pickle"}]}, id="behind another filter"),
    ],
)
def test_zarr_from_a_stranger_is_numbers(
    storage: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Older versions of numcodecs unpickle whenever they are asked to.
    monkeypatch.setattr("numcodecs.pickles.Pickle.decode", lambda self, buffer, out=None: pickle.loads(buffer))
    folder = tmp_path / "maps.zarr"
    hostile_zarr_v2(folder, storage)
    assert main(["reconstruct", str(folder), "--out", str(tmp_path / "o.ome.zarr"), "--pixel-size-nm", "40"]) == 2


def hostile_zarr_v2(folder: Path, storage: dict[str, Any]) -> None:
    shape = [4, 16, 16]
    layout = {"zarr_format": 2, "shape": shape, "chunks": shape, "fill_value": 0, "order": "C"}
    folder.mkdir()
    (folder / ".zarray").write_text(json.dumps({"compressor": None, "filters": None, **layout, **storage}))
    (folder / "0.0.0").write_bytes(PICKLE)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A small run that is whole."""
    folder = tmp_path / "stranger.run"
    info = RunInfo(uuid="1", created_utc="2026-01-01T00:00:00", config={}, model="filaments", model_sha256="")
    with RunWriter.create(folder, info, window_frames=10) as writer:
        writer.begin_segment(Segment(index=0, shape=Shape(16, 16), dtype="uint16", frame_interval_ms=20.0), GRID, 108.0)
        for window in range(3):
            counts = np.ones(GRID.shape, np.uint16)
            writer.write_map(
                LocalizationMap(0, window, 10 * window, 10 * window + 10, counts, GRID), empty_localizations()
            )
        writer.finalize()
    return folder


def read_everything(folder: Path) -> None:
    """Look at all that a run folder offers; a refusal is fine."""
    verify = verify_run(folder)
    with open_run(folder) as run:
        assert run.status and verify is not None
        for thing in (run.config, run.gaps, run.events, run.ledger, run.segments, run.full_facts):
            assert thing is not run
        for name in run.series:
            found = run.array(name)
            assert found is None or found[:1].dtype.kind in "uf"
        for window in run.windows():
            run.read_window(window)
            run.localizations(window.segment, window.window)


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("UPDATE meta SET value = ? WHERE key = 'facts'", "{}"),
        ("UPDATE meta SET value = ? WHERE key = 'facts'", "[" * 100_000),
        ("UPDATE meta SET value = ? WHERE key = 'facts'", PICKLE),
        ("UPDATE meta SET value = ? WHERE key = 'facts'", '{"py/object": "os.system", "py/reduce": ["reboot"]}'),
        ("UPDATE meta SET value = ? WHERE key = 'status'", "__import__('os')"),
        ("UPDATE segments SET facts = ?", '{"index": "__import__(0)"}'),
        ("UPDATE segments SET facts = ?", PICKLE),
        ("UPDATE committed SET series = ?", "../../../secret"),
        ("UPDATE committed SET series = ?", PICKLE),
    ],
)
def test_a_hostile_journal_is_read_as_data(run_folder: Path, statement: str, value: str | bytes) -> None:
    read_everything(run_folder)
    with sqlite3.connect(run_folder / "journal.sqlite") as connection:
        assert connection.execute(statement, (value,)).rowcount > 0
    connection.close()
    with pytest.raises(DblinkError):
        read_everything(run_folder)


def test_hostile_localizations_are_refused(run_folder: Path) -> None:
    with sqlite3.connect(run_folder / "localizations.sqlite") as connection:
        connection.execute("UPDATE localizations SET rows = ?", (PICKLE,))
    connection.close()
    with pytest.raises(DblinkError):
        read_everything(run_folder)


def test_a_pickling_array_in_a_run_is_not_opened(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numcodecs.pickles.Pickle.decode", lambda self, buffer, out=None: pickle.loads(buffer))
    level = run_folder / "run.ome.zarr" / "counts" / "0"
    level.rename(level.with_name("moved"))
    hostile_zarr_v2(level, {"dtype": "|O", "filters": [{"id": "vlen-utf8"}, {"id": "pickle"}]})
    assert zarr.open(level, mode="r") is not None  # zarr itself would open it
    with open_run(run_folder) as run, pytest.raises(DblinkError):
        assert run.counts is None or run.counts[0] is None
