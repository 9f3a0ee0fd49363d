"""run.py: what it decides, without installing anything."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def bootstrap(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """run.py as a module, with its .venv in a temporary folder."""
    monkeypatch.setenv("DBLINK_VENV", str(tmp_path / "venv"))
    spec = importlib.util.spec_from_file_location("bootstrap_under_test", repository / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_uses_the_standard_library_alone(repository: Path) -> None:
    # -S hides site-packages, -I the environment: what is imported then is Python's own.
    done = subprocess.run([sys.executable, "-I", "-S", repository / "run.py", "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout and "test" in done.stdout


def test_options_are_accepted_before_and_after_the_verb(bootstrap: ModuleType) -> None:
    parser = bootstrap._parser()
    assert parser.parse_args(["--system-deps", "test"]).system_deps
    assert parser.parse_args(["test", "--system-deps", "--quick"]).system_deps
    assert not parser.parse_args(["test"]).system_deps
    assert parser.parse_args(["--wheelhouse", "w", "demo"]).wheelhouse == Path("w")


def test_demo_hands_on_what_it_does_not_know(bootstrap: ModuleType) -> None:
    options, rest = bootstrap._parser().parse_known_args(["demo", "--frames", "100", "--json"])
    assert options.verb == "demo"
    assert rest == ["--frames", "100", "--json"]


def test_setup_refuses_what_it_does_not_know(bootstrap: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bootstrap.main(["setup", "--frames", "100"])
    assert ended.value.code == 2
    assert "--frames" in capsys.readouterr().err


def test_dev_group_is_read_without_help_of_pip(bootstrap: ModuleType, repository: Path) -> None:
    requirements = bootstrap.dev_requirements()
    assert any(requirement.startswith("pytest>=") for requirement in requirements)
    assert all(isinstance(requirement, str) for requirement in requirements)


def test_fingerprint_changes_with_requirements_not_with_lint_settings(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = '[project]\nname = "x"\ndependencies = []\n'
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    (tmp_path / "constraints.txt").write_text("numpy==2.4.6\n")
    (tmp_path / "pyproject.toml").write_text(project)
    before = bootstrap.requirements_fingerprint()
    (tmp_path / "pyproject.toml").write_text(project + "[tool.ruff]\nline-length = 99\n")
    assert bootstrap.requirements_fingerprint() == before
    (tmp_path / "pyproject.toml").write_text(project.replace("[]", '["numpy"]'))
    assert bootstrap.requirements_fingerprint() != before
    (tmp_path / "pyproject.toml").write_text(project)
    (tmp_path / "constraints.txt").write_text("numpy==2.4.7\n")
    assert bootstrap.requirements_fingerprint() != before


@pytest.mark.parametrize(
    ("platform", "gpu", "expected"),
    [
        pytest.param("win32", ((13, 1), 8.6), "https://download.pytorch.org/whl/cu130", id="windows, new driver"),
        pytest.param("win32", ((13, 1), 7.5), "https://download.pytorch.org/whl/cu130", id="windows, Turing"),
        pytest.param("win32", ((13, 1), 6.1), "https://download.pytorch.org/whl/cu126", id="windows, Pascal"),
        pytest.param("win32", ((12, 8), 8.6), "https://download.pytorch.org/whl/cu126", id="windows, older driver"),
        pytest.param("win32", ((12, 8), None), "https://download.pytorch.org/whl/cu126", id="windows, unknown card"),
        pytest.param("win32", None, None, id="windows without GPU"),
        pytest.param("linux", None, "https://download.pytorch.org/whl/cpu", id="linux without GPU"),
        pytest.param("linux", ((13, 0), 9.0), None, id="linux with GPU"),
        pytest.param("linux", ((13, 0), 7.0), "https://download.pytorch.org/whl/cu126", id="linux, Volta"),
        pytest.param("linux", ((12, 8), 8.0), "https://download.pytorch.org/whl/cu126", id="linux, older driver"),
        pytest.param("linux", ((12, 8), 12.0), None, id="linux, a card that its driver is too old for"),
        pytest.param("darwin", None, None, id="mac"),
    ],
)
def test_torch_comes_from_the_index_that_fits_the_machine(
    bootstrap: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    gpu: tuple[tuple[int, int], float | None] | None,
    expected: str | None,
) -> None:
    monkeypatch.setattr(bootstrap.sys, "platform", platform)
    monkeypatch.setattr(bootstrap, "IS_WINDOWS", platform == "win32")
    assert bootstrap.torch_index(None if gpu is None else bootstrap.Gpu(*gpu)) == expected


@pytest.mark.parametrize(
    ("gpu", "message"),
    [
        pytest.param(((11, 8), 8.6), r"driver for CUDA 12\.6.*found 11\.8", id="driver"),
        pytest.param(((12, 8), 12.0), r"driver for CUDA 13\.0.*found 12\.8", id="new card, older driver"),
        pytest.param(((12, 8), 3.5), r"compute capability 5 or more, found 3\.5.*--cpu", id="card"),
    ],
)
def test_what_no_build_runs_on_is_refused_with_the_reason(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, gpu: tuple[tuple[int, int], float], message: str
) -> None:
    monkeypatch.setattr(bootstrap.sys, "platform", "win32")
    monkeypatch.setattr(bootstrap, "IS_WINDOWS", True)
    with pytest.raises(bootstrap.SetupError, match=message):
        bootstrap.torch_index(bootstrap.Gpu(*gpu))


@pytest.mark.skipif(sys.platform == "win32", reason="a script stands in for nvidia-smi")
@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [("8.6\\n7.0", 7.0), ('Field "compute_cap" is not a valid field to query.', None)],
    ids=["two cards", "an old driver"],
)
def test_the_gpu_is_what_nvidia_smi_says(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capabilities: str, expected: float | None
) -> None:
    banner = "| NVIDIA-SMI 560.94    Driver Version: 560.94    CUDA Version: 12.6  \\266|"  # a byte that is no UTF-8
    script = tmp_path / "nvidia-smi"
    script.write_text(
        f"#!/bin/sh\n[ $# = 0 ] && printf '{banner}\\n' || printf '{capabilities}\\n'\n", encoding="utf-8"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert bootstrap.find_gpu() == ((12, 6), expected)


@pytest.mark.parametrize("version", [(3, 10, 2), (3, 15, 0)])
def test_another_python_is_refused_with_the_reason(repository: Path, version: tuple[int, int, int]) -> None:
    text = (repository / "run.py").read_text(encoding="utf-8")
    found = ".".join(map(str, version))
    program = f"import sys; sys.version_info = {version}; sys.version = '{found} (main)'; exec(sys.stdin.read())"
    done = subprocess.run([sys.executable, "-c", program], input=text, capture_output=True, encoding="utf-8")
    assert done.returncode == 1
    assert f"expected Python 3.11 to 3.14, found {found}" in done.stderr
    assert ("no wheels" in done.stderr) == (version > (3, 14))


def test_windows_refuses_a_torch_that_cannot_use_the_gpu(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, stdout="", stderr="torch 2.13.0+cpu sees no CUDA device\n")

    monkeypatch.setattr(bootstrap, "IS_WINDOWS", True)
    monkeypatch.setattr(bootstrap.subprocess, "run", failing)
    with pytest.raises(bootstrap.SetupError, match="sees no CUDA device"):
        bootstrap.check_cuda(bootstrap.Gpu((12, 8), 8.6), accept_cpu=False)
    bootstrap.check_cuda(bootstrap.Gpu((12, 8), 8.6), accept_cpu=True)


def test_missing_libraries_are_named_by_their_packages(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "is_loadable", lambda soname: soname != "libEGL.so.1")
    monkeypatch.setattr(bootstrap.shutil, "which", lambda program: f"/usr/bin/{program}")
    missing = bootstrap.missing_packages(with_virtual_screen=True)
    assert "libegl1" in missing
    assert not {"libgl1", "xvfb"} & set(missing)


def test_a_wheelhouse_that_is_not_there_is_named(
    bootstrap: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bootstrap.main(["setup", "--wheelhouse", str(tmp_path / "none")]) == 1
    assert str(tmp_path / "none") in capsys.readouterr().err


def test_a_wheelhouse_is_filled_with_wheels_and_proven_without_an_index(
    bootstrap: ModuleType, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(bootstrap, "pip", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(bootstrap, "make_venv", lambda: None)
    monkeypatch.setattr(bootstrap, "is_reachable", lambda url: True)
    folder = tmp_path / "wheels"
    assert bootstrap.main(["wheelhouse", str(folder), "--torch", "cu126"]) == 0
    torch, fetched, proven = calls
    # A source archive would need a compiler, and its build tools, on the PC without a network.
    assert {torch[0], fetched[0]} == {"wheel"}
    assert torch[-5:] == ("torch", "--index-url", f"{bootstrap.TORCH_INDEX}/cu126", *torch[-2:])
    assert proven[0] == "install" and {"--no-index", "--dry-run", str(folder)} <= set(proven)
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    wanted = {*project["project"]["dependencies"], *project["build-system"]["requires"], *bootstrap.dev_requirements()}
    wanted.update(*(extra for name, extra in extras.items() if name not in ("all", "compare")))
    for call in (fetched, proven):
        assert wanted <= set(call)
        assert not any(argument.startswith("dblink-live") for argument in call)


def test_clean_leaves_runs_alone(bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    for name in (".mypy_cache", "runs", "venv"):
        (tmp_path / name).mkdir()
    assert bootstrap.main(["clean"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]


def test_constraints_pin_every_requirement(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    requirements = [
        *project["project"]["dependencies"],
        *(requirement for name, extra in extras.items() if name != "all" for requirement in extra),
        *(requirement for group in project["dependency-groups"].values() for requirement in group),
    ]
    pins = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {_normalized(line) for line in pins if "==" in line}
    assert {_normalized(requirement) for requirement in requirements} <= pinned


def test_core_and_adapters_speak_one_device_interface(repository: Path) -> None:
    pins = (repository / "constraints.txt").read_text(encoding="utf-8")
    core = re.search(r"^pymmcore==\d+\.\d+\.\d+\.(\d+)", pins, re.MULTILINE)
    adapters = re.search(r"^mm-test-adapters==(\d+)\.", pins, re.MULTILINE)
    assert core is not None and adapters is not None
    assert core[1] == adapters[1]


def _normalized(requirement: str) -> str:
    name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()
