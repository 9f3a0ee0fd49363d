"""TOML as it is written on Windows, where configurations, plans and training settings come from."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dblink_live.config import load_run_config
from dblink_live.errors import ConfigError, DblinkError
from dblink_live.sources.micromanager.acquisition_events import read_events
from dblink_live.text.toml_text import parse_toml
from dblink_live.train.recipes import read_settings


@pytest.mark.parametrize(
    "encode",
    [
        pytest.param(lambda text: codecs.BOM_UTF8 + text.encode(), id="the mark of Notepad"),
        pytest.param(lambda text: text.encode("utf-16"), id="what PowerShell writes with >"),
        pytest.param(lambda text: text.replace("\n", "\r\n").encode(), id="lines of Windows"),
    ],
)
def test_marks_and_line_ends_are_read(tmp_path: Path, encode: Callable[[str], bytes]) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(encode("# µm\n[camera]\npixel_size_nm = 108.0\n"))
    assert load_run_config(path).camera.pixel_size_nm == 108.0
    path.write_bytes(encode("num_time_points = 3\n"))
    assert len(read_events(path)) == 3


def test_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes("# Zelle grün\n".encode("cp1252"))
    with pytest.raises(ConfigError, match="save it as UTF-8"):
        load_run_config(path)


@pytest.mark.parametrize(
    "value",
    [
        r'"D:\new\table.npz"',  # without a word a line break and a tab
        r'"C:\Users\me\maps.npz"',  # \U is an escape of eight digits
        r'"\\server\share\maps.npz"',
    ],
)
def test_a_windows_path_in_double_quotes_is_refused_with_what_to_write(tmp_path: Path, value: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(f"[camera]\nmaps = {value}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="single quotes in line 2") as raised:
        load_run_config(path)
    quoted = "'" + value.strip('"') + "'"
    assert quoted in str(raised.value)
    assert parse_toml(f"maps = {quoted}") == {"maps": value.strip('"')}
    for reader in (read_events, read_settings):
        with pytest.raises(DblinkError, match="single quotes"):
            reader(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'maps = "D:\\new\\table.npz"', r"D:\new\table.npz"),
        (r'maps = "D:/new/table.npz"', "D:/new/table.npz"),
        (r'maps = "two\nlines"', "two\nlines"),
        ('# maps = "D:\\new"\nmaps = "x"', "x"),
    ],
)
def test_what_is_right_toml_stays_so(text: str, expected: str) -> None:
    assert parse_toml(text) == {"maps": expected}


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_windows_path_on_the_command_line_is_itself(quote: str) -> None:
    given = rf"source.spec={quote}tiff:D:\new\table.tif{quote}"
    config: Any = load_run_config(None, [given])
    assert config.source.spec == r"tiff:D:\new\table.tif"
