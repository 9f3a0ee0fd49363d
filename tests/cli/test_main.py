"""The command as a whole: help, exit statuses, one line an error, JSON alone on standard output."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dblink_live.cli import main
from dblink_live.cli.main import build_parser
from dblink_live.cli.options import Verbs, add_json, add_verb
from dblink_live.cli.result import Outcome
from dblink_live.errors import ConfigError, DblinkError, SourceError, StoreError, input_accepted

# By its name: the package hands on the function `main` under the name of its module.
main_module = sys.modules["dblink_live.cli.main"]
VERBS = [verb.prog.removeprefix("dblink-live ") for verbs in build_parser().groups.values() for verb in verbs]


class Fake:
    """A verb that does what the test says."""

    def __init__(self, work: Callable[[], Outcome]) -> None:
        self._work = work

    def add_parser(self, verbs: Verbs) -> None:
        add_json(add_verb(verbs, "fake", run=self._run, help="do as the test says", example="dblink-live fake"))

    def _run(self, options: argparse.Namespace) -> Outcome:
        return self._work()


@pytest.fixture
def run_fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def run(work: Callable[[], Outcome], *arguments: str) -> int:
        monkeypatch.setattr(main_module, "GROUPS", {"Fakes": (Fake(work),)})
        return main(["fake", *arguments])

    return run


def raising(error: BaseException) -> Callable[[], Outcome]:
    def work() -> Outcome:
        raise error

    return work


def failing_later(error: DblinkError) -> Callable[[], Outcome]:
    def work() -> Outcome:
        with input_accepted():
            raise error

    return work


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert f"example:\n  dblink-live {verb}" in capsys.readouterr().out


def test_help_needs_neither_torch_nor_qt() -> None:
    # Heavy imports at the head of a verb would make every command slow, and torch beside Qt fails on Windows.
    code = (
        "import sys; from dblink_live.cli import main; main(['--help'])\n"
        "sys.exit(1 if {'torch', 'PySide6', 'tensorstore', 'zarr', 'scipy'} & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "VERB" in done.stdout


def test_help_lists_every_verb_once_in_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    titles = [line.removesuffix(":") for line in said.splitlines() if line.endswith(":") and line[0].isupper()]
    assert titles == ["Acquire", "Look", "Afterwards", "Set up", "For developers"]
    listed = [line.split()[0] for line in said.splitlines() if re.match(r"  \S", line)]
    assert listed == VERBS and len(set(listed)) == len(listed) > 15
    for jargon in ("pitch", " hop", " tail", "ledger", "bidirectional"):
        assert jargon not in said
    assert max(map(len, said.splitlines())) <= 100


@pytest.mark.parametrize("verb", VERBS)
def test_examples_work_in_every_shell(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """cmd.exe knows no single quotes, PowerShell takes commas apart, and each gives other characters a meaning."""
    assert main([verb, "--help"]) == 0
    said = capsys.readouterr().out
    examples = re.findall(r"^  (dblink-live .*)$", said[said.index("example:\n") :], re.MULTILINE)
    assert examples
    for example in examples:
        assert not set(example) & set("'\\$`%^!")
        bare = re.sub(r'"[^"]*"', "", example)
        assert '"' not in bare and not set(bare) & set(",;&|<>()*?[]{}@#~")
        # What it shows is accepted.
        build_parser().parse_args(shlex.split(example)[1:])


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["nonsense"], id="unknown verb"),
        pytest.param(["verify"], id="missing argument"),
        pytest.param(["verify", "x", "--jsn"], id="unknown option"),
        pytest.param(["verify", "x", "--jso"], id="abbreviated option"),
        pytest.param(["localize", "x.tif", "--out", "x.csv", "--pixel-size-nm", "-5"], id="negative pixel size"),
        pytest.param(["localize", "x.tif", "--out", "x.csv", "--pixel-size-nm", "0"], id="zero pixel size"),
        pytest.param(["localize", "x.tif", "--out", "x.csv", "--pixel-size-nm", "nan"], id="NaN pixel size"),
        pytest.param(["reconstruct", "x.npy", "--out", "o", "--lookahead", "many"], id="lookahead that is no number"),
        pytest.param(["reconstruct", "x.npy", "--out", "o", "--window", "0"], id="empty window"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert "--help" in printed.err


@pytest.mark.parametrize(
    ("work", "status", "message"),
    [
        pytest.param(raising(ConfigError("a\n b")), 2, "fake: error: a b", id="wrong input"),
        pytest.param(raising(StoreError("exists")), 2, "fake: error: exists", id="refused at the door"),
        pytest.param(failing_later(SourceError("gone")), 1, "fake: failed: gone", id="failed on the way"),
        pytest.param(failing_later(ConfigError("bad")), 2, "fake: error: bad", id="input found wrong late"),
        pytest.param(raising(OSError(28, "No space left on device")), 1, "No space left", id="system error"),
        pytest.param(raising(KeyboardInterrupt()), 130, "fake: interrupted", id="Ctrl-C"),
    ],
)
def test_errors_become_one_line_and_a_status(
    run_fake: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    work: Callable[[], Outcome],
    status: int,
    message: str,
) -> None:
    assert run_fake(work) == status
    printed = capsys.readouterr()
    assert message in printed.err
    assert (printed.out, len(printed.err.splitlines())) == ("", 1)


def test_programming_errors_keep_their_traceback(run_fake: Callable[..., int]) -> None:
    with pytest.raises(ZeroDivisionError):
        run_fake(raising(ZeroDivisionError()))


def test_json_stands_alone_on_standard_output(run_fake: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    def chatty() -> Outcome:
        print("a library says hello")
        return Outcome(text="for people", figures={"answer": 42}, status=1)

    assert run_fake(chatty, "--json") == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"answer": 42}
    assert "hello" in printed.err

    assert run_fake(chatty) == 1
    assert "for people" in capsys.readouterr().out


def test_text_in_brackets_is_printed_as_it_is(run_fake: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    run_fake(lambda: Outcome(text="shape [T, H, W] [red]"))
    assert capsys.readouterr().out == "shape [T, H, W] [red]\n"


def test_what_fails_after_the_input_was_accepted_keeps_its_kind() -> None:
    with pytest.raises(StoreError, match="disk full") as raised, input_accepted():
        raise StoreError("disk full")
    assert not raised.value.is_input_error
    assert StoreError("disk full").is_input_error


def test_view_of_nothing_is_refused_before_qt_starts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["view", str(tmp_path / "none.run")]) == 2
    assert "none.run" in capsys.readouterr().err
    assert main(["view", "http://localhost:5555"]) == 2
    assert "tcp://" in capsys.readouterr().err


def test_module_runs_as_the_command_does(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((1, 4, 4)))
    arguments = ["evaluate", "--reconstruction", str(tmp_path / "a.npy"), "--truth", str(tmp_path / "none.npy")]
    done = subprocess.run([sys.executable, "-m", "dblink_live", *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert "none.npy" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [[], ["gui"]])
def test_without_a_word_the_start_page_opens(words: list[str], tmp_path: Path) -> None:
    pytest.importorskip("PySide6", reason="the viewer is an extra")
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    }
    done = subprocess.run(
        [sys.executable, "-m", "dblink_live", *words], capture_output=True, text=True, env=environment, check=False
    )
    if sys.platform in ("win32", "darwin"):
        pytest.skip("there is always a display, and the page waits for its user")
    # Without a display it says so, and names the way to all other verbs.
    assert done.returncode == 2
    assert "expected a display" in done.stderr
    assert "--help" in done.stderr
    assert "Traceback" not in done.stderr
