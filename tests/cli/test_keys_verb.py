"""Keys from the command line: made by `keys`, used by `run --publish` and `view`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from dblink_live.bus import Subscriber, read_client_keys
from dblink_live.cli import main
from dblink_live.cli.main import build_parser
from dblink_live.workflows.settings import read_settings


def test_keys_says_what_it_made_and_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "keys"
    assert main(["keys", "--folder", str(folder)]) == 0
    printed = capsys.readouterr().out
    for name in ("server.key", "server.key_secret", "client.key_secret", str(Path("clients") / "client.key")):
        assert f"made {folder / name}" in printed
    before = {path: path.read_bytes() for path in folder.rglob("*.key*")}
    assert main(["keys", "--folder", str(folder)]) == 2
    assert "never overwritten" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.rglob("*.key*")} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--publish", "tcp://0.0.0.0:*"], "--keys", id="no keys"),
        pytest.param(["--publish", "tcp://0.0.0.0:*", "--keys", "nowhere"], "server.key_secret", id="no such folder"),
        pytest.param(["--publish", "nonsense"], "tcp://127.0.0.1:5556", id="no address"),
    ],
)
def test_a_run_that_may_not_be_published_writes_nothing(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack, folder = tmp_path / "stack.tif", tmp_path / "never.run"
    tifffile.imwrite(stack, np.zeros((5, 16, 16), np.uint16))
    source = ["--source", f"tiff:{stack}", "--set", "camera.pixel_size_nm=108"]
    assert main(["run", "--no-view", "--out", str(folder), *source, *arguments]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert not folder.exists()


def test_run_publishes_with_the_keys_of_the_folder(tmp_path: Path) -> None:
    from dblink_live.pipeline.live_run import open_live_run

    stack, keys = tmp_path / "stack.tif", tmp_path / 'keys "5\\'
    tifffile.imwrite(stack, np.zeros((5, 16, 16), np.uint16))
    assert main(["keys", "--folder", str(keys)]) == 0
    arguments = ["run", "--out", "x.run", "--publish", "tcp://0.0.0.0:*", "--keys", str(keys)]
    options = build_parser().parse_args([*arguments, "--set", "camera.pixel_size_nm=108"])
    config = read_settings(None, options.overrides)
    assert config.publish.keys == str(keys)
    with open_live_run(f"tiff:{stack}", tmp_path / "x.run", config) as session:
        assert session.address is not None
        with Subscriber(session.address, keys=read_client_keys(keys)) as subscriber:
            assert subscriber.wait_until_live(60.0)
            assert subscriber.start is not None
            assert subscriber.start.camera_shape == (16, 16)
        assert session.refusals.count == 0


def test_view_names_the_key_that_is_missing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # The viewer is a process of its own.
    assert main(["view", "tcp://192.0.2.1:5556", "--keys", str(tmp_path)]) == 1
    assert "client.key_secret" in capfd.readouterr().err
