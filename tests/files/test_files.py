"""Files and folders that appear whole or not at all, beside programs that hold them open."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from other_program import held

from dblink_live import files
from dblink_live.files import FileHeldError


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PATIENCE_S", 0.1)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make_folder(path: Path, text: str) -> Path:
    (path / "c" / "0").mkdir(parents=True)
    (path / "c" / "0" / "0").write_text(text, encoding="utf-8")
    return path


def test_what_is_written_takes_the_place_of_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "locs.csv"
    for text in ("old", "new"):
        with files.replacing(target) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
            assert not target.exists() or target.read_text(encoding="utf-8") == "old"
        assert target.read_text(encoding="utf-8") == text
    assert names(tmp_path) == ["locs.csv"]


def test_an_error_leaves_the_old_file_alone(tmp_path: Path) -> None:
    target = tmp_path / "locs.csv"
    target.write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError, match="half way"), files.replacing(target) as unfinished:
        unfinished.write_text("half", encoding="utf-8")
        raise RuntimeError("half way")
    assert names(tmp_path) == ["locs.csv"]
    assert target.read_text(encoding="utf-8") == "old"


def test_a_file_mode_is_what_the_user_asked_for(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    with files.replacing(tmp_path / "made") as unfinished:
        unfinished.write_bytes(b"x")
    assert (tmp_path / "made").stat().st_mode == ordinary.stat().st_mode


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "locs.csv.999999999.unfinished").write_text("half", encoding="utf-8")  # beyond any process number
    (tmp_path / f"locs.csv.{os.getppid()}.unfinished").write_text("at work", encoding="utf-8")
    with files.replacing(tmp_path / "locs.csv") as unfinished:
        unfinished.write_text("new", encoding="utf-8")
    assert names(tmp_path) == ["locs.csv", f"locs.csv.{os.getppid()}.unfinished"]


def test_a_refusal_that_ends_is_waited_for(tmp_path: Path, windows_rules: None) -> None:
    target = tmp_path / "locs.csv"
    target.write_text("old", encoding="utf-8")
    with held(target, seconds=0.3), files.replacing(target) as unfinished:
        unfinished.write_text("new", encoding="utf-8")
    assert target.read_text(encoding="utf-8") == "new"


def test_other_refusals_are_not_waited_for(tmp_path: Path) -> None:
    n_tried = 0

    def refuse() -> None:
        nonlocal n_tried
        n_tried += 1
        raise PermissionError(13, "Permission denied")

    with pytest.raises(PermissionError, match="Permission denied"):
        files.patiently(refuse, tmp_path)
    assert n_tried == 1


@pytest.mark.usefixtures("_impatient", "windows_rules")
def test_a_file_that_stays_held_keeps_its_content_and_the_new_one_gets_another_name(tmp_path: Path) -> None:
    target = tmp_path / "locs.csv"
    target.write_text("old", encoding="utf-8")
    for number, name in enumerate(("locs.new.csv", "locs.new2.csv")):
        with held(target), pytest.raises(FileHeldError, match="Excel") as raised, files.replacing(target) as unfinished:
            unfinished.write_text(f"hours of fits {number}", encoding="utf-8")
        assert raised.value.kept == tmp_path / name
        assert name in str(raised.value) and str(target) in str(raised.value)
        assert (tmp_path / name).read_text(encoding="utf-8") == f"hours of fits {number}"
    assert target.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["locs.csv", "locs.new.csv", "locs.new2.csv"]


@pytest.mark.usefixtures("_impatient", "windows_rules")
def test_a_folder_of_which_one_file_is_held_stays_whole_and_so_does_the_new_one(tmp_path: Path) -> None:
    old, made = make_folder(tmp_path / "video.ome.zarr", "old"), make_folder(tmp_path / "made", "new")
    (old / "c" / "1").mkdir()
    with held(old / "c" / "0" / "0"), pytest.raises(FileHeldError) as raised:
        files.put_in_place(made, old)
    assert raised.value.kept == tmp_path / "video.new.ome.zarr"
    assert (raised.value.kept / "c" / "0" / "0").read_text(encoding="utf-8") == "new"
    assert (old / "c" / "0" / "0").read_text(encoding="utf-8") == "old" and (old / "c" / "1").is_dir()


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    old, made = make_folder(tmp_path / "video.ome.zarr", "old"), make_folder(tmp_path / "made", "new")
    (old / "only in the old one").touch()
    files.put_in_place(made, old)
    assert (old / "c" / "0" / "0").read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == ["video.ome.zarr"] and names(old) == ["c"]


@pytest.mark.usefixtures("_impatient", "windows_rules")
def test_what_is_held_cannot_be_deleted_and_says_so(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "folder", "text")
    path = folder / "c" / "0" / "0"
    with held(path):
        with pytest.raises(FileHeldError, match="close it there and try again"):
            files.remove(path)
        with pytest.raises(FileHeldError, match="folder"):
            files.remove_tree(folder)
    assert path.exists()
    files.remove_tree(folder)
    files.remove_tree(folder)
    files.remove(path)
    assert not folder.exists()
