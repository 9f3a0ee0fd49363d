"""Commands in README and documentation: those that need no microscope are run as written, all others are parsed."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from page_commands import blocks, dblink_commands

from dblink_live.cli.main import build_parser

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "plugins").rglob("*.md")),
]
SCRIPTS = Path(sysconfig.get_path("scripts"))


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_every_command_is_one_that_the_program_takes(page: Path) -> None:
    parser = build_parser()
    for command in dblink_commands(page):
        parser.parse_args(command)


_TYPED = re.compile(r"(?:^ {4}(?:\$ )?|`)((?:dblink-live|pip|py|python3?|pytest|DBLINK_\w+=\S*) [^`\n]*)", re.MULTILINE)


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_commands_are_quoted_as_every_shell_reads_them(page: Path) -> None:
    """In cmd.exe single quotes mean nothing, and an ``&`` outside of double quotes ends the command."""
    text = page.read_text(encoding="utf-8")
    fenced = [line for block in blocks(page) if block.language == "console" for line in block.commands]
    for command in [*fenced, *_TYPED.findall(text)]:
        assert "'" not in command, command
        assert "&" not in re.sub(r'"[^"]*"', "", command).replace(" && ", ""), command


def test_messages_quote_commands_as_every_shell_reads_them() -> None:
    sources = [*(ROOT / "dblink_live").rglob("*.py"), *(ROOT / "plugins").rglob("*.py"), ROOT / "run.py"]
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not re.search(r"(?:pip install|dblink-live \w+) '", node.value), f"{path}: {node.value}"


def test_commands_are_found() -> None:
    assert sum(len(list(dblink_commands(page))) for page in PAGES) > 50


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_readme_commands_run_as_written(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    run = [command for block in blocks(ROOT / "README.md") if block.how == "run" for command in block.commands]
    ours = [command for command in run if command.startswith("dblink-live ")]
    assert len(ours) >= 4
    for command in ours:
        program, *arguments = shlex.split(command)
        done = subprocess.run([SCRIPTS / program, *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_readme_demo_runs_as_written(tmp_path: Path) -> None:
    run = [command for block in blocks(ROOT / "README.md") if block.how == "run" for command in block.commands]
    (demo,) = [command for command in run if "run.py" in command]
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "run.py")
    assert spec is not None
    assert spec.loader is not None
    bootstrap = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bootstrap)
    if bootstrap.read_stamp() != bootstrap.requirements_fingerprint():
        pytest.skip("needs the environment that run.py makes; here it would install one")
    done = subprocess.run(
        demo.replace("run.py", str(ROOT / "run.py")).split(), cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "frames seen" in done.stdout


def test_readme_says_of_every_command_whether_it_is_run() -> None:
    commands = [block for block in blocks(ROOT / "README.md") if block.language == "console"]
    assert commands
    assert all(block.how == "run" or block.how.startswith("parse, needs") for block in commands)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_readme_python_runs_as_written(tmp_path: Path) -> None:
    (block,) = [block for block in blocks(ROOT / "README.md") if block.language == "python"]
    assert len([line for line in block.text.splitlines() if line.strip()]) <= 10
    shutil.copytree(ROOT / "examples" / "data", tmp_path / "examples" / "data")
    script = tmp_path / "readme.py"
    script.write_text(block.text, encoding="utf-8")
    done = subprocess.run([sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    windows = [int(line.split()[0]) for line in done.stdout.splitlines()]
    assert windows == list(range(len(windows)))
    assert len(windows) > 40
